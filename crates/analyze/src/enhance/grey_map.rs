//! One function of the grey value for all voxels: contrast, and matching to another volume.

use std::sync::Arc;

use deep3m_volume::{Block, Greys, Region, Volume, VolumeError, VolumeInfo, VoxelType};

use super::layer::by_section;
use crate::AnalyzeError;
use crate::histogram::Histogram;
use crate::tiles::Tiles;

/// Grey values of floating-point volumes are compared at so many quantiles.
const QUANTILES: usize = 1025;

/// A volume with its grey values replaced.
pub(super) struct Mapped {
    below: Arc<dyn Volume>,
    info: VolumeInfo,
    map: Map,
}

/// From a grey value to another.
enum Map {
    /// From this value to 0, from that to the full scale, straight between, cut beyond.
    Stretch { low: f32, high: f32, full: f32 },
    /// For whole numbers from `lowest` on.
    Table { lowest: i32, values: Vec<f32> },
    /// Straight between pairs of values, in rising order.
    Knots(Vec<(f32, f32)>),
}

/// What values a volume has.
pub(super) enum Grey {
    Counted(Histogram),
    Sampled(Greys),
}

impl Grey {
    /// Goes through a volume.
    pub(super) fn of(
        volume: &dyn Volume,
        budget: u64,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self, AnalyzeError> {
        let info = volume.info();
        let tiles = Tiles::fit(info, 4, 0, budget)?;
        let expected = info.extent.checked_voxels().unwrap_or(u64::MAX);
        let mut grey = match (Histogram::new(info.voxel_type), Greys::new(info.voxel_type, expected)) {
            (Some(counts), _) => Self::Counted(counts),
            (None, Some(sample)) => Self::Sampled(sample),
            (None, None) => return Err(not_grey(info)),
        };
        for slab in tiles.slabs() {
            tiles.run(
                slab,
                0,
                |part| {
                    let block = volume.read(part.core)?;
                    let counts = Histogram::new(info.voxel_type).map(|mut counts| {
                        counts.add(block.voxels(), 0..block.voxels().len());
                        counts
                    });
                    // Counts are small; blocks are handed on only where there are none.
                    Ok((counts.is_none().then_some(block), counts))
                },
                |_, (block, counts)| {
                    let added = match (&mut grey, counts, block) {
                        (Self::Counted(all), Some(counts), _) => {
                            all.merge(&counts);
                            true
                        }
                        (Self::Sampled(all), _, Some(block)) => all.add(block.voxels()),
                        _ => false,
                    };
                    if added { Ok(()) } else { Err(not_grey(info)) }
                },
                progress,
            )?;
        }
        Ok(grey)
    }

    /// Values that so many percent of the voxels do not exceed, by nearest rank; of floating-point volumes, those of a
    /// sample of four million voxels.
    pub(super) fn percentiles<const N: usize>(&self, percent: [f64; N]) -> Option<[f32; N]> {
        match self {
            Self::Counted(counts) => counts.percentiles(percent),
            Self::Sampled(sample) => sample.percentiles(percent),
        }
    }

    /// Values with the share of voxels that do not exceed them, in rising order.
    fn shares(&self) -> Vec<(f32, f64)> {
        match self {
            Self::Counted(counts) => {
                let (all, mut below) = (counts.total() as f64, 0);
                let share = |(value, n): (i32, u64)| {
                    below += n;
                    (value as f32, below as f64 / all)
                };
                counts.values().map(share).collect()
            }
            Self::Sampled(sample) => {
                let percent: [f64; QUANTILES] = std::array::from_fn(|i| 100.0 * i as f64 / (QUANTILES - 1) as f64);
                let values = sample.percentiles(percent).map_or_else(Vec::new, Vec::from);
                let mut shares: Vec<(f32, f64)> = Vec::new();
                for (value, percent) in values.into_iter().zip(percent) {
                    match shares.last_mut() {
                        Some(last) if last.0 == value => last.1 = percent / 100.0,
                        _ => shares.push((value, percent / 100.0)),
                    }
                }
                shares
            }
        }
    }
}

fn not_grey(info: &VolumeInfo) -> AnalyzeError {
    AnalyzeError::NotGrey { path: info.path.clone(), found: info.voxel_type }
}

impl Mapped {
    /// Contrast stretched: these two grey values become black and white.
    pub(super) fn stretched(below: Arc<dyn Volume>, low: f32, high: f32) -> Self {
        let info = below.info().clone();
        let full = info.voxel_type.full_scale();
        Self { below, info, map: Map::Stretch { low, high, full } }
    }

    /// With the histogram of another volume, and its type: a value that a share of the voxels does not exceed becomes the
    /// one that this share does not exceed there (straight between values, as scikit-image's `match_histograms` has it).
    /// `None` where a volume has no grey value.
    pub(super) fn matched(below: Arc<dyn Volume>, own: &Grey, reference: &Grey, to: VoxelType) -> Option<Self> {
        let wanted = reference.shares();
        let (first, last) = (*wanted.first()?, *wanted.last()?);
        let there = |share: f64| {
            let next = wanted.partition_point(|(_, s)| *s < share);
            match (next.checked_sub(1).map(|i| wanted[i]), wanted.get(next)) {
                (None, _) => first.0,
                (_, None) => last.0,
                (Some((low, s)), Some(&(high, t))) => {
                    (f64::from(low) + (share - s) / (t - s) * (f64::from(high) - f64::from(low))) as f32
                }
            }
        };
        let shares = own.shares();
        if shares.is_empty() {
            return None;
        }
        let map = match own {
            Grey::Counted(counts) => {
                let mut values = vec![0.0; counts.width()];
                for &(value, share) in &shares {
                    values[(value as i32 - counts.lowest()) as usize] = there(share);
                }
                Map::Table { lowest: counts.lowest(), values }
            }
            Grey::Sampled(_) => Map::Knots(shares.iter().map(|&(value, share)| (value, there(share))).collect()),
        };
        let info = VolumeInfo { voxel_type: to, ..below.info().clone() };
        Some(Self { below, info, map })
    }
}

impl Map {
    fn apply(&self, value: f32) -> f32 {
        match self {
            Self::Stretch { low, high, full } => ((value - low) / (high - low)).clamp(0.0, 1.0) * full,
            Self::Table { lowest, values } => values[(value as i32 - lowest) as usize],
            Self::Knots(knots) => {
                let next = knots.partition_point(|(v, _)| *v < value);
                match (next.checked_sub(1).map(|i| knots[i]), knots.get(next)) {
                    (None, Some(&(_, first))) => first,
                    (Some((_, last)), None) => last,
                    (Some((a, from)), Some(&(b, to))) => from + (value - a) / (b - a) * (to - from),
                    (None, None) => value,
                }
            }
        }
    }
}

impl Volume for Mapped {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let block = self.below.read(region)?;
        Ok(by_section(&block, self.info.voxel_type, |_, grey, _, _| {
            grey.iter_mut().filter(|v| v.is_finite()).for_each(|v| *v = self.map.apply(*v));
        }))
    }
}
