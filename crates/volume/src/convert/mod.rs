//! From one format to another, with resolution levels, in bounded memory, going on where it was stopped.
//!
//! Level 0 is a copy of the source, each further level is made of the one before it, box by box. A box is noted when its
//! chunks are on the disk; an output that is one file (a TIFF stack, HDF5, MRC) appears when it is whole, and a conversion
//! into one begins anew when it was stopped.

mod error;
mod log;
mod state;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub use error::ConvertError;
use serde::{Deserialize, Serialize};
pub(crate) use state::is_state;
use state::{Found, State};
pub use work::Work;

use crate::formats::{ome_zarr, precomputed};
use crate::pyramid::{self, Level, Outcome, Reduce};
use crate::{Extent, Format, OpenOptions, Volume, VolumeError, VolumeSpec, VoxelSize, VoxelType, ZarrLayout, absolute};

/// What a conversion makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Conversion {
    /// The format of the output.
    pub format: Format,
    /// Chunk size, for formats that have chunks; `None` lets the format choose.
    pub chunk: Option<Extent>,
    /// Resolution levels at most, the volume itself counted; `None`: down to one that fits a chunk.
    pub levels: Option<usize>,
    /// What a voxel of a coarser level is made of.
    pub reduce: Reduce,
    /// How OME-Zarr lays out its chunks.
    pub zarr: ZarrLayout,
}

/// What decides the bytes of an output, kept beside it while it grows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Identity {
    program: String,
    source: PathBuf,
    /// When the source's file or folder was last changed, where the system tells.
    source_changed: Option<std::time::SystemTime>,
    extent: Extent,
    voxel_type: VoxelType,
    voxel_size: Option<VoxelSize>,
    conversion: Conversion,
}

/// What a conversion did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConvertSummary {
    /// The levels that were made.
    pub levels: Vec<LevelSummary>,
    /// Voxels of all levels.
    pub voxels: u64,
    /// Of these, voxels written in this run.
    pub voxels_now: u64,
    /// Seconds of this run.
    pub seconds: f64,
}

/// A level of an output.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LevelSummary {
    /// Its size in voxels.
    pub extent: Extent,
    /// The size of its voxels, where known.
    pub voxel_size: Option<VoxelSize>,
}

/// What a conversion tells as it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConvertEvent {
    /// Before the first box: voxels of all levels, and those that an earlier run wrote.
    Planned {
        /// Voxels of all levels.
        voxels: u64,
        /// Voxels that are there.
        done: u64,
    },
    /// So many voxels more are written.
    Written {
        /// Voxels.
        voxels: u64,
    },
}

/// Converts a volume, or goes on with a conversion that was stopped.
///
/// How much is held at a time, `work` says; the output does not depend on it.
///
/// # Errors
/// What reading and writing meet; [`ConvertError::Interrupted`] after `stop` was set; errors that name an output that
/// holds something else. What is written stays, and the same call goes on from it.
pub fn convert(
    source: &Arc<dyn Volume>,
    out: &Path,
    conversion: &Conversion,
    overwrite: bool,
    work: Work,
    stop: &AtomicBool,
    event: &mut dyn FnMut(ConvertEvent),
) -> Result<ConvertSummary, ConvertError> {
    let begun = std::time::Instant::now();
    let info = source.info();
    let out = precomputed::strip_prefix(out).unwrap_or(out);
    let state = State::new(out, identity(info, conversion))?;
    let found = state.settle(overwrite)?;
    let spec = VolumeSpec {
        extent: info.extent,
        voxel_type: info.voxel_type,
        voxel_size: info.voxel_size,
        chunk: conversion.chunk,
        provenance: None,
    };
    let levels = plan(&spec, conversion);
    let summary = |voxels_now: u64| ConvertSummary {
        levels: levels.iter().map(|l| LevelSummary { extent: l.extent, voxel_size: l.voxel_size }).collect(),
        voxels: levels.iter().map(|l| voxels(l.extent)).sum(),
        voxels_now,
        seconds: begun.elapsed().as_secs_f64(),
    };
    if found == Found::Finished {
        return Ok(summary(0));
    }
    let writers = state.writers(&spec, &levels, found, overwrite)?;
    let grains: Vec<Extent> = writers.iter().map(|writer| writer.grain()).collect();
    let extents: Vec<Extent> = levels.iter().map(|level| level.extent).collect();
    let mut log = state.log(&extents, &grains)?;
    state.sweep()?;
    let done = log.as_ref().map_or(0, log::Log::voxels);
    event(ConvertEvent::Planned { voxels: summary(0).voxels, done });
    let mut written = 0;
    // Boxes hold whole chunks of the level that they are made of: nothing is decoded twice.
    let options = OpenOptions::default().cache_bytes(0);
    for (number, (level, writer)) in levels.iter().zip(&writers).enumerate() {
        let source = match number {
            0 => Arc::clone(source),
            _ => pyramid::open_level(out, number - 1, &options)?,
        };
        let before = log.as_mut().map(|log| log.take(number)).unwrap_or_default();
        let mut note = |region: crate::Region| -> Result<bool, VolumeError> {
            if let Some(log) = &mut log {
                log.append(number, region)?;
            }
            let voxels = voxels(region.extent);
            written += voxels;
            event(ConvertEvent::Written { voxels });
            Ok(!stop.load(Ordering::Relaxed))
        };
        let outcome = pyramid::write_boxes(
            source.as_ref(),
            writer.as_ref(),
            level.window,
            conversion.reduce,
            work.bytes,
            &|grain| before.contains(&grain.start),
            &mut note,
        )?;
        if outcome == Outcome::Stopped {
            return Err(ConvertError::Interrupted { path: out.to_owned() });
        }
        writer.finish()?;
    }
    drop(log);
    state.finish()?;
    Ok(summary(written))
}

fn identity(info: &crate::VolumeInfo, conversion: &Conversion) -> Identity {
    Identity {
        program: format!("deep3m {}", env!("CARGO_PKG_VERSION")),
        source: absolute(&info.path),
        source_changed: std::fs::metadata(&info.path).and_then(|m| m.modified()).ok(),
        extent: info.extent,
        voxel_type: info.voxel_type,
        voxel_size: info.voxel_size,
        conversion: conversion.clone(),
    }
}

fn plan(spec: &VolumeSpec, conversion: &Conversion) -> Vec<Level> {
    let chunk = spec.chunk.unwrap_or_else(|| usual_chunk(conversion.format));
    let mut levels = pyramid::levels(spec.extent, spec.voxel_size, chunk);
    let most = if conversion.format.has_levels() { conversion.levels.unwrap_or(usize::MAX).max(1) } else { 1 };
    levels.truncate(most);
    levels
}

/// The chunks of a format where nobody says otherwise.
fn usual_chunk(format: Format) -> Extent {
    if format == Format::Precomputed { precomputed::CHUNK } else { ome_zarr::CHUNK }
}

fn voxels(extent: Extent) -> u64 {
    extent.checked_voxels().unwrap_or(u64::MAX)
}
