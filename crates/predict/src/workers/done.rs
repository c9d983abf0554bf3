//! Which blocks are done, as each worker notes it in logs of its own.
//!
//! A log is text: on each line the number of a block whose chunks are on the disk, or `device` and a kind of device. It is
//! written anew, whole or not at all, with every block: unlike a file that is added to, that is safe on every file
//! system and object store. A new log is begun before the old one grows long.

use std::collections::BTreeSet;
use std::sync::Arc;

use deep3m_volume::{Notes, VolumeError};

use super::FOLDER;
use crate::PredictError;

/// Blocks per log.
const LONGEST: usize = 1000;

/// What logs say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Done {
    /// Numbers of blocks.
    pub(crate) blocks: BTreeSet<u64>,
    /// Kinds of devices that computed them.
    pub(crate) devices: BTreeSet<String>,
    /// Names of logs that were met: a folder that is listed while a file in it is replaced may not show it.
    pub(crate) logs: BTreeSet<String>,
}

impl Done {
    /// Adds what all logs say of a run of `blocks` blocks, but those of one worker.
    pub(crate) fn read(&mut self, notes: &Notes, blocks: u64, but: Option<u32>) -> Result<(), PredictError> {
        let but = but.map(|worker| format!("{FOLDER}/done-{worker}-"));
        self.logs.extend(notes.list(FOLDER)?.into_iter().filter(|name| is_log(name)));
        for name in self.logs.clone() {
            if but.as_ref().is_none_or(|but| !name.starts_with(but)) {
                self.read_log(notes, &name, blocks)?;
            }
        }
        Ok(())
    }

    /// Adds what one log says; its text.
    fn read_log(&mut self, notes: &Notes, name: &str, blocks: u64) -> Result<String, PredictError> {
        // Removed where the run is complete.
        let Some(note) = notes.read(name)? else { return Ok(String::new()) };
        let mut text = String::from_utf8_lossy(&note.bytes).into_owned();
        // A line that a crash cut short has no end: its block counts as not done.
        text.truncate(text.rfind('\n').map_or(0, |end| end + 1));
        for line in text.lines() {
            if let Some(kind) = line.strip_prefix("device ") {
                self.devices.insert(kind.to_owned());
                continue;
            }
            let number = line.parse::<u64>().ok().filter(|&number| number < blocks);
            self.blocks.insert(number.ok_or_else(|| PredictError::DamagedRun {
                path: notes.address(name),
                found: format!("{line:?}"),
                expected: format!("on each line the number of a block that is done, below {blocks}"),
            })?);
        }
        Ok(text)
    }
}

fn is_log(name: &str) -> bool {
    name.starts_with(&format!("{FOLDER}/done-")) && name.strip_suffix(".log").is_some()
}

/// The logs that one worker writes.
pub(crate) struct OwnLog {
    notes: Arc<Notes>,
    worker: u32,
    /// The number of the log that is written now, and what it says.
    log: usize,
    text: String,
    lines: usize,
    header: String,
}

impl OwnLog {
    /// Goes on with a worker's logs, which are added to `done`.
    pub(crate) fn open(
        notes: Arc<Notes>,
        worker: u32,
        devices: &[String],
        blocks: u64,
        done: &mut Done,
    ) -> Result<Self, PredictError> {
        let mut header: Vec<String> = devices.iter().map(|kind| format!("device {kind}\n")).collect();
        header.sort();
        header.dedup();
        let header = header.concat();
        let mut own = Self { notes, worker, log: 0, text: header.clone(), lines: 0, header };
        let there: Vec<String> = own.notes.list(FOLDER)?;
        while there.contains(&own.name()) {
            let text = done.read_log(&own.notes, &own.name(), blocks)?;
            own.log += 1;
            let lines = text.lines().count();
            if lines < LONGEST && !there.contains(&own.name()) {
                own.log -= 1;
                own.lines = lines;
                own.text = format!("{text}{}", own.header);
                break;
            }
        }
        Ok(own)
    }

    /// Notes that a block is done, on the disk. To be called when its chunks are.
    pub(crate) fn append(&mut self, number: u64) -> Result<(), VolumeError> {
        if self.lines >= LONGEST {
            self.log += 1;
            self.lines = 0;
            self.text.clone_from(&self.header);
        }
        let text = format!("{}{number}\n", self.text);
        self.notes.write(&self.name(), text.as_bytes())?;
        self.text = text;
        self.lines += 1;
        Ok(())
    }

    fn name(&self) -> String {
        format!("{FOLDER}/done-{}-{}.log", self.worker, self.log)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(notes: &Notes, blocks: u64) -> Done {
        let mut done = Done::default();
        done.read(notes, blocks, None).unwrap();
        done
    }

    #[test]
    fn logs_of_all_workers_say_what_is_done_however_long_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let notes: Arc<Notes> = Arc::new(Notes::at(folder.path()).unwrap());
        let open = |worker: u32, devices: &[&str]| {
            let devices: Vec<String> = devices.iter().map(ToString::to_string).collect();
            let mut done = Done::default();
            (OwnLog::open(notes.clone(), worker, &devices, 9999, &mut done).unwrap(), done)
        };
        let mut expected = BTreeSet::new();
        for part in 0..3 {
            // Worker 1 is stopped and started again, and worker 10 is not it.
            let (mut log, before) = open(1, &["cpu", "cpu"]);
            assert_eq!(before.blocks, expected);
            for number in 0..700 {
                log.append(part * 700 + number).unwrap();
                expected.insert(part * 700 + number);
            }
        }
        open(10, &["cuda"]).0.append(7000).unwrap();
        let all = done(&notes, 9999);
        assert_eq!(all.blocks, expected.iter().copied().chain([7000]).collect());
        assert_eq!(all.devices, ["cpu", "cuda"].map(str::to_owned).into());
        let mut others = Done::default();
        others.read(&notes, 9999, Some(1)).unwrap();
        assert_eq!(others.blocks, [7000].into());
        assert!(notes.list(FOLDER).unwrap().len() > 3, "long logs are not written again with each block");
    }

    #[test]
    fn what_no_log_would_hold_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(folder.path()).unwrap();
        notes.write("deep3m-workers/done-0-0.log", b"3\n5").unwrap();
        let mut cut = Done::default();
        cut.read(&notes, 7, None).unwrap();
        assert_eq!(cut.blocks, [3].into());
        for bad in ["3\nx\n", "3\n\n", "7\n", "-1\n", "\u{0}\u{0}\n"] {
            notes.write("deep3m-workers/done-0-0.log", bad.as_bytes()).unwrap();
            let error = Done::default().read(&notes, 7, None).unwrap_err().to_string();
            assert!(error.contains("done-0-0.log") && error.contains("below 7"), "{error}");
            assert!(error.contains("--overwrite"), "{error}");
        }
    }
}
