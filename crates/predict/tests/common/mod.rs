//! A small volume, models whose answers depend on their surroundings, and processes to kill.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "each test binary uses its part")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use deep3m_net::{Frames, NetError, Normalisation};
use deep3m_predict::{
    Ensemble, ForegroundModel, ModelIdentity, NullModel, PredictConfig, PredictError, PredictEvent, PredictSummary,
    VariationCount, Worker, WorkerConfig, predict,
};
use deep3m_volume::{
    Binning, Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, fs, is_remote, open,
};

/// Ragged: no size is a multiple of a block's.
pub(crate) const EXTENT: Extent = Extent::new(7, 40, 50);

/// Part of the volume, not along blocks.
pub(crate) fn part() -> Option<Region> {
    "0:7,3:40,0:41".parse::<Region>().ok()
}

/// The mean of a pixel and its neighbours four below and to the right: it sees beyond the halo of these tests, so that
/// only the same blocks give the same bytes. Counts its calls.
pub(crate) struct Neighbours {
    pub(crate) frames: Frames,
    pub(crate) calls: Arc<AtomicU64>,
    /// How long a call takes.
    pub(crate) pause: Duration,
    /// The process is killed in this call.
    pub(crate) dies_at: u64,
}

impl ForegroundModel for Neighbours {
    fn frames(&self) -> Frames {
        self.frames
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.dies_at {
            kill_this_process();
        }
        std::thread::sleep(self.pause);
        let null = NullModel { frames: self.frames }.foreground(input, n, height, width)?;
        let at = |y: usize, x: usize| if y < height && x < width { null[y * width + x] } else { 0.0 };
        let mean = |i: usize| {
            let (y, x) = (i / width, i % width);
            (at(y, x) + at(y + 4, x) + at(y, x + 4) + input[i] * 0.5 + 0.5) / 4.0
        };
        Ok((0..height * width).map(|i| mean(i).clamp(0.0, 1.0)).collect())
    }
}

/// No chance to tidy up.
pub(crate) fn kill_this_process() -> ! {
    if cfg!(unix) {
        let _ = std::process::Command::new("kill").args(["-9", &std::process::id().to_string()]).status();
    }
    std::process::abort()
}

/// What a process does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task {
    pub(crate) worker: Worker,
    pub(crate) wait: bool,
    pub(crate) lease_seconds: u32,
    pub(crate) region: Option<Region>,
    pub(crate) pause: Duration,
    pub(crate) dies_at: u64,
    /// Devices in one process.
    pub(crate) lanes: usize,
}

impl Default for Task {
    fn default() -> Self {
        let (worker, lease_seconds) = (Worker::ALONE, WorkerConfig::LEASE_SECONDS);
        Self { worker, wait: true, lease_seconds, region: None, pause: Duration::ZERO, dies_at: u64::MAX, lanes: 1 }
    }
}

/// Small blocks, so that there are many: 3 slabs of 3 × 2 tiles (the columns are binned).
pub(crate) fn config(task: &Task) -> PredictConfig {
    PredictConfig {
        variations: VariationCount::Two,
        region: task.region,
        tile: Some(14),
        halo: Some(2),
        mirror: Some(2),
        slab: Some(3),
        workers: WorkerConfig { worker: task.worker, wait: task.wait, lease_seconds: task.lease_seconds },
        ..PredictConfig::default()
    }
}

pub(crate) fn ensemble(task: &Task, calls: &Arc<AtomicU64>) -> Ensemble {
    let model = |frames| {
        let Task { pause, dies_at, .. } = *task;
        Box::new(Neighbours { frames, calls: calls.clone(), pause, dies_at }) as Box<dyn ForegroundModel>
    };
    let models = || vec![model(Frames::One), model(Frames::Three)];
    let identity = ModelIdentity { path: "model".into(), weights: BTreeMap::new() };
    let normalisation = Normalisation::range(0.0, 255.0).unwrap();
    let mut ensemble = Ensemble::new(models(), Binning { y: 1, x: 2 }, normalisation, VoxelType::U8, identity).unwrap();
    for _ in 1..task.lanes {
        ensemble = ensemble.and_on(models());
    }
    ensemble.of_kind("cpu")
}

/// Writes the volume.
pub(crate) fn write_images(path: &Path) {
    let grey = (0..EXTENT.len() as u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let spec = VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U8,
        voxel_size: VoxelSize::new(30.0, 5.0, 5.0),
        chunk: None,
        provenance: None,
    };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U8(grey))).unwrap();
    writer.finish().unwrap();
}

pub(crate) fn run(
    images: &Path,
    out: &Path,
    task: &Task,
    calls: &Arc<AtomicU64>,
) -> Result<PredictSummary, PredictError> {
    run_heard(images, out, task, calls, &mut |_| {})
}

pub(crate) fn run_heard(
    images: &Path,
    out: &Path,
    task: &Task,
    calls: &Arc<AtomicU64>,
    hear: &mut dyn FnMut(PredictEvent),
) -> Result<PredictSummary, PredictError> {
    let volume = open(images).unwrap();
    predict(&ensemble(task, calls), volume.as_ref(), out, &config(task), &AtomicBool::new(false), hear)
}

/// Every file of a folder, or the file, with its bytes.
pub(crate) fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![path.to_owned()];
    while let Some(next) = open.pop() {
        if next.is_dir() {
            open.extend(fs::list(&next).unwrap());
        } else {
            all.insert(next.strip_prefix(path).unwrap().to_owned(), fs::read(&next).unwrap());
        }
    }
    // A group names the volume after its file.
    if let Some(group) = all.get_mut(Path::new("zarr.json")) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        *group = String::from_utf8_lossy(group).replace(&format!("\"{name}\""), "\"NAME\"").into_bytes();
    }
    all
}

/// The same files with the same bytes.
pub(crate) fn assert_same(found: &Path, expected: &Path, what: &str) {
    let (found, expected) = (files(found), files(expected));
    assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>(), "{what}");
    for (path, bytes) in &expected {
        assert!(found[path] == *bytes, "{what}: {} differs", path.display());
    }
}

/// What a process is told in its environment.
const FOLDER: &str = "DEEP3M_TEST_FOLDER";
const OUTPUT: &str = "DEEP3M_TEST_OUTPUT";
const TASK: &str = "DEEP3M_TEST_TASK";

/// Starts this test binary's test `name` as a process that does a task: it must begin with [`be_a_process`].
pub(crate) fn start(name: &str, folder: &Path, output: &str, task: &Task) -> std::process::Child {
    start_with(name, folder, output, task, &[])
}

/// As [`start`], with more in its environment.
pub(crate) fn start_with(
    name: &str,
    folder: &Path,
    output: &str,
    task: &Task,
    environment: &[(String, String)],
) -> std::process::Child {
    let text = format!(
        "{} {} {} {} {} {} {}",
        task.worker,
        task.wait,
        task.lease_seconds,
        task.region.map_or_else(|| "all".to_owned(), |region| region.to_string()),
        task.pause.as_micros(),
        task.dies_at,
        task.lanes
    );
    std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .envs([(FOLDER, folder.as_os_str()), (OUTPUT, output.as_ref()), (TASK, text.as_ref())])
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap()
}

/// In a process that [`start`] started: does its task (and notes what was done beside the output), and says true.
pub(crate) fn be_a_process() -> bool {
    let (Some(folder), Ok(output), Ok(task)) = (std::env::var_os(FOLDER), std::env::var(OUTPUT), std::env::var(TASK))
    else {
        return false;
    };
    let words: Vec<&str> = task.split(' ').collect();
    let task = Task {
        worker: words[0].parse::<Worker>().unwrap(),
        wait: words[1] == "true",
        lease_seconds: words[2].parse().unwrap(),
        region: words[3].parse::<Region>().ok(),
        pause: Duration::from_micros(words[4].parse().unwrap()),
        dies_at: words[5].parse().unwrap(),
        lanes: words[6].parse().unwrap(),
    };
    let folder = PathBuf::from(folder);
    let remote = is_remote(Path::new(&output));
    let (out, name) = match output.rsplit_once('/') {
        Some((_, name)) if remote => (PathBuf::from(&output), name.to_owned()),
        _ => (folder.join(&output), output.clone()),
    };
    let summary = run(&folder.join("images.zarr"), &out, &task, &Arc::default()).unwrap();
    let text = serde_json::to_vec(&summary).unwrap();
    fs::write_atomic(&folder.join(format!("{name}.{}.json", task.worker.number())), &text).unwrap();
    true
}

/// Waits for a process; what it said where it failed.
pub(crate) fn finish(child: std::process::Child) -> Result<(), String> {
    let output = child.wait_with_output().unwrap();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// Numbers without a pattern, the same each time.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) % limit
    }
}
