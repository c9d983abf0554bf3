//! Weights in files: Deep3M's own (safetensors), CDeep3M's (`.caffemodel`), and for other programs (ONNX).

pub mod caffe;
pub mod cdeep3m;
pub mod onnx;
pub mod safetensors;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use caffe::LayerDifferences;

use crate::config::{ConfigError, NetConfig};
use crate::params::{NamedTensor, ParamName, ParamSpec};

/// Why weights could not be read or do not fit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// The operating system refused.
    #[error("{}: {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is cut short, or is not what its name says.
    #[error("weights: at byte {offset}: found {found}; expected {expected}. The file is damaged or of another kind")]
    Malformed {
        /// Where, from the file's first byte.
        offset: usize,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// Tensors are missing, superfluous or of another shape.
    #[error("weights of another network: {0}")]
    Mismatch(Mismatch),
    /// A weight is infinite or not a number.
    #[error("weights: value {index} of {name} is {value}; expected finite numbers. Use an earlier snapshot")]
    NotFinite {
        /// The tensor.
        name: ParamName,
        /// The value's place, row-major.
        index: usize,
        /// The value.
        value: f32,
    },
    /// Layers of a `.caffemodel` are missing, superfluous or of another shape.
    #[error("weights of another network: {0}")]
    Layers(LayerDifferences),
    /// A value of a `.caffemodel` that no trained network has.
    #[error(
        "weights: layer {}, blob {} ({}), value {index}, at byte {offset}: found {found}; expected {expected}",
        name.layer, name.kind.caffe_blob(), name.kind.key()
    )]
    Value {
        /// The tensor.
        name: ParamName,
        /// The value's place, row-major.
        index: usize,
        /// Where it lies in the file, in bytes.
        offset: usize,
        /// The value.
        found: f32,
        /// What should be there, and what to do.
        expected: &'static str,
    },
    /// A snapshot in HDF5.
    #[error(
        "weights: found an HDF5 file; expected Caffe's binary format. Give the .caffemodel beside it, or convert it in \
         Caffe: caffe.Net('deploy.prototxt', 'FILE.caffemodel.h5', caffe.TEST).save('FILE.caffemodel')"
    )]
    Hdf5,
    /// The shapes do not make a network.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl WeightsError {
    /// A malformed file, with the place in words.
    pub(crate) fn place(self, place: &str) -> Self {
        match self {
            Self::Malformed { offset, found, expected } => {
                Self::Malformed { offset, found: format!("{found} {place}"), expected }
            }
            other => other,
        }
    }
}

/// How a file's tensors differ from the network's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mismatch {
    /// Tensors that the network has and the file has not.
    pub missing: Vec<ParamSpec>,
    /// Names that the network does not have, or that come twice.
    pub unexpected: Vec<String>,
    /// Tensors of another shape: as the network has them, and the shape found.
    pub different: Vec<(ParamSpec, Vec<usize>)>,
}

impl Mismatch {
    /// Whether nothing differs.
    pub const fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.different.is_empty()
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// More of them make a message no clearer.
        const SHOWN: usize = 8;
        let mut lines: Vec<String> = Vec::new();
        lines.extend(self.missing.iter().map(|spec| format!("{} {:?} is missing", spec.name, spec.shape)));
        lines.extend(
            self.different
                .iter()
                .map(|(spec, found)| format!("{} has shape {found:?}, expected {:?}", spec.name, spec.shape)),
        );
        lines.extend(self.unexpected.iter().map(|name| format!("{name} is not part of the network")));
        let more = lines.len().saturating_sub(SHOWN);
        lines.truncate(SHOWN);
        f.write_str(&lines.join("; "))?;
        if more > 0 {
            write!(f, "; and {more} more")?;
        }
        Ok(())
    }
}

/// The tensors by name, after comparing names, shapes and values with the network.
pub(crate) fn check<'a>(
    config: &NetConfig,
    tensors: &'a [NamedTensor],
) -> Result<BTreeMap<&'a ParamName, &'a NamedTensor>, WeightsError> {
    let mut found = BTreeMap::new();
    let mut differences = Mismatch::default();
    for tensor in tensors {
        if found.insert(&tensor.name, tensor).is_some() {
            differences.unexpected.push(format!("a second {}", tensor.name));
        }
    }
    let specs = config.parameters();
    let names: BTreeSet<&ParamName> = specs.iter().map(|spec| &spec.name).collect();
    differences.unexpected.extend(found.keys().filter(|name| !names.contains(*name)).map(ToString::to_string));
    for spec in &specs {
        match found.get(&spec.name) {
            None => differences.missing.push(spec.clone()),
            Some(tensor) if tensor.shape != spec.shape || tensor.values.len() != spec.len() => {
                differences.different.push((spec.clone(), tensor.shape.clone()));
            }
            Some(_) => {}
        }
    }
    if !differences.is_empty() {
        return Err(WeightsError::Mismatch(differences));
    }
    for tensor in tensors {
        if let Some(index) = tensor.values.iter().position(|value| !value.is_finite()) {
            return Err(WeightsError::NotFinite { name: tensor.name.clone(), index, value: tensor.values[index] });
        }
    }
    Ok(found)
}
