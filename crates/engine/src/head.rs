//! A head: the sum of dilated transposed convolutions from one blob to a few planes at full size.
//!
//! With stride s, input row i meets output row o = i·s + d·k − p through kernel row k; columns alike. With
//! q = ⌊(d·k − p) / s⌋ and r = (d·k − p) mod s that is o = (i + q)·s + r: kernel column k moves a whole row of inputs by
//! q into the output's phase r. So a task takes a band of output rows; for every input row and the kernel rows that lead
//! into the band it makes one matrix product, pixels times (class, kernel column), turns it so that pixels run along the
//! vectors, and adds each of its rows, shifted, to its phase. Phases are put in order at the end.

use std::ops::Range;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::grid::{BLOCK, Part, View, ViewMut};
use crate::layer::Head;
use crate::pack::{Channels, pack, packed_len, panels as widths};
use crate::scratch::Scratch;
use crate::simd::{Eight, Isa, Job, Octet, with_octet};
use crate::tile::{Finish, Source, Taps, Target, Weights, run};

/// Rows of a task, where there are enough for all threads: the more, the more kernel rows share a product.
const ROWS: usize = 128;

/// The fewest rows of a task.
const FEWEST_ROWS: usize = 16;

/// Tasks for each thread, at least.
const TASKS: usize = 4;

/// A product has no bias and no floor.
const NONE: [Eight; 4] = [[0.0; BLOCK]; 4];
const ANY: [Eight; 4] = [[f32::NEG_INFINITY; BLOCK]; 4];

/// A head, ready to run.
pub(crate) struct PackedHead {
    blocks: usize,
    classes: usize,
    kernel: usize,
    stride: usize,
    /// Dilation and padding of each transposed convolution.
    taps: Vec<(usize, usize)>,
    panels: Vec<Panel>,
    weights: Aligned,
    /// Numbers of the weights.
    len: usize,
    bias: Vec<f32>,
}

/// Results that are summed together: whole kernel rows, or a part of one.
struct Panel {
    weights: usize,
    tap: usize,
    kernel_rows: Range<usize>,
    /// The first eight of each kernel row, and how many of it.
    first: usize,
    eights: usize,
}

impl PackedHead {
    /// Packs a head's weights.
    pub(crate) fn new(isa: Isa, head: &Head, inputs: &Channels) -> Self {
        let (classes, kernel, most) = (head.bias.len(), head.kernel, isa.panel());
        let eights = (classes * kernel).div_ceil(BLOCK);
        let together = (most / eights).max(1);
        let places = inputs.places(BLOCK);
        let mut panels = Vec::new();
        let mut len = 0;
        for tap in 0..head.taps.len() {
            for start in (0..kernel).step_by(together) {
                let kernel_rows = start..(start + together).min(kernel);
                let mut first = 0;
                for eights in widths(eights, most) {
                    let rows = kernel_rows.clone();
                    panels.push(Panel { weights: len / BLOCK, tap, kernel_rows: rows, first, eights });
                    len += packed_len(&[kernel_rows.len() * eights], places.len(), 1);
                    first += eights;
                }
            }
        }
        let filled = head.taps.iter().all(|tap| !tap.weights.is_empty());
        let mut weights = Aligned::zeros(if filled { len } else { 0 });
        for panel in panels.iter().filter(|_| filled) {
            let Panel { weights: start, tap, kernel_rows, first, eights } = panel;
            let columns = eights * BLOCK;
            let all = kernel_rows.len() * columns;
            let target = &mut weights.numbers_mut()[start * BLOCK..][..all * places.len()];
            pack(target, all, &[kernel_rows.len() * eights], &places, 1, |output, input, _| {
                let (row, column) = (output / columns, first * BLOCK + output % columns);
                let (class, column) = (column / kernel, column % kernel);
                if class >= classes {
                    return 0.0;
                }
                let at = (input * classes + class) * kernel + kernel_rows.start + row;
                head.taps[*tap].weights[at * kernel + column]
            });
        }
        Self {
            blocks: places.len() / BLOCK,
            classes,
            kernel,
            stride: head.stride,
            taps: head.taps.iter().map(|tap| (tap.dilation, tap.padding)).collect(),
            panels,
            weights,
            len,
            bias: head.bias.clone(),
        }
    }

    /// Bytes of its weights.
    pub(crate) fn bytes(&self) -> u64 {
        Aligned::bytes(self.len)
    }

    /// Numbers of scratch for inputs of `width` columns: a product, the same turned, an output row.
    pub(crate) fn scratch(&self, width: usize) -> usize {
        (NONE.len() + 1) * width.next_multiple_of(BLOCK) * BLOCK + self.stride * width
    }

    /// Runs it on all threads of the pool.
    pub(crate) fn run(&self, isa: Isa, scratch: &Scratch, input: View<'_>, output: ViewMut<'_>) {
        let tasks = TASKS * rayon::current_num_threads();
        let band = output.grid.size[0].div_ceil(tasks).clamp(FEWEST_ROWS, ROWS);
        output.bands(band).into_par_iter().with_max_len(1).for_each(|mut part| {
            part.slices.iter_mut().for_each(|slice| slice.fill(0.0));
            scratch.with(|scratch| {
                let width = input.grid.size[1].next_multiple_of(BLOCK);
                let (products, rest) = scratch.numbers_mut().split_at_mut(NONE.len() * width * BLOCK);
                let (turned, ordered) = rest.split_at_mut(width * BLOCK);
                self.band(isa, input, &mut part, products.as_chunks_mut().0, turned);
                for slice in &mut part.slices {
                    self.order(slice, part.grid.columns(), part.grid.pad[1], ordered);
                }
            });
        });
    }

    /// Adds all that leads into a band of output rows, by phase.
    fn band(&self, isa: Isa, input: View<'_>, part: &mut Part<'_>, products: &mut [Eight], turned: &mut [f32]) {
        let [height, width] = input.grid.size;
        let taps = Taps { blocks: self.blocks, rows: 1, columns: 1 };
        for row in 0..height {
            let source = Source {
                eights: input.eights_from(row + input.grid.pad[0], input.grid.pad[1]),
                block: input.grid.columns(),
                row: 0,
                stride: 1,
            };
            for panel in &self.panels {
                let inside = self.inside(panel, row, &part.rows);
                if inside.is_empty() {
                    continue;
                }
                let skipped = (inside.start - panel.kernel_rows.start) * panel.eights;
                let count = inside.len() * panel.eights;
                let weights = Weights {
                    eights: &self.weights.eights()[panel.weights + skipped..],
                    step: panel.kernel_rows.len() * panel.eights,
                    panel: count,
                };
                let finish = Finish { bias: &NONE[..count], add: false, floor: &ANY[..count] };
                run(isa, width, source, taps, weights, finish, Target { eights: products, block: width });
                for (at, product) in products.chunks_exact(width).take(count).enumerate() {
                    let kernel_row = inside.start + at / panel.eights;
                    let (dilation, padding) = self.taps[panel.tap];
                    let output = row * self.stride + dilation * kernel_row - padding - part.rows.start;
                    let first = (panel.first + at % panel.eights) * BLOCK;
                    let (unit, side) = (part.grid.columns(), part.grid.pad[1]);
                    let slice = &mut part.slices[output];
                    let head = self;
                    let tap = (dilation, padding);
                    with_octet!(isa, lanes => crate::simd::Lanes::run(
                        lanes,
                        Shift { lanes, head, tap, first, product, turned, slice, unit, side }
                    ));
                }
            }
        }
    }

    /// The kernel rows of a panel through which input row `row` meets one of `rows`.
    fn inside(&self, panel: &Panel, row: usize, rows: &Range<usize>) -> Range<usize> {
        let (dilation, padding) = self.taps[panel.tap];
        // o = row·s + d·k − p from rows.start on: k from (rows.start + p − row·s) / d, rounded up.
        let from = |output: usize| (output + padding).saturating_sub(row * self.stride).div_ceil(dilation);
        let Range { start, end } = panel.kernel_rows;
        let first = from(rows.start).clamp(start, end);
        first..from(rows.end).clamp(first, end)
    }

    /// From phases to pixels, with bias and ReLU, for a row of the output.
    fn order(&self, slice: &mut [f32], unit: usize, side: usize, ordered: &mut [f32]) {
        let length = unit - 2 * side;
        let width = length / self.stride;
        for (plane, &bias) in slice.chunks_exact_mut(unit).zip(&self.bias) {
            let plane = &mut plane[side..side + length];
            let ordered = &mut ordered[..length];
            for (phase, values) in plane.chunks_exact(width).enumerate() {
                let pixels = ordered.iter_mut().skip(phase).step_by(self.stride);
                pixels.zip(values).for_each(|(pixel, &value)| *pixel = (value + bias).max(0.0));
            }
            plane.copy_from_slice(ordered);
        }
    }
}

/// Turns eight columns of a product and adds each, shifted, to its phase.
struct Shift<'s, L> {
    lanes: L,
    head: &'s PackedHead,
    tap: (usize, usize),
    /// The first of the columns: class · kernel + kernel column.
    first: usize,
    product: &'s [Eight],
    turned: &'s mut [f32],
    slice: &'s mut [f32],
    unit: usize,
    side: usize,
}

impl<L: Octet> Job for Shift<'_, L> {
    type Answer = ();

    #[inline(always)]
    fn run(self) {
        let Self { lanes, head, tap: (dilation, padding), first, product, turned, slice, unit, side } = self;
        let width = product.len();
        let room = width.next_multiple_of(BLOCK);
        for (start, pixels) in product.chunks(BLOCK).enumerate() {
            let last = pixels.len() - 1;
            let mut rows = [lanes.load(pixels); BLOCK];
            for i in 1..BLOCK {
                rows[i] = lanes.load(&pixels[i.min(last)..]);
            }
            let columns = lanes.transpose(rows);
            for column in 0..BLOCK {
                let place = &mut turned[column * room + start * BLOCK..][..BLOCK];
                lanes.scatter(columns[column], place.as_chunks_mut().0, 0);
            }
        }
        let columns = first..(first + BLOCK).min(head.classes * head.kernel);
        for (column, turned) in columns.zip(turned.chunks_exact(room)) {
            let (class, column) = (column / head.kernel, column % head.kernel);
            let shift = (dilation * column) as isize - padding as isize;
            let (by, phase) = (shift.div_euclid(head.stride as isize), shift.rem_euclid(head.stride as isize) as usize);
            let plane = &mut slice[class * unit + side + phase * width..][..width];
            let distance = by.unsigned_abs().min(width);
            let (to, from) = if by < 0 {
                (&mut plane[..width - distance], &turned[distance..width])
            } else {
                (&mut plane[distance..], &turned[..width - distance])
            };
            to.iter_mut().zip(from).for_each(|(sum, &value)| *sum += value);
        }
    }
}
