//! An output that is not finished: what belongs to it, and which boxes of it are written.
//!
//! Beside `OUT.partial` lies `OUT.partial.log`. Its first line says what is made and from what, its second which objects were
//! found, and each further line a box that is on the disk. A line that was cut short has no end and counts for nothing.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use deep3m_analyze::{AnalyzeError, Written};
use deep3m_volume::{Region, VolumeError, VolumeSpec, VolumeWriter, fs};
use miette::{IntoDiagnostic, Result};

use crate::commands::target::Target;
use crate::console::notice;

/// The log of an output that is being made.
pub(super) struct Unfinished {
    path: PathBuf,
    file: File,
    /// What was found when the boxes were written.
    objects: Option<u64>,
    boxes: HashSet<String>,
    /// Whether any box is written.
    any: bool,
    /// The length of the first line.
    head: u64,
}

impl Unfinished {
    /// Begins an output, or goes on with it where it is of the same settings and inputs. An output that is one file has no log:
    /// it is begun anew.
    pub(super) fn begin(
        target: &Target,
        spec: &VolumeSpec,
        settings: &serde_json::Value,
    ) -> Result<(Box<dyn VolumeWriter>, Option<Self>)> {
        let Some(made) = target.made_beside() else { return Ok((target.create(spec)?, None)) };
        let mut log = Self::open(made)?;
        let settings = format!("{settings}\n");
        if log.head_is(&settings)
            && made.is_dir()
            && let Ok(writer) = target.reopen()
        {
            log.head = settings.len() as u64;
            log.read()?;
            return Ok((writer, Some(log)));
        }
        // No log of another output must be there when this one begins.
        log.cut(0).into_diagnostic()?;
        let writer = target.create(spec)?;
        log.append(&settings).into_diagnostic()?;
        log.head = settings.len() as u64;
        Ok((writer, Some(log)))
    }

    /// Removes the log of an output that is finished.
    pub(super) fn finish(self) -> Result<()> {
        let path = self.path;
        drop(self.file);
        fs::remove_file(&path).into_diagnostic()
    }

    /// After an error: what is written stays, for a run that goes on; where nothing is, nothing stays.
    pub(super) fn give_up(self, target: &Target) -> Result<()> {
        if self.any {
            return Ok(());
        }
        target.remove_made()?;
        self.finish()
    }

    fn open(made: &Path) -> Result<Self> {
        let mut path = made.as_os_str().to_owned();
        path.push(".log");
        let path = PathBuf::from(path);
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir(folder).into_diagnostic()?;
        }
        let io = |e| VolumeError::io(&path, "open", e);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = file.map_err(io).into_diagnostic()?;
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            miette::bail!("{}: another process is writing it; wait for it, or choose another name", made.display());
        }
        Ok(Self { path, file, objects: None, boxes: HashSet::new(), any: false, head: 0 })
    }

    /// Whether the log begins with a line.
    fn head_is(&mut self, line: &str) -> bool {
        let mut found = vec![0; line.len()];
        let read = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.read_exact(&mut found));
        read.is_ok() && found == line.as_bytes()
    }

    /// Reads what comes after the first line.
    fn read(&mut self) -> Result<()> {
        let mut text = String::new();
        let read = self.file.seek(SeekFrom::Start(self.head)).and_then(|_| self.file.read_to_string(&mut text));
        // A log that cannot be read says nothing.
        let whole = if read.is_ok() { text.rfind('\n').map_or(0, |end| end + 1) } else { 0 };
        let mut lines = text[..whole].lines();
        self.objects = lines.next().and_then(|line| line.parse().ok());
        self.boxes = lines.map(str::to_owned).collect();
        self.any = !self.boxes.is_empty();
        self.cut(self.head + whole as u64).into_diagnostic()
    }

    fn cut(&mut self, len: u64) -> Result<(), VolumeError> {
        let cut = self.file.set_len(len).and_then(|()| self.file.seek(SeekFrom::End(0)));
        cut.map(|_| ()).map_err(|e| VolumeError::io(&self.path, "write", e))
    }

    fn append(&mut self, line: &str) -> Result<(), VolumeError> {
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_data());
        written.map_err(|e| VolumeError::io(&self.path, "write", e))
    }
}

impl Written for Unfinished {
    fn begin(&mut self, objects: u64) -> Result<(), AnalyzeError> {
        if self.objects == Some(objects) {
            if !self.boxes.is_empty() {
                notice(&format!(
                    "going on with what an earlier run began: {} boxes are written; objects were looked for again",
                    self.boxes.len()
                ));
            }
            return Ok(());
        }
        if !self.boxes.is_empty() {
            notice("the input has changed since an earlier run began; everything is written anew");
        }
        self.boxes.clear();
        self.objects = Some(objects);
        self.cut(self.head)?;
        Ok(self.append(&format!("{objects}\n"))?)
    }

    fn holds(&self, part: Region) -> bool {
        self.boxes.contains(&part.to_string())
    }

    fn add(&mut self, part: Region) -> Result<(), AnalyzeError> {
        self.any = true;
        Ok(self.append(&format!("{part}\n"))?)
    }
}
