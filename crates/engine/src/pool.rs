//! The largest of 3 × 3 in steps of 2.

use rayon::prelude::*;

use crate::grid::{BLOCK, Part, View, ViewMut};
use crate::simd::{Eight, Isa, Job, Octet, with_octet};

/// Rows of a task.
const ROWS: usize = 4;

struct Band<'s, 'a, L> {
    lanes: L,
    input: View<'a>,
    part: &'s mut Part<'a>,
}

/// Runs it on all threads of the pool.
pub(crate) fn pool(isa: Isa, input: View<'_>, output: ViewMut<'_>) {
    output.bands(ROWS).into_par_iter().for_each(|mut part| {
        part.zero_sides();
        with_octet!(isa, lanes => crate::simd::Lanes::run(lanes, Band { lanes, input, part: &mut part }));
    });
}

impl<L: Octet> Job for Band<'_, '_, L> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, input, part } = self;
        let (unit, side, width) = (part.grid.columns() * BLOCK, part.grid.pad[1], part.grid.size[1]);
        let height = input.grid.size[0];
        for (row, slice) in part.rows.clone().zip(&mut part.slices) {
            for (block, output) in slice.chunks_exact_mut(unit).enumerate() {
                let output: &mut [Eight] = output.as_chunks_mut().0;
                let windows = 2 * row..(2 * row + 3).min(height);
                for (at, row) in windows.enumerate() {
                    let input: &[Eight] = input.inside(row, block).as_chunks().0;
                    for (x, output) in output[side..side + width].iter_mut().enumerate() {
                        let window = &input[2 * x..(2 * x + 3).min(input.len())];
                        let mut largest = if at == 0 { lanes.load(window) } else { lanes.load(&[*output]) };
                        for eight in window {
                            largest = lanes.max(largest, lanes.load(std::slice::from_ref(eight)));
                        }
                        lanes.scatter(largest, std::slice::from_mut(output), 0);
                    }
                }
            }
        }
    }
}
