//! What happens to what is there: overwriting, going on, unfinished files.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::time::Instant;

use deep3m_volume::{
    Block, Extent, Format, Index, OpenOptions, Region, VolumeError, VolumeSpec, VoxelSize, VoxelType, Voxels, create,
    create_as, open, open_with, reopen,
};

const EXTENT: Extent = Extent::new(4, 20, 30);

fn spec() -> VolumeSpec {
    VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U8,
        voxel_size: VoxelSize::new(30.0, 5.0, 5.0),
        chunk: Some(Extent::new(2, 16, 16)),
        provenance: Some(serde_json::json!({"model": "none"})),
    }
}

fn block(value: u8) -> Block {
    Block::new(EXTENT, Voxels::U8(vec![value; EXTENT.len()]))
}

fn write(path: &Path, value: u8, overwrite: bool) -> Result<(), VolumeError> {
    let writer = create(path, &spec(), overwrite)?;
    writer.write(Index::default(), &block(value))?;
    writer.finish()
}

fn first(path: &Path) -> u32 {
    open(path).unwrap().read(Region::whole(EXTENT)).unwrap().voxels().get(0)
}

#[test]
fn nothing_is_overwritten_unasked() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["slices", "stack.tif", "volume.zarr"] {
        let path = folder.path().join(name);
        write(&path, 1, false).unwrap();
        let error = write(&path, 2, false).unwrap_err();
        assert!(matches!(error, VolumeError::Exists { .. }), "{error}");
        assert_eq!(first(&path), 1);
        write(&path, 2, true).unwrap();
        assert_eq!(first(&path), 2);
    }
}

#[test]
fn what_is_no_volume_is_never_removed() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["slices", "volume.zarr"] {
        let path = folder.path().join(name);
        write(&path, 1, false).unwrap();
        fs::write(path.join("thesis.docx"), "years of work").unwrap();
        let error = write(&path, 2, true).unwrap_err().to_string();
        assert!(error.contains("thesis.docx"), "{error}");
        assert_eq!(first(&path), 1);
    }
    let path = folder.path().join("stack.tif");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("inside"), "").unwrap();
    assert!(write(&path, 2, true).is_err() && path.join("inside").exists());
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    assert!(write(&file, 2, true).is_err() && fs::read(&file).unwrap() == b"text");
}

#[test]
fn fewer_slices_leave_none_of_the_old() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("slices");
    write(&path, 1, false).unwrap();
    let smaller = VolumeSpec { extent: Extent { z: 2, ..EXTENT }, ..spec() };
    let writer = create(&path, &smaller, true).unwrap();
    writer.write(Index::default(), &Block::zeros(smaller.extent, VoxelType::U8)).unwrap();
    writer.finish().unwrap();
    assert_eq!(open(&path).unwrap().info().extent.z, 2);
}

#[test]
fn an_unfinished_stack_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.tif");
    write(&path, 1, false).unwrap();
    let writer = create(&path, &spec(), true).unwrap();
    writer.write(Index::default(), &Block::zeros(Extent { z: 1, ..EXTENT }, VoxelType::U8)).unwrap();
    drop(writer);
    assert_eq!(first(&path), 1);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file stays");
}

#[test]
fn a_prediction_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("p.zarr");
    let tiles: Vec<Region> = Region::whole(EXTENT).tiles(Extent::new(2, 16, 16)).collect();
    let truth = Block::new(EXTENT, Voxels::U8((0..EXTENT.len()).map(|i| (i % 255) as u8 + 1).collect()));
    let writer = create(&path, &spec(), false).unwrap();
    for tile in &tiles[..3] {
        writer.write(tile.start, &truth.crop(*tile)).unwrap();
    }
    drop(writer);
    let half = open(&path).unwrap();
    assert_eq!(half.read(tiles[2]).unwrap(), truth.crop(tiles[2]));
    assert_eq!(half.read(tiles[3]).unwrap(), Block::zeros(tiles[3].extent, VoxelType::U8), "unwritten is 0");
    let before = fs::read(path.join("zarr.json")).unwrap();
    let writer = reopen(&path).unwrap();
    assert_eq!((writer.grain(), writer.in_order()), (Extent::new(2, 16, 16), false));
    for tile in &tiles[3..] {
        writer.write(tile.start, &truth.crop(*tile)).unwrap();
    }
    writer.finish().unwrap();
    assert_eq!(fs::read(path.join("zarr.json")).unwrap(), before);
    let json: serde_json::Value = serde_json::from_slice(&before).unwrap();
    assert_eq!(json["attributes"]["deep3m"]["model"], "none");
    assert_eq!(open(&path).unwrap().read(Region::whole(EXTENT)).unwrap(), truth);
    // Zeros over what was written: the chunk is gone.
    let writer = reopen(&path).unwrap();
    writer.write(tiles[0].start, &Block::zeros(tiles[0].extent, VoxelType::U8)).unwrap();
    assert_eq!(open(&path).unwrap().read(tiles[0]).unwrap(), Block::zeros(tiles[0].extent, VoxelType::U8));
    assert!(reopen(&folder.path().join("absent.zarr")).is_err());
}

#[test]
fn png_holds_8_and_16_bits_only() {
    let folder = tempfile::tempdir().unwrap();
    for voxel_type in [VoxelType::U32, VoxelType::I16, VoxelType::F32] {
        let wide = VolumeSpec { voxel_type, ..spec() };
        let error = create(&folder.path().join("slices"), &wide, false).err().unwrap().to_string();
        assert!(error.contains(".zarr") && error.contains(&voxel_type.to_string()), "{error}");
    }
}

/// Training reads thousands of small patches from few sections; decoding a slice for each would take minutes.
#[test]
fn small_patches_come_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Extent::new(20, 1024, 1024);
    let large = VolumeSpec { extent, chunk: None, ..spec() };
    let data = Block::new(extent, Voxels::U8((0..extent.len()).map(|i| ((i * 31) >> 7) as u8).collect()));
    for (name, format) in [
        ("slices", Format::PngFolder),
        ("tiff-slices", Format::TiffFolder),
        ("stack.tif", Format::TiffStack),
        ("volume.zarr", Format::OmeZarr),
    ] {
        let path = folder.path().join(name);
        let writer = create_as(&path, format, &large, false).unwrap();
        writer.write(Index::default(), &data).unwrap();
        writer.finish().unwrap();
        let volume = open_with(&path, &OpenOptions::default()).unwrap();
        let warm_up = Instant::now();
        volume.read(Region::whole(extent)).unwrap();
        let warm_up = warm_up.elapsed();
        let start = Instant::now();
        for i in 0..500_u64 {
            let at = Index::new(i * 7 % 18, i * 131 % 700, i * 373 % 700);
            let region = Region::new(at, Extent::new(3, 320, 320));
            let patch = volume.read(region).unwrap();
            assert!(i % 100 != 0 || patch == data.crop(region));
        }
        let rate = 500.0 / start.elapsed().as_secs_f64();
        println!("{name}: read whole in {warm_up:?}, then {rate:.0} patches of 3 × 320² per second");
        assert!(rate > 200.0, "{name}: {rate:.0} patches per second");
    }
}
