//! How well a prediction agrees with the truth, voxel by voxel.

use std::path::PathBuf;

use deep3m_volume::{Extent, Index, Place, Region, Volume, VolumeError, VoxelType};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::labels::{Label, LabelRule, Met, count_values};
use crate::scores::Levels;
use crate::zones::{WIDEST, border_distance2};
use crate::{AnalyzeError, Confusion, VoxelScore, Work};

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
/// of 8 × 512 × 512 voxels per thread. `progress` hears the number of voxels after each batch.
pub fn evaluate(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    config: &EvaluateConfig,
    progress: &mut dyn FnMut(u64),
) -> Result<Evaluation, AnalyzeError> {
    evaluate_with(prediction, truth, config, &Work::default(), progress)
}

/// As [`evaluate`], with so much done at a time; the result is the same.
pub fn evaluate_with(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    config: &EvaluateConfig,
    work: &Work,
    progress: &mut dyn FnMut(u64),
) -> Result<Evaluation, AnalyzeError> {
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
        progress(batch.iter().map(|t| t.extent.len() as u64).sum());
    }
    Ok(job.evaluation(&tally))
}

struct Job<'a> {
    prediction: &'a dyn Volume,
    truth: &'a dyn Volume,
    config: &'a EvaluateConfig,
    rule: LabelRule,
    region: Region,
    /// Widths of zones, ascending.
    zones: Vec<u32>,
    /// Largest value of the prediction's type.
    max: u32,
}

/// What is counted; parts add up in any order.
struct Tally {
    /// At `k`: voxels that lie outside of the first `k` zones and inside of the others.
    outside: Vec<Levels>,
    ignored: u64,
    met: Met,
}

impl Tally {
    fn merge(&mut self, other: &Self) {
        for (a, b) in self.outside.iter_mut().zip(&other.outside) {
            a.merge(b);
        }
        self.ignored += other.ignored;
        self.met = self.met.merge(other.met);
    }
}

impl<'a> Job<'a> {
    fn new(
        prediction: &'a dyn Volume,
        truth: &'a dyn Volume,
        config: &'a EvaluateConfig,
    ) -> Result<Self, AnalyzeError> {
        let (p, t) = (prediction.info(), truth.info());
        if p.extent != t.extent {
            return Err(AnalyzeError::ShapeMismatch {
                first: p.path.clone(),
                first_extent: p.extent,
                second: t.path.clone(),
                second_extent: t.extent,
            });
        }
        let setting = |name: &'static str, found: String, expected: &str| {
            Err(AnalyzeError::Setting { name, found, expected: expected.into() })
        };
        if !(0.0..=1.0).contains(&config.threshold) {
            return setting("threshold", config.threshold.to_string(), "a probability from 0 to 1");
        }
        if config.exclusion.is_empty() {
            return setting("exclusion", "empty".into(), "at least one zone, for example 0,1,2");
        }
        if let Some(wide) = config.exclusion.iter().find(|&&n| n > WIDEST) {
            return setting("exclusion", wide.to_string(), "zones of 0 to 64 voxels");
        }
        let max = match p.voxel_type {
            VoxelType::U8 => u8::MAX.into(),
            VoxelType::U16 => u16::MAX.into(),
            found => return Err(AnalyzeError::NotProbabilities { path: p.path.clone(), found }),
        };
        if !t.voxel_type.is_unsigned() {
            return Err(AnalyzeError::NotLabels { path: t.path.clone(), found: t.voxel_type });
        }
        let region = config.region.unwrap_or(Region::whole(t.extent));
        if !region.fits(t.extent) {
            let place = Place::file(&t.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: t.extent }.into());
        }
        let mut zones = config.exclusion.clone();
        zones.sort_unstable();
        zones.dedup();
        let rule = LabelRule { foreground: config.foreground, ignore: config.ignore }.validate()?;
        Ok(Self { prediction, truth, config, rule, region, zones, max })
    }

    fn empty(&self) -> Tally {
        Tally { outside: vec![Levels::new(self.max); self.zones.len() + 1], ignored: 0, met: Met::None }
    }

    /// The tile with what its widest zone needs to see.
    fn with_context(&self, tile: Region) -> Region {
        let reach = u64::from(self.zones.last().copied().unwrap_or(0));
        let extent = self.truth.info().extent;
        let axis = |start: u64, size: u64, limit: u64, reach: u64| {
            let low = start.saturating_sub(reach);
            (low, (start + size + reach).min(limit) - low)
        };
        let z_reach = if self.config.exclusion_3d { reach } else { 0 };
        let (z, depth) = axis(tile.start.z, tile.extent.z, extent.z, z_reach);
        let (y, height) = axis(tile.start.y, tile.extent.y, extent.y, reach);
        let (x, width) = axis(tile.start.x, tile.extent.x, extent.x, reach);
        Region::new(Index::new(z, y, x), Extent::new(depth, height, width))
    }

    fn count(&self, tile: Region) -> Result<Tally, AnalyzeError> {
        let around = self.with_context(tile);
        let truth = self.truth.read(around)?;
        let prediction = self.prediction.read(tile)?;
        let labels = self.rule.labels(truth.voxels());
        let widest = self.zones.last().copied().unwrap_or(0);
        let distance2 = border_distance2(&labels, around.extent, widest, self.config.exclusion_3d);
        let squares: Vec<u16> = self.zones.iter().map(|n| (n * n) as u16).collect();
        let mut tally = self.empty();
        let mut i = 0;
        for z in 0..tile.extent.z {
            for y in 0..tile.extent.y {
                let at = Index::new(
                    tile.start.z - around.start.z + z,
                    tile.start.y - around.start.y + y,
                    tile.start.x - around.start.x,
                );
                let from = around.extent.offset(at);
                for j in from..from + tile.extent.x as usize {
                    let value = prediction.voxels().get(i);
                    i += 1;
                    match labels[j] {
                        Label::Ignored => tally.ignored += 1,
                        label => {
                            let foreground = label == Label::Foreground;
                            if foreground {
                                tally.met.add(truth.voxels().get(j));
                            }
                            // Zone 0 leaves nothing out: no voxel is at distance 0 of the other class.
                            let outside = squares.partition_point(|n2| *n2 < distance2[j]);
                            tally.outside[outside].add(value, foreground);
                        }
                    }
                }
            }
        }
        Ok(tally)
    }

    fn evaluation(&self, tally: &Tally) -> Evaluation {
        // Zone number i compares the voxels that lie outside of more than i zones.
        let mut by_zone: Vec<Levels> = Vec::new();
        for levels in tally.outside[1..].iter().rev() {
            let mut sum = levels.clone();
            if let Some(wider) = by_zone.last() {
                sum.merge(wider);
            }
            by_zone.push(sum);
        }
        by_zone.reverse();
        let mut everything = by_zone[0].clone();
        everything.merge(&tally.outside[0]);
        let scale = Scale::of(&everything, self.max);
        let total = everything.at(0).total();

        let zone = |n: u32| &by_zone[self.zones.partition_point(|z| *z < n)];
        let score = |n: u32, threshold: f64, level: u32| VoxelScore::new(n, threshold, &zone(n).at(level));
        let at = |n: u32, threshold: f64| score(n, threshold, scale.level(threshold));
        // In the order that was asked for.
        let mut zones = self.config.exclusion.clone();
        let mut seen = std::collections::BTreeSet::new();
        zones.retain(|n| seen.insert(*n));
        let counts = |&n: &u32| {
            let confusion = zone(n).at(scale.level(self.config.threshold));
            ZoneCounts { exclusion: n, compared: confusion.total(), left_out: total - confusion.total(), confusion }
        };
        let best = |&n: &u32| zone(n).best().map(|level| score(n, scale.probability(level), level));
        let steps = |&n: &u32| (1..20).map(move |i| (n, f64::from(i) / 20.0));
        Evaluation {
            prediction: self.prediction.info().path.clone(),
            truth: self.truth.info().path.clone(),
            region: self.region,
            exclusion_3d: self.config.exclusion_3d,
            mask: scale.mask,
            ignored: tally.ignored,
            voxel: zones.iter().map(|&n| at(n, self.config.threshold)).collect(),
            counts: zones.iter().map(counts).collect(),
            best: zones.iter().filter_map(best).collect(),
            sweep: zones.iter().flat_map(steps).map(|(n, t)| at(n, t)).collect(),
        }
    }
}

/// How values become probabilities.
#[derive(Clone, Copy, Debug)]
struct Scale {
    /// The value that is p = 1.
    one: u32,
    mask: bool,
}

impl Scale {
    fn of(levels: &Levels, max: u32) -> Self {
        let mut values = levels.values_above_0();
        match (values.next(), values.next()) {
            (Some(v), None) if v == 1 || v == 255 || v == max => Self { one: v, mask: true },
            _ => Self { one: max, mask: false },
        }
    }

    fn probability(self, level: u32) -> f64 {
        (f64::from(level) / f64::from(self.one)).min(1.0)
    }

    /// The lowest value whose probability is at least `threshold`.
    fn level(self, threshold: f64) -> u32 {
        lowest_value(threshold, self.one)
    }
}

/// The lowest value whose probability, value / `one`, is at least `threshold` (0 to 1); at most `one`.
pub fn lowest_value(threshold: f64, one: u32) -> u32 {
    let guess = (threshold * f64::from(one)).floor() as u32;
    (guess.saturating_sub(1)..=one).find(|&v| f64::from(v) / f64::from(one) >= threshold).unwrap_or(one)
}
