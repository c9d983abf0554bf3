//! Whether a process of this machine still lives: it holds a lock that the system takes back when it ends, however it
//! ends.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use deep3m_volume::{VolumeError, fs};

/// Others look whether the lock is held by sharing it for a moment; one that starts then tries again.
const TRIES: (u32, Duration) = (20, Duration::from_millis(25));

/// A lock that ends with this value, or with the process.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// False on a file system without locks.
    pub(crate) sure: bool,
}

impl Lock {
    /// Takes the lock of a file, which is made; `None` where another process holds it.
    pub(crate) fn take(path: &Path) -> Result<Option<Self>, VolumeError> {
        if let Some(folder) = path.parent() {
            fs::create_dir(folder)?;
        }
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
        let file = file.map_err(|e| VolumeError::io(path, "open", e))?;
        for _ in 0..TRIES.0 {
            match file.try_lock() {
                Ok(()) => return Ok(Some(Self { _file: file, sure: true })),
                Err(TryLockError::Error(_)) => return Ok(Some(Self { _file: file, sure: false })),
                Err(TryLockError::WouldBlock) => sleep(TRIES.1),
            }
        }
        Ok(None)
    }

    /// Whether the lock of a file is held; `None` where that cannot be known.
    pub(crate) fn is_held(path: &Path) -> Option<bool> {
        let file = match File::open(path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Some(false),
            other => other.ok()?,
        };
        match file.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_it_and_others_see_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/worker-0.lock");
        assert_eq!(Lock::is_held(&path), Some(false));
        let lock = Lock::take(&path).unwrap().unwrap();
        assert!(lock.sure);
        assert_eq!(Lock::is_held(&path), Some(true));
        assert!(Lock::take(&path).unwrap().is_none());
        drop(lock);
        assert_eq!(Lock::is_held(&path), Some(false));
        assert!(Lock::take(&path).unwrap().is_some());
    }
}
