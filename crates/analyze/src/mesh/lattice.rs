//! The labels of a block with one voxel beyond it, and where neighbouring labels differ.

use deep3m_volume::{Block, Extent, Index, Region, Voxels};

use crate::walk::Part;

/// Points of the voxel lattice: voxel (z, y, x) of the region is point (z + 1, y + 1, x + 1), and around all there is one layer
/// without an object, which closes the objects at the border.
///
/// A cell lies between a point and the next along each axis. Each belongs to one block: that of its lower corner, or the
/// first block where that is outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lattice {
    /// Labels of points, x fastest.
    pub(super) labels: Vec<u32>,
    /// Points along z, y, x.
    pub(super) points: [usize; 3],
    /// The first point in the region's lattice: z, y, x.
    pub(super) origin: [u64; 3],
}

impl Lattice {
    /// The points of a block's cells, from the block with what lies around it.
    pub(super) fn new(region: Region, part: Part, block: &Block) -> Self {
        let start = numbers(region.start);
        let (core, end) = (numbers(part.core.start), numbers(part.core.end()));
        let (around, extent) = (numbers(part.around.start), part.around.extent.to_array());
        let origin: [u64; 3] = std::array::from_fn(|i| if core[i] == start[i] { 0 } else { core[i] - start[i] + 1 });
        let points: [usize; 3] = std::array::from_fn(|i| (end[i] - start[i] + 2 - origin[i]) as usize);
        let mut lattice = Self { labels: vec![0; points.iter().product()], points, origin };
        // Voxels that are read and are points: from `first` (in `around`), `count` of them, at point `to`.
        let first: [u64; 3] = std::array::from_fn(|i| core[i] - around[i]);
        let count: [usize; 3] = std::array::from_fn(|i| (extent[i] - first[i]) as usize);
        let to: [usize; 3] = std::array::from_fn(|i| (core[i] - start[i] + 1 - origin[i]) as usize);
        for z in 0..count[0] {
            for y in 0..count[1] {
                let from = ((first[0] as usize + z) * extent[1] as usize + first[1] as usize + y) * extent[2] as usize
                    + first[2] as usize;
                let at = ((to[0] + z) * points[1] + to[1] + y) * points[2] + to[2];
                copy(&mut lattice.labels[at..at + count[2]], block.voxels(), from);
            }
        }
        lattice
    }

    /// Cells along z, y, x.
    pub(super) fn cells(&self) -> [usize; 3] {
        self.points.map(|n| n - 1)
    }

    /// The points of row (z, y).
    pub(super) fn row(&self, z: usize, y: usize) -> &[u32] {
        &self.labels[(z * self.points[1] + y) * self.points[2]..][..self.points[2]]
    }

    /// The labels at a cell's corners; corner bits are x, y, z.
    pub(super) fn corners(&self, z: usize, y: usize, x: usize) -> [u32; 8] {
        let at = (z * self.points[1] + y) * self.points[2] + x;
        let (up, over) = (self.points[2], self.points[1] * self.points[2]);
        let of = |i: usize| [self.labels[i], self.labels[i + 1]];
        let ([a, b], [c, d], [e, f], [g, h]) = (of(at), of(at + up), of(at + over), of(at + over + up));
        [a, b, c, d, e, f, g, h]
    }

    /// Every cell whose corners are not all of one label, in order.
    pub(super) fn mixed_cells(&self, mut visit: impl FnMut(usize, usize, usize)) {
        let [cells_z, cells_y, cells_x] = self.cells();
        for z in 0..cells_z {
            for y in 0..cells_y {
                let rows = [self.row(z, y), self.row(z, y + 1), self.row(z + 1, y), self.row(z + 1, y + 1)];
                let mut x = 0;
                while x + STEP <= cells_x {
                    let flags = differences(rows.map(|row| &row[x..=x + STEP]));
                    // Most stretches are all of one label.
                    if flags.iter().fold(0, |any, flag| any | flag) != 0 {
                        for (i, _) in flags.iter().enumerate().filter(|(_, flag)| **flag != 0) {
                            visit(z, y, x + i);
                        }
                    }
                    x += STEP;
                }
                for x in x..cells_x {
                    let label = rows[0][x];
                    if rows.iter().any(|row| row[x] != label || row[x + 1] != label) {
                        visit(z, y, x);
                    }
                }
            }
        }
    }
}

/// Cells that are compared at a time: as many as the processor compares at once.
const STEP: usize = 16;

/// Not 0 for each cell of a stretch whose corners differ.
fn differences([a, b, c, d]: [&[u32]; 4]) -> [u32; STEP] {
    let mut flags = [0; STEP];
    for (i, flag) in flags.iter_mut().enumerate() {
        let label = a[i];
        *flag = (label ^ a[i + 1])
            | (label ^ b[i])
            | (label ^ b[i + 1])
            | (label ^ c[i])
            | (label ^ c[i + 1])
            | (label ^ d[i])
            | (label ^ d[i + 1]);
    }
    flags
}

/// A place as (z, y, x).
pub(super) fn numbers(at: Index) -> [u64; 3] {
    [at.z, at.y, at.x]
}

fn copy(to: &mut [u32], voxels: &Voxels, from: usize) {
    match voxels {
        Voxels::U32(v) => to.copy_from_slice(&v[from..from + to.len()]),
        Voxels::U16(v) => to.iter_mut().zip(&v[from..]).for_each(|(to, &v)| *to = u32::from(v)),
        Voxels::U8(v) => to.iter_mut().zip(&v[from..]).for_each(|(to, &v)| *to = u32::from(v)),
        other => to.iter_mut().enumerate().for_each(|(i, to)| *to = other.get(from + i)),
    }
}

/// Points of a region's lattice along z, y, x; `None` where their edges cannot be numbered in 64 bits.
pub(super) fn lattice_points(extent: Extent) -> Option<[u64; 3]> {
    let points = extent.to_array().map(|n| n.checked_add(2));
    let [z, y, x] = [points[0]?, points[1]?, points[2]?];
    z.checked_mul(y)?.checked_mul(x)?.checked_mul(3)?;
    Some([z, y, x])
}
