//! Sections of a block that is not done yet, kept so that an interruption costs minutes and not the block.
//!
//! On a CPU a block of a wide network in all variations can take an hour. Its sections are kept as they are finished,
//! each a file of its own with exactly the bytes that the block will have; they go when the block is done.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use deep3m_volume::{LARGEST_NOTE, Notes, VolumeError};

const FOLDER: &str = "deep3m-parts";

/// Where sections are kept.
#[derive(Debug)]
pub(crate) struct Parts {
    notes: Option<Arc<Notes>>,
    worth: Duration,
    /// The sections that are kept of each block, since it was looked for: in object storage every look takes long.
    known: Mutex<BTreeMap<u64, BTreeSet<u64>>>,
}

impl Parts {
    /// What took less is computed again sooner than it is worth a file.
    pub(crate) const WORTH_KEEPING: Duration = Duration::from_secs(2);

    /// Beside the blocks of an output; what took less than `worth` is not kept.
    pub(crate) const fn new(notes: Arc<Notes>, worth: Duration) -> Self {
        Self { notes: Some(notes), worth, known: Mutex::new(BTreeMap::new()) }
    }

    /// Nowhere.
    pub(crate) const fn none() -> Self {
        Self { notes: None, worth: Duration::MAX, known: Mutex::new(BTreeMap::new()) }
    }

    /// The bytes from a section on, if they are there with this length.
    pub(crate) fn load(&self, block: u64, section: u64, len: usize) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some(notes) = &self.notes else { return Ok(None) };
        let known = self.known().get(&block).map(|sections| sections.contains(&section));
        let kept = if let Some(kept) = known {
            kept
        } else {
            let sections = sections_kept(notes, block)?;
            let kept = sections.contains(&section);
            self.known().insert(block, sections);
            kept
        };
        if !kept {
            return Ok(None);
        }
        let note = notes.read(&name(block, section))?;
        Ok(note.map(|note| note.bytes).filter(|bytes| bytes.len() == len))
    }

    /// Keeps the bytes from a section on, if they took long.
    pub(crate) fn keep(&self, block: u64, section: u64, bytes: &[u8], took: Duration) -> Result<(), VolumeError> {
        match &self.notes {
            Some(notes) if took >= self.worth && bytes.len() as u64 <= LARGEST_NOTE => {
                notes.write(&name(block, section), bytes)?;
                self.known().entry(block).or_default().insert(section);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Removes what is kept of a block.
    pub(crate) fn forget(&self, block: u64) -> Result<(), VolumeError> {
        let nothing = self.known().remove(&block).is_some_and(|sections| sections.is_empty());
        match &self.notes {
            Some(notes) if !nothing => notes.remove_folder(&format!("{FOLDER}/{block}")),
            _ => Ok(()),
        }
    }

    /// Removes everything that is kept beside the blocks of an output.
    pub(crate) fn remove(notes: &Notes) -> Result<(), VolumeError> {
        notes.remove_folder(FOLDER)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<u64, BTreeSet<u64>>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The sections that are there of a block.
fn sections_kept(notes: &Notes, block: u64) -> Result<BTreeSet<u64>, VolumeError> {
    let names = notes.list(&format!("{FOLDER}/{block}"))?;
    Ok(names.iter().filter_map(|name| name.rsplit_once('/')?.1.parse().ok()).collect())
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
        // Another process finds it.
        let another = Parts::new(notes.clone(), Duration::from_secs(2));
        assert_eq!(another.load(3, 11, 3).unwrap(), None);
        assert_eq!(another.load(3, 10, 3).unwrap().unwrap(), b"abc");
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
