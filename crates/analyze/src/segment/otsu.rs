//! A threshold from the grey values alone.

use deep3m_volume::{Extent, Region, Volume, VoxelType, Voxels};
use rayon::prelude::*;

use crate::AnalyzeError;

/// What is read at once.
const BLOCK: Extent = Extent::new(32, 256, 256);

/// The value that separates the darker voxels of a volume of 8 or 16 bits from the brighter ones best: voxels of at least
/// this value are foreground (Otsu, IEEE Transactions on Systems, Man, and Cybernetics 9, 1979: the largest variance between
/// the two classes). `None` where all voxels have one value.
///
/// # Errors
/// [`AnalyzeError::NotProbabilities`] for other types.
pub fn otsu_level(
    volume: &dyn Volume,
    region: Region,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<u32>, AnalyzeError> {
    let info = volume.info();
    let values = match info.voxel_type {
        VoxelType::U8 => 1 << 8,
        VoxelType::U16 => 1 << 16,
        found => return Err(AnalyzeError::NotProbabilities { path: info.path.clone(), found }),
    };
    let mut counts = vec![0_u64; values];
    let blocks: Vec<Region> = region.tiles(BLOCK).collect();
    for batch in blocks.chunks(rayon::current_num_threads().max(1)) {
        let parts: Vec<Vec<u64>> =
            batch.par_iter().map(|&block| count(volume, block, values)).collect::<Result<_, AnalyzeError>>()?;
        for part in parts {
            counts.iter_mut().zip(part).for_each(|(all, n)| *all += n);
        }
        if !progress(batch.iter().map(|block| block.extent.len() as u64).sum()) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    Ok(best(&counts))
}

fn count(volume: &dyn Volume, block: Region, values: usize) -> Result<Vec<u64>, AnalyzeError> {
    let mut counts = vec![0; values];
    match volume.read(block)?.voxels() {
        Voxels::U8(voxels) => voxels.iter().for_each(|&v| counts[v as usize] += 1),
        Voxels::U16(voxels) => voxels.iter().for_each(|&v| counts[v as usize] += 1),
        _ => {}
    }
    Ok(counts)
}

/// The first value of the upper class.
fn best(counts: &[u64]) -> Option<u32> {
    let all: u64 = counts.iter().sum();
    let sum: f64 = counts.iter().enumerate().map(|(value, &n)| value as f64 * n as f64).sum();
    let (mut below, mut sum_below, mut best) = (0_u64, 0.0, None);
    for (value, &n) in counts.iter().enumerate() {
        if below > 0 && below < all {
            let (low, high) = (below as f64, (all - below) as f64);
            let apart = sum_below / low - (sum - sum_below) / high;
            let variance = low * high * apart * apart;
            if best.is_none_or(|(_, most)| variance > most) {
                best = Some((value as u32, variance));
            }
        }
        below += n;
        sum_below += value as f64 * n as f64;
    }
    best.map(|(value, _)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_humps_are_told_apart() {
        let mut counts = vec![0; 256];
        for (value, n) in [(10, 50), (12, 80), (14, 60), (200, 5), (210, 9), (220, 4)] {
            counts[value] = n;
        }
        assert_eq!(best(&counts), Some(15), "the first value above the lower hump");
        assert_eq!(best(&[0, 7, 0]), None);
        assert_eq!(best(&[3, 4]), Some(1));
        assert_eq!(best(&[]), None);
    }
}
