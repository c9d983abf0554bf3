//! How far a count depends on how sure the models are.

use deep3m_volume::{Block, Region, Volume, VolumeError, VolumeInfo, Voxels};

use super::{CountConfig, count, one_of};
use crate::AnalyzeError;

/// A probability, moved down or up by its standard deviation.
struct Moved<'a> {
    volume: &'a dyn Volume,
    deviation: &'a dyn Volume,
    up: bool,
    one: u32,
    /// What a deviation of 1 is in its volume.
    scale: f64,
}

impl Volume for Moved<'_> {
    fn info(&self) -> &VolumeInfo {
        self.volume.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let (mean, deviation) = (self.volume.read(region)?, self.deviation.read(region)?);
        let (mean, deviation) = (mean.voxels(), deviation.voxels());
        let moved = |i: usize| {
            let by = (f64::from(deviation.get(i)) * self.scale).round() as u32;
            if self.up { mean.get(i).saturating_add(by).min(self.one) } else { mean.get(i).saturating_sub(by) }
        };
        let voxels = match mean {
            Voxels::U8(_) => Voxels::U8((0..mean.len()).map(|i| moved(i) as u8).collect()),
            _ => Voxels::U16((0..mean.len()).map(|i| moved(i) as u16).collect()),
        };
        Ok(Block::new(region.extent, voxels))
    }
}

/// How many objects count where the probability is one standard deviation lower, and where it is one higher. The deviation
/// is a volume of 8 or 16 bits of the same size, whose highest possible value stands for 1.
///
/// # Errors
/// As [`count`]; [`AnalyzeError::ShapeMismatch`] for volumes of different sizes.
pub fn count_range(
    volume: &dyn Volume,
    deviation: &dyn Volume,
    config: &CountConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(u64, u64), AnalyzeError> {
    let (info, other) = (volume.info(), deviation.info());
    if info.extent != other.extent {
        return Err(AnalyzeError::ShapeMismatch {
            first: info.path.clone(),
            first_extent: info.extent,
            second: other.path.clone(),
            second_extent: other.extent,
        });
    }
    let (one, full) = (one_of(volume)?, one_of(deviation)?);
    let scale = f64::from(one) / f64::from(full);
    let mut of = |up| {
        let moved = Moved { volume, deviation, up, one, scale };
        count(&moved, config, budget, progress).map(|found| found.count())
    };
    Ok((of(false)?, of(true)?))
}
