//! From tissue to image: blur in the plane, contrast and brightness of the section, noise, 8 bits.

use crate::config::PhantomConfig;
use crate::hash;
use crate::section::Window;

/// A symmetric kernel: the middle weight, then outwards.
#[derive(Clone, Debug)]
pub(crate) struct Camera {
    kernel_y: Vec<f32>,
    kernel_x: Vec<f32>,
    noise: f32,
    contrast: f32,
    section_contrast: f32,
    noise_seed: u64,
    section_seed: u64,
}

/// Weights of a bell of standard deviation `sigma` pixels, cut at 3 σ: (1 − (d / 3σ)²)⁴ is within a hundredth of a
/// Gaussian's shape and needs no library function that machines could round differently.
fn kernel(sigma: f64) -> Vec<f32> {
    let reach = (3.0 * sigma).floor().min(64.0) as usize;
    let bell = |i: usize| {
        let t = i as f64 / (3.0 * sigma).max(1e-9);
        let rest = (1.0 - t * t).max(0.0);
        rest * rest * rest * rest
    };
    let weights: Vec<f64> = (0..=reach).map(|i| if i == 0 { 1.0 } else { bell(i) }).collect();
    let sum = weights[0] + 2.0 * weights[1..].iter().sum::<f64>();
    weights.into_iter().map(|w| (w / sum) as f32).collect()
}

impl Camera {
    pub(crate) fn new(config: &PhantomConfig) -> Self {
        Self {
            kernel_y: kernel(config.blur_nm / config.voxel_size.y_nm),
            kernel_x: kernel(config.blur_nm / config.voxel_size.x_nm),
            noise: (config.noise * 255.0) as f32,
            contrast: config.contrast as f32,
            section_contrast: config.section_contrast as f32,
            noise_seed: hash::stream(config.seed, 71),
            section_seed: hash::stream(config.seed, 72),
        }
    }

    /// Pixels around a picture that its blur needs, in y and x.
    pub(crate) fn halo(&self) -> (usize, usize) {
        (self.kernel_y.len() - 1, self.kernel_x.len() - 1)
    }

    /// The image of the inner part of a window (without its halo).
    pub(crate) fn image(&self, grey: &[f32], outer: Window) -> Vec<u8> {
        let (hy, hx) = self.halo();
        let (height, width) = (outer.height - 2 * hy, outer.width - 2 * hx);
        let mut rows = vec![0.0; outer.height * width];
        let mut row = vec![0.0; outer.width];
        for (y, (out, sharp)) in rows.chunks_exact_mut(width).zip(grey.chunks_exact(outer.width)).enumerate() {
            for (x, (v, g)) in row.iter_mut().zip(sharp).enumerate() {
                *v = g + self.noise_at(*g, outer.z, outer.y + y as i64, outer.x + x as i64, 0);
            }
            blur(out, &self.kernel_x, |k, i| row[i + hx + k] + row[i + hx - k]);
        }
        let shift = |axis: i64| hash::unit(hash::at(self.section_seed, outer.z, axis, 0)) as f32 * 2.0 - 1.0;
        let gain = self.contrast * (1.0 + self.section_contrast * shift(1));
        let offset = 0.5 * self.section_contrast * 255.0 * shift(2);
        let mut image = Vec::with_capacity(height * width);
        let mut line = vec![0.0; width];
        for y in 0..height {
            blur(&mut line, &self.kernel_y, |k, i| rows[(y + hy + k) * width + i] + rows[(y + hy - k) * width + i]);
            let global_y = outer.y + (y + hy) as i64;
            for (i, &v) in line.iter().enumerate() {
                let noise = 0.6 * self.noise_at(v, outer.z, global_y, outer.x + (i + hx) as i64, 1);
                let noisy = 128.0 + (v - 128.0) * gain + offset + noise;
                image.push((noisy + 0.5).clamp(0.0, 255.0) as u8);
            }
        }
        image
    }

    /// Noise at a pixel: in part that of the detector, in part that of counting electrons (variance ∝ signal). One layer
    /// (0) is blurred with the tissue, one (1) is not: neighbouring pixels of real images are not independent.
    fn noise_at(&self, grey: f32, z: i64, y: i64, x: i64, layer: u64) -> f32 {
        let deviation = self.noise * (0.4 + 0.6 * grey / 128.0).max(0.0).sqrt();
        deviation * hash::gaussian(hash::at(self.noise_seed.wrapping_add(layer), z, y, x))
    }
}

/// Weighs pairs of pixels at distance `k` on both sides; `pair(0, i)` is twice the pixel itself.
fn blur(out: &mut [f32], kernel: &[f32], pair: impl Fn(usize, usize) -> f32) {
    for (i, v) in out.iter_mut().enumerate() {
        *v = 0.5 * kernel[0] * pair(0, i);
    }
    for (k, w) in kernel.iter().enumerate().skip(1) {
        for (i, v) in out.iter_mut().enumerate() {
            *v += w * pair(k, i);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_sum_to_one_and_have_their_width() {
        for sigma in [0.0, 0.3, 0.875, 2.0, 5.0] {
            let k = kernel(sigma);
            let sum = k[0] + 2.0 * k[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-5);
            if sigma >= 0.8 {
                let variance: f64 = k.iter().enumerate().map(|(i, w)| 2.0 * f64::from(*w) * (i * i) as f64).sum();
                assert!((variance.sqrt() / sigma - 1.0).abs() < 0.15, "{sigma}: {}", variance.sqrt());
            }
        }
    }
}
