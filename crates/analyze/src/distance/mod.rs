//! Euclidean distances on the voxel grid, exact, with voxels that need not be cubes.

mod envelope;

use deep3m_volume::{Extent, VoxelSize};

use envelope::Envelope;

/// A squared distance, with as many digits as are wanted.
pub(crate) trait Square: Copy + PartialOrd {
    /// No target.
    const NONE: Self;
    /// Rounded to this many digits.
    fn of(square: f64) -> Self;
    /// With all digits.
    fn to_f64(self) -> f64;
}

impl Square for f32 {
    const NONE: Self = f32::INFINITY;

    fn of(square: f64) -> Self {
        square as f32
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Square for f64 {
    const NONE: Self = f64::INFINITY;

    fn of(square: f64) -> Self {
        square
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// For each voxel of a block the squared distance in nm² to the nearest voxel where `target` is not 0; infinite where there
/// is none. Squares are rounded to 32 bits once per axis.
///
/// One axis after another: along x by counting, along y and z as the lower envelope of parabolas (Felzenszwalb and
/// Huttenlocher, Theory of Computing 8, 2012).
///
/// # Panics
/// If the number of voxels is not that of the extent.
pub(crate) fn squared_to(target: &[u8], extent: Extent, spacing: VoxelSize) -> Vec<f32> {
    squares_to(target, extent, spacing)
}

/// As [`squared_to`], with as many digits as the type has.
pub(crate) fn squares_to<T: Square>(target: &[u8], extent: Extent, spacing: VoxelSize) -> Vec<T> {
    assert_eq!(target.len(), extent.len(), "voxels of a block of {extent}");
    let [depth, height, width] = extent.to_array().map(|n| n as usize);
    let mut squares = vec![T::NONE; target.len()];
    if target.is_empty() {
        return squares;
    }
    for (row, out) in target.chunks_exact(width).zip(squares.chunks_exact_mut(width)) {
        along_row(row, out, spacing.x_nm);
    }
    let mut envelope = Envelope::default();
    for z in 0..depth {
        for x in 0..width {
            envelope.replace(&mut squares, z * height * width + x, width, height, spacing.y_nm);
        }
    }
    for column in 0..height * width {
        envelope.replace(&mut squares, column, height * width, depth, spacing.z_nm);
    }
    squares
}

/// The squared distance of each voxel of a row to the nearest target in it.
fn along_row<T: Square>(row: &[u8], out: &mut [T], pitch_nm: f64) {
    let mut since = None;
    for (x, &target) in row.iter().enumerate() {
        since = if target != 0 { Some(0) } else { since.map(|n: u32| n + 1) };
        out[x] = since.map_or(T::NONE, |n| squared(n, pitch_nm));
    }
    let mut until = None;
    for (x, &target) in row.iter().enumerate().rev() {
        until = if target != 0 { Some(0) } else { until.map(|n: u32| n + 1) };
        if let Some(square) = until.map(|n| squared(n, pitch_nm)).filter(|square| *square < out[x]) {
            out[x] = square;
        }
    }
}

fn squared<T: Square>(steps: u32, pitch_nm: f64) -> T {
    let nm = f64::from(steps) * pitch_nm;
    T::of(nm * nm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn distances_are_those_to_the_nearest_of_all(
            (extent, target) in (1_u64..6, 1_u64..8, 1_u64..9).prop_flat_map(|(z, y, x)| {
                let voxels = prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 0, 1]), (z * y * x) as usize);
                (Just(Extent::new(z, y, x)), voxels)
            }),
            spacing in prop::sample::select(vec![(1.0, 1.0, 1.0), (30.0, 8.0, 8.0), (0.5, 1.7, 3.1)]),
        ) {
            let spacing = VoxelSize::new(spacing.0, spacing.1, spacing.2).unwrap();
            let found = squared_to(&target, extent, spacing);
            let at = |i: usize| {
                let (i, y, x) = (i as u64, extent.y, extent.x);
                [(i / (y * x)) as f64 * spacing.z_nm, (i / x % y) as f64 * spacing.y_nm, (i % x) as f64 * spacing.x_nm]
            };
            for (i, &square) in found.iter().enumerate() {
                let nearest = (0..target.len())
                    .filter(|&j| target[j] != 0)
                    .map(|j| at(i).iter().zip(at(j)).map(|(a, b)| (a - b) * (a - b)).sum::<f64>())
                    .fold(f64::INFINITY, f64::min);
                let same = f64::from(square) == nearest || (f64::from(square) - nearest).abs() <= 1e-6 * nearest;
                prop_assert!(same, "voxel {}: {} instead of {}", i, square, nearest);
            }
        }
    }
}
