//! Matrix products of views into slices. The only unsafe code of the crate.
#![allow(unsafe_code, reason = "the matrix kernels take pointers; every view is checked against its slice")]

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

/// A matrix in a slice, its rows contiguous.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_step: usize,
}

/// A matrix to write, its rows contiguous. No two views share an element.
pub(super) struct ViewMut<'a> {
    first: *mut f32,
    rows: usize,
    columns: usize,
    row_step: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: a ViewMut is the only way to its elements, like the `&mut [f32]` that it was made from.
unsafe impl Send for ViewMut<'_> {}

impl<'a> View<'a> {
    /// `rows` rows of `columns` elements, the first at the slice's begin, each `row_step` after the one before.
    pub(super) fn new(data: &'a [f32], rows: usize, columns: usize, row_step: usize) -> Self {
        assert!(rows > 0 && columns > 0 && (rows - 1) * row_step + columns <= data.len(), "a matrix inside its slice");
        Self { data, rows, columns, row_step }
    }
}

impl<'a> ViewMut<'a> {
    /// A whole slice.
    pub(super) fn new(data: &'a mut [f32], rows: usize, columns: usize) -> Self {
        assert!(rows > 0 && columns > 0 && rows * columns == data.len(), "a matrix of its slice's size");
        Self { first: data.as_mut_ptr(), rows, columns, row_step: columns, slice: PhantomData }
    }

    /// The columns of a matrix, `band` of them at a time (fewer in the last), each with its range.
    pub(super) fn bands(data: &'a mut [f32], rows: usize, columns: usize, band: usize) -> Vec<(Range<usize>, Self)> {
        let whole = Self::new(data, rows, columns);
        let starts = (0..columns).step_by(band);
        let views = starts.map(|start| {
            let end = (start + band).min(columns);
            // SAFETY: start < columns, so the pointer stays inside the first row of the slice.
            let first = unsafe { whole.first.add(start) };
            (start..end, Self { first, columns: end - start, ..whole.again() })
        });
        views.collect()
    }

    const fn again(&self) -> Self {
        Self { first: self.first, rows: self.rows, columns: self.columns, row_step: self.row_step, slice: PhantomData }
    }
}

/// `target` = `a` · `b`, or `target` + `a` · `b` where `add`. On the calling thread.
pub(super) fn multiply(target: &mut ViewMut<'_>, a: View<'_>, b: View<'_>, add: bool) {
    assert_eq!((a.rows, a.columns, b.columns), (target.rows, b.rows, target.columns), "shapes of a matrix product");
    let step = |step: usize| step as isize;
    // SAFETY: all three matrices lie inside their slices (checked when the views were made), the target's elements are
    // reached through `target` alone, and the shapes fit.
    unsafe {
        gemm::gemm(
            target.rows,
            target.columns,
            a.columns,
            target.first,
            1,
            step(target.row_step),
            add,
            a.data.as_ptr(),
            1,
            step(a.row_step),
            b.data.as_ptr(),
            1,
            step(b.row_step),
            1.0_f32,
            1.0_f32,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

/// `rows` × `columns` values as `columns` × `rows`.
pub(super) fn transpose(source: &[f32], rows: usize, columns: usize, target: &mut [f32]) {
    // Squares that fit the cache, so that neither side is read or written across all of memory.
    const SQUARE: usize = 16;
    for top in (0..rows).step_by(SQUARE) {
        for left in (0..columns).step_by(SQUARE) {
            let right = (left + SQUARE).min(columns);
            for row in top..(top + SQUARE).min(rows) {
                for (column, &value) in (left..right).zip(&source[row * columns + left..row * columns + right]) {
                    target[column * rows + row] = value;
                }
            }
        }
    }
}

/// Each of the matrices in `source`, of `rows` × `columns`, transposed.
pub(super) fn transposed(source: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let mut target = vec![0.0; source.len()];
    let size = rows * columns;
    let pairs = target.par_chunks_exact_mut(size).zip(source.par_chunks_exact(size));
    pairs.for_each(|(target, source)| transpose(source, rows, columns, target));
    target
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn products_of_bands(m in 1_usize..9, k in 1_usize..9, n in 1_usize..20, band in 1_usize..9) {
            let a: Vec<f32> = (0..m * k).map(|i| (i % 7) as f32 - 3.0).collect();
            let b: Vec<f32> = (0..k * n).map(|i| (i % 5) as f32 - 2.0).collect();
            let mut target = vec![1.0; m * n];
            for (columns, mut view) in ViewMut::bands(&mut target, m, n, band) {
                let b = View::new(&b[columns.start..], k, columns.len(), n);
                multiply(&mut view, View::new(&a, m, k, k), b, true);
            }
            for i in 0..m {
                for j in 0..n {
                    let expected: f32 = (0..k).map(|l| a[i * k + l] * b[l * n + j]).sum();
                    prop_assert_eq!(target[i * n + j], expected + 1.0);
                }
            }
        }

        #[test]
        fn transposed_twice_is_the_same(rows in 1_usize..40, columns in 1_usize..40, matrices in 1_usize..3) {
            let source: Vec<f32> = (0..rows * columns * matrices).map(|i| i as f32).collect();
            let there = transposed(&source, rows, columns);
            prop_assert_eq!(there[rows - 1], source[(rows - 1) * columns]);
            prop_assert_eq!(transposed(&there, columns, rows), source);
        }
    }
}
