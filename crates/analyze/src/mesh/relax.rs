//! Smoothing: the steps of the voxels go, the objects stay as large as they are.
//!
//! Each corner is drawn towards the mean of its neighbours and then pushed back a little further (Taubin, 1995), which
//! flattens steps and leaves longer waves; it never leaves the box of one voxel around the place where it started (as in
//! Gibson's constrained elastic surface nets, 1998). So the surface stays within half a voxel along each axis, and no thin process
//! is lost. The mean of neighbours is the same in voxels and in nanometres, also where sections are thick.

/// How far a corner may go along each axis, in voxels.
pub(super) const REACH: f32 = 0.5;
/// The share of the way to the neighbours' mean.
const DRAW: f32 = 0.5;
/// The share of the way back: 1 / (1 / [`DRAW`] − 0.1), for a pass band of 0.1.
const PUSH: f32 = -0.526;

/// Moves the corners (in voxels) of a closed surface, so many times to and fro.
pub(super) fn relax(places: &mut [[f32; 3]], triangles: &[[u32; 3]], times: u32) {
    let start = places.to_vec();
    let mut neighbours = vec![0.0_f32; places.len()];
    for &corner in triangles.as_flattened() {
        neighbours[corner as usize] += 1.0;
    }
    let mut sums = vec![[0.0_f32; 3]; places.len()];
    for share in (0..times).flat_map(|_| [DRAW, PUSH]) {
        sums.fill([0.0; 3]);
        // In a closed surface each edge is in two triangles, once in each direction.
        for &[a, b, c] in triangles {
            for (to, from) in [(a, b), (b, c), (c, a)] {
                let (sum, place) = (&mut sums[to as usize], places[from as usize]);
                *sum = [sum[0] + place[0], sum[1] + place[1], sum[2] + place[2]];
            }
        }
        for (((place, sum), &n), start) in places.iter_mut().zip(&sums).zip(&neighbours).zip(&start) {
            for i in 0..3 {
                let moved = place[i] + share * (sum[i] / n - place[i]);
                place[i] = moved.clamp(start[i] - REACH, start[i] + REACH);
            }
        }
    }
}
