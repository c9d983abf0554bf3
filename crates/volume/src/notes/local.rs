//! Notes in a folder.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{Kind, LARGEST_NOTE, Note, Store, Version};
use crate::files::{Files, LocalFiles, unlikely};
use crate::{VolumeError, fs as files_fs};

/// The file that a program locks while it changes a note.
const LOCK: &str = ".lock";

#[derive(Debug)]
pub(super) struct Folder {
    folder: PathBuf,
    files: LocalFiles,
}

impl Folder {
    pub(super) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), files: LocalFiles { folder: folder.to_owned() } }
    }

    /// Holds the folder's lock until the file is dropped; the system frees it also where a program dies.
    fn lock(&self) -> Result<File, VolumeError> {
        files_fs::create_dir(&self.folder)?;
        let path = self.folder.join(LOCK);
        let io = |e| VolumeError::io(&path, "lock", e);
        let file = File::options().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        file.lock().map_err(io)?;
        Ok(file)
    }

    /// Writes a file under a name of its own, flushed to the disk.
    fn temporary(&self, name: &str, bytes: &[u8]) -> Result<Temporary, VolumeError> {
        files_fs::create_dir(&self.folder)?;
        // Machines that share the folder may have the same process numbers.
        let path = self.folder.join(format!(".{name}.{}.part", unlikely()));
        let mut file = File::options()
            .create_new(true)
            .write(true)
            .open(&path)
            .map_err(|e| VolumeError::io(&path, "create", e))?;
        let temporary = Temporary(path);
        file.write_all(bytes).and_then(|()| file.sync_all()).map_err(|e| VolumeError::io(&temporary.0, "write", e))?;
        Ok(temporary)
    }
}

/// A file that goes when it is dropped.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

impl Store for Folder {
    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError> {
        let bytes = self.files.get(name, LARGEST_NOTE)?;
        Ok(bytes.map(|bytes| Note { version: Version(Kind::Bytes(bytes.clone())), bytes }))
    }

    fn list(&self) -> Result<Vec<String>, VolumeError> {
        let names = self.files.list("")?;
        Ok(names.into_iter().filter(|name| !name.starts_with('.') && !name.ends_with('/')).collect())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
        let _lock = self.lock()?;
        files_fs::write_atomic(&self.folder.join(name), bytes)
    }

    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError> {
        let path = self.folder.join(name);
        // To take the name is one step, and the note is whole by then.
        let temporary = self.temporary(name, bytes)?;
        match fs::hard_link(&temporary.0, &path) {
            Ok(()) => {}
            Err(e) if e.kind() == ErrorKind::AlreadyExists => return Ok(false),
            // File systems without links (FAT, some network shares) take the lock instead.
            Err(_) => {
                let _lock = self.lock()?;
                if path.exists() {
                    return Ok(false);
                }
                fs::rename(&temporary.0, &path).map_err(|e| VolumeError::io(&path, "create", e))?;
            }
        }
        files_fs::sync_dir(&self.folder)?;
        Ok(true)
    }

    fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError> {
        let _lock = self.lock()?;
        if self.read(name)?.is_none_or(|note| note.version != *old) {
            return Ok(false);
        }
        files_fs::write_atomic(&self.folder.join(name), bytes)?;
        Ok(true)
    }

    fn remove(&self, name: &str) -> Result<(), VolumeError> {
        if !self.folder.is_dir() {
            return Ok(());
        }
        let _lock = self.lock()?;
        self.files.remove(name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{a_note_is_created_once, no_replacement_is_lost, what_is_noted_is_there};
    use crate::Notes;

    fn notes() -> (tempfile::TempDir, Notes) {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(&folder.path().join("new/leases")).unwrap();
        (folder, notes)
    }

    #[test]
    fn notes_are_kept() {
        let (folder, notes) = notes();
        what_is_noted_is_there(&notes);
        let left = std::fs::read_dir(folder.path().join("new/leases")).unwrap().count();
        assert_eq!(left, 3, "two notes and the lock");
    }

    #[test]
    fn one_of_many_creates() {
        a_note_is_created_once(&notes().1);
    }

    #[test]
    fn replacing_counts() {
        no_replacement_is_lost(&notes().1);
    }
}
