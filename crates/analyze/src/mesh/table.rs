//! How a surface goes through a cell of eight lattice points, for each of the 256 ways in which they can be inside.
//!
//! Marching cubes (Lorensen and Cline, 1987) with its table made from two rules, so that every surface is a closed
//! 2-manifold, whatever the voxels:
//! - on a face of a cell with two inside corners across from each other, the inside corners are kept apart. The rule knows the
//!   face alone, so both cells at a face agree, and two objects that touch along an edge never overlap;
//! - a polygon is cut into triangles along lines inside the cell only, never along one in a cell's face, which the neighbour
//!   might draw as well.
//!
//! Each lattice edge that the surface crosses then lies in four cells, each of which passes it once: the triangles around
//! such a corner are one fan.

use std::sync::LazyLock;

/// Corner `c` of a cell is at x = bit 0, y = bit 1, z = bit 2 of `c`.
pub(super) const CORNERS: usize = 8;

/// A lattice edge of a cell: along x (0), y (1) or z (2) from its lower corner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CellEdge {
    pub(super) axis: usize,
    pub(super) low: usize,
}

/// Edge, edge, edge: counter-clockwise seen from outside.
type Triangle = [u8; 3];

/// The triangles of every case. A case has bit `c` set where corner `c` is inside.
pub(super) struct Table {
    triangles: Vec<Triangle>,
    starts: [u16; 257],
    /// The twelve edges by number.
    pub(super) edges: [CellEdge; 12],
}

/// The one table.
pub(super) static TABLE: LazyLock<Table> = LazyLock::new(Table::new);

impl Table {
    fn new() -> Self {
        let edges = edges();
        let mut triangles = Vec::new();
        let mut starts = [0; 257];
        for case in 0..256 {
            for polygon in polygons(case, &edges) {
                let mut cut = best_cut(&polygon, &edges).map_or(Vec::new(), |(_, cut)| cut);
                triangles.append(&mut cut);
            }
            starts[case + 1] = triangles.len() as u16;
        }
        Self { triangles, starts, edges }
    }

    /// The triangles of a case.
    pub(super) fn of(&self, case: u8) -> &[Triangle] {
        let case = usize::from(case);
        &self.triangles[usize::from(self.starts[case])..usize::from(self.starts[case + 1])]
    }
}

fn edges() -> [CellEdge; 12] {
    let mut all = (0..3)
        .flat_map(|axis| (0..CORNERS).filter(move |low| low >> axis & 1 == 0).map(move |low| CellEdge { axis, low }));
    std::array::from_fn(|_| all.next().unwrap_or(CellEdge { axis: 0, low: 0 }))
}

/// The faces of a cell, each with its corners counter-clockwise seen from outside.
fn faces() -> [[usize; 4]; 6] {
    std::array::from_fn(|i| {
        let axis = i / 2;
        let (b, c) = (1 << ((axis + 1) % 3), 1 << ((axis + 2) % 3));
        if i % 2 == 0 { [0, c, b | c, b] } else { [0, b, b | c, c].map(|corner| corner | 1 << axis) }
    })
}

fn number(edges: &[CellEdge; 12], from: usize, to: usize) -> usize {
    let edge = CellEdge { axis: (from ^ to).trailing_zeros() as usize, low: from & to };
    edges.iter().position(|&e| e == edge).unwrap_or(0)
}

/// The closed lines in which the surface meets the faces of a cell, as edges in order.
fn polygons(case: usize, edges: &[CellEdge; 12]) -> Vec<Vec<usize>> {
    let inside = |corner: usize| case >> corner & 1 == 1;
    let mut next = [None; 12];
    for face in faces() {
        // Each run of inside corners around the face is cut off by one line.
        for first in (0..4).filter(|&i| inside(face[i]) && !inside(face[(i + 3) % 4])) {
            let mut last = first;
            while inside(face[(last + 1) % 4]) {
                last += 1;
            }
            let enters = number(edges, face[(first + 3) % 4], face[first]);
            let leaves = number(edges, face[last % 4], face[(last + 1) % 4]);
            next[enters] = Some(leaves);
        }
    }
    let mut polygons = Vec::new();
    for start in 0..12 {
        let mut polygon = Vec::new();
        let mut at = start;
        while let Some(following) = next[at].take() {
            polygon.push(at);
            at = following;
        }
        if !polygon.is_empty() {
            polygons.push(polygon);
        }
    }
    polygons
}

/// The triangles of a polygon with the least area in sum, among those whose lines are inside the cell.
fn best_cut(polygon: &[usize], edges: &[CellEdge; 12]) -> Option<(f64, Vec<Triangle>)> {
    let (&first, &last) = (polygon.first()?, polygon.last()?);
    if polygon.len() < 3 {
        return Some((0.0, Vec::new()));
    }
    let mut best: Option<(f64, Vec<Triangle>)> = None;
    for (i, &apex) in polygon.iter().enumerate().take(polygon.len() - 1).skip(1) {
        let in_face = |a: usize, b: usize| share_a_face(edges[a], edges[b]);
        if (i > 1 && in_face(first, apex)) || (i + 2 < polygon.len() && in_face(apex, last)) {
            continue;
        }
        let (Some((left, mut triangles)), Some((right, more))) =
            (best_cut(&polygon[..=i], edges), best_cut(&polygon[i..], edges))
        else {
            continue;
        };
        let total = left + right + area([first, apex, last].map(|edge| middle(edges[edge])));
        if best.as_ref().is_none_or(|(least, _)| total < *least - 1e-9) {
            triangles.extend(more);
            triangles.push([first as u8, apex as u8, last as u8]);
            best = Some((total, triangles));
        }
    }
    best
}

/// The middle of an edge in a cell of side 2: (x, y, z).
fn middle(edge: CellEdge) -> [f64; 3] {
    std::array::from_fn(|i| if i == edge.axis { 1.0 } else { 2.0 * (edge.low >> i & 1) as f64 })
}

fn share_a_face(a: CellEdge, b: CellEdge) -> bool {
    let (a, b) = (middle(a), middle(b));
    (0..3).any(|i| a[i] == b[i] && a[i] != 1.0)
}

fn area([a, b, c]: [[f64; 3]; 3]) -> f64 {
    let (u, v): ([f64; 3], [f64; 3]) = (std::array::from_fn(|i| b[i] - a[i]), std::array::from_fn(|i| c[i] - a[i]));
    let n = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
    n.iter().map(|n| n * n).sum::<f64>().sqrt() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_passes_each_crossed_edge_in_one_fan() {
        for case in 0..=255_u8 {
            let triangles = TABLE.of(case);
            for (number, edge) in TABLE.edges.iter().enumerate() {
                let inside = |corner: usize| case >> corner & 1;
                let crossed = inside(edge.low) != inside(edge.low | 1 << edge.axis);
                // A fan of k triangles around a corner at the rim has k + 1 spokes.
                let around: Vec<_> = triangles.iter().filter(|t| t.contains(&(number as u8))).collect();
                assert_eq!(crossed, !around.is_empty(), "case {case}, edge {number}");
                let mut spokes: Vec<u8> = around.iter().flat_map(|t| t.iter().copied()).collect();
                spokes.sort_unstable();
                spokes.dedup();
                assert!(!crossed || spokes.len() == around.len() + 2, "case {case}, edge {number}");
            }
        }
        assert!(TABLE.of(0).is_empty() && TABLE.of(255).is_empty());
    }

    #[test]
    fn lines_inside_a_cell_are_never_in_its_faces() {
        for case in 0..=255_u8 {
            let directed: Vec<(u8, u8)> =
                TABLE.of(case).iter().flat_map(|&[a, b, c]| [(a, b), (b, c), (c, a)]).collect();
            for &(a, b) in &directed {
                assert_eq!(directed.iter().filter(|&&e| e == (a, b)).count(), 1, "case {case}");
                if directed.contains(&(b, a)) {
                    let shared = share_a_face(TABLE.edges[usize::from(a)], TABLE.edges[usize::from(b)]);
                    assert!(!shared, "case {case}: {a} to {b}");
                }
            }
        }
    }

    #[test]
    fn a_corner_is_cut_off_with_its_normal_outwards() {
        let &[a, b, c] = &TABLE.of(1)[0];
        let [a, b, c] = [a, b, c].map(|edge| middle(TABLE.edges[usize::from(edge)]));
        let (u, v): ([f64; 3], [f64; 3]) = (std::array::from_fn(|i| b[i] - a[i]), std::array::from_fn(|i| c[i] - a[i]));
        let normal = [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
        assert!(normal.iter().all(|&n| n > 0.0), "{normal:?}");
    }
}
