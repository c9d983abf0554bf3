//! From a probability to objects, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open};
use serde_json::Value;

const EXTENT: Extent = Extent::new(40, 150, 170);

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

/// Balls of radius 6 on a lattice that no chunk follows, one of them hollow, in faint noise.
fn write_balls(path: &Path) -> u64 {
    let centres: Vec<[i64; 3]> = (0..2)
        .flat_map(|z| (0..5).flat_map(move |y| (0..6).map(move |x| [11 + 17 * z, 15 + 29 * y, 14 + 27 * x])))
        .collect();
    let value = |at: Index| {
        let (z, y, x) = (at.z as i64, at.y as i64, at.x as i64);
        let inside = centres.iter().enumerate().find_map(|(i, c)| {
            let distance = (z - c[0]).pow(2) + (y - c[1]).pow(2) + (x - c[2]).pow(2);
            (distance <= 36 && (i > 0 || distance > 9)).then_some(200)
        });
        inside.unwrap_or(((z * 31 + y * 17 + x * 7) % 90) as u8)
    };
    let voxels = Region::whole(EXTENT).tiles(Extent::new(1, 1, 1)).map(|voxel| value(voxel.start)).collect();
    let spec = VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U8,
        voxel_size: VoxelSize::new(30.0, 10.0, 10.0),
        chunk: None,
        provenance: None,
    };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U8(voxels))).unwrap();
    writer.finish().unwrap();
    centres.len() as u64
}

fn numbers(path: &Path) -> Block {
    let volume = open(path).unwrap();
    assert_eq!(volume.info().voxel_size, VoxelSize::new(30.0, 10.0, 10.0));
    volume.read(Region::whole(volume.info().extent)).unwrap()
}

#[test]
fn balls_are_numbered_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let balls = write_balls(&here.join("p.zarr"));
    let found: Value = serde_json::from_str(&passes(here, &["segment", "p.zarr", "-o", "o.zarr", "--json"])).unwrap();
    assert_eq!(found["objects"], balls);
    assert_eq!((&found["holes"], &found["at_border"]), (&Value::from(0), &Value::from(0)));
    let whole = numbers(&here.join("o.zarr"));
    assert_eq!(whole.voxels().iter().max(), Some(balls as u32));
    let voxels = found["voxels"].as_u64().unwrap();
    assert_eq!(voxels, whole.voxels().iter().filter(|&n| n > 0).count() as u64);
    assert!((found["volume_um3"].as_f64().unwrap() - voxels as f64 * 3e-6).abs() < 1e-9);
    for name in ["o.precomputed", "o.h5", "o.tif"] {
        let text = passes(here, &["segment", "p.zarr", "-o", name, "--threshold", "auto"]);
        assert!(text.contains(&format!("{balls} objects")) && text.contains("µm³"), "{text}");
        assert!(numbers(&here.join(name)).voxels().iter().eq(whole.voxels().iter()), "{name}");
    }
    // The hollow one is filled, and what is then of the usual size is left out.
    let words = ["segment", "p.zarr", "-o", "f.zarr", "--fill-holes", "0.01um3", "--max-size", "900", "--json"];
    let filled: Value = serde_json::from_str(&passes(here, &words)).unwrap();
    assert_eq!((filled["holes"].as_u64(), filled["objects"].as_u64()), (Some(1), Some(0)), "{filled}");
    assert_eq!(filled["hole_voxels"], 123, "voxels within 3 of the middle");
    // A part, pixels in sections for themselves: each ball is 13 objects.
    let words = ["segment", "p.zarr", "-o", "s.zarr", "--region", "5:18,0:150,0:170", "--connectivity", "8", "--json"];
    let flat: Value = serde_json::from_str(&passes(here, &words)).unwrap();
    assert_eq!(flat["objects"], 13 * balls / 2);
}

#[test]
fn what_is_there_stays_and_what_makes_no_sense_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_balls(&here.join("p.zarr"));
    passes(here, &["segment", "p.zarr", "-o", "o.zarr"]);
    let again = fails(here, &["segment", "p.zarr", "-o", "o.zarr"]);
    assert!(again.contains("o.zarr: already exists") && again.contains("--overwrite"), "{again}");
    // What a killed run left is no obstacle, and is not taken for a result.
    std::fs::rename(here.join("o.zarr"), here.join("o.zarr.partial")).unwrap();
    std::fs::remove_dir_all(here.join("o.zarr.partial/0/c/0")).unwrap();
    passes(here, &["segment", "p.zarr", "-o", "o.zarr"]);
    assert!(!here.join("o.zarr.partial").exists());
    passes(here, &["segment", "p.zarr", "-o", "o.zarr", "--overwrite", "--min-size", "100000"]);
    assert_eq!(numbers(&here.join("o.zarr")).voxels().iter().max(), Some(0));
    std::fs::create_dir(here.join("mine.zarr")).unwrap();
    std::fs::write(here.join("mine.zarr/thesis.txt"), "years of work").unwrap();
    let refused = fails(here, &["segment", "p.zarr", "-o", "mine.zarr", "--overwrite"]);
    assert!(refused.contains("thesis.txt"), "{refused}");
    assert!(here.join("mine.zarr/thesis.txt").exists());
    for (words, expected) in [
        (vec!["segment", "p.zarr", "-o", "p.zarr"], "is read by this command"),
        (vec!["segment", "p.zarr", "-o", "folder"], "without labels of 32 bits"),
        (vec!["segment", "p.zarr", "-o", "s3://lab/o.zarr"], "deep3m convert"),
        (vec!["segment", "o.zarr", "-o", "x.zarr"], "32-bit"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--region", "0:99,0:1,0:1"], "0:99"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--min-size", "5", "--max-size", "4"], "smallest size"),
        (vec!["segment", "absent.zarr", "-o", "x.zarr"], "absent.zarr"),
    ] {
        let error = fails(here, &words);
        assert!(error.contains(expected), "{words:?}: {error}");
        assert!(!here.join("x.zarr").exists() && !here.join("x.zarr.partial").exists());
    }
    let none = deep3m(here, &["segment", "p.zarr", "-o", "none.zarr", "--threshold", "0.9"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.success() && said.contains("no object from a probability of 0.902 on"), "{said}");
}
