//! The labels: what their values mean, and how much of the volume they mark.

use std::collections::BTreeMap;

use deep3m_volume::{Block, Extent, Region, Volume};
use serde::{Deserialize, Serialize};

use super::finding::{Code, Finding};
use super::robust::median;
use super::section::hashed;
use super::sections::runs;
use crate::AnalyzeError;
use crate::error::ValueCounts;
use crate::labels::{Label, LabelRule};
use crate::tiles::Tiles;

/// Values of one section that are counted by themselves.
const PER_SECTION: usize = 64;
/// Shares of foreground outside of these are remarkable.
const RARE: f64 = 0.001;
const MOST: f64 = 0.6;
/// Less than this share of the usual foreground, and the structure may end here.
const ENDS: f64 = 0.3;

/// What the labels of a volume are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelFigures {
    /// Values and their voxels, by value; at most 1024 of them.
    pub values: Vec<(u32, u64)>,
    /// Whether there are further values.
    pub more_values: bool,
    /// The value of foreground, where it is clear.
    pub foreground: Option<u32>,
    /// The value of voxels that nobody labelled, as it was given.
    pub ignore: Option<u32>,
    /// Voxels of foreground among those that are labelled, as a share.
    pub foreground_share: Option<f64>,
    /// Voxels that are labelled, as a share.
    pub labelled_share: f64,
    /// Voxels of foreground of each section, as a share; empty where foreground is not clear.
    pub sections: Vec<f64>,
}

/// What one section's labels are.
#[derive(Clone, Debug, Default)]
struct Section {
    /// Voxels by value, of the first values that were met.
    counts: BTreeMap<u32, u64>,
    hash: u64,
}

/// A tile of a section that has several values: where borders are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mixed {
    pub(super) z: u64,
    pub(super) tile: Region,
}

/// All labels, gone through once.
pub(super) struct Read {
    sections: Vec<Section>,
    values: ValueCounts,
    /// Tiles with borders, in order.
    pub(super) mixed: Vec<Mixed>,
    voxels: u64,
}

/// Goes through the labels once.
pub(super) fn read(
    labels: &dyn Volume,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Read, AnalyzeError> {
    let info = labels.info();
    let tiles = Tiles::fit(info, 0, 0, budget)?;
    let mut all = Read { sections: Vec::new(), values: ValueCounts::default(), mixed: Vec::new(), voxels: 0 };
    let mut values: BTreeMap<u32, u64> = BTreeMap::new();
    for slab in tiles.slabs() {
        let first = all.sections.len();
        all.sections.resize(first + slab.extent.z as usize, Section::default());
        tiles.run(
            slab,
            0,
            |part| Ok(count(&labels.read(part.core)?, part.core, info.extent)),
            |part, counted| {
                for (i, section) in counted.into_iter().enumerate() {
                    let z = part.core.start.z + i as u64;
                    if section.counts.len() > 1 {
                        all.mixed.push(Mixed { z, tile: part.core });
                    }
                    let into = &mut all.sections[z as usize];
                    into.hash = into.hash.wrapping_add(section.hash);
                    for (value, n) in section.counts {
                        all.voxels += n;
                        if values.len() < ValueCounts::KEPT || values.contains_key(&value) {
                            *values.entry(value).or_default() += n;
                        } else {
                            all.values.more = true;
                        }
                        if into.counts.len() < PER_SECTION || into.counts.contains_key(&value) {
                            *into.counts.entry(value).or_default() += n;
                        }
                    }
                }
                Ok(())
            },
            progress,
        )?;
    }
    all.mixed.sort_unstable_by_key(|m| (m.z, m.tile.start));
    all.values.counts = values.into_iter().collect();
    Ok(all)
}

/// The values of each section of a tile.
fn count(block: &Block, core: Region, whole: Extent) -> Vec<Section> {
    let mut values = block.voxels().iter();
    (0..core.extent.z)
        .map(|_| {
            let mut section = Section::default();
            // Runs of one value are long in labels.
            let mut run: Option<(u32, u64)> = None;
            for y in core.start.y..core.end().y {
                for (x, value) in (core.start.x..core.end().x).zip(values.by_ref().take(core.extent.x as usize)) {
                    section.hash = section.hash.wrapping_add(hashed(y * whole.x + x, value));
                    match &mut run {
                        Some((of, n)) if *of == value => *n += 1,
                        other => {
                            if let Some((of, n)) = other.replace((value, 1)) {
                                *section.counts.entry(of).or_default() += n;
                            }
                        }
                    }
                }
            }
            if let Some((of, n)) = run {
                *section.counts.entry(of).or_default() += n;
            }
            section
        })
        .collect()
}

impl Read {
    /// What the values mean: of two values, the larger is foreground; more need `foreground`. `Err` holds what is said
    /// where that is not clear.
    pub(super) fn rule(&self, foreground: Option<u32>, ignore: Option<u32>) -> Result<LabelRule, Box<Finding>> {
        let known: Vec<u32> = self.values.counts.iter().map(|(v, _)| *v).filter(|v| Some(*v) != ignore).collect();
        let value = match (foreground, &known[..]) {
            (Some(value), _) => Some(value),
            (None, [] | [0]) => None,
            (None, [only] | [_, only]) => Some(*only),
            (None, more) => {
                let n = more.len();
                let (than, values) = (if self.values.more { "more than " } else { "" }, &self.values);
                let message = format!("{than}{n} values, {values}: it is not clear which one is foreground");
                let fix = "name the foreground with --foreground V, and unlabelled voxels with --ignore V; numbers of \
                           objects must become a mask of 0 and 1 first";
                return Err(Box::new(Finding::error(Code::LabelValues, n as f64, "values", message, fix)));
            }
        };
        Ok(LabelRule { foreground: value, ignore })
    }

    /// Figures of the labels, and what is remarkable in them.
    pub(super) fn judge(&self, rule: Option<LabelRule>, ignore: Option<u32>) -> (LabelFigures, Vec<Finding>) {
        let of = |counts: &mut dyn Iterator<Item = (u32, u64)>, class: Label| -> u64 {
            rule.map_or(0, |rule| counts.filter(|(v, _)| rule.label(*v) == class).map(|(_, n)| n).sum())
        };
        let foreground = of(&mut self.values.counts.iter().copied(), Label::Foreground);
        let ignored: u64 = self.values.counts.iter().filter(|(v, _)| Some(*v) == ignore).map(|(_, n)| n).sum();
        let labelled = self.voxels - ignored;
        let share = |n: u64, of: u64| n as f64 / of.max(1) as f64;
        let sections = rule.map_or_else(Vec::new, |_| {
            let in_section = |section: &Section| {
                let all: u64 = section.counts.values().sum();
                share(of(&mut section.counts.iter().map(|(v, n)| (*v, *n)), Label::Foreground), all)
            };
            self.sections.iter().map(in_section).collect()
        });
        let figures = LabelFigures {
            values: self.values.counts.clone(),
            more_values: self.values.more,
            foreground: rule.filter(|_| foreground > 0).and_then(|rule| rule.foreground),
            ignore,
            foreground_share: rule.map(|_| share(foreground, labelled)),
            labelled_share: share(labelled, self.voxels),
            sections,
        };
        let mut found = Vec::new();
        if rule.is_some() {
            self.balance(&figures, foreground, labelled, &mut found);
            unlabelled(&figures, &mut found);
        }
        self.repeated(&mut found);
        (figures, found)
    }

    fn balance(&self, figures: &LabelFigures, foreground: u64, labelled: u64, found: &mut Vec<Finding>) {
        let share = figures.foreground_share.unwrap_or(0.0);
        let percent = 100.0 * share;
        if foreground == 0 {
            let message = format!("no foreground: values are {}", self.values);
            let fix = "is it the right file? Give the value that marks the structure with --foreground V";
            found.push(Finding::error(Code::OneClass, 0.0, "of the labelled voxels", message, fix));
        } else if foreground == labelled {
            let message = format!("no background: values are {}", self.values);
            let fix = "is it the right file? Labels need a second value for what is not the structure";
            found.push(Finding::error(Code::OneClass, 1.0, "of the labelled voxels", message, fix));
        } else if share < RARE {
            let message = format!("{percent:.3} % of the voxels are foreground: little to learn from");
            let fix =
                "label more of the structure, or train on the part that has it (deep3m convert --region cuts it out)";
            found.push(Finding::warning(Code::Imbalance, share, "of the labelled voxels", message, fix));
        } else if share > MOST {
            let message = format!("{percent:.1} % of the voxels are foreground");
            let other = self.values.counts.iter().map(|(v, _)| *v).find(|v| Some(*v) != figures.foreground);
            let other = other.map_or(String::new(), |v| format!(": --foreground {v}"));
            let fix = format!("if the other value is what is looked for, name it{other}");
            found.push(Finding::warning(Code::Imbalance, share, "of the labelled voxels", message, fix));
        }
    }

    fn repeated(&self, found: &mut Vec<Finding>) {
        let several = |z: usize| self.sections[z].counts.len() > 1;
        let same: Vec<bool> = (0..self.sections.len())
            .map(|z| z > 0 && several(z) && self.sections[z].hash == self.sections[z - 1].hash)
            .collect();
        runs(&same, |first, last| {
            let message = format!("labels are those of section {}, voxel for voxel", first - 1);
            let fix = "if they were copied to save work: the structure moves from section to section, label each";
            let n = (last - first + 1) as f64;
            let finding = Finding::warning(Code::RepeatedLabels, n, "sections", message, fix);
            found.push(finding.at(first as u64, last as u64));
        });
    }
}

/// Sections without foreground, where the others have plenty: an annotator who stopped, or skipped one.
fn unlabelled(figures: &LabelFigures, found: &mut Vec<Finding>) {
    let with: Vec<f64> = figures.sections.iter().copied().filter(|&s| s > 0.0).collect();
    let usual = median(with.clone());
    // A section's own edge of what is rare: some voxels of 1000 are there by chance or not.
    if usual < 0.002 || with.len() * 2 < figures.sections.len() {
        return;
    }
    let empty: Vec<bool> = figures.sections.iter().map(|&s| s == 0.0).collect();
    // A structure that ends grows thin before.
    let plenty = |z: Option<usize>| z.and_then(|z| figures.sections.get(z)).is_none_or(|&s| s >= ENDS * usual);
    runs(&empty, |first, last| {
        if !(plenty(first.checked_sub(1)) && plenty(Some(last + 1))) {
            return;
        }
        let message = format!("no foreground; other sections have {:.1} % of it", 100.0 * usual);
        let fix = "label it, or mark its voxels as unlabelled with a value of their own and --ignore V";
        let finding = Finding::warning(Code::Unlabelled, 0.0, "of the voxels", message, fix);
        found.push(finding.at(first as u64, last as u64));
    });
}
