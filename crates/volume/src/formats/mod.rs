//! The formats behind [`crate::open()`] and [`crate::create()`], a folder or file each.

mod checks;
pub mod ome_zarr;
mod pieces;
pub(crate) mod precomputed;
pub mod slices;
pub mod tiff;
