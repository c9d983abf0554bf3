//! Convolution as matrix products over bands of rows, forward and backward.

use std::ops::Range;

use rayon::prelude::*;

use super::band_rows;
use super::matrix::{View, ViewMut, multiply, transposed};

/// Kernel elements times channels that one backward task takes.
const GROUP: usize = 288;

/// The sizes of a convolution.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConvShape {
    /// Channels in and out.
    pub channels: [usize; 2],
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step in rows and columns.
    pub stride: usize,
    /// Zeros around the input.
    pub padding: [usize; 2],
    /// Rows and columns of the input.
    pub size: [usize; 2],
}

impl ConvShape {
    /// Rows and columns of the output.
    pub(super) fn output(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.size[axis] + 2 * self.padding[axis] - self.kernel[axis]) / self.stride + 1)
    }

    fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    fn input_area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    pub(super) fn output_area(&self) -> usize {
        self.output()[0] * self.output()[1]
    }

    /// Whether the input is its own unfolding.
    fn is_pointwise(&self) -> bool {
        self.taps() == 1 && self.stride == 1
    }

    /// For a kernel element along an axis the output positions that meet the input, and the input's for output 0.
    fn meeting(&self, axis: usize, element: usize) -> (Range<usize>, isize) {
        let shift = element as isize - self.padding[axis] as isize;
        let stride = self.stride as isize;
        let first = if shift < 0 { (-shift + stride - 1) / stride } else { 0 };
        let last = (self.size[axis] as isize - 1 - shift).div_euclid(stride) + 1;
        // Where the kernel is wider than the input, none.
        let last = last.min(self.output()[axis] as isize).max(first);
        (first as usize..last as usize, shift)
    }

    /// The input's windows for output rows `rows` as columns: [channels · kernel, rows · output columns].
    fn unfold(&self, x: &[f32], rows: &Range<usize>, columns: &mut Vec<f32>) {
        let width = self.output()[1];
        let length = rows.len() * width;
        columns.clear();
        columns.resize(x.len() / self.input_area() * self.taps() * length, 0.0);
        let elements = (0..self.kernel[0]).flat_map(|ky| (0..self.kernel[1]).map(move |kx| (ky, kx)));
        let elements: Vec<_> = elements.map(|(ky, kx)| (self.meeting(0, ky), self.meeting(1, kx))).collect();
        for (plane, columns) in x.chunks_exact(self.input_area()).zip(columns.chunks_exact_mut(self.taps() * length)) {
            for (((down, dy), (across, dx)), columns) in elements.iter().zip(columns.chunks_exact_mut(length)) {
                for (row, target) in rows.clone().zip(columns.chunks_exact_mut(width)) {
                    if !down.contains(&row) || across.is_empty() {
                        continue;
                    }
                    let source = (row * self.stride).wrapping_add_signed(*dy) * self.size[1];
                    let source = &plane[source + (across.start * self.stride).wrapping_add_signed(*dx)..];
                    let target = &mut target[across.clone()];
                    if self.stride == 1 {
                        target.copy_from_slice(&source[..target.len()]);
                    } else {
                        for (t, &s) in target.iter_mut().zip(source.iter().step_by(self.stride)) {
                            *t = s;
                        }
                    }
                }
            }
        }
    }

    /// Adds columns, as [`Self::unfold`] makes them, back to the input's pixels.
    fn fold(&self, columns: &[f32], rows: &Range<usize>, x: &mut [f32]) {
        let width = self.output()[1];
        let length = rows.len() * width;
        let elements = (0..self.kernel[0]).flat_map(|ky| (0..self.kernel[1]).map(move |kx| (ky, kx)));
        let elements: Vec<_> = elements.map(|(ky, kx)| (self.meeting(0, ky), self.meeting(1, kx))).collect();
        let area = self.input_area();
        for (plane, columns) in x.chunks_exact_mut(area).zip(columns.chunks_exact(self.taps() * length)) {
            for (((down, dy), (across, dx)), columns) in elements.iter().zip(columns.chunks_exact(length)) {
                for (row, source) in rows.clone().zip(columns.chunks_exact(width)) {
                    if !down.contains(&row) || across.is_empty() {
                        continue;
                    }
                    let target = (row * self.stride).wrapping_add_signed(*dy) * self.size[1];
                    let target = &mut plane[target + (across.start * self.stride).wrapping_add_signed(*dx)..];
                    let source = &source[across.clone()];
                    if self.stride == 1 {
                        target.iter_mut().zip(source).for_each(|(t, &s)| *t += s);
                    } else {
                        target.iter_mut().step_by(self.stride).zip(source).for_each(|(t, &s)| *t += s);
                    }
                }
            }
        }
    }

    /// The output rows in bands whose unfolding of `channels` channels fits the cache.
    fn bands(&self, channels: usize) -> Vec<Range<usize>> {
        let [height, width] = self.output();
        let rows = band_rows(channels * self.taps(), width);
        (0..height).step_by(rows).map(|row| row..(row + rows).min(height)).collect()
    }
}

/// The convolution [N, out, …] of `x` [N, in, …] with `weight` [out, in, rows, columns], without bias.
pub(super) fn forward(x: &[f32], weight: &[f32], shape: &ConvShape) -> Vec<f32> {
    let [from, to] = shape.channels;
    let (area, width) = (shape.output_area(), shape.output()[1]);
    let inner = from * shape.taps();
    let images = x.chunks_exact(from * shape.input_area());
    let mut y = vec![0.0; images.len() * to * area];
    let band = band_rows(inner, width) * width;
    let tasks: Vec<_> = images
        .zip(y.chunks_exact_mut(to * area))
        .flat_map(|(x, y)| ViewMut::bands(y, to, area, band).into_iter().map(move |(pixels, y)| (x, pixels, y)))
        .collect();
    tasks.into_par_iter().for_each_init(Vec::new, |columns, (x, pixels, mut y)| {
        let unfolded = if shape.is_pointwise() {
            View::new(&x[pixels.start..], from, pixels.len(), area)
        } else {
            shape.unfold(x, &(pixels.start / width..pixels.end / width), columns);
            View::new(columns, inner, pixels.len(), pixels.len())
        };
        multiply(&mut y, View::new(weight, to, inner, inner), unfolded, false);
    });
    y
}

/// The gradients of the input (where `wanted`) and of the weights, given that of the output, `dy`.
pub(super) fn backward(
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
    shape: &ConvShape,
    wanted: bool,
) -> (Option<Vec<f32>>, Vec<f32>) {
    let [from, to] = shape.channels;
    let (area, width) = (shape.output_area(), shape.output()[1]);
    let inner = from * shape.taps();
    let group = (GROUP / shape.taps()).max(1).min(from);
    // The matrix kernels are several times faster where a sum runs along the rows of one factor only: the pixels of dy
    // for the weights' gradient, the output channels for the input's.
    let dy_by_pixel = transposed(dy, to, area);
    let weight = transposed(weight, to, inner);
    let mut dx = vec![0.0; if wanted { x.len() } else { 0 }];
    let mut parts = dx.chunks_mut(from * shape.input_area()).flat_map(|dx| dx.chunks_mut(group * shape.input_area()));
    let mut tasks = Vec::new();
    let gradients = dy.chunks_exact(to * area).zip(dy_by_pixel.chunks_exact(to * area));
    for (x, dy) in x.chunks_exact(from * shape.input_area()).zip(gradients) {
        for (place, x) in x.chunks(group * shape.input_area()).enumerate() {
            tasks.push((place * group, x, dy, parts.next()));
        }
    }
    let scratch = || (Vec::new(), Vec::new());
    // A part of the weights' gradient from each image and group of input channels, added in order afterwards.
    let partial = tasks.into_par_iter().map_init(scratch, |(columns, gradient), (first, x, (dy, by_pixel), mut dx)| {
        let channels = x.len() / shape.input_area();
        let rows_inside = channels * shape.taps();
        let weight = View::new(&weight[first * shape.taps() * to..], rows_inside, to, to);
        let mut part = vec![0.0; rows_inside * to];
        for rows in shape.bands(channels) {
            let start = rows.start * width;
            let length = rows.len() * width;
            let unfolded = if shape.is_pointwise() {
                View::new(&x[start..], channels, length, area)
            } else {
                shape.unfold(x, &rows, columns);
                View::new(columns, rows_inside, length, length)
            };
            let by_pixel = View::new(&by_pixel[start * to..], length, to, to);
            multiply(&mut ViewMut::new(&mut part, rows_inside, to), unfolded, by_pixel, true);
            let Some(dx) = dx.as_deref_mut() else { continue };
            gradient.resize(rows_inside * length, 0.0);
            let dy = View::new(&dy[start..], to, length, area);
            multiply(&mut ViewMut::new(gradient, rows_inside, length), weight, dy, false);
            if shape.is_pointwise() {
                for (dx, gradient) in dx.chunks_exact_mut(area).zip(gradient.chunks_exact(length)) {
                    dx[start..start + length].copy_from_slice(gradient);
                }
            } else {
                shape.fold(gradient, &rows, dx);
            }
        }
        (first * shape.taps() * to, part)
    });
    let partial: Vec<_> = partial.collect();
    let mut dw = vec![0.0; weight.len()];
    for (first, part) in partial {
        dw[first..first + part.len()].iter_mut().zip(part).for_each(|(dw, part)| *dw += part);
    }
    (wanted.then_some(dx), transposed(&dw, inner, to))
}
