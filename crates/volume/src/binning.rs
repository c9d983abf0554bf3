//! Coarser and back: the mean over small boxes of pixels, and linear interpolation to the fine grid.
//!
//! A network that looks at binned images sees more of the cell at the same cost. Bins are counted from the volume's
//! first voxel, so a voxel's bin does not depend on the block that is being read.

use serde::{Deserialize, Serialize};

/// How many rows and columns are averaged to one before the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binning {
    /// Rows per bin.
    pub y: u32,
    /// Columns per bin.
    pub x: u32,
}

impl Default for Binning {
    fn default() -> Self {
        Self::NONE
    }
}

impl Binning {
    /// Every pixel by itself.
    pub const NONE: Self = Self { y: 1, x: 1 };

    /// The same number of rows and columns per bin.
    pub const fn square(pixels: u32) -> Self {
        Self { y: pixels, x: pixels }
    }

    /// Whether pixels stay as they are.
    pub const fn is_none(self) -> bool {
        self.y == 1 && self.x == 1
    }

    /// The mean of each bin; row-major, `depth` sections of `height` × `width` pixels become `height / y` × `width / x`.
    ///
    /// # Panics
    /// If the size is not a whole number of bins or `source` is not of that size.
    pub fn mean(self, source: &[f32], depth: usize, height: usize, width: usize) -> Vec<f32> {
        let (by, bx) = (self.y as usize, self.x as usize);
        assert_eq!(source.len(), depth * height * width, "pixels to bin");
        assert!(height.is_multiple_of(by) && width.is_multiple_of(bx), "{height} × {width} is no whole number of bins");
        if self.is_none() {
            return source.to_vec();
        }
        let (rows, columns) = (height / by, width / bx);
        let share = 1.0 / (by * bx) as f32;
        let mut target = vec![0.0; depth * rows * columns];
        for (target_row, source_rows) in target.chunks_exact_mut(columns).zip(source.chunks_exact(by * width)) {
            for row in source_rows.chunks_exact(width) {
                for (bin, pixels) in target_row.iter_mut().zip(row.chunks_exact(bx)) {
                    *bin += pixels.iter().sum::<f32>();
                }
            }
            for bin in target_row {
                *bin *= share;
            }
        }
        target
    }

    /// Linear interpolation of binned values back to pixels, each bin's value at its centre, the outermost values
    /// continued to the edge. `rows` × `columns` bins become `rows · y` × `columns · x` pixels.
    ///
    /// # Panics
    /// If `source` is not `depth` · `rows` · `columns` long.
    pub fn interpolate(self, source: &[f32], depth: usize, rows: usize, columns: usize) -> Vec<f32> {
        assert_eq!(source.len(), depth * rows * columns, "bins to interpolate");
        if self.is_none() {
            return source.to_vec();
        }
        let (height, width) = (rows * self.y as usize, columns * self.x as usize);
        let down = weights(rows, self.y as usize);
        let across = weights(columns, self.x as usize);
        let mut target = Vec::with_capacity(depth * height * width);
        for plane in source.chunks_exact(rows * columns) {
            for &(r0, r1, fy) in &down {
                let (upper, lower) = (&plane[r0 * columns..][..columns], &plane[r1 * columns..][..columns]);
                target.extend(across.iter().map(|&(c0, c1, fx)| {
                    let top = upper[c0] + (upper[c1] - upper[c0]) * fx;
                    let bottom = lower[c0] + (lower[c1] - lower[c0]) * fx;
                    top + (bottom - top) * fy
                }));
            }
        }
        target
    }
}

/// For each pixel of an axis the two bins whose centres enclose it and how far it lies towards the second.
fn weights(bins: usize, per_bin: usize) -> Vec<(usize, usize, f32)> {
    (0..bins * per_bin)
        .map(|pixel| {
            let at = ((pixel as f32 + 0.5) / per_bin as f32 - 0.5).clamp(0.0, (bins - 1) as f32);
            let first = at.floor() as usize;
            (first, (first + 1).min(bins - 1), at - first as f32)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn binning_keeps_the_mean(rows in 1_usize..5, columns in 1_usize..5, by in 1_u32..4, bx in 1_u32..4, seed in 0_u32..99) {
            let (h, w) = (rows * by as usize, columns * bx as usize);
            let source: Vec<f32> = (0..2 * h * w).map(|i| ((i as u32 * 37 + seed) % 101) as f32).collect();
            let bins = Binning { y: by, x: bx }.mean(&source, 2, h, w);
            let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
            prop_assert!((mean(&bins) - mean(&source)).abs() < 1e-3);
        }

        #[test]
        fn a_ramp_is_interpolated_exactly_inside(rows in 3_usize..6, columns in 3_usize..6, by in 1_u32..5, bx in 1_u32..5) {
            let b = Binning { y: by, x: bx };
            let (h, w) = (rows * by as usize, columns * bx as usize);
            let ramp: Vec<f32> = (0..h * w).map(|i| (i / w) as f32 * 3.0 + (i % w) as f32).collect();
            let back = b.interpolate(&b.mean(&ramp, 1, h, w), 1, rows, columns);
            for y in by as usize..h - by as usize {
                for x in bx as usize..w - bx as usize {
                    prop_assert!((back[y * w + x] - ramp[y * w + x]).abs() < 1e-3);
                }
            }
        }
    }
}
