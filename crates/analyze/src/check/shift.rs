//! How far two sections are shifted against each other: phase correlation.
//!
//! The Fourier transforms of an image and the same image moved differ in their phases alone; the inverse transform of these
//! differences has a peak where the shift is (Kuglin and Hines, IEEE Conference on Cybernetics and Society 1975).

use std::f32::consts::TAU;
use std::sync::Arc;

use rustfft::num_complex::Complex32;
use rustfft::{Fft, FftPlanner};

/// Standard deviation in cycles per pixel of the weights of frequencies: noise is where structures are smallest.
const LOW_PASS: f32 = 0.12;
/// Shorter sides say nothing.
pub(super) const SMALLEST: usize = 32;

/// How far the second of two images is shifted against the first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Shift {
    /// Rows downwards, in pixels.
    pub(super) y: f64,
    /// Columns to the right, in pixels.
    pub(super) x: f64,
    /// How clear it is: 1 for an image that is moved and else the same, near 0 for images without relation.
    pub(super) clarity: f64,
}

/// Finds shifts between images of one size.
pub(super) struct Correlator {
    height: usize,
    width: usize,
    /// Hann windows: the border must not be taken for structure.
    windows: [Vec<f32>; 2],
    /// Weights along rows and columns.
    weights: [Vec<f32>; 2],
    forward: [Arc<dyn Fft<f32>>; 2],
    back: [Arc<dyn Fft<f32>>; 2],
}

impl Correlator {
    /// `None` for images too small.
    pub(super) fn new(height: usize, width: usize) -> Option<Self> {
        if height < SMALLEST || width < SMALLEST {
            return None;
        }
        let mut planner = FftPlanner::new();
        let sides = [height, width];
        Some(Self {
            height,
            width,
            windows: sides.map(hann),
            weights: sides.map(low_pass),
            forward: sides.map(|n| planner.plan_fft_forward(n)),
            back: sides.map(|n| planner.plan_fft_inverse(n)),
        })
    }

    /// The shift of `second` against `first`; `None` where an image has no structure.
    ///
    /// # Panics
    /// If an image has not the size that this is for.
    pub(super) fn shift(&self, first: &[f32], second: &[f32]) -> Option<Shift> {
        let (height, width) = (self.height, self.width);
        assert!(first.len() == height * width && second.len() == first.len(), "images of {height} × {width}");
        // Both images in one transform: the first as the real part, the second as the imaginary one.
        let mean = |image: &[f32]| (image.iter().map(|&v| f64::from(v)).sum::<f64>() / image.len() as f64) as f32;
        let means = [mean(first), mean(second)];
        let mut plane: Vec<Complex32> = Vec::with_capacity(first.len());
        for (y, (a, b)) in first.chunks_exact(width).zip(second.chunks_exact(width)).enumerate() {
            let row = a.iter().zip(b).zip(&self.windows[1]);
            let high = self.windows[0][y];
            plane.extend(row.map(|((a, b), w)| Complex32::new(a - means[0], b - means[1]) * (w * high)));
        }
        let mut turned = vec![Complex32::ZERO; plane.len()];
        self.forward[1].process(&mut plane);
        transpose(&plane, &mut turned, height, width);
        self.forward[0].process(&mut turned);
        let most = self.phases(&turned, &mut plane);
        self.back[0].process(&mut plane);
        transpose(&plane, &mut turned, width, height);
        self.back[1].process(&mut turned);
        (most > 0.0).then(|| self.peak(&turned, most))
    }

    /// The weighted differences of phase, from the transform of both images (a column after another); returns the sum of
    /// weights that took part.
    fn phases(&self, both: &[Complex32], out: &mut [Complex32]) -> f32 {
        let (height, width) = (self.height, self.width);
        let mut sum = 0.0;
        for x in 0..width {
            for y in 0..height {
                let here = both[x * height + y];
                let there = both[(width - x) % width * height + (height - y) % height].conj();
                let (a, b) = (here + there, (here - there) * Complex32::new(0.0, -1.0));
                let cross = a.conj() * b;
                let size = cross.norm();
                let weight = self.weights[0][y] * self.weights[1][x];
                let takes_part = size > f32::MIN_POSITIVE && (x, y) != (0, 0);
                out[x * height + y] = if takes_part { cross * (weight / size) } else { Complex32::ZERO };
                sum += if takes_part { weight } else { 0.0 };
            }
        }
        sum
    }

    fn peak(&self, surface: &[Complex32], most: f32) -> Shift {
        let (height, width) = (self.height, self.width);
        let at = |y: usize, x: usize| surface[y % height * width + x % width].re;
        let highest = (0..surface.len()).max_by(|&a, &b| surface[a].re.total_cmp(&surface[b].re)).unwrap_or(0);
        let (y, x) = (highest / width, highest % width);
        let fine_y = vertex([at(y + height - 1, x), at(y, x), at(y + 1, x)]);
        let fine_x = vertex([at(y, x + width - 1), at(y, x), at(y, x + 1)]);
        // Beyond one half a shift is one to the other side.
        let signed = |at: usize, n: usize| if at > n / 2 { at as f64 - n as f64 } else { at as f64 };
        Shift {
            y: signed(y, height) + fine_y,
            x: signed(x, width) + fine_x,
            clarity: f64::from(at(y, x) / most).clamp(0.0, 1.0),
        }
    }
}

/// The place of a bell's top between its three highest values.
fn vertex([before, top, behind]: [f32; 3]) -> f64 {
    if before <= 0.0 || behind <= 0.0 || top <= 0.0 {
        return 0.0;
    }
    let [before, top, behind] = [before, top, behind].map(|v| f64::from(v).ln());
    let bend = before - 2.0 * top + behind;
    if bend < 0.0 { (0.5 * (before - behind) / bend).clamp(-0.5, 0.5) } else { 0.0 }
}

fn hann(n: usize) -> Vec<f32> {
    (0..n).map(|i| 0.5 - 0.5 * (TAU * (i as f32 + 0.5) / n as f32).cos()).collect()
}

fn low_pass(n: usize) -> Vec<f32> {
    let frequency = |i: usize| i.min(n - i) as f32 / n as f32;
    (0..n).map(|i| (-0.5 * (frequency(i) / LOW_PASS).powi(2)).exp()).collect()
}

/// Rows of `width` become columns.
fn transpose(from: &[Complex32], to: &mut [Complex32], height: usize, width: usize) {
    // Squares that stay in the cache.
    const SIDE: usize = 16;
    for top in (0..height).step_by(SIDE) {
        for left in (0..width).step_by(SIDE) {
            for y in top..(top + SIDE).min(height) {
                for x in left..(left + SIDE).min(width) {
                    to[x * height + y] = from[y * width + x];
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::section::hashed;
    use crate::smooth::Gaussian;
    use deep3m_volume::Extent;

    /// Smooth random structure, seen at a place.
    fn view(height: usize, width: usize, y0: u64, x0: u64) -> Vec<f32> {
        let random = |y: u64, x: u64| (hashed(y << 32 | x, 1) >> 40) as f32 / (1 << 24) as f32;
        let at = |i: usize| (y0 + (i / width) as u64, x0 + (i % width) as u64);
        let mut image: Vec<f32> = (0..height * width).map(at).map(|(y, x)| 100.0 * random(y, x)).collect();
        Gaussian::new([0.0, 1.5, 1.5]).smooth(&mut image, Extent::new(1, height as u64, width as u64));
        image
    }

    #[test]
    fn shifts_are_found_whatever_size_and_brightness() {
        for (height, width) in [(64, 64), (100, 147), (50, 300)] {
            let correlator = Correlator::new(height, width).unwrap();
            for (y, x) in [(0, 0), (3, -7), (-9, 2)] {
                let place = |by: i64| (100 - by) as u64;
                let (a, b) = (view(height, width, 100, 100), view(height, width, place(y), place(x)));
                let b: Vec<f32> = b.into_iter().map(|v| 0.5 * v + 30.0).collect();
                let shift = correlator.shift(&a, &b).unwrap();
                let wrong = (shift.y - y as f64).abs().max((shift.x - x as f64).abs());
                assert!(wrong < 0.25, "{height} × {width}, shift {y}, {x}: {shift:?}");
                assert!(shift.clarity > 0.3, "{shift:?}");
            }
        }
    }

    #[test]
    fn images_without_relation_or_structure_are_told() {
        let correlator = Correlator::new(64, 64).unwrap();
        let a = view(64, 64, 0, 0);
        let other = correlator.shift(&a, &view(64, 64, 5000, 9000)).unwrap();
        assert!(other.clarity < 0.3, "{other:?}");
        assert!(correlator.shift(&[7.0; 64 * 64], &[7.0; 64 * 64]).is_none());
        assert!(Correlator::new(31, 500).is_none());
    }
}
