//! Notes: the small files beside an output that several processes read and write at once.
//!
//! They say which run an output belongs to, who computes what, and what is done. [`Notes`] is all that this takes of a
//! place to keep them; it is little enough for a folder, a network file system or an object store (`create_new` is a
//! put that fails where something is, `replace_if` one that fails where something else is).

#[cfg(test)]
mod conformance;
mod local;

use std::path::PathBuf;

use deep3m_volume::VolumeError;

pub use local::LocalNotes;

/// What tells a note from the one before it under its name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(pub Vec<u8>);

/// A note as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// What it says.
    pub bytes: Vec<u8>,
    /// What [`Notes::replace_if`] asks for.
    pub version: Version,
}

/// Where notes are kept. Names are relative, with `/` between folders.
///
/// Threads and processes may call all of it at once: a note is read as one of them wrote it, never a part of it.
pub trait Notes: Send + Sync {
    /// A name as errors show it.
    fn address(&self, name: &str) -> PathBuf;

    /// A note; `None` where there is none.
    fn read(&self, name: &str) -> Result<Option<Note>, VolumeError>;

    /// The names directly in a folder of notes, sorted, with the folder before each; none where there is no such
    /// folder.
    fn list(&self, folder: &str) -> Result<Vec<String>, VolumeError>;

    /// Writes a note, whatever was there; it lasts through a power cut.
    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), VolumeError>;

    /// Writes a note where there is none: true for exactly one of those that try at the same time.
    fn create_new(&self, name: &str, bytes: &[u8]) -> Result<bool, VolumeError>;

    /// Writes a note where the one that was read still is: true for at most one of those that read it.
    fn replace_if(&self, name: &str, version: &Version, bytes: &[u8]) -> Result<bool, VolumeError>;

    /// Removes a note, if it is there.
    fn remove(&self, name: &str) -> Result<(), VolumeError>;
}
