//! A mesh cut at the planes of a grid, without gaps.

use std::collections::{BTreeMap, HashMap};

use crate::mesh::Mesh;

/// A mesh whose triangles lie in one cell of the grid each.
pub(super) struct Cut {
    /// Corners in cells of the grid: 0 is the grid's origin, 1 the first plane.
    pub(super) places: Vec<[f64; 3]>,
    pub(super) triangles: Vec<[u32; 3]>,
}

impl Cut {
    /// A mesh on a grid with its origin and size of cells in nm, cut at the planes 1 to `cells` − 1 along each axis.
    ///
    /// An edge is cut in the same place for both its triangles, so the pieces fit.
    pub(super) fn new(mesh: &Mesh, origin: [f64; 3], cell: [f64; 3], cells: u32) -> Self {
        let place = |p: &[f32; 3]| -> [f64; 3] {
            std::array::from_fn(|i| ((f64::from(p[i]) - origin[i]) / cell[i]).clamp(0.0, f64::from(cells)))
        };
        let mut cut = Self { places: mesh.places.iter().map(place).collect(), triangles: mesh.triangles.clone() };
        for axis in 0..3 {
            cut.along(axis);
        }
        cut
    }

    /// Cuts at the planes across an axis.
    fn along(&mut self, axis: usize) {
        let mut made: HashMap<(u32, u32, u32), u32> = HashMap::new();
        let mut waiting = std::mem::take(&mut self.triangles);
        let mut done = Vec::with_capacity(waiting.len());
        while let Some(triangle) = waiting.pop() {
            let at = triangle.map(|corner| self.places[corner as usize][axis]);
            let low = at.iter().fold(f64::INFINITY, |low, &v| low.min(v));
            let high = at.iter().fold(0.0_f64, |high, &v| high.max(v));
            // The first plane above the lowest corner.
            let plane = low.floor() + 1.0;
            if plane >= high {
                done.push(triangle);
                continue;
            }
            // Walk around: corners below and above, and where the edges cross.
            let (mut below, mut above) = (Vec::with_capacity(4), Vec::with_capacity(4));
            for i in 0..3 {
                let (a, b) = (triangle[i], triangle[(i + 1) % 3]);
                let (from, to) = (at[i] - plane, at[(i + 1) % 3] - plane);
                if from <= 0.0 {
                    below.push(a);
                }
                if from >= 0.0 {
                    above.push(a);
                }
                if from * to < 0.0 {
                    let corner = *made.entry((a.min(b), a.max(b), plane as u32)).or_insert_with(|| {
                        let (p, q) = (self.places[a.min(b) as usize], self.places[a.max(b) as usize]);
                        let share = (plane - p[axis]) / (q[axis] - p[axis]);
                        let mut place: [f64; 3] = std::array::from_fn(|i| p[i] + share * (q[i] - p[i]));
                        place[axis] = plane;
                        self.places.push(place);
                        self.places.len() as u32 - 1
                    });
                    below.push(corner);
                    above.push(corner);
                }
            }
            // The part below is in one layer; what is above may reach further.
            done.extend(fan(&below));
            waiting.extend(fan(&above));
        }
        self.triangles = done;
    }

    /// The triangles by the cell (x, y, z), at most `last`, of a grid `coarser` times as wide in which they lie.
    pub(super) fn by_cell(&self, coarser: u32, last: u32) -> BTreeMap<ZOrder, Vec<[u32; 3]>> {
        let mut cells: BTreeMap<ZOrder, Vec<[u32; 3]>> = BTreeMap::new();
        for &triangle in &self.triangles {
            let cell = std::array::from_fn(|i| {
                // The middle is inside the cell, but for triangles in a plane, which go to the cell after it.
                let sum: f64 = triangle.iter().map(|&corner| self.places[corner as usize][i]).sum();
                ((sum / 3.0 / f64::from(coarser)) as u32).min(last)
            });
            cells.entry(ZOrder(cell)).or_default().push(triangle);
        }
        cells
    }
}

fn fan(polygon: &[u32]) -> impl Iterator<Item = [u32; 3]> + '_ {
    polygon.windows(2).skip(1).map(|pair| [polygon[0], pair[0], pair[1]])
}

/// A cell (x, y, z), ordered along the Z curve: by the highest bit in which two differ, z before y before x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ZOrder(pub(super) [u32; 3]);

impl Ord for ZOrder {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let mut decides = 2;
        for i in [1, 0] {
            let (best, this) = (self.0[decides] ^ other.0[decides], self.0[i] ^ other.0[i]);
            // The highest bit of `this` is higher.
            if best < this && best < best ^ this {
                decides = i;
            }
        }
        self.0[decides].cmp(&other.0[decides])
    }
}

impl PartialOrd for ZOrder {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_follow_the_z_curve() {
        let mut cells: Vec<ZOrder> = (0..64).map(|i| ZOrder([i % 4, i / 4 % 4, i / 16])).collect();
        cells.sort();
        let number = |cell: &ZOrder| {
            (0..2).map(|bit| (0..3).map(|i| (cell.0[i] >> bit & 1) << (3 * bit + i as u32)).sum::<u32>()).sum::<u32>()
        };
        assert_eq!(cells.iter().map(number).collect::<Vec<_>>(), (0..64).collect::<Vec<_>>());
    }

    #[test]
    fn pieces_are_the_mesh_and_cross_no_plane() {
        // A tetrahedron from corner to corner of a grid of four cells a side, in part in its planes.
        let mesh = Mesh {
            places: vec![[10.0, 10.0, 10.0], [50.0, 10.0, 20.0], [20.0, 50.0, 30.0], [13.0, 17.0, 50.0]],
            triangles: vec![[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]],
        };
        let cut = Cut::new(&mesh, [10.0; 3], [10.0; 3], 4);
        let mut edges: HashMap<(u32, u32), i32> = HashMap::new();
        let mut volume = 0.0;
        for &triangle in &cut.triangles {
            let [a, b, c] = triangle.map(|corner| cut.places[corner as usize]);
            for i in 0..3 {
                let (low, high) = (a[i].min(b[i]).min(c[i]), a[i].max(b[i]).max(c[i]));
                assert!(high <= low.floor() + 1.0, "{a:?} {b:?} {c:?}");
                *edges.entry((triangle[i], triangle[(i + 1) % 3])).or_default() += 1;
            }
            volume += a[0] * (b[1] * c[2] - b[2] * c[1])
                + a[1] * (b[2] * c[0] - b[0] * c[2])
                + a[2] * (b[0] * c[1] - b[1] * c[0]);
        }
        for (&(a, b), &n) in &edges {
            assert_eq!((n, edges.get(&(b, a))), (1, Some(&1)), "closed as before");
        }
        let det = |u: [f64; 3], v: [f64; 3], w: [f64; 3]| {
            u[0] * (v[1] * w[2] - v[2] * w[1]) + u[1] * (v[2] * w[0] - v[0] * w[2]) + u[2] * (v[0] * w[1] - v[1] * w[0])
        };
        let whole = det([4.0, 0.0, 1.0], [1.0, 4.0, 2.0], [0.3, 0.7, 4.0]);
        assert!((volume - whole).abs() < 1e-5, "{volume} instead of {whole}");
        assert_eq!(cut.by_cell(1, 3).values().map(Vec::len).sum::<usize>(), cut.triangles.len());
        assert_eq!(cut.by_cell(4, 0).len(), 1);
    }
}
