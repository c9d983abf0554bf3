//! DeepEM3D, the network behind Deep3M: configuration, weights in and out, devices, normalisation, the model directory.
//!
//! The network (Zeng et al., Bioinformatics 2017, as CDeep3M uses it) labels the middle one of 1, 3 or 5 consecutive
//! sections ([`Frames`]). A [`NetConfig`] says how wide its layers are; [`NetConfig::init`] makes a [`DeepEm3d`] to
//! train; [`Inference`] is the same network ready to predict, its batch normalisation folded into the convolutions. A
//! [`ModelDir`] keeps trained networks with everything that is needed to use them again.
//!
//! The layers and their names are CDeep3M's, so that its models are read as they are ([`weights::caffe`]).

mod config;
pub mod cost;
mod cpu;
mod deepem3d;
mod device;
mod engine;
mod fold;
mod frames;
mod graph;
mod import;
mod init;
mod model_dir;
mod norm;
mod normalise;
mod params;
mod preparation;
mod sample;
pub mod weights;

pub use config::{Channels, ConfigError, NetConfig};
pub use deepem3d::{DeepEm3d, Mode, NetError};
pub use device::{DeviceChoice, DeviceError};
pub use fold::Inference;
pub use frames::{Frames, FramesParseError};
pub use import::{ImportConfig, ImportError, Imported, import};
pub use model_dir::{ModelDir, ModelEntry, ModelError, ModelManifest, sha256};
pub use normalise::{Normalisation, NormalisationError};
pub use params::{NamedTensor, ParamKind, ParamName, ParamSpec};
pub use preparation::Preparation;
pub use sample::{Drift, Sample};
pub use weights::WeightsError;
