//! OME-Zarr 0.5: a Zarr v3 group whose attributes say which arrays are its resolution levels, and their voxel size.
//!
//! The specification: <https://ngff.openmicroscopy.org/0.5/>. Read: the first level of the first multiscale image, of
//! any chunking and sharding; OME-Zarr 0.3 and 0.4, which are Zarr v2; plain arrays of three dimensions too. Written: one level, chunks compressed with
//! zstd; a chunk that was never written reads as 0.

mod metadata;
mod new;
mod node;
mod read;
mod store;
mod write;

pub(crate) use node::is_zarr;
pub(crate) use read::open;
pub use write::ZarrWriter;
