//! Models trained with CDeep3M become model directories.

use std::path::{Path, PathBuf};

use deep3m_volume::{Binning, VolumeError, VoxelType, fs};
use serde::Serialize;
use serde_json::json;

use crate::config::NetConfig;
use crate::frames::Frames;
use crate::model_dir::{ModelDir, ModelError, ModelManifest, sha256};
use crate::normalise::Normalisation;
use crate::params::NamedTensor;
use crate::weights::WeightsError;
use crate::weights::caffe::read_caffemodel;
use crate::weights::cdeep3m::{FindError, Snapshot, find};

/// Protobuf messages are no longer than this.
const MAX_BYTES: u64 = 1 << 31;

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportConfig {
    /// The number of frames where neither kernels nor names tell; of several networks only this one.
    pub frames: Option<Frames>,
    /// The iteration to take from folders; the highest unless given.
    pub iteration: Option<u64>,
    /// Whether the network was trained on images with rows and columns exchanged, as CDeep3M 1.x did.
    pub transposed: bool,
    /// Whether to replace a model that is there already.
    pub overwrite: bool,
}

/// A network that was imported.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Imported {
    /// How many sections it sees.
    pub frames: Frames,
    /// The snapshot.
    pub file: PathBuf,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
    /// Iterations of training, where the file's name tells.
    pub iteration: Option<u64>,
    /// How many numbers training changes.
    pub parameters: u64,
}

/// Why a model could not be imported. Nothing was written then, or the old model is still there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// No snapshot, or several that could be meant.
    #[error(transparent)]
    Find(#[from] FindError),
    /// The operating system refused.
    #[error(transparent)]
    File(#[from] VolumeError),
    /// A snapshot that cannot be read, or of another network.
    #[error("{}: {source}", path.display())]
    Weights {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: WeightsError,
    },
    /// A file that is too long for a snapshot.
    #[error("{}: found {bytes} bytes; expected a network of at most {MAX_BYTES}", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Nothing tells the number of frames.
    #[error(
        "{}: kernels of conv1_1 and conv1_2 that are neither of 1, 3 nor 5 frames, and a name that does not tell; give \
         --frames 1, 3 or 5",
        path.display()
    )]
    Frames {
        /// The file.
        path: PathBuf,
    },
    /// Kernels of another number of frames than expected.
    #[error(
        "{}: the kernels of conv1_1 and conv1_2 are those of {found}; expected {expected}, as {says}. Was the file moved \
         into the wrong folder?",
        path.display()
    )]
    Disagree {
        /// The file.
        path: PathBuf,
        /// What its kernels are.
        found: Frames,
        /// What they should be.
        expected: Frames,
        /// Who says so: the name, or the option.
        says: &'static str,
    },
    /// Two snapshots of as many frames.
    #[error("{} and {} are both networks of {frames}; give one of them", first.display(), second.display())]
    Twice {
        /// The one.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// Their frames.
        frames: Frames,
    },
    /// None of the networks has as many frames as were asked for.
    #[error("{}: no network of {frames} found", path.display())]
    NoSuchFrames {
        /// The folder.
        path: PathBuf,
        /// What was asked for.
        frames: Frames,
    },
    /// The output holds something.
    #[error("{}: already exists and holds {found}; choose another folder, or give --overwrite to replace the model in it", path.display())]
    Occupied {
        /// The output.
        path: PathBuf,
        /// What is in it.
        found: String,
    },
    /// The model could not be written.
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// Imports a `.caffemodel`, or CDeep3M's folders of them (see [`find`]), into the model directory `out`.
///
/// The model sees raw grey values 0–255, not binned, as CDeep3M's networks do. All snapshots are read and checked before
/// anything is written; then the model appears at once.
///
/// # Errors
/// Each names the file, and in it the layer, the blob and the byte.
pub fn import(source: &Path, out: &Path, config: &ImportConfig) -> Result<Vec<Imported>, ImportError> {
    if let Some(found) = occupant(out, config.overwrite)? {
        return Err(ImportError::Occupied { path: out.to_owned(), found });
    }
    let mut read: Vec<(Imported, NetConfig, Vec<NamedTensor>)> = Vec::new();
    let snapshots = find(source, config.iteration)?;
    let one = snapshots.len() == 1;
    for snapshot in snapshots {
        let says_other = snapshot.frames.is_some_and(|frames| config.frames.is_some_and(|wanted| wanted != frames));
        if says_other && !one {
            continue;
        }
        let new = read_snapshot(&snapshot, config)?;
        if let Some((old, ..)) = read.iter().find(|(old, ..)| old.frames == new.0.frames) {
            let (first, second) = (old.file.clone(), new.0.file);
            return Err(ImportError::Twice { first, second, frames: new.0.frames });
        }
        read.push(new);
    }
    if let (Some(frames), true) = (config.frames, read.is_empty()) {
        return Err(ImportError::NoSuchFrames { path: source.to_owned(), frames });
    }
    read.sort_by_key(|(imported, ..)| imported.frames);

    let mut manifest = ModelManifest::new(Normalisation::Raw, Binning::NONE, VoxelType::U8);
    let files: serde_json::Map<_, _> = read
        .iter()
        .map(|(from, ..)| {
            let name = from.file.file_name().map(|name| name.to_string_lossy());
            let entry = json!({
                "file": name, "sha256": from.sha256, "bytes": from.bytes, "iteration": from.iteration,
            });
            (from.frames.to_string(), entry)
        })
        .collect();
    manifest.training =
        json!({ "origin": "imported from CDeep3M", "transposed": config.transposed, "snapshots": files });
    let mut imported = Vec::new();
    let mut networks = Vec::new();
    for (from, config, tensors) in read {
        networks.push((config, tensors, from.iteration.unwrap_or(0)));
        imported.push(from);
    }
    ModelDir::write(out, manifest, networks)?;
    Ok(imported)
}

/// What is in the way of a model.
fn occupant(out: &Path, overwrite: bool) -> Result<Option<String>, ImportError> {
    if !out.exists() {
        return Ok(None);
    }
    if !out.is_dir() {
        return Ok(Some("a file; models are folders".to_owned()));
    }
    let entries = fs::list(out)?;
    Ok(match entries.first() {
        Some(_) if out.join("model.json").exists() && !overwrite => Some("a model".to_owned()),
        Some(first) if !overwrite => {
            let first = first.file_name().unwrap_or_default().to_string_lossy();
            Some(format!("{} files, {first} among them", entries.len()))
        }
        _ => None,
    })
}

fn read_snapshot(
    snapshot: &Snapshot,
    config: &ImportConfig,
) -> Result<(Imported, NetConfig, Vec<NamedTensor>), ImportError> {
    let path = &snapshot.path;
    let size = fs::size(path)?;
    if size > MAX_BYTES {
        return Err(ImportError::TooLarge { path: path.clone(), bytes: size });
    }
    let bytes = fs::read(path)?;
    let failed = |source| ImportError::Weights { path: path.clone(), source };
    let net = read_caffemodel(&bytes).map_err(failed)?;
    let kernels = net.frames();
    for (expected, says) in [(config.frames, "--frames says"), (snapshot.frames, "its name says")] {
        if let (Some(found), Some(expected)) = (kernels, expected)
            && found != expected
        {
            return Err(ImportError::Disagree { path: path.clone(), found, expected, says });
        }
    }
    let known = kernels.or(config.frames).or(snapshot.frames);
    let is_whole = net.layer("conv1_1").is_some() && net.layer("conv1_2").is_some();
    let frames = match known {
        Some(frames) => frames,
        None if is_whole => return Err(ImportError::Frames { path: path.clone() }),
        // What is missing is said below.
        None => Frames::One,
    };
    let network = if config.transposed { net.to_transposed_network(frames) } else { net.to_network(frames) };
    let (network, tensors) = network.map_err(failed)?;
    let imported = Imported {
        frames,
        file: path.clone(),
        sha256: sha256(&bytes),
        bytes: bytes.len() as u64,
        iteration: snapshot.iteration,
        parameters: network.parameter_count(),
    };
    Ok((imported, network, tensors))
}
