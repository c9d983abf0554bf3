//! Euclidean distances on the voxel grid, exact, with voxels that need not be cubes.
//!
//! One axis after another: along x by counting, along y and z as the lower envelope of parabolas (Felzenszwalb and
//! Huttenlocher, Theory of Computing 8, 2012). Squares are rounded to 32 bits once per axis. A line of voxels is always looked
//! at whole, so the result is the same to the last bit however a volume is divided.

mod envelope;

use deep3m_volume::{Extent, VoxelSize};
use rayon::prelude::*;

use envelope::Envelope;

/// A squared distance, with as many digits as are wanted.
pub(crate) trait Square: Copy + PartialOrd + Send + Sync {
    /// At a target.
    const ZERO: Self;
    /// No target.
    const NONE: Self;
    /// Rounded to this many digits.
    fn of(square: f64) -> Self;
    /// With all digits.
    fn to_f64(self) -> f64;
}

impl Square for f32 {
    const ZERO: Self = 0.0;
    const NONE: Self = f32::INFINITY;

    fn of(square: f64) -> Self {
        square as f32
    }

    fn to_f64(self) -> f64 {
        self.into()
    }
}

impl Square for f64 {
    const ZERO: Self = 0.0;
    const NONE: Self = f64::INFINITY;

    fn of(square: f64) -> Self {
        square
    }

    fn to_f64(self) -> f64 {
        self
    }
}

/// For each voxel of a block the squared distance in nm² to the nearest voxel where `target` is not 0; infinite where there
/// is none.
///
/// # Panics
/// If the number of voxels is not that of the extent.
pub fn squared_to(target: &[u8], extent: Extent, spacing: VoxelSize) -> Vec<f32> {
    squares_to(target, extent, spacing)
}

/// As [`squared_to`], with as many digits as the type has.
pub(crate) fn squares_to<T: Square>(target: &[u8], extent: Extent, spacing: VoxelSize) -> Vec<T> {
    let mut squares: Vec<T> = target.iter().map(|&target| if target == 0 { T::NONE } else { T::ZERO }).collect();
    in_sections(&mut squares, extent, spacing);
    across_sections(&mut squares, extent, spacing);
    squares
}

/// For voxels of 0 (what the distance is to) and infinity: the squared distances within each section.
///
/// # Panics
/// If the number of voxels is not that of the extent.
pub(crate) fn in_sections<T: Square>(squares: &mut [T], extent: Extent, spacing: VoxelSize) {
    assert_eq!(squares.len(), extent.len(), "voxels of a block of {extent}");
    let [_, height, width] = extent.to_array().map(|n| n as usize);
    if squares.is_empty() {
        return;
    }
    squares.par_chunks_exact_mut(height * width).for_each(|section| {
        along_rows(section, width, spacing.x_nm);
        across_rows(section, width, spacing.y_nm);
    });
}

/// The first step of [`in_sections`]: the squared distances within each row.
pub(crate) fn along_rows<T: Square>(squares: &mut [T], width: usize, pitch_nm: f64) {
    squares.par_chunks_exact_mut(width.max(1)).with_min_len(64).for_each(|row| along_row(row, pitch_nm));
}

/// The second step of [`in_sections`] for one section, or for some of its columns, `width` of them.
pub(crate) fn across_rows<T: Square>(section: &mut [T], width: usize, pitch_nm: f64) {
    replace(section, width, pitch_nm);
}

/// From squared distances within sections to those in the volume.
///
/// # Panics
/// If the number of voxels is not that of the extent.
pub(crate) fn across_sections<T: Square>(squares: &mut [T], extent: Extent, spacing: VoxelSize) {
    assert_eq!(squares.len(), extent.len(), "voxels of a block of {extent}");
    replace(squares, (extent.y * extent.x) as usize, spacing.z_nm);
}

/// Voxels of a strip that is looked at by one thread: a few lines of the cache.
const STRIP: usize = 128;
/// Columns that are gathered at a time.
const GATHERED: usize = 16;

/// Replaces the squares of all lines that go through planes of `size` voxels.
fn replace<T: Square>(squares: &mut [T], size: usize, pitch_nm: f64) {
    if squares.is_empty() {
        return;
    }
    let planes = squares.len() / size;
    let mut strips: Vec<Vec<&mut [T]>> = (0..size.div_ceil(STRIP)).map(|_| Vec::with_capacity(planes)).collect();
    for plane in squares.chunks_exact_mut(size) {
        for (strip, part) in strips.iter_mut().zip(plane.chunks_mut(STRIP)) {
            strip.push(part);
        }
    }
    strips.par_iter_mut().for_each_init(
        || (Envelope::default(), vec![T::ZERO; GATHERED * planes]),
        |(envelope, gathered), strip| replace_strip(strip, envelope, gathered, pitch_nm),
    );
}

/// Replaces the squares of the columns of a strip: `strip` has its part of each plane.
fn replace_strip<T: Square>(strip: &mut [&mut [T]], envelope: &mut Envelope, gathered: &mut [T], pitch_nm: f64) {
    let (planes, width) = (strip.len(), strip.first().map_or(0, |part| part.len()));
    for first in (0..width).step_by(GATHERED) {
        let columns = GATHERED.min(width - first);
        let mut none = true;
        for (place, part) in strip.iter().enumerate() {
            for (column, &square) in part[first..first + columns].iter().enumerate() {
                gathered[column * planes + place] = square;
                none &= square == T::ZERO;
            }
        }
        if none {
            continue;
        }
        for column in gathered.chunks_exact_mut(planes).take(columns) {
            envelope.replace(column, pitch_nm);
        }
        for (place, part) in strip.iter_mut().enumerate() {
            for (column, square) in part[first..first + columns].iter_mut().enumerate() {
                *square = gathered[column * planes + place];
            }
        }
    }
}

/// The squared distance of each voxel of a row to the nearest 0 in it.
fn along_row<T: Square>(row: &mut [T], pitch_nm: f64) {
    let mut steps = None;
    for square in &mut *row {
        steps = if *square == T::ZERO { Some(0) } else { steps.map(|n: u32| n + 1) };
        *square = steps.map_or(T::NONE, |n| squared(n, pitch_nm));
    }
    let mut steps = None;
    for square in row.iter_mut().rev() {
        steps = if *square == T::ZERO { Some(0) } else { steps.map(|n: u32| n + 1) };
        if let Some(nearer) = steps.map(|n| squared::<T>(n, pitch_nm)).filter(|nearer| *nearer < *square) {
            *square = nearer;
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

    #[test]
    fn strips_are_whole_where_rows_are_longer_or_shorter_than_they() {
        let spacing = VoxelSize::new(2.0, 3.0, 1.0).unwrap();
        for (height, width) in [(3, 400), (400, 3), (1, 129), (17, 17)] {
            let extent = Extent::new(3, height, width);
            let mut target = vec![0; extent.len()];
            target[0] = 1;
            let found = squared_to(&target, extent, spacing);
            let last = [4.0, 3.0 * (height - 1) as f32, (width - 1) as f32];
            assert_eq!(found.last(), Some(&last.iter().map(|d| d * d).sum()), "{extent}");
        }
    }
}
