//! Sections in tiles that depend on the volume alone, so that sums of them do not depend on memory and threads.

use deep3m_volume::memory::{self, PROGRAM_BYTES};
use deep3m_volume::{Extent, Index, Region, VolumeInfo};

use crate::AnalyzeError;
use crate::walk::{Part, Walk};

/// A tile's side, where the volume's own pieces do not ask for another.
const SIDE: u64 = 512;
/// Larger pieces are read in parts.
const LONGEST: u64 = 4096;
/// Sections that are gone through together.
const SLAB: u64 = 16;

/// How a volume is gone through.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tiles {
    extent: Extent,
    /// A tile: some sections deep where the volume's pieces are.
    pub(crate) block: Extent,
    /// Sections whose tiles are done before the next ones begin.
    slab: u64,
    at_once: usize,
}

impl Tiles {
    /// For a volume, where a pixel that is worked on costs `bytes` besides what is read, and each section of a slab
    /// `per_section`.
    pub(crate) fn fit(info: &VolumeInfo, bytes: u64, per_section: u64, budget: u64) -> Result<Self, AnalyzeError> {
        let side = |grain: u64, all: u64| {
            let grain = grain.clamp(1, all.max(1));
            let side = if grain >= SIDE { grain.min(LONGEST) } else { SIDE / grain * grain };
            side.min(all.max(1))
        };
        let (y, x) = (side(info.grain.y, info.extent.y), side(info.grain.x, info.extent.x));
        let z = info.grain.z.clamp(1, 32);
        let block = Extent::new(z, y, x);
        let slab = SLAB.div_ceil(z) * z;
        let grain = info.grain.checked_voxels().unwrap_or(u64::MAX);
        let stored = info.voxel_type.bytes() as u64;
        let each = (y * x).saturating_mul(bytes + z * stored).saturating_add(grain.saturating_mul(stored));
        let kept = PROGRAM_BYTES.saturating_add(slab.saturating_mul(per_section));
        let room = memory::room(budget).saturating_sub(kept);
        let at_once = rayon::current_num_threads().max(1).min((room / each.max(1)) as usize);
        if at_once == 0 {
            let least = memory::budget_for(kept.saturating_add(each));
            let (found, least, wanted) = (memory::text(budget), memory::text(least), memory::at_least(least));
            return Err(AnalyzeError::Memory { found, least, wanted });
        }
        Ok(Self { extent: info.extent, block, slab, at_once })
    }

    /// The slabs in order.
    pub(crate) fn slabs(&self) -> impl Iterator<Item = Region> + use<> {
        let Extent { y, x, .. } = self.extent;
        Region::whole(self.extent).tiles(Extent::new(self.slab.max(1), y.max(1), x.max(1)))
    }

    /// Works on the tiles of a slab with `halo` pixels around each, and takes the results in order.
    pub(crate) fn run<T: Send>(
        &self,
        slab: Region,
        halo: u64,
        work: impl Fn(Part) -> Result<T, AnalyzeError> + Sync,
        take: impl FnMut(Part, T) -> Result<(), AnalyzeError>,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), AnalyzeError> {
        let halo = Extent::new(0, halo, halo);
        Walk { region: slab, block: self.block, halo, at_once: self.at_once }.run(work, take, progress)
    }

    /// One tile of one section, with as much around it as the section has.
    pub(crate) fn around(&self, z: u64, tile: Region, halo: u64) -> Region {
        let (start, end) = (tile.start, tile.end());
        let (y, x) = (start.y.saturating_sub(halo), start.x.saturating_sub(halo));
        let extent = Extent::new(1, (end.y + halo).min(self.extent.y) - y, (end.x + halo).min(self.extent.x) - x);
        Region::new(Index::new(z, y, x), extent)
    }
}
