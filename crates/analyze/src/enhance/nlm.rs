//! Denoising by non-local means: a pixel becomes the mean of pixels around it whose surroundings look alike (Buades, Coll and
//! Morel, IEEE CVPR 2005), with the noise taken off the distances, as scikit-image's `denoise_nl_means` does with `sigma`.

/// Surroundings that are compared: this far on either side.
const PATCH: usize = 2;
/// Pixels that are compared: this far on either side.
const SEARCH: usize = 5;
/// How far a pixel depends on others.
pub(super) const REACH: u64 = (PATCH + SEARCH) as u64;

/// Denoises an image of noise `sigma`; surroundings that differ by `strength` more than noise makes them weigh 1 / e.
pub(super) fn denoise(image: &mut [f32], height: usize, width: usize, sigma: f64, strength: f64) {
    if image.is_empty() || strength <= 0.0 {
        return;
    }
    // With as much around it as is looked at, mirrored (the outermost pixel once).
    let reach = REACH as usize;
    let wide = width + 2 * reach;
    let tall = height + 2 * reach;
    let rows: Vec<usize> = (0..tall).map(|y| mirrored(y as i64 - reach as i64, height)).collect();
    let columns: Vec<usize> = (0..wide).map(|x| mirrored(x as i64 - reach as i64, width)).collect();
    let mut framed = Vec::with_capacity(tall * wide);
    for y in rows {
        framed.extend(columns.iter().map(|x| image[y * width + x]));
    }
    let pixels = ((2 * PATCH + 1) * (2 * PATCH + 1)) as f32;
    let expected = 2.0 * (sigma * sigma) as f32;
    let scale = -1.0 / (strength * strength) as f32;
    let (mut sums, mut weights) = (vec![0.0_f32; image.len()], vec![0.0_f32; image.len()]);
    let side = 2 * PATCH + 1;
    let (patch_rows, patch_columns) = (height + side - 1, width + side - 1);
    let mut squares = vec![0.0_f32; patch_rows * patch_columns];
    let mut along = vec![0.0_f32; patch_rows * width];
    for dy in 0..=2 * SEARCH {
        for dx in 0..=2 * SEARCH {
            for (y, row) in squares.chunks_exact_mut(patch_columns).enumerate() {
                let here = &framed[(y + SEARCH) * wide + SEARCH..][..patch_columns];
                let there = &framed[(y + dy) * wide + dx..][..patch_columns];
                row.iter_mut().zip(here.iter().zip(there)).for_each(|(s, (a, b))| *s = (a - b) * (a - b));
            }
            for (row, out) in squares.chunks_exact(patch_columns).zip(along.chunks_exact_mut(width)) {
                out.iter_mut().zip(row.windows(side)).for_each(|(sum, five)| *sum = five.iter().sum());
            }
            for y in 0..height {
                let there = &framed[(y + PATCH + dy) * wide + PATCH + dx..][..width];
                for (x, &value) in there.iter().enumerate() {
                    let distance: f32 = (0..side).map(|k| along[(y + k) * width + x]).sum();
                    let weight = ((distance / pixels - expected).max(0.0) * scale).exp();
                    sums[y * width + x] += weight * value;
                    weights[y * width + x] += weight;
                }
            }
        }
    }
    // A pixel resembles itself: no sum of weights is below 1.
    image.iter_mut().zip(sums.iter().zip(&weights)).for_each(|(v, (sum, weight))| *v = sum / weight);
}

/// … 2 1 | 0 1 … n−1 | n−2 …
fn mirrored(at: i64, n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as i64 - 1);
    let at = at.rem_euclid(period);
    at.min(period - at) as usize
}
