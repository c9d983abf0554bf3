//! `--memory`, as every command takes it that holds images.

use std::path::Path;
use std::sync::Arc;

use deep3m_volume::memory::Budget;
use deep3m_volume::{OpenOptions, Volume, VoxelSize, open_with, with_voxel_size};
use miette::{IntoDiagnostic, Result};

/// How much memory may be taken.
#[derive(clap::Args, Clone, Copy, Debug, Default)]
pub(crate) struct MemoryArg {
    /// Most memory to use: 8GB, 8GiB, 500MB, or a share of what is free (50%) [default: 75%]
    #[arg(long, value_name = "SIZE", value_parser = Budget::parse)]
    memory: Option<Budget>,
}

impl MemoryArg {
    /// The budget in bytes; without a limit where nothing was given and the system does not say what is free.
    pub(crate) fn bytes(self) -> u64 {
        self.memory.unwrap_or_default().resolve().unwrap_or(u64::MAX)
    }
}

/// Opens a volume that keeps at most so many bytes decoded, with the voxel size that the user gives.
pub(crate) fn open_limited(path: &Path, size: Option<VoxelSize>, cache_bytes: u64) -> Result<Arc<dyn Volume>> {
    let options = OpenOptions::default().cache_bytes(cache_bytes as usize);
    let volume = open_with(path, &options).into_diagnostic()?;
    Ok(match size {
        Some(size) => with_voxel_size(volume, size),
        None => volume,
    })
}
