//! Every format passes the conformance suite.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use deep3m_volume::conformance::{Candidate, check_format};
use deep3m_volume::{Format, VolumeError, VolumeSpec, VolumeWriter, VoxelType, create_as};

fn check(format: Format, ending: &str, voxel_types: &[VoxelType]) {
    let folder = tempfile::tempdir().unwrap();
    let create = |path: &Path, spec: &VolumeSpec| -> Result<(PathBuf, Box<dyn VolumeWriter>), VolumeError> {
        let path = path.with_extension(ending);
        let writer = create_as(&path, format, spec, false)?;
        Ok((path, writer))
    };
    check_format(&Candidate { create: &create, voxel_types, folder: folder.path() });
}

#[test]
fn png_folder() {
    check(Format::PngFolder, "", &[VoxelType::U8, VoxelType::U16]);
}

#[test]
fn tiff_folder() {
    check(Format::TiffFolder, "", &VoxelType::ALL);
}

#[test]
fn tiff_stack() {
    check(Format::TiffStack, "tif", &VoxelType::ALL);
}

#[test]
fn ome_zarr() {
    check(Format::OmeZarr, "zarr", &VoxelType::ALL);
}
