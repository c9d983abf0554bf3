//! What can stop a conversion.

use std::path::PathBuf;

use crate::VolumeError;

/// Why a conversion ended before its output was whole. What is written stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConvertError {
    /// Reading or writing a volume failed.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The output holds what another source or other settings gave.
    #[error("{}: holds another conversion: {}. Choose another output, or give --overwrite to replace it", path.display(), differs.join("; "))]
    Another {
        /// The output.
        path: PathBuf,
        /// What differs, in words.
        differs: Vec<String>,
    },
    /// The notes beside an output are not what a conversion writes.
    #[error("{}: damaged: found {found}; expected {expected}. Give --overwrite to begin anew", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// The output is the volume that is read.
    #[error("{}: is the volume to convert; choose another output", path.display())]
    OutputIsInput {
        /// The output.
        path: PathBuf,
    },
    /// Another process writes the same output.
    #[error("{}: another deep3m is converting into it; wait for it, or choose another output", path.display())]
    InUse {
        /// Its log.
        path: PathBuf,
    },
    /// The memory budget is too small.
    #[error(
        "memory: found {found}; this conversion needs at least {least}. Give --memory {wanted} or more, or a smaller --chunk"
    )]
    Memory {
        /// The budget.
        found: String,
        /// What is needed.
        least: String,
        /// What to give.
        wanted: String,
    },
    /// The conversion was asked to stop.
    #[error("{}: stopped; the same command goes on from here", path.display())]
    Interrupted {
        /// The output.
        path: PathBuf,
    },
}
