//! The pieces of an object's surface put together, the same whatever the blocks.

use super::extract::Piece;

/// The surface of an object on the lattice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LatticeSurface {
    /// Corners by the number of their lattice edge, ascending.
    pub(super) corners: Vec<u64>,
    /// Triangles by places in `corners`, the least first in each, ascending.
    pub(super) triangles: Vec<[u32; 3]>,
}

/// Joins pieces: corners of the same lattice edge are one.
pub(super) fn assemble(pieces: Vec<Piece>) -> LatticeSurface {
    let total: usize = pieces.iter().map(|piece| piece.corners.len()).sum();
    let mut order: Vec<(u64, u32)> = Vec::with_capacity(total);
    for piece in &pieces {
        let from = order.len() as u32;
        order.extend(piece.corners.iter().zip(from..).map(|(&edge, place)| (edge, place)));
    }
    order.sort_unstable();
    let mut places = vec![0_u32; total];
    let mut corners: Vec<u64> = Vec::with_capacity(total);
    for (edge, old) in order {
        if corners.last() != Some(&edge) {
            corners.push(edge);
        }
        places[old as usize] = corners.len() as u32 - 1;
    }
    corners.shrink_to_fit();
    let mut from = 0;
    let mut all = Vec::with_capacity(pieces.iter().map(|piece| piece.triangles.len()).sum());
    for piece in pieces {
        all.extend(piece.triangles.iter().map(|t| least_first(t.map(|corner| places[from + corner as usize]))));
        from += piece.corners.len();
    }
    LatticeSurface { triangles: sorted(&all, corners.len()), corners }
}

fn least_first([a, b, c]: [u32; 3]) -> [u32; 3] {
    if a < b && a < c {
        [a, b, c]
    } else if b < c {
        [b, c, a]
    } else {
        [c, a, b]
    }
}

/// Triangles ascending: dealt out by their first corner, then each few sorted.
fn sorted(triangles: &[[u32; 3]], corners: usize) -> Vec<[u32; 3]> {
    let mut ends = vec![0_u32; corners + 1];
    for t in triangles {
        ends[t[0] as usize + 1] += 1;
    }
    for i in 0..corners {
        ends[i + 1] += ends[i];
    }
    let mut sorted = vec![[0; 3]; triangles.len()];
    let mut next = ends.clone();
    for &t in triangles {
        let place = &mut next[t[0] as usize];
        sorted[*place as usize] = t;
        *place += 1;
    }
    for i in 0..corners {
        sorted[ends[i] as usize..ends[i + 1] as usize].sort_unstable();
    }
    sorted
}
