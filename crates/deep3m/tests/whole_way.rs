//! The main job from the outside: a phantom is made, a tiny network trained, a part predicted, the result measured.

#![allow(clippy::unwrap_used, reason = "a helper outside a test function may fail like the test itself")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

fn deep3m(folder: &Path) -> Command {
    let mut command = Command::cargo_bin("deep3m").unwrap();
    command.current_dir(folder);
    command
}

/// Standard output of a command that works.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = deep3m(folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a command that fails with exit code 1.
fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = deep3m(folder).args(arguments).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    // Long lines are wrapped for people; tests look for words.
    let text = String::from_utf8(output.stderr).unwrap();
    text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

const TRAIN: [&str; 20] = [
    "train",
    "p/images.zarr",
    "p/mitochondria.zarr",
    "-o",
    "model",
    "--frames",
    "1,3",
    "--width",
    "0.03",
    "--iterations",
    "3",
    "--batch",
    "1",
    "--patch",
    "64",
    "--seed",
    "5",
    "--binning",
    "1",
    "--device=cpu",
];

/// Every file below a folder with its bytes, but the log of what was done when.
fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap().map(|e| e.unwrap().path()) {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                found.push((entry.strip_prefix(folder).unwrap().display().to_string(), fs::read(&entry).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The chunks of a Zarr volume.
fn chunks(folder: &Path) -> Vec<(String, Vec<u8>)> {
    bytes(folder).into_iter().filter(|(name, _)| name.contains("/c/") || name.starts_with("c/")).collect()
}

fn the_model_is_shown_and_verified(at: &Path) {
    let text = run(at, &["model", "show", "model"]);
    assert!(text.contains("1fm") && text.contains("3 iterations") && text.contains("p/images.zarr"), "{text}");
    assert!(text.contains("6 × 96 × 128") && text.contains("seed 5"), "{text}");
    let json: Value = serde_json::from_str(&run(at, &["model", "show", "model", "--json"])).unwrap();
    assert_eq!(json["format"], "deep3m-model");
    let text = run(at, &["model", "verify", "model", "--device=cpu"]);
    assert_eq!(text.matches("predicts as it did").count(), 2, "{text}");
    // A model that predicts otherwise.
    let manifest = fs::read_to_string(at.join("model/model.json")).unwrap();
    let mut changed: Value = serde_json::from_str(&manifest).unwrap();
    changed["networks"]["3fm"]["sample"]["log_odds"][0] = 40.into();
    fs::write(at.join("model/model.json"), changed.to_string()).unwrap();
    let error = fail(at, &["model", "verify", "model", "--device=cpu"]);
    assert!(error.contains("3fm predicts otherwise"), "{error}");
    fs::write(at.join("model/model.json"), manifest).unwrap();
}

fn a_prediction_in_the_layout_of_cdeep3m(at: &Path) {
    run(
        at,
        &["predict", "model", "p/images.zarr", "-o", "old", "--variations", "1", "--layout=cdeep3m", "--device=cpu"],
    );
    for folder in ["1fm", "3fm", "ensembled"] {
        assert!(at.join("old").join(folder).join("Segmented_0006.png").is_file(), "{folder}");
    }
    let error = fail(at, &["predict", "model", "p/images.zarr", "-o", "old", "--layout=cdeep3m", "--halo", "8"]);
    assert!(error.contains("--halo"), "{error}");
}

/// Workers, devices, and a chunk that cannot be read.
fn a_prediction_that_is_shared_and_has_a_gap(at: &Path) {
    let predict = |out: &str, more: &[&str]| -> Vec<String> {
        let mut arguments: Vec<&str> =
            "predict model p/images.zarr --variations 1 --frames 1 --tile 64 -o".split(' ').collect();
        arguments.push(out);
        arguments.extend(more);
        arguments.into_iter().map(str::to_owned).collect()
    };
    let run_it = |arguments: &[String]| run(at, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
    run_it(&predict("alone.zarr", &["--device=cpu"]));
    let alone = chunks(&at.join("alone.zarr"));
    assert_eq!(alone.len(), 4);
    let mut others: Vec<_> = ["0/2", "1/2"]
        .map(|worker| predict("shared.zarr", &["--device=cpu", "--wait", "--worker", worker]))
        .map(|arguments| {
            std::process::Command::new(assert_cmd::cargo::cargo_bin("deep3m"))
                .args(arguments)
                .current_dir(at)
                .spawn()
                .unwrap()
        })
        .into();
    assert!(others.iter_mut().all(|worker| worker.wait().unwrap().success()));
    assert_eq!(chunks(&at.join("shared.zarr")), alone);
    assert!(!at.join("shared.zarr/deep3m-workers").exists());
    let text = run_it(&predict("shared.zarr", &["--device=cpu", "--worker", "1/2"]));
    assert!(text.contains("shared.zarr: 73728 voxels"), "{text}");
    run_it(&predict("lanes.zarr", &["--device=cpu,cpu"]));
    assert_eq!(chunks(&at.join("lanes.zarr")), alone);
    for bad in [["--worker", "2/2"], ["--worker", "1"]] {
        let output = deep3m(at).args(predict("x.zarr", &bad)).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("counted from 0"));
    }

    let (name, bytes) = chunks(&at.join("p/images.zarr")).swap_remove(0);
    let chunk = at.join("p/images.zarr").join(name);
    fs::write(&chunk, &bytes[..bytes.len() / 2]).unwrap();
    let output = deep3m(at).args(predict("gap.zarr", &["--device=cpu", "--json"])).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("blocks are missing") && error.contains("0:6,0:"), "{error}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["complete"], false);
    let missing = json["missing"].as_array().unwrap();
    assert!(
        !missing.is_empty() && missing.iter().all(|m| m["reason"].as_str().unwrap().contains("p/images.zarr")),
        "{json}"
    );
    fs::write(&chunk, &bytes).unwrap();
    run_it(&predict("gap.zarr", &["--device=cpu"]));
    assert_eq!(chunks(&at.join("gap.zarr")), alone);
}

#[test]
fn the_whole_way() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    run(at, &["phantom", "-o", "p", "--shape", "6,96,128", "--seed", "3"]);
    for name in ["images", "mitochondria", "membranes", "vesicles", "nuclei"] {
        assert!(at.join(format!("p/{name}.zarr/zarr.json")).is_file(), "{name}");
    }
    let truth: Value = serde_json::from_slice(&fs::read(at.join("p/truth.json")).unwrap()).unwrap();
    let objects = truth["objects"].as_array().unwrap();
    assert!(objects.iter().all(|o| o["class"].is_string() && o["centroid"]["z"].is_f64() && o["size_voxels"].is_u64()));

    let text = run(at, &TRAIN);
    assert!(text.contains("1fm: 3 iterations") && text.contains("3fm: 3 iterations"), "{text}");
    for file in
        ["model.json", "1fm.safetensors", "3fm.safetensors", "1fm.last.safetensors", "metrics.jsonl", "curves.svg"]
    {
        assert!(at.join("model").join(file).is_file(), "{file}");
    }
    // The same seed gives the same weights.
    let mut again = TRAIN;
    again[4] = "again";
    run(at, &again);
    for file in ["1fm.safetensors", "3fm.safetensors"] {
        assert_eq!(fs::read(at.join("model").join(file)).unwrap(), fs::read(at.join("again").join(file)).unwrap());
    }

    run(at, &["predict", "model", "p/images.zarr", "-o", "whole.zarr", "--variations", "2", "--device=cpu"]);
    let whole = chunks(&at.join("whole.zarr"));
    assert!(!whole.is_empty());
    // Given again, nothing changes; the formats hold the same.
    run(at, &["predict", "model", "p/images.zarr", "-o", "whole.zarr", "--variations", "2", "--device=cpu"]);
    assert_eq!(chunks(&at.join("whole.zarr")), whole);
    run(at, &["predict", "model", "p/images.zarr", "-o", "whole.tif", "--variations", "2", "--device=cpu"]);
    run(at, &["predict", "model", "p/images.zarr", "-o", "slices", "--variations", "2", "--device=cpu"]);
    for prediction in ["whole.zarr", "whole.tif", "slices"] {
        let json = run(at, &["evaluate", prediction, "p/mitochondria.zarr", "--exclusion", "0,1,2", "--json"]);
        let scores: Value = serde_json::from_str(&json).unwrap();
        let voxel = scores["voxel"].as_array().unwrap();
        assert_eq!(voxel.len(), 3);
        for (zone, score) in voxel.iter().enumerate() {
            let keys: Vec<&str> = score.as_object().unwrap().keys().map(String::as_str).collect();
            let mut expected = ["exclusion", "threshold", "precision", "recall", "f1", "jaccard", "accuracy"];
            expected.sort_unstable();
            let mut sorted = keys.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, expected);
            assert_eq!(score["exclusion"], zone);
        }
        // The three formats hold the same probabilities.
        let reference = run(at, &["evaluate", "whole.zarr", "p/mitochondria.zarr", "--exclusion", "0,1,2", "--json"]);
        let reference: Value = serde_json::from_str(&reference).unwrap();
        assert_eq!(scores["counts"], reference["counts"], "{prediction}");
    }

    // A region is the cut of the whole: scored against the whole as truth it has no error.
    let region = "1:5,16:80,32:96";
    run(
        at,
        &[
            "predict",
            "model",
            "p/images.zarr",
            "-o",
            "part.zarr",
            "--variations",
            "2",
            "--region",
            region,
            "--device=cpu",
        ],
    );
    let part = deep3m_volume::open(&at.join("part.zarr")).unwrap();
    let whole = deep3m_volume::open(&at.join("whole.zarr")).unwrap();
    let cut = deep3m_volume::Region::whole(part.info().extent);
    assert_eq!(part.read(cut).unwrap(), whole.read(region.parse().unwrap()).unwrap());

    the_model_is_shown_and_verified(at);
    a_prediction_in_the_layout_of_cdeep3m(at);
    a_prediction_that_is_shared_and_has_a_gap(at);

    // What holds another run is not touched.
    let error =
        fail(at, &["predict", "model", "p/images.zarr", "-o", "whole.zarr", "--variations", "1", "--device=cpu"]);
    assert!(error.contains("--overwrite"), "{error}");
    let error = fail(at, &["train", "p/images.zarr", "p/membranes.zarr", "-o", "model", "--iterations", "3"]);
    assert!(error.contains("--overwrite"), "{error}");
    let error = fail(at, &["phantom", "-o", "p", "--shape", "6,96,128"]);
    assert!(error.contains("--overwrite"), "{error}");
    // Prediction and truth of different size.
    let error = fail(at, &["evaluate", "part.zarr", "p/mitochondria.zarr"]);
    assert!(error.contains("4 × 64 × 64") && error.contains("6 × 96 × 128"), "{error}");
    // A damaged model.
    fs::write(at.join("model/1fm.safetensors"), b"short").unwrap();
    let error = fail(at, &["predict", "model", "p/images.zarr", "-o", "new.zarr", "--device=cpu"]);
    assert!(error.contains("1fm.safetensors"), "{error}");
}

#[test]
fn bad_input_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir(at.join("empty")).unwrap();
    fs::write(at.join("text.tif"), "this is no image").unwrap();
    for (arguments, words) in [
        (vec!["train", "empty", "empty", "-o", "m"], vec!["empty", "no image slices"]),
        (vec!["train", "text.tif", "text.tif", "-o", "m"], vec!["text.tif"]),
        (vec!["train", "absent", "absent", "-o", "m"], vec!["absent"]),
        (vec!["predict", "absent", "text.tif", "-o", "o.zarr"], vec!["text.tif"]),
        (vec!["evaluate", "text.tif", "text.tif"], vec!["text.tif"]),
        (vec!["phantom", "-o", "p", "--shape", "1,1,99999999"], vec!["shape"]),
    ] {
        let error = fail(at, &arguments);
        assert!(words.iter().all(|word| error.contains(word)), "{arguments:?}: {error}");
    }
    assert!(!at.join("m").exists() && !at.join("o.zarr").exists(), "nothing is left behind");
    // Wrong use has its own exit code.
    let output = deep3m(at).args(["predict", "--variations", "3", "m", "v", "-o", "o"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn labels_of_several_values_need_a_choice() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    run(at, &["phantom", "-o", "p", "--shape", "3,64,64"]);
    // Grey images as labels: many values.
    let error = fail(at, &["train", "p/images.zarr", "p/images.zarr", "-o", "m", "--iterations", "1"]);
    assert!(error.contains("--foreground"), "{error}");
    assert!(!at.join("m").exists());
}
