//! Counting round objects, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create};
use serde_json::Value;

const EXTENT: Extent = Extent::new(12, 120, 150);

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
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ")
}

/// Centres of vesicles in nm (z, y, x): groups of four that touch, the last of all cut by the high border along x.
fn centres() -> Vec<[f64; 3]> {
    let corners = (0..3).flat_map(|z| (0..4).flat_map(move |y| (0..5).map(move |x| [z, y, x])));
    corners
        .flat_map(|[z, y, x]| {
            let first = [60.0 + 105.0 * f64::from(z), 100.0 + 230.0 * f64::from(y), 90.0 + 240.0 * f64::from(x)];
            [[0.0, 0.0], [41.0, 0.0], [0.0, 41.0], [41.0, 41.0]]
                .map(|by| [first[0], first[1] + by[0], first[2] + by[1]])
        })
        .chain([[60.0, 40.0, 1190.0]])
        .collect()
}

fn write(path: &Path, voxel_type: VoxelType, size: Option<VoxelSize>, value: impl Fn(Option<usize>) -> u32) {
    let all = centres();
    let values: Vec<u32> = Region::whole(EXTENT)
        .tiles(Extent::new(1, 1, 1))
        .map(|voxel| {
            let at = [voxel.start.z as f64 * 30.0, voxel.start.y as f64 * 8.0, voxel.start.x as f64 * 8.0];
            let inside = |c: &[f64; 3]| (0..3).map(|i| (at[i] - c[i]) * (at[i] - c[i])).sum::<f64>() <= 400.0;
            value(all.iter().position(inside))
        })
        .collect();
    let voxels = match voxel_type {
        VoxelType::U8 => Voxels::U8(values.iter().map(|&v| v as u8).collect()),
        _ => Voxels::U32(values),
    };
    let spec = VolumeSpec { extent: EXTENT, voxel_type, voxel_size: size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, voxels)).unwrap();
    writer.finish().unwrap();
}

fn write_all(folder: &Path) {
    let size = VoxelSize::new(30.0, 8.0, 8.0);
    write(&folder.join("p.zarr"), VoxelType::U8, size, |at| at.map_or(10, |_| 230));
    write(&folder.join("labels.zarr"), VoxelType::U32, size, |at| at.map_or(0, |i| u32::MAX - i as u32));
    write(&folder.join("unsized.zarr"), VoxelType::U8, None, |at| at.map_or(0, |_| 1));
    write(&folder.join("deviation.zarr"), VoxelType::U8, size, |at| at.map_or(5, |i| if i < 20 { 200 } else { 5 }));
}

#[test]
fn vesicles_are_counted_and_shown() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_all(here);
    let all = centres().len();
    let words = ["count", "p.zarr", "--diameter", "40nm", "-o", "v.csv", "--overlay", "pictures", "--neuroglancer"];
    let rest = ["state.json", "--imod", "points.txt", "--uncertainty", "deviation.zarr", "--json"];
    let found: Value = serde_json::from_str(&passes(here, &[&words[..], &rest[..]].concat())).unwrap();
    assert_eq!((found["counted"].as_u64(), found["at_border"].as_u64()), (Some(all as u64), Some(1)), "{found}");
    assert_eq!(found["counted_low"].as_u64(), Some(all as u64 - 20), "{found}");
    assert!((found["diameter_mean"].as_f64().unwrap() - 40.0).abs() < 4.0, "{found}");
    let csv = std::fs::read_to_string(here.join("v.csv")).unwrap();
    assert_eq!(csv.lines().count(), all + 1);
    assert!(csv.starts_with("id,z,y,x,z_nm,y_nm,x_nm,radius_nm,plane,confidence,touches_border,counted\n"));
    for row in csv.lines().skip(1).map(|line| line.split(',').collect::<Vec<_>>()) {
        let at: Vec<f64> = row[4..7].iter().map(|cell| cell.parse().unwrap()).collect();
        let near = |c: &[f64; 3]| (c[0] - at[0]).abs() < 15.0 && (c[1] - at[1]).hypot(c[2] - at[2]) < 6.0;
        assert!(centres().iter().any(near), "{row:?}");
    }
    assert_eq!(std::fs::read_dir(here.join("pictures")).unwrap().count(), EXTENT.z as usize);
    let state: Value = serde_json::from_str(&std::fs::read_to_string(here.join("state.json")).unwrap()).unwrap();
    let first = &state["layers"][0]["annotations"][0];
    assert_eq!((first["type"].as_str(), state["layers"][0]["type"].as_str()), (Some("ellipsoid"), Some("annotation")));
    // The first row of the table, in voxels from the first voxel's corner, x first.
    let cell = |i: usize| csv.lines().nth(1).unwrap().split(',').nth(i).unwrap().parse::<f64>().unwrap();
    assert_eq!(first["center"], serde_json::json!([cell(3) + 0.5, cell(2) + 0.5, cell(1) + 0.5]));
    let points = std::fs::read_to_string(here.join("points.txt")).unwrap();
    assert_eq!(points.lines().count(), all);
    assert!(points.lines().last().unwrap().starts_with("2 1 "), "the one at the border is in object 2");
    // The data say the diameter; the formats hold the same table; less memory changes nothing.
    let auto = deep3m(here, &["count", "p.zarr", "-o", "v.json", "--memory", "64MB"]);
    let said = String::from_utf8_lossy(&auto.stderr).into_owned();
    assert!(auto.status.success() && said.contains("nm explain the data best"), "{said}");
    assert!(String::from_utf8_lossy(&auto.stdout).contains(&format!("{all} objects ±")));
    passes(here, &["count", "p.zarr", "--diameter", "40nm", "-o", "small.csv", "--memory", "40MB"]);
    assert_eq!(std::fs::read_to_string(here.join("small.csv")).unwrap(), csv);
    // A mask of ones, without a voxel size: in pixels, or with the size that is given.
    let text = passes(here, &["count", "unsized.zarr", "--diameter", "5vx", "-o", "u.parquet"]);
    assert!(text.starts_with("unsized.zarr: ") && !text.contains("µm³"), "{text}");
    let text = passes(here, &["count", "unsized.zarr", "--diameter", "40nm", "--voxel-size", "30,8,8", "-o", "u.csv"]);
    assert!(text.contains(&format!("{all} objects ±")) && text.contains("nm, of those"), "{text}");
}

#[test]
fn labels_and_frames() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_all(here);
    let all = centres().len() as u64;
    let found: Value = serde_json::from_str(&passes(here, &["count", "labels.zarr", "-o", "l.csv", "--json"])).unwrap();
    assert_eq!((&found["counted"], &found["confidence_error"]), (&Value::from(all), &Value::Null));
    let ids: Vec<String> =
        std::fs::read_to_string(here.join("l.csv")).unwrap().lines().skip(1).map(|l| l[..10].into()).collect();
    assert_eq!(ids.last(), Some(&u32::MAX.to_string()));
    // Two halves side by side count each object once.
    let whole = ["count", "p.zarr", "--diameter", "40nm", "--unbiased", "--json"];
    let of = |region: &str| -> u64 {
        let text = passes(here, &[&whole[..], &["--region", region]].concat());
        let found: Value = serde_json::from_str(&text).unwrap();
        assert!(found["per_um3"].as_f64().unwrap() > 0.0);
        found["counted"].as_u64().unwrap()
    };
    // Guards of 40 nm: frames 5..145, and 5..75 with 75..145.
    assert_eq!(of("0:12,0:120,0:150"), of("0:12,0:120,0:80") + of("0:12,0:120,70:150"));
}

#[test]
fn what_makes_no_sense_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_all(here);
    for (words, expected) in [
        (vec!["count", "p.zarr", "-o", "v.txt"], ".csv, .json or .parquet"),
        (vec!["count", "p.zarr", "-o", "p.zarr/v.csv", "--diameter", "9nm"], "two pixels"),
        (vec!["count", "p.zarr", "--diameter", "40um"], "longest side"),
        (vec!["count", "unsized.zarr", "--diameter", "40nm"], "--voxel-size"),
        (vec!["count", "unsized.zarr", "--diameter", "5vx", "--neuroglancer", "s.json"], "--voxel-size"),
        (vec!["count", "labels.zarr", "--unbiased"], "--guard"),
        (vec!["count", "labels.zarr", "--uncertainty", "p.zarr"], "needs a probability"),
        (vec!["count", "p.zarr", "--diameter", "40nm", "--unbiased", "--guard", "1um"], "guard"),
        (vec!["count", "p.zarr", "--diameter", "40nm", "--min-confidence", "0"], "least confidence"),
        (vec!["count", "p.zarr", "--diameter", "40nm", "--region", "0:99,0:9,0:9"], "0:99"),
        (vec!["count", "absent.zarr"], "absent.zarr"),
    ] {
        let error = fails(here, &words);
        assert!(error.contains(expected), "{words:?}: {error}");
    }
    write(&here.join("empty.zarr"), VoxelType::U8, VoxelSize::new(30.0, 8.0, 8.0), |_| 0);
    assert!(fails(here, &["count", "empty.zarr"]).contains("nothing round"));
    let none = deep3m(here, &["count", "empty.zarr", "--diameter", "40nm", "-o", "none.csv"]);
    assert!(none.status.success() && String::from_utf8_lossy(&none.stderr).contains("no object"));
}
