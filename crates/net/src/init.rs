//! First weights: Caffe's fillers from a seed, the same on every device and in whatever order layers are made.

use crate::params::{ParamKind, ParamSpec};

/// Standard deviation of the first two convolutions' weights.
const GAUSSIAN_DEVIATION: f64 = 0.01;

/// `splitmix64` (Steele, Lea, Flood 2014): a 64-bit counter, well mixed.
pub(crate) struct SplitMix(u64);

impl SplitMix {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), 53 bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// FNV-1a of a text, 64 bits, with the offset that the reference's seeded weights use.
pub(crate) fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(1_469_598_103_934_665_603, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211))
}

/// The first values of a tensor: Gaussian (deviation 0.01) for the first two convolutions, else Xavier, uniform within
/// ±√(3 / (in · rows · columns)); biases and beta 0, gamma 1, statistics empty.
pub(crate) fn first_values(spec: &ParamSpec, seed: u64) -> Vec<f32> {
    let mut random = SplitMix::new(fnv1a(&spec.name.to_string()) ^ SplitMix::new(seed).next());
    let len = spec.len();
    match spec.name.kind {
        ParamKind::ConvWeight if spec.shape.len() == 5 => {
            (0..len).map(|_| (GAUSSIAN_DEVIATION * gaussian(&mut random)) as f32).collect()
        }
        ParamKind::ConvWeight => uniform(&mut random, len, spec.shape[1..].iter().product()),
        ParamKind::DeconvWeight => uniform(&mut random, len, spec.shape[0] * spec.shape[2] * spec.shape[3]),
        ParamKind::Gamma => vec![1.0; len],
        _ => vec![0.0; len],
    }
}

fn uniform(random: &mut SplitMix, len: usize, fan_in: usize) -> Vec<f32> {
    let limit = (3.0 / fan_in as f64).sqrt();
    (0..len).map(|_| (limit * (2.0 * random.unit() - 1.0)) as f32).collect()
}

/// Box and Muller's transform of two uniform numbers.
fn gaussian(random: &mut SplitMix) -> f64 {
    let radius = (-2.0 * (1.0 - random.unit()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.unit()).cos()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frames, NetConfig};

    #[test]
    fn fillers_have_the_spread_they_claim() {
        let config = NetConfig::with_width(Frames::Three, 0.5).unwrap();
        for spec in config.parameters() {
            let values = first_values(&spec, 7);
            assert_eq!(values, first_values(&spec, 7));
            let n = values.len() as f64;
            let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / n;
            let deviation = (values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / n).sqrt();
            let expected = match spec.name.kind {
                ParamKind::ConvWeight if spec.shape.len() == 5 => 0.01,
                ParamKind::ConvWeight => (1.0 / spec.shape[1..].iter().product::<usize>() as f64).sqrt(),
                ParamKind::DeconvWeight => (1.0 / (spec.shape[0] * spec.shape[2] * spec.shape[3]) as f64).sqrt(),
                _ => 0.0,
            };
            if expected > 0.0 {
                assert_ne!(values, first_values(&spec, 8));
                assert!((deviation / expected - 1.0).abs() < 0.2, "{}: {deviation} of {expected}", spec.name);
                assert!(mean.abs() < 5.0 * expected / n.sqrt(), "{}: mean {mean}", spec.name);
            } else {
                assert_eq!(deviation, 0.0, "{}", spec.name);
            }
        }
    }
}
