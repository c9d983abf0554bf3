//! Convolution of a few planes to a few planes, as after each head: every plane's row is one long vector.

use rayon::prelude::*;

use crate::grid::{Part, View, ViewMut};
use crate::layer::Conv;
use crate::simd::{Isa, Job, Lanes, with_octet};

/// Rows of a task.
const ROWS: usize = 16;

/// The most channels for which a blob is kept in planes.
pub(crate) const MOST: usize = 4;

/// A convolution in steps of 1 of a blob in planes to another, ready to run.
pub(crate) struct Planes {
    conv: Conv,
    planes: usize,
}

struct Band<'s, 'a> {
    layer: &'s Planes,
    input: View<'a>,
    part: &'s mut Part<'a>,
}

impl Planes {
    /// A convolution of an input of `planes` channels.
    pub(crate) fn new(conv: Conv, planes: usize) -> Self {
        Self { conv, planes }
    }

    /// Bytes of its weights.
    pub(crate) fn bytes(&self) -> u64 {
        (4 * self.conv.channels() * self.planes * self.conv.kernel[0] * self.conv.kernel[1]) as u64
    }

    /// Runs it on all threads of the pool.
    pub(crate) fn run(&self, isa: Isa, input: View<'_>, output: ViewMut<'_>) {
        output.bands(ROWS).into_par_iter().for_each(|mut part| {
            part.zero_sides();
            let layer = self;
            with_octet!(isa, lanes => lanes.run(Band { layer, input, part: &mut part }));
        });
    }
}

impl Job for Band<'_, '_> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        let Self { layer: Planes { conv, planes }, input, part } = self;
        let [rows, columns] = conv.kernel;
        let [above, left] = [0, 1].map(|axis| input.grid.pad[axis] - conv.padding[axis]);
        let (unit, side, width) = (part.grid.columns(), part.grid.pad[1], part.grid.size[1]);
        let floor = if conv.relu { 0.0 } else { f32::NEG_INFINITY };
        for (row, slice) in part.rows.clone().zip(&mut part.slices) {
            let filters = conv.weights.chunks_exact(planes * rows * columns).zip(&conv.bias);
            for (output, (filter, &bias)) in slice.chunks_exact_mut(unit).zip(filters) {
                let output = &mut output[side..side + width];
                output.fill(bias);
                for (at, filter) in filter.chunks_exact(columns).enumerate() {
                    let (plane, y) = (at / rows, at % rows);
                    let from = input.from(row + above + y, plane * input.grid.columns() + left);
                    for (x, &weight) in filter.iter().enumerate() {
                        output.iter_mut().zip(&from[x..]).for_each(|(sum, &value)| *sum += weight * value);
                    }
                }
                for value in output {
                    *value = value.max(floor);
                }
            }
        }
    }
}
