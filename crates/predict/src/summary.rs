//! What a prediction was.

use std::fmt;

use deep3m_volume::Region;
use serde::{Deserialize, Serialize};

use crate::Seam;

/// What a call of [`crate::predict()`] did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PredictSummary {
    /// Voxels of the output.
    pub voxels: u64,
    /// Voxels that this call predicted.
    pub voxels_now: u64,
    /// Blocks of the prediction.
    pub blocks: u64,
    /// Of these, those that were done before this call.
    pub blocks_before: u64,
    /// Of these, those that this call predicted; the rest is other workers'.
    pub blocks_now: u64,
    /// Whether the output is complete.
    pub complete: bool,
    /// What other workers were still at when this call ended.
    pub elsewhere: Vec<Elsewhere>,
    /// Blocks that could not be predicted.
    pub missing: Vec<MissingBlock>,
    /// Sections times passes through a network that this call made.
    #[serde(default)]
    pub passes: u64,
    /// Those that it need not make, because a section's answer was settled ([`crate::EarlyStop`]).
    #[serde(default)]
    pub passes_saved: u64,
    /// Time of this call, in seconds.
    pub seconds: f64,
    /// Of it, in the network; of several devices the mean.
    pub network_seconds: f64,
    /// Time to read, bin and normalise, beside the network.
    pub reading_seconds: f64,
    /// Time to compress and write, beside the network.
    pub writing_seconds: f64,
    /// The seam, where it was asked for and blocks meet.
    pub seam: Option<Seam>,
}

impl PredictSummary {
    /// The share of the time that the network did not run: reading, averaging and writing that it waited for.
    pub fn share_outside_network(&self) -> f64 {
        if self.seconds > 0.0 { 1.0 - self.network_seconds / self.seconds } else { 0.0 }
    }

    /// How many times as many passes all variations would have been; 1 where nothing was done.
    pub fn times_fewer_passes(&self) -> f64 {
        if self.passes > 0 { (self.passes + self.passes_saved) as f64 / self.passes as f64 } else { 1.0 }
    }

    /// Voxels per second of this call.
    pub fn voxels_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.voxels_now as f64 / self.seconds } else { 0.0 }
    }
}

/// A block that is not in the output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingBlock {
    /// Its number, counted from the volume's first block.
    pub number: u64,
    /// The voxels, counted from the volume's first.
    pub region: Region,
    /// Why.
    pub reason: String,
}

/// What another worker is still at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    /// Its number, where known.
    pub worker: Option<u32>,
    /// Its machine, where known.
    pub host: Option<String>,
    /// Blocks; none where it makes the output from the blocks.
    pub blocks: u64,
}

impl fmt::Display for Elsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.blocks {
            0 => f.write_str("the finished output")?,
            1 => f.write_str("1 block")?,
            blocks => write!(f, "{blocks} blocks")?,
        }
        match (self.worker, &self.host) {
            (Some(worker), Some(host)) => write!(f, " with worker {worker} on {host}"),
            (Some(worker), None) => write!(f, " with worker {worker}"),
            (None, _) => f.write_str(" with another worker"),
        }
    }
}
