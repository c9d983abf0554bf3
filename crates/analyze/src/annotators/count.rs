//! Going through the volumes and counting patterns of votes.

use std::collections::BTreeMap;

use deep3m_volume::{Extent, Region, Volume};

use super::patterns::Patterns;
use crate::AnalyzeError;
use crate::labels::{Label, LabelRule, Met};
use crate::walk::{Part, Walk, surroundings};
use crate::zones::border_distance2;

/// Bytes of a voxel while it is counted, besides its values: its pattern.
pub(super) const BYTES: u64 = 4;
/// Those for zones: a label, and distances from both classes while they are made.
pub(super) const ZONE_BYTES: u64 = 7;
/// The pattern of a voxel that an annotator says nothing of.
const IGNORED: u32 = u32::MAX;

/// What is read.
pub(super) struct Counter<'a> {
    pub(super) prediction: &'a dyn Volume,
    pub(super) annotators: &'a [&'a dyn Volume],
    pub(super) rule: LabelRule,
    pub(super) region: Region,
    /// The lowest value of the prediction that is foreground.
    pub(super) level: u32,
    /// The largest value of the prediction's type.
    pub(super) max: u32,
}

/// What was met besides patterns.
pub(super) struct Seen {
    pub(super) ignored: u64,
    /// The foreground values of each annotator.
    pub(super) met: Vec<Met>,
    /// The values above 0 of the prediction.
    value: Met,
}

impl Seen {
    /// One value of the prediction that is not 0, and a second where there are several.
    pub(super) fn values_above_0(&self) -> impl Iterator<Item = u32> {
        let values = match self.value {
            Met::None => [None, None],
            Met::One(value) => [Some(value), None],
            Met::Several => [Some(0), Some(0)],
        };
        values.into_iter().flatten()
    }
}

/// Which zones are wanted.
pub(super) struct Zones {
    /// Squares of their widths, ascending, without 0.
    squares: Vec<u16>,
    widths: Vec<u32>,
    three_d: bool,
}

impl Zones {
    pub(super) fn new(zones: &[u32], three_d: bool) -> Self {
        let mut widths: Vec<u32> = zones.iter().copied().filter(|&zone| zone > 0).collect();
        widths.sort_unstable();
        Self { squares: widths.iter().map(|n| (n * n) as u16).collect(), widths, three_d }
    }

    fn widest(&self) -> u32 {
        self.widths.last().copied().unwrap_or(0)
    }
}

impl Counter<'_> {
    /// Patterns of all voxels.
    pub(super) fn patterns(
        &self,
        walk: &Walk,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(Patterns, Seen), AnalyzeError> {
        let raters = self.annotators.len();
        let mut all = Patterns::new(raters);
        let mut seen = Seen { ignored: 0, met: vec![Met::None; raters], value: Met::None };
        walk.run(
            |part| {
                let (votes, met) = self.votes(part.core)?;
                let (mut patterns, mut ignored, mut value) = (Patterns::new(raters), 0, Met::None);
                for (&pattern, class) in votes.iter().zip(self.classes(part.core, &mut value)?) {
                    if pattern == IGNORED {
                        ignored += 1;
                    } else {
                        patterns.add(pattern, usize::from(class));
                    }
                }
                Ok((patterns, ignored, met, value))
            },
            |_, (patterns, ignored, met, value)| {
                all.merge(&patterns);
                seen.ignored += ignored;
                seen.met.iter_mut().zip(met).for_each(|(all, met)| *all = all.merge(met));
                seen.value = seen.value.merge(value);
                Ok(())
            },
            progress,
        )?;
        Ok((all, seen))
    }

    /// Patterns of the voxels outside of each zone around the borders of each consensus (patterns that are foreground).
    pub(super) fn in_zones(
        &self,
        walk: &Walk,
        zones: &Zones,
        agreed: &[Vec<bool>; 2],
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<[BTreeMap<u32, Patterns>; 2], AnalyzeError> {
        let raters = self.annotators.len();
        let empty =
            || -> BTreeMap<u32, Patterns> { zones.widths.iter().map(|&n| (n, Patterns::new(raters))).collect() };
        let mut all = [empty(), empty()];
        walk.run(
            |part| {
                // As in a comparison with one truth, zones see what lies around a region.
                let around = surroundings(part.core, walk.halo, Region::whole(self.prediction.info().extent));
                let part = Part { core: part.core, around };
                let (votes, _) = self.votes(around)?;
                let classes = self.classes(part.core, &mut Met::None)?;
                let mut tables = [empty(), empty()];
                for (table, agreed) in tables.iter_mut().zip(agreed) {
                    Self::outside(part, zones, agreed, &votes, &classes, table);
                }
                Ok(tables)
            },
            |_, tables| {
                for (all, table) in all.iter_mut().zip(&tables) {
                    for (zone, patterns) in all {
                        patterns.merge(&table[zone]);
                    }
                }
                Ok(())
            },
            progress,
        )?;
        Ok(all)
    }

    /// Counts the voxels of a block that lie outside of each zone.
    fn outside(
        part: Part,
        zones: &Zones,
        agreed: &[bool],
        votes: &[u32],
        classes: &[u8],
        table: &mut BTreeMap<u32, Patterns>,
    ) {
        let label = |&pattern: &u32| match agreed.get(pattern as usize) {
            None => Label::Ignored,
            Some(true) => Label::Foreground,
            Some(false) => Label::Background,
        };
        let labels: Vec<Label> = votes.iter().map(label).collect();
        let distance2 = border_distance2(&labels, part.around.extent, zones.widest(), zones.three_d);
        let places = part.inside().tiles(Extent::new(1, 1, part.core.extent.x));
        let row = part.core.extent.x as usize;
        for (at, classes) in places.zip(classes.chunks_exact(row)) {
            let from = part.around.extent.offset(at.start);
            for ((&pattern, &square), &class) in votes[from..].iter().zip(&distance2[from..]).zip(classes) {
                if pattern != IGNORED {
                    let outside = zones.squares.partition_point(|n2| *n2 < square);
                    for zone in &zones.widths[..outside] {
                        if let Some(patterns) = table.get_mut(zone) {
                            patterns.add(pattern, usize::from(class));
                        }
                    }
                }
            }
        }
    }

    /// What the annotators say of each voxel, one bit each; and the foreground values of each of them.
    fn votes(&self, part: Region) -> Result<(Vec<u32>, Vec<Met>), AnalyzeError> {
        let mut votes = vec![0; part.extent.len()];
        let mut met = vec![Met::None; self.annotators.len()];
        for (rater, volume) in self.annotators.iter().enumerate() {
            for (vote, value) in votes.iter_mut().zip(volume.read(part)?.voxels()) {
                match self.rule.label(value) {
                    Label::Ignored => *vote = IGNORED,
                    Label::Background => (),
                    Label::Foreground => {
                        *vote |= 1 << rater;
                        met[rater].add(value);
                    }
                }
            }
        }
        Ok((votes, met))
    }

    /// The class of each voxel of the prediction; `met` hears its values above 0.
    fn classes(&self, part: Region, met: &mut Met) -> Result<Vec<u8>, AnalyzeError> {
        let block = self.prediction.read(part)?;
        let class = |value: u32| {
            if value > 0 {
                met.add(value);
            }
            if value >= self.level { 2 } else { u8::from(value > 0) }
        };
        Ok(block.voxels().iter().map(class).collect())
    }
}
