//! What is done, noted so that a run can go on after it was stopped at any moment.
//!
//! `deep3m-run.json` says which run an output belongs to; it is written whole or not at all. `deep3m-done.log` gets a
//! line with the number of each block whose chunks are on the disk. A line that was cut short by a crash has no line
//! end: its block counts as not done, is computed again, and its chunks are replaced by the same bytes.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use deep3m_volume::{VolumeError, fs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{PredictError, RunIdentity};

/// The name of the file that says what run a folder holds.
pub(crate) const RUN_FILE: &str = "deep3m-run.json";
const DONE_FILE: &str = "deep3m-done.log";

/// What `deep3m-run.json` holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunNote<R = RunIdentity> {
    /// Whether all is done.
    pub(crate) finished: bool,
    /// Which run it is.
    pub(crate) run: R,
}

impl<R: Serialize + DeserializeOwned> RunNote<R> {
    /// The note in a file; `None` where there is no file.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, PredictError> {
        if !path.exists() {
            return Ok(None);
        }
        let damaged = |found: String| PredictError::DamagedRun {
            path: path.to_owned(),
            found,
            expected: "the description of a prediction as deep3m writes it".to_owned(),
        };
        let bytes = fs::read(path)?;
        serde_json::from_slice(&bytes).map(Some).map_err(|e| damaged(e.to_string()))
    }

    /// Writes the note, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<(), PredictError> {
        let mut text = serde_json::to_vec_pretty(self).map_err(|e| VolumeError::io(path, "write", e.into()))?;
        text.push(b'\n');
        Ok(fs::write_atomic(path, &text)?)
    }
}

/// The blocks that are done, held by this process alone.
#[derive(Debug)]
pub(crate) struct RunLog {
    path: PathBuf,
    file: File,
    done: BTreeSet<u64>,
}

impl RunLog {
    /// Opens the log of a run of `blocks` blocks, or starts it, and cuts off a line that was not finished.
    pub(crate) fn open(folder: &Path, blocks: u64) -> Result<Self, PredictError> {
        let path = folder.join(DONE_FILE);
        let io = |e| VolumeError::io(&path, "open", e);
        let mut file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
        lock(&file, folder)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut done = BTreeSet::new();
        for line in text[..whole].split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let number = line.trim_end().parse::<u64>().ok().filter(|&number| number < blocks);
            done.insert(number.ok_or_else(|| PredictError::DamagedRun {
                path: path.clone(),
                found: format!("{line:?}"),
                expected: format!("on each line the number of a block that is done, below {blocks}"),
            })?);
        }
        file.set_len(whole as u64).map_err(io)?;
        file.seek(SeekFrom::End(0)).map_err(io)?;
        Ok(Self { path, file, done })
    }

    /// Whether another process writes there, before what is there is removed.
    pub(crate) fn check_unused(folder: &Path) -> Result<(), PredictError> {
        File::open(folder.join(DONE_FILE)).map_or(Ok(()), |file| lock(&file, folder))
    }

    /// The blocks that are done.
    pub(crate) const fn done(&self) -> &BTreeSet<u64> {
        &self.done
    }

    /// Notes that a block is done, on the disk. To be called when its chunks are.
    pub(crate) fn append(&mut self, number: u64) -> Result<(), VolumeError> {
        let line = format!("{number}\n");
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|e| VolumeError::io(&self.path, "write", e))?;
        self.done.insert(number);
        Ok(())
    }

    /// Removes the log of a folder, when the note says that all is done.
    pub(crate) fn remove(folder: &Path) -> Result<(), VolumeError> {
        fs::remove_file(&folder.join(DONE_FILE))
    }
}

/// Holds the log for this process as long as the file is open.
fn lock(file: &File, folder: &Path) -> Result<(), PredictError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(PredictError::InUse { path: folder.to_owned() }),
        // A file system without locks: the same output twice at a time is then the user's to avoid.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_log_cut_anywhere_forgets_only_the_line_that_was_cut(numbers in prop::collection::vec(0_u64..2000, 0..20), cut in 0_usize..99) {
            let folder = tempfile::tempdir().unwrap();
            let mut log = RunLog::open(folder.path(), 2000).unwrap();
            for &number in &numbers {
                log.append(number).unwrap();
            }
            drop(log);
            let path = folder.path().join(DONE_FILE);
            let text = std::fs::read(&path).unwrap();
            let cut = cut.min(text.len());
            std::fs::write(&path, &text[..cut]).unwrap();
            let whole = text[..cut].split(|&byte| byte == b'\n').count() - 1;
            let mut log = RunLog::open(folder.path(), 2000).unwrap();
            prop_assert_eq!(log.done(), &numbers[..whole].iter().copied().collect());
            log.append(1999).unwrap();
            drop(log);
            let again = RunLog::open(folder.path(), 2000).unwrap();
            prop_assert!(again.done().contains(&1999));
            prop_assert_eq!(again.done().len(), numbers[..whole].iter().chain(&[1999]).collect::<BTreeSet<_>>().len());
        }
    }

    #[test]
    fn what_no_log_would_hold_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for bad in ["3\nx\n", "3\n\n", "7\n", "-1\n", "\u{0}\u{0}\n"] {
            std::fs::write(folder.path().join(DONE_FILE), bad).unwrap();
            let error = RunLog::open(folder.path(), 7).unwrap_err().to_string();
            assert!(error.contains(DONE_FILE) && error.contains("below 7") && error.contains("--overwrite"), "{error}");
        }
    }

    #[test]
    fn two_processes_do_not_share_an_output() {
        let folder = tempfile::tempdir().unwrap();
        let first = RunLog::open(folder.path(), 7).unwrap();
        assert!(matches!(RunLog::open(folder.path(), 7), Err(PredictError::InUse { .. })));
        assert!(matches!(RunLog::check_unused(folder.path()), Err(PredictError::InUse { .. })));
        drop(first);
        RunLog::check_unused(folder.path()).unwrap();
        assert!(RunLog::open(folder.path(), 7).is_ok());
    }
}
