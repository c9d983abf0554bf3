//! A head: the sum of dilated transposed convolutions from one blob to the classes at full size.
//!
//! With stride s, output row o = i·s + d·k − p gets input row i through kernel row k. Written as o = (i + q)·s + r with
//! q = ⌊(d·k − p) / s⌋ and r = (d·k − p) mod s, kernel row k moves the whole input by q rows into the output's phase r.
//! So outputs are kept by phase, [N, class, phase row, phase column, h, w], where every kernel element is a shifted
//! plane, and put in order at the end.

use std::ops::Range;

use rayon::prelude::*;

use super::band_rows;
use super::matrix::{View, ViewMut, multiply, transposed};
use crate::graph::CLASSES;

/// Columns of the weights' gradient that one backward task takes.
const GROUP: usize = 256;

/// The sizes of a head.
#[derive(Clone, Debug)]
pub(crate) struct HeadShape {
    /// Channels in.
    pub channels: usize,
    /// Upsampling; kernels are twice as wide.
    pub stride: usize,
    /// Dilation and padding of each transposed convolution.
    pub taps: Vec<(usize, usize)>,
    /// Rows and columns of the input.
    pub size: [usize; 2],
}

/// Where a kernel row or column takes the input: by how many input pixels, and to which phase.
#[derive(Clone, Copy)]
struct Shift {
    by: isize,
    phase: usize,
}

impl HeadShape {
    const fn kernel(&self) -> usize {
        2 * self.stride
    }

    const fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Values of the output for one input.
    pub(super) const fn output(&self) -> usize {
        CLASSES * self.stride * self.stride * self.area()
    }

    fn shift(&self, (dilation, padding): (usize, usize), element: usize) -> Shift {
        let at = (dilation * element) as isize - padding as isize;
        let stride = self.stride as isize;
        Shift { by: at.div_euclid(stride), phase: at.rem_euclid(stride) as usize }
    }

    /// The part of a shifted axis that stays inside, in input pixels.
    fn inside(&self, axis: usize, shift: Shift) -> Range<usize> {
        let size = self.size[axis] as isize;
        let first = (-shift.by).clamp(0, size);
        first as usize..(size - shift.by).clamp(first, size) as usize
    }

    /// For a phase of the output rows the kernel rows that lead there: which transposed convolution, which row.
    fn kernel_rows(&self, phase: usize) -> Vec<(usize, usize)> {
        let all = (0..self.taps.len()).flat_map(|tap| (0..self.kernel()).map(move |row| (tap, row)));
        all.filter(|&(tap, row)| self.shift(self.taps[tap], row).phase == phase).collect()
    }
}

/// The head's sum by phase, without bias. `weights` are [in, class, rows, columns] each.
pub(super) fn forward(x: &[f32], weights: &[&[f32]], shape: &HeadShape) -> Vec<f32> {
    let (stride, kernel, area) = (shape.stride, shape.kernel(), shape.area());
    let channels = shape.channels;
    // The weights of each class and phase of rows together, [kernel rows · kernel columns, channels].
    let rows: Vec<Vec<(usize, usize)>> = (0..stride).map(|phase| shape.kernel_rows(phase)).collect();
    let packed: Vec<Vec<f32>> = (0..CLASSES * stride)
        .into_par_iter()
        .map(|place| {
            let (class, phase) = (place / stride, place % stride);
            let elements = rows[phase].iter().flat_map(|&(tap, row)| (0..kernel).map(move |column| (tap, row, column)));
            let element = |(tap, row, column): (usize, usize, usize)| {
                let at = (class * kernel + row) * kernel + column;
                weights[tap][at..].iter().step_by(CLASSES * kernel * kernel).copied()
            };
            elements.flat_map(element).collect()
        })
        .collect();
    let mut y = vec![0.0; x.len() / (channels * area) * shape.output()];
    y.par_chunks_exact_mut(stride * area).enumerate().for_each_init(Vec::new, |products, (task, y)| {
        let (image, place) = (task / (CLASSES * stride), task % (CLASSES * stride));
        let x = &x[image * channels * area..][..channels * area];
        let rows = &rows[place % stride];
        let height = rows.len() * kernel;
        if height == 0 {
            return;
        }
        let step = band_rows(height, shape.size[1]);
        for start in (0..shape.size[0]).step_by(step) {
            let band = start..(start + step).min(shape.size[0]);
            let length = band.len() * shape.size[1];
            products.resize(height * length, 0.0);
            let input = View::new(&x[band.start * shape.size[1]..], channels, length, area);
            let weight = View::new(&packed[place], height, channels, channels);
            multiply(&mut ViewMut::new(products, height, length), weight, input, false);
            for (&(tap, row), products) in rows.iter().zip(products.chunks_exact(kernel * length)) {
                let down = shape.shift(shape.taps[tap], row);
                for (column, product) in products.chunks_exact(length).enumerate() {
                    let across = shape.shift(shape.taps[tap], column);
                    add_shifted(&mut y[across.phase * area..][..area], product, &band, shape, down, across);
                }
            }
        }
    });
    y
}

fn add_shifted(target: &mut [f32], source: &[f32], band: &Range<usize>, shape: &HeadShape, down: Shift, across: Shift) {
    let width = shape.size[1];
    let (rows, columns) = (shape.inside(0, down), shape.inside(1, across));
    if columns.is_empty() {
        return;
    }
    for row in band.start.max(rows.start)..band.end.min(rows.end) {
        let source = &source[(row - band.start) * width..][columns.clone()];
        let to = row.wrapping_add_signed(down.by) * width + columns.start.wrapping_add_signed(across.by);
        target[to..to + source.len()].iter_mut().zip(source).for_each(|(t, &s)| *t += s);
    }
}

/// The gradient by phase as columns for kernel elements `elements` (counted class, row, column) of a transposed
/// convolution and the input's rows `band`: [elements, rows · columns].
fn unfold(
    dy: &[f32],
    tap: (usize, usize),
    elements: Range<usize>,
    band: &Range<usize>,
    shape: &HeadShape,
    columns: &mut [f32],
) {
    let (stride, kernel, area, width) = (shape.stride, shape.kernel(), shape.area(), shape.size[1]);
    let length = band.len() * width;
    columns.fill(0.0);
    for (element, columns) in elements.zip(columns.chunks_exact_mut(length)) {
        let (class, row, column) = (element / (kernel * kernel), element / kernel % kernel, element % kernel);
        let (down, across) = (shape.shift(tap, row), shape.shift(tap, column));
        let plane = &dy[((class * stride + down.phase) * stride + across.phase) * area..][..area];
        let (rows, inside) = (shape.inside(0, down), shape.inside(1, across));
        if inside.is_empty() {
            continue;
        }
        for row in band.start.max(rows.start)..band.end.min(rows.end) {
            let target = &mut columns[(row - band.start) * width..][inside.clone()];
            let from = row.wrapping_add_signed(down.by) * width + inside.start.wrapping_add_signed(across.by);
            target.copy_from_slice(&plane[from..from + target.len()]);
        }
    }
}

/// The gradients of the input and of each transposed convolution's weights, given that of the output by phase.
pub(super) fn backward(x: &[f32], weights: &[&[f32]], dy: &[f32], shape: &HeadShape) -> (Vec<f32>, Vec<Vec<f32>>) {
    let (channels, area, width) = (shape.channels, shape.area(), shape.size[1]);
    let elements = CLASSES * shape.kernel() * shape.kernel();
    let mut dx = vec![0.0; x.len()];
    let step = band_rows(elements, width);
    let tasks: Vec<_> = dx
        .chunks_exact_mut(channels * area)
        .zip(dy.chunks_exact(shape.output()))
        .flat_map(|(dx, dy)| ViewMut::bands(dx, channels, area, step * width).into_iter().map(move |band| (band, dy)))
        .collect();
    tasks.into_par_iter().for_each_init(Vec::new, |columns, ((pixels, mut dx), dy)| {
        let band = pixels.start / width..pixels.end / width;
        columns.resize(elements * pixels.len(), 0.0);
        for (i, (&tap, weight)) in shape.taps.iter().zip(weights).enumerate() {
            unfold(dy, tap, 0..elements, &band, shape, columns);
            let weight = View::new(weight, channels, elements, elements);
            multiply(&mut dx, weight, View::new(columns, elements, pixels.len(), pixels.len()), i > 0);
        }
    });

    // [kernel elements, channels] here: the kernels are faster where sums over pixels run along rows of one factor only.
    let x_by_pixel = transposed(x, channels, area);
    let mut dw: Vec<Vec<f32>> = weights.iter().map(|weight| vec![0.0; weight.len()]).collect();
    let step = band_rows(GROUP.min(elements), width);
    let groups = dw.iter_mut().zip(&shape.taps).flat_map(|(dw, &tap)| {
        let parts = dw.chunks_mut(GROUP * channels).enumerate();
        parts.map(move |(place, part)| (place * GROUP..place * GROUP + part.len() / channels, part, tap))
    });
    let tasks: Vec<_> = groups.collect();
    tasks.into_par_iter().for_each_init(Vec::new, |columns, (part, dw, tap)| {
        let mut dw = ViewMut::new(dw, part.len(), channels);
        for (x, dy) in x_by_pixel.chunks_exact(channels * area).zip(dy.chunks_exact(shape.output())) {
            for start in (0..shape.size[0]).step_by(step) {
                let band = start..(start + step).min(shape.size[0]);
                let length = band.len() * width;
                columns.resize(part.len() * length, 0.0);
                unfold(dy, tap, part.clone(), &band, shape, columns);
                let x = View::new(&x[band.start * width * channels..], length, channels, channels);
                multiply(&mut dw, View::new(columns, part.len(), length, length), x, true);
            }
        }
    });
    let dw = dw.iter().map(|dw| transposed(dw, elements, channels)).collect();
    (dx, dw)
}

/// By phase to rows and columns: [N, class, H, W].
pub(super) fn to_pixels(phases: &[f32], shape: &HeadShape) -> Vec<f32> {
    let (stride, width) = (shape.stride, shape.size[1]);
    let mut pixels = vec![0.0; phases.len()];
    let rows = stride * width;
    pixels.par_chunks_exact_mut(rows * stride).enumerate().for_each(|(row, target)| {
        let (plane, row) = (row / shape.size[0], row % shape.size[0]);
        let phases = &phases[plane * stride * stride * shape.area()..][..stride * stride * shape.area()];
        for (phase_row, target) in target.chunks_exact_mut(rows).enumerate() {
            for phase in 0..stride {
                let source = &phases[(phase_row * stride + phase) * shape.area() + row * width..][..width];
                target[phase..].iter_mut().step_by(stride).zip(source).for_each(|(t, &s)| *t = s);
            }
        }
    });
    pixels
}

/// Rows and columns [N, class, H, W] to phases.
pub(super) fn to_phases(pixels: &[f32], shape: &HeadShape) -> Vec<f32> {
    let (stride, width, area) = (shape.stride, shape.size[1], shape.area());
    let mut phases = vec![0.0; pixels.len()];
    phases.par_chunks_exact_mut(area).enumerate().for_each(|(place, target)| {
        let (plane, phase_row, phase) = (place / (stride * stride), place / stride % stride, place % stride);
        let pixels = &pixels[plane * stride * stride * area..][..stride * stride * area];
        for (row, target) in target.chunks_exact_mut(width).enumerate() {
            let source = &pixels[(row * stride + phase_row) * stride * width + phase..];
            target.iter_mut().zip(source.iter().step_by(stride)).for_each(|(t, &s)| *t = s);
        }
    });
    phases
}
