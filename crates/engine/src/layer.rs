//! The description of a network: what the caller hands over.

/// One layer of a network. Blob 0 is the network's input; blob `i` is what layer `i - 1` makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// What it does.
    pub op: Op,
    /// The blobs that it reads.
    pub inputs: Vec<usize>,
}

/// What a layer does.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// A convolution, and a ReLU where it has one.
    Conv(Conv),
    /// A sum of dilated transposed convolutions of one blob, and a ReLU.
    Head(Head),
    /// The largest of 3 × 3 in steps of 2. Windows begin at even rows and columns and are cut at the lower and right
    /// border; there are ⌈(size − 3) / 2⌉ + 1 of them along an axis.
    Pool,
    /// Channels one after another.
    Concat,
    /// max(a + share · b, 0) of the inputs a and b.
    Residual {
        /// The share of the second input.
        share: f32,
    },
    /// The sum of all inputs.
    Sum,
}

/// A convolution with zero padding.
#[derive(Clone, Debug, PartialEq)]
pub struct Conv {
    /// Rows and columns of the kernel.
    pub kernel: [usize; 2],
    /// Step in rows and columns: 1 or 2.
    pub stride: usize,
    /// Zeros above and below, left and right.
    pub padding: [usize; 2],
    /// Whether a ReLU follows.
    pub relu: bool,
    /// [output channels, input channels, rows, columns], row-major.
    pub weights: Vec<f32>,
    /// One number per output channel.
    pub bias: Vec<f32>,
}

/// Transposed convolutions of one kernel and stride at several dilations, summed, and a ReLU. Its result has `stride`
/// times the rows and columns of its input.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Rows and columns of the kernels.
    pub kernel: usize,
    /// Upsampling.
    pub stride: usize,
    /// The transposed convolutions.
    pub taps: Vec<Tap>,
    /// One number per output channel.
    pub bias: Vec<f32>,
}

/// A transposed convolution of a [`Head`].
#[derive(Clone, Debug, PartialEq)]
pub struct Tap {
    /// The distance of neighbouring kernel elements.
    pub dilation: usize,
    /// How many rows and columns are cut from each side.
    pub padding: usize,
    /// [input channels, output channels, rows, columns], row-major.
    pub weights: Vec<f32>,
}

impl Conv {
    /// Numbers of output channels.
    pub(crate) fn channels(&self) -> usize {
        self.bias.len()
    }
}

/// Rows or columns of a [`Op::Pool`]'s result.
pub(crate) fn pooled(size: usize) -> Option<usize> {
    (size > 0).then(|| size.saturating_sub(3).div_ceil(2) + 1)
}
