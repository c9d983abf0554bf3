//! Where the blocks of a prediction lie: pure functions of the volume's size and the settings, never of the region that
//! is asked for, so that every voxel's probability is the same whatever part of the volume is predicted.
//!
//! Every block is a **core**, whose voxels it writes, inside a **context**, what the network is shown:
//!
//! - Cores tile the volume from its first voxel. They are whole chunks of the output, so that each chunk is written
//!   once, by one block, and tiles are equal: 1100 columns become two of 550, not 1024 and 76.
//! - The context reaches `halo` bins further on each side within the volume, and `mirror` bins beyond the volume's own
//!   border, both rounded up so that it begins and ends at a multiple of 16 bins, the network's coarsest step, counted
//!   from the volume's first voxel. In z it reaches as many sections further as the models see.

use deep3m_volume::{Binning, Extent, Index, Region};
use serde::{Deserialize, Serialize};

/// The network halves its input four times: sizes are multiples of 16.
const STEP: u64 = 16;

/// All that the block grid depends on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSettings {
    /// The volume's size in voxels.
    pub extent: Extent,
    /// Pixels that are averaged to one before the network.
    pub binning: Binning,
    /// Sections on either side that the widest model sees: 0, 1 or 2 for 1, 3 or 5 frames.
    pub margin: u64,
    /// Largest core, rows and columns, in bins.
    pub tile: u64,
    /// Real context around a core within the volume, in bins.
    pub halo: u64,
    /// Mirrored context beyond the volume's border, in bins.
    pub mirror: u64,
    /// Largest number of sections per block, and per chunk of the output.
    pub slab: u64,
    /// Largest chunk of the output, rows and columns, in voxels.
    pub chunk: u64,
}

/// The block grid of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    settings: PlanSettings,
    chunk: Extent,
    core: Extent,
}

/// One block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedBlock {
    /// Its number, counted from the volume's first block, x fastest, z slowest.
    pub number: u64,
    /// The voxels that it writes.
    pub core: Region,
    /// What the network is shown.
    pub context: Context,
}

/// What the network is shown of a block, along each axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Context {
    /// Sections.
    pub z: Span,
    /// Rows, in bins.
    pub y: Span,
    /// Columns, in bins.
    pub x: Span,
}

/// A part of an axis that may stick out of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// First position; below zero before the volume's first voxel.
    pub start: i64,
    /// Number of positions.
    pub len: u64,
}

impl Span {
    /// First position outside.
    pub const fn end(self) -> i64 {
        self.start + self.len as i64
    }
}

impl Plan {
    /// The block grid for these settings; sizes of zero count as one.
    pub fn new(settings: PlanSettings) -> Self {
        let in_plane = |size: u64, bin: u32| {
            let tiles = size.div_ceil(bin.into()).div_ceil(settings.tile.max(1)).max(1);
            let core = size.div_ceil(tiles).max(1);
            let chunks = core.div_ceil(settings.chunk.max(1));
            let chunk = core.div_ceil(chunks);
            (chunk, chunk * chunks)
        };
        let (chunk_y, core_y) = in_plane(settings.extent.y, settings.binning.y);
        let (chunk_x, core_x) = in_plane(settings.extent.x, settings.binning.x);
        let slabs = settings.extent.z.div_ceil(settings.slab.max(1)).max(1);
        let chunk_z = settings.extent.z.div_ceil(slabs).max(1);
        Self { settings, chunk: Extent::new(chunk_z, chunk_y, chunk_x), core: Extent::new(chunk_z, core_y, core_x) }
    }

    /// What the grid was made from.
    pub const fn settings(&self) -> &PlanSettings {
        &self.settings
    }

    /// The output's chunks.
    pub const fn chunk(&self) -> Extent {
        self.chunk
    }

    /// The size of a core, where the volume's end does not cut it.
    pub const fn core(&self) -> Extent {
        self.core
    }

    /// All blocks in the order of their numbers: z slowest, so that every section is read once per row of blocks and
    /// slabs of sections are done one after another.
    pub fn blocks(&self) -> impl Iterator<Item = PlannedBlock> + '_ {
        let cores = Region::whole(self.settings.extent).tiles(self.core);
        (0..).zip(cores).map(|(number, core)| PlannedBlock { number, core, context: self.context(core) })
    }

    /// The blocks that share a voxel with a region.
    pub fn blocks_meeting(&self, region: Region) -> impl Iterator<Item = PlannedBlock> + '_ {
        self.blocks().filter(move |block| block.core.intersect(&region).is_some())
    }

    /// What the network is shown for a box of voxels.
    pub fn context(&self, core: Region) -> Context {
        self.context_with(core, self.settings.halo)
    }

    /// What the network is shown for a box of voxels with another halo.
    pub fn context_with(&self, core: Region, halo: u64) -> Context {
        let (s, end) = (&self.settings, core.end());
        let margin = s.margin as i64;
        Context {
            z: Span { start: core.start.z as i64 - margin, len: core.extent.z + 2 * s.margin },
            y: in_plane((core.start.y, end.y), s.extent.y, s.binning.y, halo, s.mirror),
            x: in_plane((core.start.x, end.x), s.extent.x, s.binning.x, halo, s.mirror),
        }
    }

    /// The inner borders between cores along an axis that lie inside a region, as the first position after the border.
    pub fn borders(&self, region: Region) -> Borders {
        let inner = |start: u64, end: u64, size: u64, step: u64| -> Vec<u64> {
            (step..size).step_by(step as usize).filter(|&at| at > start && at < end).collect()
        };
        let (start, end, extent) = (region.start, region.end(), self.settings.extent);
        Borders { y: inner(start.y, end.y, extent.y, self.core.y), x: inner(start.x, end.x, extent.x, self.core.x) }
    }
}

/// Rows and columns at which one core ends and the next begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Borders {
    /// First rows of a core.
    pub y: Vec<u64>,
    /// First columns of a core.
    pub x: Vec<u64>,
}

impl Borders {
    /// How many voxels lie between a voxel and the nearest border (0 for the voxels on either side of it); `None`
    /// where there is none.
    pub fn distance(&self, at: Index) -> Option<u64> {
        let one = |borders: &[u64], p: u64| borders.iter().map(|&b| if p >= b { p - b } else { b - 1 - p }).min();
        [one(&self.y, at.y), one(&self.x, at.x)].into_iter().flatten().min()
    }
}

/// The context along rows or columns, in bins, for the voxels from `core.0` to before `core.1`.
fn in_plane(core: (u64, u64), size: u64, bin: u32, halo: u64, mirror: u64) -> Span {
    let bin = u64::from(bin);
    let (bins, halo, mirror) = (size.div_ceil(bin) as i64, halo as i64, mirror as i64);
    let (first, last) = ((core.0 / bin) as i64, core.1.div_ceil(bin) as i64);
    // Both ends on the steps of the network, counted from the volume's first bin: a network with strides answers a shift
    // by less than its step with other probabilities, so blocks out of step would show whatever their context.
    let step = STEP as i64;
    let start = (first - halo).max(-mirror).div_euclid(step) * step;
    let end = -(-(last + halo).min(bins + mirror)).div_euclid(step) * step;
    Span { start, len: (end - start).unsigned_abs() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn settings() -> impl Strategy<Value = PlanSettings> {
        let extent = (1_u64..20, 1_u64..90, 1_u64..90).prop_map(|(z, y, x)| Extent::new(z, y, x));
        let rest = (1_u64..12, 1_u64..50);
        (extent, 1_u32..5, 1_u32..5, 0_u64..3, 1_u64..50, 0_u64..40, 0_u64..20, rest).prop_map(
            |(extent, y, x, margin, tile, halo, mirror, (slab, chunk))| PlanSettings {
                extent,
                binning: Binning { y, x },
                margin,
                tile,
                halo,
                mirror,
                slab,
                chunk,
            },
        )
    }

    /// The settings of a real prediction for a volume of this size.
    fn usual(extent: Extent, binning: u32) -> PlanSettings {
        let binning = Binning::square(binning);
        PlanSettings { extent, binning, margin: 2, tile: 1024, halo: 64, mirror: 16, slab: 16, chunk: 256 }
    }

    proptest! {
        #[test]
        fn every_voxel_is_written_by_one_block_and_every_chunk_whole(s in settings()) {
            let plan = Plan::new(s);
            let chunks: HashSet<Region> = Region::whole(s.extent).tiles(plan.chunk()).collect();
            let mut seen = HashSet::new();
            for block in plan.blocks() {
                for chunk in block.core.tiles(plan.chunk()) {
                    prop_assert!(chunks.contains(&chunk), "block {} cuts a chunk at {}", block.core, chunk);
                    prop_assert!(seen.insert(chunk), "chunk {} in two blocks", chunk);
                }
            }
            prop_assert_eq!(seen, chunks);
        }

        #[test]
        fn the_context_holds_the_core_and_its_halo(s in settings()) {
            for block in Plan::new(s).blocks() {
                let c = block.context;
                prop_assert_eq!(c.z.start, block.core.start.z as i64 - s.margin as i64);
                prop_assert_eq!(c.z.end(), block.core.end().z as i64 + s.margin as i64);
                let (core, end) = (block.core.start, block.core.end());
                let axes = [(c.y, core.y, end.y, s.extent.y, s.binning.y), (c.x, core.x, end.x, s.extent.x, s.binning.x)];
                for (span, start, end, size, bin) in axes {
                    let (bin, bins) = (i64::from(bin), size.div_ceil(bin.into()) as i64);
                    let (halo, mirror) = (s.halo as i64, s.mirror as i64);
                    prop_assert_eq!((span.start % 16, span.len % 16), (0, 0));
                    prop_assert!(span.start * bin <= start as i64 && span.end() * bin >= end as i64);
                    // The halo, unless it would stick out further than the mirror.
                    prop_assert!(span.start <= (start as i64 / bin - halo).max(-mirror));
                    prop_assert!(span.end() >= ((end as i64 + bin - 1) / bin + halo).min(bins + mirror));
                    // Nothing beyond need.
                    let need = (end as i64 + bin - 1) / bin - start as i64 / bin + 2 * halo.max(mirror);
                    prop_assert!((span.len as i64) < need + 2 * 15 + 1);
                }
            }
        }

        #[test]
        fn the_grid_does_not_depend_on_the_region(s in settings(), at in (0_u64..40, 0_u64..200, 0_u64..200)) {
            let plan = Plan::new(s);
            let start = Index::new(at.0 % s.extent.z, at.1 % s.extent.y, at.2 % s.extent.x);
            let region = Region::new(start, Extent::new(1, 1, 1));
            let part: Vec<_> = plan.blocks_meeting(region).collect();
            prop_assert_eq!(part.len(), 1);
            prop_assert_eq!(plan.blocks().find(|b| b.core.contains(start)), Some(part[0]));
        }

        #[test]
        fn tiles_are_balanced(s in settings()) {
            let plan = Plan::new(s);
            for (core, size, bin) in [(plan.core().y, s.extent.y, s.binning.y), (plan.core().x, s.extent.x, s.binning.x)] {
                let fewest = size.div_ceil(u64::from(bin)).div_ceil(s.tile);
                prop_assert!(size.div_ceil(core) <= fewest);
                // Each core of the grid is at most a bin and the rounding to whole chunks larger than asked for.
                let chunks = core / plan.chunk().y.min(plan.chunk().x);
                prop_assert!(core < (s.tile + 1) * u64::from(bin) + chunks);
            }
        }
    }

    #[test]
    fn sections_of_1024_are_one_tile() {
        let plan = Plan::new(usual(Extent::new(100, 1024, 1024), 1));
        assert_eq!(plan.core(), Extent::new(15, 1024, 1024));
        assert_eq!(plan.chunk(), Extent::new(15, 256, 256));
        let block = plan.blocks().next().unwrap();
        assert_eq!(block.context.z, Span { start: -2, len: 19 });
        assert_eq!(block.context.y, Span { start: -16, len: 1056 });
    }

    #[test]
    fn two_tiles_are_halves() {
        let plan = Plan::new(usual(Extent::new(4, 1100, 1100), 1));
        assert_eq!(plan.core(), Extent::new(4, 552, 552));
        assert_eq!(plan.chunk(), Extent::new(4, 184, 184));
        let contexts: Vec<_> = plan.blocks().map(|b| b.context.x).collect();
        // 16 mirrored, 552 and 64 real; the second 488..1100 and 16 mirrored.
        assert_eq!(contexts[0], Span { start: -16, len: 640 });
        assert_eq!(contexts[1], Span { start: 480, len: 640 });
    }

    #[test]
    fn the_smallest_volume_has_a_block() {
        let plan = Plan::new(usual(Extent::new(1, 1, 1), 2));
        let blocks: Vec<_> = plan.blocks().collect();
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].core, Region::whole(Extent::new(1, 1, 1)));
        assert_eq!(blocks[0].context.y.len, 48);
    }

    #[test]
    fn distance_to_a_border() {
        let plan = Plan::new(PlanSettings { tile: 10, chunk: 10, ..usual(Extent::new(1, 20, 30), 1) });
        let borders = plan.borders(Region::whole(Extent::new(1, 20, 30)));
        assert_eq!((borders.y.as_slice(), borders.x.as_slice()), (&[10][..], &[10, 20][..]));
        for (y, x, distance) in [(0, 9, 0), (0, 10, 0), (9, 0, 0), (8, 12, 1), (4, 4, 5)] {
            assert_eq!(borders.distance(Index::new(0, y, x)), Some(distance), "{y}, {x}");
        }
        assert_eq!(Borders::default().distance(Index::default()), None);
    }
}
