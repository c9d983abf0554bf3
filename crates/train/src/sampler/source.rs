//! A labelled volume as the sampler sees it: any box of it, binned and normalised, with its labels.

use deep3m_net::Normalisation;
use deep3m_volume::{Binning, Extent, Index, Region, Variation, Voxels};
use serde::{Deserialize, Serialize};

use super::mirror;
use crate::augment::warp::{Bounds, Warp};
use crate::check::{Checked, Class, Meaning};
use crate::index::PlaceIndex;
use crate::patch::Patch;
use crate::random::Stream;
use crate::{LabelledVolume, TrainError};

/// What a network sees beyond the first and the last section.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Border {
    /// Zeros (CDeep3M's training).
    Zero,
    /// The volume mirrored at the section.
    Mirror,
}

/// A labelled volume ready to be sampled.
pub struct Source {
    volume: LabelledVolume,
    meaning: Meaning,
    labelled: u64,
    foreground_places: PlaceIndex,
    known_places: Option<PlaceIndex>,
    binning: Binning,
    normalisation: Normalisation,
    border: Border,
}

impl Source {
    /// A checked volume, seen through `binning` and `normalisation`.
    pub fn new(
        volume: LabelledVolume,
        checked: Checked,
        binning: Binning,
        normalisation: Normalisation,
        border: Border,
    ) -> Self {
        Self {
            volume,
            meaning: checked.meaning,
            labelled: checked.foreground + checked.background,
            foreground_places: checked.foreground_places,
            known_places: checked.known_places,
            binning,
            normalisation,
            border,
        }
    }

    /// Number of voxels with a known label.
    pub const fn labelled(&self) -> u64 {
        self.labelled
    }

    /// Number of sections.
    pub fn depth(&self) -> u64 {
        self.volume.images.info().extent.z
    }

    /// Height and width of a section in pixels as the network sees them; rows and columns that fill no bin are left out.
    pub fn size(&self) -> (usize, usize) {
        let extent = self.volume.images.info().extent;
        ((extent.y / u64::from(self.binning.y)) as usize, (extent.x / u64::from(self.binning.x)) as usize)
    }

    /// Any place of the volume: section, row and column as the network sees them.
    pub fn draw_any(&self, random: &mut Stream) -> (u64, f64, f64) {
        let (height, width) = self.size();
        let z = random.below(self.depth());
        (z, random.between(-0.5, height as f64 - 0.5), random.between(-0.5, width as f64 - 0.5))
    }

    /// A foreground voxel, all equally likely; `None` where there is none.
    pub fn draw_foreground(&self, random: &mut Stream) -> Result<Option<(u64, f64, f64)>, TrainError> {
        self.draw_from(&self.foreground_places, |class| class == Class::Foreground, random)
    }

    /// A labelled voxel, all equally likely; `None` where all voxels are labelled.
    pub fn draw_known(&self, random: &mut Stream) -> Result<Option<(u64, f64, f64)>, TrainError> {
        match &self.known_places {
            Some(places) => self.draw_from(places, |class| class != Class::Unknown, random),
            None => Ok(None),
        }
    }

    fn draw_from(
        &self,
        places: &PlaceIndex,
        counts: impl Fn(Class) -> bool,
        random: &mut Stream,
    ) -> Result<Option<(u64, f64, f64)>, TrainError> {
        let Some((cell, skip)) = places.draw(random) else { return Ok(None) };
        let block = self.volume.labels.read(cell)?;
        let offset = block
            .voxels()
            .iter()
            .enumerate()
            .filter(|(_, value)| counts(self.meaning.of(*value)))
            .nth(skip as usize)
            .map_or(0, |(offset, _)| offset as u64);
        let (y, x) = (cell.start.y + offset / cell.extent.x, cell.start.x + offset % cell.extent.x);
        let seen = |at: u64, bin: u32| (at as f64 + 0.5) / f64::from(bin) - 0.5;
        Ok(Some((cell.start.z, seen(y, self.binning.y), seen(x, self.binning.x))))
    }

    /// The patch with its first pixel at `first` (row, column; pixels beyond the section are mirrored), as one of the 16
    /// variations of it.
    pub fn cut(
        &self,
        variation: Variation,
        z: u64,
        first: (i64, i64),
        frames: usize,
        side: usize,
    ) -> Result<Patch, TrainError> {
        let (height, width) = self.size();
        let axis = |first: i64, size: usize| -> (usize, usize, Vec<usize>) {
            let places: Vec<usize> = (0..side as i64).map(|i| mirror(first + i, size as u64) as usize).collect();
            let (low, high) = places.iter().fold((size, 0), |(l, h), &p| (l.min(p), h.max(p)));
            (low, high + 1 - low, places.into_iter().map(|p| p - low).collect())
        };
        let ((row, rows, ys), (column, columns, xs)) = (axis(first.0, height), axis(first.1, width));
        let bounds = Bounds { row, column, rows, columns };
        let gather = |plane: &[f32]| -> Vec<f32> {
            ys.iter().flat_map(|&y| xs.iter().map(move |&x| (y, x))).map(|(y, x)| plane[y * columns + x]).collect()
        };
        let image: Vec<f32> = self
            .sections(z, frames)
            .map(|section| Ok(gather(&self.image(section, bounds)?)))
            .collect::<Result<Vec<_>, TrainError>>()?
            .concat();
        let (target, known) = self.label(z, bounds)?;
        let turn = |plane: &[f32]| variation.apply(&gather(plane), 1, side, side);
        Ok(Patch {
            frames,
            side,
            image: variation.apply(&image, frames, side, side),
            target: turn(&target),
            known: turn(&known),
        })
    }

    /// The patch that a warp makes of the sections around `z`.
    pub fn warped(&self, mut warp: Warp, z: u64, frames: usize) -> Result<Patch, TrainError> {
        let (height, width) = self.size();
        warp.mirror_into(height, width);
        let bounds = warp.bounds(height, width);
        let mut planes = self
            .sections(z, frames)
            .enumerate()
            .map(|(frame, section)| Ok(warp.sample(&self.image(section, bounds)?, &bounds, frame)))
            .collect::<Result<Vec<_>, TrainError>>()?;
        if warp.reversed {
            planes.reverse();
        }
        let (target, known) = self.label(z, bounds)?;
        let mut known = warp.sample(&known, &bounds, frames / 2);
        for known in &mut known {
            *known = f32::from(u8::from(*known > 0.99));
        }
        let target = warp.sample(&target, &bounds, frames / 2);
        Ok(Patch { frames, side: warp.side(), image: planes.concat(), target, known })
    }

    /// The sections that the network sees with `z` in the middle; `None` is zeros.
    pub fn sections(&self, z: u64, frames: usize) -> impl Iterator<Item = Option<u64>> {
        let (depth, border) = (self.depth(), self.border);
        let margin = (frames / 2) as i64;
        (-margin..=margin).map(move |offset| {
            let at = z as i64 + offset;
            match border {
                Border::Mirror => Some(mirror(at, depth)),
                Border::Zero => (0..depth as i64).contains(&at).then_some(at as u64),
            }
        })
    }

    /// The region of the volume behind a box of binned pixels of a section.
    fn region(&self, z: u64, bounds: Bounds) -> Region {
        let (by, bx) = (u64::from(self.binning.y), u64::from(self.binning.x));
        Region::new(
            Index::new(z, bounds.row as u64 * by, bounds.column as u64 * bx),
            Extent::new(1, bounds.rows as u64 * by, bounds.columns as u64 * bx),
        )
    }

    fn binned(&self, values: &[f32], bounds: Bounds) -> Vec<f32> {
        let (height, width) = (bounds.rows * self.binning.y as usize, bounds.columns * self.binning.x as usize);
        self.binning.mean(values, 1, height, width)
    }

    /// Normalised grey values of a box of a section.
    pub fn image(&self, z: Option<u64>, bounds: Bounds) -> Result<Vec<f32>, TrainError> {
        let Some(z) = z else { return Ok(vec![0.0; bounds.rows * bounds.columns]) };
        let block = self.volume.images.read(self.region(z, bounds))?;
        let mut values = self.binned(&block.voxels().to_f32(), bounds);
        self.normalisation.apply(&mut values);
        Ok(values)
    }

    /// The share of foreground among the labelled voxels of each pixel of a box, and 1 where at least half of them are
    /// labelled, else 0.
    pub fn label(&self, z: u64, bounds: Bounds) -> Result<(Vec<f32>, Vec<f32>), TrainError> {
        let block = self.volume.labels.read(self.region(z, bounds))?;
        let classes = classes(block.voxels(), self.meaning);
        let share = |class: Class| -> Vec<f32> {
            let of: Vec<f32> = classes.iter().map(|c| f32::from(u8::from(*c == class))).collect();
            self.binned(&of, bounds)
        };
        let mut target = share(Class::Foreground);
        if self.meaning.ignore.is_none() {
            let known = vec![1.0; target.len()];
            return Ok((target, known));
        }
        let mut known = share(Class::Unknown);
        for (target, known) in target.iter_mut().zip(&mut known) {
            let labelled = 1.0 - *known;
            *known = f32::from(u8::from(labelled >= 0.5));
            *target = if labelled >= 0.5 { *target / labelled } else { 0.0 };
        }
        Ok((target, known))
    }

    /// Classes of the voxels of a box (given as the network sees it) at the volume's own resolution.
    pub fn truth(&self, z: u64, bounds: Bounds) -> Result<Vec<Class>, TrainError> {
        let block = self.volume.labels.read(self.region(z, bounds))?;
        Ok(classes(block.voxels(), self.meaning))
    }

    /// Pixels averaged to one.
    pub const fn binning(&self) -> Binning {
        self.binning
    }
}

fn classes(voxels: &Voxels, meaning: Meaning) -> Vec<Class> {
    match voxels {
        Voxels::U8(voxels) => {
            let table: Vec<Class> = (0..=255).map(|v| meaning.of(v)).collect();
            voxels.iter().map(|&v| table[v as usize]).collect()
        }
        other => other.iter().map(|v| meaning.of(v)).collect(),
    }
}
