//! A network as an ONNX file, for onnxruntime and what is built on it.
//!
//! | | name | shape | values |
//! |---|---|---|---|
//! | input | `grey` | [N, frames, H, W] | grey values as they are in the files, 32-bit floating point; the sections in their order |
//! | output | `foreground` | [N, 1, H, W] | the probability of the middle section's pixels, 0 to 1 |
//!
//! N, H and W are free; H and W are whole multiples of [`Preparation::multiple`] (16 pixels, times the binning). Binning,
//! normalisation and interpolation back to pixels are inside the graph. Batch normalisation is folded into the
//! convolutions as in [`Inference`](crate::Inference), and the first two layers, convolutions over sections, are
//! convolutions in the plane with sections as channels. Operations are those of ONNX 17, all of them in the plane.

mod build;
mod proto;
mod wire;

use self::proto::{Image, Model};
use super::{WeightsError, check};
use crate::config::NetConfig;
use crate::params::{NamedTensor, ParamSpec};
use crate::preparation::Preparation;

/// The version of ONNX's operations.
pub const OPSET: i64 = 17;
/// The version of the file format that came with them.
const IR_VERSION: i64 = 8;
/// The name of the input.
pub const GREY: &str = "grey";
/// The name of the output.
pub const PROBABILITY: &str = "foreground";

/// Why a network cannot be an ONNX file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OnnxError {
    /// The tensors do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// More weights than the format holds.
    #[error(
        "ONNX: found {found} bytes of weights; expected less than {LIMIT}, which is all that a file can hold. Export as safetensors"
    )]
    TooLarge {
        /// How many bytes they take.
        found: u64,
    },
}

/// Messages of 2 GiB are too large for protocol buffers; 16 MiB are kept for all but the weights.
const LIMIT: u64 = (1 << 31) - (1 << 24);

/// A network as the bytes of an ONNX file. `tensors` must be exactly those of [`NetConfig::parameters`], in any order;
/// `metadata` are facts to keep with it, by name. The same network gives the same bytes.
pub fn encode(
    config: &NetConfig,
    tensors: &[NamedTensor],
    preparation: Preparation,
    metadata: &[(String, String)],
) -> Result<Vec<u8>, OnnxError> {
    let found = check(config, tensors)?;
    let bytes = config.parameters().iter().map(|spec| 4 * ParamSpec::len(spec) as u64).sum();
    if bytes > LIMIT {
        return Err(OnnxError::TooLarge { found: bytes });
    }
    let [rows, columns] = preparation.multiple();
    let frames = config.frames();
    let about = format!(
        "DeepEM3D for {frames}, by Deep3M. Input {GREY}: [N, {}, H, W], grey values as they are in the image files, the \
         sections in their order. Output {PROBABILITY}: [N, 1, H, W], the probability of foreground in the middle \
         section. H must be a multiple of {rows} and W of {columns}; within {} rows and {} columns of the border the \
         image's end shows.",
        frames.count(),
        preparation.reach(config)[0],
        preparation.reach(config)[1],
    );
    let model = Model {
        graph: build::build(config, &found, preparation),
        name: frames.name(),
        about: &about,
        input: Image { name: GREY, channels: frames.count(), about: "grey values, one channel per section" },
        output: Image { name: PROBABILITY, channels: 1, about: "probability of foreground, 0 to 1" },
        opset: OPSET,
        ir_version: IR_VERSION,
        metadata,
    };
    Ok(model.into_bytes())
}
