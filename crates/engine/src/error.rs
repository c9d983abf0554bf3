//! What can go wrong.

/// Why a network cannot be run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// A layer reads a blob that is not made before it, or too few or many of them.
    #[error("layer {layer}: reads {found:?}; expected {expected} made before it")]
    Inputs {
        /// The layer.
        layer: usize,
        /// The blobs that it reads.
        found: Vec<usize>,
        /// How many it should read.
        expected: &'static str,
    },
    /// Weights that do not fit the layer's channels and kernel.
    #[error("layer {layer}: {found} weights; expected {expected}")]
    Weights {
        /// The layer.
        layer: usize,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// A combination of layers for which there is no kernel.
    #[error("layer {layer}: {reason}")]
    Unsupported {
        /// The layer.
        layer: usize,
        /// What about it.
        reason: &'static str,
    },
    /// A network without layers.
    #[error("a network without layers")]
    Empty,
    /// Rows and columns at which a layer has no result, or its inputs differ in size.
    #[error("{height} × {width} pixels: layer {layer} has no result at this size")]
    Size {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// The layer.
        layer: usize,
    },
    /// An input of another length than channels × rows × columns.
    #[error("input: {found} values; expected {expected}")]
    Values {
        /// Its length.
        found: usize,
        /// What it should be.
        expected: usize,
    },
}
