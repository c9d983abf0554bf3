//! Small files beside a volume, by which several programs agree on who does what.

pub(crate) mod conformance;
mod local;
#[cfg(feature = "cloud")]
mod object;

use std::fmt;
use std::path::{Path, PathBuf};

use crate::files::{Address, below, check_key};
use crate::{Place, VolumeError};

/// A note larger than this is refused: notes are read whole.
pub const LARGEST_NOTE: u64 = 16 << 20;

/// Small files in a folder, or below a prefix of object storage (`s3://bucket/run/notes`), written and replaced by any number
/// of programs at once: leases, lists of what is done.
///
/// Names are relative, with `/` between folders. Threads and programs may call all of it at once: a note is read as one of
/// them wrote it, never a part of it. Of several that create one note, or replace one version of it, one succeeds. On object storage this rests on conditional requests, which S3,
/// Google Cloud Storage, Azure and MinIO answer. In a folder it rests on links and file locks, which all local file systems,
/// NFS 4, and Lustre mounted with `flock` keep. What was created or replaced there may be gone after a power cut, what was
/// written is not.
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
    fn address(&self, name: &str) -> PathBuf;
    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError>;
    /// All names directly in a folder, those of folders with `/` at the end.
    fn list(&self, folder: &str) -> Result<Vec<String>, VolumeError>;
    fn is_empty(&self) -> Result<bool, VolumeError>;
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError>;
    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError>;
    fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError>;
    fn remove(&self, name: &str) -> Result<(), VolumeError>;
    fn remove_folder(&self, folder: &str) -> Result<(), VolumeError>;
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

    /// A name as errors show it.
    pub fn address(&self, name: &str) -> PathBuf {
        self.store.address(name)
    }

    /// A note, if there is one.
    pub fn read(&self, name: &str) -> Result<Option<Note>, VolumeError> {
        check_name(name)?;
        self.store.read(name)
    }

    /// The names of the notes directly in a folder, sorted, with the folder before each; the empty name is the place itself.
    pub fn list(&self, folder: &str) -> Result<Vec<String>, VolumeError> {
        if !folder.is_empty() {
            check_name(folder)?;
        }
        let names = self.store.list(folder)?.into_iter();
        Ok(names
            .filter(|name| !name.starts_with('.') && !name.ends_with('/'))
            .map(|name| below(folder, &name))
            .collect())
    }

    /// Whether nothing lies at the place, whatever it is; what killed processes left of files is nothing.
    pub fn is_empty(&self) -> Result<bool, VolumeError> {
        self.store.is_empty()
    }

    /// Writes a note, whatever was there; it lasts through a power cut.
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError> {
        check(name, bytes)?;
        self.store.write(name, bytes)
    }

    /// Writes a note where there is none, and says true for exactly one of those that try at the same time.
    pub fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError> {
        check(name, bytes)?;
        self.store.create_new(name, bytes)
    }

    /// Replaces a note that is still as it was read, and says true for at most one of those that read it.
    pub fn replace_if(&self, name: &str, old: &Version, bytes: &[u8]) -> Result<bool, VolumeError> {
        check(name, bytes)?;
        self.store.replace_if(name, old, bytes)
    }

    /// Removes a note, if it is there.
    pub fn remove(&self, name: &str) -> Result<(), VolumeError> {
        check_name(name)?;
        self.store.remove(name)
    }

    /// Removes all that lies below a folder, if there is such a folder.
    pub fn remove_folder(&self, folder: &str) -> Result<(), VolumeError> {
        check_name(folder)?;
        self.store.remove_folder(folder)
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
    if name.split('/').any(|part| part.starts_with('.')) {
        let found = format!("the name {name:?}");
        return Err(VolumeError::malformed(Place::file("notes"), found, "a name without '.' in front"));
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
