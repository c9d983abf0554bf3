//! Whole runs on tiny data.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use deep3m_net::{DeviceChoice, Frames, ModelDir};
use deep3m_volume::{Binning, Extent, fs as files};

use crate::metrics::{self, Record};
use crate::testing::{discs, labelled};
use crate::{Budget, Outcome, TrainConfig, TrainError, TrainEvent, TrainSummary, TrainingSet, train};

fn set() -> TrainingSet {
    let extent = Extent::new(3, 96, 112);
    TrainingSet { training: vec![discs(extent, 255)], validation: vec![discs(Extent::new(2, 96, 96), 1)] }
}

fn tiny(config: TrainConfig, iterations: u64) -> TrainConfig {
    TrainConfig {
        frames: vec![Frames::One],
        width: 0.02,
        budget: Budget::Iterations(iterations),
        iter_size: 1,
        batch: 2,
        patch: 64,
        validation_sections: 1,
        snapshot_interval: Some(2),
        validation_interval: Some(3),
        statistics_batches: config.statistics_batches.min(2),
        ..config
    }
}

/// Trains, stopping after `stop_after` iterations of this call.
fn run(config: &TrainConfig, out: &Path, stop_after: Option<u64>) -> Result<TrainSummary, TrainError> {
    let stop = AtomicBool::new(false);
    let mut seen = 0;
    train(&set(), config, out, &[DeviceChoice::Cpu], false, &stop, &mut |event| {
        if let TrainEvent::Iteration { .. } = event {
            seen += 1;
            stop.store(stop_after.is_some_and(|n| seen >= n), Ordering::Relaxed);
        }
    })
}

fn bytes(out: &Path, name: &str) -> Vec<u8> {
    files::read(&out.join(name)).unwrap()
}

/// Everything of the log but the time.
fn log(out: &Path) -> Vec<String> {
    let without_time = |record: &Record| {
        let mut value = serde_json::to_value(record).unwrap();
        value.as_object_mut().unwrap().remove("seconds");
        value.to_string()
    };
    metrics::read(&out.join("metrics.jsonl")).unwrap().iter().map(without_time).collect()
}

fn goes_on_as_if_never_stopped(config: TrainConfig) {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let config = tiny(config, 7);
    assert_eq!(run(&config, &whole, None).unwrap().outcome, Outcome::Finished);
    assert_eq!(run(&config, &parts, Some(1)).unwrap().outcome, Outcome::Interrupted);
    assert_eq!(run(&config, &parts, Some(4)).unwrap().outcome, Outcome::Interrupted);
    assert_eq!(run(&config, &parts, None).unwrap().outcome, Outcome::Finished);
    for name in ["1fm.safetensors", "1fm.last.safetensors"] {
        assert!(bytes(&whole, name) == bytes(&parts, name), "{name} differs");
    }
    assert_eq!(log(&whole), log(&parts));
    assert_eq!(log(&whole).len(), 7 + 3, "7 updates; validated after 3, 6 and 7");

    let again = run(&config, &parts, None).unwrap();
    assert_eq!(again.outcome, Outcome::AlreadyFinished);
    assert_eq!(again.models[0].iterations, 7);
    let more = TrainConfig { add_iterations: 2, ..config };
    assert_eq!(run(&more, &parts, None).unwrap().models[0].iterations, 9);
}

#[test]
fn deep3m_goes_on_as_if_never_stopped() {
    goes_on_as_if_never_stopped(TrainConfig::deep3m());
}

#[test]
fn cdeep3m_goes_on_as_if_never_stopped() {
    goes_on_as_if_never_stopped(TrainConfig::cdeep3m());
}

#[test]
fn models_trained_side_by_side_are_those_trained_one_after_another() {
    let folder = tempfile::tempdir().unwrap();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let config = TrainConfig { frames: Frames::ALL.to_vec(), ..tiny(TrainConfig::deep3m(), 3) };
    let in_order = run(&config, &one, None).unwrap();
    let stop = AtomicBool::new(false);
    let devices = [DeviceChoice::Cpu, DeviceChoice::Cpu];
    // Stopped once on the way: both lanes leave a checkpoint, both go on.
    let mut seen = Vec::new();
    let summary = train(&set(), &config, &two, &devices, false, &stop, &mut |event| {
        if let TrainEvent::Iteration { frames, iteration, .. } = event {
            seen.push((frames, iteration));
            if seen.len() == 2 {
                stop.store(true, Ordering::Relaxed);
            }
        }
    });
    assert_eq!(summary.unwrap().outcome, Outcome::Interrupted);
    let stop = AtomicBool::new(false);
    let summary = train(&set(), &config, &two, &devices, false, &stop, &mut |event| {
        if let TrainEvent::Iteration { frames, iteration, .. } = event {
            seen.push((frames, iteration));
        }
    });
    let summary = summary.unwrap();
    assert_eq!(summary.outcome, Outcome::Finished);
    assert!(summary.models.iter().map(|m| m.frames).eq(in_order.models.iter().map(|m| m.frames)));
    seen.sort();
    assert_eq!(seen, Frames::ALL.map(|f| [(f, 1), (f, 2), (f, 3)]).concat(), "no update was made twice");
    for name in ["1fm.safetensors", "3fm.safetensors", "5fm.safetensors"] {
        assert!(bytes(&one, name) == bytes(&two, name), "{name} differs");
    }
    let of = |out: &Path, frames: Frames| {
        let name = format!("\"{frames}\"");
        log(out).into_iter().filter(|line| line.contains(&name)).collect::<Vec<_>>()
    };
    for frames in Frames::ALL {
        assert_eq!(of(&one, frames), of(&two, frames));
        assert_eq!(of(&one, frames).len(), 3 + 1);
    }
}

/// A run killed between two checkpoints has written log lines that its last checkpoint does not know.
#[test]
fn a_killed_run_ends_with_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, killed) = (folder.path().join("whole"), folder.path().join("killed"));
    let config = tiny(TrainConfig::deep3m(), 6);
    run(&config, &whole, None).unwrap();
    run(&config, &killed, Some(2)).unwrap();
    // What is on the disk after two iterations stays; the run goes on to the fourth and is killed: its checkpoint is
    // put back.
    let checkpoints = killed.join("checkpoints/1fm");
    let kept = files::list(&checkpoints).unwrap().pop().unwrap();
    let old = files::read(&kept).unwrap();
    run(&config, &killed, Some(2)).unwrap();
    files::remove_dir(&checkpoints).unwrap();
    files::write_atomic(&kept, &old).unwrap();
    run(&config, &killed, None).unwrap();
    assert!(bytes(&whole, "1fm.safetensors") == bytes(&killed, "1fm.safetensors"));
    assert_eq!(log(&whole), log(&killed));
}

#[test]
fn a_tiny_network_learns_discs_and_the_model_can_be_opened() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let config = TrainConfig {
        frames: vec![Frames::One, Frames::Three],
        width: 0.05,
        learning_rate: 1e-2,
        binning: Some(Binning::square(2)),
        patch: 48,
        batch: 4,
        validation_interval: Some(20),
        ..tiny(TrainConfig::deep3m(), 40)
    };
    let summary = run(&config, &out, None).unwrap();
    for model in &summary.models {
        let (_, scores) = model.best.unwrap();
        assert!(scores.jaccard.unwrap() > 0.6, "{}: {scores:?}", model.frames);
    }
    let model = ModelDir::open(&out).unwrap();
    assert_eq!(model.frames(), [Frames::One, Frames::Three]);
    let drifts = model.verify(&DeviceChoice::Cpu.open().unwrap()).unwrap();
    assert!(drifts.values().all(|drift| drift.is_some_and(|d| d.is_same())), "{drifts:?}");
    assert_eq!(model.manifest.binning, Binning::square(2));
    assert!(model.manifest.networks[&Frames::One].validation.contains_key("jaccard"));

    let adapted = TrainConfig { from: Some(out), frames: vec![Frames::Three], ..tiny(TrainConfig::deep3m(), 2) };
    let other = folder.path().join("adapted");
    run(&adapted, &other, None).unwrap();
    assert_eq!(
        ModelDir::open(&other).unwrap().manifest.networks[&Frames::Three].config.channels().get("conv4_1b"),
        Some(56)
    );
}

#[test]
fn minutes_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let config =
        TrainConfig { budget: Budget::Minutes(0.1), validation_interval: None, ..tiny(TrainConfig::deep3m(), 1) };
    let begun = std::time::Instant::now();
    let summary = run(&config, &out, None).unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    assert!((3.0..7.5).contains(&seconds), "{seconds} of 6 s");
    assert!(summary.models[0].iterations > 1);
    let rates: Vec<f64> = metrics::read(&out.join("metrics.jsonl"))
        .unwrap()
        .into_iter()
        .filter_map(|r| if let Record::Training { learning_rate, .. } = r { Some(learning_rate) } else { None })
        .collect();
    // How far it comes depends on how busy the machine is.
    let highest = rates.iter().copied().fold(0.0, f64::max);
    assert!(rates[0] < highest && *rates.last().unwrap() < highest, "the schedule follows the clock: {rates:?}");
}

#[test]
fn a_loss_that_is_no_number_stops_and_keeps_the_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let config = TrainConfig {
        learning_rate: 1e12,
        validation_interval: Some(1000),
        snapshot_interval: Some(1),
        ..tiny(TrainConfig::cdeep3m(), 20)
    };
    let error = run(&config, &out, None).unwrap_err();
    assert!(matches!(error, TrainError::Diverged { .. }), "{error}");
    assert!(error.to_string().contains("learning-rate"), "{error}");
    assert_eq!(files::list(&out.join("checkpoints/1fm")).unwrap().len(), 1);
    assert!(!out.join("1fm.safetensors").exists());
}

#[test]
fn bad_data_is_refused_before_anything_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let extent = Extent::new(1, 40, 40);
    let refused = |set: TrainingSet, config: &TrainConfig| {
        let stop = AtomicBool::new(false);
        let error = train(&set, config, &out, &[DeviceChoice::Cpu], false, &stop, &mut |_| {}).unwrap_err().to_string();
        assert!(!out.exists(), "{error}");
        error
    };
    let only = |volume| TrainingSet { training: vec![volume], validation: Vec::new() };
    let config = tiny(TrainConfig::deep3m(), 1);
    let three = || labelled(extent, |i| i.x as u8, |i| (i.x % 3) as u8 * 7);
    let error = refused(only(three()), &config);
    assert!(error.contains("3 values: 0 (560 voxels), 7 (520 voxels), 14 (520 voxels)"), "{error}");
    assert!(error.contains("--foreground"), "{error}");
    let error = refused(only(three()), &TrainConfig { foreground: Some(9), ..config.clone() });
    assert!(error.contains("no foreground") && error.contains("value 9"), "{error}");
    let error = refused(only(labelled(extent, |i| i.x as u8, |_| 0)), &config);
    assert!(error.contains("no foreground: found one value: 0 (1600 voxels)"), "{error}");
    let mut other = three();
    other.labels = crate::testing::volume("labels", Extent::new(1, 40, 41), |_| 0);
    let error = refused(only(other), &config);
    assert!(error.contains("labels: 1 × 40 × 41") && error.contains("images are 1 × 40 × 40"), "{error}");
    let error = refused(only(labelled(extent, |_| 7, |i| (i.x % 2) as u8)), &config);
    assert!(error.contains("every voxel looked at is 7"), "{error}");
    let error = refused(only(three()), &TrainConfig { patch: 100, ..config.clone() });
    assert!(error.contains("--patch: found 100; expected a multiple of 16"), "{error}");
    assert!(refused(TrainingSet::default(), &config).contains("no training volume"));
}

#[test]
fn small_slices_sparse_labels_and_three_values_are_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Extent::new(2, 40, 40);
    let mut notices = Vec::new();
    let volume = labelled(extent, |i| (i.x * 5) as u8, |i| if i.y > 30 { 9 } else { (i.x % 3) as u8 });
    let set = TrainingSet { training: vec![volume], validation: Vec::new() };
    let config = TrainConfig {
        ignore: Some(9),
        foreground: Some(2),
        frames: vec![Frames::Five],
        ..tiny(TrainConfig::cdeep3m(), 2)
    };
    let stop = AtomicBool::new(false);
    let out = folder.path().join("model");
    let summary = train(&set, &config, &out, &[DeviceChoice::Cpu], false, &stop, &mut |event| {
        if let TrainEvent::Notice(text) = event {
            notices.push(text);
        }
    });
    assert_eq!(summary.unwrap().models[0].best, None);
    let all = notices.join("\n");
    assert!(all.contains("padded by reflection") && all.contains("77.5 % of the voxels are labelled"), "{all}");
    assert!(ModelDir::open(&out).is_ok());

    let stop = AtomicBool::new(false);
    let other = TrainConfig { seed: 3, ..config };
    let start = |overwrite| train(&set, &other, &out, &[DeviceChoice::Cpu], overwrite, &stop, &mut |_| {});
    let error = start(false).unwrap_err().to_string();
    assert!(error.contains("seed was 0, is 3"), "{error}");
    assert_eq!(start(true).unwrap().outcome, Outcome::Finished);
}

#[test]
fn a_checkpoint_that_cannot_be_written_is_named_and_the_last_one_stays() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("model");
    let config = tiny(TrainConfig::deep3m(), 8);
    run(&config, &out, Some(2)).unwrap();
    let checkpoints = out.join("checkpoints/1fm");
    let good = files::read(&files::list(&checkpoints).unwrap()[0]).unwrap();
    // A folder of the next checkpoint's name is in its way, as a full disk would be.
    std::fs::create_dir_all(checkpoints.join("iteration-000000004.safetensors/x")).unwrap();
    let error = run(&config, &out, None).unwrap_err().to_string();
    assert!(error.contains("iteration-000000004.safetensors: write"), "{error}");
    assert_eq!(files::read(&checkpoints.join("iteration-000000002.safetensors")).unwrap(), good);
}
