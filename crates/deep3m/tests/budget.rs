//! The memory that a plan reckons with, against what the program takes: each command runs as people run it, in a process of
//! its own, and the system says the most that it held. That is what a limit, a batch system or a laptop counts: what the
//! allocator keeps and what threads keep to themselves is in it, where a count of allocations would not see it.
//!
//! The model of the heap is glibc's, so is the test.
#![cfg(all(target_os = "linux", target_env = "gnu"))]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Stdio};

use burn::tensor::{Tensor, TensorData};
use deep3m_analyze::{EvaluateConfig, Work};
use deep3m_net::{DeviceChoice, Frames, Mode, ModelDir, ModelManifest, NetConfig, Normalisation};
use deep3m_volume::{Binning, Block, Extent, Index, VolumeSpec, VoxelType, Voxels, create, open};
use nix::sys::resource::{UsageWho, getrusage};
use serde_json::{Value, json};

/// How far model and measurement may lie apart, as a share of the measurement.
const TOLERANCE: f64 = 0.15;

fn noise(i: u64) -> u32 {
    (i.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40) as u32
}

/// Writes a volume section by section.
fn write(path: &Path, extent: Extent, voxel_type: VoxelType, value: impl Fn(Index) -> u32) {
    let chunk = Some(Extent::new(8, 128, 128));
    let spec = VolumeSpec { extent, voxel_type, voxel_size: None, chunk, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    let grain = writer.grain();
    let slab = Extent::new(grain.z, extent.y, extent.x);
    for z in (0..extent.z).step_by(slab.z as usize) {
        let slab = Extent::new(slab.z.min(extent.z - z), slab.y, slab.x);
        let at = |i: u64| Index::new(z + i / (extent.y * extent.x), i / extent.x % extent.y, i % extent.x);
        let values = (0..slab.len() as u64).map(|i| value(at(i)));
        let voxels = match voxel_type {
            VoxelType::U16 => Voxels::U16(values.map(|v| v as u16).collect()),
            _ => Voxels::U8(values.map(|v| v as u8).collect()),
        };
        writer.write(Index::new(z, 0, 0), &Block::new(slab, voxels)).unwrap();
    }
    writer.finish().unwrap();
}

fn images(path: &Path, extent: Extent, voxel_type: VoxelType) {
    let width = extent.x;
    write(path, extent, voxel_type, |i| 60 + (i.y / 7 % 3) as u32 * 40 + noise((i.z * 4099 + i.y) * width + i.x) % 64);
}

/// A model of random weights: it takes the memory of any. One batch gives it statistics that keep its values finite.
fn model(folder: &Path, frames: &[Frames], width: f64, binning: Binning, voxel_type: VoxelType) {
    let device = DeviceChoice::Cpu.open().unwrap();
    let manifest = ModelManifest::new(Normalisation::Range { low: 50.0, high: 220.0 }, binning, voxel_type);
    let mut model = ModelDir::create(folder, manifest).unwrap();
    for &frames in frames {
        let mut net = NetConfig::with_width(frames, width).unwrap().init(&device, 1);
        net.reset_statistics();
        net.set_bn_decay(1.0);
        let shape = [1, 1, frames.count(), 64, 64];
        let grey = (0..shape.iter().product::<usize>() as u64).map(|i| (noise(i) % 256) as f32 / 128.0 - 1.0).collect();
        let _ = net.forward(Tensor::from_data(TensorData::new::<f32, _>(grey, shape), &device), Mode::Train);
        model.save_network(&net, 0, 0.0, serde_json::Map::new()).unwrap();
    }
}

fn deep3m() -> Command {
    Command::new(env!("CARGO_BIN_EXE_deep3m"))
}

/// What [`measured`] hands to [`a_process_says_the_most_that_its_child_held`].
const ARGUMENTS: &str = "DEEP3M_TEST_ARGUMENTS";

/// Runs the program; the most memory that it held, in bytes. The system says that of children that have ended, and of all
/// of them together: so each is the only child of a process of its own. (Who asks a child that runs may ask too early, and
/// misses a peak at its end.)
fn measured(arguments: &[&str]) -> f64 {
    let mut between = Command::new(std::env::current_exe().unwrap());
    between.args(["--exact", "a_process_says_the_most_that_its_child_held", "--nocapture"]);
    let output = between.env(ARGUMENTS, serde_json::to_string(arguments).unwrap()).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let most = text.lines().find_map(|line| line.strip_prefix("most: ")).unwrap();
    most.parse().unwrap()
}

/// The process between; a test only in name.
#[test]
fn a_process_says_the_most_that_its_child_held() {
    let Ok(arguments) = std::env::var(ARGUMENTS) else { return };
    let arguments: Vec<String> = serde_json::from_str(&arguments).unwrap();
    let status = deep3m().args(arguments).stdout(Stdio::null()).status().unwrap();
    assert!(status.success());
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).unwrap();
    println!("\nmost: {}", 1024 * usage.max_rss());
}

/// The plan of a command.
fn planned(arguments: &[&str]) -> Value {
    let output = deep3m().arg("plan").args(arguments).args(["--no-measure", "--json"]).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn compare(name: &str, plan: &Value, measured: f64) {
    let reckoned = plan["memory_peak"].as_f64().unwrap();
    println!("{name}: {:.1} MB reckoned, {:.1} MB measured: {}", reckoned / 1e6, measured / 1e6, plan["memory"]);
    assert!(measured > 1e8, "{name}: fixed costs decide below 100 MB");
    assert!(
        (reckoned - measured).abs() <= TOLERANCE * measured,
        "{name}: {reckoned} bytes reckoned, {measured} measured"
    );
}

#[test]
fn a_prediction_takes_what_its_plan_says() {
    struct Case {
        name: &'static str,
        frames: &'static [Frames],
        width: f64,
        binning: u32,
        extent: Extent,
        voxel_type: VoxelType,
        /// The format of the volume, by its ending.
        input: &'static str,
        arguments: &'static [&'static str],
    }
    let cases = [
        Case {
            name: "narrow, one large tile",
            frames: &[Frames::One],
            width: 0.25,
            binning: 1,
            extent: Extent::new(2, 1000, 1000),
            voxel_type: VoxelType::U8,
            input: "images.zarr",
            arguments: &["--variations", "1"],
        },
        Case {
            name: "narrow, tiles, two variations",
            frames: &[Frames::Three],
            width: 0.25,
            binning: 1,
            extent: Extent::new(2, 1000, 1400),
            voxel_type: VoxelType::U8,
            input: "images",
            arguments: &["--variations", "2", "--tile", "800"],
        },
        Case {
            name: "binned 16 bit",
            frames: &[Frames::One],
            width: 0.2,
            binning: 2,
            extent: Extent::new(8, 1600, 1600),
            voxel_type: VoxelType::U16,
            input: "images.zarr",
            arguments: &["--variations", "1", "--tile", "512"],
        },
        Case {
            name: "the published width",
            frames: &[Frames::One],
            width: 1.0,
            binning: 1,
            extent: Extent::new(1, 512, 448),
            voxel_type: VoxelType::U8,
            input: "images.zarr",
            arguments: &["--variations", "1"],
        },
        Case {
            name: "three models",
            frames: &Frames::ALL,
            width: 0.5,
            binning: 1,
            extent: Extent::new(1, 600, 640),
            voxel_type: VoxelType::U8,
            input: "images.tif",
            arguments: &["--variations", "1", "--tile", "320"],
        },
    ];
    let mut failed = Vec::new();
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        images(&folder.path().join(case.input), case.extent, case.voxel_type);
        model(&folder.path().join("model"), case.frames, case.width, Binning::square(case.binning), case.voxel_type);
        let (model, images, out) = (path("model"), path(case.input), path("out.zarr"));
        let arguments = [&["predict", &model, &images, "-o", &out], case.arguments].concat();
        let plan = planned(&arguments);
        let most = measured(&arguments);
        failed.extend(std::panic::catch_unwind(|| compare(case.name, &plan, most)).err().map(|_| case.name));
        if case.name.contains("large") {
            // Half of what it took: smaller blocks, the same volume, and the budget kept.
            let out = path("tight.zarr");
            let budget = format!("{}MB", (most / 2e6) as u64);
            let arguments = ["predict", &model, &images, "-o", &out, "--variations", "1", "--memory", &budget];
            let tight = measured(&arguments);
            println!("--memory {budget}: {:.1} MB measured", tight / 1e6);
            assert!(tight <= most / 2.0, "{tight} bytes with --memory {budget}");
            let refused = deep3m().args(["plan", "predict", &model, &images, "--memory", "40MB"]).output().unwrap();
            let words = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert!(!refused.status.success() && words.contains("needs at least"), "{words}");
            // Blocks that are done stay.
            let mut begun = deep3m();
            begun.args(["plan", "predict", &model, &images, "-o", &path("out.zarr"), "--memory", &budget]);
            let words_begun = String::from_utf8_lossy(&begun.output().unwrap().stderr).into_owned();
            assert!(words_begun.contains("--overwrite"), "{words_begun}");
            // The least that it says is enough.
            let least = words.split("--memory ").nth(1).unwrap().split_whitespace().next().unwrap();
            planned(&["predict", &model, &images, "--memory", least]);
        }
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_comparison_takes_what_is_reckoned() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let extent = Extent::new(16, 1024, 1024);
    let (prediction, truth) = (path("prediction.zarr"), path("truth.zarr"));
    images(&folder.path().join("prediction.zarr"), extent, VoxelType::U8);
    write(&folder.path().join("truth.zarr"), extent, VoxelType::U8, |i| u32::from(i.y / 7 % 3 == 2));
    let config = EvaluateConfig { exclusion: vec![0, 8], exclusion_3d: true, ..EvaluateConfig::default() };
    let info = |name: &str| open(Path::new(name)).unwrap().info().clone();
    let reckoned = Work::default().peak(&info(&prediction), &info(&truth), &config);
    let most = measured(&["evaluate", &prediction, &truth, "--exclusion", "0,8", "--exclusion-3d"]);
    compare("comparison", &json!({ "memory_peak": reckoned }), most);
    // With less memory the same scores.
    let scores = |memory: &str| {
        let arguments =
            ["evaluate", &prediction, &truth, "--exclusion", "0,8", "--exclusion-3d", "--json", "--memory", memory];
        String::from_utf8(deep3m().args(arguments).output().unwrap().stdout).unwrap()
    };
    let all = scores("4GB");
    assert!(all.contains("jaccard"));
    assert_eq!(scores("90MB"), all);
}

#[test]
fn comparisons_of_objects_surfaces_annotators_and_places_keep_their_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (a, b, c) = (path("a.zarr"), path("b.zarr"), path("c.zarr"));
    let extent = Extent::new(16, 1024, 1024);
    // Bars, each with a number of its own, and the same a little apart.
    let bar = |i: Index, moved: u64| ((i.y / 16) * 64 + (i.x + moved) / 16) as u32;
    write(&folder.path().join("a.zarr"), extent, VoxelType::U16, |i| bar(i, 0));
    write(&folder.path().join("b.zarr"), extent, VoxelType::U16, |i| bar(i, 3));
    write(&folder.path().join("c.zarr"), extent, VoxelType::U8, |i| 255 * u32::from(bar(i, 5) % 3 == 0));
    write(&folder.path().join("d.zarr"), extent, VoxelType::U8, |i| 255 * u32::from(bar(i, 2) % 3 == 0));
    let d = path("d.zarr");
    for words in [
        &["evaluate", &a, &b, "--objects"][..],
        &["evaluate", &a, &b, "--points", "--distance", "5vx"],
        &["evaluate", &c, &d, "--surface"],
        &["evaluate", &c, &c, &d, &d, "--annotators", "--exclusion", "0,4"],
    ] {
        for (memory, most) in [("100MB", 100e6), ("200MB", 200e6)] {
            let measured = measured(&[words, &["--memory", memory]].concat());
            println!("{words:?}: {:.1} MB of {memory}", measured / 1e6);
            assert!(measured <= most, "{words:?}: {measured} of {memory}");
        }
    }
}

#[test]
fn objects_are_found_within_a_budget() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let extent = Extent::new(24, 1000, 1050);
    let blob = |at: u64, step: u64| (at % step).abs_diff(step / 2) as u32 * 20;
    let value = |i: Index| 250_u32.saturating_sub(blob(i.z, 14) + blob(i.y, 15) + blob(i.x, 16));
    write(&folder.path().join("p.zarr"), extent, VoxelType::U8, value);
    // A height takes four bytes: 101 MB of them do not fit.
    for (out, more) in [
        ("plain.zarr", &["--fill-holes", "9"][..]),
        ("distances.zarr", &["--watershed"]),
        ("probabilities.zarr", &["--watershed", "probability", "--smooth", "2vx"]),
        ("sections.tif", &["--watershed"]),
    ] {
        let (input, out) = (path("p.zarr"), path(out));
        let all = [&["segment", &input, "-o", &out, "--memory", "110MB", "--threshold", "0.4"], more].concat();
        let most = measured(&all);
        println!("{more:?}: {:.1} MB of 110", most / 1e6);
        assert!(most <= 110e6, "{more:?}: {most} bytes");
    }
}

#[test]
fn a_training_takes_what_its_plan_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let extent = Extent::new(4, 400, 440);
    images(&folder.path().join("images"), extent, VoxelType::U8);
    write(&folder.path().join("labels"), extent, VoxelType::U8, |i| 255 * u32::from(i.y / 7 % 3 == 2));
    let (images, labels) = (path("images"), path("labels"));
    let mut failed = Vec::new();
    for (name, arguments) in [
        ("narrow", &["--frames", "1", "--width", "0.25", "--batch", "4", "--patch", "192"][..]),
        ("three sections, validated", &["--frames", "3", "--width", "0.25", "--batch", "2", "--patch", "256"]),
        (
            "wider",
            &[
                "--frames",
                "1",
                "--width",
                "0.5",
                "--batch",
                "2",
                "--patch",
                "160",
                "--recipe",
                "cdeep3m",
                "--iter-size",
                "2",
            ],
        ),
    ] {
        let out = path(&name.replace(' ', "-"));
        let common = ["train", &images, &labels, "-o", &out, "--iterations", "2", "--binning", "1"];
        let mut arguments = [&common, arguments].concat();
        if name.contains("validated") {
            arguments.extend(["--validation", &images, &labels]);
        }
        let plan = planned(&arguments);
        // How much of the work overlaps depends on who gets the cores: beside other tests a training was seen to hold a fifth
        // less than alone. The plan says the most.
        let mut most = measured(&arguments);
        for run in 1..3 {
            if plan["memory_peak"].as_f64().unwrap() <= (1.0 + TOLERANCE) * most {
                break;
            }
            let out = path(&format!("{}-{run}", name.replace(' ', "-")));
            let again: Vec<&str> = arguments.iter().map(|&a| if a == common[4] { out.as_str() } else { a }).collect();
            most = most.max(measured(&again));
        }
        failed.extend(std::panic::catch_unwind(|| compare(name, &plan, most)).err().map(|_| name));
    }
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_plan_says_blocks_time_and_cost_of_a_volume_that_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let model_path = folder.path().join("model");
    model(&model_path, &[Frames::One], 0.05, Binning::NONE, VoxelType::U8);
    let model_path = model_path.to_str().unwrap();
    let arguments =
        ["plan", "predict", model_path, "--shape", "400,12000,16000", "--variations", "4", "--workers", "20"];
    let measuring = ["--measure-seconds", "0.2", "--price-per-hour", "0.5"];
    let run = |more: &[&str]| {
        let output = deep3m().args(arguments).args(measuring).args(more).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let plan: Value = serde_json::from_str(&run(&["--json"])).unwrap();
    let number = |value: &Value| value.as_f64().unwrap();
    // 12 × 16 tiles of 1000 × 1000 pixels, 25 slabs of 16 sections.
    assert_eq!(number(&plan["blocks"]), 4800.0);
    assert_eq!((&plan["passes"], number(&plan["output_bytes"])), (&json!([4]), 76.8e9));
    let (alone, all) = (number(&plan["time"]["seconds_alone"]), number(&plan["time"]["seconds"]));
    assert!(alone > 1000.0 && (alone / 20.0 - all).abs() < 1e-6 * alone, "{alone} s and {all} s");
    assert!((number(&plan["cost"]) - alone / 3600.0 * 0.5).abs() < 1e-6 * alone);
    assert!(number(&plan["memory_peak"]) < 2e9 && number(&plan["scratch_bytes"]) == 0.0);
    let text = run(&[]);
    for words in ["4 800 of 16 × 1000 × 1000 voxels", "peak memory", "time of 20 machines", "cost"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let both = deep3m().args(arguments).arg("images.zarr").output().unwrap();
    assert_eq!(both.status.code(), Some(2), "a volume, and a shape in its place");
}
