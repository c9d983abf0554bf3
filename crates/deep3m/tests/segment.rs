//! From a probability to objects, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_net::{DeviceChoice, Frames, ModelDir, ModelManifest, NetConfig, Normalisation};
use deep3m_volume::{Binning, Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open};
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
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--watershed", "--h", "0.5"], "expected a length"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--watershed", "probability", "--h", "5nm"], "from 0 to 1"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--watershed", "--smooth", "5nm"], "--watershed probability"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--watershed", "probability", "--smooth", "9um"], "32 voxels"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--memory", "10MB"], "--memory"),
        (vec!["segment", "p.zarr", "-o", "x.zarr", "--tune", "o.zarr", "--memory", "25MB"], "a smaller part"),
    ] {
        let error = fails(here, &words);
        assert!(error.contains(expected), "{words:?}: {error}");
        assert!(!here.join("x.zarr").exists() && !here.join("x.zarr.partial").exists());
    }
    let none = deep3m(here, &["segment", "p.zarr", "-o", "none.zarr", "--threshold", "0.9"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.success() && said.contains("no object from a probability of 0.902 on"), "{said}");
}

/// Writes a volume of floating-point or 8-bit voxels in chunks that are small.
fn write(path: &Path, extent: Extent, voxels: Voxels) {
    let voxel_type = voxels.voxel_type();
    let size = VoxelSize::new(30.0, 10.0, 10.0);
    let spec = VolumeSpec { extent, voxel_type, voxel_size: size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, voxels)).unwrap();
    writer.finish().unwrap();
}

/// Balls of radius 8 on a lattice of 13: they touch, and are higher in their middles.
fn write_touching_balls(path: &Path, extent: Extent) {
    let value = |at: Index| {
        let off = |v: u64, scale: f64| ((v % 13) as f64 - 6.0) * scale;
        let distance = (off(at.z, 1.0).powi(2) + off(at.y, 1.0).powi(2) + off(at.x, 1.0).powi(2)).sqrt();
        (255.0 - 16.0 * distance).max(0.0) as u8
    };
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| value(voxel.start)).collect();
    write(path, extent, Voxels::U8(voxels));
}

#[test]
fn balls_that_touch_are_told_apart_with_much_and_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let extent = Extent::new(65, 260, 390);
    let balls = 5 * 20 * 30;
    write_touching_balls(&here.join("p.zarr"), extent);
    let found = |out: &str, words: &[&str]| -> Value {
        let all = [&["segment", "p.zarr", "-o", out, "--threshold", "0.55", "--json"], words].concat();
        serde_json::from_str(&passes(here, &all)).unwrap()
    };
    assert_eq!(found("one.zarr", &[])["objects"], 1, "they touch");
    // As if voxels were cubes: with flat ones the distance along z hides the necks.
    let cubes = ["--watershed", "--h", "10nm", "--voxel-size", "10,10,10"];
    let many = found("many.zarr", &cubes);
    assert_eq!((&many["objects"], &many["watershed"]["h"]), (&Value::from(balls), &Value::from(10.0)));
    for (out, memory) in [("little.zarr", "80MB"), ("little.tif", "90MB")] {
        let little = found(out, &[&cubes[..], &["--memory", memory]].concat());
        assert_eq!(little["objects"], balls, "{out}");
        let read = |name: &str| open(&here.join(name)).unwrap().read(Region::whole(extent)).unwrap().into_voxels();
        assert!(read(out).iter().eq(read("many.zarr").iter()), "{out}");
    }
    let by_value = found("dips.zarr", &["--watershed", "probability", "--smooth", "10nm", "--h", "0.1"]);
    assert_eq!(by_value["objects"], balls);
    let together = found("together.zarr", &["--watershed", "--h", "9um"]);
    assert_eq!((&together["objects"], &together["voxels"]), (&Value::from(1), &many["voxels"]));
    let left: Vec<_> = std::fs::read_dir(here).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        left.iter().all(|name| ["zarr", "tif"].iter().any(|end| name.to_string_lossy().ends_with(end))),
        "{left:?}"
    );
}

#[test]
fn settings_are_tuned_on_a_part() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let extent = Extent::new(39, 104, 130);
    write_touching_balls(&here.join("p.zarr"), extent);
    let cubes = ["--voxel-size", "10,10,10", "--watershed"];
    let common = ["segment", "p.zarr", "-o"];
    passes(here, &[&common[..], &["truth.zarr", "--threshold", "0.6"], &cubes].concat());
    let tune = ["--tune", "truth.zarr", "--region", "0:26,0:104,0:104", "--tune-plot", "tuned.svg"];
    let dry = passes(here, &[&["segment", "p.zarr", "--dry-run"], &cubes[..], &tune].concat());
    assert!(dry.contains("best by F1 of objects (IoU 0.5): threshold 0.6"), "{dry}");
    assert_eq!(dry.lines().count(), 1 + 9 * 2 * 5 + 1);
    assert!(std::fs::read_to_string(here.join("tuned.svg")).unwrap().contains("neighbours"));
    let text = passes(here, &[&common[..], &["best.zarr", "--json", "--by", "rand"], &cubes, &tune].concat());
    let done: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((done["tuned"].as_array().unwrap().len(), &done["objects"]), (90, &Value::from(3 * 8 * 10)), "{text}");
    assert!((done["threshold"].as_f64().unwrap() - 0.6).abs() < 1e-9 && done["tuned"][4]["f1"].as_f64().unwrap() > 0.0);
    let other = fails(here, &["segment", "p.zarr", "--dry-run", "--tune", "tuned.svg"]);
    assert!(other.contains("tuned.svg"), "{other}");
    write(&here.join("small.zarr"), Extent::new(2, 3, 4), Voxels::U8(vec![1; 24]));
    let sizes = fails(here, &["segment", "p.zarr", "--dry-run", "--tune", "small.zarr"]);
    assert!(sizes.contains("--region") && sizes.contains("2 × 3 × 4"), "{sizes}");
}

#[test]
fn a_killed_run_goes_on_and_never_mixes_settings() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_touching_balls(&here.join("p.zarr"), Extent::new(65, 260, 650));
    let words = |out: &'static str, threshold: &'static str| {
        ["segment", "p.zarr", "-o", out, "--threshold", threshold, "--watershed", "--voxel-size", "10,10,10"]
    };
    passes(here, &words("whole.zarr", "0.55"));
    passes(here, &words("other.zarr", "0.6"));
    let log = here.join("o.zarr.partial.log");
    let boxes = || std::fs::read_to_string(&log).unwrap_or_default().lines().count().saturating_sub(2);
    let read = |name: &str| {
        let volume = open(&here.join(name)).unwrap();
        volume.read(Region::whole(volume.info().extent)).unwrap()
    };
    let mut went_on = 0;
    for (round, threshold) in [(0, "0.55"), (1, "0.6"), (2, "0.55")] {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deep3m"))
            .current_dir(here)
            .args(words("o.zarr", "0.55"))
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        while boxes() == 0 && child.try_wait().unwrap().is_none() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        if !here.join("o.zarr").exists() {
            assert!(boxes() > 0, "killed while it wrote");
            if round == 2 {
                // The input becomes another: what was written is no part of the result.
                std::fs::remove_dir_all(here.join("p.zarr")).unwrap();
                write_touching_balls(&here.join("q.zarr"), Extent::new(65, 260, 650));
                let hole = open(&here.join("q.zarr")).unwrap().read(Region::whole(Extent::new(65, 260, 650))).unwrap();
                let mut voxels: Vec<u8> = hole.voxels().iter().map(|v| v as u8).collect();
                voxels[..1_000_000].fill(0);
                write(&here.join("p.zarr"), Extent::new(65, 260, 650), Voxels::U8(voxels));
                passes(here, &words("changed.zarr", "0.55"));
            }
            let output = deep3m(here, &words("o.zarr", threshold));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{said}");
            assert_eq!(said.contains("going on"), round == 0, "{said}");
            assert_eq!(said.contains("has changed"), round == 2, "{said}");
            went_on += 1;
            let expected = ["whole.zarr", "other.zarr", "changed.zarr"][round];
            assert!(read("o.zarr") == read(expected), "{round}");
        }
        assert!(!log.exists() && !here.join("o.zarr.partial").exists());
        std::fs::remove_dir_all(here.join("o.zarr")).unwrap();
    }
    assert!(went_on > 0, "no run was killed in time");
}

#[test]
fn odd_volumes_are_segmented_or_refused_with_the_place() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let extent = Extent::new(4, 5, 6);
    let mut values = vec![0.25_f32; extent.len()];
    values[extent.offset(Index::new(2, 3, 4))] = f32::NAN;
    write(&here.join("nan.zarr"), extent, Voxels::F32(values));
    for more in [&[][..], &["--watershed"], &["--watershed", "probability"], &["--threshold", "auto"]] {
        let error = fails(here, &[&["segment", "nan.zarr", "-o", "x.zarr"], more].concat());
        assert!(error.contains("voxel 2,3,4") && error.contains("NaN"), "{error}");
        assert!(!here.join("x.zarr").exists());
    }
    write(&here.join("full.zarr"), extent, Voxels::U8(vec![255; extent.len()]));
    write(&here.join("empty.zarr"), extent, Voxels::U8(vec![0; extent.len()]));
    for (name, objects) in [("full.zarr", 1), ("empty.zarr", 0)] {
        for more in
            [&[][..], &["--watershed"], &["--watershed", "probability"], &["--watershed", "--connectivity", "4"]]
        {
            let all = [&["segment", name, "-o", "x.zarr", "--overwrite", "--json"], more].concat();
            let found: Value = serde_json::from_str(&passes(here, &all)).unwrap();
            let expected = if more.contains(&"4") { 4 * objects } else { objects };
            assert_eq!(found["objects"], expected, "{all:?}");
        }
    }
}

#[test]
fn a_threshold_comes_from_the_validation_of_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let path = here.join("model");
    let manifest = ModelManifest::new(Normalisation::Raw, Binning::NONE, VoxelType::U8);
    let mut model = ModelDir::create(&path, manifest).unwrap();
    let net = NetConfig::with_width(Frames::One, 0.01).unwrap().init(&DeviceChoice::Cpu.open().unwrap(), 1);
    let measured = serde_json::from_str(r#"{"jaccard": 0.8, "best_threshold": 0.4}"#).unwrap();
    model.save_network(&net, 0, 0.0, measured).unwrap();
    let sha256 = model.manifest.networks[&Frames::One].sha256.clone();
    let predicted = |name: &str, path: &Path, sha256: &str| {
        let model = serde_json::json!({ "path": path, "weights": { "1fm": sha256 } });
        let provenance = Some(serde_json::json!({ "kind": "probability", "run": { "model": model } }));
        let extent = Extent::new(1, 1, 4);
        let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size: None, chunk: None, provenance };
        let writer = create(&here.join(name), &spec, false).unwrap();
        writer.write(Index::default(), &Block::new(extent, Voxels::U8(vec![20, 100, 102, 250]))).unwrap();
        writer.finish().unwrap();
    };
    predicted("p.zarr", &path, &sha256);
    predicted("old.zarr", &path, "another");
    predicted("away.zarr", &here.join("moved"), &sha256);
    // 0.4 is 102 of 255; the values' own threshold lies anywhere above 20.
    for (name, said, voxels) in [
        ("p.zarr", "0.400, the best of the validation", Some(2)),
        ("old.zarr", "(Otsu)", None),
        ("old.zarr", "has been trained on since", None),
        ("away.zarr", "its model is not in", None),
    ] {
        let output = deep3m(here, &["segment", name, "-o", "o.zarr", "--overwrite", "--json", "--threshold", "auto"]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success() && stderr.contains(said), "{stderr}");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(voxels.is_none_or(|voxels| found["voxels"] == voxels && found["threshold"] == 0.4), "{found}");
    }
}
