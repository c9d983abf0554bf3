//! Predictions into object storage: the bytes of one on a disk, whatever the workers and however they and the network end.
//! s3s over a folder speaks S3 on loopback, and fails when told to.
//!
//! Settings come from the environment, as a user gives them: each part runs as a program of its own.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;
#[path = "../../volume/tests/common/server.rs"]
#[allow(dead_code, reason = "other tests use the rest of it")]
mod server;

use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Random, Task, assert_same, be_a_process, finish, run, run_heard, start_with, write_images};
use deep3m_predict::{PredictError, PredictEvent, PredictSummary, Worker, check_output, how_far, predict};
use deep3m_volume::{Region, fs, open};
use server::{Fault, Planned, Server, s3};

const OUT: &str = "s3://em-data/run/p.zarr";
const BLOCKS: u64 = 18;

/// A volume, what a process makes of it on a disk, and a bucket.
struct World {
    folder: tempfile::TempDir,
    server: Server,
}

impl World {
    fn new(plan: &[Planned]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("store/em-data")).unwrap();
        let world = Self { server: s3(&folder.path().join("store"), plan), folder };
        write_images(&world.path("images.zarr"));
        run(&world.path("images.zarr"), &world.path("p.zarr"), &Task::default(), &Arc::default()).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where the server keeps the output.
    fn kept(&self) -> PathBuf {
        self.path("store/em-data/run/p.zarr")
    }

    fn start(&self, this: &str, task: &Task) -> Child {
        let environment = [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.server.address)),
            ("AWS_ALLOW_HTTP", "true".to_owned()),
            ("AWS_ACCESS_KEY_ID", "key-of-the-test".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "secret-of-the-test".to_owned()),
            ("HTTP_PROXY", String::new()),
            ("http_proxy", String::new()),
            ("ALL_PROXY", String::new()),
            ("all_proxy", String::new()),
        ];
        start_with(this, self.folder.path(), OUT, task, &environment.map(|(name, value)| (name.to_owned(), value)))
    }

    fn summary(&self, worker: u32) -> PredictSummary {
        serde_json::from_slice(&fs::read(&self.path(&format!("p.zarr.{worker}.json"))).unwrap()).unwrap()
    }
}

fn worker(number: u32, count: u32) -> Task {
    let worker = Worker::new(number, count).unwrap();
    Task { worker, pause: Duration::from_millis(2), ..Task::default() }
}

#[test]
fn workers_share_an_output_in_object_storage() {
    if be_a_process() {
        return;
    }
    let this = "workers_share_an_output_in_object_storage";
    let second = Duration::from_secs(1);
    // All three kinds of failure, in the midst of the work.
    let world = World::new(&[(60, second, Fault::Busy), (160, second, Fault::Lost), (260, second, Fault::AnswerLost)]);
    let children: Vec<Child> = (0..3).map(|number| world.start(this, &worker(number, 3))).collect();
    for child in children {
        finish(child).unwrap();
    }
    assert_same(&world.kept(), &world.path("p.zarr"), "three workers");
    let summaries: Vec<PredictSummary> = (0..3).map(|number| world.summary(number)).collect();
    assert!(summaries.iter().all(|summary| summary.complete), "{summaries:?}");
    assert_eq!(summaries.iter().map(|summary| summary.blocks_now).sum::<u64>(), BLOCKS, "no block is computed twice");
    let (requests, failed) = world.server.state.requests();
    assert!(failed > 3, "{failed} of {requests} requests failed");
}

#[test]
fn killed_workers_are_followed_in_object_storage() {
    if be_a_process() {
        return;
    }
    let this = "killed_workers_are_followed_in_object_storage";
    let all = std::env::var("DEEP3M_KILLS").ok().and_then(|text| text.parse::<f64>().ok());
    let kills = all.map_or(8, |all| (all * 0.1).ceil() as u64);
    let (world, mut random, mut killed) = (World::new(&[]), Random(7), 0);
    let task = |number| Task { pause: Duration::from_millis(8), ..worker(number, 2) };
    while killed < kills {
        let begun = Instant::now();
        // Some get as far as a block or two, some to the end; one of two goes on.
        let children = [0, 1].map(|number| (number, world.start(this, &task(number))));
        for (number, mut child) in children {
            if random.below(3) == 0 {
                finish(child).unwrap();
                continue;
            }
            sleep(Duration::from_millis(random.below(500)));
            child.kill().unwrap();
            let status = child.wait().unwrap();
            assert!(status.success() || status.code().is_none(), "worker {number}: {status}");
            killed += u64::from(!status.success());
        }
        let note = std::fs::read_to_string(world.kept().join("deep3m-run.json")).unwrap_or_default();
        if note.contains("\"finished\": true") {
            // Whoever was killed after that has left its notes; this removes them.
            finish(world.start(this, &worker(0, 1))).unwrap();
            assert_same(&world.kept(), &world.path("p.zarr"), "ended among kills");
            fs::remove_dir(&world.kept()).unwrap();
        }
        assert!(begun.elapsed() < Duration::from_mins(1), "no lease of a dead process is waited for on its machine");
    }
    finish(world.start(this, &worker(0, 1))).unwrap();
    assert_same(&world.kept(), &world.path("p.zarr"), "after kills");
}

#[test]
fn an_output_in_object_storage_is_as_safe_as_one_on_a_disk() {
    let world = World::new(&[]);
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["part_safe", "--exact", "--ignored", "--nocapture"])
        .env("AWS_ENDPOINT_URL", format!("http://{}", world.server.address))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_ACCESS_KEY_ID", "key-of-the-test")
        .env("AWS_SECRET_ACCESS_KEY", "secret-of-the-test")
        .env("DEEP3M_TEST_STORE", world.folder.path())
        .env_remove("HTTP_PROXY")
        .env_remove("http_proxy")
        .output()
        .unwrap();
    let words = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && words.contains("1 passed"), "{words}");
}

#[test]
#[ignore = "started by another test"]
fn part_safe() {
    let Some(folder) = std::env::var_os("DEEP3M_TEST_STORE").map(PathBuf::from) else { return };
    let (images, out, kept) = (folder.join("images.zarr"), Path::new(OUT), folder.join("store/em-data/run/p.zarr"));
    let predict_now = |task: &Task| run(&images, out, task, &Arc::default());
    let config =
        |overwrite| deep3m_predict::PredictConfig { overwrite, tile: Some(28), ..common::config(&Task::default()) };
    let (volume, stop) = (open(&images).unwrap(), AtomicBool::new(false));
    let ensemble = common::ensemble(&Task::default(), &Arc::default());
    let other_blocks = |overwrite| predict(&ensemble, volume.as_ref(), out, &config(overwrite), &stop, &mut |_| {});

    // What is no prediction stays, also where it is to be overwritten.
    fs::write_atomic(&kept.join("photo.jpg"), b"mine").unwrap();
    assert!(matches!(predict_now(&Task::default()), Err(PredictError::Occupied { .. })));
    let error = other_blocks(true).unwrap_err().to_string();
    assert!(error.contains("photo.jpg"), "{error}");
    assert_eq!(fs::read(&kept.join("photo.jpg")).unwrap(), b"mine");
    fs::remove_dir(&kept).unwrap();

    // One process is a worker, another helps.
    let (mut refused, mut seen) = (Vec::new(), 0);
    let slow = Task { pause: Duration::from_millis(1), ..Task::default() };
    run_heard(&images, out, &slow, &Arc::default(), &mut |event| {
        if matches!(event, PredictEvent::BlockDone { done: 3, .. }) {
            refused.push(predict_now(&Task::default()).unwrap_err().to_string());
            refused.push(other_blocks(true).unwrap_err().to_string());
            seen = how_far(out, None).unwrap().unwrap().voxels_done;
            let helper = predict_now(&Task { wait: false, ..worker(3, 4) }).unwrap();
            assert!(!helper.complete && helper.blocks_now > 0 && helper.elsewhere[0].worker == Some(0), "{helper:?}");
        }
    })
    .unwrap();
    assert!(refused.iter().all(|error| error.contains("worker 0, process ")), "{refused:?}");
    assert!(seen > 0);
    assert_same(&kept, &folder.join("p.zarr"), "helped in between");
    assert_eq!(predict_now(&Task::default()).unwrap().blocks_before, BLOCKS, "done before");

    // Another run replaces it only when told to.
    assert!(matches!(other_blocks(false), Err(PredictError::AnotherRun { .. })));
    stop.store(true, Ordering::Relaxed);
    assert!(matches!(other_blocks(true), Err(PredictError::Interrupted { .. })));
    stop.store(false, Ordering::Relaxed);
    assert!(other_blocks(false).unwrap().complete, "the other run is there now, and goes on");
    let summary = other_blocks(true).unwrap();
    assert!(summary.complete && summary.blocks_now == summary.blocks, "{summary:?}");

    for (name, region, expected) in [
        ("s3://em-data/p.tif", None, "another format than OME-Zarr"),
        ("s3://em-data/p.precomputed", None, "another format than OME-Zarr"),
        ("s3://em-data/p.zarr", "0:1,0:9,0:9".parse::<Region>().ok(), "a region"),
        ("http://127.0.0.1:1/p.zarr", None, "to read from only"),
    ] {
        let error = check_output(Path::new(name), region).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains(name), "{error}");
    }
}
