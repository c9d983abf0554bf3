//! How well a prediction agrees with the truth, voxel by voxel.

mod curves;
mod job;
mod scale;

use std::path::PathBuf;

use deep3m_volume::{Region, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::labels::{Met, count_values};
use crate::zones::WIDEST;
use crate::{AnalyzeError, Confusion, VoxelScore, Work};

pub use curves::Curves;
use job::{Job, Tally};
pub(crate) use scale::Scale;
pub use scale::lowest_value;

/// What is compared, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateConfig {
    /// Foreground is where the probability is at least this, 0 to 1. Default 0.5.
    pub threshold: f64,
    /// Widths of the exclusion zones in voxels, 0 to 64: voxels with a voxel of the other class (in the truth) at most
    /// this far away are left out. Default 0 alone.
    pub exclusion: Vec<u32>,
    /// Measures zones in three dimensions, where `false` measures them within each section. Default `false`.
    pub exclusion_3d: bool,
    /// The part that is compared; `None` is all of it. Zones see the truth around it.
    pub region: Option<Region>,
    /// The label value that is foreground; `None`: the one value that is not 0.
    pub foreground: Option<u32>,
    /// A label value whose voxels are left out: not annotated.
    pub ignore: Option<u32>,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { threshold: 0.5, exclusion: vec![0], exclusion_3d: false, region: None, foreground: None, ignore: None }
    }
}

impl EvaluateConfig {
    /// Whether every setting is in its range.
    pub(crate) fn check(&self) -> Result<(), AnalyzeError> {
        let setting = |name: &'static str, found: String, expected: &str| {
            Err(AnalyzeError::Setting { name, found, expected: expected.into() })
        };
        if !(0.0..=1.0).contains(&self.threshold) {
            return setting("threshold", self.threshold.to_string(), "a probability from 0 to 1");
        }
        if self.exclusion.is_empty() {
            return setting("exclusion", "empty".into(), "at least one zone, for example 0,1,2");
        }
        if let Some(wide) = self.exclusion.iter().find(|&&n| n > WIDEST) {
            return setting("exclusion", wide.to_string(), "zones of 0 to 64 voxels");
        }
        Ok(())
    }
}

/// The outcome of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The prediction.
    pub prediction: PathBuf,
    /// The truth.
    pub truth: PathBuf,
    /// The part that was compared.
    pub region: Region,
    /// Whether zones were measured in three dimensions.
    pub exclusion_3d: bool,
    /// Whether the prediction was taken for a mask of 0 and another value, and not for probabilities.
    pub mask: bool,
    /// Voxels left out because the truth does not say what they are.
    pub ignored: u64,
    /// Scores at the threshold, one per exclusion zone.
    pub voxel: Vec<VoxelScore>,
    /// The counts behind them.
    pub counts: Vec<ZoneCounts>,
    /// Scores at the threshold with the highest Jaccard index, one per zone: what could be reached, no result to report.
    /// Missing where a zone leaves no foreground.
    pub best: Vec<VoxelScore>,
    /// Scores at thresholds 0.05, 0.10, … 0.95, for each zone.
    pub sweep: Vec<VoxelScore>,
}

/// What was counted with one exclusion zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneCounts {
    /// Width of the zone in voxels.
    pub exclusion: u32,
    /// Voxels that were compared.
    pub compared: u64,
    /// Voxels that the zone left out.
    pub left_out: u64,
    /// Right and wrong voxels.
    pub confusion: Confusion,
}

/// Compares a prediction with the truth, block by block.
///
/// A prediction of 8 bits is p = value / 255, one of 16 bits p = value / 65535; a voxel is foreground where p is at least
/// the threshold. A prediction that has only the values 0 and 1 (or, in 16 bits, 0 and 255) is a mask: p is 0 or 1.
/// Truth: every value but 0 is foreground, if there is only one such value, or [`EvaluateConfig::foreground`] says which.
///
/// The sweep is exact: one pass counts how often each value of the prediction lies on each class. Memory is a few blocks
/// of 8 × 512 × 512 voxels per thread. `progress` hears the number of voxels after each batch; with a false it ends.
pub fn evaluate(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    config: &EvaluateConfig,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Evaluation, AnalyzeError> {
    evaluate_with(prediction, truth, config, &Work::default(), progress).map(|(evaluation, _)| evaluation)
}

/// As [`evaluate`], with so much done at a time (the result is the same); and the counts of every value, for curves over all
/// thresholds.
///
/// # Errors
/// [`AnalyzeError::Interrupted`] when told to stop; volumes and settings that do not go together; what reading met.
pub fn evaluate_with(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    config: &EvaluateConfig,
    work: &Work,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(Evaluation, Curves), AnalyzeError> {
    let job = Job::new(prediction, truth, config)?;
    let mut tally = job.empty();
    let tiles: Vec<Region> = job.region.tiles(work.block).collect();
    for batch in tiles.chunks(work.at_once.max(1)) {
        let parts: Vec<Tally> = batch.par_iter().map(|&tile| job.count(tile)).collect::<Result<_, _>>()?;
        for part in &parts {
            tally.merge(part);
        }
        if config.foreground.is_none() && tally.met == Met::Several {
            let values = count_values(truth, job.region, work.block)?;
            return Err(AnalyzeError::LabelValues { path: truth.info().path.clone(), values });
        }
        if !progress(batch.iter().map(|t| t.extent.len() as u64).sum()) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    Ok(job.results(&tally))
}
