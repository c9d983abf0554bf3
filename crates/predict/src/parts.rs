//! Sections of a block that is not done yet, kept so that an interruption costs minutes and not the block.
//!
//! On a CPU a block of a wide network in all variations can take an hour. Its sections are kept as they are finished,
//! each a file of its own with exactly the bytes that the block will have; they go when the block is done.

use std::sync::Arc;
use std::time::Duration;

use deep3m_volume::{LARGEST_NOTE, Notes, VolumeError};

const FOLDER: &str = "deep3m-parts";

/// Where sections are kept.
#[derive(Debug)]
pub(crate) struct Parts {
    notes: Option<Arc<Notes>>,
    worth: Duration,
}

impl Parts {
    /// What took less is computed again sooner than it is worth a file.
    pub(crate) const WORTH_KEEPING: Duration = Duration::from_secs(2);

    /// Beside the blocks of an output; what took less than `worth` is not kept.
    pub(crate) const fn new(notes: Arc<Notes>, worth: Duration) -> Self {
        Self { notes: Some(notes), worth }
    }

    /// Nowhere.
    pub(crate) const fn none() -> Self {
        Self { notes: None, worth: Duration::MAX }
    }

    /// The bytes from a section on, if they are there with this length.
    pub(crate) fn load(&self, block: u64, section: u64, len: usize) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some(notes) = &self.notes else { return Ok(None) };
        let note = notes.read(&name(block, section))?;
        Ok(note.map(|note| note.bytes).filter(|bytes| bytes.len() == len))
    }

    /// Keeps the bytes from a section on, if they took long.
    pub(crate) fn keep(&self, block: u64, section: u64, bytes: &[u8], took: Duration) -> Result<(), VolumeError> {
        match &self.notes {
            Some(notes) if took >= self.worth && bytes.len() as u64 <= LARGEST_NOTE => {
                notes.write(&name(block, section), bytes)
            }
            _ => Ok(()),
        }
    }

    /// Removes what is kept of a block.
    pub(crate) fn forget(&self, block: u64) -> Result<(), VolumeError> {
        self.notes.as_ref().map_or(Ok(()), |notes| notes.remove_folder(&format!("{FOLDER}/{block}")))
    }

    /// Removes everything that is kept beside the blocks of an output.
    pub(crate) fn remove(notes: &Notes) -> Result<(), VolumeError> {
        notes.remove_folder(FOLDER)
    }
}

fn name(block: u64, section: u64) -> String {
    format!("{FOLDER}/{block}/{section}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_took_long_is_kept_until_its_block_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Arc::new(Notes::at(folder.path()).unwrap());
        let parts = Parts::new(notes.clone(), Duration::from_secs(2));
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
        Parts::remove(&notes).unwrap();
        Parts::remove(&notes).unwrap();
        assert!(notes.is_empty().unwrap());
        assert_eq!(Parts::none().load(0, 0, 0).unwrap(), None);
    }
}
