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
/// The smallest diameter that is tried, in pixels of a section.
const LEAST: f64 = 3.0;

/// The diameter whose balls explain most of the probability, in nm (in voxels, where the volume states no voxel size);
/// `None` where nothing looks like a ball. It is looked for in the two parts of the volume (of about 2 million
/// voxels each) that hold most of the probability, up to half of their longest side.
///
/// A smaller ball leaves much of an object unexplained, a larger one says more than there is. `progress` hears the voxels of each block
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
    let explained = |diameters: &[f64]| -> Result<Vec<f64>, AnalyzeError> {
        let all: Vec<(f64, Region)> =
            diameters.iter().flat_map(|&d| samples.iter().map(move |&sample| (d, sample))).collect();
        let each: Vec<f64> = all
            .par_iter()
            .map(|&(diameter, sample)| explained_by(volume, sample, size, diameter, one))
            .collect::<Result<_, AnalyzeError>>()?;
        Ok(each.chunks(samples.len().max(1)).map(|chunk| chunk.iter().sum()).collect())
    };
    if samples.is_empty() || diameters.is_empty() {
        return Ok(None);
    }
    let found = explained(&diameters)?;
    let Some(coarse) = best(&diameters, &found) else { return Ok(None) };
    // Once more in smaller steps around it.
    let finer: Vec<f64> = (-3..=3).map(|i| coarse * STEP.powf(f64::from(i) / 4.0)).filter(|&d| d >= 2.0 * pixel).collect();
    let found = explained(&finer)?;
    Ok(best(&finer, &found))
}

/// The diameter that explains most, between those that were tried: the top of a parabola over the logarithm.
fn best(diameters: &[f64], explained: &[f64]) -> Option<f64> {
    let mut top = 0;
    for (i, &value) in explained.iter().enumerate() {
        if value > explained[top] {
            top = i;
        }
    }
    if explained.get(top).is_none_or(|&value| value <= 0.0) {
        return None;
    }
    let before = top.checked_sub(1).map(|i| explained[i]);
    let behind = explained.get(top + 1);
    let by = match (before, behind) {
        (Some(a), Some(&c)) if a - 2.0 * explained[top] + c < 0.0 => 0.5 * (a - c) / (a - 2.0 * explained[top] + c),
        _ => return Some(diameters[top]),
    };
    Some(diameters[top] * (diameters[top + 1] / diameters[top]).powf(by))
}

/// What of a sample's probability balls of a diameter explain, in the cube of the diameter's unit.
fn explained_by(
    volume: &dyn Volume,
    sample: Region,
    size: VoxelSize,
    diameter: f64,
    one: u32,
) -> Result<f64, AnalyzeError> {
    let scale = Scale::new(diameter, size, sample.extent)?;
    let templates = Templates::new(&scale);
    let around = Around::new(&scale, &templates);
    let field = Field::read(volume, sample, scale.bins, one)?;
    let position = Position { start: [0; 3], all: field.size };
    let least = CountConfig::of_diameter(diameter).min_confidence as f32;
    let found = candidates(&field, position, &scale, &templates, &around, ([0; 3], field.size), least);
    let sum: f64 = choose(found, &scale).iter().map(|candidate| f64::from(candidate.gain)).sum();
    Ok(sum * scale.pitch().iter().product::<f64>())
}

/// A box of about [`SAMPLE`] voxels, as deep as it is wide where the volume is.
fn sample_extent(extent: Extent, size: VoxelSize) -> Extent {
    let sizes = [size.z_nm, size.y_nm, size.x_nm];
    let side_nm = (SAMPLE * sizes.iter().product::<f64>()).cbrt();
    let side = |i: usize| ((side_nm / sizes[i]) as u64).clamp(16, 2048).min(extent.to_array()[i]);
    Extent::new(side(0), side(1), side(2))
}
