//! How much of a comparison is done at a time, and what memory that takes.

use deep3m_volume::memory::{self, PROGRAM_BYTES};
use deep3m_volume::{Extent, OpenOptions, VolumeInfo, VoxelType};
use serde::Serialize;

use crate::{AnalyzeError, EvaluateConfig};

/// Blocks to choose from, without what lies around them, the largest first.
const BLOCKS: [Extent; 5] = [
    Extent::new(8, 512, 512),
    Extent::new(8, 256, 256),
    Extent::new(4, 256, 256),
    Extent::new(1, 256, 256),
    Extent::new(1, 128, 128),
];
/// A decoder's own tables, for each thread.
const CODEC_BYTES: u64 = 512 << 10;

/// How much of a comparison is done at a time. The result does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Work {
    /// What is read at once, without what lies around it: sections, rows, columns.
    pub block: Extent,
    /// Blocks at a time, one per thread.
    pub at_once: usize,
    /// What each of the two volumes may keep decoded ([`OpenOptions::cache_bytes`]).
    pub cache_bytes: u64,
}

impl Default for Work {
    /// Blocks of 8 × 512 × 512 voxels on all threads, and the volumes' usual caches.
    fn default() -> Self {
        Self {
            block: BLOCKS[0],
            at_once: rayon::current_num_threads().max(1),
            cache_bytes: OpenOptions::default().cache_bytes as u64,
        }
    }
}

impl Work {
    /// The most work at a time whose peak of the memory stays below `budget` bytes.
    ///
    /// # Errors
    /// [`AnalyzeError::Memory`] where nothing fits, with the least that would.
    pub fn fit(
        prediction: &VolumeInfo,
        truth: &VolumeInfo,
        config: &EvaluateConfig,
        budget: u64,
    ) -> Result<Self, AnalyzeError> {
        let (usual, room) = (Self::default(), memory::room(budget));
        let mut least = u64::MAX;
        let at_once = std::iter::successors(Some(usual.at_once), |&n| (n > 1).then_some(n / 2));
        let choices = at_once.flat_map(|at_once| BLOCKS.map(|block| Self { block, at_once, cache_bytes: 0 }));
        for bare in std::iter::once(usual).chain(choices) {
            let peak = bare.peak(prediction, truth, config);
            least = least.min(peak);
            if peak <= room {
                let each = bare.cache_bytes.max((room - peak) / 2).min(usual.cache_bytes);
                return Ok(Self { cache_bytes: each, ..bare });
            }
        }
        let least = memory::budget_for(least);
        Err(AnalyzeError::Memory {
            found: memory::text(budget),
            least: memory::text(least),
            wanted: memory::at_least(least),
        })
    }

    /// The bytes of the program at their peak.
    pub fn peak(&self, prediction: &VolumeInfo, truth: &VolumeInfo, config: &EvaluateConfig) -> u64 {
        let reach = u64::from(config.exclusion.iter().copied().max().unwrap_or(0));
        let extent = truth.extent;
        let core = Extent::new(self.block.z.min(extent.z), self.block.y.min(extent.y), self.block.x.min(extent.x));
        // A block at the volume's border has surroundings on one side, or on none.
        let widened = |core: u64, reach: u64, all: u64| {
            let sides = u64::from(all > core) + u64::from(all > 2 * core);
            (core + sides * reach).min(all)
        };
        let z_reach = if config.exclusion_3d { reach } else { 0 };
        let around = Extent::new(
            widened(core.z, z_reach, extent.z),
            widened(core.y, reach, extent.y),
            widened(core.x, reach, extent.x),
        );
        let size = |extent: Extent| extent.checked_voxels().unwrap_or(u64::MAX);
        // A voxel's label takes one byte; distances two, of both classes; those before the last axis, two for as much of
        // the block as that axis runs through.
        let before = if config.exclusion_3d { 2 * size(around) } else { 2 * around.y * around.x };
        let block = size(around) * (truth.voxel_type.bytes() as u64 + 5)
            + before
            + size(core) * prediction.voxel_type.bytes() as u64;
        // Counts of each value on each class, outside of each zone.
        let values = if prediction.voxel_type == VoxelType::U8 { 1 << 8 } else { 1 << 16 };
        let tally = 2 * 8 * values * (config.exclusion.len() as u64 + 1);
        let at_once = (self.at_once as u64).min(pieces(extent, core));
        [prediction, truth].into_iter().fold(PROGRAM_BYTES + at_once * (block + tally) + 3 * tally, |sum, info| {
            let bytes = info.voxel_type.bytes() as u64;
            let grain = Extent::new(info.grain.z.min(extent.z), info.grain.y.min(extent.y), info.grain.x.min(extent.x));
            let decoding = at_once * (2 * bytes * size(grain) + CODEC_BYTES);
            sum + decoding + self.cache_bytes.min(bytes.saturating_mul(size(extent)))
        })
    }
}

/// How many blocks there are.
fn pieces(extent: Extent, block: Extent) -> u64 {
    extent.z.div_ceil(block.z.max(1)) * extent.y.div_ceil(block.y.max(1)) * extent.x.div_ceil(block.x.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::Format;

    #[test]
    fn less_is_done_at_a_time_with_less_memory() {
        let info = VolumeInfo {
            path: "a.zarr".into(),
            format: Format::OmeZarr,
            extent: Extent::new(400, 3000, 3000),
            voxel_type: VoxelType::U8,
            voxel_size: None,
            grain: Extent::new(32, 128, 128),
        };
        let config = EvaluateConfig { exclusion: vec![0, 16], exclusion_3d: true, ..EvaluateConfig::default() };
        assert_eq!(Work::fit(&info, &info, &config, u64::MAX).unwrap(), Work::default());
        let mut budget = Work::default().peak(&info, &info, &config);
        loop {
            match Work::fit(&info, &info, &config, budget) {
                Ok(work) => assert!(work != Work::default() && work.peak(&info, &info, &config) <= budget, "{work:?}"),
                Err(error) => {
                    assert!(error.to_string().contains("--memory"), "{error}");
                    break;
                }
            }
            budget = budget * 3 / 4;
        }
        assert!(budget < 100 << 20, "{budget}");
    }
}
