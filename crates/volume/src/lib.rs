//! Volumes of microscope images: open any region of a stack on disk, write a stack block by block.
//!
//! Everything is in (z, y, x) order: `z` counts sections (frames), `y` rows, `x` columns. A volume is never held whole:
//! [`Volume::read`] returns the voxels of a [`Region`], [`VolumeWriter::write`] takes a [`Block`].
//!
//! [`open()`] chooses the format from the address, [`create()`] from the ending of the output's name.

mod binning;
mod cache;
pub mod conformance;
mod cropped;
mod error;
pub mod formats;
pub mod fs;
mod histogram;
mod open;
mod region;
mod variation;
mod volume;
mod voxel;

pub use binning::Binning;
pub use cropped::crop;
pub use error::{Place, VolumeError};
pub use histogram::{Histogram, MOST_VALUES};
pub use open::{Format, OpenOptions, create, create_as, open, open_with, reopen};
pub use region::{Extent, Index, Region, RegionParseError};
pub use variation::Variation;
pub use volume::{Block, Volume, VolumeInfo, VolumeSpec, VolumeWriter, copy};
pub use voxel::{VoxelSize, VoxelType, Voxels};
