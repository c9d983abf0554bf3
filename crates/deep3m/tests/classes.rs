//! Several classes in one volume, and over the images, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open};
use serde_json::Value;

const EXTENT: Extent = Extent::new(3, 60, 80);

fn deep3m(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deep3m")).current_dir(folder).args(words).output().unwrap()
}

fn passes(folder: &Path, words: &[&str]) -> String {
    let output = deep3m(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn fails(folder: &Path, words: &[&str]) -> String {
    let output = deep3m(folder, words);
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn write(path: &Path, value: impl Fn(Index) -> u8) {
    let voxels = Region::whole(EXTENT).tiles(Extent::new(1, 1, 1)).map(|voxel| value(voxel.start)).collect();
    let voxel_size = VoxelSize::new(30.0, 8.0, 8.0);
    let spec = VolumeSpec { extent: EXTENT, voxel_type: VoxelType::U8, voxel_size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U8(voxels))).unwrap();
    writer.finish().unwrap();
}

#[test]
fn classes_are_combined_and_drawn() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path();
    write(&folder.join("images.zarr"), |at| (at.x * 2 + at.y) as u8);
    write(&folder.join("left.zarr"), |at| if at.x < 50 { 200 } else { 10 });
    write(&folder.join("right.zarr"), |at| if at.x >= 30 { 220 } else { 10 });
    let words = ["combine", "left=left.zarr", "right=right.zarr", "-o"];
    let found: Value = serde_json::from_str(&passes(folder, &[&words[..], &["a.zarr", "--json"]].concat())).unwrap();
    let section = 3 * 60;
    assert_eq!(found["of_class"], serde_json::json!({ "left": 30 * section, "right": 50 * section }));
    assert_eq!(found["disputed"], 20 * section);
    passes(folder, &[&words[..], &["b.zarr", "--priority", "left"]].concat());
    let row = |name: &str| -> Vec<u32> {
        let volume = open(&folder.join(name)).unwrap();
        assert_eq!(volume.info().voxel_size, VoxelSize::new(30.0, 8.0, 8.0));
        volume.read(Region::new(Index::new(1, 7, 0), Extent::new(1, 1, 80))).unwrap().voxels().iter().collect()
    };
    let expected = |border: usize| (0..80).map(|x| if x < border { 1 } else { 2 }).collect::<Vec<u32>>();
    assert_eq!((row("a.zarr"), row("b.zarr")), (expected(30), expected(50)));
    assert!(fails(folder, &[&words[..], &["c.zarr", "--priority", "middle"]].concat()).contains("left, right"));
    assert!(fails(folder, &["combine", "a=left.zarr", "a=right.zarr", "-o", "c.zarr"]).contains("twice"));

    let drawn = ["overlay", "images.zarr", "left.zarr", "right.zarr", "-o", "pictures", "--montage", "2"];
    let text = passes(folder, &[&drawn[..], &["--style", "both", "--sections", "0,2"]].concat());
    assert!(text.contains("2 pictures") && text.contains("orange: right.zarr"), "{text}");
    for name in ["0000.png", "0002.png", "montage.png"] {
        assert!(std::fs::read(folder.join("pictures").join(name)).unwrap().starts_with(b"\x89PNG"), "{name}");
    }
    assert!(!folder.join("pictures/0001.png").exists());
    assert!(fails(folder, &[&drawn[..], &["--sections", "9"]].concat()).contains("0 to 2"));
}
