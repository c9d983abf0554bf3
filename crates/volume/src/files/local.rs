//! Files below a local folder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::{Files, check_key, too_long, too_short};
use crate::{Place, VolumeError, fs};

/// The files below a folder, which need not exist before the first is written.
#[derive(Clone, Debug)]
pub(crate) struct LocalFiles {
    /// The folder.
    pub(crate) folder: PathBuf,
}

impl LocalFiles {
    fn path(&self, key: &str) -> Result<PathBuf, VolumeError> {
        check_key(&self.folder, key)?;
        Ok(self.folder.join(key))
    }

    /// The open file and its length.
    fn open(&self, key: &str) -> Result<Option<(PathBuf, File, u64)>, VolumeError> {
        let path = self.path(key)?;
        let opened = File::open(&path).and_then(|file| {
            let metadata = file.metadata()?;
            // A folder can be opened, and would only fail to be read.
            Ok(metadata.is_file().then_some((file, metadata.len())))
        });
        match opened {
            Ok(found) => Ok(found.map(|(file, length)| (path, file, length))),
            Err(e) if is_absent(&e) => Ok(None),
            Err(e) => Err(VolumeError::io(path, "open", e)),
        }
    }

    /// Makes the names of new files last through a power cut, with those of the folders they lie in.
    fn sync(&self, keys: &[(String, Vec<u8>)]) -> Result<(), VolumeError> {
        let parents = keys.iter().flat_map(|(key, _)| Path::new(key).ancestors().skip(1));
        // The innermost first; the first flush does the work for nearly all.
        for folder in parents.collect::<BTreeSet<_>>().into_iter().rev() {
            fs::sync_dir(&self.folder.join(folder))?;
        }
        Ok(())
    }
}

/// Whether nothing lies there: also where a name on the way is a file's.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

impl Files for LocalFiles {
    fn address(&self, key: &str) -> PathBuf {
        if key.is_empty() { self.folder.clone() } else { self.folder.join(key) }
    }

    fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some((path, file, length)) = self.open(key)? else { return Ok(None) };
        if length > most {
            return Err(too_long(path, length, most));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        // It may grow while it is read.
        file.take(length).read_to_end(&mut bytes).map_err(|e| VolumeError::io(path, "read", e))?;
        Ok(Some(bytes))
    }

    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some((path, file, length)) = self.open(key)? else { return Ok(None) };
        if start.checked_add(len).is_none_or(|end| end > length) {
            return Err(too_short(path, length, start, len));
        }
        let mut bytes = vec![0; len as usize];
        fs::read_at(&file, start, &mut bytes).map_err(|e| VolumeError::io(path, "read", e))?;
        Ok(Some(bytes))
    }

    fn size(&self, key: &str) -> Result<Option<u64>, VolumeError> {
        Ok(self.open(key)?.map(|(_, _, length)| length))
    }

    fn put(&self, files: &[(String, Vec<u8>)]) -> Result<(), VolumeError> {
        let mut pieces = Vec::with_capacity(files.len());
        for (key, bytes) in files {
            pieces.push((self.path(key)?, bytes));
        }
        if pieces.is_empty() {
            return Ok(());
        }
        if !self.folder.is_dir() {
            fs::create_dir(&self.folder)?;
            fs::sync_dir(fs::parent(&self.folder))?;
        }
        fs::write_pieces(&pieces)?;
        self.sync(files)
    }

    fn remove(&self, key: &str) -> Result<(), VolumeError> {
        let path = self.path(key)?;
        match fs::remove_file(&path) {
            Err(VolumeError::Io { source, .. }) if is_absent(&source) => Ok(()),
            other => other,
        }
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, VolumeError> {
        let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
        let folder = if prefix.is_empty() { self.folder.clone() } else { self.path(prefix)? };
        let paths = match fs::list(&folder) {
            Err(VolumeError::Io { source, .. }) if is_absent(&source) => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = Vec::with_capacity(paths.len());
        for path in paths {
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
                let place = Place::file(&path);
                return Err(VolumeError::malformed(place, "a name that is not UTF-8", "a volume's file or folder"));
            };
            names.push(if path.is_dir() { format!("{name}/") } else { name.to_owned() });
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, LocalFiles) {
        let folder = tempfile::tempdir().unwrap();
        let files = LocalFiles { folder: folder.path().join("new/vol.zarr") };
        (folder, files)
    }

    fn put(files: &LocalFiles, key: &str, bytes: &[u8]) {
        files.put(&[(key.into(), bytes.to_vec())]).unwrap();
    }

    #[test]
    fn what_is_put_is_there() {
        let (_folder, files) = files();
        assert_eq!(files.get("0/c/0", 10).unwrap(), None);
        assert_eq!(files.get_range("0/c/0", 0, 1).unwrap(), None);
        assert_eq!(files.size("0/c/0").unwrap(), None);
        assert!(files.list("").unwrap().is_empty() && files.list("0/c").unwrap().is_empty());
        let many: Vec<_> = (0..300_u32).map(|i| (format!("0/c/{i}"), i.to_le_bytes().to_vec())).collect();
        files.put(&many).unwrap();
        put(&files, "zarr.json", b"{}");
        put(&files, "0/c/7", b"other");
        assert_eq!(files.get("0/c/7", 10).unwrap().unwrap(), b"other");
        assert_eq!(files.get("0/c/299", 4).unwrap().unwrap(), 299_u32.to_le_bytes());
        assert_eq!(files.get_range("0/c/7", 1, 3).unwrap().unwrap(), b"the");
        assert_eq!(files.size("zarr.json").unwrap(), Some(2));
        assert_eq!(files.list("").unwrap(), ["0/", "zarr.json"]);
        assert_eq!(files.list("0/").unwrap(), ["c/"]);
        assert_eq!(files.list("0/c").unwrap().len(), 300, "no temporary file stays");
        files.remove("0/c/7").unwrap();
        files.remove("0/c/7").unwrap();
        assert_eq!(files.get("0/c/7", 10).unwrap(), None);
        // A folder is no file, and below a file lies nothing.
        assert_eq!(files.get("0/c", 10).unwrap(), None);
        assert_eq!(files.get("zarr.json/x", 10).unwrap(), None);
        files.remove("zarr.json/x").unwrap();
    }

    #[test]
    fn no_more_is_read_than_may_be() {
        let (_folder, files) = files();
        put(&files, "chunk", &[7; 100]);
        let error = files.get("chunk", 99).unwrap_err().to_string();
        assert!(error.contains("vol.zarr/chunk: ") && error.contains("100 bytes; expected at most 99"), "{error}");
        assert_eq!(files.get("chunk", 100).unwrap().unwrap(), [7; 100]);
        assert_eq!(files.get_range("chunk", 100, 0).unwrap().unwrap(), Vec::<u8>::new());
        for (start, len) in [(0, 101), (101, 0), (u64::MAX, 2), (1, u64::MAX), (0, 1 << 60)] {
            let error = files.get_range("chunk", start, len).unwrap_err().to_string();
            assert!(error.contains("100 bytes") && error.contains("vol.zarr/chunk: "), "{error}");
        }
    }

    #[test]
    fn nothing_outside_is_touched() {
        let (folder, files) = files();
        put(&files, "inside", b"1");
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        for key in ["../../secret", "/etc/hostname", ""] {
            assert!(files.get(key, 1 << 20).is_err(), "{key}");
            assert!(files.put(&[("fine".into(), vec![1]), (key.into(), vec![1])]).is_err(), "{key}");
            assert!(files.remove(key).is_err() && files.size(key).is_err(), "{key}");
        }
        assert!(files.list("..").is_err() && files.list("/").is_ok());
        assert_eq!(files.list("").unwrap(), ["inside"], "nothing of a batch with a bad name is written");
        assert_eq!(std::fs::read(folder.path().join("secret")).unwrap(), b"x");
    }
}
