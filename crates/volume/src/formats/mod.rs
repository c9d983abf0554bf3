//! The formats behind [`crate::open()`] and [`crate::create()`], a folder or file each.

mod checks;
pub mod hdf5;
mod linear;
pub mod mrc;
pub mod ome_zarr;
mod pieces;
pub(crate) mod precomputed;
pub mod slices;
mod stored;
pub mod tiff;
