//! Sections of a block that is not done yet, kept so that an interruption costs minutes and not the block.
//!
//! On a CPU a block of a wide network in all variations can take an hour. Its sections are kept as they are finished,
//! each a file of its own with exactly the bytes that the block will have; they go when the block is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use deep3m_volume::{VolumeError, fs};

const FOLDER: &str = "deep3m-parts";

/// Where sections are kept.
#[derive(Debug)]
pub(crate) struct Parts {
    folder: Option<PathBuf>,
    worth: Duration,
}

impl Parts {
    /// What took less is computed again sooner than it is worth a file.
    pub(crate) const WORTH_KEEPING: Duration = Duration::from_secs(2);

    /// In the folder of an output; what took less than `worth` is not kept.
    pub(crate) fn new(store: &Path, worth: Duration) -> Self {
        Self { folder: Some(store.join(FOLDER)), worth }
    }

    /// Nowhere.
    pub(crate) const fn none() -> Self {
        Self { folder: None, worth: Duration::MAX }
    }

    /// The bytes from a section on, if they are there with this length.
    pub(crate) fn load(&self, block: u64, section: u64, len: usize) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some(path) = self.path(block, section) else { return Ok(None) };
        if !path.is_file() {
            return Ok(None);
        }
        Ok(Some(fs::read(&path)?).filter(|bytes| bytes.len() == len))
    }

    /// Keeps the bytes from a section on, if they took long.
    pub(crate) fn keep(&self, block: u64, section: u64, bytes: &[u8], took: Duration) -> Result<(), VolumeError> {
        match self.path(block, section) {
            Some(path) if took >= self.worth => fs::write_piece(&path, bytes),
            _ => Ok(()),
        }
    }

    /// Removes what is kept of a block.
    pub(crate) fn forget(&self, block: u64) -> Result<(), VolumeError> {
        self.folder.as_ref().map_or(Ok(()), |folder| fs::remove_dir(&folder.join(block.to_string())))
    }

    /// Removes everything that is kept in the folder of an output.
    pub(crate) fn remove(store: &Path) -> Result<(), VolumeError> {
        fs::remove_dir(&store.join(FOLDER))
    }

    fn path(&self, block: u64, section: u64) -> Option<PathBuf> {
        Some(self.folder.as_ref()?.join(block.to_string()).join(section.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_kept_until_its_block_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(folder.path(), Duration::from_secs(2));
        parts.keep(3, 10, b"abc", Duration::from_secs(2)).unwrap();
        parts.keep(3, 11, b"abc", Duration::from_secs(1)).unwrap();
        parts.keep(4, 10, b"def", Duration::from_secs(9)).unwrap();
        assert_eq!(parts.load(3, 10, 3).unwrap().unwrap(), b"abc");
        assert_eq!(parts.load(3, 10, 4).unwrap(), None, "another length is another plan");
        assert_eq!(parts.load(3, 11, 3).unwrap(), None);
        parts.forget(3).unwrap();
        parts.forget(99).unwrap();
        assert_eq!(parts.load(3, 10, 3).unwrap(), None);
        assert_eq!(parts.load(4, 10, 3).unwrap().unwrap(), b"def");
        Parts::remove(folder.path()).unwrap();
        Parts::remove(folder.path()).unwrap();
        assert_eq!(fs::list(folder.path()).unwrap().len(), 0);
        assert_eq!(Parts::none().load(0, 0, 0).unwrap(), None);
    }
}
