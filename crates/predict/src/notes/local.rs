//! Notes in a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use deep3m_volume::{VolumeError, fs};

use super::{Note, Notes, Version};

/// The file that is locked while a note is compared and replaced.
const LOCK: &str = "lock";
/// How often the lock is tried, and how long between: far longer than comparing and replacing takes.
const TRIES: (u32, Duration) = (100, Duration::from_millis(20));

/// Notes as files of a folder, which may be on a network file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalNotes {
    folder: PathBuf,
}

impl LocalNotes {
    /// Notes in this folder; it is made when the first note is written.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// Holds the lock of a note's folder; `Err(false)` where another holds on to it or there is no folder.
    fn lock(path: &Path) -> Result<Option<File>, bool> {
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path.with_file_name(LOCK));
        let file = file.map_err(|_| false)?;
        for _ in 0..TRIES.0 {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                // A file system without locks: two that replace a note in the same millisecond then both believe that
                // they did. They compute a block twice, with the same bytes.
                Err(TryLockError::Error(_)) => return Ok(None),
                Err(TryLockError::WouldBlock) => sleep(TRIES.1),
            }
        }
        Err(false)
    }
}

/// A file's bytes; `None` where there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>, VolumeError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(VolumeError::Io { source, .. }) if is_absent(source.kind()) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether nothing lies there: also where a name on the way is a file's.
const fn is_absent(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Notes for LocalNotes {
    fn address(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError> {
        let bytes = read(&self.address(name))?;
        // Notes hold who wrote them and a count, so that two never have the same bytes.
        Ok(bytes.map(|bytes| Note { version: Version(bytes.clone()), bytes }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VolumeError> {
        let paths = match fs::list(&self.address(folder)) {
            Err(VolumeError::Io { source, .. }) if is_absent(source.kind()) => return Ok(Vec::new()),
            other => other?,
        };
        let name = |path: &PathBuf| path.file_name()?.to_str().filter(|name| !name.starts_with('.')).map(str::to_owned);
        Ok(paths.iter().filter_map(name).map(|name| format!("{folder}/{name}")).collect())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
        fs::write_atomic(&self.address(name), bytes)
    }

    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError> {
        fs::write_new(&self.address(name), bytes)
    }

    fn replace_if(&self, name: &str, version: &Version, bytes: &[u8]) -> Result<bool, VolumeError> {
        let path = self.address(name);
        let Ok(_lock) = Self::lock(&path) else { return Ok(false) };
        if read(&path)?.as_ref() != Some(&version.0) {
            return Ok(false);
        }
        fs::write_piece(&path, bytes)?;
        Ok(true)
    }

    fn remove(&self, name: &str) -> Result<(), VolumeError> {
        fs::remove_file(&self.address(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_keeps_notes() {
        let folder = tempfile::tempdir().unwrap();
        super::super::conformance::run(&LocalNotes::new(&folder.path().join("not/there/yet")));
    }
}
