//! Damaged and foreign files end in an error that names the file: never a panic, never memory that the file does not
//! back.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

mod common;

use std::fs;
use std::path::Path;

use common::{damage, replace, try_read};
use deep3m_volume::{Block, Extent, Format, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create_as, open};

const EXTENT: Extent = Extent::new(3, 40, 50);

fn truth() -> Block {
    Block::new(EXTENT, Voxels::U16((0..EXTENT.len()).map(|i| (i * i / 7 % 4001) as u16).collect()))
}

fn write(path: &Path, format: Format) {
    let spec = VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U16,
        voxel_size: VoxelSize::new(50.0, 5.0, 5.0),
        chunk: Some(Extent::new(2, 20, 25)),
        provenance: None,
    };
    let writer = create_as(path, format, &spec, false).unwrap();
    let block = truth();
    for tile in Region::whole(EXTENT).tiles(writer.grain()) {
        writer.write(tile.start, &block.crop(tile)).unwrap();
    }
    writer.finish().unwrap();
}

fn check(name: &str, format: Format) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, format);
    assert_eq!(try_read(&path).unwrap(), truth());
    let (refused, tried) = damage(&path, 250, |file, block| {
        // Chunks of OME-Zarr carry a checksum; of the metadata only parts that do not matter may change unseen.
        if format == Format::OmeZarr && !file.ends_with("zarr.json") {
            assert!(*block == truth());
        }
    });
    println!("{name}: {refused} of {tried} refused");
    assert!(refused > tried / 2, "{name}: only {refused} of {tried} refused");
}

#[test]
fn damaged_png_slices() {
    check("slices", Format::PngFolder);
}

#[test]
fn damaged_tiff_slices() {
    check("slices", Format::TiffFolder);
}

#[test]
fn damaged_tiff_stack() {
    check("stack.tif", Format::TiffStack);
}

#[test]
fn damaged_ome_zarr() {
    check("volume.zarr", Format::OmeZarr);
}

#[test]
fn a_cut_file_is_refused_at_any_length() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stack.tif");
    write(&path, Format::TiffStack);
    let sound = fs::read(&path).unwrap();
    for cut in 0..sound.len() {
        replace(&path, &sound[..cut]);
        assert!(try_read(&path).is_err(), "{cut} of {} bytes", sound.len());
    }
}

fn error_of(path: &Path) -> String {
    match open(path) {
        Ok(volume) => panic!("opened as {:?}", volume.info()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn files_that_are_no_images() {
    let folder = tempfile::tempdir().unwrap();
    for (name, expected) in [
        ("text.tif", "no TIFF signature"),
        ("text.png", "PNG"),
        ("empty.tif", "no TIFF signature"),
        ("empty.png", "end of the file"),
        ("notes.txt", "a .txt file"),
    ] {
        let path = folder.path().join(name);
        fs::write(&path, if name.starts_with("empty") { "" } else { "this is a text, and no image at all" }).unwrap();
        let error = error_of(&path);
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
    let error = error_of(&folder.path().join("absent.zarr"));
    assert!(error.contains("absent.zarr: open"), "{error}");
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    assert!(error_of(&empty).contains("no image slices"));
}

#[test]
fn slices_that_differ_name_both() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v");
    write(&path, Format::PngFolder);
    let other = folder.path().join("other");
    let spec = VolumeSpec {
        extent: Extent::new(1, 40, 51),
        voxel_type: VoxelType::U8,
        voxel_size: None,
        chunk: None,
        provenance: None,
    };
    let writer = create_as(&other, Format::PngFolder, &spec, false).unwrap();
    writer.write(Index::default(), &Block::zeros(spec.extent, VoxelType::U8)).unwrap();
    fs::copy(other.join("0000.png"), path.join("0002.png")).unwrap();
    let error = error_of(&path);
    for part in ["0002.png", "0000.png", "40 × 51, 8-bit grey", "40 × 50, 16-bit grey"] {
        assert!(error.contains(part), "{part} in {error}");
    }
    fs::copy(folder.path().join("other/0000.png"), folder.path().join("v/0001.tif")).unwrap();
    assert!(error_of(&path).contains("both PNG and TIFF"), "{}", error_of(&path));
}

#[test]
fn nonsense_in_zarr_metadata() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("volume.zarr");
    write(&path, Format::OmeZarr);
    let file = path.join("0/zarr.json");
    let sound: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let huge = u64::MAX;
    for (pointer, value) in [
        ("/shape", serde_json::json!([huge, huge, huge])),
        ("/shape", serde_json::json!([1_u64 << 40, 1_u64 << 40, 1_u64 << 40])),
        ("/shape", serde_json::json!([-3, 40, 50])),
        ("/shape", serde_json::json!([3, 0, 50])),
        ("/shape", serde_json::json!([3, 40])),
        ("/shape", serde_json::json!([2, 3, 40, 50])),
        ("/shape", serde_json::json!(["3", 40, 50])),
        ("/shape", serde_json::json!(null)),
        ("/data_type", serde_json::json!("float64")),
        ("/data_type", serde_json::json!("uint64")),
        ("/data_type", serde_json::json!({"name": "numpy.datetime64"})),
        ("/chunk_grid/configuration/chunk_shape", serde_json::json!([0, 20, 25])),
        ("/chunk_grid/configuration/chunk_shape", serde_json::json!([huge, huge, huge])),
        ("/chunk_grid/configuration/chunk_shape", serde_json::json!([1 << 20, 1 << 20, 1])),
        ("/chunk_grid/configuration/chunk_shape", serde_json::json!([2, 20])),
        ("/chunk_grid/name", serde_json::json!("rectangular")),
        ("/codecs", serde_json::json!([])),
        ("/codecs/1/name", serde_json::json!("unheard-of")),
        ("/fill_value", serde_json::json!("many")),
        ("/fill_value", serde_json::json!(70000)),
        ("/zarr_format", serde_json::json!(2)),
        ("/node_type", serde_json::json!("group")),
    ] {
        let mut json = sound.clone();
        *json.pointer_mut(pointer).unwrap() = value.clone();
        fs::write(&file, json.to_string()).unwrap();
        let error = error_of(&path);
        assert!(error.contains("volume.zarr"), "{pointer} = {value}: {error}");
    }
    // A sound description of other chunks than there are.
    let mut json = sound.clone();
    json["data_type"] = serde_json::json!("float32");
    fs::write(&file, json.to_string()).unwrap();
    let error = try_read(&path).unwrap_err().to_string();
    assert!(error.contains("chunk 0/0/0"), "{error}");
    let group = path.join("zarr.json");
    for text in ["", "[]", "{}", "{\"node_type\": \"group\"}", "nonsense", "{\"node_type\": 7}"] {
        fs::write(&group, text).unwrap();
        assert!(error_of(&path).contains("zarr.json"), "{text}");
    }
    let escape = serde_json::json!({"node_type": "group", "attributes": {"ome": {"multiscales": [
        {"datasets": [{"path": "../../etc"}]}]}}});
    fs::write(&group, escape.to_string()).unwrap();
    assert!(error_of(&path).contains("the name of a folder inside"));
}

#[test]
fn an_empty_zarr_v2_group_is_no_volume() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(".zgroup"), "{\"zarr_format\": 2}").unwrap();
    let error = error_of(folder.path());
    assert!(error.contains("zarr.json"), "{error}");
}
