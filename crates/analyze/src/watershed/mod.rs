//! Objects that touch, told apart: a watershed of a landscape of heights, block by block and on all threads; the same
//! whatever the blocks.
//!
//! Every voxel leads up to a peak ([`climb`]); the voxels of one peak are a *basin* (of the landscape upside down). Two basins
//! that touch are joined where the lower of their peaks rises less than h above the highest pass between them, from the highest
//! pass to the lowest (the watershed by dynamics: Grimaud, Image Algebra and Morphological Image Processing III, 1992; it
//! gives the regions that flooding from the h-maxima gives).
//!
//! Blocks overlap by a voxel ([`Grid::widened`]), and each knows of its voxels exactly where they lead. So groups of voxels that
//! lead to one place in a block are joined with those of its neighbours by the voxels that both hold. What is kept of a volume
//! is eight bytes for each group of a block, a record for each peak and each pair of basins that touch, and the groups of the
//! voxels between two layers of blocks.

mod basin;
mod climb;
mod landscape;
mod passes;
#[cfg(test)]
mod tests;

use std::path::Path;

use deep3m_volume::{Index, Region};
use rayon::prelude::*;

use crate::AnalyzeError;
use crate::objects::{Connectivity, Faces, Forest, Found, Grid, Overlap, Piece, Records, Size, Tally};
use crate::scratch::Scratch;
use basin::{Basin, highest, lead_on, merge};
use climb::{Climb, Exit};
use passes::{Pass, passes};

pub(crate) use landscape::{Around, Unit, distances, smoothed};

/// How high each voxel of a volume lies: a whole number, 0 where there is no object.
pub(crate) type Heights = Scratch<f32>;

/// Objects that were told apart by the heights of their voxels.
pub(crate) struct Sheds(Found<Basin>);

/// Finds the objects; those that `keep` says no to are left out. `h` is how far the lower of two peaks rises at least above the
/// pass between them.
///
/// `path` is the volume, for messages. `progress` hears the voxels of each block; with a false the search ends, and nothing is
/// found.
pub(crate) fn find(
    path: &Path,
    heights: &Heights,
    grid: &Grid,
    connectivity: Connectivity,
    h: f32,
    keep: impl Fn(&Size) -> bool,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<Sheds>, AnalyzeError> {
    let mut joined = Joined::default();
    let blocks = grid.blocks();
    let mut bases = Vec::with_capacity(blocks.len());
    for batch in blocks.chunks(grid.at_once()) {
        let looked: Vec<Look> =
            batch.par_iter().map(|core| Look::at(heights, grid, core, connectivity)).collect::<Result<_, _>>()?;
        for (core, look) in batch.iter().zip(looked) {
            bases.push(joined.forest.len());
            if !joined.add(grid, core, look)? {
                return Err(AnalyzeError::Changed { path: path.to_owned() });
            }
            if !progress(core.extent.len() as u64) {
                return Ok(None);
            }
        }
        grid.check_kept(path, joined.bytes())?;
    }
    Ok(Some(Sheds(joined.finish(bases, h, |basin| keep(&basin.size)))))
}

impl Sheds {
    /// Those that were kept, in the order of their first voxels.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Size> {
        self.0.objects.iter().map(|basin| &basin.size)
    }

    /// The numbers of the voxels of a block. The rest is as for [`find`].
    pub(crate) fn draw(
        &self,
        path: &Path,
        heights: &Heights,
        grid: &Grid,
        connectivity: Connectivity,
        core: &Region,
    ) -> Result<Vec<u32>, AnalyzeError> {
        let changed = || AnalyzeError::Changed { path: path.to_owned() };
        let climb = Climb::of(heights, grid, core, connectivity)?;
        let numbers = self.0.numbers_from(grid, core.start).ok_or_else(changed)?;
        let numbers = numbers.get(..climb.peaks.len()).ok_or_else(changed)?;
        let [depth, height, width] = core.extent.to_array().map(|n| n as usize);
        let mut drawn = Vec::with_capacity(core.extent.len());
        for row in (0..depth).flat_map(|z| (0..height).map(move |y| (z, y))).map(|(z, y)| climb.row(z, y)) {
            let groups = &climb.groups[row..row + width];
            drawn.extend(groups.iter().map(|&group| if group == 0 { 0 } else { numbers[group as usize - 1] }));
        }
        Ok(drawn)
    }
}

/// A block that was looked at. Groups count from 0.
struct Look {
    basins: Vec<Basin>,
    exits: Vec<Exit>,
    passes: Vec<Pass>,
    overlap: Overlap,
}

impl Look {
    fn at(heights: &Heights, grid: &Grid, core: &Region, connectivity: Connectivity) -> Result<Self, AnalyzeError> {
        let climb = Climb::of(heights, grid, core, connectivity)?;
        let peak = |&peak: &f32| Basin { peak, ..Basin::NOTHING };
        let mut basins: Vec<Basin> = climb.peaks.iter().map(peak).collect();
        let (extent, all) = (core.extent, grid.extent());
        for z in 0..extent.z {
            for y in 0..extent.y {
                let at = Index::new(core.start.z + z, core.start.y + y, core.start.x);
                let in_z = !connectivity.is_flat() && (at.z == 0 || at.z + 1 == all.z);
                let row_at_border = in_z || at.y == 0 || at.y + 1 == all.y;
                let row = climb.row(z as usize, y as usize);
                let mut x = 0;
                for run in climb.groups[row..row + extent.x as usize].chunk_by(|a, b| a == b) {
                    let (start, voxels) = (Index { x: at.x + x, ..at }, run.len() as u64);
                    x += voxels;
                    if run[0] != 0 {
                        let at_border = row_at_border || start.x == 0 || start.x + voxels == all.x;
                        basins[run[0] as usize - 1].add(Piece { start, voxels, at_border });
                    }
                }
            }
        }
        let passes = passes(&climb).into_iter().map(|pass| Pass { a: pass.a - 1, b: pass.b - 1, ..pass }).collect();
        let exits = climb.exits.iter().map(|exit| Exit { from: exit.from - 1, to: exit.to - 1, ..*exit }).collect();
        Ok(Self { basins, exits, passes, overlap: overlap(&climb, core) })
    }
}

/// The groups of the voxels that other blocks hold, too.
fn overlap(climb: &Climb, core: &Region) -> Overlap {
    let sides = climb.extent.to_array().map(|n| n as usize);
    let face = |axis: usize, place: usize| {
        let mut of = sides.map(|side| 0..side);
        of[axis] = place..place + 1;
        let [z, y, x] = of;
        let rows = z.flat_map(|z| y.clone().map(move |y| climb.row(z, y)));
        let groups = rows.flat_map(|row| &climb.groups[row + x.start..row + x.end]);
        groups.filter_map(|&group| group.checked_sub(1)).collect::<Vec<u32>>()
    };
    let start = [core.start.z, core.start.y, core.start.x];
    let (wide, own) = (climb.extent.to_array(), core.extent.to_array());
    Overlap {
        low: [0, 1, 2].map(|axis| if start[axis] > 0 { face(axis, 0) } else { Vec::new() }),
        high: [0, 1, 2].map(|axis| if wide[axis] > own[axis] { face(axis, sides[axis] - 1) } else { Vec::new() }),
    }
}

/// Blocks that were joined.
#[derive(Default)]
struct Joined {
    forest: Forest,
    basins: Records<Basin>,
    exits: Vec<Exit>,
    passes: Vec<Pass>,
    /// How many passes there may be until those of joined groups are taken together.
    most_passes: usize,
    faces: Faces,
}

/// So few passes are not worth being looked through; tests have few.
const FEW_PASSES: usize = if cfg!(test) { 4 } else { 1 << 16 };

impl Joined {
    /// Adds the next block; false where it does not go with those before it.
    fn add(&mut self, grid: &Grid, core: &Region, look: Look) -> Result<bool, AnalyzeError> {
        let base = self.forest.grow(look.basins.len() as u32)?;
        self.basins.add(base, look.basins);
        self.exits.extend(look.exits.iter().map(|e| Exit { from: e.from + base, to: e.to + base, ..*e }));
        self.passes.extend(look.passes.iter().map(|p| Pass { a: p.a + base, b: p.b + base, ..*p }));
        let goes_together = self.faces.join(grid.place(core), look.overlap, base, &mut self.forest);
        self.basins.tidy(&mut self.forest);
        if self.passes.len() > self.most_passes.max(FEW_PASSES) {
            highest(&mut self.forest, &mut self.passes);
            self.most_passes = 2 * self.passes.len();
        }
        Ok(goes_together)
    }

    /// What is kept, in bytes.
    fn bytes(&self) -> u64 {
        let groups = self.forest.bytes() + self.basins.bytes();
        (groups + self.exits.len() * size_of::<Exit>() + self.passes.len() * size_of::<Pass>()) as u64
    }

    fn finish(mut self, bases: Vec<u32>, h: f32, keep: impl Fn(&Basin) -> bool) -> Found<Basin> {
        self.basins.sum_up(&mut self.forest);
        lead_on(&mut self.forest, &mut self.basins, self.exits);
        merge(&mut self.forest, &mut self.basins, self.passes, h);
        Found::numbered(self.forest, &self.basins, bases, keep)
    }
}
