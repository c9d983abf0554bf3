//! What can go wrong with a volume, with the place and what was expected.

use std::fmt;
use std::path::PathBuf;

use crate::{Extent, Region, VoxelType};

/// Where in a volume something was met.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The file or folder.
    pub path: PathBuf,
    /// The section, page or chunk, in words ("page 12", "chunk 0/3/4"); empty where it is the whole file.
    pub part: String,
}

impl Place {
    /// A whole file.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), part: String::new() }
    }

    /// A part of a file.
    pub fn part(path: impl Into<PathBuf>, part: impl Into<String>) -> Self {
        Self { path: path.into(), part: part.into() }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        if !self.part.is_empty() {
            write!(f, ", {}", self.part)?;
        }
        Ok(())
    }
}

/// Why a volume could not be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// The operating system refused: missing file, rights, full disk.
    #[error("{place}: {action}: {source}")]
    Io {
        /// Where.
        place: Place,
        /// What was tried ("open", "write").
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what its name says, is cut short, or contradicts itself.
    #[error("{place}: damaged or not the expected format: found {found}; expected {expected}")]
    Malformed {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
        /// What should be there.
        expected: String,
    },
    /// A sound file that Deep3M does not read: colour, floating point, an unknown codec.
    #[error("{place}: not supported: found {found}; expected {expected}. {hint}")]
    Unsupported {
        /// Where.
        place: Place,
        /// What is there.
        found: String,
        /// What can be read.
        expected: String,
        /// What to do about it.
        hint: String,
    },
    /// A folder without a slice that could be read.
    #[error("{place}: no image slices found; expected files ending in .png, .tif or .tiff")]
    NoSlices {
        /// The folder.
        place: Place,
    },
    /// A slice of another size or type than the first of its folder or stack.
    #[error(
        "{place}: found {found}; expected {expected}, as in {first}. All slices of a volume have one size and bit depth"
    )]
    SliceDiffers {
        /// The slice.
        place: Place,
        /// Its size and type.
        found: String,
        /// The first slice's.
        expected: String,
        /// The first slice.
        first: Place,
    },
    /// A region that sticks out of its volume.
    #[error("{place}: region {region} is outside the volume of {extent}")]
    OutOfBounds {
        /// The volume.
        place: Place,
        /// What was asked for.
        region: Region,
        /// The volume's size.
        extent: Extent,
    },
    /// A block for a writer that cuts a grain or comes out of order.
    #[error("{place}: block {region} does not cover whole pieces of {grain}, or comes out of order")]
    Unaligned {
        /// The volume.
        place: Place,
        /// The block.
        region: Region,
        /// The smallest piece that can be written.
        grain: Extent,
    },
    /// A block of another voxel type than its volume.
    #[error("{place}: {found} voxels given, the volume has {expected}")]
    WrongType {
        /// The volume.
        place: Place,
        /// The block's.
        found: VoxelType,
        /// The volume's.
        expected: VoxelType,
    },
    /// Something is already there.
    #[error("{place}: already exists; choose another name, or give --overwrite to replace it")]
    Exists {
        /// What is in the way.
        place: Place,
    },
    /// A size that this machine cannot hold at once.
    #[error("{place}: {region} needs more memory than can be addressed")]
    TooLarge {
        /// The volume.
        place: Place,
        /// What was asked for.
        region: Region,
    },
}

impl VolumeError {
    /// An error of the operating system at a file.
    pub fn io(path: impl Into<PathBuf>, action: &'static str, source: std::io::Error) -> Self {
        Self::Io { place: Place::file(path), action, source }
    }

    /// A damaged file.
    pub fn malformed(place: Place, found: impl Into<String>, expected: impl Into<String>) -> Self {
        Self::Malformed { place, found: found.into(), expected: expected.into() }
    }
}
