//! How often each value occurs: percentiles of intensity, and which values labels have.

use std::collections::BTreeMap;

use crate::{Extent, Region, Volume, VolumeError, VolumeInfo, VoxelType, Voxels};

/// Of 32-bit volumes, the counts of at most so many different values are kept.
pub const MOST_VALUES: usize = 4096;

/// Voxels read at once, where the volume's grain is not larger.
const PIECE_VOXELS: u64 = 4 << 20;

/// Voxels read at once at most: beyond that a grain is read in parts, though each part may decode all of it again.
const MOST_PIECE_VOXELS: u64 = 256 << 20;

/// How often each value occurs in a volume or a part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: Counts,
    total: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Counts {
    /// By value, one place for each value of the type.
    Dense(Vec<u64>),
    /// The values met first, with the number of voxels of other values.
    Sparse { counts: BTreeMap<u32, u64>, others: u64 },
}

impl Histogram {
    /// Counts nothing yet.
    pub fn new(voxel_type: VoxelType) -> Self {
        let counts = match voxel_type {
            VoxelType::U8 => Counts::Dense(vec![0; 1 << 8]),
            VoxelType::U16 => Counts::Dense(vec![0; 1 << 16]),
            VoxelType::U32 => Counts::Sparse { counts: BTreeMap::new(), others: 0 },
        };
        Self { counts, total: 0 }
    }

    /// Counts the voxels of a region, piece by piece.
    ///
    /// `progress` hears the number of voxels after each piece.
    pub fn of_region(volume: &dyn Volume, region: Region, progress: &mut dyn FnMut(u64)) -> Result<Self, VolumeError> {
        let mut histogram = Self::new(volume.info().voxel_type);
        histogram.add_region(volume, region, progress)?;
        Ok(histogram)
    }

    /// Counts every `step`-th section, from the first: enough for percentiles of a large volume. A step of 0 counts as 1.
    pub fn of_sections(volume: &dyn Volume, step: u64, progress: &mut dyn FnMut(u64)) -> Result<Self, VolumeError> {
        let extent = volume.info().extent;
        let mut histogram = Self::new(volume.info().voxel_type);
        for z in (0..extent.z).step_by(usize::try_from(step.max(1)).unwrap_or(usize::MAX)) {
            histogram.add_region(volume, Region::section(extent, z), progress)?;
        }
        Ok(histogram)
    }

    fn add_region(
        &mut self,
        volume: &dyn Volume,
        region: Region,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), VolumeError> {
        for piece in region.tiles(piece_size(volume.info(), region)) {
            let block = volume.read(piece)?;
            self.add(block.voxels());
            progress(block.voxels().len() as u64);
        }
        Ok(())
    }

    /// Counts some voxels.
    pub fn add(&mut self, voxels: &Voxels) {
        self.total += voxels.len() as u64;
        match (&mut self.counts, voxels) {
            (Counts::Dense(counts), Voxels::U8(values)) if counts.len() >= 1 << 8 => {
                for &value in values {
                    counts[usize::from(value)] += 1;
                }
            }
            (Counts::Dense(counts), Voxels::U16(values)) if counts.len() >= 1 << 16 => {
                for &value in values {
                    counts[usize::from(value)] += 1;
                }
            }
            (_, voxels) => {
                self.make_sparse();
                // Labels come in runs.
                let mut run: Option<(u32, u64)> = None;
                for value in voxels {
                    run = match run {
                        Some((v, n)) if v == value => Some((v, n + 1)),
                        Some((v, n)) => {
                            self.add_run(v, n);
                            Some((value, 1))
                        }
                        None => Some((value, 1)),
                    };
                }
                if let Some((v, n)) = run {
                    self.add_run(v, n);
                }
            }
        }
    }

    fn make_sparse(&mut self) {
        if let Counts::Dense(dense) = &self.counts {
            let counts = dense.iter().enumerate().filter(|(_, n)| **n > 0).map(|(v, &n)| (v as u32, n)).collect();
            self.counts = Counts::Sparse { counts, others: 0 };
        }
    }

    fn add_run(&mut self, value: u32, n: u64) {
        let Counts::Sparse { counts, others } = &mut self.counts else { return };
        let room = counts.len() < MOST_VALUES;
        match counts.get_mut(&value) {
            Some(count) => *count += n,
            None if room => {
                counts.insert(value, n);
            }
            None => *others += n,
        }
    }

    /// Voxels counted.
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// Voxels of values that found no place among the [`MOST_VALUES`] that are kept; always 0 for 8 and 16 bits.
    pub const fn others(&self) -> u64 {
        match &self.counts {
            Counts::Dense(_) => 0,
            Counts::Sparse { others, .. } => *others,
        }
    }

    /// How often a value occurs (among the values that are kept).
    pub fn count(&self, value: u32) -> u64 {
        match &self.counts {
            Counts::Dense(counts) => counts.get(value as usize).copied().unwrap_or(0),
            Counts::Sparse { counts, .. } => counts.get(&value).copied().unwrap_or(0),
        }
    }

    /// The values that occur, with their counts, in ascending order.
    pub fn values(&self) -> Vec<(u32, u64)> {
        match &self.counts {
            Counts::Dense(counts) => {
                counts.iter().enumerate().filter(|(_, n)| **n > 0).map(|(value, &n)| (value as u32, n)).collect()
            }
            Counts::Sparse { counts, .. } => counts.iter().map(|(&value, &n)| (value, n)).collect(),
        }
    }

    /// The smallest and the largest value (among those that are kept); `None` where nothing was counted.
    pub fn range(&self) -> Option<(u32, u32)> {
        let values = self.values();
        Some((values.first()?.0, values.last()?.0))
    }

    /// The smallest value that at least `percent` % of the voxels do not exceed; 50 is the (lower) median. `None` where
    /// nothing was counted, or where values were dropped ([`Self::others`]).
    pub fn percentile(&self, percent: f64) -> Option<u32> {
        if self.total == 0 || self.others() > 0 {
            return None;
        }
        let wanted = ((percent / 100.0 * self.total as f64).ceil() as u64).clamp(1, self.total);
        let mut below = 0;
        self.values().into_iter().find_map(|(value, n)| {
            below += n;
            (below >= wanted).then_some(value)
        })
    }

    /// The mean (of the values that are kept); `None` where nothing was counted.
    pub fn mean(&self) -> Option<f64> {
        let counted = self.total - self.others();
        let sum: f64 = self.values().into_iter().map(|(value, n)| f64::from(value) * n as f64).sum();
        (counted > 0).then(|| sum / counted as f64)
    }
}

/// Whole grains of together about [`PIECE_VOXELS`], first along the rows, then the columns, then the sections.
fn piece_size(info: &VolumeInfo, region: Region) -> Extent {
    let Extent { mut z, mut y, mut x } = info.grain;
    let mut room = PIECE_VOXELS / info.grain.checked_voxels().unwrap_or(u64::MAX).max(1);
    for (size, whole) in [(&mut x, region.extent.x), (&mut y, region.extent.y), (&mut z, region.extent.z)] {
        let times = room.min(whole.div_ceil(*size)).max(1);
        *size = size.saturating_mul(times);
        room /= times;
    }
    if z.checked_mul(y).and_then(|n| n.checked_mul(x)).is_none_or(|n| n > MOST_PIECE_VOXELS) {
        x = x.min(MOST_PIECE_VOXELS);
        y = y.min(MOST_PIECE_VOXELS / x).max(1);
        z = 1;
    }
    Extent::new(z, y, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(voxels: &Voxels) -> Histogram {
        let mut histogram = Histogram::new(voxels.voxel_type());
        histogram.add(voxels);
        histogram
    }

    #[test]
    fn percentiles_by_nearest_rank() {
        // The textbook example: 15, 20, 35, 40, 50.
        let h = of(&Voxels::U8(vec![40, 15, 50, 20, 35]));
        let at = [0.0, 5.0, 30.0, 40.0, 50.0, 100.0].map(|p| h.percentile(p).unwrap());
        assert_eq!(at, [15, 15, 20, 20, 35, 50]);
        assert_eq!((h.range(), h.mean(), h.total()), (Some((15, 50)), Some(32.0), 5));
        assert_eq!(Histogram::new(VoxelType::U8).percentile(50.0), None);
    }

    #[test]
    fn pieces_are_whole_grains_of_bounded_size() {
        let size = |grain: Extent, region: Extent| {
            let info = VolumeInfo {
                path: "v".into(),
                format: crate::Format::OmeZarr,
                extent: region,
                voxel_type: VoxelType::U8,
                voxel_size: None,
                grain,
            };
            piece_size(&info, Region::whole(region))
        };
        let huge = 1 << 40;
        assert_eq!(size(Extent::new(32, 128, 128), Extent::new(huge, huge, huge)), Extent::new(32, 128, 1024));
        assert_eq!(size(Extent::new(1, 1024, 1024), Extent::new(20, 1024, 1024)), Extent::new(4, 1024, 1024));
        assert_eq!(size(Extent::new(1, 20000, 10000), Extent::new(20, 20000, 10000)), Extent::new(1, 20000, 10000));
        assert_eq!(size(Extent::new(1, huge, huge), Extent::new(20, huge, huge)), Extent::new(1, 1, 256 << 20));
    }

    #[test]
    fn many_labels_stay_bounded() {
        let h = of(&Voxels::U32((0..MOST_VALUES as u32 + 10).flat_map(|v| [v * 7; 3]).collect()));
        assert_eq!((h.values().len(), h.others(), h.total()), (MOST_VALUES, 30, 3 * (MOST_VALUES as u64 + 10)));
        assert_eq!((h.count(7), h.percentile(50.0)), (3, None));
    }

    proptest! {
        #[test]
        fn the_same_counts_for_every_type(values in prop::collection::vec(0_u8..=255, 1..200), percent in 0.0_f64..100.0) {
            let wide = of(&Voxels::U32(values.iter().map(|&v| v.into()).collect()));
            let middle = of(&Voxels::U16(values.iter().map(|&v| v.into()).collect()));
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let rank = ((percent / 100.0 * values.len() as f64).ceil() as usize).max(1);
            let narrow = of(&Voxels::U8(values));
            prop_assert_eq!(narrow.values(), wide.values());
            prop_assert_eq!(narrow.values(), middle.values());
            prop_assert_eq!(narrow.percentile(percent), Some(u32::from(sorted[rank - 1])));
            prop_assert_eq!(wide.percentile(percent), narrow.percentile(percent));
        }
    }
}
