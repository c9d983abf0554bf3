//! The check of images and labels before anything is trained: what the labels mean, and whether they fit the images.

use std::collections::BTreeMap;

use deep3m_volume::{Extent, Region, Voxels};

use crate::index::PlaceIndex;
use crate::{LabelledVolume, TrainError};

/// At most so many different values are told apart; more is no labelling by class.
const MANY_VALUES: usize = 4096;

/// What a label value means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Not what is looked for.
    Background,
    /// What is looked for.
    Foreground,
    /// Nobody labelled it.
    Unknown,
}

/// Which values of a label volume mean what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meaning {
    /// The value of foreground; `None`: no value is foreground.
    pub foreground: Option<u32>,
    /// The value of voxels that nobody labelled.
    pub ignore: Option<u32>,
}

impl Meaning {
    /// What a value means.
    pub fn of(&self, value: u32) -> Class {
        if self.ignore == Some(value) {
            Class::Unknown
        } else if self.foreground == Some(value) {
            Class::Foreground
        } else {
            Class::Background
        }
    }
}

/// What the check of one labelled volume found.
#[derive(Clone, Debug)]
pub struct Checked {
    /// Which values mean what.
    pub meaning: Meaning,
    /// Voxels of foreground.
    pub foreground: u64,
    /// Voxels of background.
    pub background: u64,
    /// Voxels that nobody labelled.
    pub unknown: u64,
    /// Typical width of the foreground's pieces in pixels: 4 · area / perimeter, the diameter for discs, twice the width
    /// for long strips; `None` without a border between foreground and background.
    pub thickness: Option<f64>,
    /// Where foreground lies.
    pub foreground_places: PlaceIndex,
    /// Where labels are known, where some are not.
    pub known_places: Option<PlaceIndex>,
}

/// Checks a labelled volume, section by section, in two passes over the labels.
///
/// Labels of two values are taken as they are: the larger is foreground. More values need `foreground`.
pub fn check(volume: &LabelledVolume, foreground: Option<u32>, ignore: Option<u32>) -> Result<Checked, TrainError> {
    let (images, labels) = (volume.images.info(), volume.labels.info());
    if !labels.voxel_type.is_unsigned() {
        return Err(TrainError::LabelType { path: labels.path.clone(), found: labels.voxel_type });
    }
    if images.extent != labels.extent {
        return Err(TrainError::SizesDiffer {
            images: images.path.clone(),
            images_extent: images.extent,
            labels: labels.path.clone(),
            labels_extent: labels.extent,
        });
    }
    let meaning = Meaning { foreground: decide(volume, foreground, ignore)?, ignore };
    let mut tally = Tally::new(labels.extent, meaning);
    for tile in tiles(labels.extent, labels.grain) {
        tally.add(tile, volume.labels.read(tile)?.voxels());
    }
    Ok(tally.finish())
}

/// The error for labels without any foreground; for the caller, who knows whether another volume has some.
pub fn no_foreground(volume: &LabelledVolume, meaning: Meaning) -> TrainError {
    let found = histogram(volume).map_or_else(|_| "no foreground".to_owned(), |values| in_words(&values));
    let expected = match meaning.foreground {
        Some(v) => format!("value {v}, which is foreground"),
        None => "a second value, which is foreground".to_owned(),
    };
    TrainError::NoForeground { path: volume.labels.info().path.clone(), found, expected }
}

/// Which value is foreground; `None` where all voxels are background.
fn decide(volume: &LabelledVolume, foreground: Option<u32>, ignore: Option<u32>) -> Result<Option<u32>, TrainError> {
    if foreground.is_some() {
        return Ok(foreground);
    }
    let counts = histogram(volume)?;
    let mut values: Vec<u32> = counts.keys().copied().filter(|v| Some(*v) != ignore).collect();
    values.sort_unstable();
    match values[..] {
        [] | [0] => Ok(None),
        [only] | [_, only] => Ok(Some(only)),
        _ => Err(TrainError::LabelValues { path: volume.labels.info().path.clone(), found: in_words(&counts) }),
    }
}

/// The number of voxels of each value; stops telling new values apart after [`MANY_VALUES`].
fn histogram(volume: &LabelledVolume) -> Result<BTreeMap<u32, u64>, TrainError> {
    let info = volume.labels.info();
    let mut counts = BTreeMap::new();
    for tile in tiles(info.extent, info.grain) {
        let block = volume.labels.read(tile)?;
        match block.voxels() {
            Voxels::U8(voxels) => {
                let mut of = [0_u64; 256];
                for &value in voxels {
                    of[value as usize] += 1;
                }
                for (value, &count) in of.iter().enumerate().filter(|(_, c)| **c > 0) {
                    *counts.entry(value as u32).or_default() += count;
                }
            }
            voxels => {
                // Runs of one value are long in labels.
                let mut run: Option<(u32, u64)> = None;
                for value in voxels.iter().map(Some).chain([None]) {
                    match (&mut run, value) {
                        (Some((of, count)), Some(v)) if *of == v => *count += 1,
                        (done, next) => {
                            if let Some((of, count)) = done.take()
                                && (counts.len() < MANY_VALUES || counts.contains_key(&of))
                            {
                                *counts.entry(of).or_default() += count;
                            }
                            run = next.map(|v| (v, 1));
                        }
                    }
                }
            }
        }
    }
    Ok(counts)
}

/// Values with counts, the commonest first, the rest summed up.
fn in_words(counts: &BTreeMap<u32, u64>) -> String {
    const SHOWN: usize = 10;
    let mut sorted: Vec<(u32, u64)> = counts.iter().map(|(&v, &c)| (v, c)).collect();
    sorted.sort_by_key(|&(value, count)| (std::cmp::Reverse(count), value));
    let shown: Vec<String> = sorted.iter().take(SHOWN).map(|(v, c)| format!("{v} ({c} voxels)")).collect();
    let number = match sorted.len() {
        0 => return "no voxels".to_owned(),
        1 => "one value".to_owned(),
        n if n >= MANY_VALUES => format!("{MANY_VALUES} values or more"),
        n => format!("{n} values"),
    };
    let rest = if sorted.len() > SHOWN { ", …" } else { "" };
    format!("{number}: {}{rest}", shown.join(", "))
}

/// Parts of a volume to stream it in: whole grains, several sections' worth of none.
pub(crate) fn tiles(extent: Extent, grain: Extent) -> impl Iterator<Item = Region> {
    // A grain of single rows would be slow: take at least a megavoxel where the section has it.
    let rows = (1_u64 << 20).div_ceil(extent.x.max(1)).max(grain.y).div_ceil(grain.y.max(1)) * grain.y.max(1);
    Region::whole(extent).tiles(Extent::new(grain.z.max(1), rows.max(1), extent.x.max(1)))
}

/// Counts classes, borders and places while labels stream by.
struct Tally {
    meaning: Meaning,
    foreground: u64,
    background: u64,
    unknown: u64,
    borders: u64,
    foreground_places: PlaceIndex,
    known_places: PlaceIndex,
}

impl Tally {
    fn new(extent: Extent, meaning: Meaning) -> Self {
        Self {
            meaning,
            foreground: 0,
            background: 0,
            unknown: 0,
            borders: 0,
            foreground_places: PlaceIndex::new(extent),
            known_places: PlaceIndex::new(extent),
        }
    }

    fn add(&mut self, tile: Region, voxels: &Voxels) {
        let classes: Vec<Class> = voxels.iter().map(|v| self.meaning.of(v)).collect();
        let (rows, columns) = (tile.extent.y as usize, tile.extent.x as usize);
        for (i, row) in classes.chunks_exact(columns.max(1)).enumerate() {
            let (z, y) = (tile.start.z + (i / rows) as u64, tile.start.y + (i % rows) as u64);
            let above = (i % rows > 0).then(|| &classes[(i - 1) * columns..i * columns]);
            for (x, &class) in row.iter().enumerate() {
                let at = deep3m_volume::Index::new(z, y, tile.start.x + x as u64);
                match class {
                    Class::Foreground => {
                        self.foreground += 1;
                        self.foreground_places.add(at);
                    }
                    Class::Background => self.background += 1,
                    Class::Unknown => self.unknown += 1,
                }
                if class != Class::Unknown && self.meaning.ignore.is_some() {
                    self.known_places.add(at);
                }
                let differs = |other: Class| other != class && other != Class::Unknown && class != Class::Unknown;
                self.borders +=
                    u64::from(x > 0 && differs(row[x - 1])) + u64::from(above.is_some_and(|a| differs(a[x])));
            }
        }
    }

    fn finish(mut self) -> Checked {
        self.foreground_places.finish();
        self.known_places.finish();
        // Steps along rows and columns overestimate the length of a border by 4/π on average over its directions.
        let perimeter = self.borders as f64 * std::f64::consts::FRAC_PI_4;
        Checked {
            meaning: self.meaning,
            foreground: self.foreground,
            background: self.background,
            unknown: self.unknown,
            thickness: (self.borders > 0).then(|| 4.0 * self.foreground as f64 / perimeter),
            foreground_places: self.foreground_places,
            known_places: (self.unknown > 0).then_some(self.known_places),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;
    use crate::testing::labelled;
    use deep3m_volume::Index;

    fn checked(
        label: impl Fn(Index) -> u8,
        foreground: Option<u32>,
        ignore: Option<u32>,
    ) -> Result<Checked, TrainError> {
        check(&labelled(Extent::new(2, 120, 130), |_| 0, label), foreground, ignore)
    }

    #[test]
    fn two_values_are_taken_as_they_are() {
        for (background, foreground) in [(0_u8, 1_u8), (0, 255), (1, 2), (3, 200)] {
            let label = |i: Index| if i.x < 13 { foreground } else { background };
            let found = checked(label, None, None).unwrap();
            assert_eq!(found.meaning.foreground, Some(foreground.into()));
            assert_eq!((found.foreground, found.background, found.unknown), (2 * 120 * 13, 2 * 120 * 117, 0));
        }
        assert_eq!(checked(|_| 0, None, None).unwrap().foreground, 0);
        assert_eq!(checked(|_| 255, None, None).unwrap().background, 0);
        assert_eq!(checked(|i| (i.x % 2) as u8 * 9, Some(0), None).unwrap().meaning.of(9), Class::Background);
    }

    #[test]
    fn an_ignored_value_is_neither() {
        let found = checked(|i| [0, 1, 7][i.y as usize % 3], None, Some(7)).unwrap();
        assert_eq!((found.foreground, found.background, found.unknown), (10400, 10400, 10400));
        let places = found.known_places.unwrap();
        assert_eq!((places.total(), found.foreground_places.total()), (20800, 10400));
        let (cell, _) = places.draw(&mut Stream::of(&[1])).unwrap();
        assert!(cell.fits(Extent::new(2, 120, 130)));
    }

    #[test]
    fn many_values_are_listed_by_count() {
        let error = checked(|i| if i.y < 60 { 5 } else { (i.x % 14) as u8 }, None, None).unwrap_err().to_string();
        assert!(error.contains("14 values: 5 ("), "{error}");
        assert!(error.contains(", …"), "{error}");
    }

    #[test]
    fn thickness_is_the_diameter_of_discs_and_twice_the_width_of_strips() {
        let disc = |i: Index| u8::from((i.y as i64 - 60).pow(2) + (i.x as i64 - 60).pow(2) <= 30 * 30);
        let thickness = checked(disc, None, None).unwrap().thickness.unwrap();
        assert!((thickness / 60.0 - 1.0).abs() < 0.1, "{thickness}");
        // A slanted strip 10 pixels wide; along the axes alone the estimate is 4/π too large.
        let strip = |i: Index| u8::from((i.y as f64 * 0.866 - i.x as f64 * 0.5).rem_euclid(200.0) < 10.0);
        let thickness = checked(strip, None, None).unwrap().thickness.unwrap();
        assert!((thickness / 20.0 - 1.0).abs() < 0.3, "{thickness}");
    }

    #[test]
    fn tiles_cover_a_volume_of_any_grain() {
        for grain in [Extent::new(1, 120, 130), Extent::new(3, 1, 130), Extent::new(64, 64, 64)] {
            let extent = Extent::new(5, 1200, 1300);
            assert_eq!(tiles(extent, grain).map(|t| t.extent.len()).sum::<usize>(), extent.len());
            assert!(tiles(extent, grain).all(|t| t.fits(extent)));
        }
    }
}
