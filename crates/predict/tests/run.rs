//! Whole predictions on disk: formats, regions, interruptions, other runs.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use deep3m_net::{Frames, NetError, Normalisation};
use deep3m_predict::{
    DISAGREEMENT, Ensemble, ForegroundModel, HowFar, ModelIdentity, NullModel, PredictConfig, PredictError,
    PredictEvent, PredictSummary, VariationCount, how_far, predict,
};
use deep3m_volume::{
    Binning, Block, Extent, Index, Region, Volume, VolumeSpec, VoxelSize, VoxelType, Voxels, create, fs, open,
};

/// The mean of a pixel and its neighbours four to the right and below: it sees beyond the halo of these tests, so that
/// only the same blocks give the same bytes. Counts its calls.
struct Neighbours {
    frames: Frames,
    calls: Arc<AtomicU64>,
}

impl ForegroundModel for Neighbours {
    fn frames(&self) -> Frames {
        self.frames
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        let null = NullModel { frames: self.frames }.foreground(input, n, height, width)?;
        let at = |y: usize, x: usize| if y < height && x < width { null[y * width + x] } else { 0.0 };
        let mean = |i: usize| {
            let (y, x) = (i / width, i % width);
            (at(y, x) + at(y + 4, x) + at(y, x + 4) + input[i] * 0.5 + 0.5) / 4.0
        };
        Ok((0..height * width).map(|i| mean(i).clamp(0.0, 1.0)).collect())
    }
}

struct World {
    folder: tempfile::TempDir,
    volume: Arc<dyn Volume>,
    calls: Arc<AtomicU64>,
}

const EXTENT: Extent = Extent::new(7, 40, 50);

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("images.zarr");
        write(&path, EXTENT, VoxelType::U8, |i| (i as u32).wrapping_mul(2654435761) >> 24);
        Self { volume: open(&path).unwrap(), folder, calls: Arc::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn ensemble(&self) -> Ensemble {
        self.ensemble_of("one")
    }

    fn ensemble_of(&self, weights: &str) -> Ensemble {
        let model = |frames| {
            let calls = self.calls.clone();
            Box::new(Neighbours { frames, calls }) as Box<dyn ForegroundModel>
        };
        let weights = BTreeMap::from([("1fm".to_owned(), weights.to_owned()), ("3fm".to_owned(), "x".to_owned())]);
        let identity = ModelIdentity { path: "model".into(), weights };
        let normalisation = Normalisation::range(0.0, 255.0).unwrap();
        let models = vec![model(Frames::One), model(Frames::Three)];
        Ensemble::new(models, Binning { y: 1, x: 2 }, normalisation, VoxelType::U8, identity).unwrap()
    }

    fn predict(&self, out: &Path, config: &PredictConfig) -> Result<PredictSummary, PredictError> {
        self.predict_until(out, config, u64::MAX)
    }

    /// Stops after so many passes through a network.
    fn predict_until(&self, out: &Path, config: &PredictConfig, passes: u64) -> Result<PredictSummary, PredictError> {
        let stop = AtomicBool::new(false);
        let mut seen = 0;
        predict(&self.ensemble(), self.volume.as_ref(), out, config, &stop, &mut |event| {
            if matches!(event, PredictEvent::Progress { .. }) {
                seen += 1;
                stop.store(seen >= passes, Ordering::Relaxed);
            }
        })
    }
}

fn write(path: &Path, extent: Extent, voxel_type: VoxelType, value: impl Fn(usize) -> u32) {
    let values = (0..extent.len()).map(value);
    let voxels = match voxel_type {
        VoxelType::U16 => Voxels::U16(values.map(|v| v as u16).collect()),
        _ => Voxels::U8(values.map(|v| v as u8).collect()),
    };
    let spec =
        VolumeSpec { extent, voxel_type, voxel_size: VoxelSize::new(30.0, 5.0, 5.0), chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(extent, voxels)).unwrap();
    writer.finish().unwrap();
}

/// Small blocks, so that there are many: 3 slabs of 3 × 4 tiles.
fn small() -> PredictConfig {
    PredictConfig {
        variations: VariationCount::Two,
        tile: Some(14),
        halo: Some(2),
        mirror: Some(2),
        slab: Some(3),
        ..PredictConfig::default()
    }
}

fn whole(path: &Path) -> Vec<u32> {
    let volume = open(path).unwrap();
    volume.read(Region::whole(volume.info().extent)).unwrap().voxels().iter().collect()
}

/// Every file of a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::list(&next).unwrap() {
            if entry.is_dir() {
                folders.push(entry);
            } else {
                all.insert(entry.strip_prefix(folder).unwrap().to_owned(), fs::read(&entry).unwrap());
            }
        }
    }
    all
}

#[test]
fn every_format_and_region_holds_the_same_values() {
    let world = World::new();
    let zarr = world.path("p.zarr");
    let summary = world.predict(&zarr, &small()).unwrap();
    assert_eq!((summary.blocks, summary.blocks_before, summary.voxels), (18, 0, EXTENT.len() as u64));
    assert_eq!(summary.voxels_now, summary.voxels);
    assert_eq!(open(&zarr).unwrap().info().voxel_size, VoxelSize::new(30.0, 5.0, 5.0));
    let all = open(&zarr).unwrap();
    let values = whole(&zarr);
    assert!(values.iter().any(|&v| v != values[0]));
    for name in ["p.tif", "p"] {
        let out = world.path(name);
        world.predict(&out, &small()).unwrap();
        assert_eq!(whole(&out), values, "{name}");
        assert!(!world.path(&format!("{name}.partial")).exists(), "scratch stays");
    }
    let region = "1:6,5:31,17:44".parse::<Region>().unwrap();
    let cut: Vec<u32> = all.read(region).unwrap().voxels().iter().collect();
    for name in ["r.zarr", "r.tif", "r"] {
        let out = world.path(name);
        let summary = world.predict(&out, &PredictConfig { region: Some(region), ..small() }).unwrap();
        assert_eq!(summary.voxels, region.extent.len() as u64);
        assert_eq!(open(&out).unwrap().info().extent, region.extent);
        assert_eq!(whole(&out), cut, "{name}");
    }
    let note = fs::read_to_string(&world.path("r.zarr").join("zarr.json")).unwrap();
    assert!(note.contains("\"origin\"") && note.contains("\"1fm\": \"one\""), "{note}");
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_bytes() {
    let world = World::new();
    let region = "0:7,3:40,0:41".parse::<Region>().ok();
    for (name, config) in [("p.zarr", small()), ("r.zarr", PredictConfig { region, ..small() }), ("p.tif", small())] {
        let reference = world.path(&format!("reference-{name}"));
        let blocks = world.predict(&reference, &config).unwrap().blocks;
        // Each block of three sections takes 12 passes; the last slab has one of 4.
        for passes in [1, 11, 12, 13, 50, 121] {
            let out = world.path(&format!("{passes}-{name}"));
            let stopped = world.predict_until(&out, &config, passes).unwrap_err();
            let PredictError::Interrupted { done, blocks: all, .. } = stopped else { panic!("{stopped}") };
            assert_eq!(all, blocks);
            assert!(done <= passes / 4);
            assert!(stopped.to_string().contains("the same command goes on"));
            if config.region.is_some() || name.ends_with("tif") {
                assert!(!out.exists(), "a half-done output must not look like a whole one");
            }
            // Stopped a second time, then to the end.
            let again = world.predict_until(&out, &config, 14).unwrap_err();
            assert!(matches!(again, PredictError::Interrupted { done: more, .. } if more >= done));
            let summary = world.predict(&out, &config).unwrap();
            assert!(summary.blocks_before >= done && summary.blocks_before < blocks);
            if name.ends_with("tif") {
                assert_eq!(fs::read(&out).unwrap(), fs::read(&reference).unwrap(), "{name} stopped at {passes}");
                continue;
            }
            let (mut found, mut expected) = (files(&out), files(&reference));
            // The group's file names the volume after its file.
            found.remove(Path::new("zarr.json"));
            expected.remove(Path::new("zarr.json"));
            assert_eq!(found.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
            assert!(found == expected, "{name} stopped at {passes}");
        }
    }
}

#[test]
fn a_block_that_was_not_noted_is_made_again_and_no_other() {
    let world = World::new();
    let reference = world.path("reference.zarr");
    world.predict(&reference, &small()).unwrap();
    let out = world.path("p.zarr");
    world.predict_until(&out, &small(), 100).unwrap_err();
    // Killed while the log was written: half a line; and a chunk that never came to the disk in whole.
    let log = out.join("deep3m-workers/done-0-0.log");
    let text = fs::read_to_string(&log).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() > 3);
    std::fs::write(&log, format!("{}\n{}", lines[0], &lines[2][..1])).unwrap();
    let chunk = files(&out).keys().find(|path| path.starts_with("0/c/0/0/1")).cloned().unwrap();
    std::fs::write(out.join(chunk), b"not a chunk").unwrap();
    let before = world.calls.load(Ordering::Relaxed);
    let summary = world.predict(&out, &small()).unwrap();
    assert_eq!(summary.blocks_before, 1);
    assert_eq!(whole(&out), whole(&reference));
    // Two models in two variations, for every section of every tile but the first block's three.
    assert_eq!(world.calls.load(Ordering::Relaxed) - before, (7 * 6 - 3) * 4);
}

#[test]
fn what_cannot_be_written_is_named_and_the_rest_stays() {
    let world = World::new();
    let out = world.path("p.zarr");
    world.predict_until(&out, &small(), 30).unwrap_err();
    let before = files(&out);
    // The folder of the second slab's chunks cannot be made.
    std::fs::write(out.join("0/c/1"), "in the way").unwrap();
    let error = world.predict(&out, &small()).unwrap_err();
    assert!(error.to_string().contains("6 of 18 blocks are missing"), "{error}");
    let PredictError::Incomplete { summary, .. } = error else { panic!("{error}") };
    assert!(!summary.complete && summary.missing.len() == 6 && summary.blocks_before + summary.blocks_now == 12);
    for missing in &summary.missing {
        assert!(missing.reason.contains("0/c/1"), "{missing:?}");
        assert!(missing.region.start.z == 3 && (6..12).contains(&missing.number), "{missing:?}");
    }
    std::fs::remove_file(out.join("0/c/1")).unwrap();
    let after = files(&out);
    assert!(before.iter().all(|(path, bytes)| path.starts_with("deep3m-workers") || after[path] == *bytes));
    assert_eq!(world.predict(&out, &small()).unwrap().blocks_before, 12);
    let reference = world.path("reference.zarr");
    world.predict(&reference, &small()).unwrap();
    assert_eq!(whole(&out), whole(&reference));
    assert!(files(&out).keys().eq(files(&reference).keys()), "nothing but the prediction and its note stays");
}

#[test]
fn a_run_killed_before_its_volume_was_made_begins_again() {
    let world = World::new();
    let out = world.path("p.zarr");
    world.predict_until(&out, &small(), 1).unwrap_err();
    std::fs::remove_file(out.join("zarr.json")).unwrap();
    for name in ["0", "deep3m-workers"] {
        std::fs::remove_dir_all(out.join(name)).unwrap();
    }
    world.predict(&out, &small()).unwrap();
    let reference = world.path("reference.zarr");
    world.predict(&reference, &small()).unwrap();
    assert_eq!(whole(&out), whole(&reference));
}

#[test]
fn a_finished_run_given_again_does_nothing() {
    let world = World::new();
    let region = "0:7,3:40,0:41".parse::<Region>().ok();
    for (name, region) in [("p.zarr", None), ("p.tif", None), ("p", None), ("r.zarr", region)] {
        let (out, config) = (world.path(name), PredictConfig { region, ..small() });
        let first = world.predict(&out, &config).unwrap();
        let calls = world.calls.load(Ordering::Relaxed);
        let mut notices = Vec::new();
        let stop = AtomicBool::new(false);
        let again = predict(&world.ensemble(), world.volume.as_ref(), &out, &config, &stop, &mut |event| {
            if let PredictEvent::Notice(text) = event {
                notices.push(text);
            }
        });
        let again = again.unwrap();
        assert_eq!((again.blocks_before, again.voxels_now), (first.blocks, 0), "{name}");
        assert!(notices[0].contains("already complete"), "{notices:?}");
        assert_eq!(world.calls.load(Ordering::Relaxed), calls, "{name}");
        // Asked to overwrite, it is made anew.
        let anew = world.predict(&out, &PredictConfig { overwrite: true, ..config }).unwrap();
        assert_eq!(anew.voxels_now, anew.voxels, "{name}");
        assert!(world.calls.load(Ordering::Relaxed) > calls);
    }
}

#[test]
fn a_note_without_its_file_is_no_result() {
    // A process that was killed between the note of a TIFF stack and the stack itself leaves this.
    let world = World::new();
    let out = world.path("p.tif");
    world.predict(&out, &small()).unwrap();
    let before = std::fs::read(&out).unwrap();
    std::fs::remove_file(&out).unwrap();
    let again = world.predict(&out, &small()).unwrap();
    assert_eq!(again.voxels_now, again.voxels);
    assert_eq!(std::fs::read(&out).unwrap(), before);
}

#[test]
fn another_run_is_refused_and_replaced_only_when_asked() {
    let world = World::new();
    let other = PredictConfig { variations: VariationCount::One, halo: Some(3), ..small() };
    for name in ["p.zarr", "p.tif", "p"] {
        let out = world.path(name);
        for stopped in [true, false] {
            if stopped {
                world.predict_until(&out, &small(), 20).unwrap_err();
            } else {
                world.predict(&out, &PredictConfig { overwrite: true, ..small() }).unwrap();
            }
            let error = world.predict(&out, &other).unwrap_err().to_string();
            for text in
                ["another run", "variations: found 2, expected 1", "plan.halo: found 2, expected 3", "--overwrite"]
            {
                assert!(error.contains(text), "{error}");
            }
            assert!(!error.contains("slab"), "{error}");
        }
        let values = whole(&out);
        world.predict(&out, &PredictConfig { overwrite: true, ..other.clone() }).unwrap();
        assert_ne!(whole(&out), values);
        // Interrupted, the same command with --overwrite goes on.
        world.predict_until(&out, &PredictConfig { overwrite: true, ..small() }, 100).unwrap_err();
        let summary = world.predict(&out, &PredictConfig { overwrite: true, ..small() }).unwrap();
        assert!(summary.blocks_before > 0);
        assert_eq!(whole(&out), values);
    }
    let stop = AtomicBool::new(false);
    let out = world.path("p.zarr");
    let error = predict(&world.ensemble_of("two"), world.volume.as_ref(), &out, &small(), &stop, &mut |_| {});
    assert!(error.unwrap_err().to_string().contains("model.weights.1fm: found one, expected two"));
}

#[test]
fn nothing_but_volumes_is_ever_replaced() {
    let world = World::new();
    let overwrite = PredictConfig { overwrite: true, ..small() };
    let folder = world.path("thesis");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("chapter.txt"), "years of work").unwrap();
    let error = world.predict(&folder, &small()).unwrap_err();
    assert!(matches!(error, PredictError::Occupied { .. }), "{error}");
    let error = world.predict(&folder, &overwrite).unwrap_err();
    assert!(matches!(error, PredictError::NotReplaced { .. }), "{error}");
    assert_eq!(fs::read_to_string(&folder.join("chapter.txt")).unwrap(), "years of work");
    // The volume itself, under whatever name.
    let images = world.path("images.zarr");
    for config in [small(), overwrite.clone()] {
        let error = world.predict(&images.join("../images.zarr"), &config).unwrap_err();
        assert!(matches!(error, PredictError::OutputIsInput { .. }), "{error}");
    }
    let error = world.predict(Path::new("s3://bucket/out.tif"), &small()).unwrap_err();
    assert!(error.to_string().contains("deep3m convert"), "{error}");
    // Another volume: refused, replaced when asked. Over another format, the old one stays until the new one is whole.
    for name in ["old.zarr", "old.tif", "old"] {
        let out = world.path(name);
        write(&out, Extent::new(2, 3, 4), VoxelType::U8, |i| i as u32);
        let error = world.predict(&out, &small()).unwrap_err();
        assert!(matches!(error, PredictError::Occupied { .. }), "{error}");
        assert_eq!(whole(&out).len(), 24);
        world.predict_until(&out, &overwrite, 20).unwrap_err();
        if name != "old.zarr" {
            assert_eq!(whole(&out).len(), 24);
        }
        world.predict(&out, &overwrite).unwrap();
        assert_eq!(whole(&out).len(), EXTENT.len());
    }
    // An empty folder is as good as none.
    let empty = world.path("empty.zarr");
    std::fs::create_dir(&empty).unwrap();
    world.predict(&empty, &small()).unwrap();
}

#[test]
fn a_damaged_note_is_named() {
    let world = World::new();
    let out = world.path("p.zarr");
    world.predict_until(&out, &small(), 20).unwrap_err();
    let note = out.join("deep3m-run.json");
    let text = fs::read_to_string(&note).unwrap();
    std::fs::write(&note, &text[..text.len() / 2]).unwrap();
    let error = world.predict(&out, &small()).unwrap_err().to_string();
    assert!(error.contains("deep3m-run.json") && error.contains("damaged") && error.contains("--overwrite"), "{error}");
    world.predict(&out, &PredictConfig { overwrite: true, ..small() }).unwrap();
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_is_written() {
    let world = World::new();
    let out = world.path("p.zarr");
    let region = "0:8,0:10,0:10".parse::<Region>().ok();
    let error = world.predict(&out, &PredictConfig { region, ..small() }).unwrap_err().to_string();
    assert!(error.contains("0:8,0:10,0:10") && error.contains("7 × 40 × 50"), "{error}");
    for config in [
        PredictConfig { tile: Some(0), ..small() },
        PredictConfig { batch: Some(0), ..small() },
        PredictConfig { halo: Some(u32::MAX), ..small() },
    ] {
        let error = world.predict(&out, &config).unwrap_err();
        assert!(matches!(error, PredictError::Setting { .. }), "{error}");
    }
    assert!(!out.exists());
}

#[test]
fn a_network_that_answers_nan_is_an_error() {
    struct Broken;
    impl ForegroundModel for Broken {
        fn frames(&self) -> Frames {
            Frames::One
        }
        fn foreground(&self, _: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
            Ok(vec![f32::NAN; n * height * width])
        }
    }
    let world = World::new();
    let identity = ModelIdentity { path: "model".into(), weights: BTreeMap::new() };
    let broken = Ensemble::new(vec![Box::new(Broken)], Binning::NONE, Normalisation::Raw, VoxelType::U8, identity);
    let stop = AtomicBool::new(false);
    let out = world.path("p.zarr");
    let error = predict(&broken.unwrap(), world.volume.as_ref(), &out, &small(), &stop, &mut |_| {}).unwrap_err();
    assert!(matches!(error, PredictError::NotFinite { .. }), "{error}");
}

#[test]
fn progress_rises_to_the_end() {
    let world = World::new();
    let region = "1:6,5:31,17:44".parse::<Region>().ok();
    let config = PredictConfig { region, ..small() };
    let stop = AtomicBool::new(false);
    let (mut last, mut all, mut blocks_done, mut copied) = (0, 0, 0, 0);
    let summary =
        predict(&world.ensemble(), world.volume.as_ref(), &world.path("p.zarr"), &config, &stop, &mut |event| {
            match event {
                PredictEvent::Planned { voxels, voxels_done, .. } => (all, last) = (voxels, voxels_done),
                PredictEvent::Progress { voxels_done } => {
                    assert!(voxels_done >= last && voxels_done <= all);
                    last = voxels_done;
                }
                PredictEvent::BlockDone { done, blocks, .. } => {
                    assert!(done == blocks_done + 1 && done <= blocks);
                    blocks_done = done;
                }
                PredictEvent::Copying { voxels_done, .. } => copied = voxels_done,
                _ => {}
            }
        })
        .unwrap();
    assert_eq!((last, copied, blocks_done), (all, all, summary.blocks));
    assert_eq!(all, summary.voxels);
}

#[test]
fn sixteen_bit_volumes_are_normalised_and_said() {
    let world = World::new();
    let path = world.path("deep.zarr");
    write(&path, EXTENT, VoxelType::U16, |i| 3000 + ((i as u32).wrapping_mul(2654435761) >> 24) * 20);
    let mut notices = Vec::new();
    let stop = AtomicBool::new(false);
    let volume = open(&path).unwrap();
    predict(&world.ensemble(), volume.as_ref(), &world.path("p.zarr"), &small(), &stop, &mut |event| {
        if let PredictEvent::Notice(text) = event {
            notices.push(text);
        }
    })
    .unwrap();
    assert!(notices[0].contains("16-bit") && notices[0].contains("percentiles"), "{notices:?}");
    assert!(notices[1].contains("padded by reflection"), "{notices:?}");
    let values = whole(&world.path("p.zarr"));
    assert!(values.iter().max() > Some(&150) && values.iter().min() < Some(&100));
}

#[test]
fn the_seam_is_small_with_context_and_large_without() {
    let world = World::new();
    let far = PredictConfig { seam: true, halo: Some(6), mirror: Some(6), ..small() };
    let none = PredictConfig { seam: true, halo: Some(0), ..small() };
    let seam = |config: &PredictConfig, name: &str| world.predict(&world.path(name), config).unwrap().seam.unwrap();
    let (with, without) = (seam(&far, "far.zarr"), seam(&none, "none.zarr"));
    assert!(with.near_max <= 1.0 / 255.0, "{with}");
    assert!(without.near_mean > 0.01 && without.near_max > 0.1, "{without}");
    // A region counts borders from the volume too.
    let region = "1:6,5:31,10:44".parse::<Region>().ok();
    assert!(seam(&PredictConfig { region, ..far }, "r.zarr").near_max <= 1.0 / 255.0);
    // One tile has none.
    let one = PredictConfig { tile: None, ..none };
    assert_eq!(world.predict(&world.path("one.zarr"), &one).unwrap().seam, None);
}

#[test]
fn who_looks_on_sees_what_is_done() {
    let world = World::new();
    let part: Option<Region> = "0:7,3:40,0:41".parse().ok();
    for (name, region) in [("p.zarr", None), ("p.tif", None), ("part.zarr", part)] {
        let out = world.path(name);
        let config = PredictConfig { region, ..small() };
        assert_eq!(how_far(&out, region).unwrap(), None, "nobody has begun");
        world.predict_until(&out, &config, 40).unwrap_err();
        let seen = how_far(&out, region).unwrap().unwrap();
        // What the next run says that it finds.
        let (stop, mut found) = (AtomicBool::new(false), None);
        let again = predict(&world.ensemble(), world.volume.as_ref(), &out, &config, &stop, &mut |event| {
            if let PredictEvent::Planned { voxels, voxels_done, .. } = event {
                found = Some(HowFar { voxels, voxels_done });
                stop.store(true, Ordering::Relaxed);
            }
        });
        again.unwrap_err();
        assert_eq!(Some(seen), found);
        assert!(seen.voxels_done > 0 && seen.voxels_done < seen.voxels, "{name}: {seen:?}");
        world.predict(&out, &config).unwrap();
        // Where the output is not the blocks themselves, these are gone.
        let end = how_far(&out, region).unwrap();
        let all = HowFar { voxels: seen.voxels, voxels_done: seen.voxels };
        assert_eq!(end, (name == "p.zarr").then_some(all), "{name}");
    }
}

#[test]
fn the_disagreement_is_kept_beside_the_blocks_and_survives_interruptions() {
    let world = World::new();
    let config = PredictConfig { disagreement: true, ..small() };
    let (once, again) = (world.path("once.zarr"), world.path("again.zarr"));
    world.predict(&once, &config).unwrap();
    for passes in 1.. {
        match world.predict_until(&again, &config, passes) {
            Ok(_) => break,
            Err(PredictError::Interrupted { .. }) => {}
            Err(other) => panic!("{other}"),
        }
    }
    let voxels = |path: &Path| {
        let volume = open(path).unwrap();
        assert_eq!(volume.info().extent, EXTENT);
        assert_eq!(volume.info().voxel_size, world.volume.info().voxel_size);
        volume.read(Region::whole(EXTENT)).unwrap()
    };
    assert_eq!(voxels(&once), voxels(&again));
    let deviations = voxels(&once.join(DISAGREEMENT));
    assert_eq!(deviations, voxels(&again.join(DISAGREEMENT)));
    assert!(deviations.voxels().iter().any(|v| v > 5), "two variations do not agree");
    let without = world.path("without.zarr");
    world.predict(&without, &small()).unwrap();
    assert_eq!(voxels(&without), voxels(&once), "the probability does not depend on it");
    assert!(!without.join(DISAGREEMENT).exists());
    assert!(matches!(world.predict(&without, &config), Err(PredictError::AnotherRun { .. })), "another run");
}

#[test]
fn the_disagreement_has_no_place_beside_a_copy() {
    let world = World::new();
    let config = PredictConfig { disagreement: true, ..small() };
    let region = Some(Region::new(Index::default(), Extent::new(2, 10, 10)));
    for (name, config) in [("out.tif", config.clone()), ("out.zarr", PredictConfig { region, ..config })] {
        let out = world.path(name);
        let refused = world.predict(&out, &config).unwrap_err();
        assert!(matches!(refused, PredictError::NoDisagreement { .. }), "{refused}");
        assert!(!out.exists());
    }
}
