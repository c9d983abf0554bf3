//! Convolution of a blob with few channels (the network's input): each row is unfolded into blocks of channels, one
//! channel per input channel and kernel element, and the rest is a 1 × 1 convolution.

use rayon::prelude::*;

use crate::conv::Direct;
use crate::grid::{BLOCK, Grid, View, ViewMut};
use crate::layer::Conv;
use crate::pack::Channels;
use crate::scratch::Scratch;
use crate::simd::Isa;

/// Rows of a task.
const ROWS: usize = 8;

/// A convolution of a blob in planes, ready to run.
pub(crate) struct Unfolded {
    pointwise: Direct,
    kernel: [usize; 2],
    stride: usize,
    padding: [usize; 2],
    planes: usize,
}

impl Unfolded {
    /// Packs a convolution's weights for an input of `planes` channels.
    pub(crate) fn new(isa: Isa, conv: &Conv, planes: usize) -> Self {
        let channels = planes * conv.kernel[0] * conv.kernel[1];
        // [out, in, rows, columns] is [out, in · rows · columns] as it stands.
        let pointwise = Conv { kernel: [1, 1], stride: 1, padding: [0, 0], ..conv.clone() };
        let pointwise = Direct::new(isa, &pointwise, &Channels(vec![channels]), None);
        Self { pointwise, kernel: conv.kernel, stride: conv.stride, padding: conv.padding, planes }
    }

    /// Bytes of its weights.
    pub(crate) fn bytes(&self) -> u64 {
        self.pointwise.bytes()
    }

    /// Numbers of scratch for results of `width` columns.
    pub(crate) fn scratch(&self, width: usize) -> usize {
        self.unfolded(width).row()
    }

    fn unfolded(&self, width: usize) -> Grid {
        let blocks = (self.planes * self.kernel[0] * self.kernel[1]).div_ceil(BLOCK);
        Grid { blocks, lanes: BLOCK, size: [1, width], pad: [0, 0] }
    }

    /// Runs it on all threads of the pool.
    pub(crate) fn run(&self, isa: Isa, scratch: &Scratch, input: View<'_>, output: ViewMut<'_>) {
        let grid = self.unfolded(output.grid.size[1]);
        output.bands(ROWS).into_par_iter().for_each(|mut part| {
            part.zero_sides();
            scratch.with(|scratch| {
                let data = &mut scratch.numbers_mut()[..grid.row()];
                data.fill(0.0);
                for (row, slice) in part.rows.clone().zip(&mut part.slices) {
                    self.unfold(input, row, data);
                    let unfolded = View { data, grid, first: 0, blocks: grid.blocks };
                    for panel in self.pointwise.panels() {
                        self.pointwise.row(
                            isa,
                            unfolded,
                            0,
                            panel,
                            &mut slice[self.pointwise.start(panel, &part.grid)..],
                            &part.grid,
                        );
                    }
                }
            });
        });
    }

    /// The input's windows for one row of the result.
    fn unfold(&self, input: View<'_>, row: usize, data: &mut [f32]) {
        let [rows, columns] = self.kernel;
        let [above, left] = [0, 1].map(|axis| input.grid.pad[axis] - self.padding[axis]);
        let width = data.len() / BLOCK / (self.planes * rows * columns).div_ceil(BLOCK);
        let mut at = 0;
        for plane in 0..self.planes {
            for y in 0..rows {
                for x in 0..columns {
                    let from = input.from(row * self.stride + above + y, plane * input.grid.columns() + left + x);
                    let (block, lane) = (at / BLOCK, at % BLOCK);
                    let to = data[block * BLOCK * width..][..BLOCK * width].iter_mut().skip(lane).step_by(BLOCK);
                    to.zip(from.iter().step_by(self.stride)).for_each(|(to, &from)| *to = from);
                    at += 1;
                }
            }
        }
    }
}
