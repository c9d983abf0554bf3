//! The surfaces of all objects in a block.

use std::collections::{BTreeSet, HashMap};

use super::lattice::Lattice;
use super::table::TABLE;

/// The part of an object's surface in one block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// The object.
    pub(super) id: u32,
    /// Corners: numbers of lattice edges of the region (see [`edge_number`]), each once.
    pub(super) corners: Vec<u64>,
    /// Triangles of corners by their place in `corners`, counter-clockwise seen from outside in (x, y, z).
    pub(super) triangles: Vec<[u32; 3]>,
}

/// The number of the lattice edge from a point (z, y, x) along an axis (x 0, y 1, z 2), in a region of so many points.
pub(super) const fn edge_number(points: [u64; 3], [z, y, x]: [u64; 3], axis: u64) -> u64 {
    ((z * points[1] + y) * points[2] + x) * 3 + axis
}

/// The point (z, y, x) and axis of a numbered edge.
pub(super) const fn edge_place(points: [u64; 3], edge: u64) -> ([u64; 3], u64) {
    let point = edge / 3;
    ([point / (points[1] * points[2]), point / points[2] % points[1], point % points[2]], edge % 3)
}

/// Which labels are objects to work on, and their places in a list of those met.
pub(super) struct Met<'a> {
    wanted: Option<&'a BTreeSet<u32>>,
    places: HashMap<u32, u32>,
    /// The last label met with these lowest bits, and its place: neighbours are mostly the same few labels.
    recent: [(u32, u32); 64],
    /// Labels in the order of their places.
    pub(super) labels: Vec<u32>,
}

/// The place of a label that is no object to work on.
const UNWANTED: u32 = u32::MAX;

impl<'a> Met<'a> {
    /// None met; with a set, only those in it are wanted.
    pub(super) fn new(wanted: Option<&'a BTreeSet<u32>>) -> Self {
        Self { wanted, places: HashMap::new(), recent: [(0, UNWANTED); 64], labels: Vec::new() }
    }

    /// The place of a label, a new one at its first time; `None` for background and labels that are not wanted.
    pub(super) fn place(&mut self, label: u32) -> Option<usize> {
        let recent = self.recent[label as usize % 64];
        if recent.0 == label {
            return (recent.1 != UNWANTED).then_some(recent.1 as usize);
        }
        let wanted = label != 0 && self.wanted.is_none_or(|wanted| wanted.contains(&label));
        let place = if wanted {
            *self.places.entry(label).or_insert_with(|| {
                self.labels.push(label);
                self.labels.len() as u32 - 1
            })
        } else {
            UNWANTED
        };
        self.recent[label as usize % 64] = (label, place);
        wanted.then_some(place as usize)
    }
}

/// Corners made so far at the edges of two layers of points: for each point the edges along x, y and z, for each of these one
/// for the object at its lower and one for that at its upper end.
struct Layers {
    /// When an entry was made (z + 1), and the corner's place in its piece.
    made: [Vec<[(u32, u32); 6]>; 2],
    width: usize,
}

impl Layers {
    fn new(points: [usize; 3]) -> Self {
        let layer = vec![[(0, 0); 6]; points[1] * points[2]];
        Self { made: [layer.clone(), layer], width: points[2] }
    }

    /// The entry for an edge from point (z, y, x), and what it says when it is of this layer.
    fn entry(&mut self, [z, y, x]: [usize; 3], edge: usize) -> (&mut (u32, u32), u32) {
        (&mut self.made[z % 2][y * self.width + x][edge], z as u32 + 1)
    }
}

/// The surfaces in a block, by object in the order in which they are met. `points` is the region's lattice.
pub(super) fn extract(lattice: &Lattice, points: [u64; 3], wanted: Option<&BTreeSet<u32>>) -> Vec<Piece> {
    let table = &*TABLE;
    let mut met = Met::new(wanted);
    let mut layers = Layers::new(lattice.points);
    let mut pieces: Vec<Piece> = Vec::new();
    lattice.mixed_cells(|z, y, x| {
        let corners = lattice.corners(z, y, x);
        for (i, &label) in corners.iter().enumerate() {
            if corners[..i].contains(&label) {
                continue;
            }
            let Some(place) = met.place(label) else { continue };
            if place == pieces.len() {
                pieces.push(Piece { id: label, corners: Vec::new(), triangles: Vec::new() });
            }
            let piece = &mut pieces[place];
            let case = corners.iter().rev().fold(0_u8, |case, &corner| case << 1 | u8::from(corner == label));
            for triangle in table.of(case) {
                let triangle = triangle.map(|edge| {
                    let edge = table.edges[usize::from(edge)];
                    let at = [z + (edge.low >> 2), y + (edge.low >> 1 & 1), x + (edge.low & 1)];
                    let upper = usize::from(case >> edge.low & 1 == 0);
                    let (entry, made) = layers.entry(at, 2 * edge.axis + upper);
                    if entry.0 != made {
                        let at = std::array::from_fn(|i| lattice.origin[i] + at[i] as u64);
                        piece.corners.push(edge_number(points, at, edge.axis as u64));
                        *entry = (made, piece.corners.len() as u32 - 1);
                    }
                    entry.1
                });
                piece.triangles.push(triangle);
            }
        }
    });
    pieces
}
