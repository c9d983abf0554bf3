//! A lattice of cubic cells over all of space; each may hold one object. What lies in a box is found by asking the cells
//! around it, so a block needs to know nothing of other blocks.

use crate::vector::{Bounds, Vec3};

/// A cell of the lattice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Cell {
    pub(crate) z: i64,
    pub(crate) y: i64,
    pub(crate) x: i64,
}

/// The items of a box of cells.
#[derive(Debug)]
pub(crate) struct Grid<T> {
    pitch: f64,
    low: Cell,
    size: Cell,
    items: Vec<T>,
}

impl Cell {
    /// The cell that holds a place.
    pub(crate) fn holding(p: Vec3, pitch: f64) -> Self {
        Self { z: (p.z / pitch).floor() as i64, y: (p.y / pitch).floor() as i64, x: (p.x / pitch).floor() as i64 }
    }

    /// Its corner with the smallest coordinates.
    pub(crate) fn corner(self, pitch: f64) -> Vec3 {
        Vec3::new(self.z as f64 * pitch, self.y as f64 * pitch, self.x as f64 * pitch)
    }
}

impl<T> Grid<T> {
    /// Makes the items of all cells that meet a box, and of `ring` more cells on each side.
    pub(crate) fn over(bounds: Bounds, pitch: f64, ring: i64, mut make: impl FnMut(Cell) -> T) -> Self {
        let (a, b) = (Cell::holding(bounds.low, pitch), Cell::holding(bounds.high, pitch));
        let low = Cell { z: a.z - ring, y: a.y - ring, x: a.x - ring };
        let size = Cell { z: b.z + ring + 1 - low.z, y: b.y + ring + 1 - low.y, x: b.x + ring + 1 - low.x };
        let mut items = Vec::new();
        for z in low.z..low.z + size.z {
            for y in low.y..low.y + size.y {
                for x in low.x..low.x + size.x {
                    items.push(make(Cell { z, y, x }));
                }
            }
        }
        Self { pitch, low, size, items }
    }

    pub(crate) fn items(&self) -> &[T] {
        &self.items
    }

    pub(crate) fn into_items(self) -> Vec<T> {
        self.items
    }

    /// Whether a cell is at least `ring` cells from the border.
    pub(crate) fn is_inner(&self, i: usize, ring: i64) -> bool {
        let c = self.place(i);
        let inner = |c: i64, size: i64| c >= ring && c < size - ring;
        inner(c.z, self.size.z) && inner(c.y, self.size.y) && inner(c.x, self.size.x)
    }

    fn place(&self, i: usize) -> Cell {
        let i = i as i64;
        Cell { z: i / (self.size.y * self.size.x), y: i / self.size.x % self.size.y, x: i % self.size.x }
    }

    /// The numbers of the items at most `ring` cells from item `i`, itself included.
    pub(crate) fn around_item(&self, i: usize, ring: i64) -> impl Iterator<Item = usize> + use<T> {
        let c = self.place(i);
        self.around_place(c, ring)
    }

    /// The numbers of the items at most `ring` cells from the cell that holds `p`.
    pub(crate) fn around(&self, p: Vec3, ring: i64) -> impl Iterator<Item = usize> + use<T> {
        let c = Cell::holding(p, self.pitch);
        self.around_place(Cell { z: c.z - self.low.z, y: c.y - self.low.y, x: c.x - self.low.x }, ring)
    }

    fn around_place(&self, c: Cell, ring: i64) -> impl Iterator<Item = usize> + use<T> {
        let size = self.size;
        let span = |c: i64, n: i64| (c - ring).clamp(0, n)..(c + ring + 1).clamp(0, n);
        let (ys, xs) = (span(c.y, size.y), span(c.x, size.x));
        span(c.z, size.z).flat_map(move |z| {
            let xs = xs.clone();
            ys.clone().flat_map(move |y| xs.clone().map(move |x| ((z * size.y + y) * size.x + x) as usize))
        })
    }
}

impl<T> Grid<Option<T>> {
    /// Empties cells.
    pub(crate) fn clear(&mut self, cells: &[usize]) {
        for &i in cells {
            self.items[i] = None;
        }
    }
}
