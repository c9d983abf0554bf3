//! From a probability to objects, each with a number of its own.

mod config;
mod mask;
mod numbered;
mod otsu;
mod plan;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use deep3m_volume::{Block, Index, Region, Volume, VolumeWriter, VoxelType, Voxels};
use rayon::prelude::*;

use crate::AnalyzeError;
use crate::objects::Mask;
use crate::scratch::Scratch;

use mask::Filled;
use numbered::Numbered;
use plan::Plan;

pub use config::{Landscape, SegmentConfig, SegmentStep, Segmentation, Watershed};
pub(crate) use mask::Threshold;
pub use otsu::otsu_level;

/// What a segmentation may use, and what it need not do again.
#[derive(Default)]
pub struct SegmentMeans<'a> {
    /// The most bytes of memory that the program may take; `None` is no limit.
    pub memory: Option<u64>,
    /// Bytes of that which are taken, such as for what an open volume keeps decoded.
    pub besides: u64,
    /// A file to work in where the memory does not hold a watershed's heights: four bytes for each voxel. Beside it lies another
    /// of that size, with `.numbers` added to its name, where the output is written in whole sections. Both are removed in the end.
    pub scratch: Option<PathBuf>,
    /// What of the output is there already.
    pub written: Option<&'a mut dyn Written>,
}

/// What of an output is written, noted so that a run that was stopped goes on.
pub trait Written {
    /// Hears, before anything is asked or noted, what the objects are that will be written: the same number for the same
    /// objects. What was noted with another number is no part of them.
    ///
    /// # Errors
    /// What writing met.
    fn begin(&mut self, objects: u64) -> Result<(), AnalyzeError>;
    /// Whether a box was noted.
    fn holds(&self, part: Region) -> bool;
    /// Notes a box that is written.
    ///
    /// # Errors
    /// What writing met.
    fn add(&mut self, part: Region) -> Result<(), AnalyzeError>;
}

/// Gives every connected object of a volume a number and writes the numbers as 32-bit labels, 0 for background, to a
/// writer of [`SegmentConfig::extent`]. Objects are numbered without gaps in the order of their first voxels (z, then y,
/// then x), whatever the chunks and threads.
///
/// Memory is some blocks per thread, a record for each object and eight bytes for each piece that block borders cut from one; with
/// a watershed also a record for each peak and each pair of peaks whose basins touch, and four bytes for each voxel, in memory or
/// in a file.
/// `progress` hears the voxels of each block of a step, which goes through the volume once; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::Interrupted`] when told to stop; what reading and writing met.
pub fn segment(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &SegmentConfig,
    progress: &mut dyn FnMut(SegmentStep, u64) -> bool,
) -> Result<Segmentation, AnalyzeError> {
    segment_with(volume, writer, config, SegmentMeans::default(), progress)
}

/// As [`segment`], with limits.
///
/// # Errors
/// [`AnalyzeError::Memory`] and [`AnalyzeError::Pieces`] where the memory is too little.
pub fn segment_with(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &SegmentConfig,
    means: SegmentMeans<'_>,
    progress: &mut dyn FnMut(SegmentStep, u64) -> bool,
) -> Result<Segmentation, AnalyzeError> {
    let extent = config.extent(volume)?;
    let (budget, scratch) = (means.memory.unwrap_or(u64::MAX), means.scratch.is_some());
    let plan = Plan::fit(volume.info(), extent, config, writer.grain(), budget, means.besides, scratch)?;
    segment_as_planned(volume, writer, config, &plan, means, progress)
}

fn segment_as_planned(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &SegmentConfig,
    plan: &Plan,
    means: SegmentMeans<'_>,
    progress: &mut dyn FnMut(SegmentStep, u64) -> bool,
) -> Result<Segmentation, AnalyzeError> {
    let region = config.part(volume)?;
    let threshold = Threshold { volume, start: region.start, level: config.level };
    let mut result = Segmentation { of_voxels: region.extent.len() as u64, ..Segmentation::default() };
    let filled;
    let mut mask: &dyn Mask = &threshold;
    if config.fill_holes > 0 {
        let mut go_on = |voxels| progress(SegmentStep::Holes, voxels);
        filled = Filled::new(&threshold, &plan.grid, config.connectivity, config.fill_holes, &mut go_on)?
            .ok_or(AnalyzeError::Interrupted)?;
        (result.holes, result.hole_voxels) = filled.count();
        mask = &filled;
    }
    let scratch = means.scratch.filter(|_| !plan.in_memory);
    let numbered = Numbered::find(volume, region, mask, config, plan, scratch.as_deref(), progress)?;
    numbered.count(&mut result);
    let mut written = means.written;
    if let Some(written) = &mut written {
        written.begin(numbered.fingerprint())?;
    }
    let mut go_on = |voxels| progress(SegmentStep::Write, voxels);
    if plan.waits {
        let waiting = scratch.map(|path| path.with_added_extension("numbers"));
        write_after_all(&numbered, writer, plan, waiting.as_deref(), written, &mut go_on)?;
    } else {
        write(&numbered, writer, plan, written, &mut go_on)?;
    }
    Ok(result)
}

/// Writes the numbers of all objects.
fn write(
    numbered: &Numbered<'_>,
    writer: &dyn VolumeWriter,
    plan: &Plan,
    mut written: Option<&mut dyn Written>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    let tiles: Vec<Region> = plan.tiles().collect();
    let is_there = |written: &Option<&mut dyn Written>, tile: Region| written.as_ref().is_some_and(|w| w.holds(tile));
    for batch in tiles.chunks(plan.tiles_at_once) {
        let (there, to_do): (Vec<Region>, Vec<Region>) = batch.iter().partition(|&&tile| is_there(&written, tile));
        if writer.in_order() {
            let drawn: Vec<Block> =
                to_do.par_iter().map(|&tile| draw(numbered, plan, tile)).collect::<Result<_, AnalyzeError>>()?;
            to_do.iter().zip(&drawn).try_for_each(|(tile, block)| writer.write(tile.start, block))?;
        } else {
            to_do
                .par_iter()
                .try_for_each(|&tile| Ok::<_, AnalyzeError>(writer.write(tile.start, &draw(numbered, plan, tile)?)?))?;
        }
        if let Some(written) = &mut written {
            to_do.iter().try_for_each(|&tile| written.add(tile))?;
        }
        for tile in there.iter().chain(&to_do) {
            if !progress(tile.extent.len() as u64) {
                return Err(AnalyzeError::Interrupted);
            }
        }
    }
    Ok(writer.finish()?)
}

/// As [`write`], when all numbers are drawn.
fn write_after_all(
    numbered: &Numbered<'_>,
    writer: &dyn VolumeWriter,
    plan: &Plan,
    scratch: Option<&Path>,
    mut written: Option<&mut dyn Written>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    let is_there = |written: &Option<&mut dyn Written>, tile: Region| written.as_ref().is_some_and(|w| w.holds(tile));
    let to_do: Vec<Region> = plan.tiles().filter(|&tile| !is_there(&written, tile)).collect();
    let mut numbers = Scratch::<u32>::new(plan.grid.extent(), scratch)?;
    for batch in plan.grid.blocks().chunks(plan.grid.at_once()) {
        let drawn: Vec<Block> = batch.par_iter().map(|core| numbered.draw(core)).collect::<Result<_, _>>()?;
        for (core, block) in batch.iter().zip(drawn) {
            if let Voxels::U32(block) = block.into_voxels() {
                numbers.write(*core, &block)?;
            }
            if !progress(core.extent.len() as u64) {
                return Err(AnalyzeError::Interrupted);
            }
        }
    }
    for tile in to_do {
        let mut block = vec![0; tile.extent.len()];
        numbers.read(tile, &mut block, tile.extent, Index::default())?;
        writer.write(tile.start, &Block::new(tile.extent, Voxels::U32(block)))?;
        if let Some(written) = &mut written {
            written.add(tile)?;
        }
        if !progress(0) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    Ok(writer.finish()?)
}

/// The numbers of a part of the volume, block by block.
fn draw(numbered: &Numbered<'_>, plan: &Plan, tile: Region) -> Result<Block, AnalyzeError> {
    let blocks = plan.grid.meeting(tile);
    if let [core] = blocks[..]
        && core == tile
    {
        return numbered.draw(&core);
    }
    let mut whole = Block::zeros(tile.extent, VoxelType::U32);
    for batch in blocks.chunks(plan.grid.at_once()) {
        let drawn: Vec<Block> = batch.par_iter().map(|core| numbered.draw(core)).collect::<Result<_, _>>()?;
        for (core, block) in batch.iter().zip(&drawn) {
            if let Some(shared) = core.intersect(&tile) {
                whole.paste(from(shared, tile.start).start, block, from(shared, core.start));
            }
        }
    }
    Ok(whole)
}

/// A box counted from a voxel.
const fn from(part: Region, start: Index) -> Region {
    let at = part.start;
    Region::new(Index::new(at.z - start.z, at.y - start.y, at.x - start.x), part.extent)
}

/// As [`segment`], in blocks of this size that are written one by one.
#[cfg(test)]
fn segment_in_blocks(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &SegmentConfig,
    block: deep3m_volume::Extent,
    tile: deep3m_volume::Extent,
) -> Result<Segmentation, AnalyzeError> {
    let grid = crate::objects::Grid::new(config.extent(volume)?, block);
    let plan = Plan { grid, tile, tiles_at_once: 3, in_memory: true, waits: false, room: 0 };
    segment_as_planned(volume, writer, config, &plan, SegmentMeans::default(), &mut |_, _| true)
}
