//! HDF5, without the HDF5 library: datasets of a file `vol.h5`, addressed as `vol.h5:/group/dataset`.
//!
//! Read: superblocks 0 to 3, behind a user block too; groups of every kind; whole numbers and floating point of either
//! byte order; compact, contiguous and chunked datasets with each chunk index (version 1 and 2 B-trees, single, implicit,
//! fixed and extensible arrays); deflate, shuffle, Fletcher-32 and LZF. Chunks are looked up one by one, so that memory
//! does not grow with their number. Written: one chunked dataset, deflate, as the oldest readers take it.
//!
//! Source: <https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html> (HDF5 File Format Specification 3.0).
//! No size is believed before the file's length backs it, every walk ends (levels fall, or places are not seen twice),
//! and checksums are compared where the format has them.

mod address;
mod array;
mod attributes;
mod btree1;
mod btree2;
mod checksum;
mod chunks;
mod dataset;
mod encode;
mod filters;
mod group;
mod heap;
mod messages;
mod object;
mod source;
mod write;

pub(crate) use address::Address;
pub(crate) use dataset::open;
pub(crate) use group::holds_others;
pub use write::Hdf5Writer;
