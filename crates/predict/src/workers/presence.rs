//! Whether a process of this machine still lives, so that nobody waits for a lease of one that was killed.
//!
//! Beside an output in a folder each worker holds a lock, which the system takes back when it ends, however it ends. In
//! object storage nothing can be locked: there the system is asked for the process.

use std::path::{Path, PathBuf};

use deep3m_volume::VolumeError;

use super::FOLDER;
use super::who::{Holder, lives};
use crate::lock::Lock;

/// Where processes of one machine know of each other.
#[derive(Clone, Debug)]
pub(crate) enum Presence {
    /// Locks in a folder.
    Folder(PathBuf),
    /// The system's list of processes, where it has one (Linux).
    Processes,
}

/// A worker's place on this machine, until it is dropped.
#[derive(Debug)]
pub(crate) enum Taken {
    /// With its lock.
    Locked(Lock),
    /// Without.
    Noted,
}

impl Presence {
    /// Beside the blocks in a folder.
    pub(crate) fn beside(store: &Path) -> Self {
        Self::Folder(store.join(FOLDER))
    }

    /// Takes a worker's place; `None` where another process of this machine has it.
    pub(crate) fn take(&self, worker: u32) -> Result<Option<Taken>, VolumeError> {
        Ok(match self {
            Self::Folder(folder) => Lock::take(&lock_of(folder, worker))?.map(Taken::Locked),
            Self::Processes => Some(Taken::Noted),
        })
    }

    /// Whether another process lives; `None` where that cannot be known here.
    pub(crate) fn lives(&self, other: &Holder, here: &Holder) -> Option<bool> {
        if other.machine != here.machine {
            return None;
        }
        match self {
            Self::Folder(folder) => Lock::is_held(&lock_of(folder, other.worker)),
            Self::Processes => lives(other),
        }
    }
}

impl Taken {
    /// Whether a process that was this worker lives; `None` where that cannot be known here.
    pub(crate) fn lives(&self, before: &Holder, here: &Holder) -> Option<bool> {
        if before.machine != here.machine {
            return None;
        }
        match self {
            // It would hold the lock.
            Self::Locked(lock) => lock.sure.then_some(false),
            Self::Noted => lives(before),
        }
    }
}

fn lock_of(folder: &Path, worker: u32) -> PathBuf {
    folder.join(format!("worker-{worker}.lock"))
}
