//! Files as other programs write them (`.ci/interop/make_fixtures.py`): each variety of a format that must be read, and
//! of those that must be refused.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{damage, files};
use deep3m_volume::{Extent, Index, Region, VolumeError, VoxelSize, VoxelType, open};

const EXTENT: Extent = Extent::new(3, 21, 34);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// What a file holds: a function of the value that `make_fixtures.py` computes for each voxel.
type Value = fn(u32) -> u32;

const AS_IS: Value = |v| v;
const TIMES_257: Value = |v| v * 257;

const READABLE: [(&str, VoxelType, Value); 24] = [
    ("big-endian-bigtiff-tiles-lzw.tif", VoxelType::U16, TIMES_257),
    ("strips-zstd.tif", VoxelType::U16, TIMES_257),
    ("strips-packbits.tif", VoxelType::U8, AS_IS),
    ("tiles-deflate.tif", VoxelType::U8, AS_IS),
    ("ome.ome.tif", VoxelType::U8, AS_IS),
    ("white-is-zero.tif", VoxelType::U8, AS_IS),
    ("one-bit.tif", VoxelType::U8, |v| u32::from(v > 125)),
    ("float-predictor-tiles.tif", VoxelType::F32, AS_IS),
    ("signed-big-endian.tif", VoxelType::I16, AS_IS),
    ("palette-labels.tif", VoxelType::U8, AS_IS),
    ("palette-greys.tif", VoxelType::U8, AS_IS),
    ("imagej-one-directory.tif", VoxelType::U16, TIMES_257),
    ("png-interlaced", VoxelType::U8, AS_IS),
    ("png-interlaced-16", VoxelType::U16, TIMES_257),
    ("png-2-bits", VoxelType::U8, |v| v % 4),
    ("png-4-bits-interlaced", VoxelType::U8, |v| v % 16),
    ("png-palette-labels", VoxelType::U8, |v| v % 16),
    ("png-palette-greys", VoxelType::U8, |v| v % 16 * 17),
    ("png-opaque", VoxelType::U8, AS_IS),
    ("sharded.zarr", VoxelType::U16, TIMES_257),
    ("five-axes-blosc.zarr", VoxelType::U8, AS_IS),
    ("plain.zarr", VoxelType::U8, AS_IS),
    ("version-04.zarr", VoxelType::U16, TIMES_257),
    ("version-2-columns-first.zarr", VoxelType::U16, TIMES_257),
];

#[test]
fn what_others_write_is_read() {
    for (name, voxel_type, value) in READABLE {
        let volume = open(&fixture(name)).unwrap_or_else(|e| panic!("{e}"));
        let info = volume.info();
        assert_eq!((info.extent, info.voxel_type), (EXTENT, voxel_type), "{name}");
        let region = Region::new(Index::new(1, 3, 7), Extent::new(2, 17, 23));
        for region in [Region::whole(EXTENT), region] {
            let block = volume.read(region).unwrap_or_else(|e| panic!("{e}"));
            let mut voxels = block.voxels().iter();
            for at in region.tiles(Extent::new(1, 1, 1)).map(|voxel| voxel.start) {
                let expected = value(((37 * at.z + 11 * at.y + 5 * at.x) % 251) as u32);
                assert_eq!(voxels.next(), Some(expected), "{name} at {at:?}");
            }
        }
    }
}

#[test]
fn voxel_sizes_are_read() {
    for name in ["ome.ome.tif", "imagej-one-directory.tif", "sharded.zarr", "five-axes-blosc.zarr", "version-04.zarr"] {
        let size = open(&fixture(name)).unwrap().info().voxel_size;
        // ImageJ keeps pixels per unit as a fraction of small numbers.
        let near = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert!(
            size.is_some_and(|s: VoxelSize| near(s.z_nm, 50.0) && near(s.y_nm, 4.6) && near(s.x_nm, 5.0)),
            "{name}: {size:?}"
        );
    }
    assert_eq!(open(&fixture("plain.zarr")).unwrap().info().voxel_size, None);
    assert_eq!(open(&fixture("tiles-deflate.tif")).unwrap().info().voxel_size, None);
}

#[test]
fn what_cannot_be_read_says_why() {
    for (name, expected) in [
        ("colour.tif", "a colour image"),
        ("colour.png", "a colour image"),
        ("half.tif", "16-bit floating point"),
        ("signed-bytes.tif", "8-bit with sign"),
        ("jpeg.tif", "compression 7 (JPEG)"),
        ("two-channels.tif", "2 channels, 3 sections, 1 time points"),
    ] {
        let error = open(&fixture(name)).err().unwrap();
        assert!(matches!(error, VolumeError::Unsupported { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let error = open(&fixture("pages-differ.tif")).err().unwrap().to_string();
    for part in ["page 1: found 20 × 34", "expected 21 × 34", "pages-differ.tif, page 0"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    let error = open(&fixture("png-transparent")).unwrap().read(Region::whole(EXTENT)).unwrap_err().to_string();
    assert!(error.contains("transparent"), "{error}");
}

#[test]
fn damaged_files_of_others_are_no_danger() {
    let folder = tempfile::tempdir().unwrap();
    let (mut refused, mut tried) = (0, 0);
    for (name, ..) in READABLE {
        for file in files(&fixture(name)) {
            let to = folder.path().join(file.strip_prefix(fixture("")).unwrap());
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(file, to).unwrap();
        }
        let (r, t) = damage(&folder.path().join(name), 120, |_, _| ());
        refused += r;
        tried += t;
    }
    println!("{refused} of {tried} refused");
    assert!(refused > tried / 4);
}
