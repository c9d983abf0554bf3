//! The data doctor, as a user meets it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, Voxels, create, open};
use serde_json::Value;

const EXTENT: Extent = Extent::new(20, 160, 160);
const SECTION: usize = 160 * 160;

fn deep3m(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deep3m")).current_dir(folder).args(words).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)))
}

fn phantom(folder: &Path) {
    let output = deep3m(folder, &["phantom", "-o", "p", "--shape", "20,160,160", "--seed", "4"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn bytes(path: &Path) -> Vec<u8> {
    let Voxels::U8(bytes) = open(path).unwrap().read(Region::whole(EXTENT)).unwrap().into_voxels() else {
        panic!("bytes")
    };
    bytes
}

fn write(path: &Path, extent: Extent, voxels: Voxels) {
    let voxel_size = VoxelSize::new(30.0, 8.0, 8.0);
    let spec = VolumeSpec { extent, voxel_type: voxels.voxel_type(), voxel_size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, voxels)).unwrap();
    writer.finish().unwrap();
}

fn codes(found: &Value) -> Vec<(String, Option<u64>)> {
    let findings = found["findings"].as_array().unwrap();
    findings.iter().map(|f| (f["code"].as_str().unwrap().to_owned(), f["sections"][0].as_u64())).collect()
}

#[test]
fn a_sound_phantom_passes_and_damage_is_named_with_its_section() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    phantom(here);
    let sound = deep3m(here, &["check", "p/images.zarr", "p/mitochondria.zarr"]);
    let text = String::from_utf8(sound.stdout).unwrap();
    assert!(sound.status.success(), "{text}");
    assert!(text.contains("20 sections, 160 × 160, 8-bit, 30 × 8 × 8 nm"), "{text}");
    assert!(text.contains("✓ no section is blurred") && text.contains("0 errors, 0 warnings"), "{text}");

    // Three damaged sections in formats of their own.
    let mut images = bytes(&here.join("p/images.zarr"));
    images[5 * SECTION..6 * SECTION].fill(0);
    images.copy_within(11 * SECTION..12 * SECTION, 12 * SECTION);
    images[15 * SECTION..16 * SECTION].rotate_right(160 * 14 + 12);
    for name in ["damaged.tif", "damaged.zarr", "damaged"] {
        write(&here.join(name), EXTENT, Voxels::U8(images.clone()));
        let words = ["check", name, "p/mitochondria.zarr", "--json", "--memory", "150MB", "--voxel-size", "30,8,8"];
        let output = deep3m(here, &words);
        let found = json(&output);
        let expected = [("blank", 5), ("duplicate", 12), ("shifted", 15)];
        assert_eq!(codes(&found), expected.map(|(code, z)| (code.to_owned(), Some(z))), "{name}");
        assert_eq!((&found["errors"], &found["warnings"]), (&Value::from(0), &Value::from(3)));
        assert!(output.status.success(), "warnings are no failure");
        assert_eq!(found["images"]["sections"].as_array().unwrap().len(), 20);
    }
    // A slice of the folder lost.
    let slices: Vec<_> = std::fs::read_dir(here.join("damaged")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let lost = slices.iter().find(|path| path.to_string_lossy().contains("0008")).unwrap();
    std::fs::remove_file(lost).unwrap();
    let found = json(&deep3m(here, &["check", "damaged", "--json"]));
    assert!(codes(&found).contains(&("missing-files".to_owned(), Some(8))), "{found}");
}

#[test]
fn errors_have_their_exit_code_and_stop_a_training_before_it_begins() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    phantom(here);
    write(&here.join("narrow.tif"), Extent::new(20, 160, 150), Voxels::U8(vec![1; 20 * 160 * 150]));
    let output = deep3m(here, &["check", "p/images.zarr", "narrow.tif"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("✗ error") && text.contains("160 × 150") && text.contains("→"), "{text}");
    let floats = bytes(&here.join("p/images.zarr")).iter().map(|&v| f32::from(v)).collect::<Vec<_>>();
    let mut broken = floats.clone();
    broken[3 * SECTION + 7] = f32::NAN;
    write(&here.join("broken.tif"), EXTENT, Voxels::F32(broken));
    let trains = |more: &[&str]| {
        let words = ["train", "broken.tif", "p/mitochondria.zarr", "-o", "m", "--frames", "1", "--iterations", "1"];
        let small = ["--width", "0.05", "--patch", "32", "--batch", "1", "--device", "cpu"];
        deep3m(here, &[&words[..], &small, more].concat())
    };
    let refused = trains(&[]);
    let said = String::from_utf8_lossy(&refused.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("section 3") && said.contains("NaN") && said.contains("--no-check"), "{said}");
    assert!(!here.join("m").exists());
    // A warning is said, and the training goes on.
    let mut images = bytes(&here.join("p/images.zarr"));
    images[5 * SECTION..6 * SECTION].fill(0);
    write(&here.join("broken.zarr"), EXTENT, Voxels::U8(images));
    let words = ["train", "broken.zarr", "p/mitochondria.zarr", "-o", "m", "--frames", "1", "--iterations", "1"];
    let small = ["--width", "0.05", "--patch", "32", "--batch", "1", "--device", "cpu"];
    let trained = deep3m(here, &[&words[..], &small].concat());
    let said = String::from_utf8_lossy(&trained.stderr);
    assert!(trained.status.success(), "{said}");
    assert!(said.contains("section 5: no structure"), "{said}");
    // Asked to, it does not look.
    let output = deep3m(here, &[&words[..], &small, &["--overwrite", "--no-check"]].concat());
    assert!(!String::from_utf8_lossy(&output.stderr).contains("section 5"));
}
