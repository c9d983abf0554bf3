//! The two landscapes: how deep a voxel lies inside its object, and how probable it is, smoothed.

use std::path::Path;

use deep3m_volume::{Extent, Index, Region, Volume, VoxelSize};
use rayon::prelude::*;

use super::Heights;
use crate::AnalyzeError;
use crate::distance::{across_rows, across_sections, along_rows, in_sections};
use crate::objects::{Grid, Mask};
use crate::scratch::NUMBER_BYTES;
use crate::smooth::Gaussian;

/// The largest height: all whole numbers up to it are there in 32-bit floating point.
const HIGHEST: f32 = 16_777_216.0;
/// Steps of height in the smallest side of a voxel.
const STEPS_PER_VOXEL: f64 = 16.0;
/// Steps of height from the probability 0 to 1: one for each value of 16 bits.
const STEPS_OF_PROBABILITY: f64 = 65535.0;

/// What a step of height is: so many nm, or so much probability.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Unit(f64);

impl Unit {
    /// Of distances.
    pub(crate) fn of_distances(spacing: VoxelSize) -> Self {
        Self(spacing.z_nm.min(spacing.y_nm).min(spacing.x_nm) / STEPS_PER_VOXEL)
    }

    /// Of probabilities.
    pub(crate) const OF_PROBABILITIES: Self = Self(1.0 / STEPS_OF_PROBABILITY);

    /// A difference in steps.
    pub(crate) fn steps(self, difference: f64) -> f32 {
        (difference / self.0) as f32
    }

    /// A height above 0.
    fn height(self, value: f64) -> f32 {
        ((value / self.0).round() as f32).clamp(1.0, HIGHEST)
    }
}

/// How deep each voxel of a mask lies in it: the distance to the nearest voxel outside (in its section, where `flat`). Where
/// nothing lies outside, it is [`HIGHEST`]; beyond the volume's border nothing is known, so nothing lies there.
///
/// With a file to work in, `room` bytes are used at a time. `progress` hears the voxels of each block of the mask; with a false it
/// ends.
pub(crate) fn distances(
    mask: &dyn Mask,
    grid: &Grid,
    spacing: VoxelSize,
    flat: bool,
    scratch: Option<&Path>,
    room: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Heights, AnalyzeError> {
    let extent = grid.extent();
    let mut heights = Heights::new(extent, scratch)?;
    let squares = |core: &Region| -> Result<Vec<f32>, AnalyzeError> {
        let inside = inside(mask, grid, core)?;
        Ok(inside.into_iter().map(|inside| if inside == 0 { 0.0 } else { f32::INFINITY }).collect())
    };
    fill(&mut heights, grid, squares, progress)?;
    let mut go_on = || progress(0);
    let unit = Unit::of_distances(spacing);
    let to_heights = |squares: &mut [f32]| {
        squares.par_iter_mut().with_min_len(1 << 14).filter(|square| **square > 0.0).for_each(|square| {
            *square = unit.height(f64::from(*square).sqrt());
        });
    };
    let section = extent.y.saturating_mul(extent.x).saturating_mul(NUMBER_BYTES);
    if heights.in_memory().is_some() || section <= room {
        heights.change([false, true, true], room, &mut go_on, |squares, part| {
            in_sections(squares, part, spacing);
            if flat {
                to_heights(squares);
            }
        })?;
    } else {
        heights.change([false, false, true], room, &mut go_on, |squares, part| {
            along_rows(squares, part.x as usize, spacing.x_nm);
        })?;
        heights.change([false, true, false], room, &mut go_on, |squares, part| {
            for section in squares.chunks_exact_mut((part.y * part.x) as usize) {
                across_rows(section, part.x as usize, spacing.y_nm);
            }
            if flat {
                to_heights(squares);
            }
        })?;
    }
    if !flat {
        heights.change([true, false, false], room, &mut go_on, |squares, part| {
            across_sections(squares, part, spacing);
            to_heights(squares);
        })?;
    }
    Ok(heights)
}

/// What is smoothed: a volume of probabilities, whose mask begins at `start`.
#[derive(Clone, Copy)]
pub(crate) struct Around<'a> {
    pub(crate) volume: &'a dyn Volume,
    pub(crate) start: Index,
    /// The value of the probability 1.
    pub(crate) one: u32,
}

/// How probable each voxel of a mask is, smoothed; the rest is as for [`distances`]. What lies around the mask's part of the
/// volume is smoothed in.
pub(crate) fn smoothed(
    mask: &dyn Mask,
    grid: &Grid,
    of: Around<'_>,
    gaussian: &Gaussian,
    scratch: Option<&Path>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Heights, AnalyzeError> {
    let mut heights = Heights::new(grid.extent(), scratch)?;
    let (reach, all) = (gaussian.reach(), of.volume.info().extent);
    let scale = 1.0 / f64::from(of.one);
    let smooth = |core: &Region| -> Result<Vec<f32>, AnalyzeError> {
        let inside = inside(mask, grid, core)?;
        if inside.iter().all(|&inside| inside == 0) {
            return Ok(vec![0.0; inside.len()]);
        }
        let (at, by) = (core.start, of.start);
        let core = Region::new(Index::new(at.z + by.z, at.y + by.y, at.x + by.x), core.extent);
        let (around, offset) = around(core, reach, all);
        let block = of.volume.read(around)?;
        let mut values: Vec<f32> = block.voxels().iter().map(|value| value as f32).collect();
        drop(block);
        gaussian.smooth(&mut values, around.extent);
        let mut inside = inside.into_iter();
        let mut heights = Vec::with_capacity(core.extent.len());
        for (z, y) in (0..core.extent.z).flat_map(|z| (0..core.extent.y).map(move |y| (z, y))) {
            let row = around.extent.offset(Index::new(offset.z + z, offset.y + y, offset.x));
            heights.extend(values[row..row + core.extent.x as usize].iter().zip(&mut inside).map(
                |(&value, inside)| {
                    if inside == 0 { 0.0 } else { Unit::OF_PROBABILITIES.height(f64::from(value) * scale) }
                },
            ));
        }
        Ok(heights)
    };
    fill(&mut heights, grid, smooth, progress)?;
    Ok(heights)
}

/// Writes the heights of every block.
fn fill(
    heights: &mut Heights,
    grid: &Grid,
    of: impl Fn(&Region) -> Result<Vec<f32>, AnalyzeError> + Sync,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    for batch in grid.blocks().chunks(grid.at_once()) {
        let done: Vec<Vec<f32>> = batch.par_iter().map(&of).collect::<Result<_, _>>()?;
        for (core, block) in batch.iter().zip(done) {
            heights.write(*core, &block)?;
            if !progress(core.extent.len() as u64) {
                return Err(AnalyzeError::Interrupted);
            }
        }
    }
    Ok(())
}

/// The mask of a block. It is read with what the grid's blocks hold of the next ones.
fn inside(mask: &dyn Mask, grid: &Grid, core: &Region) -> Result<Vec<u8>, AnalyzeError> {
    let part = grid.widened(core);
    let read = mask.read(part)?;
    if part == *core {
        return Ok(read);
    }
    let mut inside = Vec::with_capacity(core.extent.len());
    for (z, y) in (0..core.extent.z).flat_map(|z| (0..core.extent.y).map(move |y| (z, y))) {
        let row = part.extent.offset(Index::new(z, y, 0));
        inside.extend_from_slice(&read[row..row + core.extent.x as usize]);
    }
    Ok(inside)
}

/// A box with so much around it as the volume has, and where the box begins in that.
fn around(core: Region, reach: Extent, all: Extent) -> (Region, Index) {
    let (start, end) = (core.start, core.end());
    let low = |at: u64, reach: u64| at.saturating_sub(reach);
    let first = Index::new(low(start.z, reach.z), low(start.y, reach.y), low(start.x, reach.x));
    let side = |end: u64, reach: u64, all: u64, first: u64| end.saturating_add(reach).min(all) - first;
    let extent = Extent::new(
        side(end.z, reach.z, all.z, first.z),
        side(end.y, reach.y, all.y, first.y),
        side(end.x, reach.x, all.x, first.x),
    );
    (Region::new(first, extent), Index::new(start.z - first.z, start.y - first.y, start.x - first.x))
}
