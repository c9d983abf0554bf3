//! Random numbers that are derived, never stored: what a sample of a batch of an iteration looks like depends on the
//! seed and on those numbers alone, so a run that was stopped anywhere goes on as if it never was, and any thread may
//! make any sample.

use deep3m_volume::Variation;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// A stream of random numbers (ChaCha8: the same on every machine and in every version).
#[derive(Clone, Debug)]
pub struct Stream(ChaCha8Rng);

impl Stream {
    /// The stream of one purpose, named by its numbers (seed first).
    pub fn of(key: &[u64]) -> Self {
        let mixed = key.iter().fold(0x9e37_79b9_7f4a_7c15_u64, |state, &word| split_mix(state ^ split_mix(word)));
        Self(ChaCha8Rng::seed_from_u64(mixed))
    }

    /// Uniform in [0, 1), 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform between `low` and `high`.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Uniform in −`spread` … `spread`.
    pub fn around_zero(&mut self, spread: f64) -> f64 {
        self.between(-spread, spread)
    }

    /// `true` with the given probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A whole number below `limit`, all equally likely (Lemire's multiplication; its bias is below 2⁻⁶⁴ · `limit`).
    ///
    /// # Panics
    /// If `limit` is 0.
    pub fn below(&mut self, limit: u64) -> u64 {
        assert!(limit > 0, "a number below 0");
        ((u128::from(self.0.next_u64()) * u128::from(limit)) >> 64) as u64
    }

    /// Two standard normal deviates (Box and Muller 1958).
    pub fn normal_pair(&mut self) -> (f64, f64) {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * self.unit()).sin_cos();
        (radius * cosine, radius * sine)
    }

    /// A standard normal deviate.
    pub fn normal(&mut self) -> f64 {
        self.normal_pair().0
    }

    /// Adds normal noise of standard deviation `sigma`, a cheap approximation good to 4 deviations: the sum of the
    /// twelve 10-bit uniforms in two words (central limit theorem), an eighth of the cost of Box and Muller.
    pub fn add_noise(&mut self, values: &mut [f32], sigma: f32) {
        // Variance of a sum of 12 uniforms on 0…1023 is (1024² − 1), its mean 6138.
        let scale = sigma / 1024.0;
        for value in values {
            let (a, b) = (self.0.next_u64(), self.0.next_u64());
            let fields = |word: u64| (0..6).map(|i| (word >> (10 * i)) & 1023).sum::<u64>();
            *value += ((fields(a) + fields(b)) as f32 - 6138.0) * scale;
        }
    }
}

/// One of the 16 variations, all equally likely.
pub fn variation(random: &mut Stream) -> Variation {
    Variation::from_number(1 + random.below(16) as u8).unwrap_or(Variation::IDENTITY)
}

/// One step of SplitMix64 (Steele, Lea and Flood 2014): every bit of the output depends on every bit of the input.
const fn split_mix(word: u64) -> u64 {
    let mut z = word.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_keys_differ_and_of_the_same_agree() {
        let first = |key: &[u64]| Stream::of(key).below(u64::MAX);
        assert_eq!(first(&[1, 2, 3]), first(&[1, 2, 3]));
        let keys: Vec<Vec<u64>> = (0..5).flat_map(|a| (0..5).map(move |b| vec![a, b])).collect();
        let seen: std::collections::HashSet<u64> = keys.iter().map(|k| first(k)).collect();
        assert_eq!(seen.len(), keys.len(), "order and place of the numbers count");
    }

    #[test]
    fn moments_are_right() {
        let mut stream = Stream::of(&[7]);
        let n = 20_000;
        let uniform: Vec<f64> = (0..n).map(|_| stream.unit()).collect();
        let normal: Vec<f64> = (0..n).map(|_| stream.normal()).collect();
        let mut noise = vec![0.0_f32; n];
        stream.add_noise(&mut noise, 2.0);
        let noise: Vec<f64> = noise.into_iter().map(f64::from).collect();
        let moments = |v: &[f64]| {
            let mean = v.iter().sum::<f64>() / v.len() as f64;
            (mean, (v.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / v.len() as f64).sqrt())
        };
        for (values, mean, deviation) in [(uniform, 0.5, 12_f64.powf(-0.5)), (normal, 0.0, 1.0), (noise, 0.0, 2.0)] {
            let (m, d) = moments(&values);
            assert!((m - mean).abs() < 0.04 && (d - deviation).abs() < 0.04, "{m} {d}, expected {mean} {deviation}");
        }
    }
}
