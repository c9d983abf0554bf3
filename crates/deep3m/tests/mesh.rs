//! From objects to surfaces, as a user does it.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};

use deep3m_volume::{Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create};
use serde_json::Value;

const EXTENT: Extent = Extent::new(30, 90, 100);
const FAR: u32 = 4_000_000_000;

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

/// Two ellipsoids that are balls in nm and touch, and a single voxel with a large number.
fn write_objects(path: &Path, size: Option<VoxelSize>) {
    let ball = |at: Index, middle: [f64; 3]| {
        let way = [(at.z as f64 - middle[0]) * 3.0, at.y as f64 - middle[1], at.x as f64 - middle[2]];
        way.iter().map(|v| v * v).sum::<f64>() <= 26.0 * 26.0
    };
    let label = |at: Index| {
        if ball(at, [14.3, 45.2, 30.4]) {
            7
        } else if ball(at, [14.3, 45.2, 70.4]) {
            3
        } else {
            u32::from((at.z, at.y, at.x) == (29, 2, 3)) * FAR
        }
    };
    let voxels = Region::whole(EXTENT).tiles(Extent::new(1, 1, 1)).map(|voxel| label(voxel.start)).collect();
    let spec =
        VolumeSpec { extent: EXTENT, voxel_type: VoxelType::U32, voxel_size: size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U32(voxels))).unwrap();
    writer.finish().unwrap();
}

fn size() -> Option<VoxelSize> {
    VoxelSize::new(30.0, 10.0, 10.0)
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// A surface: corners in nm, triangles.
type Surface = (Vec<[f64; 3]>, Vec<[usize; 3]>);

/// The corners and triangles of a PLY file as this program writes it.
fn read_ply(path: &Path) -> Surface {
    let bytes = std::fs::read(path).unwrap();
    let end = bytes.windows(11).position(|w| w == b"end_header\n").unwrap() + 11;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let count = |what: &str| -> usize {
        head.lines().find_map(|line| line.strip_prefix(&format!("element {what} "))).unwrap().parse().unwrap()
    };
    let (corners, triangles) = (count("vertex"), count("face"));
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let place = |i: usize| std::array::from_fn(|k| f64::from(f32::from_bits(number(end + 12 * i + 4 * k))));
    let faces = end + 12 * corners;
    let triangle = |i: usize| std::array::from_fn(|k| number(faces + 20 * i + 1 + 4 * k) as usize);
    assert_eq!(bytes.len(), faces + 20 * triangles);
    ((0..corners).map(place).collect(), (0..triangles).map(triangle).collect())
}

/// Six times the volume, summed over a closed surface.
fn volume_nm3((places, triangles): &Surface) -> f64 {
    let mut edges = BTreeSet::new();
    for &[a, b, c] in triangles {
        assert!(edges.insert((a, b)) && edges.insert((b, c)) && edges.insert((c, a)), "an edge twice in one direction");
    }
    assert!(edges.iter().all(|&(a, b)| edges.contains(&(b, a))), "an open edge");
    let det = |t: &[usize; 3]| {
        let [a, b, c] = t.map(|corner| places[corner]);
        a[0] * (b[1] * c[2] - b[2] * c[1]) + a[1] * (b[2] * c[0] - b[0] * c[2]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    };
    triangles.iter().map(det).sum::<f64>() / 6.0
}

#[test]
fn objects_become_closed_surfaces_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_objects(&here.join("o.zarr"), size());
    let words = ["mesh", "o.zarr", "-o", "meshes", "--json", "--picture", "all.png"];
    let found = json(&passes(here, &words));
    assert_eq!(found["objects"], 3);
    let ids: Vec<u64> = found["meshes"].as_array().unwrap().iter().map(|m| m["id"].as_u64().unwrap()).collect();
    assert_eq!(ids, [3, 7, u64::from(FAR)]);
    let mut names: Vec<String> = std::fs::read_dir(here.join("meshes"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["3.ply", "4000000000.ply", "7.ply"]);
    assert_eq!(&std::fs::read(here.join("all.png")).unwrap()[1..4], b"PNG");
    let ball = 4.0 / 3.0 * std::f64::consts::PI * 260.0_f64.powi(3);
    let surface = read_ply(&here.join("meshes/7.ply"));
    let volume = volume_nm3(&surface);
    assert!((volume / ball - 1.0).abs() < 0.01, "{volume} instead of {ball}");
    assert!((found["meshes"][1]["volume_um3"].as_f64().unwrap() * 1e9 / volume - 1.0).abs() < 1e-4);
    let area = found["meshes"][1]["area_um2"].as_f64().unwrap() * 1e6;
    assert!((area / (4.0 * std::f64::consts::PI * 260.0_f64.powi(2)) - 1.0).abs() < 0.02, "{area}");
    assert!(found["error_nm"].as_f64().unwrap() <= 2.5);
    // x, y, z in nm, the middle of the ball where it is in the volume: voxel 30.4's middle is at 309 nm.
    let low = surface.0.iter().fold([f64::MAX; 3], |low, p| std::array::from_fn(|i| low[i].min(p[i])));
    for (low, expected) in low.into_iter().zip([309.0 - 260.0, 457.0 - 260.0, 444.0 - 260.0]) {
        assert!((low - expected).abs() < 20.0, "{low} instead of {expected}");
    }
    // All in one file: the same triangles.
    passes(here, &["mesh", "o.zarr", "-o", "all.ply"]);
    let all = read_ply(&here.join("all.ply"));
    assert_eq!(all.1.len() as u64, found["triangles"].as_u64().unwrap());
    volume_nm3(&all);
    passes(here, &["mesh", "o.zarr", "-o", "all.stl"]);
    assert_eq!(std::fs::metadata(here.join("all.stl")).unwrap().len(), 84 + 50 * all.1.len() as u64);
    passes(here, &["mesh", "o.zarr", "-o", "all.obj"]);
    let text = std::fs::read_to_string(here.join("all.obj")).unwrap();
    assert_eq!(text.lines().filter(|line| line.starts_with("o ")).collect::<Vec<_>>(), ["o 3", "o 7", "o 4000000000"]);
    assert_eq!(text.lines().filter(|line| line.starts_with("f ")).count(), all.1.len());
    passes(here, &["mesh", "o.zarr", "-o", "all.glb"]);
    let glb = std::fs::read(here.join("all.glb")).unwrap();
    let length = u32::from_le_bytes(glb[12..16].try_into().unwrap()) as usize;
    let scene = json(std::str::from_utf8(&glb[20..20 + length]).unwrap());
    let names: Vec<&str> = scene["meshes"].as_array().unwrap().iter().map(|m| m["name"].as_str().unwrap()).collect();
    assert_eq!((&glb[..4], names), (&b"glTF"[..], vec!["3", "7", "4000000000"]));
}

#[test]
fn neuroglancer_finds_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_objects(&here.join("o.zarr"), None);
    passes(here, &["mesh", "o.zarr", "-o", "m.precomputed", "--voxel-size", "30,10,10"]);
    let info = json(&std::fs::read_to_string(here.join("m.precomputed/info")).unwrap());
    assert_eq!(
        (&info["@type"], &info["vertex_quantization_bits"]),
        (&"neuroglancer_multilod_draco".into(), &16.into())
    );
    let index = std::fs::read(here.join("m.precomputed/7.index")).unwrap();
    let number = |at: usize| u32::from_le_bytes(index[at..at + 4].try_into().unwrap()) as usize;
    let levels = number(24);
    let counts: Vec<usize> = (0..levels).map(|level| number(28 + 16 * levels + 4 * level)).collect();
    assert_eq!(counts.last(), Some(&1), "the coarsest level is one piece");
    assert_eq!(index.len(), 28 + 20 * levels + 16 * counts.iter().sum::<usize>());
    let sizes: usize = (0..levels)
        .map(|level| {
            let before: usize = counts[..level].iter().sum();
            let from = 28 + 20 * levels + 16 * before + 12 * counts[level];
            (0..counts[level]).map(|i| number(from + 4 * i)).sum::<usize>()
        })
        .sum();
    assert_eq!(sizes as u64, std::fs::metadata(here.join("m.precomputed/7")).unwrap().len());
    let words = ["mesh", "o.zarr", "-o", "l.precomputed", "--format", "precomputed-legacy", "--voxel-size", "30,10,10"];
    passes(here, &words);
    let list = json(&std::fs::read_to_string(here.join("l.precomputed/7:0")).unwrap());
    assert_eq!(list["fragments"][0], "7:0:0");
    assert!(here.join("l.precomputed/7:0:0").exists());
}

#[test]
fn settings_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_objects(&here.join("o.zarr"), size());
    let run = |words: &[&str]| {
        let all = [&["mesh", "o.zarr", "-o", "m", "--overwrite", "--json"], words].concat();
        json(&passes(here, &all))
    };
    let triangles = |found: &Value| found["triangles"].as_u64().unwrap();
    let usual = run(&[]);
    let raw = run(&["--raw"]);
    let coarse = run(&["--max-error", "20nm"]);
    assert!(triangles(&raw) > 5 * triangles(&usual) && triangles(&usual) > 2 * triangles(&coarse));
    assert!(coarse["error_nm"].as_f64().unwrap() > 5.0 && coarse["error_nm"].as_f64().unwrap() <= 20.0);
    assert_eq!((&raw["error_nm"], &raw["smooth"]), (&0.0.into(), &0.into()));
    assert_eq!(run(&["--min-size", "0.001um3"])["objects"], 2);
    assert_eq!(run(&["--ids", "7,4000000000"])["objects"], 2);
    assert_eq!(run(&["--region", "25:30,0:10,0:10"])["objects"], 1);
    // Little memory takes smaller blocks, not other meshes.
    passes(here, &["mesh", "o.zarr", "-o", "much.ply"]);
    passes(here, &["mesh", "o.zarr", "-o", "little.ply", "--memory", "60MB"]);
    assert_eq!(std::fs::read(here.join("much.ply")).unwrap(), std::fs::read(here.join("little.ply")).unwrap());
    let none = deep3m(here, &["mesh", "o.zarr", "-o", "none.glb", "--ids", "5"]);
    let said = String::from_utf8_lossy(&none.stderr).into_owned();
    assert!(none.status.success() && said.contains("no object 5") && said.contains("all is background"), "{said}");
}

#[test]
fn what_is_there_stays_and_what_makes_no_sense_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    write_objects(&here.join("o.zarr"), size());
    write_objects(&here.join("unsized.zarr"), None);
    passes(here, &["mesh", "o.zarr", "-o", "m", "--format", "stl"]);
    std::fs::create_dir(here.join("mine")).unwrap();
    std::fs::write(here.join("mine/thesis.txt"), "years of work").unwrap();
    for (words, expected) in [
        (vec!["mesh", "o.zarr", "-o", "m"], "already exists"),
        (vec!["mesh", "o.zarr", "-o", "mine", "--overwrite"], "thesis.txt"),
        (vec!["mesh", "o.zarr", "-o", "o.zarr", "--overwrite"], "is read by this command"),
        (vec!["mesh", "unsized.zarr", "-o", "x"], "--voxel-size"),
        (vec!["mesh", "o.zarr", "-o", "x.glb", "--format", "stl"], "--format"),
        (vec!["mesh", "o.zarr", "-o", "s3://lab/x.glb"], "object storage"),
        (vec!["mesh", "o.zarr", "-o", "x", "--region", "0:99,0:1,0:1"], "0:99"),
        (vec!["mesh", "o.zarr", "-o", "x", "--memory", "1MB"], "--memory"),
        (vec!["mesh", "absent.zarr", "-o", "x"], "absent.zarr"),
    ] {
        let error = fails(here, &words);
        assert!(error.contains(expected), "{words:?}: {error}");
        assert!(!here.join("x").exists() && !here.join("x.partial").exists(), "{words:?}");
    }
    assert!(here.join("mine/thesis.txt").exists());
    // What a killed run left is no obstacle.
    std::fs::create_dir(here.join("x.partial")).unwrap();
    std::fs::write(here.join("x.partial/7.ply"), "half").unwrap();
    passes(here, &["mesh", "o.zarr", "-o", "x"]);
    assert!(!here.join("x.partial").exists() && here.join("x/7.ply").exists());
}
