//! Models of CDeep3M, imported, predict what Caffe predicts; what cannot be imported is named.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Instant;

use common::corpus::{corpus, small};
use common::encode::{as_if_trained, caffemodel, old_caffemodel};
use common::{Golden, cpu, difference, fixture};
use deep3m_net::weights::caffe::read_caffemodel;
use deep3m_net::{
    DeepEm3d, Frames, ImportConfig, Imported, Inference, ModelDir, NamedTensor, NetConfig, Normalisation, import,
};
use deep3m_volume::{Binning, VoxelType};

const H: usize = 96;
const W: usize = 128;

fn importing(source: &Path, out: &Path) -> Result<Vec<Imported>, String> {
    import(source, out, &ImportConfig::default()).map_err(|error| error.to_string())
}

fn foreground(model: &Path, frames: Frames, grey: &[f32]) -> Vec<f32> {
    let model = ModelDir::open(model).unwrap();
    let verified = model.verify(&cpu()).unwrap();
    assert!(verified.values().all(|drift| drift.is_some_and(|d| d.is_same())), "{verified:?}");
    model.load_inference(frames, &cpu()).unwrap().foreground(grey, 1, H, W).unwrap()
}

#[test]
fn imported_networks_predict_what_caffe_predicts() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("cdeep3m");
    for frames in Frames::ALL {
        let Some(file) = fixture(&format!("tiny_{frames}.caffemodel")) else { return };
        let to = source.join(format!("{frames}/trainedmodel/{frames}_classifer_iter_22000.caffemodel"));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(file, to).unwrap();
    }
    let out = folder.path().join("model");
    let imported = importing(&source, &out).unwrap();
    assert_eq!(
        imported.iter().map(|i| (i.frames, i.iteration)).collect::<Vec<_>>(),
        Frames::ALL.map(|f| (f, Some(22000)))
    );
    for frames in Frames::ALL {
        let mut golden = Golden::open(&format!("tiny_{frames}_golden.npz")).unwrap();
        let probability = foreground(&out, frames, &golden.frames("input_u8"));
        let off = difference(&probability, &golden.floats("prob")[H * W..]);
        eprintln!("{frames}: probability off by {off:.1e}");
        assert!(off < 5e-5, "{frames}: {off}");
    }
    let manifest = ModelDir::open(&out).unwrap().manifest;
    assert_eq!((manifest.normalisation, manifest.binning), (Normalisation::Raw, Binning::NONE));
    assert_eq!((manifest.voxel_type, manifest.threshold), (VoxelType::U8, 0.5));
    assert_eq!(manifest.networks[&Frames::Three].iterations, 22000);
    assert_eq!(manifest.training["origin"], "imported from CDeep3M");
    let snapshot = &manifest.training["snapshots"]["5fm"];
    assert_eq!(snapshot["file"], "5fm_classifer_iter_22000.caffemodel");
    assert_eq!(snapshot["sha256"].as_str().unwrap(), imported[2].sha256);
    assert_eq!(snapshot["sha256"].as_str().unwrap().len(), 64);
}

#[test]
fn a_trained_network_and_one_after_five_updates() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("trained");
    let Some(file) = fixture("tiny_1fm_trained.caffemodel") else { return };
    importing(&file, &out).unwrap();
    let mut golden = Golden::open("tiny_1fm_trained_golden.npz").unwrap();
    let off = difference(&foreground(&out, Frames::One, &golden.frames("input_u8")), &golden.floats("prob_fg"));
    assert!(off < 5e-5, "{off}");

    let after = fixture("step_1fm_after5.caffemodel").unwrap();
    let out = folder.path().join("after5");
    let imported = importing(&after, &out).unwrap();
    assert_eq!((imported[0].frames, imported[0].iteration), (Frames::One, None));
    let (_, kept) = ModelDir::open(&out).unwrap().tensors(Frames::One).unwrap();
    let (_, read) = common::caffemodel("step_1fm_after5.caffemodel").unwrap();
    assert_eq!(kept.len(), read.len());
    assert!(read.iter().all(|tensor| kept.contains(tensor)));
}

#[test]
fn current_and_old_files_give_the_same_network() {
    let folder = tempfile::tempdir().unwrap();
    for frames in Frames::ALL {
        let tensors = small(frames);
        for (name, bytes) in [("new", caffemodel(&tensors)), ("old", old_caffemodel(&tensors))] {
            let file = folder.path().join(format!("{name}.caffemodel"));
            fs::write(&file, &bytes).unwrap();
            let out = folder.path().join(format!("{frames}-{name}"));
            assert_eq!(importing(&file, &out).unwrap()[0].frames, frames);
            let (config, kept) = ModelDir::open(&out).unwrap().tensors(frames).unwrap();
            assert_eq!(config, NetConfig::with_width(frames, 0.02).unwrap());
            assert!(
                kept.len() == tensors.len() && tensors.iter().all(|tensor| kept.contains(tensor)),
                "{frames} {name}"
            );
        }
    }
}

/// Images with rows and columns exchanged, frame by frame.
fn turned(images: &[f32], h: usize, w: usize) -> Vec<f32> {
    let frames = images.chunks_exact(h * w);
    frames.flat_map(|frame| (0..w).flat_map(move |x| (0..h).map(move |y| frame[y * w + x]))).collect()
}

/// What CDeep3M 1.x did: the network of the file sees transposed images, and its answer is transposed back.
#[test]
fn a_transposed_import_answers_as_the_network_on_transposed_images() {
    let (h, w) = (48, 80);
    for frames in Frames::ALL {
        let bytes = caffemodel(&small(frames));
        let net = read_caffemodel(&bytes).unwrap();
        let inference = |(config, tensors): (NetConfig, Vec<NamedTensor>)| {
            let trained = DeepEm3d::from_tensors(config.clone(), &tensors, &cpu()).unwrap();
            (Inference::from_tensors(config, &tensors, &cpu()).unwrap(), trained)
        };
        let (plain, _) = inference(net.to_network(frames).unwrap());
        let (transposed, unfolded) = inference(net.to_transposed_network(frames).unwrap());
        let images: Vec<f32> = (0..frames.count() * h * w).map(|i| ((i * i / 7 + i * 31) % 251) as f32).collect();
        let expected = turned(&plain.foreground(&turned(&images, h, w), 1, w, h).unwrap(), w, h);
        let found = transposed.foreground(&images, 1, h, w).unwrap();
        assert!(difference(&found, &expected) < 1e-4, "{frames}: {}", difference(&found, &expected));
        // The test would see no difference if there were none.
        assert!(difference(&plain.foreground(&images, 1, h, w).unwrap(), &expected) > 1e-3);
        // The network in training is the same one.
        let again = Inference::new(&unfolded, &cpu()).unwrap().foreground(&images, 1, h, w).unwrap();
        assert_eq!(again, found);
        let x = common::input(&images, 1, frames.count(), h, w, &cpu());
        let logits = common::host(&unfolded.forward(x, deep3m_net::Mode::Predict));
        let probability: Vec<f32> = (0..h * w).map(|i| 1.0 / (1.0 + (logits[i] - logits[h * w + i]).exp())).collect();
        assert!(difference(&probability, &expected) < 1e-4);
    }
}

#[test]
fn a_transposed_model_is_kept_as_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("1fm.caffemodel");
    fs::write(&file, caffemodel(&small(Frames::One))).unwrap();
    let out = folder.path().join("model");
    import(&file, &out, &ImportConfig { transposed: true, ..ImportConfig::default() }).unwrap();
    let model = ModelDir::open(&out).unwrap();
    assert!(model.manifest.networks[&Frames::One].config.is_transposed());
    assert_eq!(model.manifest.training["transposed"], true);
    model.load_network(Frames::One, &cpu()).unwrap();
}

#[test]
fn a_folder_that_holds_something_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (one, three) = (folder.path().join("1fm.caffemodel"), folder.path().join("3fm.caffemodel"));
    fs::write(&one, caffemodel(&small(Frames::One))).unwrap();
    fs::write(&three, caffemodel(&small(Frames::Three))).unwrap();
    let out = folder.path().join("model");
    importing(&one, &out).unwrap();
    assert!(importing(&three, &out).unwrap_err().contains("holds a model; choose another folder, or give --overwrite"));
    fs::create_dir(out.join("checkpoints")).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let overwrite = ImportConfig { overwrite: true, ..ImportConfig::default() };

    // A damaged file does not touch the model that is there.
    let damaged = folder.path().join("damaged.caffemodel");
    fs::write(&damaged, &caffemodel(&small(Frames::Three))[..5000]).unwrap();
    import(&damaged, &out, &overwrite).unwrap_err();
    assert_eq!(ModelDir::open(&out).unwrap().frames(), [Frames::One]);

    import(&three, &out, &overwrite).unwrap();
    let names: Vec<String> =
        deep3m_volume::fs::list(&out).unwrap().iter().map(|p| p.file_name().unwrap().display().to_string()).collect();
    assert_eq!(names, ["3fm.safetensors", "model.json", "notes.txt"]);
    assert_eq!(ModelDir::open(&out).unwrap().frames(), [Frames::Three]);

    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("photo.tif"), "x").unwrap();
    assert!(importing(&three, &other).unwrap_err().contains("photo.tif"));
    assert!(importing(&three, &one).unwrap_err().contains("a file; models are folders"));
}

#[test]
fn folders_and_options_that_disagree() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("cdeep3m");
    let write = |path: &str, frames: Frames| {
        let path = source.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, caffemodel(&small(frames))).unwrap();
    };
    let out = folder.path().join("model");
    write("3fm/trainedmodel/3fm_classifer_iter_5.caffemodel", Frames::One);
    let error = importing(&source, &out).unwrap_err();
    for words in ["3fm_classifer_iter_5.caffemodel", "those of 1fm; expected 3fm, as its name says"] {
        assert!(error.contains(words), "{error}");
    }
    let error = importing(&source.join("3fm"), &out).unwrap_err();
    assert!(error.contains("expected 3fm"), "{error}");
    write("3fm/trainedmodel/3fm_classifer_iter_5.caffemodel", Frames::Three);
    write("1fm/trainedmodel/1fm_classifer_iter_7.caffemodel", Frames::One);
    let five = ImportConfig { frames: Some(Frames::Five), ..ImportConfig::default() };
    let error = import(&source, &out, &five).unwrap_err().to_string();
    assert!(error.contains("no network of 5fm"), "{error}");
    let error = import(&source.join("1fm"), &out, &five).unwrap_err().to_string();
    assert!(error.contains("expected 5fm, as --frames says"), "{error}");
    assert!(!out.exists(), "nothing is left behind");
    let three = ImportConfig { frames: Some(Frames::Three), ..ImportConfig::default() };
    assert_eq!(import(&source, &out, &three).unwrap().len(), 1);

    let twice = folder.path().join("twice");
    fs::create_dir(&twice).unwrap();
    for name in ["a_iter_5.caffemodel", "1fm_iter_5.caffemodel"] {
        fs::write(twice.join(name), caffemodel(&small(Frames::One))).unwrap();
    }
    let error = importing(&twice, &folder.path().join("two")).unwrap_err();
    assert!(error.contains("are both networks of 1fm"), "{error}");
}

#[test]
fn nasty_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    for (name, bytes, words) in corpus() {
        let file = folder.path().join("nasty.caffemodel");
        fs::write(&file, &bytes).unwrap();
        let error = importing(&file, &out).expect_err(name);
        for word in words.into_iter().chain(["nasty.caffemodel"]) {
            assert!(error.contains(word), "{name}: expected \"{word}\" in: {error}");
        }
        assert!(error.len() < 4000, "{name}: {error}");
        assert!(!out.exists(), "{name}: nothing is left behind");
    }
}

#[test]
fn the_byte_that_is_named_is_the_value() {
    let mut tensors = small(Frames::One);
    let place = tensors.iter().position(|t| t.name.layer == "conv5_1b").unwrap();
    tensors[place].values[3] = f32::from_bits(0x7fc1_2345);
    let bytes = caffemodel(&tensors);
    let error = read_caffemodel(&bytes).unwrap().to_network(Frames::One).unwrap_err().to_string();
    let at = bytes.windows(4).position(|w| w == 0x7fc1_2345_u32.to_le_bytes()).unwrap();
    assert!(error.contains(&format!("value 3, at byte {at}: found NaN")), "{error}");
}

/// The published network, 24 million weights: `cargo test --test import -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, of 100 MB"]
fn the_published_network_is_imported_in_less_than_a_second() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("3fm_classifer_iter_30000.caffemodel");
    let mut tensors = NetConfig::original(Frames::Three).init(&cpu(), 1).collect();
    as_if_trained(&mut tensors);
    fs::write(&file, caffemodel(&tensors)).unwrap();
    for round in 0..3 {
        let out = folder.path().join(format!("model{round}"));
        let begun = Instant::now();
        let imported = importing(&file, &out).unwrap();
        let seconds = begun.elapsed().as_secs_f64();
        println!("{} weights, {} bytes: {seconds:.2} s", imported[0].parameters, imported[0].bytes);
        assert!(seconds < 1.0, "{seconds}");
    }
}
