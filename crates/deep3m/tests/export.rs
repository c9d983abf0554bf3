//! Exports from the outside: what is written, what is refused, what the files say about each other.

#![allow(clippy::unwrap_used, reason = "a helper outside a test function may fail like the test itself")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use burn::tensor::{Tensor, TensorData};
use deep3m_net::{DeviceChoice, Frames, Mode, ModelDir, ModelManifest, NetConfig, Normalisation, Preparation};
use deep3m_volume::{Binning, VoxelSize, VoxelType};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// A model of random weights, "model" in a folder.
fn model(folder: &Path, frames: &[Frames], binning: u32) -> ModelDir {
    let device = DeviceChoice::Cpu.open().unwrap();
    let normalisation = Normalisation::range(20.0, 220.0).unwrap();
    let mut manifest = ModelManifest::new(normalisation, Binning::square(binning), VoxelType::U8);
    manifest.voxel_size = VoxelSize::new(50.0, 4.6, 5.0);
    let mut model = ModelDir::create(folder.join("model"), manifest).unwrap();
    for &frames in frames {
        let net = NetConfig::with_width(frames, 0.02).unwrap().init(&device, 2);
        let noise = (0..frames.count() * 64 * 64).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
        let batch = TensorData::new(noise, [1, 1, frames.count(), 64, 64]);
        let _ = net.forward(Tensor::from_data(batch, &device), Mode::Train);
        let mut validation = serde_json::Map::new();
        validation.insert("f1".to_owned(), 0.5.into());
        model.save_network(&net, 7, 1.0, validation).unwrap();
    }
    model
}

fn deep3m(folder: &Path, arguments: &[&str]) -> std::process::Output {
    let arguments = std::iter::once(&"export").chain(arguments);
    Command::cargo_bin("deep3m").unwrap().current_dir(folder).args(arguments).output().unwrap()
}

/// What an export that works wrote, by its own account, which must be true.
fn export(folder: &Path, arguments: &[&str]) -> Vec<String> {
    let output = deep3m(folder, &[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    let written: Value = serde_json::from_slice(&output.stdout).unwrap();
    let target = folder.join(arguments[arguments.iter().position(|a| *a == "-o").unwrap() + 1]);
    let mut names = Vec::new();
    for file in written.as_array().unwrap() {
        let name = file["path"].as_str().unwrap();
        let path = if target.is_dir() { target.join(name) } else { target.clone() };
        let bytes = fs::read(path).unwrap();
        assert_eq!(
            (file["bytes"].as_u64().unwrap(), file["sha256"].as_str().unwrap()),
            (bytes.len() as u64, &*sha256(&bytes))
        );
        names.push(name.to_owned());
    }
    names
}

/// Standard error of an export that is refused.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = deep3m(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    // Long lines are wrapped for people; tests look for words.
    let text = String::from_utf8(output.stderr).unwrap();
    text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn sha256(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn onnx_files_of_every_network_or_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    model(at, &[Frames::One, Frames::Three], 1);
    assert_eq!(export(at, &["model", "--format", "onnx", "-o", "out"]), ["1fm.onnx", "3fm.onnx"]);
    assert_eq!(export(at, &["model", "--format", "onnx", "-o", "net.onnx", "--frames", "3"]), ["net.onnx"]);
    assert_eq!(fs::read(at.join("net.onnx")).unwrap(), fs::read(at.join("out/3fm.onnx")).unwrap());
    // What the file says of itself is text in it.
    let text = String::from_utf8_lossy(&fs::read(at.join("net.onnx")).unwrap()).into_owned();
    for word in ["weights_sha256", "voxel_size", r#"{"kind":"range","low":20.0,"high":220.0}"#, "[N, 3, H, W]"] {
        assert!(text.contains(word), "{word}");
    }

    let error = refused(at, &["model", "--format", "onnx", "-o", "both.onnx"]);
    assert!(error.contains("2 networks (1fm, 3fm)") && error.contains("--frames 1"), "{error}");
    let error = refused(at, &["model", "--format", "onnx", "-o", "out"]);
    assert!(error.contains("--overwrite"), "{error}");
    let error = refused(at, &["model", "--format", "onnx", "-o", "net.onnx", "--frames", "1"]);
    assert!(error.contains("--overwrite"), "{error}");
    let error = refused(at, &["model", "--format", "onnx", "-o", "five", "--frames", "5"]);
    assert!(error.contains("no network 5fm"), "{error}");
    // A model's folder is never taken for an export.
    let error = refused(at, &["model", "--format", "onnx", "-o", "model", "--overwrite"]);
    assert!(error.contains("nothing was replaced"), "{error}");
    assert_eq!(export(at, &["model", "--format", "onnx", "-o", "out", "--frames", "1", "--overwrite"]), ["1fm.onnx"]);
    let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|e| e.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["model", "net.onnx", "out"], "refused and replaced exports leave nothing");
    assert!(!at.join("out/3fm.onnx").exists());
}

#[test]
fn safetensors_are_the_same_weights_and_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let before = model(at, &[Frames::One, Frames::Five], 1);
    let names = export(at, &["model", "--format", "safetensors", "-o", "out", "--frames", "5"]);
    assert_eq!(names, ["5fm.safetensors", "README.md", "model.json"]);
    let out = ModelDir::open(at.join("out")).unwrap();
    let verified = out.verify(&DeviceChoice::Cpu.open().unwrap()).unwrap();
    assert!(verified.values().all(|drift| drift.is_none_or(|d| d.is_same())), "{verified:?}");
    assert_eq!(out.frames(), [Frames::Five]);
    assert_eq!(out.weight_file(Frames::Five).unwrap(), before.weight_file(Frames::Five).unwrap());
    let readme = fs::read_to_string(at.join("out/README.md")).unwrap();
    assert!(readme.contains("| `conv1_2/weight` | 4 × 4 × 3 × 3 × 3 |"), "{readme}");

    let weights = at.join("model/5fm.safetensors");
    let mut bytes = fs::read(&weights).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(weights, bytes).unwrap();
    for format in ["safetensors", "onnx", "bioimageio"] {
        let error = refused(at, &["model", "--format", format, "-o", "other", "--frames", "5"]);
        assert!(error.contains("5fm.safetensors: altered"), "{format}: {error}");
    }
    assert!(!at.join("other").exists());
}

#[test]
fn a_package_describes_and_tests_itself() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let model = model(at, &[Frames::Three, Frames::Five], 2);
    let names = export(at, &["model", "--format", "bioimageio", "-o", "package"]);
    assert_eq!(names, ["rdf.yaml", "weights.onnx", "test_input.npy", "test_output.npy", "README.md"]);
    let read = |name: &str| fs::read(at.join("package").join(name)).unwrap();

    let mut description = String::from_utf8(read("rdf.yaml")).unwrap();
    for name in &names[1..] {
        let hash = sha256(&read(name));
        assert!(description.contains(&format!("source: \"{name}\"\n")), "{name}");
        assert!(description.contains(&hash), "SHA-256 of {name}");
        description = description.replace(&hash, &format!("<SHA-256 of {name}>"));
    }
    let weights = &model.entry(Frames::Three).unwrap().sha256;
    insta::assert_snapshot!("description", description.replace(weights, "<SHA-256 of the model's weights>"));
    insta::assert_snapshot!("page", String::from_utf8(read("README.md")).unwrap());

    // The test output is what the network answers to the test input.
    let values = |name: &str| -> Vec<f32> {
        let bytes = read(name);
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
    };
    let inference = model.load_inference(Frames::Three, &DeviceChoice::Cpu.open().unwrap()).unwrap();
    let side = (values("test_output.npy").len() as f64).sqrt() as usize;
    let preparation = Preparation::of(&model.manifest);
    let answer = preparation.foreground(&inference, &values("test_input.npy"), 1, side, side).unwrap();
    assert!(answer == values("test_output.npy"));

    // The archive holds the same files.
    assert_eq!(export(at, &["model", "--format", "bioimageio", "-o", "package.zip", "--frames", "3"]), ["package.zip"]);
    let mut archive = zip::ZipArchive::new(fs::File::open(at.join("package.zip")).unwrap()).unwrap();
    assert_eq!(archive.len(), names.len());
    for name in &names {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut archive.by_name(name).unwrap(), &mut bytes).unwrap();
        assert!(bytes == read(name), "{name}");
    }
    let error = refused(at, &["model", "--format", "bioimageio", "-o", "p", "--frames", "3,5"]);
    assert!(error.contains("2 networks"), "{error}");
}
