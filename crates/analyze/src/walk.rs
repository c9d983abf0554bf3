//! Going through a volume block by block on all threads, with as much around each block as is needed.

use deep3m_volume::memory::{self, PROGRAM_BYTES};
use deep3m_volume::{Extent, Index, Region, VolumeInfo};
use rayon::prelude::*;

use crate::AnalyzeError;

/// A block and what is read for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    /// The block: all of them together are the region, each voxel once.
    pub(crate) core: Region,
    /// The block with what lies around it, as far as the region goes.
    pub(crate) around: Region,
}

impl Part {
    /// The block, counted from the first voxel that is read.
    pub(crate) const fn inside(&self) -> Region {
        let (core, around) = (self.core.start, self.around.start);
        Region::new(Index::new(core.z - around.z, core.y - around.y, core.x - around.x), self.core.extent)
    }
}

/// The blocks of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Walk {
    /// What is gone through.
    pub(crate) region: Region,
    /// A block without what lies around it.
    pub(crate) block: Extent,
    /// How far around a block is read, before and behind it along each axis.
    pub(crate) halo: Extent,
    /// Blocks at a time.
    pub(crate) at_once: usize,
}

/// Sides of blocks to choose from: sections, rows and columns, the largest first.
const SIDES: [Extent; 6] = [
    Extent::new(64, 256, 256),
    Extent::new(32, 256, 256),
    Extent::new(32, 128, 128),
    Extent::new(16, 64, 64),
    Extent::new(8, 32, 32),
    Extent::new(1, 32, 32),
];
/// A decoder's own tables, for each thread.
const CODEC_BYTES: u64 = 512 << 10;

impl Walk {
    /// The largest blocks, as many at a time as there are threads, that keep a budget, where a voxel that is read costs
    /// `bytes` while its block is worked on, and `kept` bytes are held besides (results, caches).
    ///
    /// # Errors
    /// [`AnalyzeError::Memory`] where nothing fits, with the least that would.
    pub(crate) fn fit(
        info: &VolumeInfo,
        region: Region,
        halo: Extent,
        bytes: u64,
        kept: u64,
        budget: u64,
    ) -> Result<Self, AnalyzeError> {
        let room = memory::room(budget);
        let threads = rayon::current_num_threads().max(1);
        let mut least = u64::MAX;
        let counts = std::iter::successors(Some(threads), |&n| (n > 1).then_some(n / 2));
        for at_once in counts {
            for block in SIDES {
                let walk = Self { region, block: grown(block, info.grain, region.extent), halo, at_once };
                let peak = walk.peak(info, bytes).saturating_add(kept);
                least = least.min(peak);
                if peak <= room {
                    return Ok(walk);
                }
            }
        }
        let least = memory::budget_for(least);
        Err(AnalyzeError::Memory {
            found: memory::text(budget),
            least: memory::text(least),
            wanted: memory::at_least(least),
        })
    }

    /// The bytes of the program at their peak, where a voxel that is read costs so many.
    pub(crate) fn peak(&self, info: &VolumeInfo, bytes: u64) -> u64 {
        let (block, halo, all) = (self.block.to_array(), self.halo.to_array(), self.region.extent.to_array());
        let side = |i: usize| block[i].saturating_add(2 * halo[i]).min(all[i].max(1));
        let around = Extent::new(side(0), side(1), side(2));
        let size = |extent: Extent| extent.checked_voxels().unwrap_or(u64::MAX);
        let decoded = size(info.grain).saturating_mul(2 * info.voxel_type.bytes() as u64).saturating_add(CODEC_BYTES);
        let each = size(around).saturating_mul(bytes).saturating_add(decoded);
        PROGRAM_BYTES.saturating_add(each.saturating_mul(self.at_once as u64))
    }

    /// The blocks in order.
    pub(crate) fn parts(&self) -> impl Iterator<Item = Part> + use<> {
        let Self { region, halo, .. } = *self;
        region.tiles(self.block).map(move |core| {
            let (first, end, last) = (region.start, core.end(), region.end());
            let low = |at: u64, halo: u64, first: u64| at.saturating_sub(halo).max(first);
            let start = Index::new(
                low(core.start.z, halo.z, first.z),
                low(core.start.y, halo.y, first.y),
                low(core.start.x, halo.x, first.x),
            );
            let size = |end: u64, halo: u64, last: u64, start: u64| end.saturating_add(halo).min(last) - start;
            let extent = Extent::new(
                size(end.z, halo.z, last.z, start.z),
                size(end.y, halo.y, last.y, start.y),
                size(end.x, halo.x, last.x, start.x),
            );
            Part { core, around: Region::new(start, extent) }
        })
    }

    /// Works on every block, several at a time, and takes the results in order. `progress` hears the voxels of each
    /// block; with a false it ends.
    ///
    /// # Errors
    /// [`AnalyzeError::Interrupted`] when told to stop; the first that a block met, in the order of the blocks.
    pub(crate) fn run<T: Send>(
        &self,
        work: impl Fn(Part) -> Result<T, AnalyzeError> + Sync,
        mut take: impl FnMut(Part, T) -> Result<(), AnalyzeError>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), AnalyzeError> {
        let mut parts = self.parts().peekable();
        while parts.peek().is_some() {
            let batch: Vec<Part> = parts.by_ref().take(self.at_once.max(1)).collect();
            let done: Vec<_> = batch.par_iter().map(|&part| work(part)).collect();
            for (&part, done) in batch.iter().zip(done) {
                take(part, done?)?;
                if !progress(part.core.extent.len() as u64) {
                    return Err(AnalyzeError::Interrupted);
                }
            }
        }
        Ok(())
    }
}

/// A block of whole grains where it is larger than one, so that each is decoded once; never more than the region.
fn grown(block: Extent, grain: Extent, region: Extent) -> Extent {
    let side = |block: u64, grain: u64, all: u64| {
        let grain = grain.clamp(1, all.max(1));
        let whole = if block > grain { block / grain * grain } else { block };
        whole.min(all.max(1))
    };
    Extent::new(side(block.z, grain.z, region.z), side(block.y, grain.y, region.y), side(block.x, grain.x, region.x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn blocks_cover_a_region_once_in_order_with_what_lies_around(
            (sz, sy, sx) in (0_u64..3, 0_u64..3, 0_u64..3),
            (z, y, x) in (1_u64..7, 1_u64..7, 1_u64..7),
            (bz, by, bx) in (1_u64..5, 1_u64..5, 1_u64..5),
            (hz, hy, hx) in (0_u64..4, 0_u64..4, 0_u64..4),
            at_once in 1_usize..4,
        ) {
            let region = Region::new(Index::new(sz, sy, sx), Extent::new(z, y, x));
            let walk = Walk { region, block: Extent::new(bz, by, bx), halo: Extent::new(hz, hy, hx), at_once };
            let mut met = vec![0; region.extent.len()];
            let mut places = Vec::new();
            walk.run(Ok, |part, same| {
                assert_eq!(part, same);
                places.push(part.core.start);
                for voxel in part.core.tiles(Extent::new(1, 1, 1)) {
                    let at = voxel.start;
                    met[region.extent.offset(Index::new(at.z - sz, at.y - sy, at.x - sx))] += 1;
                }
                let (core, around) = (part.core, part.around);
                for (c, a, h, first, end, ce, ae) in [
                    (core.start.z, around.start.z, hz, sz, sz + z, core.end().z, around.end().z),
                    (core.start.y, around.start.y, hy, sy, sy + y, core.end().y, around.end().y),
                    (core.start.x, around.start.x, hx, sx, sx + x, core.end().x, around.end().x),
                ] {
                    assert_eq!((a, ae), (c.saturating_sub(h).max(first), (ce + h).min(end)));
                }
                let inside = part.inside();
                assert_eq!(around.start.y + inside.start.y, core.start.y);
                Ok(())
            }, &mut |_| true).unwrap();
            prop_assert!(met.iter().all(|&n| n == 1));
            prop_assert!(places.is_sorted());
        }
    }

    #[test]
    fn less_memory_takes_smaller_blocks_until_nothing_fits() {
        let info = VolumeInfo {
            path: "v".into(),
            format: deep3m_volume::Format::OmeZarr,
            extent: Extent::new(512, 4096, 4096),
            voxel_type: deep3m_volume::VoxelType::U8,
            voxel_size: None,
            grain: Extent::new(32, 128, 128),
        };
        let fit = |budget| Walk::fit(&info, Region::whole(info.extent), Extent::new(4, 16, 16), 8, 0, budget);
        assert_eq!(fit(u64::MAX).unwrap().block, SIDES[0]);
        let mut last = u64::MAX;
        let mut budget = 1 << 30;
        while let Ok(walk) = fit(budget) {
            assert!(walk.peak(&info, 8) <= budget);
            let work = walk.block.len() as u64 * walk.at_once as u64;
            assert!(work <= last);
            (last, budget) = (work, budget * 2 / 3);
        }
        assert!(budget < 100 << 20, "{budget}");
        assert!(fit(budget).unwrap_err().to_string().contains("--memory"));
    }
}
