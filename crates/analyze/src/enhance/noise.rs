//! How strong the noise of a section is.

use deep3m_volume::{Extent, Index, Region, Volume};
use rayon::prelude::*;

use crate::AnalyzeError;
use crate::check::robust::median;
use crate::check::section::greys;

/// Sections that are looked at, evenly spaced.
const SECTIONS: u64 = 16;
/// Longest side of the part in the middle of a section that is looked at.
const SIDE: u64 = 1024;
/// The high-pass filter of Daubechies' wavelet of two vanishing moments.
const WAVELET: [f64; 4] = [-0.48296291314469025, 0.836516303737469, -0.22414386804185735, -0.12940952255092145];
/// The median of the size of a normal variable of standard deviation 1.
const NORMAL: f64 = 0.6744897501960817;

/// The median noise of a volume's sections: a standard deviation in grey values.
pub(super) fn noise_of(volume: &dyn Volume) -> Result<f64, AnalyzeError> {
    let extent = volume.info().extent;
    let (height, width) = (extent.y.min(SIDE), extent.x.min(SIDE));
    let every = extent.z.div_ceil(SECTIONS).max(1);
    let part = |z| {
        let start = Index::new(z, (extent.y - height) / 2, (extent.x - width) / 2);
        Region::new(start, Extent::new(1, height, width))
    };
    let sections: Vec<u64> = (0..extent.z).step_by(every as usize).collect();
    let of_sections: Vec<f64> = sections
        .par_iter()
        .map(|&z| {
            let block = volume.read(part(z))?;
            let mut grey = Vec::new();
            greys(block.voxels(), 0..block.voxels().len(), &mut grey);
            Ok(noise(&grey, height as usize, width as usize))
        })
        .collect::<Result<_, AnalyzeError>>()?;
    Ok(median(of_sections))
}

/// The noise of an image: the median size of its finest diagonal wavelet coefficients (Donoho and Johnstone, Biometrika 81,
/// 1994), as scikit-image's `estimate_sigma` has it.
pub(super) fn noise(grey: &[f32], height: usize, width: usize) -> f64 {
    if height == 0 || width == 0 {
        return 0.0;
    }
    // Two rows before the first and behind the last are mirrored, the outermost twice.
    let mirrored = |at: i64, n: usize| {
        let period = 2 * n as i64;
        let at = at.rem_euclid(period);
        (if at < n as i64 { at } else { period - 1 - at }) as usize
    };
    let taps = |k: usize, n: usize| -> [usize; 4] { std::array::from_fn(|j| mirrored(2 * k as i64 + 1 - j as i64, n)) };
    let out = |n: usize| n.div_ceil(2) + 1;
    let mut rows = vec![0.0; out(height) * width];
    for (k, row) in rows.chunks_exact_mut(width).enumerate() {
        for (weight, y) in WAVELET.iter().zip(taps(k, height)) {
            let from = &grey[y * width..(y + 1) * width];
            row.iter_mut().zip(from).for_each(|(sum, v)| *sum += weight * f64::from(*v));
        }
    }
    let largest = grey.iter().fold(0.0_f32, |largest, v| largest.max(v.abs()));
    let nothing = 1e-9 * f64::from(largest);
    let mut sizes = Vec::with_capacity(out(height) * out(width));
    for row in rows.chunks_exact(width) {
        for k in 0..out(width) {
            let detail: f64 = WAVELET.iter().zip(taps(k, width)).map(|(weight, x)| weight * row[x]).sum();
            // What is 0 lies in an empty border.
            if detail.abs() > nothing {
                sizes.push(detail.abs());
            }
        }
    }
    median(sizes) / NORMAL
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_of_a_known_strength_is_found_on_a_structure() {
        // Sums of twelve uniform numbers are almost normal, of standard deviation 1.
        let uniform = |i: u64| {
            let v = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            ((v ^ (v >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / f64::from(1 << 24)
        };
        let normal = |i: u64| (0..12).map(|k| uniform(12 * i + k)).sum::<f64>() - 6.0;
        let image = |sd: f64| -> Vec<f32> {
            let value = |i: u64| 100.0 + 40.0 * (i as f64 % 200.0 / 15.0).sin() + sd * normal(i);
            (0..200 * 200).map(|i| value(i) as f32).collect()
        };
        for sd in [0.5, 5.0, 20.0] {
            let found = noise(&image(sd), 200, 200);
            assert!((found / sd - 1.0).abs() < 0.1, "{sd}: {found}");
        }
        assert_eq!(noise(&[7.0; 12], 3, 4), 0.0);
        assert_eq!(noise(&[], 0, 4), 0.0);
        assert!(noise(&[1.0, 5.0], 1, 2).is_finite());
    }
}
