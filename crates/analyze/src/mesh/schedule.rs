//! Which objects are made in which pass over the volume, so that memory is kept.

use std::collections::{BTreeMap, BTreeSet};

use super::survey::Found;
use crate::walk::Walk;

/// Bytes for each corner of a surface that waits for its last blocks: corner and two triangles, as they grow.
pub(super) const OPEN_BYTES: u64 = 48;
/// Bytes for each corner of a surface that is being smoothed and simplified.
pub(super) const WORK_BYTES: u64 = 360;

/// The blocks of a walk as a grid, several at a time.
pub(super) struct Grid {
    block: [u64; 3],
    tiles: [u64; 3],
    at_once: u64,
}

impl Grid {
    pub(super) fn new(walk: &Walk) -> Self {
        let block = walk.block.to_array();
        let extent = walk.region.extent.to_array();
        Self {
            block,
            tiles: std::array::from_fn(|i| extent[i].div_ceil(block[i])),
            at_once: walk.at_once.max(1) as u64,
        }
    }

    /// The first and last blocks along each axis that have cells of an object.
    fn span(&self, object: &Found) -> [(u64, u64); 3] {
        std::array::from_fn(|i| (object.low[i].saturating_sub(1) / self.block[i], object.high[i] / self.block[i]))
    }

    fn number(&self, [z, y, x]: [u64; 3]) -> u64 {
        (z * self.tiles[1] + y) * self.tiles[2] + x
    }

    /// The first and the last batch that have cells of an object.
    fn batches(&self, object: &Found) -> (u64, u64) {
        let span = self.span(object);
        (self.number(span.map(|s| s.0)) / self.at_once, self.number(span.map(|s| s.1)) / self.at_once)
    }

    fn blocks(&self) -> u64 {
        self.tiles.iter().product()
    }
}

/// What is done in one pass over the volume.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pass {
    /// The objects.
    pub(super) wanted: BTreeSet<u32>,
    /// For each block in order whether it is needed.
    pub(super) needed: Vec<bool>,
    /// The objects that are whole after a batch.
    pub(super) whole_after: BTreeMap<u64, Vec<u32>>,
}

/// The passes, in each of which the surfaces that are open at a time take at most `room` bytes; one that is larger by itself has
/// a pass of its own.
pub(super) fn passes(objects: &BTreeMap<u32, Found>, grid: &Grid, room: u64) -> Vec<Pass> {
    let mut waiting: Vec<(u32, Found)> = objects.iter().map(|(&id, &found)| (id, found)).collect();
    waiting.sort_by_key(|(id, found)| (grid.batches(found), *id));
    let mut passes = Vec::new();
    while !waiting.is_empty() {
        let mut load = vec![0_u64; grid.blocks().div_ceil(grid.at_once) as usize];
        let mut pass =
            Pass { wanted: BTreeSet::new(), needed: vec![false; grid.blocks() as usize], whole_after: BTreeMap::new() };
        waiting.retain(|(id, found)| {
            let (first, last) = grid.batches(found);
            let (open, bytes) = (&mut load[first as usize..=last as usize], found.corners * OPEN_BYTES);
            let most = open.iter().copied().max().unwrap_or(0);
            if most + bytes > room && !pass.wanted.is_empty() {
                return true;
            }
            for load in open.iter_mut() {
                *load += bytes;
            }
            pass.wanted.insert(*id);
            pass.whole_after.entry(last).or_default().push(*id);
            let [z, y, x] = grid.span(found);
            for (z, y) in (z.0..=z.1).flat_map(|z| (y.0..=y.1).map(move |y| (z, y))) {
                let row = grid.number([z, y, 0]);
                pass.needed[(row + x.0) as usize..=(row + x.1) as usize].fill(true);
            }
            false
        });
        passes.push(pass);
    }
    passes
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, Region};

    #[test]
    fn passes_hold_every_object_once_within_the_room() {
        let walk = Walk {
            region: Region::whole(Extent::new(8, 8, 30)),
            block: Extent::new(4, 8, 10),
            halo: Extent::new(1, 1, 1),
            at_once: 2,
        };
        let grid = Grid::new(&walk);
        let at = |low, high, corners| Found { voxels: 1, corners, low, high };
        let objects: BTreeMap<u32, Found> = [
            (1, at([0, 0, 0], [0, 0, 0], 10)),
            (2, at([0, 0, 10], [3, 7, 29], 10)),
            (7, at([5, 5, 25], [5, 5, 25], 10)),
            (9, at([0, 0, 0], [7, 7, 29], 30)),
        ]
        .into();
        // Object 2 begins in the cell before its first voxel, in the first block.
        assert_eq!(grid.batches(&objects[&2]), (0, 1));
        let all = passes(&objects, &grid, u64::MAX);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].whole_after, [(0, vec![1]), (1, vec![2]), (2, vec![9, 7])].into());
        let few = passes(&objects, &grid, 20 * OPEN_BYTES);
        let wanted: Vec<Vec<u32>> = few.iter().map(|pass| pass.wanted.iter().copied().collect()).collect();
        assert_eq!(wanted, [vec![1, 2, 7], vec![9]]);
        assert_eq!(few[0].needed, [true, true, true, false, false, true]);
    }
}
