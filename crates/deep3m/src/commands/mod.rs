//! One file per subcommand: what it takes, and what it does with the crates below.

pub(crate) mod check;
pub(crate) mod combine;
pub(crate) mod contacts;
pub(crate) mod convert;
pub(crate) mod count;
pub(crate) mod demo;
pub(crate) mod density;
pub(crate) mod enhance;
pub(crate) mod evaluate;
pub(crate) mod export;
pub(crate) mod import;
mod labels;
pub(crate) mod measure;
pub(crate) mod memory;
pub(crate) mod mesh;
pub(crate) mod model;
pub(crate) mod overlay;
pub(crate) mod phantom;
pub(crate) mod plan;
pub(crate) mod predict;
pub(crate) mod segment;
mod size;
pub(crate) mod submit;
mod target;
pub(crate) mod train;

use std::path::Path;
use std::sync::Arc;

use deep3m_volume::{Volume, VoxelSize, with_voxel_size};
use miette::{IntoDiagnostic, Result};

/// Opens a volume, or says why not.
fn open(path: &Path) -> Result<Arc<dyn Volume>> {
    deep3m_volume::open(path).into_diagnostic()
}

/// As [`open`]; the voxel size that the user gives goes before the file's.
fn open_sized(path: &Path, size: Option<VoxelSize>) -> Result<Arc<dyn Volume>> {
    let volume = open(path)?;
    Ok(match size {
        Some(size) => with_voxel_size(volume, size),
        None => volume,
    })
}

/// Prints a result for machines.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value).into_diagnostic()?);
    Ok(())
}
