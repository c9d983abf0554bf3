//! The one way in which Deep3M touches files: every error names its path, and a file is either whole or absent.
//!
//! A file is written under a temporary name (`.name.<process>-<count>.part`, in the same folder), flushed to the disk
//! and renamed. A reader, or a run that goes on after a crash, never takes half a file for a whole one.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::VolumeError;

/// The bytes of a file.
pub fn read(path: &Path) -> Result<Vec<u8>, VolumeError> {
    fs::read(path).map_err(|e| VolumeError::io(path, "read", e))
}

/// The text of a file; [`VolumeError::Io`] also where it is not UTF-8.
pub fn read_to_string(path: &Path) -> Result<String, VolumeError> {
    fs::read_to_string(path).map_err(|e| VolumeError::io(path, "read", e))
}

/// A file opened to read.
pub fn open(path: &Path) -> Result<File, VolumeError> {
    File::open(path).map_err(|e| VolumeError::io(path, "open", e))
}

/// The size of a file in bytes.
pub fn size(path: &Path) -> Result<u64, VolumeError> {
    Ok(fs::metadata(path).map_err(|e| VolumeError::io(path, "open", e))?.len())
}

/// Fills `buffer` from a place in an open file, whatever its position; several threads may read at once.
pub fn read_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
    }
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < buffer.len() {
            match std::os::windows::fs::FileExt::seek_read(file, &mut buffer[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}

/// Writes `bytes` at a place in an open file, whatever its position; several threads may write at once.
pub fn write_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    #[cfg(unix)]
    {
        std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
    }
    #[cfg(windows)]
    {
        let mut done = 0;
        while done < bytes.len() {
            match std::os::windows::fs::FileExt::seek_write(file, &bytes[done..], offset + done as u64)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => done += n,
            }
        }
        Ok(())
    }
}

/// A file of so many zeros to work in, read and written with [`read_at`] and [`write_at`]; it replaces one of this name. It
/// takes room on the disk where it is written. To be removed by whoever made it.
pub fn create_scratch(path: &Path, bytes: u64) -> Result<File, VolumeError> {
    let open = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path);
    let file = open.map_err(|e| VolumeError::io(path, "create", e))?;
    file.set_len(bytes).map_err(|e| VolumeError::io(path, "create", e))?;
    Ok(file)
}

/// What lies in a folder, sorted by name.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, VolumeError> {
    let io = |e| VolumeError::io(folder, "list", e);
    let mut paths =
        fs::read_dir(folder).map_err(io)?.map(|entry| Ok(entry.map_err(io)?.path())).collect::<Result<Vec<_>, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Makes a folder, with those above it; it may exist.
pub fn create_dir(path: &Path) -> Result<(), VolumeError> {
    fs::create_dir_all(path).map_err(|e| VolumeError::io(path, "create folder", e))
}

/// Removes a file, if it is there.
pub fn remove_file(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(VolumeError::io(path, "remove", e)),
        _ => Ok(()),
    }
}

/// Removes a folder with everything in it, if it is there.
pub fn remove_dir(path: &Path) -> Result<(), VolumeError> {
    match fs::remove_dir_all(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(VolumeError::io(path, "remove", e)),
        _ => Ok(()),
    }
}

/// Writes a file: afterwards it is whole and on the disk, or, on an error, as it was before.
///
/// Makes the folder where it is missing.
pub fn write_atomic(path: &Path, bytes: &[u8]) -> Result<(), VolumeError> {
    write_piece(path, bytes)?;
    sync_dir(parent(path))
}

/// As [`write_atomic`], but leaves it to the caller to [`sync_dir`] the folder when all its pieces are written: after a
/// power cut a piece may be missing, but none is half there.
pub fn write_piece(path: &Path, bytes: &[u8]) -> Result<(), VolumeError> {
    write_pieces(&[(path, bytes)])
}

/// As [`write_piece`] for many files. All are written before the first is flushed: the system then flushes them
/// together, which takes little longer than one.
pub fn write_pieces<P: AsRef<Path>, B: AsRef<[u8]>>(pieces: &[(P, B)]) -> Result<(), VolumeError> {
    // In batches, as each file stays open until it is flushed.
    for batch in pieces.chunks(128) {
        let mut files = Vec::with_capacity(batch.len());
        for (path, bytes) in batch {
            let mut file = AtomicFile::create(path.as_ref())?;
            file.write_all(bytes.as_ref())
                .and_then(|()| file.flush())
                .map_err(|e| VolumeError::io(path.as_ref(), "write", e))?;
            files.push(file);
        }
        files.iter_mut().try_for_each(AtomicFile::publish)?;
    }
    Ok(())
}

/// Writes a file where there is none, whole or not at all: true for exactly one of those that try at the same time.
///
/// Makes the folder where it is missing. It need not last through a power cut.
pub fn write_new(path: &Path, bytes: &[u8]) -> Result<bool, VolumeError> {
    let io = |e| VolumeError::io(path, "write", e);
    let mut file = AtomicFile::create(path)?;
    file.write_all(bytes).and_then(|()| file.flush()).map_err(io)?;
    // A second name for the same file: made by one only, also on network file systems.
    match fs::hard_link(&file.temporary, path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without second names: then another may read the file before it is whole.
        Err(_) => match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(mut new) => match new.write_all(bytes) {
                Ok(()) => Ok(true),
                Err(e) => {
                    let _ = fs::remove_file(path);
                    Err(io(e))
                }
            },
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(e) => Err(io(e)),
        },
    }
}

/// Makes the names in a folder last through a power cut (on Unix; elsewhere the system does it by itself).
pub fn sync_dir(folder: &Path) -> Result<(), VolumeError> {
    if cfg!(unix) {
        open(folder)?.sync_all().map_err(|e| VolumeError::io(folder, "flush", e))?;
    }
    Ok(())
}

/// Removes the temporary files that killed processes left in a folder and all below, if they were last written at least
/// `age` ago, and says how many.
///
/// Ages are taken from the file system's own clock. To be called when no process that may live writes such files there,
/// or with an age that none of them lets pass between two writes.
pub fn sweep(folder: &Path, age: Duration) -> Result<u64, VolumeError> {
    let mut folders = vec![folder.to_owned()];
    let (mut found, mut swept) = (Vec::new(), 0);
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            // Another process tidies up, too.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|e| VolumeError::io(&next, "list", e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| VolumeError::io(&next, "list", e))?;
            let kind = entry.file_type().map_err(|e| VolumeError::io(entry.path(), "open", e))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() && is_temporary(&entry.file_name()) {
                found.push(entry.path());
            }
        }
    }
    let now = if found.is_empty() { None } else { time_there(folder)? };
    for path in found {
        let written = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        let old = match (now, written) {
            (Some(now), Some(written)) => now.duration_since(written).unwrap_or_default() >= age,
            // Gone meanwhile, or no times here.
            _ => age.is_zero(),
        };
        if old {
            remove_file(&path)?;
            swept += 1;
        }
    }
    Ok(swept)
}

/// Removes what a killed process left of a file that it was writing: temporary files of this name that nobody has written
/// to for `age`.
pub(crate) fn sweep_file(path: &Path, age: Duration) -> Result<(), VolumeError> {
    let folder = parent(path);
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let mut left = if folder.is_dir() { list(folder)? } else { Vec::new() };
    left.retain(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(&start) && is_temporary(name)
    });
    let now = if left.is_empty() { None } else { time_there(folder)? };
    for path in left {
        let written = fs::metadata(&path).and_then(|metadata| metadata.modified()).ok();
        if let (Some(now), Some(written)) = (now, written)
            && now.duration_since(written).unwrap_or_default() >= age
        {
            remove_file(&path)?;
        }
    }
    Ok(())
}

/// Whether a name is that of an [`AtomicFile`] that is not complete: `.name.<process>-<count>.part`.
pub fn is_temporary(name: &OsStr) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let middle = name.to_str().and_then(|name| name.strip_prefix('.')?.strip_suffix(".part")?.rsplit_once('.'));
    middle
        .and_then(|(_, numbers)| numbers.split_once('-'))
        .is_some_and(|(process, count)| number(process) && number(count))
}

/// The time by the clock of a folder's file system, which may be another machine's.
fn time_there(folder: &Path) -> Result<Option<SystemTime>, VolumeError> {
    let file = AtomicFile::create(&folder.join("time"))?;
    Ok(fs::metadata(&file.temporary).and_then(|metadata| metadata.modified()).ok())
}

/// A file that appears under its name only when it is complete; dropped before, it leaves nothing.
#[derive(Debug)]
pub struct AtomicFile {
    path: PathBuf,
    temporary: PathBuf,
    file: Option<BufWriter<File>>,
}

impl AtomicFile {
    /// Starts a file under a temporary name. Makes the folder where it is missing.
    pub fn create(path: &Path) -> Result<Self, VolumeError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".{}-{}.part", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed)));
        let temporary = path.with_file_name(name);
        let open = || OpenOptions::new().write(true).create(true).truncate(true).open(&temporary);
        let file = match open() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                create_dir(parent(path))?;
                open()
            }
            other => other,
        };
        let file = file.map_err(|e| VolumeError::io(path, "create", e))?;
        Ok(Self { path: path.to_owned(), temporary, file: Some(BufWriter::new(file)) })
    }

    /// Flushes everything to the disk and gives the file its name, then flushes the name.
    pub fn commit(mut self) -> Result<(), VolumeError> {
        self.publish()?;
        sync_dir(parent(&self.path))
    }

    fn publish(&mut self) -> Result<(), VolumeError> {
        let io = |e| VolumeError::io(&self.path, "write", e);
        let Some(file) = self.file.take() else { return Ok(()) };
        let written = file.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        let renamed = written.and_then(|()| fs::rename(&self.temporary, &self.path));
        if renamed.is_err() {
            let _ = fs::remove_file(&self.temporary);
        }
        renamed.map_err(io)
    }

    fn inner(&mut self) -> io::Result<&mut BufWriter<File>> {
        self.file.as_mut().ok_or_else(|| io::Error::other("the file is already complete"))
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner()?.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner()?.flush()
    }
}

impl Seek for AtomicFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner()?.seek(to)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        // BufWriter answers this without flushing its buffer, unlike `seek`.
        self.inner()?.stream_position()
    }
}

impl Drop for AtomicFile {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            // `into_parts` does not write what is buffered: the file is given up.
            drop(file.into_parts());
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// The folder a file or folder lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/a.json");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(read(&path).unwrap(), b"two");
        assert_eq!(list(path.parent().unwrap()).unwrap(), [path], "no temporary file stays");
    }

    #[test]
    fn a_file_given_up_leaves_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.tif");
        write_atomic(&path, b"old").unwrap();
        let mut file = AtomicFile::create(&path).unwrap();
        file.write_all(&vec![0; 100_000]).unwrap();
        drop(file);
        assert_eq!(read(&path).unwrap(), b"old");
        assert_eq!(list(folder.path()).unwrap().len(), 1);
    }

    #[test]
    fn errors_name_the_path() {
        let error = read(Path::new("/nowhere/at/all")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/at/all: read: "), "{error}");
    }

    #[test]
    fn one_of_many_writes_a_new_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/lease");
        let won: usize = std::thread::scope(|scope| {
            let write = |n: u8| write_new(&folder.path().join("new/lease"), &[n; 10]).unwrap();
            let threads: Vec<_> = (0..8).map(|n| scope.spawn(move || usize::from(write(n)))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(won, 1);
        let bytes = read(&path).unwrap();
        assert!(bytes.len() == 10 && bytes.iter().all(|&b| b == bytes[0]));
        assert_eq!(list(path.parent().unwrap()).unwrap().len(), 1, "no temporary file stays");
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for name in ["c/0/0", "c/.hidden", "c/.a.part", "c/.a.12-x.part", "c/a.12-3.part", "c/.a.12-3.partial"] {
            write_atomic(&path(name), b"x").unwrap();
        }
        std::fs::write(path("c/.0.123-4.part"), "half").unwrap();
        assert_eq!(sweep(folder.path(), Duration::from_hours(1)).unwrap(), 0, "it may be written just now");
        assert_eq!(sweep(folder.path(), Duration::ZERO).unwrap(), 1);
        assert_eq!(list(&path("c")).unwrap().len(), 6);
        assert_eq!(sweep(&path("nowhere"), Duration::ZERO).unwrap(), 0);
    }
}
