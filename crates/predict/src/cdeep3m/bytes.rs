//! From probabilities to the reference's bytes.
//!
//! Each package's probabilities are saved as 16-bit PNG by Octave, which cuts off and does not round. When packages are
//! joined, a plane is divided by the power of two that is nearest to its brightest pixel: planes of different
//! brightness have different scales. The ensemble is the mean of the models' bytes. Source: `merge_16_probs_v3.m`,
//! `Merge_LargeData.m`, `EnsemblePredictions.m`, Octave's `imwrite`.

/// A probability as Octave writes it into a 16-bit PNG: first as 32 bits, rounded, then cut off to 16.
pub(crate) fn to_16_bits(probability: f64) -> u16 {
    let wide = (probability.clamp(0.0, 1.0) * f64::from(u32::MAX)).round();
    (wide / 65537.0) as u16
}

/// A joined plane as 8 bits.
pub(crate) fn plane_to_8_bits(plane: &[u16]) -> Vec<u8> {
    let brightest = plane.iter().copied().max().map_or(0.0, f32::from);
    let distance = |k: &i32| (2_f32.powi(*k) - brightest).abs();
    // The first of two that are equally near.
    let nearest = (1..=16).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(16);
    let scale = 255.0 / 2_f32.powi(nearest);
    plane.iter().map(|&value| (scale * f32::from(value)).round() as u8).collect()
}

/// The mean of several models' bytes, halves rounded up.
pub(crate) fn mean(planes: &[Vec<u8>]) -> Vec<u8> {
    let Some(first) = planes.first() else { return Vec::new() };
    let count = planes.len() as f64;
    let mean = |i: usize| (planes.iter().map(|plane| f64::from(plane[i])).sum::<f64>() / count).round() as u8;
    (0..first.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bits_are_cut_off() {
        assert_eq!([0.0, 1.0, 0.5, 1.9 / 65535.0, -1.0, 2.0].map(to_16_bits), [0, 65535, 32767, 1, 0, 65535]);
    }

    #[test]
    fn a_plane_is_scaled_by_a_power_of_two() {
        // 65,535 is nearest to 65,536.
        assert_eq!(plane_to_8_bits(&[0, 32768, 65535]), [0, 128, 255]);
        // Half as bright: nearest to 32,768, so twice as bright afterwards.
        assert_eq!(plane_to_8_bits(&[0, 16384, 30000]), [0, 128, 233]);
        assert_eq!(plane_to_8_bits(&[40000]), [255], "40,000 is nearer to 32,768: beyond white");
        assert_eq!(plane_to_8_bits(&[0, 0]), [0, 0]);
        assert_eq!(plane_to_8_bits(&[]), Vec::<u8>::new());
    }

    #[test]
    fn the_ensemble_is_the_mean_of_bytes() {
        assert_eq!(mean(&[vec![10, 0], vec![11, 1], vec![11, 0]]), [11, 0]);
        assert_eq!(mean(&[vec![10], vec![11]]), [11]);
        assert_eq!(mean(&[]), Vec::<u8>::new());
    }
}
