//! The objects' diameter, from the data.

use deep3m_volume::{Extent, Region, Volume, VoxelSize};
use rayon::prelude::*;

use super::candidate::{Around, candidates};
use super::choose::choose;
use super::field::Field;
use super::response::Position;
use super::scale::Scale;
use super::template::Templates;
use super::{CountConfig, one_of, part_of, size_of};
use crate::AnalyzeError;
use crate::walk::Walk;

/// Voxels of a sample.
const SAMPLE: f64 = 2_097_152.0;
/// Samples that are looked at: those with most of the probability.
const SAMPLES: usize = 2;
/// From one diameter that is tried to the next: a quarter of a doubling.
const STEP: f64 = 1.189_207_115_002_721;
/// A measured diameter that differs so much, as a logarithm, makes a diameter a third as likely.
const TOLERANCE: f64 = 0.15;
/// The smallest diameter that is tried, in pixels of a section.
const LEAST: f64 = 3.0;

/// The diameter at which objects are found as large as they are sought, in nm (in voxels, where the volume states no voxel
/// size); `None` where there is none. It is looked for in the two parts of the volume (of about 2 million voxels each)
/// that hold most of the probability, from 3 pixels up to half of their longest side.
///
/// `progress` hears the voxels of each block
/// of the first step, which goes through the volume once; with a false it ends.
///
/// # Errors
/// As [`count`](super::count).
pub fn learn_diameter(
    volume: &dyn Volume,
    region: Option<Region>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Option<f64>, AnalyzeError> {
    let (region, size) = (part_of(volume, region)?, size_of(volume));
    let one = one_of(volume)?;
    let tile = sample_extent(region.extent, size);
    let walk = Walk { region, block: tile, halo: Extent::default(), at_once: rayon::current_num_threads().max(1) };
    let (mut masses, mut highest) = (Vec::new(), 0);
    let work = |part: crate::walk::Part| {
        let block = volume.read(part.core)?;
        let sum = |(sum, high): (u64, u32), value: u32| (sum + u64::from(value.min(one)), high.max(value));
        Ok(block.voxels().iter().fold((0, 0), sum))
    };
    let take = |part: crate::walk::Part, (mass, high): (u64, u32)| {
        masses.push((mass, part.core));
        highest = highest.max(high);
        Ok(())
    };
    walk.run(work, take, progress)?;
    // A stable order: of equal ones the first.
    masses.sort_by_key(|(mass, _)| std::cmp::Reverse(*mass));
    let one = if highest == 1 { 1 } else { one };
    let samples: Vec<Region> = masses.iter().filter(|(mass, _)| *mass > 0).take(SAMPLES).map(|m| m.1).collect();
    let pixel = size.y_nm.max(size.x_nm);
    let sides = [tile.z as f64 * size.z_nm, tile.y as f64 * size.y_nm, tile.x as f64 * size.x_nm];
    let most = sides.into_iter().fold(0.0, f64::max) / 2.0;
    let diameters: Vec<f64> =
        std::iter::successors(Some(LEAST * pixel), |d| Some(d * STEP)).take_while(|&d| d <= most).take(200).collect();
    let tried = |diameters: &[f64]| -> Result<Vec<Tried>, AnalyzeError> {
        let all: Vec<(f64, Region)> =
            diameters.iter().flat_map(|&d| samples.iter().map(move |&sample| (d, sample))).collect();
        let each: Vec<Tried> = all
            .par_iter()
            .map(|&(diameter, sample)| tried_on(volume, sample, size, diameter, one))
            .collect::<Result<_, AnalyzeError>>()?;
        Ok(each.chunks(samples.len().max(1)).map(Tried::together).collect())
    };
    if samples.is_empty() || diameters.is_empty() {
        return Ok(None);
    }
    let Some(coarse) = likeliest(&tried(&diameters)?) else { return Ok(None) };
    // Once more in smaller steps around it.
    let finer: Vec<f64> =
        (-3..=3).map(|i| coarse * STEP.powf(f64::from(i) / 3.0)).filter(|&d| d >= 2.0 * pixel && d <= most).collect();
    let finer = tried(&finer)?;
    Ok(agreed(&finer).or_else(|| likeliest(&finer)).or(Some(coarse)))
}

/// What balls of a diameter are on the samples.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Tried {
    diameter: f64,
    /// What they explain of the probability.
    explained: f64,
    /// The diameters that are then measured, each weighted by what its ball explains.
    measured: f64,
}

impl Tried {
    fn together(parts: &[Self]) -> Self {
        parts.iter().fold(Self::default(), |sum, part| Self {
            diameter: part.diameter,
            explained: sum.explained + part.explained,
            measured: sum.measured + part.measured,
        })
    }

    /// The logarithm of how many times larger than sought the objects are found; none where there is no object.
    fn excess(&self) -> Option<f64> {
        (self.explained > 0.0).then(|| (self.measured / self.explained / self.diameter).ln())
    }
}

/// The diameter that explains most and is measured again. Both are needed: small balls explain the noise, but are measured
/// larger; so do balls as large as a cloud of objects, but they explain less.
fn likeliest(all: &[Tried]) -> Option<f64> {
    let mut best: Option<(f64, f64)> = None;
    for tried in all {
        let Some(excess) = tried.excess() else { continue };
        let score = tried.explained * (-(excess / TOLERANCE).powi(2)).exp();
        if best.is_none_or(|(most, _)| score > most) {
            best = Some((score, tried.diameter));
        }
    }
    best.map(|(_, diameter)| diameter)
}

/// The diameter at which objects are measured as large as they are sought, between those that were tried: smaller balls are
/// measured larger, larger ones smaller. Where that happens more than once, the one that explains most.
fn agreed(all: &[Tried]) -> Option<f64> {
    let mut best: Option<(f64, f64)> = None;
    for pair in all.windows(2) {
        let (Some(before), Some(behind)) = (pair[0].excess(), pair[1].excess()) else { continue };
        if before >= 0.0 && behind < 0.0 {
            let share = before / (before - behind);
            let diameter = pair[0].diameter * (pair[1].diameter / pair[0].diameter).powf(share);
            let explained = pair[0].explained + share * (pair[1].explained - pair[0].explained);
            if best.is_none_or(|(most, _)| explained > most) {
                best = Some((explained, diameter));
            }
        }
    }
    best.map(|(_, diameter)| diameter)
}

fn tried_on(
    volume: &dyn Volume,
    sample: Region,
    size: VoxelSize,
    diameter: f64,
    one: u32,
) -> Result<Tried, AnalyzeError> {
    let scale = Scale::new(diameter, size, sample.extent)?;
    let templates = Templates::new(&scale);
    let around = Around::new(&scale, &templates);
    let field = Field::read(volume, sample, scale.bins, one)?;
    let position = Position { start: [0; 3], all: field.size };
    let least = CountConfig::of_diameter(diameter).min_confidence as f32;
    let found = candidates(&field, position, &scale, &templates, &around, ([0; 3], field.size), least);
    let voxel: f64 = scale.pitch().iter().product();
    let mut tried = Tried { diameter, ..Tried::default() };
    for candidate in choose(found, &scale) {
        let explained = f64::from(candidate.gain) * voxel;
        tried.explained += explained;
        tried.measured += explained * 2.0 * candidate.radius;
    }
    Ok(tried)
}

/// A box of about [`SAMPLE`] voxels, as deep as it is wide where the volume is.
fn sample_extent(extent: Extent, size: VoxelSize) -> Extent {
    let sizes = [size.z_nm, size.y_nm, size.x_nm];
    let side_nm = (SAMPLE * sizes.iter().product::<f64>()).cbrt();
    let side = |i: usize| ((side_nm / sizes[i]) as u64).clamp(16, 2048).min(extent.to_array()[i]);
    Extent::new(side(0), side(1), side(2))
}
