//! Gaussian smoothing of a block, one axis after another.

use deep3m_volume::Extent;

/// A Gaussian along each axis, cut off at four standard deviations (as scipy's `gaussian_filter` does); beyond the block's
/// border the block is mirrored, the outermost voxel twice.
///
/// A voxel that lies at least [`Gaussian::reach`] from the block's border has the same value, to the last bit, whatever the
/// block: a block read with that much around it is smoothed as the whole volume would be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Gaussian {
    /// Weights from the middle outwards along z, y and x.
    kernels: [Vec<f32>; 3],
}

impl Gaussian {
    /// Standard deviations in voxels along z, y and x; 0 leaves an axis as it is.
    pub(crate) fn new(sigmas: [f64; 3]) -> Self {
        Self { kernels: sigmas.map(kernel) }
    }

    /// How far a voxel's value depends on others.
    pub(crate) fn reach(&self) -> Extent {
        let [z, y, x] = &self.kernels;
        let reach = |kernel: &Vec<f32>| kernel.len() as u64 - 1;
        Extent::new(reach(z), reach(y), reach(x))
    }

    /// Smooths a block.
    ///
    /// # Panics
    /// If the number of voxels is not that of the extent.
    pub(crate) fn smooth(&self, voxels: &mut [f32], extent: Extent) {
        assert_eq!(voxels.len(), extent.len(), "voxels of a block of {extent}");
        let [depth, height, width] = extent.to_array().map(|n| n as usize);
        if voxels.is_empty() {
            return;
        }
        let [z, y, x] = &self.kernels;
        let section = height * width;
        if z.len() > 1 {
            planes(voxels, depth, section, z);
        }
        if y.len() > 1 {
            for section in voxels.chunks_exact_mut(section) {
                planes(section, height, width, y);
            }
        }
        if x.len() > 1 {
            let mut row_before = vec![0.0; width];
            for row in voxels.chunks_exact_mut(width) {
                row_before.copy_from_slice(row);
                for (at, voxel) in row.iter_mut().enumerate() {
                    *voxel = weighted(x, at, width, |i| row_before[i]);
                }
            }
        }
    }
}

/// Weights from the middle outwards; their sum over both sides is 1.
fn kernel(sigma: f64) -> Vec<f32> {
    if sigma <= 0.0 {
        return vec![1.0];
    }
    let reach = (4.0 * sigma + 0.5) as usize;
    let weights: Vec<f64> = (0..=reach).map(|i| (-0.5 * (i as f64 / sigma).powi(2)).exp()).collect();
    let sum = 2.0 * weights.iter().sum::<f64>() - weights[0];
    weights.into_iter().map(|w| (w / sum) as f32).collect()
}

/// Smooths along the slowest axis of `count` planes of `size` voxels.
fn planes(voxels: &mut [f32], count: usize, size: usize, kernel: &[f32]) {
    // Strips narrow enough that all their planes stay in the cache.
    const STRIP: usize = 64;
    let mut strip = vec![0.0; count * STRIP];
    for first in (0..size).step_by(STRIP) {
        let wide = STRIP.min(size - first);
        for plane in 0..count {
            let from = plane * size + first;
            strip[plane * STRIP..plane * STRIP + wide].copy_from_slice(&voxels[from..from + wide]);
        }
        for plane in 0..count {
            let out = &mut voxels[plane * size + first..][..wide];
            for (i, voxel) in out.iter_mut().enumerate() {
                *voxel = kernel[0] * strip[plane * STRIP + i];
            }
            for (distance, &weight) in kernel.iter().enumerate().skip(1) {
                let before = mirrored(plane as i64 - distance as i64, count) * STRIP;
                let behind = mirrored(plane as i64 + distance as i64, count) * STRIP;
                let pairs = strip[before..before + wide].iter().zip(&strip[behind..behind + wide]);
                for (voxel, (a, b)) in out.iter_mut().zip(pairs) {
                    *voxel += weight * (a + b);
                }
            }
        }
    }
}

fn weighted(kernel: &[f32], at: usize, len: usize, value: impl Fn(usize) -> f32) -> f32 {
    let mut sum = kernel[0] * value(at);
    for (distance, &weight) in kernel.iter().enumerate().skip(1) {
        let before = value(mirrored(at as i64 - distance as i64, len));
        sum += weight * (before + value(mirrored(at as i64 + distance as i64, len)));
    }
    sum
}

/// The place inside that a place outside mirrors: … 1 0 | 0 1 … n−1 | n−1 …
fn mirrored(at: i64, len: usize) -> usize {
    let period = 2 * len as i64;
    let at = at.rem_euclid(period);
    (if at < len as i64 { at } else { period - 1 - at }) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_becomes_a_bell_of_the_same_sum() {
        let extent = Extent::new(9, 21, 21);
        let mut voxels = vec![0.0; extent.len()];
        let middle = extent.len() / 2;
        voxels[middle] = 1.0;
        Gaussian::new([1.0, 2.0, 2.0]).smooth(&mut voxels, extent);
        assert!((voxels.iter().sum::<f32>() - 1.0).abs() < 1e-5);
        let ratio = voxels[middle + 2] / voxels[middle];
        assert!((ratio - (-0.5_f32).exp()).abs() < 1e-5, "{ratio}");
        assert_eq!(voxels[middle + 2], voxels[middle - 2]);
        assert!((voxels[middle + 21 * 21] / voxels[middle] - (-0.5_f32).exp()).abs() < 1e-5);
    }

    #[test]
    fn a_block_with_its_surroundings_is_smoothed_as_the_whole() {
        let extent = Extent::new(7, 30, 100);
        let value = |i: usize| ((i as u32).wrapping_mul(2_654_435_761) >> 20) as f32;
        let all: Vec<f32> = (0..extent.len()).map(value).collect();
        let gaussian = Gaussian::new([0.6, 1.3, 1.3]);
        let reach = gaussian.reach();
        let mut whole = all.clone();
        gaussian.smooth(&mut whole, extent);
        // Rows 10 and 11, columns 40 to 44 of all sections.
        let (y0, x0) = (10 - reach.y, 40 - reach.x);
        let part = Extent::new(7, 2 + 2 * reach.y, 5 + 2 * reach.x);
        let place = |z: u64, y: u64, x: u64| ((z * extent.y + y) * extent.x + x) as usize;
        let mut voxels: Vec<f32> = (0..part.len() as u64)
            .map(|i| all[place(i / (part.y * part.x), y0 + i / part.x % part.y, x0 + i % part.x)])
            .collect();
        gaussian.smooth(&mut voxels, part);
        for (z, y, x) in (0..7).flat_map(|z| (0..2).flat_map(move |y| (0..5).map(move |x| (z, y, x)))) {
            let found = voxels[((z * part.y + y + reach.y) * part.x + x + reach.x) as usize];
            assert_eq!(found, whole[place(z, 10 + y, 40 + x)]);
        }
    }
}
