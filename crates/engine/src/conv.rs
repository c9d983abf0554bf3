//! Convolution straight from the input's blocks, without unfolding it.

use std::ops::Range;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::grid::{BLOCK, Grid, View, ViewMut};
use crate::layer::Conv;
use crate::pack::{Channels, eights, floors, pack, packed_len, panels};
use crate::simd::{Eight, Isa};
use crate::tile::{Finish, Source, Taps, Target, Weights, run};

/// Pixels of a task: enough for each weight that is fetched from the shared cache to be used this often.
const PIXELS: usize = 256;

/// The fewest pixels of a task, where there are many threads.
const FEWEST_PIXELS: usize = 128;

/// Tasks for each thread, at least, so that they end at about the same time.
const TASKS: usize = 4;

/// A convolution of a blob in blocks, ready to run.
pub(crate) struct Direct {
    taps: Taps,
    stride: usize,
    padding: [usize; 2],
    panels: Vec<Panel>,
    weights: Aligned,
    /// Numbers of the weights.
    len: usize,
    bias: Vec<Eight>,
    floor: Vec<Eight>,
    /// Whether the result is added to what is there.
    add: bool,
}

/// Output channels that are summed together.
#[derive(Clone, Copy, Debug)]
struct Panel {
    /// Its first eight of output channels.
    first: usize,
    /// How many eights.
    eights: usize,
}

impl Direct {
    /// Packs a convolution's weights, where it has any (see [`crate::Sketch`]). With a `share`, share · result is added to what is there, and a ReLU follows.
    pub(crate) fn new(isa: Isa, conv: &Conv, inputs: &Channels, share: Option<f32>) -> Self {
        let [rows, columns] = conv.kernel;
        let elements = rows * columns;
        let widths = panels(conv.channels().div_ceil(BLOCK), isa.panel());
        let places = inputs.places(BLOCK);
        let channels = inputs.count();
        let scale = share.unwrap_or(1.0);
        let len = packed_len(&widths, places.len(), elements);
        let mut weights = Aligned::zeros(if conv.weights.is_empty() { 0 } else { len });
        if !conv.weights.is_empty() {
            pack(weights.numbers_mut(), conv.channels(), &widths, &places, elements, |output, input, element| {
                scale * conv.weights[(output * channels + input) * elements + element]
            });
        }
        let mut bias = eights(&conv.bias);
        bias.as_flattened_mut().iter_mut().for_each(|b| *b *= scale);
        let floor = floors(conv.channels(), conv.relu || share.is_some());
        let taps = Taps { blocks: places.len() / BLOCK, rows, columns };
        let starts = widths.iter().scan(0, |sum, &width| Some(std::mem::replace(sum, *sum + width)));
        let panels = starts.zip(&widths).map(|(first, &eights)| Panel { first, eights }).collect();
        Self {
            taps,
            stride: conv.stride,
            padding: conv.padding,
            panels,
            weights,
            len,
            bias,
            floor,
            add: share.is_some(),
        }
    }

    /// Bytes of its weights.
    pub(crate) fn bytes(&self) -> u64 {
        Aligned::bytes(self.len)
    }

    /// Runs it on all threads of the pool.
    pub(crate) fn run(&self, isa: Isa, input: View<'_>, output: ViewMut<'_>) {
        let [height, width] = output.grid.size;
        let tasks = TASKS * rayon::current_num_threads();
        let band = PIXELS.div_ceil(width).min(height.div_ceil(tasks)).max(FEWEST_PIXELS.div_ceil(width));
        // Where rows are few, output channels are shared out too.
        let groups = tasks.div_ceil(height.div_ceil(band));
        let group = self.panels.len().div_ceil(groups);
        let ends: Vec<usize> =
            self.panels.chunks(group).filter_map(|panels| panels.last()).map(|p| p.first + p.eights).collect();
        output.parts(band, &ends).into_par_iter().with_max_len(1).for_each(|mut part| {
            part.zero_sides();
            let first = part.group * group;
            let before = self.start(first, &part.grid);
            for panel in first..(first + group).min(self.panels.len()) {
                let start = self.start(panel, &part.grid) - before;
                for (row, slice) in part.rows.clone().zip(&mut part.slices) {
                    self.row(isa, input, row, panel, &mut slice[start..], &part.grid);
                }
            }
        });
    }

    /// How many panels it has.
    pub(crate) fn panels(&self) -> Range<usize> {
        0..self.panels.len()
    }

    /// Where a panel's results begin in a row of the blob.
    pub(crate) fn start(&self, panel: usize, grid: &Grid) -> usize {
        self.panels[panel].first * grid.columns() * BLOCK
    }

    /// One row of the result for a panel, whose eights begin `slice`.
    pub(crate) fn row(&self, isa: Isa, input: View<'_>, row: usize, panel: usize, slice: &mut [f32], grid: &Grid) {
        let Panel { first, eights: panel } = self.panels[panel];
        let start = first * self.taps.count() * BLOCK;
        let weights = Weights { eights: &self.weights.eights()[start..], step: panel, panel };
        let finish =
            Finish { bias: &self.bias[first..first + panel], add: self.add, floor: &self.floor[first..first + panel] };
        let [above, left] = [0, 1].map(|axis| input.grid.pad[axis] - self.padding[axis]);
        let source = Source {
            eights: input.eights_from(row * self.stride + above, left),
            block: input.grid.columns(),
            row: input.grid.row() / BLOCK,
            stride: self.stride,
        };
        let target: &mut [Eight] = slice.as_chunks_mut().0;
        let target = Target { eights: &mut target[grid.pad[1]..], block: grid.columns() };
        run(isa, grid.size[1], source, self.taps, weights, finish, target);
    }
}
