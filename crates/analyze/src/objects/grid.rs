//! The blocks in which a volume is looked at.

use std::path::Path;

use deep3m_volume::{Extent, Index, Region, memory};

use crate::AnalyzeError;

/// Bytes of runs that are kept at most, whatever the memory.
const MOST_RUNS: u64 = 512 << 20;

/// Boxes of one size that tile a volume, from its first voxel on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Grid {
    extent: Extent,
    core: Extent,
    at_once: usize,
    kept_bytes: u64,
    keeps_runs: bool,
}

impl Grid {
    /// Blocks of `core` voxels, cut at the volume's end.
    pub(crate) fn new(extent: Extent, core: Extent) -> Self {
        let part = |size: u64, all: u64| size.clamp(1, all.max(1));
        let core = Extent::new(part(core.z, extent.z), part(core.y, extent.y), part(core.x, extent.x));
        Self { extent, core, at_once: 2 * rayon::current_num_threads().max(1), kept_bytes: u64::MAX, keeps_runs: false }
    }

    /// So many blocks at a time, and at most so many bytes for what is kept of the objects found so far.
    pub(crate) fn limited(self, at_once: usize, kept_bytes: u64) -> Self {
        Self { at_once: at_once.max(1), kept_bytes, ..self }
    }

    /// The same, where objects are drawn after they were found: their runs are kept until then, if there is room.
    pub(crate) fn keeping_runs(self) -> Self {
        Self { keeps_runs: true, ..self }
    }

    /// Bytes that the runs of all blocks may take, beside what is kept of their objects.
    pub(crate) fn room_for_runs(&self, kept: u64) -> u64 {
        // What is kept may take twice its bytes while it grows. Holes are found before objects: two of three parts are left for them.
        let left = self.kept_bytes.saturating_sub(kept).saturating_mul(2) / 3;
        if self.keeps_runs { left.min(MOST_RUNS) } else { 0 }
    }

    /// How many blocks are looked at at a time.
    pub(crate) const fn at_once(&self) -> usize {
        self.at_once
    }

    /// Sees to it that what is kept of the objects of a volume is no more than it may be.
    pub(crate) fn check_kept(&self, path: &Path, bytes: u64) -> Result<(), AnalyzeError> {
        if bytes <= self.kept_bytes {
            return Ok(());
        }
        Err(AnalyzeError::Pieces {
            path: path.to_owned(),
            found: memory::text(bytes),
            room: memory::text(self.kept_bytes),
        })
    }

    /// A block's size, but for those at the volume's end.
    #[cfg(test)]
    pub(crate) const fn core(&self) -> Extent {
        self.core
    }

    pub(crate) const fn extent(&self) -> Extent {
        self.extent
    }

    /// All blocks, in the order of z, y, x.
    pub(crate) fn blocks(&self) -> Vec<Region> {
        Region::whole(self.extent).tiles(self.core).collect()
    }

    /// The blocks that hold voxels of a part of the volume.
    pub(crate) fn meeting(&self, part: Region) -> Vec<Region> {
        let down = |at: u64, side: u64| at / side * side;
        let (at, core, end) = (part.start, self.core, part.end());
        let start = Index::new(down(at.z, core.z), down(at.y, core.y), down(at.x, core.x));
        let up = |end: u64, side: u64, all: u64, start: u64| end.next_multiple_of(side).min(all) - start;
        let extent = Extent::new(
            up(end.z, core.z, self.extent.z, start.z),
            up(end.y, core.y, self.extent.y, start.y),
            up(end.x, core.x, self.extent.x, start.x),
        );
        Region::new(start, extent).tiles(core).collect()
    }

    /// A block with the first voxels of those behind it: what touches across a border touches in one of these.
    pub(crate) fn widened(&self, core: &Region) -> Region {
        let end = core.end();
        let wide = |start: u64, end: u64, all: u64| (end + 1).min(all) - start;
        let extent = Extent::new(
            wide(core.start.z, end.z, self.extent.z),
            wide(core.start.y, end.y, self.extent.y),
            wide(core.start.x, end.x, self.extent.x),
        );
        Region::new(core.start, extent)
    }

    /// The place in [`Self::blocks`] of the block that begins at a voxel.
    pub(crate) const fn number(&self, start: Index) -> usize {
        let rows = self.extent.y.div_ceil(self.core.y);
        let columns = self.extent.x.div_ceil(self.core.x);
        ((start.z / self.core.z * rows + start.y / self.core.y) * columns + start.x / self.core.x) as usize
    }

    /// How many blocks there are along y and x, and which of them a block is.
    pub(crate) const fn place(&self, core: &Region) -> Place {
        let Index { y, x, .. } = core.start;
        let columns = self.extent.x.div_ceil(self.core.x) as usize;
        Place { row: (y / self.core.y) as usize, column: (x / self.core.x) as usize, columns }
    }
}

/// Where a block lies in its layer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(super) row: usize,
    pub(super) column: usize,
    pub(super) columns: usize,
}

impl Place {
    pub(super) const fn in_layer(self) -> usize {
        self.row * self.columns + self.column
    }
}
