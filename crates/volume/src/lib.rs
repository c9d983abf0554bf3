//! Volumes of microscope images: open any region of a stack on disk, write a stack block by block.
//!
//! Everything is in (z, y, x) order: `z` counts sections (frames), `y` rows, `x` columns. A volume is never held whole:
//! [`Volume::read`] returns the voxels of a [`Region`], [`VolumeWriter::write`] takes a [`Block`].
//!
//! [`open()`] chooses the format from the address, [`create()`] from the ending of the output's name.
//!
//! | format | address | read | written |
//! |---|---|---|---|
//! | OME-Zarr | folder `….zarr` | 0.3 to 0.5, also sharded; plain Zarr arrays; every type | 0.5, zstd |
//! | TIFF stack | `….tif`, `….tiff` | pages, ImageJ, OME-TIFF, BigTIFF; strips and tiles; 1 to 32 bits, also signed and floating point | as Fiji does, Deflate |
//! | PNG slices | folder | grey or palette, 1 to 16 bits | 8, 16 bits |
//! | TIFF slices | folder | as a stack | as a stack ([`create_as`]) |
//!
//! An open volume keeps decoded pieces, at most [`OpenOptions::cache_bytes`] for all threads together (256 MiB unless
//! set): many small reads of the same sections decode each section once.

mod binning;
mod cache;
pub mod conformance;
mod cropped;
mod error;
pub mod formats;
pub mod fs;
mod greys;
mod labels;
pub mod memory;
mod open;
mod region;
mod sized;
mod variation;
mod volume;
mod voxel;

pub use binning::Binning;
pub use cropped::crop;
pub use error::{Place, VolumeError};
pub use greys::Greys;
pub use labels::{as_labels, as_probabilities};
pub use open::{Format, OpenOptions, create, create_as, open, open_with, reopen};
pub use region::{Extent, Index, Region, RegionParseError};
pub use sized::with_voxel_size;
pub use variation::Variation;
pub use volume::{Block, Volume, VolumeInfo, VolumeSpec, VolumeWriter, copy};
pub use voxel::{VoxelSize, VoxelType, Voxels};
