//! The layers written down plainly, in 64 bits.

use deep3m_engine::{Conv, Head, Layer, Op};

/// A blob: [channels, rows, columns].
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub channels: usize,
    pub size: [usize; 2],
    pub values: Vec<f64>,
}

impl Blob {
    fn zeros(channels: usize, size: [usize; 2]) -> Self {
        Self { channels, size, values: vec![0.0; channels * size[0] * size[1]] }
    }

    fn at(&self, channel: usize, row: isize, column: isize) -> Option<usize> {
        let [height, width] = self.size.map(|size| size as isize);
        let inside = (0..height).contains(&row) && (0..width).contains(&column);
        inside.then(|| (channel * self.size[0] + row as usize) * self.size[1] + column as usize)
    }

    fn get(&self, channel: usize, row: isize, column: isize) -> f64 {
        self.at(channel, row, column).map_or(0.0, |at| self.values[at])
    }
}

/// The last blob of a network.
pub(crate) fn forward(layers: &[Layer], input: Blob) -> Blob {
    let mut blobs = vec![input];
    for Layer { op, inputs } in layers {
        let first = &blobs[inputs[0]];
        let all = || inputs.iter().map(|&blob| &blobs[blob]);
        let blob = match op {
            Op::Conv(conv) => convolve(conv, first),
            Op::Head(head) => upsample(head, first),
            Op::Pool => pool(first),
            Op::Concat => Blob {
                channels: all().map(|blob| blob.channels).sum(),
                size: first.size,
                values: all().flat_map(|blob| blob.values.clone()).collect(),
            },
            Op::Residual { share } => {
                let pairs = first.values.iter().zip(&blobs[inputs[1]].values);
                Blob { values: pairs.map(|(a, b)| (a + f64::from(*share) * b).max(0.0)).collect(), ..first.clone() }
            }
            Op::Sum => {
                let sum = |i: usize| all().map(|blob| blob.values[i]).sum();
                Blob { values: (0..first.values.len()).map(sum).collect(), ..first.clone() }
            }
        };
        blobs.push(blob);
    }
    blobs.pop().expect("a network has a result")
}

fn convolve(conv: &Conv, input: &Blob) -> Blob {
    let size = [0, 1].map(|a| (input.size[a] + 2 * conv.padding[a] - conv.kernel[a]) / conv.stride + 1);
    let mut output = Blob::zeros(conv.bias.len(), size);
    let [rows, columns] = conv.kernel;
    for c in 0..output.channels {
        for y in 0..size[0] {
            for x in 0..size[1] {
                let mut sum = f64::from(conv.bias[c]);
                for i in 0..input.channels {
                    for ky in 0..rows {
                        for kx in 0..columns {
                            let row = (y * conv.stride + ky) as isize - conv.padding[0] as isize;
                            let column = (x * conv.stride + kx) as isize - conv.padding[1] as isize;
                            let weight = conv.weights[((c * input.channels + i) * rows + ky) * columns + kx];
                            sum += f64::from(weight) * input.get(i, row, column);
                        }
                    }
                }
                output.values[(c * size[0] + y) * size[1] + x] = if conv.relu { sum.max(0.0) } else { sum };
            }
        }
    }
    output
}

fn upsample(head: &Head, input: &Blob) -> Blob {
    let size = input.size.map(|size| size * head.stride);
    let (classes, kernel) = (head.bias.len(), head.kernel);
    let mut output = Blob::zeros(classes, size);
    let area = size[0] * size[1];
    output.values.chunks_exact_mut(area).zip(&head.bias).for_each(|(plane, &bias)| plane.fill(f64::from(bias)));
    for tap in &head.taps {
        for i in 0..input.channels {
            for y in 0..input.size[0] {
                for x in 0..input.size[1] {
                    let value = input.values[(i * input.size[0] + y) * input.size[1] + x];
                    for (at, &weight) in
                        tap.weights[i * classes * kernel * kernel..][..classes * kernel * kernel].iter().enumerate()
                    {
                        let (c, ky, kx) = (at / kernel / kernel, at / kernel % kernel, at % kernel);
                        let row = (y * head.stride + tap.dilation * ky) as isize - tap.padding as isize;
                        let column = (x * head.stride + tap.dilation * kx) as isize - tap.padding as isize;
                        if let Some(place) = output.at(c, row, column) {
                            output.values[place] += f64::from(weight) * value;
                        }
                    }
                }
            }
        }
    }
    output.values.iter_mut().for_each(|value| *value = value.max(0.0));
    output
}

fn pool(input: &Blob) -> Blob {
    let size = input.size.map(|size| size.saturating_sub(3).div_ceil(2) + 1);
    let mut output = Blob::zeros(input.channels, size);
    for c in 0..input.channels {
        for y in 0..size[0] {
            for x in 0..size[1] {
                let window = (0..9).filter_map(|i| input.at(c, (2 * y + i / 3) as isize, (2 * x + i % 3) as isize));
                let largest = window.map(|at| input.values[at]).fold(f64::NEG_INFINITY, f64::max);
                output.values[(c * size[0] + y) * size[1] + x] = largest;
            }
        }
    }
    output
}
