//! What befalls single sections of a series: one is thicker or stained more, one is lost.

use crate::augment::intensity;
use crate::patch::Patch;
use crate::random::Stream;

/// Each section's brightness moves by ± `strength` and its contrast by exp(± half of it), independently.
pub fn jitter(patch: &mut Patch, strength: f64, random: &mut Stream) {
    for section in patch.sections_mut() {
        let gain = random.around_zero(0.5 * strength).exp();
        intensity::linear(section, gain, random.around_zero(strength));
    }
}

/// With the given probability one section other than the labelled one is lost: its neighbour towards the middle is
/// seen twice, as prediction does at the ends of a volume.
pub fn missing(patch: &mut Patch, probability: f64, random: &mut Stream) {
    let middle = patch.frames / 2;
    if patch.frames < 3 || !random.chance(probability) {
        return;
    }
    let mut lost = random.below(patch.frames as u64 - 1) as usize;
    if lost >= middle {
        lost += 1;
    }
    let seen = if lost < middle { lost + 1 } else { lost - 1 };
    let pixels = patch.side * patch.side;
    patch.image.copy_within(seen * pixels..(seen + 1) * pixels, lost * pixels);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_labelled_section_is_never_lost() {
        for seed in 0..50 {
            let image = (0..5).flat_map(|z| [z as f32; 4]).collect();
            let mut patch = Patch { frames: 5, side: 2, image, target: vec![0.0; 4], known: vec![1.0; 4] };
            missing(&mut patch, 1.0, &mut Stream::of(&[seed]));
            let seen: Vec<f32> = patch.image.chunks(4).map(|s| s[0]).collect();
            assert_eq!(seen[2], 2.0);
            assert_eq!(seen.iter().enumerate().filter(|(z, v)| *z as f32 != **v).count(), 1, "{seen:?}");
        }
    }
}
