//! OME-Zarr 0.5: a Zarr v3 group whose attributes say which arrays are its resolution levels, and their voxel size.
//!
//! The specification: <https://ngff.openmicroscopy.org/0.5/>. Read: the first level of the first multiscale image, of
//! any chunking and sharding; OME-Zarr 0.3 and 0.4, which are Zarr v2; plain arrays of three dimensions too. Written: any
//! levels, of chunks or shards compressed with zstd, or as OME-Zarr 0.4; a chunk that was never written reads as 0.

mod bounded;
mod metadata;
mod new;
mod node;
mod read;
mod store;
mod write;

use crate::Extent;

pub(crate) use node::{is_zarr, levels};
pub(crate) use read::{open, open_level};
pub use write::ZarrWriter;

/// How a new OME-Zarr volume lies in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZarrLayout {
    /// The version of Zarr.
    pub version: ZarrVersion,
    /// Wanted size of a shard: a file of many chunks, which is written at once and read chunk by chunk. Of Zarr v3 only;
    /// it becomes a whole number of chunks.
    pub shard: Option<Extent>,
}

/// The version of Zarr, and with it that of OME-Zarr.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ZarrVersion {
    /// Zarr v3: OME-Zarr 0.5.
    #[default]
    V3,
    /// Zarr v2: OME-Zarr 0.4, which older programs read.
    V2,
}
