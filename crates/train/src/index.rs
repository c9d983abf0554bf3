//! Where in a volume voxels of a kind lie, in little memory: counts per cell, so that one of them can be drawn with equal
//! chances without reading the volume.

use deep3m_volume::{Extent, Index, Region};

use crate::random::Stream;

/// At most so many cells; they grow with the volume.
const MOST_CELLS: u64 = 1 << 22;

/// Number of voxels of a kind in each cell of a section (square, all of one size).
#[derive(Clone, Debug)]
pub struct PlaceIndex {
    extent: Extent,
    side: u64,
    /// Counts of all cells while counting; afterwards empty.
    counts: Vec<u32>,
    /// Cells with any, and the number of voxels up to and with each.
    cells: Vec<(u32, u64)>,
}

impl PlaceIndex {
    /// An index of a volume of this size, without a voxel yet.
    pub fn new(extent: Extent) -> Self {
        let cells =
            |side: u64| extent.z.saturating_mul(extent.y.div_ceil(side)).saturating_mul(extent.x.div_ceil(side));
        let mut side = 16;
        while cells(side) > MOST_CELLS && side < extent.y.max(extent.x) {
            side *= 2;
        }
        // Volumes of more than four million sections keep a cell per section; no microscope makes them.
        Self { extent, side, counts: vec![0; cells(side).min(u64::from(u32::MAX)) as usize], cells: Vec::new() }
    }

    /// Counts a voxel.
    pub fn add(&mut self, at: Index) {
        let cell = self.cell(at);
        if let Some(count) = self.counts.get_mut(cell) {
            *count += 1;
        }
    }

    /// Ends counting.
    pub fn finish(&mut self) {
        let mut sum = 0;
        for (cell, count) in std::mem::take(&mut self.counts).into_iter().enumerate().filter(|(_, c)| *c > 0) {
            sum += u64::from(count);
            self.cells.push((cell as u32, sum));
        }
    }

    /// All voxels counted.
    pub fn total(&self) -> u64 {
        self.cells.last().map_or(0, |c| c.1)
    }

    /// Draws one of the counted voxels with equal chances: the cell that it lies in, and how many of the cell's come
    /// before it (row-major). `None` where there are none.
    pub fn draw(&self, random: &mut Stream) -> Option<(Region, u64)> {
        let total = self.total();
        if total == 0 {
            return None;
        }
        let number = random.below(total);
        let found = self.cells.partition_point(|&(_, sum)| sum <= number);
        let before = if found == 0 { 0 } else { self.cells[found - 1].1 };
        Some((self.region(self.cells[found].0), number - before))
    }

    fn per_axis(&self) -> (u64, u64) {
        (self.extent.y.div_ceil(self.side), self.extent.x.div_ceil(self.side))
    }

    fn cell(&self, at: Index) -> usize {
        let (down, across) = self.per_axis();
        ((at.z * down + at.y / self.side) * across + at.x / self.side) as usize
    }

    fn region(&self, cell: u32) -> Region {
        let (down, across) = self.per_axis();
        let cell = u64::from(cell);
        let start = Index::new(cell / (down * across), cell / across % down * self.side, cell % across * self.side);
        let size = |first: u64, limit: u64| self.side.min(limit - first);
        Region::new(start, Extent::new(1, size(start.y, self.extent.y), size(start.x, self.extent.x)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_voxel_is_drawn_equally_often_and_none_else() {
        let extent = Extent::new(3, 40, 50);
        let chosen: Vec<Index> = Region::whole(extent)
            .tiles(Extent::new(1, 1, 1))
            .map(|r| r.start)
            .filter(|i| (i.z * 7 + i.y * 3 + i.x * 5) % 61 == 0)
            .collect();
        let mut index = PlaceIndex::new(extent);
        for &at in &chosen {
            index.add(at);
        }
        index.finish();
        assert_eq!(index.total(), chosen.len() as u64);
        let mut random = Stream::of(&[1]);
        let mut drawn = std::collections::HashMap::new();
        let times = 100 * chosen.len();
        for _ in 0..times {
            let (cell, skip) = index.draw(&mut random).unwrap();
            let inside: Vec<Index> = chosen.iter().copied().filter(|i| cell.contains(*i)).collect();
            *drawn.entry(inside[skip as usize]).or_insert(0) += 1;
        }
        assert_eq!(drawn.len(), chosen.len());
        assert!(drawn.values().all(|&n| (55..=150).contains(&n)), "100 expected each: {:?}", drawn.values());
    }

    #[test]
    fn cells_grow_so_that_an_index_stays_small() {
        let index = PlaceIndex::new(Extent::new(1000, 30_000, 30_000));
        assert!(index.counts.len() as u64 <= MOST_CELLS);
    }
}
