//! A training that is killed (SIGKILL, no chance to tidy up) again and again ends with the bytes of one that was not, and
//! goes on from its last checkpoint each time.
//!
//! `DEEP3M_KILLS` says how many kills; `scripts/kills.sh` does a thousand, of predictions and trainings.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicBool;
use std::thread::sleep;
use std::time::{Duration, Instant};

use deep3m_net::{DeviceChoice, Frames};
use deep3m_volume::{Extent, fs as files};

use crate::metrics::{self, Record};
use crate::testing::discs;
use crate::{Budget, Outcome, TrainConfig, TrainingSet, train};

const FOLDER: &str = "DEEP3M_TEST_FOLDER";
const ITERATIONS: u64 = 6;

fn run(out: &Path) -> Outcome {
    let set = TrainingSet {
        training: vec![discs(Extent::new(3, 64, 64), 255)],
        validation: vec![discs(Extent::new(1, 64, 64), 1)],
    };
    let config = TrainConfig {
        frames: vec![Frames::One, Frames::Three],
        width: 0.02,
        budget: Budget::Iterations(ITERATIONS),
        iter_size: 1,
        batch: 1,
        patch: 32,
        validation_sections: 1,
        snapshot_interval: Some(1),
        validation_interval: Some(3),
        statistics_batches: 1,
        ..TrainConfig::deep3m()
    };
    let stop = AtomicBool::new(false);
    train(&set, &config, out, &[DeviceChoice::Cpu], false, &stop, &mut |_| {}).unwrap().outcome
}

/// Everything of the log but the time, for each model (which are trained one after another).
fn log(out: &Path) -> Vec<String> {
    let without_time = |record: &Record| {
        let mut value = serde_json::to_value(record).unwrap();
        value.as_object_mut().unwrap().remove("seconds");
        value.to_string()
    };
    metrics::read(&out.join("metrics.jsonl")).unwrap().iter().map(without_time).collect()
}

/// The newest checkpoint of each model, by its name, which holds the iteration.
fn newest(out: &Path) -> BTreeMap<String, String> {
    let mut newest = BTreeMap::new();
    for frames in Frames::ALL {
        let folder = out.join("checkpoints").join(frames.name());
        if folder.is_dir() {
            let name = |path: &std::path::PathBuf| path.file_name().unwrap().to_string_lossy().into_owned();
            let names =
                files::list(&folder).unwrap().iter().map(name).filter(|name| name.starts_with("iteration")).max();
            newest.extend(names.map(|name| (frames.to_string(), name)));
        }
    }
    newest
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_bytes() {
    if let Some(out) = std::env::var_os(FOLDER) {
        // This is the process to kill.
        run(Path::new(&out));
        return;
    }
    let all = std::env::var("DEEP3M_KILLS").ok().and_then(|text| text.parse::<f64>().ok());
    let kills = all.map_or(6, |all| (all * 0.1).ceil() as u64);
    let folder = tempfile::tempdir().unwrap();
    let whole = folder.path().join("whole");
    let begun = Instant::now();
    assert_eq!(run(&whole), Outcome::Finished);
    let whole_millis = begun.elapsed().as_millis() as u64;
    let (mut random, mut killed, mut round) = (1_u64, 0, 0);
    while killed < kills {
        let out = folder.path().join(format!("killed-{round}"));
        let mut before = BTreeMap::new();
        loop {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "kill_tests::killed_at_any_moment_it_goes_on_to_the_same_bytes"])
                .env(FOLDER, &out)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            // Anywhere in a run, now and then to its end.
            sleep(Duration::from_millis((random >> 33) % (whole_millis * 5 / 4).max(20)));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            if status.success() {
                break;
            }
            assert!(cfg!(not(unix)) || status.code().is_none(), "it failed by itself: {status}");
            killed += 1;
            let now = newest(&out);
            assert!(before.iter().all(|(model, at)| now.get(model) >= Some(at)), "{before:?}, then {now:?}");
            before = now;
        }
        assert_eq!(run(&out), Outcome::AlreadyFinished);
        for name in ["1fm", "3fm"].iter().flat_map(|m| [format!("{m}.safetensors"), format!("{m}.last.safetensors")]) {
            let bytes = |folder: &Path| files::read(&folder.join(&name)).unwrap();
            assert!(bytes(&whole) == bytes(&out), "{name} differs after {killed} kills");
        }
        assert_eq!(log(&whole), log(&out));
        for place in [out.clone(), out.join("checkpoints"), out.join("checkpoints/1fm"), out.join("checkpoints/3fm")] {
            let left = files::list(&place).unwrap().into_iter().find(|p| files::is_temporary(p.file_name().unwrap()));
            assert_eq!(left, None, "half-written files stay");
        }
        files::remove_dir(&out).unwrap();
        round += 1;
    }
    println!("{killed} kills over {round} trainings");
}
