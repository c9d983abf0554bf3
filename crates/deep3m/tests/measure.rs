//! Objects measured, their density and contacts, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create};
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

fn json(folder: &Path, words: &[&str]) -> Value {
    serde_json::from_str(&passes(folder, words)).unwrap()
}

fn fails(folder: &Path, words: &[&str]) -> String {
    let output = deep3m(folder, words);
    assert_eq!(output.status.code(), Some(1), "{words:?}");
    String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ").replace(" │ ", " ")
}

fn write(path: &Path, extent: Extent, voxel_size: Option<VoxelSize>, number: impl Fn(Index) -> u32) {
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| number(voxel.start)).collect();
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U32, voxel_size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, Voxels::U32(voxels))).unwrap();
    writer.finish().unwrap();
}

/// 60 balls of radius 6 on a lattice that no chunk follows, numbered from 1001.
fn ball(at: Index) -> u32 {
    let near =
        |at: u64, first: i64, step: i64, count: i64| (0..count).find(|i| (at as i64 - first - step * i).abs() <= 6);
    let (Some(z), Some(y), Some(x)) = (near(at.z, 11, 17, 2), near(at.y, 15, 29, 5), near(at.x, 14, 27, 6)) else {
        return 0;
    };
    let square =
        (at.z as i64 - 11 - 17 * z).pow(2) + (at.y as i64 - 15 - 29 * y).pow(2) + (at.x as i64 - 14 - 27 * x).pow(2);
    if square <= 36 { (1001 + (z * 5 + y) * 6 + x) as u32 } else { 0 }
}

fn size() -> Option<VoxelSize> {
    VoxelSize::new(30.0, 10.0, 10.0)
}

#[test]
fn balls_are_measured_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(&here.join("o.zarr"), EXTENT, size(), ball);
    write(&here.join("g.zarr"), EXTENT, size(), |at| if ball(at) > 0 { 70_000 } else { 3 });
    let words = ["measure", "o.zarr", "-o", "o.csv", "--intensity", "g.zarr", "--json"];
    let all = json(here, &words);
    assert_eq!((&all["objects"], &all["at_border"], &all["left_out"]), (&60.into(), &0.into(), &0.into()));
    let voxels = all["median_voxels"].as_f64().unwrap();
    assert_eq!(all["voxels"].as_f64(), Some(60.0 * voxels));
    assert!((all["volume_um3"].as_f64().unwrap() - 60.0 * voxels * 3e-6).abs() < 1e-12);
    let table = std::fs::read_to_string(here.join("o.csv")).unwrap();
    let cells = |line: usize| table.lines().nth(line).unwrap().split(',').collect::<Vec<_>>();
    let cell = |line: usize, name: &str| cells(line)[cells(0).iter().position(|&n| n == name).unwrap()].to_owned();
    assert_eq!(table.lines().count(), 61);
    assert_eq!(
        (cell(2, "id"), cell(2, "centroid_z_nm"), cell(2, "centroid_x_nm")),
        ("1002".into(), "330".into(), "410".into())
    );
    assert_eq!((cell(60, "mean_intensity"), cell(60, "largest_section")), ("70000".into(), "28".into()));
    assert_eq!(
        (cell(1, "nearest_id"), cell(1, "nearest_nm"), cell(1, "touches_border")),
        ("1002".into(), "270".into(), "false".into())
    );
    passes(here, &["measure", "o.zarr", "-o", "o.json", "--memory", "120MB"]);
    let rows: Value = serde_json::from_str(&std::fs::read_to_string(here.join("o.json")).unwrap()).unwrap();
    assert_eq!(rows[1]["surface_um2"].to_string(), cell(2, "surface_um2"), "whatever the blocks");
    assert!(passes(here, &["measure", "o.zarr", "-o", "o.parquet"]).contains("o.parquet: 60 rows"));
    // A part, in which one layer of balls is cut and the other is not there; small ones left out.
    let part = json(here, &["measure", "o.zarr", "--region", "0:11,0:150,0:170", "--min-size", "1", "--json"]);
    assert_eq!((&part["objects"], &part["at_border"]), (&30.into(), &30.into()));
    let none = deep3m(here, &["measure", "o.zarr", "--min-size", "1um3"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.success() && said.contains("no object"), "{said}");
    // Without a voxel size, in voxels.
    write(&here.join("bare.tif"), Extent::new(3, 20, 20), None, |at| u32::from(at.y < 9));
    let bare = deep3m(here, &["measure", "bare.tif", "-o", "bare.csv"]);
    assert!(bare.status.success() && String::from_utf8_lossy(&bare.stderr).contains("lengths are in voxels"));
    assert!(std::fs::read_to_string(here.join("bare.csv")).unwrap().starts_with("id,voxels,surface_vx2,"));
}

#[test]
fn density_of_objects_and_of_their_table_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(&here.join("o.zarr"), EXTENT, size(), ball);
    write(&here.join("tissue.zarr"), EXTENT, size(), |at| u32::from(at.y < 75));
    passes(here, &["measure", "o.zarr", "-o", "o.csv"]);
    let objects = json(here, &["density", "o.zarr", "--window", "300nm", "-o", "d.csv", "--json"]);
    let points = json(here, &["density", "o.csv", "--volume", "o.zarr", "--window", "300nm", "-o", "p.csv", "--json"]);
    assert_eq!(objects["objects"], 60);
    let (a, b) = (objects["windows"].as_array().unwrap(), points["windows"].as_array().unwrap());
    assert_eq!(a.len(), b.len());
    assert!(
        a.iter()
            .zip(b)
            .all(|(a, b)| a["objects_per_mm3"] == b["objects_per_mm3"] && a["position_um"] == b["position_um"])
    );
    assert!(a[0]["volume_fraction"].is_number() && b[0].get("volume_fraction").is_none());
    let svg = std::fs::read_to_string(here.join("d.svg")).unwrap();
    assert!(svg.contains("objects per mm³") && svg.contains("along x") && svg.contains("share of the volume"));
    // Three of five rows of balls have their middles in the tissue: at 15, 44 and 73.
    let words =
        ["density", "o.zarr", "--window", "30vx", "--step", "5vx", "--axis", "y", "--mask", "tissue.zarr", "--json"];
    let tissue = json(here, &words);
    assert_eq!((&tissue["objects"], &tissue["outside_tissue"]), (&36.into(), &24.into()));
    let windows = tissue["windows"].as_array().unwrap();
    assert_eq!((windows.len(), &windows[24]["objects_per_mm3"]), (25, &Value::Null));
    let words = ["density", "o.csv", "--extent", "40,150,170", "--voxel-size", "30,10,10", "--window", "1mm"];
    let wide = deep3m(here, &words);
    assert!(wide.status.success() && String::from_utf8_lossy(&wide.stderr).contains("shorter than the window along z"));
    for (words, expected) in [
        (vec!["density", "o.csv", "--window", "1um"], "--extent"),
        (vec!["density", "o.csv", "--extent", "4,4,4", "--window", "1um"], "--voxel-size"),
        (vec!["density", "o.zarr", "--window", "1um", "-o", "d.txt"], ".parquet"),
        (vec!["density", "o.zarr", "--window", "1um", "--plot", "d.png"], ".svg"),
        (vec!["density", "o.json", "--window", "1um"], "expected points as .csv"),
        (vec!["density", "o.csv", "--volume", "o.zarr", "--window", "1um", "-o", "o.csv"], "choose another output"),
    ] {
        let error = fails(here, &words);
        assert!(error.contains(expected), "{words:?}: {error}");
    }
}

#[test]
fn contacts_of_two_volumes_and_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write(&here.join("balls.zarr"), EXTENT, size(), ball);
    // A plate above the upper layer of balls, which reach down to section 5: three sections between them.
    write(&here.join("plate.zarr"), EXTENT, None, |at| if at.z < 2 { 3 } else { 0 });
    let far = json(here, &["contacts", "balls.zarr", "plate.zarr", "--distance", "89nm", "--json"]);
    assert_eq!(far["pairs"], 0);
    let words =
        ["contacts", "balls.zarr", "plate.zarr", "--distance", "90nm", "-o", "c.csv", "--sites", "s.json", "--json"];
    let near = json(here, &words);
    assert_eq!((&near["pairs"], &near["sites"], &near["objects_b"]), (&30.into(), &30.into(), &1.into()));
    let table = std::fs::read_to_string(here.join("c.csv")).unwrap();
    assert!(
        table.lines().nth(1).unwrap().starts_with("1001,3,") && table.lines().nth(1).unwrap().ends_with(",1,90"),
        "{table}"
    );
    let sites: Value = serde_json::from_str(&std::fs::read_to_string(here.join("s.json")).unwrap()).unwrap();
    assert_eq!((&sites[0]["centroid_z_nm"], &sites[0]["centroid_y_nm"]), (&150.0.into(), &150.0.into()));
    let text = passes(
        here,
        &["contacts", "balls.zarr", "plate.zarr", "--distance", "90nm", "--memory", "150MB", "-o", "d.csv"],
    );
    assert!(text.contains("30 pairs of objects within 90 nm") && text.contains("d.csv: 30 rows"), "{text}");
    assert_eq!(std::fs::read_to_string(here.join("d.csv")).unwrap(), table, "whatever the blocks");
    // Balls of one volume: rows of balls are 14 columns apart, 140 nm, and layers 4 sections, 120 nm.
    let one = json(here, &["contacts", "balls.zarr", "balls.zarr", "--distance", "120nm", "--json"]);
    assert_eq!((&one["pairs"], &one["objects_a"]), (&30.into(), &60.into()));
    let copy = here.join("balls.h5");
    write(&copy, EXTENT, size(), ball);
    let words = ["contacts", "balls.h5", "../balls.h5", "--distance", "120nm", "--json"]
        .map(|word| word.replace("..", &here.to_string_lossy()));
    assert_eq!(json(here, &words.each_ref().map(String::as_str)), one, "one volume under two names");
    write(&here.join("small.zarr"), Extent::new(2, 3, 4), size(), |_| 1);
    for (words, expected) in [
        (vec!["contacts", "plate.zarr", "plate.zarr", "--distance", "30nm"], "--voxel-size"),
        (vec!["contacts", "balls.zarr", "small.zarr", "--distance", "30nm"], "2 × 3 × 4"),
        (
            vec!["contacts", "balls.zarr", "plate.zarr", "--distance", "0nm", "-o", "a.csv", "--sites", "a.csv"],
            "two names",
        ),
    ] {
        let error = fails(here, &words);
        assert!(error.contains(expected), "{words:?}: {error}");
    }
    assert_eq!(deep3m(here, &["contacts", "balls.zarr", "plate.zarr", "--distance", "30"]).status.code(), Some(2));
}
