//! Smooth random fields: normal deviates on a coarse grid, joined by cubic splines.

use crate::random::Stream;

/// A smooth field over `side` × `side` pixels, of standard deviation near 1, from `knots` × `knots` deviates.
///
/// # Panics
/// If there are fewer than 2 knots.
pub fn smooth(side: usize, knots: usize, random: &mut Stream) -> Vec<f32> {
    assert!(knots >= 2, "a field needs two knots per axis");
    let grid: Vec<f32> = (0..knots * knots).map(|_| random.normal() as f32).collect();
    let taps = taps(side, knots);
    // Columns first, on the few rows of the grid; then rows.
    let wide: Vec<f32> = grid
        .chunks_exact(knots)
        .flat_map(|row| taps.iter().map(|(at, w)| (0..4).map(|k| row[at[k]] * w[k]).sum::<f32>()))
        .collect();
    let mut field = Vec::with_capacity(side * side);
    for (at, w) in &taps {
        let rows: [&[f32]; 4] = std::array::from_fn(|k| &wide[at[k] * side..][..side]);
        field.extend((0..side).map(|x| (0..4).map(|k| rows[k][x] * w[k]).sum::<f32>()));
    }
    field
}

/// For each pixel the four knots around it and their weights (Catmull–Rom; the ends repeated). The outermost pixels
/// lie on the outermost knots.
fn taps(side: usize, knots: usize) -> Vec<([usize; 4], [f32; 4])> {
    let last = knots as isize - 1;
    (0..side)
        .map(|pixel| {
            let at = pixel as f32 * last as f32 / (side.max(2) - 1) as f32;
            let first = (at.floor() as isize).min(last - 1);
            let t = at - first as f32;
            let knot = |k: isize| (first + k).clamp(0, last) as usize;
            let (t2, t3) = (t * t, t * t * t);
            let weights = [
                0.5 * (-t3 + 2.0 * t2 - t),
                0.5 * (3.0 * t3 - 5.0 * t2 + 2.0),
                0.5 * (-3.0 * t3 + 4.0 * t2 + t),
                0.5 * (t3 - t2),
            ];
            ([knot(-1), knot(0), knot(1), knot(2)], weights)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_smooth_and_passes_through_its_knots() {
        let (side, knots) = (61, 7);
        let field = smooth(side, knots, &mut Stream::of(&[3]));
        let mut again = Stream::of(&[3]);
        for y in 0..knots {
            for x in 0..knots {
                let knot = again.normal() as f32;
                assert!((field[y * 10 * side + x * 10] - knot).abs() < 1e-5);
            }
        }
        let steepest = field.windows(2).enumerate().filter(|(i, _)| (i + 1) % side != 0);
        assert!(steepest.map(|(_, w)| (w[1] - w[0]).abs()).fold(0.0, f32::max) < 1.0, "no jumps between pixels");
    }
}
