//! How much of a segmentation is done at a time, so that it keeps within the memory.

use deep3m_volume::memory::{self, PROGRAM_BYTES};
use deep3m_volume::{Extent, Region, VolumeInfo};

use super::config::{Landscape, SegmentConfig};
use crate::AnalyzeError;
use crate::objects::Grid;
use crate::scratch::NUMBER_BYTES;
use crate::smooth::Gaussian;

/// Voxels of a block that is looked at by itself, the largest first.
const SIDES: [Extent; 5] = [
    Extent::new(64, 256, 256),
    Extent::new(32, 256, 256),
    Extent::new(32, 128, 128),
    Extent::new(16, 64, 64),
    Extent::new(8, 32, 32),
];
/// Bytes that a voxel of a block takes while its objects are looked for or drawn: its values and mask, runs in noise, its number
/// twice.
const COMPONENT_BYTES: u64 = 32;
/// As [`COMPONENT_BYTES`], with a watershed: its height, where it leads, its group, its number twice, passes.
const WATERSHED_BYTES: u64 = 40;
/// Bytes of a voxel around a block that is smoothed: its value as it is read and as it is smoothed.
const SMOOTHED_BYTES: u64 = 8;
/// Bytes of a voxel that is written: its number, and what an encoder takes of it.
const WRITTEN_BYTES: u64 = 8;
/// A decoder's own tables, for each thread.
const CODEC_BYTES: u64 = 512 << 10;
/// The share of the memory, beyond the program's own, that is kept for the records of objects found so far.
const KEPT_SHARE: u64 = 4;

/// How much is done at a time. The result does not depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// The blocks that are looked at.
    pub(super) grid: Grid,
    /// What is written at once: whole grains of the output.
    pub(super) tile: Extent,
    /// How many of these at a time.
    pub(super) tiles_at_once: usize,
    /// Whether the heights of a watershed, and numbers that wait, are kept in memory, and not in files.
    pub(super) in_memory: bool,
    /// Whether numbers wait until all are drawn: blocks are thicker than what is written at once. Thin blocks would cut nearly
    /// every way to a peak.
    pub(super) waits: bool,
    /// Bytes to take at a time of heights in a file.
    pub(super) room: u64,
}

impl Plan {
    /// What is written at once, in order.
    pub(super) fn tiles(&self) -> impl Iterator<Item = Region> + use<> {
        Region::whole(self.grid.extent()).tiles(self.tile)
    }

    /// The most work at a time that keeps a budget, of which `besides` bytes are taken. `scratch` says whether there is a file to
    /// work in.
    pub(super) fn fit(
        info: &VolumeInfo,
        extent: Extent,
        config: &SegmentConfig,
        grain: Extent,
        budget: u64,
        besides: u64,
        scratch: bool,
    ) -> Result<Self, AnalyzeError> {
        let room = memory::room(budget);
        let mut least = u64::MAX;
        let held = PROGRAM_BYTES.saturating_add(besides);
        let all = extent.checked_voxels().unwrap_or(u64::MAX);
        for (at_once, side) in choices() {
            let tile = tile(grain, side);
            let mut core = core(tile, side);
            let waits = config.watershed.is_some() && 2 * tile.z < side.z.min(extent.z);
            if waits {
                core.z = side.z;
            }
            let kept_of_voxel = if config.watershed.is_some() { NUMBER_BYTES * (1 + u64::from(waits)) } else { 0 };
            let heights = all.saturating_mul(kept_of_voxel);
            // Tiles of one block are drawn side by side, larger ones one by one.
            let tiles_at_once = if core == tile { at_once } else { 1 };
            let blocks = (at_once as u64).saturating_mul(block_bytes(info, extent, config, core));
            let written = (tiles_at_once as u64).saturating_mul(size(tile, extent)).saturating_mul(WRITTEN_BYTES);
            let work = blocks.saturating_add(written);
            let with_kept = held.saturating_add((work / (KEPT_SHARE - 1)).saturating_mul(KEPT_SHARE));
            let fits_in_memory = with_kept.saturating_add(heights) <= room;
            least = least.min(if scratch { with_kept } else { with_kept.saturating_add(heights) });
            if fits_in_memory || (scratch && with_kept <= room) {
                let peak = held.saturating_add(work).saturating_add(if fits_in_memory { heights } else { 0 });
                // Vectors that grow are copied: what is kept may take that twice.
                let kept = if budget == u64::MAX { u64::MAX } else { (room - peak) / 2 };
                let grid = Grid::new(extent, core).limited(at_once, kept).keeping_runs();
                return Ok(Self { grid, tile, tiles_at_once, in_memory: fits_in_memory, waits, room: blocks / 2 });
            }
        }
        let least = memory::budget_for(least);
        Err(AnalyzeError::Memory {
            found: memory::text(budget),
            least: memory::text(least),
            wanted: memory::at_least(least),
        })
    }
}

/// How many blocks at a time, and how large; the best first. Small blocks come last: they cut objects into many pieces.
fn choices() -> impl Iterator<Item = (usize, Extent)> {
    let threads = rayon::current_num_threads().max(1);
    let (large, small) = SIDES.split_at(3);
    [large, small].into_iter().flat_map(move |sides| {
        let counts = std::iter::successors(Some(2 * threads), |&n| (n > 1).then_some(n / 2));
        counts.flat_map(move |at_once| sides.iter().map(move |&side| (at_once, side)))
    })
}

/// The bytes that a block takes while it is worked on.
fn block_bytes(info: &VolumeInfo, extent: Extent, config: &SegmentConfig, core: Extent) -> u64 {
    let voxel = if config.watershed.is_some() { WATERSHED_BYTES } else { COMPONENT_BYTES };
    let wide = |reach: Extent| {
        let side = |core: u64, reach: u64, all: u64| core.saturating_add(2 * reach + 1).min(all);
        Extent::new(side(core.z, reach.z, extent.z), side(core.y, reach.y, extent.y), side(core.x, reach.x, extent.x))
    };
    let bytes = info.voxel_type.bytes() as u64;
    let smoothed = match config.watershed.map(|watershed| watershed.landscape) {
        Some(Landscape::Probability { sigmas }) => {
            size(wide(Gaussian::new(sigmas).reach()), info.extent).saturating_mul(SMOOTHED_BYTES + bytes)
        }
        _ => 0,
    };
    let looked_at = size(wide(Extent::new(0, 0, 0)), extent).saturating_mul(voxel);
    // What a decoder holds: a grain as it is stored, and as it is read; twice, with floating-point values.
    let decoded = size(info.grain, info.extent).saturating_mul(4 * bytes).saturating_add(CODEC_BYTES);
    looked_at.max(smoothed).saturating_add(decoded)
}

/// Voxels of a box that is cut at the volume's end.
fn size(of: Extent, all: Extent) -> u64 {
    Extent::new(of.z.min(all.z), of.y.min(all.y), of.x.min(all.x)).checked_voxels().unwrap_or(u64::MAX)
}

/// Whole grains of the output, about as large as `side`.
fn tile(grain: Extent, side: Extent) -> Extent {
    let along = |size: u64, grain: u64| (size / grain.max(1)).max(1).saturating_mul(grain.max(1));
    let (y, x) = (along(side.y, grain.y), along(side.x, grain.x));
    // Where a grain is a whole section, fewer of them.
    let sections = (side.len() as u64 / y.saturating_mul(x).max(1)).clamp(1, side.z);
    Extent::new(along(sections, grain.z), y, x)
}

/// Blocks that divide what is written into equal parts, none larger than `side`.
fn core(tile: Extent, side: Extent) -> Extent {
    let part = |tile: u64, side: u64| tile.div_ceil(tile.div_ceil(side.max(1)).max(1));
    Extent::new(part(tile.z, side.z), part(tile.y, side.y), part(tile.x, side.x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::Watershed;
    use deep3m_volume::{Format, VoxelType};

    #[test]
    fn tiles_are_whole_grains() {
        let tile = |z, y, x, side: usize| tile(Extent::new(z, y, x), SIDES[side]);
        assert_eq!(tile(32, 128, 128, 0), Extent::new(64, 256, 256));
        assert_eq!(tile(32, 128, 128, 3), Extent::new(32, 128, 128));
        assert_eq!(tile(1, 5000, 7000, 0), Extent::new(1, 5000, 7000));
        assert_eq!(tile(1, 500, 700, 0), Extent::new(11, 500, 700));
        assert_eq!(tile(100, 300, 7, 0), Extent::new(100, 300, 252));
    }

    #[test]
    fn blocks_divide_tiles() {
        assert_eq!(core(Extent::new(64, 256, 256), SIDES[0]), Extent::new(64, 256, 256));
        assert_eq!(core(Extent::new(1, 5000, 7000), SIDES[0]), Extent::new(1, 250, 250));
        assert_eq!(core(Extent::new(100, 300, 252), SIDES[3]), Extent::new(15, 60, 63));
    }

    #[test]
    fn less_memory_takes_less_at_a_time_until_nothing_fits() {
        let info = VolumeInfo {
            path: "v".into(),
            format: Format::OmeZarr,
            extent: Extent::new(512, 4096, 4096),
            voxel_type: VoxelType::U8,
            voxel_size: None,
            grain: Extent::new(32, 128, 128),
        };
        let watershed = Some(Watershed { landscape: Landscape::Distance, h: 1.0 });
        for (config, grain) in [
            (SegmentConfig::default(), Extent::new(32, 128, 128)),
            (SegmentConfig { watershed, ..SegmentConfig::default() }, Extent::new(32, 128, 128)),
            (SegmentConfig { watershed, ..SegmentConfig::default() }, Extent::new(1, 4096, 4096)),
            (SegmentConfig::default(), Extent::new(1, 4096, 4096)),
        ] {
            let fit = |budget| Plan::fit(&info, info.extent, &config, grain, budget, 0, true);
            let most = fit(u64::MAX).unwrap();
            let sections = config.watershed.is_some() && grain.z == 1;
            assert!(most.in_memory && most.waits == sections, "{most:?}");
            assert!(!sections || most.grid.core().z == 64, "{most:?}");
            let (mut budget, mut last) = (1 << 40, u64::MAX);
            while let Ok(plan) = fit(budget) {
                let block = plan.grid.core().len() as u64 * plan.grid.at_once() as u64;
                assert!(block <= last || block < 1 << 20);
                (last, budget) = (block, budget * 2 / 3);
            }
            let heights = 4 * info.extent.len() as u64;
            assert!(config.watershed.is_none() || !fit(heights).unwrap().in_memory);
            assert!(budget < 300 << 20, "{budget}");
            assert!(fit(budget).unwrap_err().to_string().contains("--memory"));
            let without_file = Plan::fit(&info, info.extent, &config, grain, heights, 0, false);
            assert_eq!(without_file.is_err(), config.watershed.is_some());
        }
    }
}
