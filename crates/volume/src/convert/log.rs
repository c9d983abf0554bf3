//! What a conversion has done, noted so that it goes on after it was stopped at any moment.
//!
//! Beside the chunks of an output lie `.deep3m-convert.json`, which says what conversion it belongs to, written whole or
//! not at all, and `.deep3m-convert.log`, which gets a line for each box that is on the disk. A line that was cut short
//! by a crash has no line end: its box is written again, with the same bytes.

use std::collections::HashSet;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::ConvertError;
use crate::files::{Address, Files};
use crate::{Extent, Index, Region, VolumeError};

/// A log larger than this is none of ours.
const LARGEST_LOG: u64 = 1 << 30;

/// The boxes that are on the disk, of all levels.
#[derive(Debug)]
pub(super) struct Log {
    text: Text,
    /// By level, the first voxel of each grain.
    done: Vec<HashSet<Index>>,
    voxels: u64,
}

/// Where the lines lie.
#[derive(Debug)]
enum Text {
    /// In a file that lines are added to, locked.
    Local { path: PathBuf, file: File },
    /// In an object, which is put anew with each line: boxes are large, lines are short.
    Remote { files: Arc<dyn Files>, name: String, text: Vec<u8> },
}

impl Log {
    /// Opens the log of an output, or starts one. `grains` are the levels' pieces, `extents` their sizes.
    pub(super) fn open(
        out: &Path,
        files: &Arc<dyn Files>,
        name: &str,
        extents: &[Extent],
        grains: &[Extent],
    ) -> Result<Self, ConvertError> {
        let path = files.address(name);
        let is_local = matches!(Address::parse(out), Ok(None));
        let (mut text, bytes) = if is_local {
            let io = |e| VolumeError::io(&path, "open", e);
            let mut file =
                OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path).map_err(io)?;
            match file.try_lock() {
                Err(TryLockError::WouldBlock) => return Err(ConvertError::InUse { path: out.to_owned() }),
                // A file system without locks: the same output twice at a time is then the user's to avoid.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map_err(io)?;
            (Text::Local { path: path.clone(), file }, bytes)
        } else {
            let bytes = files.get(name, LARGEST_LOG)?.unwrap_or_default();
            (Text::Remote { files: Arc::clone(files), name: name.to_owned(), text: Vec::new() }, bytes)
        };
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        let mut done = vec![HashSet::new(); grains.len()];
        let mut voxels = 0;
        for line in bytes[..whole].split_inclusive(|&byte| byte == b'\n') {
            let line = String::from_utf8_lossy(line);
            let (level, region) = parse(&line)
                .filter(|(level, region)| extents.get(*level).is_some_and(|&extent| region.fits(extent)))
                .ok_or_else(|| ConvertError::Damaged {
                    path: path.clone(),
                    found: format!("{line:?}"),
                    expected: "on each line a level and a box inside it".into(),
                })?;
            for grain in region.tiles(grains[level]) {
                if done[level].insert(grain.start) {
                    voxels += grain.extent.len() as u64;
                }
            }
        }
        match &mut text {
            Text::Local { path, file } => {
                let cut = file.set_len(whole as u64).and_then(|()| file.seek(SeekFrom::End(0)));
                cut.map_err(|e| VolumeError::io(&*path, "open", e))?;
            }
            Text::Remote { text, .. } => text.extend_from_slice(&bytes[..whole]),
        }
        Ok(Self { text, done, voxels })
    }

    /// Voxels that were on the disk when the log was opened.
    pub(super) const fn voxels(&self) -> u64 {
        self.voxels
    }

    /// Takes out the first voxels of a level's grains that were on the disk when the log was opened.
    pub(super) fn take(&mut self, level: usize) -> HashSet<Index> {
        std::mem::take(&mut self.done[level])
    }

    /// Notes a box of whole grains that is on the disk.
    pub(super) fn append(&mut self, level: usize, region: Region) -> Result<(), VolumeError> {
        let line = format!("{level} {region}\n");
        match &mut self.text {
            Text::Local { path, file } => {
                let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
                written.map_err(|e| VolumeError::io(&*path, "write", e))
            }
            Text::Remote { files, name, text } => {
                text.extend_from_slice(line.as_bytes());
                files.put(&[(name.clone(), text.clone())])
            }
        }
    }
}

fn parse(line: &str) -> Option<(usize, Region)> {
    let (level, region) = line.trim_end().split_once(' ')?;
    Some((level.parse().ok()?, region.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::LocalFiles;

    fn open(path: &Path, extents: &[Extent], grains: &[Extent]) -> Result<Log, ConvertError> {
        let out = path.parent().unwrap();
        let files: Arc<dyn Files> = Arc::new(LocalFiles { folder: out.to_owned() });
        Log::open(out, &files, "log", extents, grains)
    }

    #[test]
    fn a_log_cut_anywhere_forgets_only_the_line_that_was_cut() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let (extents, grains) = ([Extent::new(4, 40, 50); 2], [Extent::new(2, 16, 16); 2]);
        let boxes = [(0, Region::whole(Extent::new(2, 32, 50))), (1, Region::whole(Extent::new(4, 40, 50)))];
        let mut log = open(&path, &extents, &grains).unwrap();
        assert!(matches!(open(&path, &extents, &grains), Err(ConvertError::InUse { .. })));
        for (level, region) in boxes {
            log.append(level, region).unwrap();
        }
        drop(log);
        let text = std::fs::read(&path).unwrap();
        for cut in 0..=text.len() {
            std::fs::write(&path, &text[..cut]).unwrap();
            let lines = text[..cut].split(|&byte| byte == b'\n').count() - 1;
            let mut log = open(&path, &extents, &grains).unwrap();
            let voxels: usize = boxes[..lines].iter().map(|(_, region)| region.extent.len()).sum();
            assert_eq!(log.voxels(), voxels as u64);
            for (number, (level, region)) in boxes.iter().enumerate() {
                let done = log.take(*level);
                assert!(region.tiles(grains[*level]).all(|grain| done.contains(&grain.start) == (number < lines)));
            }
        }
    }

    #[test]
    fn what_no_log_would_hold_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        for bad in ["\n", "0\n", "0 all\n", "3 0:1,0:1,0:1\n", "0 0:9,0:1,0:1\n", "0 0:18446744073709551615,0:1,0:1\n"]
        {
            std::fs::write(&path, bad).unwrap();
            let error = open(&path, &[Extent::new(4, 4, 4)], &[Extent::new(1, 1, 1)]).unwrap_err().to_string();
            assert!(error.contains("--overwrite"), "{error}");
        }
    }
}
