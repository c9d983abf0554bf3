//! Small files beside a volume, by which several programs agree on who does what.

mod local;
#[cfg(feature = "cloud")]
mod object;

use std::fmt;
use std::path::Path;

use crate::files::{Address, check_key};
use crate::{Place, VolumeError};

/// A note larger than this is refused: notes are read whole.
pub const LARGEST_NOTE: u64 = 16 << 20;

/// Small files in a folder, or below a prefix of object storage (`s3://bucket/run/notes`), written and replaced by any number
/// of programs at once: leases, lists of what is done.
///
/// Each call is whole or not at all, and what it returned is on the disk. Of several programs that create one note, or
/// replace one version of it, exactly one succeeds. On object storage this rests on conditional requests, which S3,
/// Google Cloud Storage, Azure and MinIO answer. In a folder it rests on links and file locks, which all local file systems,
/// NFS 4, and Lustre mounted with `flock` keep.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let folder = tempfile::tempdir()?;
/// let notes = deep3m_volume::Notes::at(&folder.path().join("leases"))?;
/// assert!(notes.create_new("block-7", b"worker 1, 12:00")?);
/// assert!(!notes.create_new("block-7", b"worker 2, 12:01")?, "taken");
/// let lease = notes.read("block-7")?.ok_or("gone")?;
/// assert!(notes.replace_if("block-7", &lease.version, b"worker 1, 12:05")?);
/// assert!(!notes.replace_if("block-7", &lease.version, b"worker 2, 12:06")?, "it is another version now");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Notes {
    store: Box<dyn Store>,
}

/// A note as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub bytes: Vec<u8>,
    /// Which version that is, to replace it only if it is still the same.
    pub version: Version,
}

/// A version of a note.
///
/// S3 knows versions by their content: a note that is changed and changed back is the same version again. Write something
/// new each time, a count or the time.
#[derive(Clone, PartialEq, Eq)]
pub struct Version(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    /// Notes are small: a local one is known by all it says.
    Bytes(Vec<u8>),
    #[cfg(feature = "cloud")]
    Object { tag: Option<String>, number: Option<String> },
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Bytes(bytes) => write!(f, "Version({} bytes)", bytes.len()),
            #[cfg(feature = "cloud")]
            Kind::Object { tag, number } => write!(f, "Version({tag:?}, {number:?})"),
        }
    }
}

/// What a place for notes does.
trait Store: Send + Sync + fmt::Debug {
    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError>;
    fn list(&self) -> Result<Vec<String>, VolumeError>;
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError>;
    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError>;
    fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError>;
    fn remove(&self, name: &str) -> Result<(), VolumeError>;
}

impl Notes {
    /// The notes in a folder, which need not exist, or below an address of object storage. Makes nothing yet.
    ///
    /// # Errors
    /// [`VolumeError::Unsupported`] for an address that cannot be written to.
    pub fn at(path: &Path) -> Result<Self, VolumeError> {
        let store: Box<dyn Store> = match Address::parse(path)? {
            Some(address) => remote(&address)?,
            None => Box::new(local::Folder::new(path)),
        };
        Ok(Self { store })
    }

    /// A note, if there is one.
    pub fn read(&self, name: &str) -> Result<Option<Note>, VolumeError> {
        check_name(name)?;
        self.store.read(name)
    }

    /// The names of all notes, sorted.
    pub fn list(&self) -> Result<Vec<String>, VolumeError> {
        self.store.list()
    }

    /// Writes a note, whatever was there.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
        check(name, bytes)?;
        self.store.write(name, bytes)
    }

    /// Writes a note where there is none; false where there is one.
    pub fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError> {
        check(name, bytes)?;
        self.store.create_new(name, bytes)
    }

    /// Replaces a note that is still as it was read; false where it is another by now, or gone.
    pub fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError> {
        check(name, bytes)?;
        self.store.replace_if(name, old, bytes)
    }

    /// Removes a note, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), VolumeError> {
        check_name(name)?;
        self.store.remove(name)
    }
}

#[cfg(feature = "cloud")]
fn remote(address: &Address) -> Result<Box<dyn Store>, VolumeError> {
    Ok(Box::new(object::Prefix::open(address)?))
}

#[cfg(not(feature = "cloud"))]
fn remote(address: &Address) -> Result<Box<dyn Store>, VolumeError> {
    Err(address.without_cloud())
}

fn check_name(name: &str) -> Result<(), VolumeError> {
    check_key(Path::new("notes"), name)?;
    if name.contains('/') || name.starts_with('.') {
        let found = format!("the name {name:?}");
        return Err(VolumeError::malformed(Place::file("notes"), found, "a name without '/' and without '.' in front"));
    }
    Ok(())
}

fn check(name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
    check_name(name)?;
    if bytes.len() as u64 > LARGEST_NOTE {
        let found = format!("{} bytes", bytes.len());
        return Err(VolumeError::malformed(Place::file(name), found, format!("at most {LARGEST_NOTE}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    pub(super) fn a_note_is_created_once(notes: &Notes) {
        for round in 0..10 {
            let winners = AtomicUsize::new(0);
            let name = format!("lease-{round}");
            std::thread::scope(|scope| {
                for worker in 0..8 {
                    let (winners, name) = (&winners, &name);
                    scope.spawn(move || {
                        if notes.create_new(name, format!("worker {worker}").as_bytes()).unwrap() {
                            winners.fetch_add(1, Ordering::Relaxed);
                            let note = notes.read(name).unwrap().unwrap();
                            assert_eq!(note.bytes, format!("worker {worker}").as_bytes(), "whole, and the winner's");
                        }
                    });
                }
            });
            assert_eq!(winners.into_inner(), 1, "{name}");
        }
        assert_eq!(notes.list().unwrap().len(), 10, "{:?}", notes.list());
    }

    /// Every increment counts: none is made on a version that is another by then.
    pub(super) fn no_replacement_is_lost(notes: &Notes) {
        notes.write("count", b"0").unwrap();
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    for _ in 0..20 {
                        loop {
                            let note = notes.read("count").unwrap().unwrap();
                            let count: u32 = std::str::from_utf8(&note.bytes).unwrap().parse().unwrap();
                            if notes.replace_if("count", &note.version, (count + 1).to_string().as_bytes()).unwrap() {
                                break;
                            }
                        }
                    }
                });
            }
        });
        assert_eq!(notes.read("count").unwrap().unwrap().bytes, b"120");
    }

    pub(super) fn what_is_noted_is_there(notes: &Notes) {
        assert!(notes.read("a").unwrap().is_none() && notes.list().unwrap().is_empty());
        notes.remove("a").unwrap();
        notes.write("b", b"1").unwrap();
        notes.write("a", b"2").unwrap();
        notes.write("b", b"3").unwrap();
        assert_eq!(notes.list().unwrap(), ["a", "b"]);
        let old = notes.read("b").unwrap().unwrap();
        assert_eq!(old.bytes, b"3");
        assert!(!notes.create_new("b", b"4").unwrap() && notes.create_new("c", b"").unwrap());
        assert!(notes.replace_if("b", &old.version, b"5").unwrap());
        assert!(!notes.replace_if("b", &old.version, b"6").unwrap());
        let gone = notes.read("b").unwrap().unwrap();
        notes.remove("b").unwrap();
        assert!(!notes.replace_if("b", &gone.version, b"7").unwrap() && notes.read("b").unwrap().is_none());
        assert_eq!(notes.list().unwrap(), ["a", "c"]);
        for name in ["", "..", "a/b", ".hidden", "/a"] {
            assert!(notes.read(name).is_err() && notes.write(name, b"").is_err(), "{name}");
            assert!(notes.create_new(name, b"").is_err() && notes.remove(name).is_err(), "{name}");
        }
    }
}
