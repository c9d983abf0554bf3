//! Connected objects of a volume that is larger than the memory, block by block and on all threads; the same whatever
//! the blocks.
//!
//! Each block is read with the first section, row and column of the blocks behind it ([`Grid::widened`]), and its
//! foreground is told apart into objects ([`runs`]). What two blocks both hold has the same runs in both, in the same
//! order: so objects are joined across borders by going through the two lists side by side. Only these lists are kept,
//! for a layer of blocks, besides what is counted of each object ([`Tally`]). Corners need no care: a voxel that three or
//! more blocks hold is joined along their faces.
//!
//! Numbers are given in the order of the objects' first voxels. To draw them, the runs of all blocks are kept where the memory holds them;
//! else blocks are read and told apart once more, which gives the same objects in the same order.

mod connectivity;
mod faces;
mod forest;
mod grid;
mod records;
mod runs;
mod tally;

use std::path::Path;

use deep3m_volume::{Extent, Index, Region};
use rayon::prelude::*;

use crate::AnalyzeError;
use runs::Labelled;

pub use connectivity::Connectivity;
pub(crate) use faces::{Faces, Overlap};
pub(crate) use forest::Forest;
pub(crate) use grid::Grid;
pub(crate) use records::Records;
pub(crate) use tally::{Piece, Size, Sums, Tally};

/// What is foreground of a volume.
pub(crate) trait Mask: Sync {
    /// The volume, for messages.
    fn path(&self) -> &Path;
    /// A byte of 0 or 1 for each voxel of a part, row-major.
    fn read(&self, part: Region) -> Result<Vec<u8>, AnalyzeError>;
}

/// The objects of a volume.
pub(crate) struct Found<T> {
    /// Those that were kept, in the order of their first voxels.
    pub(crate) objects: Vec<T>,
    /// For each object of each block: its number from 1, or 0 where it was not kept.
    numbers: Vec<u32>,
    /// Where those of each block begin in `numbers`.
    bases: Vec<u32>,
    /// Each block's runs; empty where they took too much.
    blocks: Vec<Labelled>,
}

/// Finds the objects of a mask; those that `keep` says no to are left out.
///
/// `progress` hears the voxels of each block; with a false the search ends, and nothing is found.
pub(crate) fn find<T: Tally>(
    mask: &dyn Mask,
    grid: &Grid,
    connectivity: Connectivity,
    keep: impl Fn(&T) -> bool,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Found<T>>, AnalyzeError> {
    let blocks = grid.blocks();
    let mut joined = Joined::<T>::default();
    let mut bases = Vec::with_capacity(blocks.len());
    let mut runs = Kept::default();
    for batch in blocks.chunks(grid.at_once()) {
        let looked: Vec<_> =
            batch.par_iter().map(|core| Look::at(mask, grid, core, connectivity)).collect::<Result<_, _>>()?;
        for (core, look) in batch.iter().zip(looked) {
            bases.push(joined.forest.len());
            runs.add(look.labelled);
            if !joined.add(grid.place(core), look.tallies, look.overlap)? {
                return Err(AnalyzeError::Changed { path: mask.path().to_owned() });
            }
            if !progress(core.extent.len() as u64) {
                return Ok(None);
            }
        }
        grid.check_kept(mask.path(), joined.bytes())?;
        runs.limit(grid.room_for_runs(joined.bytes()));
    }
    Ok(Some(Found { blocks: runs.blocks, ..joined.finish(bases, keep) }))
}

/// The runs of the blocks so far, as long as they are not too many.
#[derive(Default)]
struct Kept {
    blocks: Vec<Labelled>,
    bytes: u64,
    given_up: bool,
}

impl Kept {
    fn add(&mut self, labelled: Labelled) {
        if !self.given_up {
            self.bytes += labelled.bytes() as u64;
            self.blocks.push(labelled);
        }
    }

    fn limit(&mut self, room: u64) {
        if self.bytes > room {
            *self = Self { given_up: true, ..Self::default() };
        }
    }
}

impl<T> Found<T> {
    /// The numbers of the objects of the block that begins at a voxel, and of those behind it.
    pub(crate) fn numbers_from(&self, grid: &Grid, start: Index) -> Option<&[u32]> {
        let base = self.bases.get(grid.number(start))?;
        self.numbers.get(*base as usize..)
    }

    /// The numbers of the first `wanted` voxels (along z, y and x) of `part`, which is one of [`Grid::widened`]; 0 where there is no
    /// kept object. Mask, grid and connectivity are those of [`find`].
    pub(crate) fn draw(
        &self,
        mask: &dyn Mask,
        grid: &Grid,
        connectivity: Connectivity,
        part: Region,
        wanted: Extent,
    ) -> Result<Vec<u32>, AnalyzeError> {
        let changed = || AnalyzeError::Changed { path: mask.path().to_owned() };
        let again;
        let labelled = if let Some(kept) = self.blocks.get(grid.number(part.start)) {
            kept
        } else {
            again = Labelled::of(&mask.read(part)?, part.extent, connectivity);
            &again
        };
        let numbers = self.numbers_from(grid, part.start).ok_or_else(changed)?;
        let mut drawn = vec![0; wanted.len()];
        let [depth, height, width] = wanted.to_array().map(|size| size as usize);
        let places = (0..depth).flat_map(|z| (0..height).map(move |y| (z, y)));
        for ((z, y), voxels) in places.zip(drawn.chunks_exact_mut(width.max(1))) {
            for run in labelled.row(z, y) {
                let number = *numbers.get(run.object as usize).ok_or_else(changed)?;
                if let Some(voxels) = voxels.get_mut(run.from as usize..width.min(run.to as usize)) {
                    voxels.fill(number);
                }
            }
        }
        Ok(drawn)
    }
}

/// A block that was looked at: what is counted of its objects, and those that other blocks hold, too.
struct Look<T> {
    tallies: Vec<T>,
    overlap: Overlap,
    labelled: Labelled,
}

impl<T: Tally> Look<T> {
    fn at(mask: &dyn Mask, grid: &Grid, core: &Region, connectivity: Connectivity) -> Result<Self, AnalyzeError> {
        let part = grid.widened(core);
        let labelled = Labelled::of(&mask.read(part)?, part.extent, connectivity);
        let mut tallies = vec![T::NOTHING; labelled.objects() as usize];
        let (extent, all) = (core.extent, grid.extent());
        let flat = connectivity.is_flat();
        for z in 0..extent.z {
            for y in 0..extent.y {
                let at = Index::new(core.start.z + z, core.start.y + y, core.start.x);
                let row_at_border = (!flat && (at.z == 0 || at.z + 1 == all.z)) || at.y == 0 || at.y + 1 == all.y;
                for run in labelled.row(z as usize, y as usize) {
                    let (from, to) = (u64::from(run.from), u64::from(run.to).min(extent.x));
                    if from >= to {
                        continue;
                    }
                    let start = Index { x: at.x + from, ..at };
                    let at_border = row_at_border || start.x == 0 || at.x + to == all.x;
                    tallies[run.object as usize].add(Piece { start, voxels: to - from, at_border });
                }
            }
        }
        let beyond = |part: u64, core: u64| part > core;
        let high = [
            if beyond(part.extent.z, extent.z) { labelled.section(labelled.depth() - 1).collect() } else { Vec::new() },
            if beyond(part.extent.y, extent.y) { labelled.rows(labelled.height() - 1).collect() } else { Vec::new() },
            if beyond(part.extent.x, extent.x) {
                labelled.column(labelled.width() as u32 - 1).collect()
            } else {
                Vec::new()
            },
        ];
        let low = [
            if core.start.z > 0 { labelled.section(0).collect() } else { Vec::new() },
            if core.start.y > 0 { labelled.rows(0).collect() } else { Vec::new() },
            if core.start.x > 0 { labelled.column(0).collect() } else { Vec::new() },
        ];
        Ok(Self { tallies, overlap: Overlap { low, high }, labelled })
    }
}

/// Blocks that were joined.
struct Joined<T> {
    forest: Forest,
    records: Records<T>,
    faces: Faces,
}

impl<T> Default for Joined<T> {
    fn default() -> Self {
        Self { forest: Forest::default(), records: Records::default(), faces: Faces::default() }
    }
}

impl<T: Tally> Joined<T> {
    /// Adds the next block; false where it does not go with those before it.
    fn add(&mut self, place: grid::Place, tallies: Vec<T>, overlap: Overlap) -> Result<bool, AnalyzeError> {
        let base = self.forest.grow(tallies.len() as u32)?;
        self.records.add(base, tallies);
        let goes_together = self.faces.join(place, overlap, base, &mut self.forest);
        self.records.tidy(&mut self.forest);
        Ok(goes_together)
    }

    /// What is kept, in bytes.
    fn bytes(&self) -> u64 {
        (self.forest.bytes() + self.records.bytes()) as u64
    }

    fn finish(mut self, bases: Vec<u32>, keep: impl Fn(&T) -> bool) -> Found<T> {
        self.records.sum_up(&mut self.forest);
        Found::numbered(self.forest, &self.records, bases, keep)
    }
}

impl<T: Tally> Found<T> {
    /// Numbers objects whose records are summed up.
    pub(crate) fn numbered(
        mut forest: Forest,
        records: &Records<T>,
        bases: Vec<u32>,
        keep: impl Fn(&T) -> bool,
    ) -> Self {
        let mut kept: Vec<(u32, T)> =
            records.all().iter().filter(|(_, tally)| tally.voxels() > 0 && keep(tally)).copied().collect();
        kept.sort_unstable_by_key(|(_, tally)| tally.first());
        let mut numbers = vec![0; forest.len() as usize];
        for (number, &(root, _)) in (1..).zip(&kept) {
            numbers[root as usize] = number;
        }
        for piece in 0..forest.len() {
            // The first piece of an object comes before the others.
            numbers[piece as usize] = numbers[forest.root(piece) as usize];
        }
        Self { objects: kept.into_iter().map(|(_, tally)| tally).collect(), numbers, bases, blocks: Vec::new() }
    }
}
