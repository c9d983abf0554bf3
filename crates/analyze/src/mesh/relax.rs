//! Smoothing: the steps of the voxels go, the objects stay as large as they are.
//!
//! Each corner is drawn towards the mean of its neighbours and then pushed back a little further (Taubin, 1995), which
//! flattens steps and leaves longer waves; it never leaves the box of one voxel around the place where it started (as in
//! Gibson's constrained elastic surface nets, 1998). So the surface stays within half a voxel along each axis, and no thin process
//! is lost. The mean of neighbours is the same in voxels and in nanometres, also where sections are thick.

/// How far a corner may go along each axis, in voxels. A little less than a half, so that two corners never end in one place: programs
/// that know corners by their places would join them.
const REACH: f32 = 0.49;
/// The share of the way to the neighbours' mean, and that of the way back: 1 / (1 / 0.6307 − 0.1), for a pass band of 0.1. Both as
/// Taubin has them.
const DRAW: f32 = 0.6307;
const PUSH: f32 = -0.6732;

/// A place, filled up to what a processor adds at once.
type Place = [f32; 4];

/// Moves the corners (in voxels) of a closed surface, so many times to and fro.
pub(super) fn relax(places: &mut [[f32; 3]], triangles: &[[u32; 3]], times: u32) {
    if times == 0 {
        return;
    }
    let neighbours = Neighbours::new(places.len(), triangles);
    let mut from: Vec<Place> = places.iter().map(|&[x, y, z]| [x, y, z, 0.0]).collect();
    let mut to = from.clone();
    for share in (0..times).flat_map(|_| [DRAW, PUSH]) {
        for (corner, ((to, place), start)) in to.iter_mut().zip(&from).zip(&*places).enumerate() {
            let around = neighbours.of(corner);
            let mut sum = [0.0; 4];
            for &other in around {
                let other = from[other as usize];
                sum = [sum[0] + other[0], sum[1] + other[1], sum[2] + other[2], sum[3] + other[3]];
            }
            let each = 1.0 / around.len() as f32;
            for i in 0..3 {
                let moved = place[i] + share * (sum[i] * each - place[i]);
                to[i] = moved.clamp(start[i] - REACH, start[i] + REACH);
            }
        }
        std::mem::swap(&mut from, &mut to);
    }
    for (place, [x, y, z, _]) in places.iter_mut().zip(from) {
        *place = [x, y, z];
    }
}

/// The neighbours of each corner, one list after the other.
struct Neighbours {
    ends: Vec<u32>,
    all: Vec<u32>,
}

impl Neighbours {
    /// In a closed surface each edge is in two triangles, once in each direction: so each corner finds each neighbour once.
    fn new(corners: usize, triangles: &[[u32; 3]]) -> Self {
        let mut ends = vec![0_u32; corners + 1];
        for &corner in triangles.as_flattened() {
            ends[corner as usize + 1] += 1;
        }
        for i in 0..corners {
            ends[i + 1] += ends[i];
        }
        let mut free = ends.clone();
        let mut all = vec![0; triangles.len() * 3];
        for &[a, b, c] in triangles {
            for (from, to) in [(a, b), (b, c), (c, a)] {
                let place = &mut free[from as usize];
                all[*place as usize] = to;
                *place += 1;
            }
        }
        Self { ends, all }
    }

    fn of(&self, corner: usize) -> &[u32] {
        &self.all[self.ends[corner] as usize..self.ends[corner + 1] as usize]
    }
}
