//! From an address to a format.

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::{Volume, VolumeError, VolumeSpec, VolumeWriter};

/// How a volume is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// A folder of PNG slices, in natural order of their names.
    PngFolder,
    /// A folder of TIFF slices, in natural order of their names.
    TiffFolder,
    /// One TIFF file with a page per section.
    TiffStack,
    /// An OME-Zarr 0.5 image (Zarr v3), its first resolution level.
    OmeZarr,
}

/// Opens the volume at an address.
///
/// A folder with `zarr.json` is OME-Zarr, another folder its slices, a `.tif` or `.tiff` file a stack, a `.png` file a
/// volume of one section.
pub fn open(path: &Path) -> Result<Arc<dyn Volume>, VolumeError> {
    let _ = path;
    todo!()
}

/// Starts a new volume; the name's ending says the format: `.zarr` OME-Zarr, `.tif`/`.tiff` a stack, a name without
/// ending a folder of PNG slices, one that ends in `-tif` ... 
///
/// # Errors
/// [`VolumeError::Exists`] where something is there and `overwrite` is not set.
pub fn create(path: &Path, spec: &VolumeSpec, overwrite: bool) -> Result<Box<dyn VolumeWriter>, VolumeError> {
    let _ = (path, spec, overwrite);
    todo!()
}
