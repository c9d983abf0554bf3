//! The probability around a block, averaged in boxes of voxels.

use deep3m_volume::{Index, Region, Volume};

use crate::AnalyzeError;

/// Probabilities of averaged voxels around a block.
pub(super) struct Field {
    /// Size in averaged voxels: sections, rows, columns.
    pub(super) size: [usize; 3],
    /// Probabilities, 0 to 1.
    pub(super) values: Vec<f32>,
    /// For each row, whether all of it is 0.
    pub(super) empty: Vec<bool>,
    /// The highest value that was read.
    pub(super) highest: u32,
}

impl Field {
    /// Reads a region whose start lies on a border of boxes; `one` is the value that stands for a probability of 1. A
    /// box that the region cuts is the mean of what is there of it.
    pub(super) fn read(volume: &dyn Volume, region: Region, bins: [u64; 3], one: u32) -> Result<Self, AnalyzeError> {
        let extent = region.extent.to_array();
        let size = [0, 1, 2].map(|i| extent[i].div_ceil(bins[i]) as usize);
        let mut values = vec![0.0_f32; size.iter().product()];
        let mut highest = 0;
        // Some sections at a time, so that what is averaged is not held.
        let slab = deep3m_volume::Extent::new(
            if bins[0] == 1 { extent[0].max(1) } else { bins[0] },
            extent[1].max(1),
            extent[2].max(1),
        );
        let mut sums = vec![0_u64; size[1] * size[2]];
        for tile in region.tiles(slab) {
            let block = volume.read(tile)?;
            let voxels = block.voxels();
            let first = (tile.start.z - region.start.z) / bins[0];
            for z in 0..tile.extent.z.div_ceil(bins[0]) {
                sums.fill(0);
                let sections = z * bins[0]..((z + 1) * bins[0]).min(tile.extent.z);
                for (z, y) in sections.clone().flat_map(|z| (0..extent[1]).map(move |y| (z, y))) {
                    let from = tile.extent.offset(Index::new(z, y, 0));
                    let row = (y / bins[1]) as usize * size[2];
                    for x in 0..extent[2] {
                        let value = voxels.get(from + x as usize);
                        highest = highest.max(value);
                        sums[row + (x / bins[2]) as usize] += u64::from(value.min(one));
                    }
                }
                let out = &mut values[(first + z) as usize * sums.len()..][..sums.len()];
                let deep = sections.end - sections.start;
                for (i, (value, &sum)) in out.iter_mut().zip(&sums).enumerate() {
                    let (y, x) = ((i / size[2]) as u64, (i % size[2]) as u64);
                    let high = bins[1].min(extent[1] - y * bins[1]);
                    let wide = bins[2].min(extent[2] - x * bins[2]);
                    *value = (sum as f64 / (deep * high * wide) as f64 / f64::from(one)) as f32;
                }
            }
        }
        let empty = values.chunks_exact(size[2].max(1)).map(|row| row.iter().all(|&v| v == 0.0)).collect();
        Ok(Self { size, values, empty, highest })
    }

    /// The values of a row.
    pub(super) fn row(&self, z: usize, y: usize) -> &[f32] {
        &self.values[(z * self.size[1] + y) * self.size[2]..][..self.size[2]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, InMemory, Voxels};

    #[test]
    fn boxes_are_means_of_what_is_there() {
        let extent = Extent::new(3, 3, 5);
        let volume = InMemory::new("v", extent, Voxels::U8((0..45).map(|i| 2 * i).collect()));
        let region = Region::new(Index::new(1, 0, 1), Extent::new(2, 3, 4));
        let field = Field::read(&volume, region, [2, 2, 3], 100).unwrap();
        assert_eq!(field.size, [1, 2, 2]);
        // Rows 0 and 1, columns 1 to 3 of sections 1 and 2; the last boxes are cut.
        let mean = |rows: &[u32], columns: &[u32]| {
            let all: Vec<u32> = [1, 2]
                .iter()
                .flat_map(|z| rows.iter().flat_map(move |y| columns.iter().map(move |x| 2 * (z * 15 + y * 5 + x))))
                .collect();
            (all.iter().sum::<u32>() as f64 / all.len() as f64 / 100.0) as f32
        };
        let expected = [mean(&[0, 1], &[1, 2, 3]), mean(&[0, 1], &[4]), mean(&[2], &[1, 2, 3]), mean(&[2], &[4])];
        assert_eq!(field.values, expected);
        assert_eq!(field.highest, 88);
        let whole = Field::read(&volume, Region::whole(extent), [1, 1, 1], 100).unwrap();
        assert_eq!((whole.row(2, 1)[0], whole.empty.len()), (0.7, 9));
    }
}
