//! How often each grey value occurs.

use deep3m_volume::{VoxelType, Voxels};

/// Counts of the values of 8- and 16-bit voxels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Histogram {
    lowest: i32,
    counts: Vec<u64>,
}

impl Histogram {
    /// None yet; `None` for types of other sizes.
    pub(crate) fn new(voxel_type: VoxelType) -> Option<Self> {
        let (lowest, values) = match voxel_type {
            VoxelType::U8 => (0, 1 << 8),
            VoxelType::U16 => (0, 1 << 16),
            VoxelType::I16 => (i16::MIN.into(), 1 << 16),
            _ => return None,
        };
        Some(Self { lowest, counts: vec![0; values] })
    }

    /// Adds the voxels of a range.
    ///
    /// # Panics
    /// If they are of another type, or the range lies outside.
    pub(crate) fn add(&mut self, voxels: &Voxels, range: std::ops::Range<usize>) {
        let bits = self.counts.len();
        match voxels {
            Voxels::U8(v) if bits == 1 << 8 => v[range].iter().for_each(|&v| self.counts[usize::from(v)] += 1),
            Voxels::U16(v) if self.lowest == 0 && bits == 1 << 16 => {
                v[range].iter().for_each(|&v| self.counts[usize::from(v)] += 1);
            }
            Voxels::I16(v) if self.lowest < 0 => {
                let lowest = self.lowest;
                v[range].iter().for_each(|&v| self.counts[(i32::from(v) - lowest) as usize] += 1);
            }
            other => panic!("{} voxels in a histogram of another type", other.voxel_type()),
        }
    }

    /// Adds all counts of another of the same type.
    pub(crate) fn merge(&mut self, other: &Self) {
        assert_eq!((self.lowest, self.counts.len()), (other.lowest, other.counts.len()), "histograms of one type");
        self.counts.iter_mut().zip(&other.counts).for_each(|(all, n)| *all += n);
    }

    /// All voxels.
    pub(crate) fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The values that occur, with their counts, from the lowest on.
    pub(crate) fn values(&self) -> impl Iterator<Item = (i32, u64)> {
        (self.lowest..).zip(&self.counts).filter(|(_, n)| **n > 0).map(|(v, n)| (v, *n))
    }

    /// The values that `percent` % of the voxels do not exceed, by nearest rank; `None` of no voxels.
    pub(crate) fn percentiles<const N: usize>(&self, percent: [f64; N]) -> Option<[f32; N]> {
        let all = self.total();
        (all > 0).then(|| {
            percent.map(|percent| {
                let rank = ((all as f64 * percent.clamp(0.0, 100.0) / 100.0).ceil() as u64).clamp(1, all);
                let mut below = 0;
                let reaches = |&(_, n): &(i32, u64)| {
                    below += n;
                    below >= rank
                };
                self.values().find(reaches).map_or(0.0, |(value, _)| value as f32)
            })
        })
    }

    /// The lowest value that a type can hold.
    pub(crate) const fn lowest(&self) -> i32 {
        self.lowest
    }

    /// How many values a type can hold.
    pub(crate) fn width(&self) -> usize {
        self.counts.len()
    }
}
