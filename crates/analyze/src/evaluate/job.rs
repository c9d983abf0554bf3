//! Counting, block by block, how often each value of a prediction lies on each class of the truth.

use deep3m_volume::{Extent, Index, Region, Volume};

use super::curves::Curves;
use super::scale::Scale;
use super::{EvaluateConfig, Evaluation, ZoneCounts};
use crate::inputs::{largest_probability, must_be_labels, part_of, same_extent};
use crate::labels::{Label, LabelRule, Met};
use crate::scores::Levels;
use crate::walk::surroundings;
use crate::zones::border_distance2;
use crate::{AnalyzeError, VoxelScore};

/// A comparison: what is read, and how it is counted.
pub(super) struct Job<'a> {
    prediction: &'a dyn Volume,
    truth: &'a dyn Volume,
    config: &'a EvaluateConfig,
    rule: LabelRule,
    pub(super) region: Region,
    /// Widths of zones, ascending.
    zones: Vec<u32>,
    /// Largest value of the prediction's type.
    max: u32,
}

/// What is counted; parts add up in any order.
pub(super) struct Tally {
    /// At `k`: voxels that lie outside of the first `k` zones and inside of the others.
    outside: Vec<Levels>,
    ignored: u64,
    pub(super) met: Met,
}

impl Tally {
    pub(super) fn merge(&mut self, other: &Self) {
        for (a, b) in self.outside.iter_mut().zip(&other.outside) {
            a.merge(b);
        }
        self.ignored += other.ignored;
        self.met = self.met.merge(other.met);
    }
}

impl<'a> Job<'a> {
    pub(super) fn new(
        prediction: &'a dyn Volume,
        truth: &'a dyn Volume,
        config: &'a EvaluateConfig,
    ) -> Result<Self, AnalyzeError> {
        let (p, t) = (prediction.info(), truth.info());
        same_extent(p, t)?;
        config.check()?;
        let max = largest_probability(p)?;
        must_be_labels(t)?;
        let region = part_of(t, config.region)?;
        let mut zones = config.exclusion.clone();
        zones.sort_unstable();
        zones.dedup();
        let rule = LabelRule { foreground: config.foreground, ignore: config.ignore }.validate()?;
        Ok(Self { prediction, truth, config, rule, region, zones, max })
    }

    pub(super) fn empty(&self) -> Tally {
        Tally { outside: vec![Levels::new(self.max); self.zones.len() + 1], ignored: 0, met: Met::None }
    }

    /// The tile with what its widest zone needs to see.
    fn with_context(&self, tile: Region) -> Region {
        let reach = u64::from(self.zones.last().copied().unwrap_or(0));
        let reach = Extent::new(if self.config.exclusion_3d { reach } else { 0 }, reach, reach);
        surroundings(tile, reach, Region::whole(self.truth.info().extent))
    }

    pub(super) fn count(&self, tile: Region) -> Result<Tally, AnalyzeError> {
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

    /// The scores, and the counts of every value in the first zone.
    pub(super) fn results(&self, tally: &Tally) -> (Evaluation, Curves) {
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
        let scale = Scale::of(everything.values_above_0(), self.max);
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
        let evaluation = Evaluation {
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
        };
        let first = zones[0];
        (evaluation, Curves::new(first, zone(first).clone(), scale, self.config.threshold))
    }
}
