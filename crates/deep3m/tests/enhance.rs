//! Images enhanced, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open};
use serde_json::Value;

const EXTENT: Extent = Extent::new(20, 150, 170);
const SECTION: usize = 150 * 170;

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
    // Long lines are broken where the terminal ends.
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ")
}

/// Cells in noise; section 7 is empty, section 12 dark.
fn images() -> Vec<u8> {
    let value = |i: usize| {
        let (z, y, x) = ((i / SECTION) as f64, (i / 170 % 150) as f64, (i % 170) as f64);
        let cells = ((y / 11.0 + z / 6.0).sin() + (x / 9.0 - z / 8.0).sin() + (x * y / 900.0).sin()) * 30.0;
        let noise = (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59) as f64;
        let grey = 120.0 + cells + noise;
        match i / SECTION {
            7 => 0,
            12 => (0.5 * grey) as u8,
            _ => grey as u8,
        }
    };
    (0..EXTENT.len()).map(value).collect()
}

fn write(path: &Path, extent: Extent, voxels: Voxels) {
    let voxel_size = VoxelSize::new(30.0, 8.0, 8.0);
    let spec = VolumeSpec { extent, voxel_type: voxels.voxel_type(), voxel_size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, voxels)).unwrap();
    writer.finish().unwrap();
}

fn read(path: &Path) -> Block {
    let volume = open(path).unwrap();
    volume.read(Region::whole(volume.info().extent)).unwrap()
}

fn mean(block: &Block, z: usize) -> f64 {
    (0..SECTION).map(|i| block.voxels().value(z * SECTION + i)).sum::<f64>() / SECTION as f64
}

#[test]
fn bad_sections_are_repaired_and_all_are_evened_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(&here.join("v.zarr"), EXTENT, Voxels::U8(images()));
    let words = ["enhance", "v.zarr", "-o", "o.zarr", "--repair", "auto", "--even", "--json"];
    let done: Value = serde_json::from_str(&passes(here, &words)).unwrap();
    assert_eq!(done["measured"]["repaired"], serde_json::json!([7]), "the dark one is evened");
    let whole = read(&here.join("o.zarr"));
    let means: Vec<f64> = (0..20).map(|z| mean(&whole, z)).collect();
    assert!(means.iter().all(|m| (m - means[0]).abs() < 10.0), "{means:?}");
    assert_eq!(open(&here.join("o.zarr")).unwrap().info().voxel_size, VoxelSize::new(30.0, 8.0, 8.0));
    let metadata = std::fs::read_to_string(here.join("o.zarr/zarr.json")).unwrap();
    assert!(metadata.contains("\"repaired\"") && metadata.contains("enhanced images"), "{metadata}");
    for name in ["o.tif", "o.h5", "slices"] {
        let words = ["enhance", "v.zarr", "-o", name, "--repair", "7", "--even", "--memory", "120MB"];
        assert!(passes(here, &words).contains("repaired sections: 7"));
        assert_eq!(read(&here.join(name)), whole, "{name}");
    }
    // All steps at once are the steps one after another.
    let steps = [
        &["--repair", "7"][..],
        &["--even=volume"],
        &["--contrast", "1,99"],
        &["--denoise", "tv", "--strength", "0.5"],
        &["--clahe=4", "--clip", "0.02"],
    ];
    passes(here, &[&["enhance", "v.zarr", "-o", "all.zarr"][..], &steps.concat()].concat());
    let mut last = "v.zarr".to_owned();
    for (i, step) in steps.iter().enumerate() {
        let next = format!("step-{i}.zarr");
        passes(here, &[&["enhance", &last, "-o", &next][..], step].concat());
        last = next;
    }
    assert_eq!(read(&here.join("all.zarr")), read(&here.join(&last)));
    // A part.
    passes(here, &["enhance", "v.zarr", "-o", "part.zarr", "--contrast", "1,99", "--region", "0:4,0:64,0:64"]);
    assert_eq!(read(&here.join("part.zarr")).extent(), Extent::new(4, 64, 64));
}

#[test]
fn deep_images_become_like_the_training_images() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let deep = images().iter().map(|&v| 3000 + 40 * u16::from(v)).collect();
    write(&here.join("deep.zarr"), EXTENT, Voxels::U16(deep));
    write(&here.join("training.tif"), EXTENT, Voxels::U8(images()));
    passes(here, &["enhance", "deep.zarr", "-o", "m.zarr", "--match", "training.tif"]);
    let matched = read(&here.join("m.zarr"));
    assert_eq!(matched.voxels().voxel_type(), VoxelType::U8);
    assert_eq!(matched.voxels(), &Voxels::U8(images()), "the same order of greys: the same greys");
    passes(here, &["enhance", "deep.zarr", "-o", "old", "--like", "cdeep3m2"]);
    assert_eq!(read(&here.join("old")).voxels().voxel_type(), VoxelType::U8);
}

#[test]
fn what_makes_no_sense_is_said_and_nothing_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(&here.join("v.zarr"), EXTENT, Voxels::U8(images()));
    write(&here.join("ids.tif"), Extent::new(1, 4, 4), Voxels::U32((0..16).collect()));
    for (more, expected) in [
        (&[][..], "nothing to do"),
        (&["--repair", "20"], "sections from 0 to 19"),
        (&["--repair", "0-19"], "at least one good section"),
        (&["--match", "ids.tif"], "32-bit"),
        (&["--match", "absent.tif"], "absent.tif"),
        (&["--contrast", "1,99", "--region", "0:99,0:1,0:1"], "0:99"),
        (&["--even", "--memory", "1MB"], "--memory"),
    ] {
        let error = fails(here, &[&["enhance", "v.zarr", "-o", "x.zarr"][..], more].concat());
        assert!(error.contains(expected), "{more:?}: {error}");
        assert!(!here.join("x.zarr").exists(), "{more:?}");
    }
    let error = fails(here, &["enhance", "v.zarr", "-o", "v.zarr", "--even"]);
    assert!(error.contains("is read by this command"), "{error}");
    for words in [&["--contrast", "99,1"][..], &["--like", "cdeep3m2", "--clahe"], &["--strength", "2"]] {
        let output = deep3m(here, &[&["enhance", "v.zarr", "-o", "x.zarr"][..], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}");
    }
}
