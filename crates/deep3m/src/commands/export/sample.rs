//! A test image that every machine makes alike: smooth random grey at several scales, drifting from section to section.

/// Distances of the random values between which grey goes smoothly, in pixels, with their shares.
const SCALES: [(usize, f32); 4] = [(96, 0.4), (32, 0.3), (12, 0.2), (5, 0.1)];
/// The structures move by this many pixels from one section to the next.
const DRIFT: usize = 2;
/// How far apart the mean of several random values is drawn to use the whole range.
const CONTRAST: f32 = 2.0;

/// `sections` × `rows` × `columns` whole grey values from `low` to `high`.
pub(super) fn image(seed: u64, [sections, rows, columns]: [usize; 3], low: f32, high: f32) -> Vec<f32> {
    let mut values = Vec::with_capacity(sections * rows * columns);
    for z in 0..sections {
        for y in 0..rows {
            for x in 0..columns {
                let shares = SCALES.iter().enumerate().map(|(scale, &(distance, share))| {
                    share * smooth(seed + scale as u64, y + DRIFT * z, x + DRIFT * z, distance)
                });
                let grey = ((shares.sum::<f32>() - 0.5) * CONTRAST + 0.5).clamp(0.0, 1.0);
                values.push((low + grey * (high - low)).round());
            }
        }
    }
    values
}

/// Random values on a grid of `distance` pixels, and smooth between them; 0 to 1.
fn smooth(seed: u64, y: usize, x: usize, distance: usize) -> f32 {
    let at = |v: usize| {
        let t = (v % distance) as f32 / distance as f32;
        (v / distance, t * t * (3.0 - 2.0 * t))
    };
    let ((row, down), (column, across)) = (at(y), at(x));
    let mix = |a: f32, b: f32, t: f32| a + (b - a) * t;
    let upper = mix(random(seed, row, column), random(seed, row, column + 1), across);
    let lower = mix(random(seed, row + 1, column), random(seed, row + 1, column + 1), across);
    mix(upper, lower, down)
}

/// A number from 0 to 1 that seed and place decide (splitmix64's finalizer).
fn random(seed: u64, row: usize, column: usize) -> f32 {
    let mut z = (seed << 40 ^ (row as u64) << 20 ^ column as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 40) as f32 / (1_u64 << 24) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_uses_the_range_and_is_smooth() {
        let (rows, columns) = (200, 160);
        let a = image(1, [3, rows, columns], 20.0, 220.0);
        assert_eq!(a, image(1, [3, rows, columns], 20.0, 220.0));
        assert_ne!(a, image(2, [3, rows, columns], 20.0, 220.0));
        let (least, most) = a.iter().fold((f32::MAX, f32::MIN), |(l, m), &v| (l.min(v), m.max(v)));
        assert!(least >= 20.0 && most <= 220.0 && most - least > 150.0, "{least} to {most}");
        let steps = a.chunks(columns).flat_map(|row| row.windows(2).map(|w| (w[0] - w[1]).abs()));
        assert!(steps.fold(0.0, f32::max) < 50.0);
        // The next section is this one, moved.
        assert_eq!(a[(rows + 10) * columns + 10], a[12 * columns + 12]);
    }
}
