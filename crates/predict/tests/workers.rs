//! Several workers over one output: the bytes of one, whatever their number, and however they end.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::scope;
use std::time::{Duration, Instant};

use common::{Task, assert_same, be_a_process, finish, part, run, run_heard, start, write_images};
use deep3m_predict::{PredictError, PredictEvent, PredictSummary, Worker};
use deep3m_volume::{Region, fs};

/// Calls of models for all blocks: two models in two variations, for every section of 3 × 2 tiles.
const CALLS: u64 = 7 * 6 * 4;
const BLOCKS: u64 = 18;

struct World {
    folder: tempfile::TempDir,
}

impl World {
    /// A volume, and what one process makes of it.
    fn new() -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap() };
        write_images(&world.path("images.zarr"));
        for (name, region) in OUTPUTS.iter().zip(regions()) {
            let calls = Arc::new(AtomicU64::new(0));
            let task = Task { region, ..Task::default() };
            let summary = run(&world.path("images.zarr"), &world.path(&format!("one-{name}")), &task, &calls).unwrap();
            assert_eq!((summary.blocks, summary.blocks_now), (BLOCKS, BLOCKS));
            assert!(summary.complete && calls.load(Ordering::Relaxed) == CALLS);
        }
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// An output is what one process makes, and nothing else is left.
    fn check(&self, out: &str, kind: &str, what: &str) {
        assert_same(&self.path(out), &self.path(&format!("one-{kind}")), what);
        assert!(!self.path(&format!("{out}.partial")).exists(), "{what}: scratch stays");
    }
}

const OUTPUTS: [&str; 3] = ["p.zarr", "r.zarr", "p.tif"];

fn regions() -> [Option<Region>; 3] {
    [None, part(), None]
}

fn worker(number: u32, count: u32) -> Worker {
    Worker::new(number, count).unwrap()
}

#[test]
fn any_number_of_workers_gives_the_bytes_of_one() {
    let world = World::new();
    for (kind, region) in OUTPUTS.into_iter().zip(regions()) {
        for count in [1, 2, 3, 5] {
            let what = format!("{count} workers, {kind}");
            let name = format!("{count}-{kind}");
            let calls = Arc::new(AtomicU64::new(0));
            let summaries: Vec<PredictSummary> = scope(|scope| {
                let (world, name, calls) = (&world, &name, &calls);
                let one = |number| {
                    // Some leave when only others are at work, some stay.
                    let wait = number % 2 == 0;
                    let pause = Duration::from_micros(300);
                    let task = Task { worker: worker(number, count), wait, region, pause, ..Task::default() };
                    scope.spawn(move || run(&world.path("images.zarr"), &world.path(name), &task, calls).unwrap())
                };
                let threads: Vec<_> = (0..count).map(one).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            world.check(&name, kind, &what);
            assert_eq!(calls.load(Ordering::Relaxed), CALLS, "{what}: no block is computed twice");
            assert_eq!(summaries.iter().map(|s| s.blocks_now).sum::<u64>(), BLOCKS, "{what}");
            assert!(summaries.iter().step_by(2).all(|s| s.complete), "{what}: {summaries:?}");
            for summary in summaries.iter().filter(|s| !s.complete) {
                assert!(!summary.elsewhere.is_empty(), "{what}: {summary:?}");
            }
        }
    }
}

#[test]
fn several_devices_share_the_blocks() {
    let world = World::new();
    for (kind, region) in OUTPUTS.into_iter().zip(regions()) {
        for lanes in [2, 3] {
            let (name, calls) = (format!("{lanes}-{kind}"), Arc::new(AtomicU64::new(0)));
            let task = Task { lanes, region, pause: Duration::from_micros(300), ..Task::default() };
            let (mut last, mut done) = (0, 0);
            let summary =
                run_heard(&world.path("images.zarr"), &world.path(&name), &task, &calls, &mut |event| match event {
                    PredictEvent::Progress { voxels_done } => {
                        assert!(voxels_done >= last, "progress rises");
                        last = voxels_done;
                    }
                    PredictEvent::BlockDone { done: now, .. } => {
                        assert_eq!(now, done + 1);
                        done = now;
                    }
                    _ => {}
                })
                .unwrap();
            assert_eq!((last, done), (summary.voxels, BLOCKS));
            assert_eq!(calls.load(Ordering::Relaxed), CALLS);
            world.check(&name, kind, &format!("{lanes} devices, {kind}"));
        }
    }
    let note = fs::read_to_string(&world.path("2-p.zarr/deep3m-run.json")).unwrap();
    let note: serde_json::Value = serde_json::from_str(&note).unwrap();
    assert_eq!(note["devices"], serde_json::json!(["cpu"]));
}

#[test]
fn killed_workers_are_followed_by_those_that_live() {
    if be_a_process() {
        return;
    }
    let world = World::new();
    let this = "killed_workers_are_followed_by_those_that_live";
    for (kind, region) in OUTPUTS.into_iter().zip(regions()) {
        let what = format!("killed workers, {kind}");
        let pause = Duration::from_millis(2);
        let task = |number: u32| Task { worker: worker(number, 3), region, pause, ..Task::default() };
        // Two die: in their first block, which they have leased; and in their second, while the first is written.
        let dying = [(0, 1), (1, 13)]
            .map(|(number, dies_at)| start(this, world.folder.path(), kind, &Task { dies_at, ..task(number) }));
        for child in dying {
            let error = finish(child).unwrap_err();
            assert!(!error.contains("panicked"), "{error}");
        }
        assert!(!world.path(&format!("{kind}.2.json")).exists());
        let begun = Instant::now();
        finish(start(this, world.folder.path(), kind, &task(2))).unwrap();
        assert!(begun.elapsed() < Duration::from_mins(1), "the lease of a dead process is not waited for here");
        let summary = fs::read(&world.path(&format!("{kind}.2.json"))).unwrap();
        let summary: PredictSummary = serde_json::from_slice(&summary).unwrap();
        assert!(summary.complete);
        assert_eq!(summary.blocks_before + summary.blocks_now, BLOCKS, "{what}: {summary:?}");
        assert!(summary.blocks_before <= 1, "{what}: {summary:?}");
        world.check(kind, kind, &what);
    }
}

#[test]
fn the_same_worker_twice_at_once_is_refused() {
    let world = World::new();
    let out = world.path("p.zarr");
    let images = world.path("images.zarr");
    let mut refused = Vec::new();
    let slow = Task { pause: Duration::from_millis(1), ..Task::default() };
    run_heard(&images, &out, &slow, &Arc::default(), &mut |event| {
        if matches!(event, PredictEvent::BlockDone { done: 3, .. }) {
            // A plain run is worker 0.
            for task in [Task::default(), Task { worker: worker(0, 4), ..Task::default() }] {
                refused.push(run(&images, &out, &task, &Arc::default()).unwrap_err());
            }
            // Another helps, and leaves.
            let helper = Task { worker: worker(3, 4), wait: false, ..Task::default() };
            let summary = run(&images, &out, &helper, &Arc::default()).unwrap();
            assert!(!summary.complete && summary.blocks_now > 0, "{summary:?}");
            assert!(summary.elsewhere[0].worker == Some(0) && summary.elsewhere[0].blocks > 0, "{summary:?}");
        }
    })
    .unwrap();
    assert_eq!(refused.len(), 2);
    for error in refused {
        assert!(matches!(error, PredictError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("worker 0, process "), "{error}");
    }
    world.check("p.zarr", "p.zarr", "helped in between");
}

/// A block of which nothing is noted, in the hands of a session.
fn leave_lease(out: &Path, number: u64, holder: &str) {
    let path = out.join(format!("deep3m-workers/block-{number}.json"));
    fs::write_atomic(&path, holder.as_bytes()).unwrap();
}

#[test]
fn what_a_dead_worker_of_another_machine_left_is_taken_over_in_time() {
    let world = World::new();
    let images = world.path("images.zarr");
    for (name, noted) in [("gone.zarr", false), ("silent.zarr", true)] {
        let out = world.path(name);
        // Killed after its chunks were written and before it was noted: the lease is there, the log does not know.
        let first = Task { dies_at: u64::MAX, lease_seconds: 1, ..Task::default() };
        let mut stopped = 0;
        let volume = deep3m_volume::open(&images).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let ensemble = common::ensemble(&first, &Arc::default());
        let config = common::config(&first);
        let ended = deep3m_predict::predict(&ensemble, volume.as_ref(), &out, &config, &stop, &mut |event| {
            if matches!(event, PredictEvent::BlockDone { .. }) {
                stopped += 1;
                stop.store(stopped >= 6, Ordering::Relaxed);
            }
        });
        assert!(matches!(ended, Err(PredictError::Interrupted { .. })));
        let log = out.join("deep3m-workers/done-0-0.log");
        let text = fs::read_to_string(&log).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let (last, kept) = lines.split_last().unwrap();
        fs::write_atomic(&log, format!("{}\n", kept.join("\n")).as_bytes()).unwrap();
        let holder = r#"{"worker":7,"host":"node-7","machine":"another","pid":1,"token":"t"}"#;
        leave_lease(&out, last.parse().unwrap(), holder);
        if noted {
            // Its clock is far ahead; it does not beat any more.
            let beat = format!(r#"{{"holder":{holder},"count":3,"time":9999999999,"lease_seconds":1}}"#);
            fs::write_atomic(&out.join("deep3m-workers/worker-7.json"), beat.as_bytes()).unwrap();
        }
        let (begun, mut waited) = (Instant::now(), false);
        // Without --wait it stays as long as it has not seen the other live.
        let task = Task { worker: worker(1, 2), wait: false, lease_seconds: 1, ..Task::default() };
        let summary = run_heard(&images, &out, &task, &Arc::default(), &mut |event| {
            if let PredictEvent::Waiting(others) = event {
                waited |= others[0].host.as_deref() == Some("node-7");
            }
        })
        .unwrap();
        assert!(summary.complete && summary.blocks_before == kept.len() as u64 - 1, "{summary:?} {lines:?}");
        assert_eq!(waited, noted, "{name}");
        assert!(!noted || begun.elapsed() >= Duration::from_secs(1));
        assert_same(&out, &world.path("one-p.zarr"), name);
    }
}

#[test]
fn temporary_files_of_killed_processes_do_not_stay() {
    let world = World::new();
    let images = world.path("images.zarr");
    let out = world.path("p.zarr");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let task = Task::default();
    let volume = deep3m_volume::open(&images).unwrap();
    let ensemble = common::ensemble(&task, &Arc::default());
    let config = common::config(&task);
    deep3m_predict::predict(&ensemble, volume.as_ref(), &out, &config, &stop, &mut |event| {
        stop.fetch_or(matches!(event, PredictEvent::BlockDone { .. }), Ordering::Relaxed);
    })
    .unwrap_err();
    for name in ["0/c/0/0/.0.123-4.part", ".deep3m-run.json.123-5.part", "0/c/.9.4294967295-0.part"] {
        std::fs::write(out.join(name), "half").unwrap();
    }
    run(&images, &out, &task, &Arc::default()).unwrap();
    world.check("p.zarr", "p.zarr", "swept");
}
