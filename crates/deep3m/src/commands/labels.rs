//! What the commands share that measure the objects of a label volume.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deep3m_analyze::{AnalyzeError, TableFormat};
use deep3m_volume::{Volume, VoxelSize, as_labels, same_place};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::{MemoryArg, open_limited};
use crate::console::{Progress, Unit};
use crate::interrupt::{self, Interrupted};

/// Most that a volume keeps decoded.
const CACHE_BYTES: u64 = 256 << 20;

/// The memory of a command that reads several volumes: what each may keep decoded, and what is left for the work.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    cache_bytes: u64,
    pub(crate) budget: u64,
}

impl Room {
    pub(crate) fn of(memory: MemoryArg, volumes: u64) -> Self {
        let all = memory.bytes();
        let cache_bytes = (all / 8 / volumes.max(1)).min(CACHE_BYTES);
        Self { cache_bytes, budget: all - volumes * cache_bytes }
    }

    pub(crate) fn open(self, path: &Path, size: Option<VoxelSize>) -> Result<Arc<dyn Volume>> {
        open_limited(path, size, self.cache_bytes)
    }

    pub(crate) fn open_labels(self, path: &Path, size: Option<VoxelSize>) -> Result<Arc<dyn Volume>> {
        Ok(as_labels(self.open(path, size)?))
    }
}

/// Works with a progress bar, until done or told to stop.
pub(crate) fn with_progress<T>(
    label: &str,
    voxels: Option<u64>,
    work: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> Result<T, AnalyzeError>,
) -> Result<T> {
    let progress = Progress::new(label, voxels.unwrap_or(u64::MAX), Unit::Voxels);
    let found = work(&mut |voxels| {
        progress.advance(voxels);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    match found {
        Err(AnalyzeError::Interrupted) => Err(Interrupted.into()),
        other => other.into_diagnostic(),
    }
}

/// That a table's name says a format and is none of the inputs': before hours of work, not after.
pub(crate) fn check_table(output: &Path, inputs: &[&Path]) -> Result<()> {
    if TableFormat::of(output).is_none() {
        return Err(AnalyzeError::TableName { path: output.to_owned() }).into_diagnostic();
    }
    check_other(output, inputs)
}

/// That an output is none of the inputs.
pub(crate) fn check_other(output: &Path, inputs: &[&Path]) -> Result<()> {
    if inputs.iter().any(|input| same_place(output, input)) {
        miette::bail!("{}: is read by this command; choose another output", output.display());
    }
    Ok(())
}
