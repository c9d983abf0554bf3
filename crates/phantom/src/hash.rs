//! Random numbers that are a function of the seed and a place, so that nothing depends on the order of work.

use crate::vector::Vec3;

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): every input bit reaches every output bit.
pub(crate) const fn mix(mut h: u64) -> u64 {
    h = (h ^ (h >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h = (h ^ (h >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ (h >> 31)
}

/// A hash of a seed and a place on a lattice.
pub(crate) const fn at(seed: u64, z: i64, y: i64, x: i64) -> u64 {
    mix(seed
        .wrapping_add((z as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15))
        .wrapping_add((y as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f))
        .wrapping_add((x as u64).wrapping_mul(0x1656_67b1_9e37_79f9)))
}

/// The seed of one purpose (warp, mitochondria, noise …).
pub(crate) const fn stream(seed: u64, purpose: u64) -> u64 {
    mix(seed ^ mix(purpose.wrapping_add(0x5851_f42d_4c95_7f2d)))
}

/// A hash as a number in [0, 1).
pub(crate) const fn unit(h: u64) -> f64 {
    (h >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// A sequence of numbers from one hash (SplitMix64).
#[derive(Clone, Debug)]
pub(crate) struct Draw(u64);

impl Draw {
    pub(crate) const fn new(hash: u64) -> Self {
        Self(hash)
    }

    pub(crate) const fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// Uniform in [0, 1).
    pub(crate) const fn unit(&mut self) -> f64 {
        unit(self.bits())
    }

    /// Uniform in [low, high).
    pub(crate) const fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// True with probability `p`.
    pub(crate) const fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }

    /// A direction, uniform on the sphere (by rejection from the cube).
    pub(crate) fn direction(&mut self) -> Vec3 {
        loop {
            let v = Vec3::new(self.between(-1.0, 1.0), self.between(-1.0, 1.0), self.between(-1.0, 1.0));
            let n = v.dot(v);
            if (0.01..1.0).contains(&n) {
                return v.unit();
            }
        }
    }
}

/// A number with mean 0 and variance 1, nearly Gaussian: the sum of four uniform ones (Irwin–Hall).
pub(crate) const fn gaussian(h: u64) -> f32 {
    let sum = (h & 0xffff) + ((h >> 16) & 0xffff) + ((h >> 32) & 0xffff) + (h >> 48);
    // Each has mean 65535/2 and variance (2^32 - 1)/12.
    (sum as f32 - 131_070.0) * (1.0 / 37_837.23)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaussian_has_mean_0_and_variance_1() {
        let n = 40_000;
        let values: Vec<f64> = (0..n).map(|i| f64::from(gaussian(at(7, i, 2 * i, 3)))).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        let variance = values.iter().map(|v| v * v).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02, "{mean}");
        assert!((variance - 1.0).abs() < 0.03, "{variance}");
    }
}
