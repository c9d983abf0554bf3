//! What can stop a prediction.

use std::fmt::Write as _;
use std::path::PathBuf;

use deep3m_net::{DeviceError, ModelError, NetError, NormalisationError};
use deep3m_volume::{Extent, Region, VolumeError, memory};

use crate::PredictSummary;

/// Blocks that a message lists; all are in the summary.
const LISTED: usize = 20;

/// What is missing, a line for each block.
fn missing_text(summary: &PredictSummary) -> String {
    let missing = &summary.missing;
    let mut text = format!("{} of {} blocks are missing; the same command fills them", missing.len(), summary.blocks);
    for block in missing.iter().take(LISTED) {
        let _ = write!(text, "\n  {}: {}", block.region, block.reason);
    }
    if missing.len() > LISTED {
        let _ = write!(text, "\n  … and {} more (--json lists all)", missing.len() - LISTED);
    }
    text
}

/// Why a prediction was not made. What is already written stays; the same call goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PredictError {
    /// Reading the volume or writing the output failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The network failed.
    #[error(transparent)]
    Net(#[from] NetError),
    /// The device is not there.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// The model directory could not be read.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The volume's grey values cannot be normalised.
    #[error("{}: {source}", path.display())]
    Normalisation {
        /// The volume.
        path: PathBuf,
        /// Why.
        source: NormalisationError,
    },
    /// No model takes part.
    #[error("{}: found no model to predict with; expected at least one", path.display())]
    NoModel {
        /// The model directory.
        path: PathBuf,
    },
    /// A region that sticks out of the volume, or is empty.
    #[error("{}: found region {region}; expected one inside the volume of {extent}", path.display())]
    Region {
        /// The volume.
        path: PathBuf,
        /// What was asked for.
        region: Region,
        /// The volume's size.
        extent: Extent,
    },
    /// A volume without a voxel.
    #[error("{}: found a volume of {extent}; expected at least one voxel", path.display())]
    Empty {
        /// The volume.
        path: PathBuf,
        /// Its size.
        extent: Extent,
    },
    /// A network that answers with NaN or infinity.
    #[error("block {block}: found a probability that is no number; expected 0 to 1. Are the model's weights damaged?")]
    NotFinite {
        /// The block.
        block: Region,
    },
    /// What CDeep3M's layout cannot hold.
    #[error("layout cdeep3m: found {found}; expected {expected}. Without --layout cdeep3m it can be predicted")]
    Layout {
        /// What was given.
        found: String,
        /// What works.
        expected: &'static str,
    },
    /// A memory budget that no plan keeps.
    #[error(
        "memory: found a budget of {}; this prediction needs at least {}. Give --memory {} or more{advice}",
        memory::text(*budget), memory::text(*least), memory::at_least(*least)
    )]
    Memory {
        /// The budget in bytes.
        budget: u64,
        /// What the smallest plan needs, in bytes.
        least: u64,
        /// What else would do, as ", or …".
        advice: String,
    },
    /// A setting that makes no sense.
    #[error("{name}: found {found}; expected {least} to {most}")]
    Setting {
        /// Its name.
        name: &'static str,
        /// What was given.
        found: u64,
        /// The smallest that works.
        least: u64,
        /// The largest that works.
        most: u64,
    },
    /// A setting that is a share, but none from 0 to 1.
    #[error("{name}: found {found}; expected a number from 0 to 1")]
    Share {
        /// Its name.
        name: &'static str,
        /// What was given.
        found: f64,
    },
    /// An output in object storage that is not written there.
    #[error(
        "{}: found {found} in object storage; expected OME-Zarr of the whole volume (a name ending in .zarr). Predict into \
         a folder, then copy it: deep3m convert FOLDER.zarr -o {}",
        path.display(), path.display()
    )]
    RemoteOutput {
        /// The output.
        path: PathBuf,
        /// What it would be.
        found: &'static str,
    },
    /// An output beside whose blocks nothing else can lie.
    #[error(
        "{}: found {found} for a prediction that keeps the passes' disagreement; expected OME-Zarr of the whole volume in a \
         folder (a name ending in .zarr)",
        path.display()
    )]
    NoDisagreement {
        /// The output.
        path: PathBuf,
        /// What it would be.
        found: &'static str,
    },
    /// The output would replace the volume that is predicted.
    #[error("{}: is the volume to predict; choose another output", path.display())]
    OutputIsInput {
        /// Both.
        path: PathBuf,
    },
    /// The output holds something else than a prediction.
    #[error("{}: already exists and holds no prediction; choose another name, or give --overwrite to replace it", path.display())]
    Occupied {
        /// The output.
        path: PathBuf,
    },
    /// `--overwrite` would remove something that is no volume.
    #[error("{}: holds neither a prediction nor a volume, and is not removed; choose another name", path.display())]
    NotReplaced {
        /// The output.
        path: PathBuf,
    },
    /// The output holds the prediction of another run.
    #[error("{}: holds another run: {}. Choose another output, or give --overwrite to replace it", path.display(), differs.join("; "))]
    AnotherRun {
        /// The output.
        path: PathBuf,
        /// What differs, as "variations: found 16, expected 8".
        differs: Vec<String>,
    },
    /// The note of what is done cannot be understood.
    #[error("{}: damaged: found {found}; expected {expected}. Give --overwrite to begin anew", path.display())]
    DamagedRun {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// Another process is this worker of this output.
    #[error(
        "{}: another deep3m is predicting into it ({by}); wait for it, choose another output, or help it as another \
         worker (--worker)",
        path.display()
    )]
    InUse {
        /// The output.
        path: PathBuf,
        /// The worker, its process and machine, as far as they are known.
        by: String,
    },
    /// Blocks are missing that could not be read or written; all others are done.
    #[error("{}: {}", path.display(), missing_text(summary))]
    Incomplete {
        /// The output.
        path: PathBuf,
        /// What was done, and what is missing with the reasons.
        summary: Box<PredictSummary>,
    },
    /// The prediction was stopped on request.
    #[error("{}: stopped after {done} of {blocks} blocks; the same command goes on from here", path.display())]
    Interrupted {
        /// The output.
        path: PathBuf,
        /// Blocks that are done.
        done: u64,
        /// Blocks in all.
        blocks: u64,
    },
}
