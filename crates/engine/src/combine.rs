//! Sums of blobs, where no kernel takes them along.

use rayon::prelude::*;

use crate::grid::{Part, View, ViewMut};
use crate::simd::{Isa, Job, Lanes, with_octet};

/// Rows of a task.
const ROWS: usize = 16;

/// max(Σ share · input, floor)
pub(crate) struct Combine {
    /// The share of each input.
    pub shares: Vec<f32>,
    /// 0 for a ReLU, −∞ for none.
    pub floor: f32,
}

struct Band<'s, 'a> {
    combine: &'s Combine,
    inputs: &'s [View<'a>],
    part: &'s mut Part<'a>,
}

impl Combine {
    /// Runs it on all threads of the pool.
    pub(crate) fn run(&self, isa: Isa, inputs: &[View<'_>], output: ViewMut<'_>) {
        output.bands(ROWS).into_par_iter().for_each(|mut part| {
            part.zero_sides();
            with_octet!(isa, lanes => lanes.run(Band { combine: self, inputs, part: &mut part }));
        });
    }
}

impl Job for Band<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        let Self { combine, inputs, part } = self;
        let lanes = part.grid.lanes;
        let (unit, side, width) = (part.grid.columns() * lanes, part.grid.pad[1] * lanes, part.grid.size[1] * lanes);
        for (row, slice) in part.rows.clone().zip(&mut part.slices) {
            for (block, output) in slice.chunks_exact_mut(unit).enumerate() {
                let output = &mut output[side..side + width];
                output.fill(0.0);
                for (input, &share) in inputs.iter().zip(&combine.shares) {
                    output.iter_mut().zip(input.inside(row, block)).for_each(|(sum, &value)| *sum += share * value);
                }
                for value in output {
                    *value = value.max(combine.floor);
                }
            }
        }
    }
}
