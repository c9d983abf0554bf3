//! Volumes of microscope images: open any region of a stack on disk, write a stack block by block.
//!
//! Everything is in (z, y, x) order: `z` counts sections (frames), `y` rows, `x` columns. A volume is never held whole:
//! [`Volume::read`] returns the voxels of a [`Region`], [`VolumeWriter::write`] takes a [`Block`].
//!
//! [`open()`] chooses the format from the address, [`create()`] from the ending of the output's name.
//!
//! | format | address | read | written |
//! |---|---|---|---|
//! | OME-Zarr | folder `….zarr` | 0.3 to 0.5, also sharded; plain Zarr arrays; every type | 0.5 (zstd, also sharded), 0.4 (Blosc) |
//! | TIFF stack | `….tif`, `….tiff` | pages, ImageJ, OME-TIFF, BigTIFF; strips and tiles; 1 to 32 bits, also signed and floating point | as Fiji does, Deflate |
//! | Neuroglancer precomputed | folder with `info` or `….precomputed`; `precomputed://PATH` | raw and compressed_segmentation, also sharded; 64-bit labels that fit 32 | raw; labels as compressed_segmentation |
//! | HDF5 | `….h5:/dataset`, `….hdf5`, `….hdf` | chunked, contiguous, compact; deflate, LZF, shuffle; whole numbers, floating point | chunked, deflate; voxel size for Fiji and CREMI's tools |
//! | MRC | `….mrc`, `….rec`, `….st`, `….map`, `….ali` | modes 0, 1, 2, 6, 12; either byte order | modes 1, 2, 6 (8-bit voxels as 16-bit ones) |
//! | PNG slices | folder | grey or palette, 1 to 16 bits | 8, 16 bits |
//! | TIFF slices | folder | as a stack | as a stack ([`create_as`]) |
//!
//! OME-Zarr and precomputed volumes may lie in object storage: `s3://bucket/vol.zarr`, `gs://`, `az://`, `abfs://`, and to read
//! at `http(s)://` (feature `cloud`, on by default). [`Notes`] are small files there or in a folder, for programs that share work.
//!
//! An open volume keeps decoded pieces, at most [`OpenOptions::cache_bytes`] for all threads together (256 MiB unless
//! set): many small reads of the same sections decode each section once.

mod address;
mod binning;
mod cache;
pub mod conformance;
pub mod convert;
mod cropped;
mod error;
mod files;
pub mod formats;
pub mod fs;
mod greys;
mod in_memory;
mod labels;
pub mod memory;
mod notes;
mod open;
pub mod pyramid;
mod region;
mod sized;
mod variation;
mod volume;
mod voxel;

pub use address::{absolute, same_place, same_volume};
pub use binning::Binning;
pub use cropped::crop;
pub use error::{Place, VolumeError};
pub use formats::ome_zarr::{ZarrLayout, ZarrVersion};
pub use greys::Greys;
pub use in_memory::InMemory;
pub use labels::{as_labels, as_probabilities};
pub use notes::{LARGEST_NOTE, Note, Notes, Version};
pub use open::{Format, OpenOptions, create, create_as, is_remote, open, open_with, remove_folder_volume, reopen};
pub use region::{Extent, Index, Region, RegionParseError};
pub use sized::with_voxel_size;
pub use variation::Variation;
pub use volume::{Block, Volume, VolumeInfo, VolumeSpec, VolumeWriter, copy};
pub use voxel::{VoxelSize, VoxelType, Voxels};
