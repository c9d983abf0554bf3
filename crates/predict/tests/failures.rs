//! What cannot be read or written is left out and named; the rest is done, and the next run fills the gap.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

use common::{Task, assert_same, config, ensemble, files, run};
use deep3m_net::Frames;
use deep3m_predict::{Ensemble, PredictConfig, PredictError, PredictEvent, VariationCount, predict};
use deep3m_volume::{
    Binning, Block, Extent, Index, Region, Volume, VolumeError, VolumeInfo, VolumeSpec, VoxelType, Voxels, create, fs,
    open,
};

/// Writes a volume without a pattern, so that its chunks are as large as it is.
fn write_noise(path: &Path, extent: Extent) {
    let mut random = common::Random(3);
    let grey = (0..extent.len()).map(|_| random.below(256) as u8).collect();
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size: None, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, Voxels::U8(grey))).unwrap();
    writer.finish().unwrap();
}

#[test]
fn a_damaged_slice_costs_its_blocks_until_it_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images");
    write_noise(&images, Extent::new(12, 40, 50));
    let slice = fs::list(&images).unwrap().into_iter().filter(|p| p.extension().is_some_and(|e| e == "png")).nth(4);
    let slice = slice.unwrap();
    let name = slice.file_name().unwrap().to_string_lossy().into_owned();
    let task = Task::default();
    for kind in ["p.zarr", "p.tif"] {
        let (out, reference) = (folder.path().join(kind), folder.path().join(format!("reference-{kind}")));
        run(&images, &reference, &task, &Arc::default()).unwrap();
        let good = fs::read(&slice).unwrap();
        std::fs::write(&slice, &good[..good.len() / 2]).unwrap();
        let (mut heard, calls) = (Vec::new(), Arc::new(AtomicU64::new(0)));
        let error = common::run_heard(&images, &out, &task, &calls, &mut |event| {
            if let PredictEvent::LeftOut { region, reason } = event {
                heard.push((region, reason));
            }
        })
        .unwrap_err();
        assert!(error.to_string().contains(&name) && error.to_string().contains("6 of 24 blocks"), "{error}");
        let PredictError::Incomplete { summary, .. } = error else { panic!("{error}") };
        assert_eq!((summary.blocks_now, summary.missing.len()), (18, 6));
        for (missing, (region, reason)) in summary.missing.iter().zip(&heard) {
            // Sections 3, 4 and 5, of which the third network sees one further on either side.
            assert_eq!((missing.region.start.z, missing.region.extent.z), (3, 3), "{missing:?}");
            assert!(missing.reason.contains(&name), "{missing:?}");
            assert_eq!((missing.region, &missing.reason), (*region, reason));
        }
        assert!(kind == "p.zarr" || !out.exists(), "a half-done output must not look like a whole one");
        std::fs::write(&slice, &good).unwrap();
        calls.store(0, Ordering::Relaxed);
        let summary = run(&images, &out, &task, &calls).unwrap();
        assert_eq!((summary.blocks_before, summary.blocks_now), (18, 6), "only what was missing is computed");
        assert_eq!(calls.load(Ordering::Relaxed), 6 * 3 * 4);
        assert_same(&out, &reference, kind);
    }
}

/// A volume whose first reads fail as a network file system does for a moment.
struct Shaky {
    volume: Arc<dyn Volume>,
    failures: AtomicU32,
}

impl Volume for Shaky {
    fn info(&self) -> &VolumeInfo {
        self.volume.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let left = self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if left.is_ok() {
            let source = std::io::Error::from(std::io::ErrorKind::TimedOut);
            return Err(VolumeError::io(&self.info().path, "read", source));
        }
        self.volume.read(region)
    }
}

#[test]
fn a_network_that_is_back_in_a_moment_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images.zarr");
    common::write_images(&images);
    let task = Task::default();
    let reference = folder.path().join("reference.zarr");
    run(&images, &reference, &task, &Arc::default()).unwrap();
    let volume = Shaky { volume: open(&images).unwrap(), failures: AtomicU32::new(2) };
    let out = folder.path().join("p.zarr");
    let stop = AtomicBool::new(false);
    let ensemble = ensemble(&task, &Arc::default());
    let summary = predict(&ensemble, &volume, &out, &config(&task), &stop, &mut |_| {}).unwrap();
    assert!(summary.complete);
    assert_same(&out, &reference, "after two failures");
}

/// Set in the process that runs on a small disk.
const DISK: &str = "DEEP3M_TEST_DISK";

/// Predicts onto a disk that is too small, then onto the same, made larger.
fn on_a_small_disk(disk: &Path) {
    let mount = |options: &str| {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(disk).status();
        assert!(status.unwrap().success(), "mount -o {options}");
    };
    mount("size=600k");
    let folder = tempfile::tempdir().unwrap();
    let images = folder.path().join("images.zarr");
    write_noise(&images, Extent::new(24, 256, 256));
    let ensemble = Ensemble::null(&[Frames::One], Binning::NONE).unwrap();
    let config = PredictConfig {
        variations: VariationCount::One,
        tile: Some(64),
        halo: Some(0),
        slab: Some(4),
        ..PredictConfig::default()
    };
    let predict_to = |out: &Path| {
        let volume = open(&images).unwrap();
        predict(&ensemble, volume.as_ref(), out, &config, &AtomicBool::new(false), &mut |_| {})
    };
    let (out, reference) = (disk.join("p.zarr"), folder.path().join("reference.zarr"));
    predict_to(&reference).unwrap();
    let begun = Instant::now();
    let error = predict_to(&out).unwrap_err();
    let seconds = begun.elapsed().as_secs_f64();
    assert!(seconds > 9.0, "{seconds} s: room may be made meanwhile");
    let PredictError::Incomplete { summary, .. } = error else { panic!("{error}") };
    assert!(summary.blocks_now > 0 && summary.blocks_now + summary.missing.len() as u64 == 96, "{summary:?}");
    assert!(summary.missing.iter().any(|missing| missing.reason.contains("No space left")), "{summary:?}");
    let chunks = files(&out.join("0/c"));
    mount("remount,size=20m");
    let again = predict_to(&out).unwrap();
    assert_eq!((again.blocks_before, again.blocks_now), (summary.blocks_now, 96 - summary.blocks_now));
    assert_same(&out, &reference, "after the disk was full");
    let whole = files(&out.join("0/c"));
    assert!(
        chunks.iter().filter(|(path, _)| !fs::is_temporary(path.file_name().unwrap())).all(|(p, b)| whole[p] == *b)
    );
}

#[test]
fn a_full_disk_keeps_what_is_done_and_goes_on_when_there_is_room() {
    if let Some(disk) = std::env::var_os(DISK) {
        return on_a_small_disk(Path::new(&disk));
    }
    let name = "a_full_disk_keeps_what_is_done_and_goes_on_when_there_is_room";
    let disk = tempfile::tempdir().unwrap();
    // Mounts in a namespace of its own, which goes with the process; as root, or as root of a namespace of users.
    let ways = [&["-m"][..], &["-r", "-m"]];
    let may = |way: &&[&str]| {
        let mut probe = Command::new("unshare");
        let probe = probe.args(*way).args(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs"]).arg(disk.path());
        probe.output().is_ok_and(|output| output.status.success())
    };
    let Some(way) = ways.into_iter().find(may) else {
        eprintln!("SKIPPED: no mounting here (unshare -m mount -t tmpfs): a full disk was not tested");
        return;
    };
    let output = Command::new("unshare")
        .args(way)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(DISK, disk.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
