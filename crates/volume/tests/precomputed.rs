//! Neuroglancer precomputed volumes, as other programs lay them out and as they are asked for.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use deep3m_volume::pyramid::{Reduce, create_levels, levels, open_level, reopen_levels, write_level};
use deep3m_volume::{
    Block, Extent, Format, Index, OpenOptions, Region, VolumeError, VolumeSpec, VoxelSize, VoxelType, Voxels,
    ZarrLayout, create, open, reopen,
};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};

const EXTENT: Extent = Extent::new(3, 20, 30);

fn spec(voxel_type: VoxelType) -> VolumeSpec {
    VolumeSpec {
        extent: EXTENT,
        voxel_type,
        voxel_size: VoxelSize::new(50.0, 4.6, 5.0),
        chunk: Some(Extent::new(2, 16, 16)),
        provenance: Some(json!({"model": "none"})),
    }
}

fn truth() -> Block {
    Block::new(EXTENT, Voxels::U32((0..EXTENT.len() as u32).map(|i| i / 50 * 77 + i % 2).collect()))
}

fn write(path: &Path) {
    let writer = create(path, &spec(VoxelType::U32), false).unwrap();
    writer.write(Index::default(), &truth()).unwrap();
    writer.finish().unwrap();
}

fn info(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path.join("info")).unwrap()).unwrap()
}

/// Changes the `info` file.
fn change(path: &Path, pointer: &str, value: Value) {
    let mut json = info(path);
    *json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
    fs::write(path.join("info"), json.to_string()).unwrap();
}

fn read(path: &Path) -> Result<Block, VolumeError> {
    let volume = open(path)?;
    volume.read(Region::whole(volume.info().extent))
}

fn error_of(path: &Path) -> String {
    read(path).unwrap_err().to_string()
}

fn chunks(path: &Path) -> Vec<PathBuf> {
    let mut chunks: Vec<_> = fs::read_dir(path.join("5_4.6_50")).unwrap().map(|e| e.unwrap().path()).collect();
    chunks.sort();
    chunks
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn the_files_are_those_of_the_specification() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.precomputed");
    write(&path);
    let json = info(&path);
    assert_eq!(json["@type"], "neuroglancer_multiscale_volume");
    assert_eq!((&json["type"], &json["data_type"]), (&json!("segmentation"), &json!("uint32")));
    assert_eq!(
        json["scales"],
        json!([{
            "key": "5_4.6_50", "size": [30, 20, 3], "resolution": [5, 4.6, 50], "voxel_offset": [0, 0, 0],
            "chunk_sizes": [[16, 16, 2]], "encoding": "compressed_segmentation",
            "compressed_segmentation_block_size": [8, 8, 8],
        }])
    );
    assert_eq!(json["deep3m"]["model"], "none");
    let names: Vec<_> = chunks(&path).iter().map(|p| p.file_name().unwrap().to_str().unwrap().to_owned()).collect();
    assert_eq!(names[..3], ["0-16_0-16_0-2", "0-16_0-16_2-3", "0-16_16-20_0-2"]);
    assert_eq!(names.len(), 8);
    // Grey values lie there as they are, x fastest.
    let path = folder.path().join("grey.precomputed");
    let writer = create(&path, &spec(VoxelType::I16), false).unwrap();
    let values: Vec<i16> = (0..EXTENT.len() as i16).map(|i| i - 900).collect();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::I16(values.clone()))).unwrap();
    let last = fs::read(path.join("5_4.6_50/16-30_16-20_2-3")).unwrap();
    assert_eq!(last.len(), 14 * 4 * 2);
    assert_eq!(last[..2], values[EXTENT.offset(Index::new(2, 16, 16))].to_le_bytes());
    assert_eq!(last[2..4], values[EXTENT.offset(Index::new(2, 16, 17))].to_le_bytes());
}

#[test]
fn an_address_says_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("labels");
    let prefixed = PathBuf::from(format!("precomputed://{}", plain.display()));
    assert_eq!(Format::of_output(&prefixed), Format::Precomputed);
    write(&prefixed);
    assert_eq!(open(&prefixed).unwrap().info().path, plain);
    assert_eq!(read(&prefixed).unwrap(), truth());
    assert_eq!(read(&plain).unwrap(), truth());
    assert_eq!(read(&plain.join("5_4.6_50")).unwrap(), truth(), "a scale's own folder");
    let absent = PathBuf::from("precomputed:///nowhere/at/all");
    assert!(error_of(&absent).contains("/nowhere/at/all/info"), "{}", error_of(&absent));
    let nowhere =
        create(&folder.path().join("x.precomputed"), &VolumeSpec { voxel_size: None, ..spec(VoxelType::U8) }, false);
    assert!(nowhere.err().unwrap().to_string().contains("--voxel-size"));
}

#[test]
fn offsets_and_compression_of_other_programs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.precomputed");
    write(&path);
    // A volume that begins at (x, y, z) = (-16, 100, -1).
    change(&path, "/scales/0/voxel_offset", json!([-16, 100, -1]));
    assert_eq!(read(&path).unwrap(), Block::zeros(EXTENT, VoxelType::U32), "chunks of other names are none of its");
    for chunk in chunks(&path) {
        let shifted =
            chunk.file_name().unwrap().to_str().unwrap().split('_').zip([-16, 100, -1]).map(|(span, offset)| {
                let (from, to) = span.split_once('-').unwrap();
                format!("{}-{}", from.parse::<i64>().unwrap() + offset, to.parse::<i64>().unwrap() + offset)
            });
        fs::rename(&chunk, chunk.with_file_name(shifted.collect::<Vec<_>>().join("_"))).unwrap();
    }
    assert!(path.join("5_4.6_50/-16-0_100-116_-1-1").is_file());
    assert_eq!(read(&path).unwrap(), truth());
    // CloudVolume adds .gz to the names; a bucket says it in a header that a copy lacks.
    for (number, chunk) in chunks(&path).into_iter().enumerate() {
        let bytes = gzip(&fs::read(&chunk).unwrap());
        let name = chunk.file_name().unwrap().to_str().unwrap();
        fs::remove_file(&chunk).unwrap();
        fs::write(chunk.with_file_name(if number < 5 { format!("{name}.gz") } else { name.into() }), bytes).unwrap();
    }
    assert_eq!(read(&path).unwrap(), truth());
    for chunk in chunks(&path) {
        fs::rename(&chunk, chunk.with_file_name("-16-0_100-116_-1-1.br")).unwrap();
    }
    let error = error_of(&path);
    assert!(error.contains("-16-0_100-116_-1-1.br") && error.contains("CloudVolume"), "{error}");
}

#[test]
fn raw_labels_of_64_bits_fit_or_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.precomputed");
    write(&path);
    change(&path, "/data_type", json!("uint64"));
    change(&path, "/scales/0/encoding", json!("raw"));
    change(&path, "/scales/0/chunk_sizes", json!([[30, 20, 3]]));
    let chunk = path.join("5_4.6_50/0-30_0-20_0-3");
    let mut bytes: Vec<u8> = truth().voxels().iter().flat_map(|v| u64::from(v).to_le_bytes()).collect();
    fs::write(&chunk, &bytes).unwrap();
    assert_eq!(read(&path).unwrap(), truth());
    bytes[8 * 70 + 5] = 1;
    fs::write(&chunk, &bytes).unwrap();
    let error = error_of(&path);
    assert!(error.contains("1099511627853") && error.contains("0-30_0-20_0-3"), "{error}");
    fs::write(&chunk, &bytes[1..]).unwrap();
    assert!(error_of(&path).contains("14399 bytes, not 14400"), "{}", error_of(&path));
    assert!(reopen(&path).is_err(), "we write no labels of 64 bits");
}

#[test]
fn what_cannot_be_read_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    for (number, (pointer, value, expected)) in [
        ("/scales/0/encoding", json!("jpeg"), "TensorStore"),
        ("/scales/0/encoding", json!("png"), "encoding raw"),
        ("/scales/0/encoding", json!(7), "compressed_segmentation"),
        ("/num_channels", json!(3), "one channel"),
        ("/num_channels", json!(0), "expected 1"),
        ("/data_type", json!("float64"), "uint8, uint16"),
        ("/data_type", json!("uint8"), "as the encoding asks for"),
        ("/scales/0/key", json!("../other"), "inside the volume"),
        ("/scales/0/key", json!("/etc"), "inside the volume"),
        ("/scales/0/size", json!([0, 20, 3]), "sizes of at least 1"),
        ("/scales/0/size", json!([u64::MAX, u64::MAX, 3]), "2⁶³"),
        ("/scales/0/chunk_sizes", json!([[u64::MAX, u64::MAX, 1]]), "4 GiB"),
        ("/scales/0/chunk_sizes", json!([]), "sizes of at least 1"),
        ("/scales/0/voxel_offset", json!([0.5, 0, 0]), "whole numbers"),
        ("/scales/0/voxel_offset", json!([i64::MIN, 0, 0]), "whole numbers"),
        ("/scales/0/compressed_segmentation_block_size", json!([1 << 20, 1 << 20, 8]), "a few voxels"),
        ("/scales/0/compressed_segmentation_block_size", json!(null), "sizes of at least 1"),
        ("/scales", json!([]), "a scale 0"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = folder.path().join(format!("{number}.precomputed"));
        write(&path);
        change(&path, pointer, value.clone());
        let error = error_of(&path);
        assert!(error.contains(expected) && error.contains("precomputed/info"), "{pointer} = {value}: {error}");
    }
}

#[test]
fn a_volume_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.precomputed");
    write(&path);
    let before = fs::read(path.join("info")).unwrap();
    let writer = reopen(&path).unwrap();
    let first = Region::new(Index::default(), Extent::new(2, 16, 16));
    writer.write(Index::default(), &Block::zeros(first.extent, VoxelType::U32)).unwrap();
    assert_eq!(fs::read(path.join("info")).unwrap(), before);
    assert_eq!(open(&path).unwrap().read(first).unwrap(), Block::zeros(first.extent, VoxelType::U32));
    assert_eq!(chunks(&path).len(), 7, "a chunk of zeros takes no file");
    writer.write(Index::default(), &truth().crop(first)).unwrap();
    assert_eq!(read(&path).unwrap(), truth());
}

#[test]
fn scales_are_levels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("labels.precomputed");
    let spec = spec(VoxelType::U32);
    let planned = levels(EXTENT, spec.voxel_size, Extent::new(2, 8, 8));
    create_levels(&path, Format::Precomputed, &spec, &planned, ZarrLayout::default(), false).unwrap();
    let writers = reopen_levels(&path).unwrap();
    assert_eq!(writers.len(), planned.len());
    writers[0].write(Index::default(), &truth()).unwrap();
    for (n, level) in planned.iter().enumerate().skip(1) {
        let source = open_level(&path, n - 1, &OpenOptions::default()).unwrap();
        write_level(&*source, &*writers[n], level.window, Reduce::Mode, 0, &|_| false, &mut |_| ()).unwrap();
        let volume = open_level(&path, n, &OpenOptions::default()).unwrap();
        assert_eq!((volume.info().extent, volume.info().voxel_size), (level.extent, level.voxel_size));
    }
    let keys: Vec<_> = info(&path)["scales"].as_array().unwrap().iter().map(|s| s["key"].clone()).collect();
    assert_eq!(keys[..2], ["5_4.6_50", "10_9.2_50"]);
    let by_key = open(&path.join("10_9.2_50")).unwrap();
    assert_eq!(by_key.info().extent, planned[1].extent);
    assert!(by_key.read(Region::whole(planned[1].extent)).unwrap().voxels().iter().any(|label| label > 0));
    assert!(open_level(&path, 99, &OpenOptions::default()).is_err());
    assert_eq!(read(&path).unwrap(), truth());
}
