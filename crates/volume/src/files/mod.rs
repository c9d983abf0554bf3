//! The files of a chunked volume, wherever they lie: what a format needs of them, and no more.

mod address;
mod local;
#[cfg(feature = "cloud")]
pub(crate) mod object;

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::{Place, VolumeError};

pub(crate) use address::Address;
pub(crate) use local::LocalFiles;

/// Metadata larger than this are refused: they are read whole.
pub(crate) const LARGEST_METADATA: u64 = 64 << 20;

/// Where a chunked volume's files lie: below a local folder, or below a prefix of an object store. Keys are relative, with `/` between names, and never lead outside
/// ([`check_key`]: no empty, `.` or `..` parts, no leading `/`, no backslash, no NUL).
///
/// Threads may call all of it at once.
pub(crate) trait Files: Send + Sync + std::fmt::Debug {
    /// A key as errors name it: the path of the file, or the object's address. The empty key is the volume's own address.
    fn address(&self, key: &str) -> PathBuf;
    /// The whole file; `None` where there is none. [`VolumeError::Malformed`] where it is larger than `most` bytes.
    fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, VolumeError>;
    /// `len` bytes from `start`; `None` where there is no file; an error where the file ends before.
    fn get_range(&self, key: &str, start: u64, len: u64) -> Result<Option<Vec<u8>>, VolumeError>;
    /// The length in bytes; `None` where there is no file.
    fn size(&self, key: &str) -> Result<Option<u64>, VolumeError>;
    /// Writes files, each whole or not at all (rename; a single put), all on the disk when this returns.
    fn put(&self, files: &[(String, Vec<u8>)]) -> Result<(), VolumeError>;
    /// Removes a file, if it is there.
    fn remove(&self, key: &str) -> Result<(), VolumeError>;
    /// Removes files that are there, several at once where each takes long.
    fn remove_many(&self, keys: &[String]) -> Result<(), VolumeError> {
        keys.iter().try_for_each(|key| self.remove(key))
    }
    /// The names directly below a prefix (folders end in `/`), sorted. The empty prefix is the volume's own folder; one
    /// where nothing lies has no names.
    fn list(&self, prefix: &str) -> Result<Vec<String>, VolumeError>;
}

/// The files of the volume at a path or an address with a scheme (`s3://bucket/vol.zarr`).
pub(crate) fn at(path: &Path) -> Result<Arc<dyn Files>, VolumeError> {
    Ok(match remote(path)? {
        Some(files) => files,
        None => Arc::new(LocalFiles { folder: path.to_owned() }),
    })
}

/// The files behind an address with a scheme; `None` for a path on this machine.
pub(crate) fn remote(path: &Path) -> Result<Option<Arc<dyn Files>>, VolumeError> {
    Address::parse(path)?.map(|address| open_remote(&address)).transpose()
}

#[cfg(feature = "cloud")]
fn open_remote(address: &Address) -> Result<Arc<dyn Files>, VolumeError> {
    Ok(Arc::new(object::ObjectFiles::open(address)?))
}

#[cfg(not(feature = "cloud"))]
fn open_remote(address: &Address) -> Result<Arc<dyn Files>, VolumeError> {
    Err(address.without_cloud())
}

/// The key of a name below another key; the empty key is the volume's own folder.
pub(crate) fn below(key: &str, name: &str) -> String {
    if key.is_empty() { name.to_owned() } else { format!("{key}/{name}") }
}

/// Whether a key stays below the folder or prefix at `root`.
///
/// # Errors
/// [`VolumeError::Malformed`] with the key: keys come from metadata, which anyone may have written.
pub(crate) fn check_key(root: &Path, key: &str) -> Result<(), VolumeError> {
    let plain = |part: &str| {
        !matches!(part, "" | "." | "..")
            && !part.contains(['\\', '\0'])
            // On Windows `c:` leads to another drive.
            && Path::new(part).components().all(|c| matches!(c, Component::Normal(_)))
    };
    if key.split('/').all(plain) {
        return Ok(());
    }
    let shown: String = key.chars().take(80).collect();
    Err(VolumeError::malformed(Place::file(root), format!("the name {shown:?}"), "the name of a file inside"))
}

/// A number that nobody can tell: hash maps are seeded by the system.
pub(crate) fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// A name that no other call on any machine has.
pub(crate) fn unlikely() -> String {
    format!("{:x}-{:016x}{:016x}", std::process::id(), random(), random())
}

/// The error for a file that is larger than anything it could be.
fn too_long(place: PathBuf, found: u64, most: u64) -> VolumeError {
    VolumeError::malformed(Place::file(place), format!("{found} bytes"), format!("at most {most}"))
}

/// The error for a file that ends before what was to be read of it.
fn too_short(place: PathBuf, found: u64, start: u64, len: u64) -> VolumeError {
    let found = format!("{found} bytes, fewer than its index or shape says");
    VolumeError::malformed(Place::file(place), found, format!("at least {}", start.saturating_add(len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_stay_inside() {
        let root = Path::new("vol.zarr");
        for key in ["zarr.json", "0/c/0/1/2", ".zattrs", "0-64_0-64_0-16", "a b/ä"] {
            check_key(root, key).unwrap();
        }
        for key in ["", "/", "/etc/passwd", "a//b", "a/", "..", "a/../b", "./a", "a/.", "a\\b", "a\0", "..\\a"] {
            let error = check_key(root, key).unwrap_err().to_string();
            assert!(error.starts_with("vol.zarr: ") && error.contains("name"), "{key:?}: {error}");
        }
    }
}
