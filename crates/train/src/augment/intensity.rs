//! Changes of grey values.

use crate::augment::field;
use crate::patch::Patch;
use crate::random::Stream;

/// The range of normalised grey values that [`gamma`] maps onto itself: where nearly all values of a micrograph lie.
const RANGE: (f32, f32) = (-1.5, 1.5);

/// value · `gain` + `shift`
pub fn linear(values: &mut [f32], gain: f64, shift: f64) {
    let (gain, shift) = (gain as f32, shift as f32);
    for value in values {
        *value = *value * gain + shift;
    }
}

/// Raises grey values, scaled to 0…1 over −1.5…1.5, to a power: mid tones become lighter or darker, ends stay.
pub fn gamma(values: &mut [f32], power: f64) {
    let (low, span) = (RANGE.0, RANGE.1 - RANGE.0);
    let power = power as f32;
    for value in values {
        let share = ((*value - low) / span).clamp(1e-4, 1.2);
        *value = share.powf(power) * span + low;
    }
}

/// Brightness and contrast that change slowly across the patch, as with uneven staining or charging; the same in all
/// sections.
pub fn shading(patch: &mut Patch, strength: f64, random: &mut Stream) {
    let side = patch.side;
    let knots = 2 + random.below(4) as usize;
    let gain = field::smooth(side, knots, random);
    let shift = field::smooth(side, knots, random);
    let strength = strength as f32;
    for section in patch.sections_mut() {
        for ((value, g), s) in section.iter_mut().zip(&gain).zip(&shift) {
            *value = *value * (1.0 + 0.5 * strength * g) + strength * s;
        }
    }
}

/// Labelled objects become brighter or darker than they are, so that the network does not go by a grey value that staining
/// gave to a few of them: other cells of the same volume have darker mitochondria.
///
/// The labels are those of the middle section; its neighbours are changed alike.
pub fn object_tone(patch: &mut Patch, strength: f64, random: &mut Stream) {
    let side = patch.side;
    let shift = field::smooth(side, 2 + random.below(3) as usize, random);
    let target = patch.target.clone();
    for section in patch.sections_mut() {
        for ((value, s), t) in section.iter_mut().zip(&shift).zip(&target) {
            *value += strength as f32 * s * t;
        }
    }
}

/// Gaussian blur of standard deviation `sigma` pixels (7 × 7, mirrored at the border); with `sharpen` the difference to
/// the blurred section is added that many times instead (unsharp mask).
pub fn blur(section: &mut [f32], side: usize, sigma: f64, sharpen: Option<f64>) {
    const RADIUS: isize = 3;
    let mut kernel: Vec<f32> = (-RADIUS..=RADIUS).map(|d| (-0.5 * (d as f64 / sigma).powi(2)).exp() as f32).collect();
    let sum: f32 = kernel.iter().sum();
    for weight in &mut kernel {
        *weight /= sum;
    }
    let at = |i: isize| crate::sampler::mirror(i as i64, side as u64) as usize;
    let across: Vec<f32> = section
        .chunks_exact(side)
        .flat_map(|row| {
            (0..side as isize)
                .map(|x| kernel.iter().zip(-RADIUS..).map(|(w, d)| w * row[at(x + d)]).sum::<f32>())
                .collect::<Vec<_>>()
        })
        .collect();
    for y in 0..side as isize {
        let rows: Vec<&[f32]> = (-RADIUS..=RADIUS).map(|d| &across[at(y + d) * side..][..side]).collect();
        for (x, value) in section[y as usize * side..][..side].iter_mut().enumerate() {
            let blurred: f32 = kernel.iter().zip(&rows).map(|(w, row)| w * row[x]).sum();
            *value = match sharpen {
                None => blurred,
                Some(times) => *value + times as f32 * (*value - blurred),
            };
        }
    }
}

/// Blanks one to three boxes (a sixteenth to a fifth of the side) in all sections, so that the network uses the
/// surroundings too.
pub fn cutout(patch: &mut Patch, random: &mut Stream) {
    let side = patch.side;
    for _ in 0..=random.below(3) {
        let size = (side / 16).max(1) + random.below((side / 5 - side / 16).max(1) as u64) as usize;
        let (y, x) = (random.below((side - size) as u64) as usize, random.below((side - size) as u64) as usize);
        let grey = random.around_zero(1.0) as f32;
        for section in patch.sections_mut() {
            for row in section.chunks_exact_mut(side).skip(y).take(size) {
                row[x..x + size].fill(grey);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(frames: usize, side: usize) -> Patch {
        let image = (0..frames * side * side).map(|i| ((i * 37 % 101) as f32 - 50.0) / 60.0).collect();
        Patch { frames, side, image, target: vec![0.0; side * side], known: vec![1.0; side * side] }
    }

    #[test]
    fn gamma_of_one_changes_nothing_and_keeps_order_otherwise() {
        let mut values = vec![-1.2, -0.5, 0.0, 1.0, 1.4];
        let before = values.clone();
        gamma(&mut values, 1.0);
        assert!(values.iter().zip(&before).all(|(a, b)| (a - b).abs() < 1e-5));
        gamma(&mut values, 1.3);
        assert!(values.is_sorted());
    }

    #[test]
    fn blur_keeps_a_flat_section_and_the_mean_and_lowers_the_variance() {
        let mut flat = vec![0.7; 256];
        blur(&mut flat, 16, 1.0, None);
        assert!(flat.iter().all(|v| (v - 0.7).abs() < 1e-5));
        let mut p = patch(1, 32);
        let spread = |v: &[f32]| v.iter().map(|x| x * x).sum::<f32>();
        let before = spread(&p.image);
        blur(&mut p.image, 32, 1.0, None);
        assert!(spread(&p.image) < before);
        let mut sharp = patch(1, 32);
        blur(&mut sharp.image, 32, 1.0, Some(0.5));
        assert!(spread(&sharp.image) > before);
    }

    #[test]
    fn objects_change_their_tone_and_all_else_stays() {
        let mut p = patch(3, 64);
        let before = p.clone();
        p.target[64..128].fill(1.0);
        object_tone(&mut p, 0.2, &mut Stream::of(&[2]));
        let moved = |range: std::ops::Range<usize>| range.filter(|&i| p.image[i] != before.image[i]).count();
        assert_eq!((moved(0..64), moved(128..4096)), (0, 0));
        assert!(moved(64..128) > 60 && moved(4096 + 64..4096 + 128) > 60);
        let largest = (0..p.image.len()).map(|i| (p.image[i] - before.image[i]).abs()).fold(0.0, f32::max);
        assert!(largest < 0.2 * 5.0, "{largest}");
    }

    #[test]
    fn boxes_are_blanked_in_every_section() {
        let mut p = patch(3, 64);
        let before = p.clone();
        cutout(&mut p, &mut Stream::of(&[1]));
        let changed = |k: usize| -> Vec<bool> {
            (0..64 * 64).map(|i| p.image[k * 4096 + i] != before.image[k * 4096 + i]).collect()
        };
        assert!(changed(0).iter().filter(|c| **c).count() >= 16);
        assert_eq!(changed(0).len(), changed(2).len());
        assert_eq!(p.target, before.target);
    }
}
