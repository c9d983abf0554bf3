//! What the values of a label volume mean.

use std::collections::BTreeMap;

use deep3m_volume::{Region, Volume, Voxels};
use rayon::prelude::*;

use crate::AnalyzeError;
use crate::error::ValueCounts;

/// What a label says of a voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    Background,
    Foreground,
    /// Not annotated: takes no part.
    Ignored,
}

/// How label values are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LabelRule {
    /// The value that is foreground; `None`: every value but 0.
    pub(crate) foreground: Option<u32>,
    /// The value that is not annotated.
    pub(crate) ignore: Option<u32>,
}

impl LabelRule {
    pub(crate) fn validate(self) -> Result<Self, AnalyzeError> {
        match (self.foreground, self.ignore) {
            (Some(f), Some(i)) if f == i => Err(AnalyzeError::Setting {
                name: "the ignored label value",
                found: i.to_string(),
                expected: "another value than the foreground's".into(),
            }),
            _ => Ok(self),
        }
    }

    pub(crate) fn label(self, value: u32) -> Label {
        if self.ignore == Some(value) {
            Label::Ignored
        } else if self.foreground.map_or(value != 0, |f| f == value) {
            Label::Foreground
        } else {
            Label::Background
        }
    }

    pub(crate) fn labels(self, voxels: &Voxels) -> Vec<Label> {
        voxels.iter().map(|v| self.label(v)).collect()
    }
}

/// The one foreground value met so far, to notice a second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Met {
    #[default]
    None,
    One(u32),
    Several,
}

impl Met {
    pub(crate) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, o) | (o, Self::None) => o,
            (Self::One(a), Self::One(b)) if a == b => self,
            _ => Self::Several,
        }
    }

    pub(crate) fn add(&mut self, value: u32) {
        *self = self.merge(Self::One(value));
    }
}

/// Counts the values of a region; memory is one block per thread.
pub(crate) fn count_values(
    volume: &dyn Volume,
    region: Region,
    block: deep3m_volume::Extent,
) -> Result<ValueCounts, AnalyzeError> {
    let tiles: Vec<Region> = region.tiles(block).collect();
    let mut all: BTreeMap<u32, u64> = BTreeMap::new();
    let mut more = false;
    for batch in tiles.chunks(rayon::current_num_threads().max(1)) {
        let counted: Vec<_> = batch
            .par_iter()
            .map(|&tile| {
                let mut counts: BTreeMap<u32, u64> = BTreeMap::new();
                for value in volume.read(tile)?.voxels() {
                    *counts.entry(value).or_default() += 1;
                }
                Ok(counts)
            })
            .collect::<Result<_, AnalyzeError>>()?;
        for (value, n) in counted.into_iter().flatten() {
            if all.contains_key(&value) || all.len() < ValueCounts::KEPT {
                *all.entry(value).or_default() += n;
            } else {
                more = true;
            }
        }
    }
    Ok(ValueCounts { counts: all.into_iter().collect(), more })
}
