//! Every format passes the conformance suite.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use deep3m_volume::conformance::{Candidate, check_format};
use deep3m_volume::pyramid::{create_levels, levels};
use deep3m_volume::{
    Extent, Format, VolumeError, VolumeSpec, VolumeWriter, VoxelType, ZarrLayout, ZarrVersion, create_as,
};

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

#[test]
fn precomputed() {
    check(Format::Precomputed, "precomputed", &VoxelType::ALL);
}

/// The first level of a volume with all its levels, in one of Zarr's layouts.
fn check_zarr(layout: ZarrLayout) {
    let folder = tempfile::tempdir().unwrap();
    let create = |path: &Path, spec: &VolumeSpec| -> Result<(PathBuf, Box<dyn VolumeWriter>), VolumeError> {
        let path = path.with_extension("zarr");
        let levels = levels(spec.extent, spec.voxel_size, spec.chunk.unwrap());
        let mut writers = create_levels(&path, Format::OmeZarr, spec, &levels, layout, false)?;
        assert_eq!(writers.len(), levels.len());
        Ok((path, writers.swap_remove(0)))
    };
    check_format(&Candidate { create: &create, voxel_types: &VoxelType::ALL, folder: folder.path() });
}

#[test]
fn ome_zarr_04() {
    check_zarr(ZarrLayout { version: ZarrVersion::V2, shard: None });
}

#[test]
fn ome_zarr_in_shards() {
    check_zarr(ZarrLayout { version: ZarrVersion::V3, shard: Some(Extent::new(2, 32, 32)) });
}

#[test]
fn hdf5() {
    check(Format::Hdf5, "h5", &VoxelType::ALL);
}

/// 8-bit voxels come back with 16 bits, see `tests/mrc.rs`.
#[test]
fn mrc() {
    check(Format::Mrc, "mrc", &[VoxelType::U16, VoxelType::I16, VoxelType::F32]);
}
