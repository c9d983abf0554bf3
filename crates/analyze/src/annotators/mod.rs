//! A prediction and several people who labelled the same volume: everyone against what they agree on, and against each other.
//!
//! Two kinds of agreement: the **majority** (foreground where more than half of the annotators say so; where half do, it is
//! background), and **STAPLE**, which gives more weight to those who agree more. All that is needed is how often each pattern of
//! votes occurs, so the volumes are read once, and once more for exclusion zones around the borders of what was agreed on.

mod count;
mod patterns;
mod report;
mod staple;

use std::path::PathBuf;

use deep3m_volume::{Extent, Region, Volume, VolumeInfo};
use serde::{Deserialize, Serialize};

use crate::evaluate::Scale;
use crate::inputs::{Allowance, largest_probability, must_be_labels, part_of, same_extent, together};
use crate::labels::{LabelRule, Met, count_values};
use crate::walk::Walk;
use crate::{AnalyzeError, Confusion, EvaluateConfig};

use count::{Counter, Zones};
use patterns::CLASSES;
pub use staple::{Skill, Staple};

/// Annotators at the most: patterns of their votes are counted one by one.
pub const MOST_ANNOTATORS: usize = 16;

/// A prediction and annotators, compared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Annotators {
    /// The prediction.
    pub prediction: PathBuf,
    /// The annotators' labels, in the order of all lists here.
    pub annotators: Vec<PathBuf>,
    /// The part that was compared.
    pub region: Region,
    /// Foreground is where the prediction's probability is at least this.
    pub threshold: f64,
    /// Whether the prediction was taken for a mask of 0 and another value, and not for probabilities.
    pub mask: bool,
    /// Whether zones were measured in three dimensions.
    pub exclusion_3d: bool,
    /// Voxels that were compared.
    pub compared: u64,
    /// Voxels left out because an annotator does not say what they are.
    pub ignored: u64,
    /// Voxels that half of the annotators marked; the majority takes them for background.
    pub tied: u64,
    /// Foreground voxels of the majority.
    pub majority_voxels: u64,
    /// Foreground voxels of STAPLE's consensus.
    pub staple_voxels: u64,
    /// What STAPLE estimated.
    pub staple: Staple,
    /// The prediction and each annotator against each consensus, in each zone.
    pub against_consensus: Vec<AgainstConsensus>,
    /// Each two of the prediction and the annotators against each other, without a zone.
    pub pairs: Vec<PairScore>,
}

/// Who is compared: in JSON 0 is the prediction, 1 the first annotator.
pub type Rater = usize;

/// What annotators agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Consensus {
    /// More than half of them.
    Majority,
    /// By their estimated skill.
    Staple,
}

/// One rater against a consensus.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AgainstConsensus {
    /// 0 is the prediction, 1 the first annotator.
    pub rater: Rater,
    /// What is taken for the truth.
    pub consensus: Consensus,
    /// Voxels within this distance of the consensus' borders are left out.
    pub exclusion: u32,
    /// The scores.
    #[serde(flatten)]
    pub score: Score,
}

/// Two raters, the second taken for the truth. The other way round precision and recall change places.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PairScore {
    /// Who is compared; 0 is the prediction.
    pub rater: Rater,
    /// Who is taken for the truth.
    pub truth: Rater,
    /// The scores.
    #[serde(flatten)]
    pub score: Score,
}

/// Counts and scores; a score without a meaning is `None`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// Right and wrong voxels.
    pub counts: Confusion,
    /// TP / (TP + FP).
    pub precision: Option<f64>,
    /// TP / (TP + FN).
    pub recall: Option<f64>,
    /// 2 TP / (2 TP + FP + FN).
    pub f1: Option<f64>,
    /// TP / (TP + FP + FN).
    pub jaccard: Option<f64>,
}

impl From<Confusion> for Score {
    fn from(counts: Confusion) -> Self {
        let (precision, recall) = (counts.precision(), counts.recall());
        Self { counts, precision, recall, f1: counts.f1(), jaccard: counts.jaccard() }
    }
}

/// How often [`compare_annotators`] goes through the voxels.
pub fn annotator_passes(config: &EvaluateConfig) -> u64 {
    if config.exclusion.iter().any(|&zone| zone > 0) { 2 } else { 1 }
}

/// Compares a prediction and two to sixteen annotators with what the annotators agree on, and with each other. Threshold, zones,
/// foreground and ignored values are those of [`crate::evaluate()`]; a voxel that any annotator ignores is left out for all.
///
/// Memory is some blocks per thread. `progress` hears the voxels of each block, which are gone through
/// [`annotator_passes`] times; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::ShapeMismatch`] and what else makes no sense; [`AnalyzeError::Memory`]; [`AnalyzeError::Interrupted`] when told to
/// stop; what reading met.
pub fn compare_annotators(
    prediction: &dyn Volume,
    annotators: &[&dyn Volume],
    config: &EvaluateConfig,
    memory: Allowance,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Annotators, AnalyzeError> {
    let counter = check(prediction, annotators, config)?;
    let mut infos: Vec<&VolumeInfo> = annotators.iter().map(|volume| volume.info()).collect();
    infos.push(prediction.info());
    let raters = annotators.len();
    let zones: Vec<u32> = unique(&config.exclusion);
    let widest = zones.iter().copied().max().unwrap_or(0);
    // Patterns of each block and of all, for each consensus and zone.
    let tables = ((CLASSES * 8) << raters) as u64 * (2 * zones.len() as u64 + 1);
    let kept = memory.held + tables * (rayon::current_num_threads() as u64 + 2);
    let widest_type = infos.iter().map(|info| info.voxel_type.bytes() as u64).max().unwrap_or(0);
    let bytes = widest_type + count::BYTES + if widest > 0 { count::ZONE_BYTES } else { 0 };
    let reach = u64::from(widest);
    let halo = Extent::new(if config.exclusion_3d { reach } else { 0 }, reach, reach);
    let walk = Walk::fit(&together(&infos), counter.region, halo, bytes, kept, memory.budget)?;

    let alone = Walk { halo: Extent::new(0, 0, 0), ..walk };
    let (patterns, seen) = counter.patterns(&alone, progress)?;
    for (volume, met) in annotators.iter().zip(&seen.met) {
        if config.foreground.is_none() && *met == Met::Several {
            let values = count_values(*volume, counter.region, walk.block)?;
            return Err(AnalyzeError::LabelValues { path: volume.info().path.clone(), values });
        }
    }
    let scale = Scale::of(seen.values_above_0(), counter.max);
    // Nothing is below a threshold of 0, and in a mask nothing but 0 is.
    let from_class = if scale.mask { 1 } else { 2 };
    let (staple, truth) = staple::staple(&patterns);
    let agreed: [Vec<bool>; 2] = [
        (0..1_usize << raters).map(|pattern| 2 * pattern.count_ones() as usize > raters).collect(),
        truth.iter().map(|&w| w >= 0.5).collect(),
    ];
    let by_zone = if widest > 0 {
        Some(counter.in_zones(&walk, &Zones::new(&zones, config.exclusion_3d), &agreed, progress)?)
    } else {
        None
    };

    let says = |rater: Rater| {
        move |pattern: usize, class: usize| {
            if rater == 0 { class >= from_class } else { pattern >> (rater - 1) & 1 == 1 }
        }
    };
    let mut against_consensus = Vec::new();
    for (which, consensus) in [Consensus::Majority, Consensus::Staple].into_iter().enumerate() {
        for &zone in &zones {
            let counted = by_zone.as_ref().filter(|_| zone > 0).map_or(&patterns, |tables| &tables[which][&zone]);
            for rater in 0..=raters {
                let confusion = counted.confusion(says(rater), |pattern, _| agreed[which][pattern]);
                against_consensus.push(AgainstConsensus { rater, consensus, exclusion: zone, score: confusion.into() });
            }
        }
    }
    let pair = |(rater, truth)| PairScore { rater, truth, score: patterns.confusion(says(rater), says(truth)).into() };
    let pairs = (0..raters).flat_map(|a| (a + 1..=raters).map(move |b| (a, b))).map(pair).collect();
    Ok(Annotators {
        prediction: prediction.info().path.clone(),
        annotators: annotators.iter().map(|volume| volume.info().path.clone()).collect(),
        region: counter.region,
        threshold: config.threshold,
        mask: scale.mask,
        exclusion_3d: config.exclusion_3d,
        compared: patterns.total(),
        ignored: seen.ignored,
        tied: patterns.voxels(|pattern| 2 * pattern.count_ones() as usize == raters),
        majority_voxels: patterns.voxels(|pattern| agreed[0][pattern]),
        staple_voxels: patterns.voxels(|pattern| agreed[1][pattern]),
        staple,
        against_consensus,
        pairs,
    })
}

fn check<'a>(
    prediction: &'a dyn Volume,
    annotators: &'a [&'a dyn Volume],
    config: &EvaluateConfig,
) -> Result<Counter<'a>, AnalyzeError> {
    config.check()?;
    if !(2..=MOST_ANNOTATORS).contains(&annotators.len()) {
        return Err(AnalyzeError::Setting {
            name: "the number of annotators",
            found: annotators.len().to_string(),
            expected: format!("2 to {MOST_ANNOTATORS}"),
        });
    }
    let max = largest_probability(prediction.info())?;
    for volume in annotators {
        same_extent(prediction.info(), volume.info())?;
        must_be_labels(volume.info())?;
    }
    let region = part_of(prediction.info(), config.region)?;
    let rule = LabelRule { foreground: config.foreground, ignore: config.ignore }.validate()?;
    let level = crate::lowest_value(config.threshold, max);
    Ok(Counter { prediction, annotators, rule, region, level, max })
}

/// Zones in the order that was asked for, each once.
fn unique(zones: &[u32]) -> Vec<u32> {
    let mut seen = std::collections::BTreeSet::new();
    zones.iter().copied().filter(|zone| seen.insert(*zone)).collect()
}

#[cfg(test)]
mod tests;
