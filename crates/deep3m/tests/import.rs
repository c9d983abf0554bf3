//! A model of CDeep3M from the outside: imported, used to predict, refused where it does not fit.

#![allow(clippy::unwrap_used, reason = "a helper outside a test function may fail like the test itself")]

#[path = "../../net/tests/common/encode.rs"]
#[allow(dead_code, reason = "this test uses a part")]
mod encode;

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use deep3m_net::{DeviceChoice, Frames, NetConfig};
use deep3m_volume::Voxels;
use serde_json::Value;

fn deep3m(folder: &Path, arguments: &[&str]) -> std::process::Output {
    Command::cargo_bin("deep3m").unwrap().current_dir(folder).args(arguments).output().unwrap()
}

/// Standard output of a command that works.
fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = deep3m(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Standard error of a command that fails with exit code 1, without its line breaks.
fn fail(folder: &Path, arguments: &[&str]) -> String {
    let output = deep3m(folder, arguments);
    assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    let text = String::from_utf8(output.stderr).unwrap();
    text.replace('│', " ").split_whitespace().collect::<Vec<_>>().join(" ")
}

fn write(path: &Path, frames: Frames, seed: u64) {
    let device = DeviceChoice::Cpu.open().unwrap();
    let mut tensors = NetConfig::with_width(frames, 0.03).unwrap().init(&device, seed).collect();
    encode::as_if_trained(&mut tensors);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, encode::caffemodel(&tensors)).unwrap();
}

#[test]
fn from_cdeep3ms_folders_to_a_prediction() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    run(at, &["phantom", "-o", "p", "--shape", "3,64,80", "--seed", "3"]);
    for (frames, iteration) in [(Frames::One, 900), (Frames::One, 1000), (Frames::Three, 1000)] {
        let name = format!("trained/{frames}/trainedmodel/{frames}_classifer_iter_{iteration}.caffemodel");
        write(&at.join(name), frames, iteration);
    }
    let text = run(at, &["import", "trained", "-o", "model"]);
    assert!(text.contains("1fm_classifer_iter_1000.caffemodel, iteration 1000"), "{text}");
    assert!(text.contains("3fm: ") && text.contains("model: model"), "{text}");

    let predict_with = |model: &str, out: &str, variations: &str| {
        run(at, &["predict", model, "p/images.zarr", "-o", out, "--variations", variations, "--device=cpu"]);
        let volume = deep3m_volume::open(&at.join(out)).unwrap();
        volume.read(deep3m_volume::Region::whole(volume.info().extent)).unwrap()
    };
    let predict = |model: &str, out: &str| predict_with(model, out, "1");
    let probability = predict("model", "p.zarr");

    // Another snapshot is another model; rows and columns exchanged, another one again.
    let json = run(at, &["import", "trained/1fm", "-o", "early", "--iteration", "900", "--json"]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json[0]["frames"].as_str(), json[0]["iteration"].as_u64()), (Some("1fm"), Some(900)));
    assert_ne!(predict("early", "early.zarr"), probability);
    run(at, &["import", "trained", "-o", "turned", "--transposed"]);
    assert_ne!(predict("turned", "turned.zarr"), probability);
    // All flips and rotations together do not know rows from columns: the same mean, but for its rounding to bytes.
    let [a, b] = [("model", "all.zarr"), ("turned", "all-turned.zarr")].map(|(m, out)| predict_with(m, out, "16"));
    let (Voxels::U8(a), Voxels::U8(b)) = (a.voxels(), b.voxels()) else { panic!("probabilities are bytes") };
    assert!(a.iter().zip(b).all(|(a, b)| a.abs_diff(*b) <= 1));

    // The same command gives the same model.
    let before = fs::read(at.join("model/model.json")).unwrap();
    let error = fail(at, &["import", "trained", "-o", "model"]);
    assert!(error.contains("model: already exists") && error.contains("--overwrite"), "{error}");
    run(at, &["import", "trained", "-o", "model", "--overwrite"]);
    assert_eq!(fs::read(at.join("model/model.json")).unwrap(), before);

    // Training goes on from it.
    let train = ["train", "p/images.zarr", "p/mitochondria.zarr", "--from", "turned", "-o", "adapted", "--frames", "1"];
    let short = ["--iterations", "1", "--batch", "1", "--patch", "64", "--device=cpu"];
    run(at, &[&train[..], &short].concat());
    let model = deep3m_net::ModelDir::open(at.join("adapted")).unwrap();
    assert!(model.manifest.networks[&Frames::One].config.is_transposed());
    predict("adapted", "adapted.zarr");
}

#[test]
fn what_cannot_be_imported_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    fs::create_dir_all(at.join("empty/1fm/trainedmodel")).unwrap();
    fs::write(at.join("net_iter_5.caffemodel"), b"\x0a\x02ab\xa2\x06\xff\xff\xff\xff\x0f").unwrap();
    fs::write(at.join("net.caffemodel.h5"), b"\x89HDF\r\n\x1a\n").unwrap();
    for (source, words) in [
        ("absent", vec!["absent"]),
        ("empty", vec!["empty", "no snapshot found", "1fm/trainedmodel/*.caffemodel"]),
        ("net_iter_5.caffemodel", vec!["net_iter_5.caffemodel", "at byte 11", "4294967295 bytes"]),
        ("net.caffemodel.h5", vec!["HDF5", "caffe.TEST"]),
    ] {
        let error = fail(at, &["import", source, "-o", "model"]);
        assert!(words.iter().all(|word| error.contains(word)), "{source}: {error}");
    }
    assert!(!at.join("model").exists(), "nothing is left behind");
    let output = deep3m(at, &["import", "x", "-o", "y", "--frames", "2"]);
    assert_eq!(output.status.code(), Some(2));
}
