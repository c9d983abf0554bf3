//! Notes in a folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use super::{Kind, LARGEST_NOTE, Note, Store, Version};
use crate::files::{Files, LocalFiles};
use crate::{VolumeError, fs};

/// The file in a note's folder that is locked while the note is compared and replaced.
const LOCK: &str = ".lock";
/// How often the lock is tried, and how long between: far longer than comparing and replacing takes.
const TRIES: (u32, Duration) = (100, Duration::from_millis(20));

/// Notes as files of a folder, which may be on a network file system.
#[derive(Debug)]
pub(super) struct Folder {
    folder: PathBuf,
    files: LocalFiles,
}

impl Folder {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: LocalFiles { folder: folder.to_owned() } }
    }

    fn bytes(&self, name: &str) -> Result<Option<Vec<u8>>, VolumeError> {
        self.files.get(name, LARGEST_NOTE)
    }
}

/// Holds the lock of a note's folder; `Err` where another holds on to it or there is no folder.
fn lock(path: &Path) -> Result<Option<File>, ()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path.with_file_name(LOCK));
    let file = file.map_err(|_| ())?;
    for _ in 0..TRIES.0 {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // A file system without locks: two that replace a note in the same millisecond then both believe that they
            // did.
            Err(TryLockError::Error(_)) => return Ok(None),
            Err(TryLockError::WouldBlock) => sleep(TRIES.1),
        }
    }
    Err(())
}

impl Store for Folder {
    fn address(&self, name: &str) -> PathBuf {
        self.files.address(name)
    }

    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError> {
        Ok(self.bytes(name)?.map(|bytes| Note { version: Version(Kind::Bytes(bytes.clone())), bytes }))
    }

    fn list(&self, folder: &str) -> Result<Vec<String>, VolumeError> {
        self.files.list(folder)
    }

    fn is_empty(&self) -> Result<bool, VolumeError> {
        Ok(self.files.list("")?.iter().all(|name| fs::is_temporary(name.as_ref())))
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
        fs::write_atomic(&self.folder.join(name), bytes)
    }

    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError> {
        fs::write_new(&self.folder.join(name), bytes)
    }

    fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError> {
        let path = self.folder.join(name);
        let Ok(_lock) = lock(&path) else { return Ok(false) };
        if self.read(name)?.is_none_or(|note| note.version != *old) {
            return Ok(false);
        }
        fs::write_piece(&path, bytes)?;
        Ok(true)
    }

    fn remove(&self, name: &str) -> Result<(), VolumeError> {
        self.files.remove(name)
    }

    fn remove_folder(&self, folder: &str) -> Result<(), VolumeError> {
        fs::remove_dir(&self.folder.join(folder))
    }
}

#[cfg(test)]
mod tests {
    use crate::Notes;
    use crate::conformance::check_notes;

    fn notes() -> (tempfile::TempDir, Notes) {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(&folder.path().join("not/there/yet")).unwrap();
        (folder, notes)
    }

    #[test]
    fn a_folder_keeps_notes() {
        let (folder, notes) = notes();
        check_notes(&notes);
        let left = std::fs::read_dir(folder.path().join("not/there/yet")).unwrap().count();
        assert_eq!(left, 0, "no temporary file");
    }

    #[test]
    fn what_a_killed_process_left_of_a_file_is_nothing() {
        let (folder, notes) = notes();
        let place = folder.path().join("not/there/yet");
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join(".a.json.12-3.part"), "half").unwrap();
        assert!(notes.is_empty().unwrap());
        std::fs::write(place.join("photo.jpg"), "").unwrap();
        assert!(!notes.is_empty().unwrap());
    }
}
