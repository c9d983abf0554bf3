//! The names of a network's tensors, and their values on the host.

use std::fmt;

/// What a tensor of the network is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ParamKind {
    /// Weights of a convolution, [out, in, rows, columns] (the first two layers: [out, in, rows, columns, z]).
    ConvWeight,
    /// Bias of a convolution, `[out]`.
    ConvBias,
    /// Weights of a transposed convolution, [in, out, rows, columns].
    DeconvWeight,
    /// Bias of a transposed convolution, `[out]`.
    DeconvBias,
    /// Scale after normalisation, `[channels]`.
    Gamma,
    /// Shift after normalisation, `[channels]`.
    Beta,
    /// Batch normalisation: the decaying sum of batch means, `[channels]`. Not trained.
    MeanSum,
    /// Batch normalisation: the decaying sum of batch variances, `[channels]`. Not trained.
    VarianceSum,
    /// Batch normalisation: the decaying count of batches by which both sums are divided, `[1]`. Not trained.
    Factor,
}

impl ParamKind {
    /// Whether gradients change it (the statistics of batch normalisation only follow the batches).
    pub const fn is_trained(self) -> bool {
        !matches!(self, Self::MeanSum | Self::VarianceSum | Self::Factor)
    }

    /// Whether it is a bias of a convolution or transposed convolution.
    pub const fn is_bias(self) -> bool {
        matches!(self, Self::ConvBias | Self::DeconvBias)
    }

    /// The tensor's name within its layer, as in weight files.
    pub const fn key(self) -> &'static str {
        match self {
            Self::ConvWeight | Self::DeconvWeight => "weight",
            Self::ConvBias | Self::DeconvBias => "bias",
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::MeanSum => "mean_sum",
            Self::VarianceSum => "variance_sum",
            Self::Factor => "factor",
        }
    }

    /// Its place among the blobs of a Caffe layer.
    pub const fn caffe_blob(self) -> usize {
        match self {
            Self::ConvWeight | Self::DeconvWeight | Self::Gamma | Self::MeanSum => 0,
            Self::ConvBias | Self::DeconvBias | Self::Beta | Self::VarianceSum => 1,
            Self::Factor => 2,
        }
    }
}

/// A tensor's name: `<layer>/<kind>`, the layer as Caffe calls it (`bn_…` and `scale_…` for the two halves of batch
/// normalisation).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamName {
    /// Caffe's layer.
    pub layer: String,
    /// What it is to the layer.
    pub kind: ParamKind,
}

impl fmt::Display for ParamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.layer, self.kind.key())
    }
}

/// A tensor that a network has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParamSpec {
    /// Its name.
    pub name: ParamName,
    /// Its shape, Caffe's.
    pub shape: Vec<usize>,
}

impl ParamSpec {
    /// How many numbers it holds.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor's name, shape and values (row-major) on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Its name.
    pub name: ParamName,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, the last axis fastest.
    pub values: Vec<f32>,
}
