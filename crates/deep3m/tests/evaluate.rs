//! A prediction against the truth, in every way that a user can ask for.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create};
use serde_json::Value;

const EXTENT: Extent = Extent::new(20, 90, 110);

fn deep3m(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deep3m")).current_dir(folder).args(words).output().unwrap()
}

fn passes(folder: &Path, words: &[&str]) -> String {
    let output = deep3m(folder, words);
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_str(&passes(folder, &[words, &["--json"]].concat())).unwrap()
}

/// What a failed command says, in one line.
fn fails(folder: &Path, words: &[&str]) -> String {
    let output = deep3m(folder, words);
    assert!(!output.status.success(), "{words:?}");
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ")
}

fn write(path: &Path, extent: Extent, size: Option<[f64; 3]>, value: impl Fn(Index) -> u8) {
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| value(voxel.start)).collect();
    let voxel_size = size.and_then(|[z, y, x]| VoxelSize::new(z, y, x));
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, Voxels::U8(voxels))).unwrap();
    writer.finish().unwrap();
}

/// Which of six balls a voxel belongs to, when all are moved along x; 0 is none.
fn ball(at: Index, moved: i64, radius2: i64) -> u8 {
    let (z, y, x) = (at.z as i64, at.y as i64, at.x as i64 - moved);
    (0..6_i64)
        .find(|n| (z - 10).pow(2) + (y - 20 - 45 * (n / 3)).pow(2) + (x - 20 - 33 * (n % 3)).pow(2) <= radius2)
        .map_or(0, |n| n as u8 + 1)
}

const SIZE: Option<[f64; 3]> = Some([30.0, 10.0, 10.0]);

/// A probability, its truth and both as objects: everything is 3 voxels off, and in the prediction one ball is missing.
fn volumes(here: &Path) {
    let found = |at: Index| Some(ball(at, 3, 49)).filter(|&n| n != 6).unwrap_or(0);
    write(&here.join("p.zarr"), EXTENT, SIZE, |at| if found(at) > 0 { 220 } else { 10 + (at.x % 60) as u8 });
    write(&here.join("t.zarr"), EXTENT, SIZE, |at| 255 * ball(at, 0, 49).min(1));
    write(&here.join("po.zarr"), EXTENT, SIZE, found);
    write(&here.join("to.zarr"), EXTENT, SIZE, |at| ball(at, 0, 49));
}

#[test]
fn surfaces_calibration_and_plots() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    volumes(here);
    let words = ["evaluate", "p.zarr", "t.zarr", "--surface", "--calibration", "--calibration-file", "c.json"];
    let all = json(here, &[&words[..], &["--plot", "plots"]].concat());
    assert_eq!(all["surface"]["unit"], "nm");
    // Moved by three voxels of 10 nm; the surface of the ball that is missing is further away.
    assert_eq!(all["surface"]["prediction_to_truth"]["max"], 30.0);
    assert!(all["surface"]["hausdorff"].as_f64().unwrap() > 150.0);
    assert!(all["calibration"]["brier_score"].as_f64().unwrap() < 0.1);
    assert!(all["voxel"][0]["f1"].as_f64().unwrap() > 0.5);
    let curve: Value = serde_json::from_slice(&std::fs::read(here.join("c.json")).unwrap()).unwrap();
    assert_eq!((&curve["version"], &curve["kind"]), (&Value::from(1), &Value::from("calibration")));
    assert_eq!(curve["probability"].as_array().unwrap().len(), 256);
    for (name, word) in [("calibration", "perfect"), ("precision-recall", "recall"), ("thresholds", "Jaccard")] {
        let svg = std::fs::read_to_string(here.join(format!("plots/{name}.svg"))).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains(word), "{name}");
    }
    // The same in little memory, and in words.
    let small = json(here, &["evaluate", "p.zarr", "t.zarr", "--surface", "--memory", "80MB"]);
    assert_eq!(small["surface"], all["surface"]);
    assert!(small.get("calibration").is_none());
    let text = passes(here, &words);
    assert!(text.contains("Hausdorff 95 %") && text.contains("expected calibration error"), "{text}");
    let unsized_words = ["evaluate", "p.zarr", "t.zarr", "--surface", "--voxel-size", "60,20,20"];
    assert_eq!(json(here, &unsized_words)["surface"]["prediction_to_truth"]["max"], 60.0);
}

#[test]
fn objects_and_places() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    volumes(here);
    let words = ["evaluate", "po.zarr", "to.zarr", "--objects", "--plot", "plots"];
    let objects = json(here, &words)["objects"].clone();
    assert_eq!((&objects["predicted"], &objects["truth"]), (&Value::from(5), &Value::from(6)));
    assert!(std::fs::read_to_string(here.join("plots/objects.svg")).unwrap().contains("panoptic"));
    assert_eq!(json(here, &["evaluate", "po.zarr", "to.zarr", "--objects", "--memory", "80MB"])["objects"], objects);

    let places = |words: &[&str]| json(here, &[&["evaluate"], words, &["--points"]].concat())["points"].clone();
    let found = places(&["po.zarr", "to.zarr", "--distance", "3.1vx"]);
    assert_eq!((found["true_positives"].as_u64(), found["false_negatives"].as_u64()), (Some(5), Some(1)));
    assert_eq!((&found["unit"], found["mean_distance"].as_f64()), (&Value::from("nm"), Some(30.0)));
    assert_eq!(places(&["po.zarr", "to.zarr", "--distance", "29nm"])["true_positives"], 0);
    // A table of the same places, in nm or in voxels.
    let centres = |scale: [i64; 3]| -> String {
        let place = |n: i64| [10, 20 + 45 * (n / 3), 20 + 33 * (n % 3)];
        let row =
            |n| place(n).iter().zip(scale).map(|(at, scale)| (at * scale).to_string()).collect::<Vec<_>>().join(",");
        (0..6).map(|n| row(n) + "\n").collect()
    };
    let table =
        |name: &str, head: &str, scale| std::fs::write(here.join(name), format!("{head}\n{}", centres(scale))).unwrap();
    table("t.csv", "centroid_z_nm,centroid_y_nm,centroid_x_nm", [30, 10, 10]);
    table("v.csv", "z,y,x", [1, 1, 1]);
    for truth in ["t.csv", "v.csv"] {
        assert_eq!(
            places(&["po.zarr", truth, "--distance", "0.031um"]),
            places(&["po.zarr", "to.zarr", "--distance", "31nm"])
        );
    }
    let half = places(&["t.csv", "to.zarr", "--distance", "1nm", "--region", "0:20,0:45,0:110"]);
    assert_eq!((&half["truth"], &half["f1"]), (&Value::from(3), &Value::from(1.0)));
    let text = passes(here, &["evaluate", "po.zarr", "t.csv", "--points", "--distance", "40nm"]);
    assert!(text.contains("5 matches, 0 only predicted, 1 only true"), "{text}");
}

#[test]
fn annotators_and_their_consensus() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    volumes(here);
    for (name, moved) in [("a.zarr", 0), ("b.zarr", 1), ("c.zarr", -1)] {
        write(&here.join(name), EXTENT, None, |at| ball(at, moved, 49).min(1));
    }
    let words = ["evaluate", "p.zarr", "a.zarr", "b.zarr", "c.zarr", "--annotators", "--exclusion", "0,1"];
    let found = json(here, &words);
    // Two of three agree with the one in the middle.
    let rows = found["against_consensus"].as_array().unwrap();
    assert_eq!(rows.len(), 2 * 2 * 4);
    let middle = rows.iter().find(|row| row["rater"] == 1 && row["consensus"] == "majority").unwrap();
    assert!(middle["f1"].as_f64().unwrap() > 0.99 && middle["counts"]["fn"] == 0, "{middle}");
    assert!(found["staple"]["annotators"][0]["sensitivity"].as_f64().unwrap() > 0.99);
    assert_eq!(found["pairs"].as_array().unwrap().len(), 6);
    assert_eq!(json(here, &[&words[..], &["--memory", "80MB"]].concat()), found);
    let text = passes(here, &words);
    assert!(text.contains("against STAPLE") && text.contains("annotator 3"), "{text}");
}

#[test]
fn what_does_not_go_together_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    volumes(here);
    let part = Region::new(Index::new(5, 10, 0), Extent::new(10, 40, 110));
    let moved = |at: Index| Index::new(at.z + 5, at.y + 10, at.x);
    write(&here.join("part.zarr"), part.extent, SIZE, |at| 200 * ball(moved(at), 3, 49).min(1));
    write(&here.join("other.zarr"), EXTENT, Some([30.0, 8.0, 8.0]), |_| 0);
    write(&here.join("bare.zarr"), EXTENT, None, |at| ball(at, 0, 49));
    for (words, parts) in [
        (vec!["part.zarr", "t.zarr"], vec!["10 × 40 × 110", "20 × 90 × 110", "--region"]),
        (vec!["po.zarr", "part.zarr", "--objects"], vec!["10 × 40 × 110", "--region"]),
        (vec!["p.zarr", "other.zarr"], vec!["30 × 10 × 10 nm", "30 × 8 × 8 nm", "--voxel-size"]),
        (vec!["p.zarr", "t.zarr", "t.zarr"], vec!["2 truths", "--annotators"]),
        (vec!["p.zarr", "t.zarr", "--annotators"], vec!["2 to 16"]),
        (vec!["po.zarr", "to.zarr", "--points"], vec!["--distance"]),
        (vec!["p.zarr", "t.zarr", "--distance", "4nm"], vec!["--points"]),
        (vec!["bare.zarr", "bare.zarr", "--points", "--distance", "40nm"], vec!["--voxel-size"]),
        (vec!["p.zarr", "t.zarr", "--surface", "--memory", "21MB"], vec!["--memory"]),
    ] {
        let error = fails(here, &[&["evaluate"], &words[..]].concat());
        assert!(parts.iter().all(|part| error.contains(part)), "{words:?}: {error}");
    }
    std::fs::write(here.join("t.csv"), "z_nm,y_nm,x_nm\n1,2,3\n").unwrap();
    let error = fails(here, &["evaluate", "bare.zarr", "t.csv", "--points", "--distance", "40nm"]);
    assert!(error.contains("bare.zarr") && error.contains("--voxel-size"), "{error}");
    // With a region that has the part's size, the part is compared in its place.
    let region = ["--region", "5:15,10:50,0:110", "--exclusion", "0,2"];
    let whole = json(here, &[&["evaluate", "p.zarr", "t.zarr"], &region[..]].concat());
    let cut = json(here, &[&["evaluate", "part.zarr", "t.zarr"], &region[..]].concat());
    assert_eq!(whole["counts"], cut["counts"]);
    assert!(whole["counts"][0]["confusion"]["tp"].as_u64().unwrap() > 1000);
    // Nothing there and nothing predicted has no score.
    write(&here.join("empty.zarr"), EXTENT, None, |_| 0);
    let output = deep3m(here, &["evaluate", "empty.zarr", "empty.zarr", "--surface", "--json"]);
    let none: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(none["voxel"][0]["jaccard"].is_null() && none["surface"]["hausdorff"].is_null());
    assert!(String::from_utf8_lossy(&output.stderr).contains("empty.zarr: no foreground"));
    let objects = json(here, &["evaluate", "empty.zarr", "empty.zarr", "--objects"])["objects"].clone();
    assert_eq!((&objects["predicted"], &objects["adapted_rand_error"]), (&Value::from(0), &Value::from(0.0)));
    let words = ["evaluate", "empty.zarr", "empty.zarr", "empty.zarr", "empty.zarr", "--annotators"];
    assert!(json(here, &words)["staple"]["annotators"][0]["sensitivity"].is_null());
}
