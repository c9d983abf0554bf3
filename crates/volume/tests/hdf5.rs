//! What is HDF5's own: datasets with names, files with several, links, and files that lie.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use deep3m_volume::{
    Block, Extent, Format, Index, Region, VolumeError, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open,
};

const EXTENT: Extent = Extent::new(4, 20, 30);

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn at(file: &Path, dataset: &str) -> PathBuf {
    format!("{}:{dataset}", file.display()).into()
}

fn spec() -> VolumeSpec {
    VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U8,
        voxel_size: VoxelSize::new(30.0, 5.0, 5.0),
        chunk: Some(Extent::new(2, 16, 16)),
        provenance: Some(serde_json::json!({"model": "none"})),
    }
}

fn write(path: &Path, value: u8, overwrite: bool) -> Result<(), VolumeError> {
    let writer = create(path, &spec(), overwrite)?;
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U8(vec![value; EXTENT.len()])))?;
    writer.finish()
}

fn first(path: &Path) -> u32 {
    open(path).unwrap().read(Region::whole(EXTENT)).unwrap().voxels().get(0)
}

fn error_of(path: &Path) -> String {
    match open(path).and_then(|volume| volume.read(Region::whole(volume.info().extent))) {
        Ok(block) => panic!("{} read as {}", path.display(), block.extent()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_dataset_has_the_name_that_was_given() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.h5");
    write(&file, 1, false).unwrap();
    assert_eq!((first(&file), first(&at(&file, "/volume")), first(&at(&file, "volume"))), (1, 1, 1));
    let named = folder.path().join("named.hdf5");
    write(&at(&named, "/predictions/mito"), 2, false).unwrap();
    assert_eq!((first(&named), first(&at(&named, "/predictions/mito"))), (2, 2));
    let error = error_of(&at(&named, "/predictions/mitos"));
    assert!(error.contains("named.hdf5:/predictions/mitos") && error.contains("no 'mitos'; there is mito"), "{error}");
    let error = error_of(&at(&named, "/predictions"));
    assert!(error.contains("a group; there is /predictions/mito (4 × 20 × 30)"), "{error}");
    assert_eq!(open(&named).unwrap().info().format, Format::Hdf5);
    for bad in ["/.", "/a\0b"] {
        assert!(create(&at(&named, bad), &spec(), true).is_err(), "{bad:?}");
    }
}

#[test]
fn other_datasets_are_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("out.h5");
    write(&at(&file, "/a"), 1, false).unwrap();
    let error = write(&at(&file, "/b"), 2, false).unwrap_err();
    assert!(matches!(error, VolumeError::Exists { .. }), "{error}");
    let error = write(&at(&file, "/b"), 2, true).unwrap_err().to_string();
    assert!(error.contains("the dataset /a"), "{error}");
    write(&at(&file, "/a"), 3, true).unwrap();
    write(&file, 4, true).unwrap();
    assert_eq!(first(&file), 4);
    let several = folder.path().join("two-volumes.h5");
    fs::copy(fixture("two-volumes.h5"), &several).unwrap();
    for path in [several.clone(), at(&several, "/raw")] {
        let error = write(&path, 1, true).unwrap_err().to_string();
        assert!(error.contains("the dataset /channels"), "{error}");
    }
    assert_eq!(fs::read(&several).unwrap(), fs::read(fixture("two-volumes.h5")).unwrap());
}

#[test]
fn an_unfinished_file_leaves_the_old_one() {
    let folder = tempfile::tempdir().unwrap();
    for (name, part) in [("v.h5", Extent::new(2, 16, 16)), ("v.mrc", Extent { z: 1, ..EXTENT })] {
        let file = folder.path().join(name);
        let whole = Block::new(EXTENT, Voxels::U8(vec![1; EXTENT.len()]));
        let writer = create(&file, &spec(), false).unwrap();
        writer.write(Index::default(), &whole).unwrap();
        writer.finish().unwrap();
        let before = fs::read(&file).unwrap();
        let writer = create(&file, &spec(), true).unwrap();
        writer.write(Index::default(), &Block::zeros(part, VoxelType::U8)).unwrap();
        let error = writer.finish().unwrap_err();
        assert!(matches!(error, VolumeError::Unaligned { .. }), "parts are missing: {error}");
        drop(writer);
        assert_eq!(fs::read(&file).unwrap(), before);
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file stays");
}

#[test]
fn the_right_dataset_of_several() {
    let file = fixture("two-volumes.h5");
    let error = error_of(&file);
    for words in
        ["4 datasets of three axes", "/labels/neurons (3 × 21 × 34), ", "/raw (3 × 21 × 34)", "vol.h5:/group/dataset"]
    {
        assert!(error.contains(words), "{words} in {error}");
    }
    assert_eq!(open(&at(&file, "/labels/neurons")).unwrap().info().voxel_type, VoxelType::U32);
    for (name, words) in [
        ("/channels", "a dataset of 2 × 3 × 4 × 5"),
        ("/text", "sequences of varying length"),
        ("/outside", "voxels in other files"),
        ("/packed", "filter 6 (scale-offset)"),
        ("/raw/more", "no 'more'"),
    ] {
        let error = error_of(&at(&file, name));
        assert!(error.contains(words) && error.contains(&format!("two-volumes.h5:{name}")), "{error}");
    }
}

#[test]
fn links_that_lead_round_come_to_an_end() {
    let file = fixture("compact-links.h5");
    for name in ["/soft", "/again/volume", "/data/round/data/round/data/volume"] {
        assert_eq!(open(&at(&file, name)).unwrap().info().extent, Extent::new(3, 21, 34), "{name}");
    }
    for (name, words) in [
        ("/here", "more than 32 links"),
        ("/nowhere", "no 'absent'"),
        ("/elsewhere", "'elsewhere', a link into another file"),
        ("/data/round", "a group; there is /data/volume (3 × 21 × 34)"),
    ] {
        let error = error_of(&at(&file, name));
        assert!(error.contains(words), "{name}: {error}");
    }
}

/// A file that Deep3M wrote, changed at the places of its parts.
struct Patched {
    bytes: Vec<u8>,
    path: PathBuf,
    _folder: tempfile::TempDir,
}

impl Patched {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.h5");
        write(&path, 7, false).unwrap();
        Self { bytes: fs::read(&path).unwrap(), path, _folder: folder }
    }

    /// Where bytes stand for the `n`th time.
    fn find(&self, what: &[u8], n: usize) -> usize {
        (0..self.bytes.len()).filter(|&i| self.bytes[i..].starts_with(what)).nth(n).unwrap()
    }

    fn error(&self, at: usize, new: &[u8]) -> String {
        let mut bytes = self.bytes.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        fs::remove_file(&self.path).unwrap();
        fs::write(&self.path, bytes).unwrap();
        error_of(&self.path)
    }
}

#[test]
fn lies_are_found_out() {
    let file = Patched::new();
    let huge = u64::MAX.to_le_bytes();
    let sizes: Vec<u8> = EXTENT.to_array().iter().flat_map(|n| n.to_le_bytes()).collect();
    let space = file.find(&sizes, 0);
    let chunk: Vec<u8> = [2_u32, 16, 16, 1].iter().flat_map(|n| n.to_le_bytes()).collect();
    let layout = file.find(&chunk, 0);
    // The tree of chunks comes before that of the group.
    let tree = file.find(b"TREE\x01", 0);
    let (group, leaf) = (file.find(b"TREE\0", 0), file.find(b"SNOD", 0));
    let first_child = tree + 24 + 40;
    let root = u64::from_le_bytes(file.bytes[64..72].try_into().unwrap());
    let deflate = file.find(&[1, 0, 0, 0, 1, 0, 1, 0, 1, 0, 0, 0], 0);
    for (place, new, words) in [
        (0, &[0][..], "no HDF5 signature"),
        (8, &[9], "superblock: not supported: found version 9"),
        (13, &[3], "offsets and lengths of [3, 8] bytes"),
        (40, &huge, "cut short"),
        (64, &huge, "beyond the end of the file"),
        (space, &huge, "a dataset of 18446744073709551615 × 20 × 30"),
        (space - 7, &[200], "200 axes"),
        (space, &[0; 8], "a dataset of 0 × 20 × 30"),
        (layout, &[0; 4], "chunks of [0, 16, 16]"),
        (layout, &[255; 12], "chunks of 4294967295 × 4294967295 × 4294967295"),
        (layout + 12, &[2], "2 bytes each"),
        (layout, &[0, 0, 1, 0], "that cannot make 16777216"),
        (layout - 9, &[7], "chunks of 6 axes"),
        (layout - 11, &[9], "a layout of version 9"),
        (tree, b"FREE", "'FREE' of type 1"),
        (tree + 5, &[1], "chunk 0/0/0"),
        (first_child, &huge, "beyond the end of the file"),
        (first_child, &(tree as u64).to_le_bytes(), "damaged deflate data"),
        (tree + 24, &[255; 4], "4294967295 bytes for a chunk of 512"),
        (group + 5, &[3], "comes back to"),
        (leaf, b"SNOT", "'SNOT'"),
        (leaf + 6, &[255, 255], "beyond the end of the file"),
        (leaf + 8, &huge, "a name at byte 18446744073709551615"),
        (leaf + 16, &root.to_le_bytes(), "no dataset of three axes"),
        (deflate, &[4], "filter 4 (SZIP)"),
        (deflate, &[1, 125], "filter 32001 (Blosc)"),
    ] {
        // A node whose child is itself, one level down.
        if words == "comes back to" {
            let child = group + 24 + 8;
            let mut bytes = file.bytes.clone();
            bytes[child..child + 8].copy_from_slice(&(group as u64).to_le_bytes());
            bytes[group + 5] = 1;
            fs::write(&file.path, bytes).unwrap();
            let error = error_of(&file.path);
            assert!(error.contains(words), "{error}");
            continue;
        }
        let error = file.error(place, new);
        assert!(error.contains(words) && error.contains("v.h5"), "{place}, {words}: {error}");
    }
}

/// More chunks than a node of the B-tree holds, and more nodes than one above them: 32 768 in 512 leaves.
#[test]
fn a_tree_of_three_levels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.h5");
    let extent = Extent::new(32, 32, 32);
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U16, chunk: Some(Extent::new(1, 1, 1)), ..spec() };
    let truth = Block::new(extent, Voxels::U16((1..=32768).collect()));
    let writer = create(&path, &spec, false).unwrap();
    writer.write(Index::default(), &truth).unwrap();
    writer.finish().unwrap();
    let bytes = fs::read(&path).unwrap();
    let levels: Vec<usize> =
        (0..bytes.len() - 5).filter(|&i| bytes[i..].starts_with(b"TREE\x01")).map(|i| bytes[i + 5].into()).collect();
    let count = |level: usize| levels.iter().filter(|&&l| l == level).count();
    assert_eq!([count(0), count(1), count(2), count(3)], [512, 8, 1, 0]);
    let volume = open(&path).unwrap();
    for at in
        [Index::new(0, 0, 0), Index::new(1, 31, 31), Index::new(2, 0, 0), Index::new(15, 7, 3), Index::new(31, 31, 30)]
    {
        let region = Region::new(at, Extent::new(1, 1, (32 - at.x).min(2)));
        assert_eq!(volume.read(region).unwrap(), truth.crop(region), "{region}");
    }
}

/// Ten million voxels of one value in a few kB are right; the same claimed of a chunk that cannot hold them is not.
#[test]
fn a_chunk_is_no_larger_than_its_bytes_allow() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.h5");
    let extent = Extent::new(10, 1000, 1000);
    let spec = VolumeSpec { extent, chunk: Some(extent), ..spec() };
    let writer = create(&path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, Voxels::U8(vec![9; extent.len()]))).unwrap();
    writer.finish().unwrap();
    let len = fs::metadata(&path).unwrap().len();
    // 45 to 101 kB, by the library that deflates.
    assert!(len < 110_000, "{len} bytes");
    let corner = Region::new(Index::new(9, 999, 990), Extent::new(1, 1, 10));
    assert_eq!(open(&path).unwrap().read(corner).unwrap().voxels(), &Voxels::U8(vec![9; 10]));
    let larger =
        VolumeSpec { extent: Extent::new(2, 1 << 15, 1 << 15), chunk: Some(Extent::new(2, 1 << 15, 1 << 15)), ..spec };
    let error = create(&path, &larger, true).err().unwrap().to_string();
    assert!(error.contains("at most 1 GiB"), "{error}");
}
