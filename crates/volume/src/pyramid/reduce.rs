//! Many voxels become one.
//!
//! The rules are TensorStore's `downsample` (<https://google.github.io/tensorstore/driver/downsample/>), so that another
//! program makes the same voxels of a volume: windows count from the first voxel, and one that sticks out of the volume
//! counts what lies inside.

use std::cmp::Ordering;

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::{Block, Extent, Voxels};

/// What a voxel of a coarser level is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduce {
    /// The mean, for grey values. Whole numbers are averaged exactly and rounded to the nearest, halves to the even one.
    Mean,
    /// The most frequent value, for labels; of those that are equally frequent, the lowest.
    Mode,
}

/// A number that voxels are.
trait Number: Copy + Default + Send + Sync {
    type Sum: Copy + Default + Send;

    fn add(sum: Self::Sum, number: Self) -> Self::Sum;

    /// The mean of `count` numbers, which is at least 1.
    fn mean(sum: Self::Sum, count: u64) -> Self;

    fn order(&self, other: &Self) -> Ordering;
}

macro_rules! whole {
    ($($number:ty),*) => {$(
        impl Number for $number {
            type Sum = i64;

            fn add(sum: i64, number: Self) -> i64 {
                sum + i64::from(number)
            }

            fn mean(sum: i64, count: u64) -> Self {
                let power = count.is_power_of_two();
                let count = count as i64;
                // Both round down; nearly all windows have 2, 4 or 8 voxels, and a division takes long.
                let below = if power { sum >> count.trailing_zeros() } else { sum.div_euclid(count) };
                let rest = sum - below * count;
                // Up where the rest is more than half; where it is half, if that makes it even.
                (below + i64::from(2 * rest + (below & 1) > count)) as Self
            }

            fn order(&self, other: &Self) -> Ordering {
                self.cmp(other)
            }
        }
    )*};
}

whole!(u8, u16, i16, u32);

impl Number for f32 {
    type Sum = f64;

    fn add(sum: f64, number: Self) -> f64 {
        sum + f64::from(number)
    }

    fn mean(sum: f64, count: u64) -> Self {
        (sum / count as f64) as Self
    }

    fn order(&self, other: &Self) -> Ordering {
        self.total_cmp(other)
    }
}

/// Each window of a block as one voxel. The block begins at a window's first voxel.
///
/// # Panics
/// If the window has no voxel.
pub(crate) fn reduce(block: &Block, window: Extent, by: Reduce) -> Block {
    assert!(!window.is_empty(), "a window has voxels");
    let size = block.extent();
    let extent = Extent::new(size.z.div_ceil(window.z), size.y.div_ceil(window.y), size.x.div_ceil(window.x));
    let voxels = match block.voxels() {
        Voxels::U8(v) => Voxels::U8(numbers(v, size, window, extent, by)),
        Voxels::U16(v) => Voxels::U16(numbers(v, size, window, extent, by)),
        Voxels::I16(v) => Voxels::I16(numbers(v, size, window, extent, by)),
        Voxels::U32(v) => Voxels::U32(numbers(v, size, window, extent, by)),
        Voxels::F32(v) => Voxels::F32(numbers(v, size, window, extent, by)),
    };
    Block::new(extent, voxels)
}

fn numbers<T: Number>(source: &[T], size: Extent, window: Extent, extent: Extent, by: Reduce) -> Vec<T> {
    let mut out = vec![T::default(); extent.len()];
    if out.is_empty() {
        return out;
    }
    let (width, from_width) = (extent.x as usize, size.x as usize);
    let step = window.x as usize;
    out.par_chunks_mut(width).enumerate().for_each_init(Vec::new, |scratch, (row, out)| {
        let (z, y) = (row as u64 / extent.y * window.z, row as u64 % extent.y * window.y);
        let rows = || {
            (z..size.z.min(z + window.z)).flat_map(move |z| {
                (y..size.y.min(y + window.y)).map(move |y| {
                    let from = ((z * size.y + y) * size.x) as usize;
                    &source[from..from + from_width]
                })
            })
        };
        match by {
            Reduce::Mean => mean(rows(), step, out),
            Reduce::Mode => mode(&rows().collect::<Vec<_>>(), step, scratch, out),
        }
    });
    out
}

fn mean<'a, T: Number + 'a>(rows: impl Iterator<Item = &'a [T]>, step: usize, out: &mut [T]) {
    let mut sums = vec![T::Sum::default(); out.len()];
    let (mut count, mut width) = (0, 0);
    for row in rows {
        (count, width) = (count + 1, row.len());
        if step == 2 {
            let (pairs, last) = row.as_chunks::<2>();
            for (sum, &[a, b]) in sums.iter_mut().zip(pairs) {
                *sum = T::add(T::add(*sum, a), b);
            }
            if let (Some(sum), [number]) = (sums.last_mut(), last) {
                *sum = T::add(*sum, *number);
            }
        } else {
            for (sum, window) in sums.iter_mut().zip(row.chunks(step)) {
                *sum = window.iter().fold(*sum, |sum, &number| T::add(sum, number));
            }
        }
    }
    for (i, (out, sum)) in out.iter_mut().zip(sums).enumerate() {
        *out = T::mean(sum, count * (width - i * step).min(step) as u64);
    }
}

fn mode<T: Number>(rows: &[&[T]], step: usize, scratch: &mut Vec<T>, out: &mut [T]) {
    for (i, out) in out.iter_mut().enumerate() {
        let from = i * step;
        let windows = || rows.iter().map(|row| &row[from..row.len().min(from + step)]);
        *out = rows[0][from];
        // Most windows lie inside one object.
        if windows().flatten().all(|number| number.order(out) == Ordering::Equal) {
            continue;
        }
        scratch.clear();
        windows().for_each(|window| scratch.extend_from_slice(window));
        scratch.sort_unstable_by(T::order);
        let mut most = 0;
        for run in scratch.chunk_by(|a, b| a.order(b) == Ordering::Equal) {
            if run.len() > most {
                (most, *out) = (run.len(), run[0]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn u8s(z: u64, y: u64, x: u64, values: &[u8]) -> Block {
        Block::new(Extent::new(z, y, x), Voxels::U8(values.to_vec()))
    }

    #[test]
    fn halves_go_to_the_even_number() {
        let means = |a: &[i16]| {
            let block = Block::new(Extent::new(1, 1, a.len() as u64), Voxels::I16(a.to_vec()));
            reduce(&block, Extent::new(1, 1, 2), Reduce::Mean).into_voxels()
        };
        assert_eq!(means(&[0, 1, 1, 2, 2, 3, 0, -1, -1, -2, -2, -3]), Voxels::I16(vec![0, 2, 2, 0, -2, -2]));
        // The extremes, and a window of one.
        assert_eq!(means(&[i16::MIN, i16::MIN, i16::MAX, i16::MAX, 7]), Voxels::I16(vec![i16::MIN, i16::MAX, 7]));
        let thirds = reduce(&u8s(1, 1, 3, &[1, 1, 0]), Extent::new(1, 1, 3), Reduce::Mean);
        assert_eq!(thirds.into_voxels(), Voxels::U8(vec![1]));
        let top = Block::new(Extent::new(2, 1, 1), Voxels::U32(vec![u32::MAX; 2]));
        assert_eq!(reduce(&top, Extent::new(2, 1, 1), Reduce::Mean).into_voxels(), Voxels::U32(vec![u32::MAX]));
    }

    #[test]
    fn the_mode_is_the_most_frequent_then_the_lowest() {
        let mode = |values: &[u8]| reduce(&u8s(1, 2, 4, values), Extent::new(1, 2, 2), Reduce::Mode).into_voxels();
        assert_eq!(mode(&[9, 3, 7, 7, 9, 3, 0, 7]), Voxels::U8(vec![3, 7]));
        let last = reduce(&u8s(1, 1, 5, &[4, 2, 2, 2, 8]), Extent::new(1, 1, 3), Reduce::Mode);
        assert_eq!(last.into_voxels(), Voxels::U8(vec![2, 2]));
        let floats = Block::new(Extent::new(1, 1, 3), Voxels::F32(vec![0.5, f32::NAN, 0.5]));
        assert_eq!(reduce(&floats, Extent::new(1, 1, 3), Reduce::Mode).into_voxels(), Voxels::F32(vec![0.5]));
    }
}
