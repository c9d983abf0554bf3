//! Predictions that are killed (SIGKILL, no chance to tidy up) again and again end with the bytes of one that was not, and
//! no finished block is computed again.
//!
//! `DEEP3M_KILLS` says how many kills; `scripts/kills.sh` does a thousand.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, SystemTime};

use common::{Random, Task, assert_same, be_a_process, config, ensemble, finish, part, run, start, write_images};
use deep3m_predict::{Plan, PredictSummary, Worker, plan};
use deep3m_volume::{fs, open};

const BLOCKS: u64 = 18;

/// Kills of each test: its share of `DEEP3M_KILLS`.
fn kills(share: f64, least: u64) -> u64 {
    let all = std::env::var("DEEP3M_KILLS").ok().and_then(|text| text.parse::<f64>().ok());
    all.map_or(least, |all| (all * share).ceil() as u64)
}

/// The chunks of blocks that are done: none of them may ever be written again.
struct Watch {
    store: PathBuf,
    plan: Plan,
    seen: BTreeMap<PathBuf, SystemTime>,
    /// Blocks of which was seen that they are done.
    done: u64,
}

impl Watch {
    fn new(images: &Path, store: &Path) -> Self {
        let volume = open(images).unwrap();
        let task = Task::default();
        let plan = plan(&ensemble(&task, &Arc::default()), volume.as_ref(), &config(&task)).unwrap();
        Self { store: store.to_owned(), plan, seen: BTreeMap::new(), done: 0 }
    }

    /// The numbers that the logs hold.
    fn noted(&self) -> Vec<u64> {
        let folder = self.store.join("deep3m-workers");
        if !folder.is_dir() {
            return Vec::new();
        }
        let logs = fs::list(&folder).unwrap().into_iter().filter(|path| path.extension().is_some_and(|e| e == "log"));
        // Whoever lives may end the run, and remove the logs.
        let texts: Vec<String> = logs.filter_map(|path| fs::read_to_string(&path).ok()).collect();
        let mut numbers: Vec<u64> =
            texts.iter().flat_map(|text| text.lines()).filter_map(|line| line.parse().ok()).collect();
        let count = numbers.len();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), count, "a block was computed twice");
        numbers
    }

    /// Looks at the chunks of all blocks that are done.
    fn look(&mut self) {
        let done = self.noted();
        self.done = self.done.max(done.len() as u64);
        let chunk = self.plan.chunk();
        for block in self.plan.blocks().filter(|block| done.contains(&block.number)) {
            for part in block.core.tiles(chunk) {
                let at = part.start;
                let path = self.store.join(format!("0/c/{}/{}/{}", at.z / chunk.z, at.y / chunk.y, at.x / chunk.x));
                // Another worker may just have made the output and removed the blocks.
                let Ok(metadata) = std::fs::metadata(&path) else { continue };
                let written = metadata.modified().unwrap();
                let before = self.seen.insert(path.clone(), written);
                assert!(before.is_none_or(|before| before == written), "{} was written again", path.display());
            }
        }
    }
}

/// Whether a process has ended by itself; one that failed is an error of the test.
fn ended(child: &mut Child, output: &str) -> bool {
    match child.try_wait().unwrap() {
        None => false,
        Some(status) => {
            let mut said = String::new();
            std::io::Read::read_to_string(child.stderr.as_mut().unwrap(), &mut said).unwrap();
            assert!(status.success(), "{output}: {said}");
            true
        }
    }
}

/// Kills a process; false where it had just ended well.
fn kill(child: &mut Child) -> bool {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert!(status.success() || cfg!(not(unix)) || status.code().is_none(), "it failed by itself: {status}");
    !status.success()
}

struct World {
    folder: tempfile::TempDir,
    random: Random,
}

impl World {
    fn new(kind: &str, task: &Task) -> Self {
        let world = Self { folder: tempfile::tempdir().unwrap(), random: Random(1) };
        write_images(&world.path("images.zarr"));
        run(&world.path("images.zarr"), &world.path(&format!("one-{kind}")), task, &Arc::default()).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where blocks are while they are computed.
    fn store(&self, output: &str, scratch: bool) -> PathBuf {
        if scratch { self.path(&format!("{output}.partial/blocks.zarr")) } else { self.path(output) }
    }

    /// Checks an output and makes room for the next.
    fn end(&self, output: &str, kind: &str) {
        assert_same(&self.path(output), &self.path(&format!("one-{kind}")), output);
        assert!(!self.path(&format!("{output}.partial")).exists(), "{output}: scratch stays");
        if self.path(output).is_dir() {
            fs::remove_dir(&self.path(output)).unwrap();
        }
    }
}

/// Kills one process again and again, until it has ended by itself often enough.
fn plain(this: &str, kind: &str, task: &Task, kills: u64) {
    if be_a_process() {
        return;
    }
    let mut world = World::new(kind, task);
    let scratch = kind.starts_with('r') || kind.ends_with("tif");
    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        let output = format!("{round}-{kind}");
        let mut watch = Watch::new(&world.path("images.zarr"), &world.store(&output, scratch));
        loop {
            let mut child = start(this, world.folder.path(), &output, task);
            // Some get as far as a block or two, some to the end.
            let reach = if world.random.below(4) == 0 { 400 } else { 60 };
            sleep(Duration::from_millis(2 + world.random.below(reach)));
            if ended(&mut child, &output) {
                break;
            }
            if !kill(&mut child) {
                break;
            }
            killed += 1;
            watch.look();
        }
        let summary = fs::read(&world.path(&format!("{output}.0.json"))).unwrap();
        let summary: PredictSummary = serde_json::from_slice(&summary).unwrap();
        assert!(summary.complete && summary.blocks == BLOCKS);
        assert!(summary.blocks_before >= watch.done, "{output}: {} were done, {summary:?}", watch.done);
        assert!(summary.blocks_before == BLOCKS || summary.blocks_before + summary.blocks_now == BLOCKS);
        world.end(&output, kind);
        round += 1;
    }
    println!("{kind}: {killed} kills over {round} runs");
}

/// Kills any of three workers again and again, each of which is started anew.
fn shared(this: &str, kind: &str, task: &Task, kills: u64) {
    if be_a_process() {
        return;
    }
    let mut world = World::new(kind, task);
    let scratch = kind.starts_with('r') || kind.ends_with("tif");
    let count = 3;
    let (mut killed, mut round) = (0, 0);
    while killed < kills {
        let output = format!("{round}-{kind}");
        let mut watch = Watch::new(&world.path("images.zarr"), &world.store(&output, scratch));
        let begin = |world: &World, number: u32| {
            let task = Task { worker: Worker::new(number, count).unwrap(), wait: number == 0, ..*task };
            start(this, world.folder.path(), &output, &task)
        };
        let mut workers: Vec<Option<Child>> = (0..count).map(|number| Some(begin(&world, number))).collect();
        while workers.iter().any(Option::is_some) {
            sleep(Duration::from_millis(2 + world.random.below(80)));
            watch.look();
            let number = world.random.below(count.into()) as usize;
            let Some(child) = &mut workers[number] else { continue };
            if ended(child, &output) {
                workers[number] = None;
                continue;
            }
            if !kill(child) {
                workers[number] = None;
                continue;
            }
            killed += 1;
            watch.look();
            workers[number] = Some(begin(&world, number as u32));
        }
        // All have left. The first stays to the end, so that all is done.
        world.end(&output, kind);
        round += 1;
    }
    println!("{kind}: {killed} kills of workers over {round} runs");
}

fn slow() -> Task {
    Task { pause: Duration::from_micros(800), ..Task::default() }
}

#[test]
fn killed_at_any_moment_it_goes_on_to_the_same_bytes() {
    plain("killed_at_any_moment_it_goes_on_to_the_same_bytes", "p.zarr", &slow(), kills(0.25, 10));
}

#[test]
fn killed_while_blocks_become_a_tiff_stack() {
    plain("killed_while_blocks_become_a_tiff_stack", "p.tif", &slow(), kills(0.15, 6));
}

#[test]
fn killed_while_a_region_is_predicted_on_two_devices() {
    let task = Task { region: part(), lanes: 2, ..slow() };
    plain("killed_while_a_region_is_predicted_on_two_devices", "r.zarr", &task, kills(0.15, 6));
}

#[test]
fn killed_workers_leave_nothing_undone() {
    shared("killed_workers_leave_nothing_undone", "p.zarr", &slow(), kills(0.25, 10));
}

#[test]
fn killed_workers_on_a_tiff_stack_leave_nothing_undone() {
    shared("killed_workers_on_a_tiff_stack_leave_nothing_undone", "p.tif", &slow(), kills(0.1, 5));
}

#[test]
fn a_process_that_fails_is_told_from_one_that_was_killed() {
    if be_a_process() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // There are no images: the process panics.
    let this = "a_process_that_fails_is_told_from_one_that_was_killed";
    let error = finish(start(this, folder.path(), "p.zarr", &Task::default())).unwrap_err();
    assert!(error.contains("images.zarr"), "{error}");
}
