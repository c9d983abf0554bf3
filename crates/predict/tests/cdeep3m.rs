//! CDeep3M's layout on disk: its folders and bytes, and what is done after an interruption.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use deep3m_net::{Frames, NetError, Normalisation};
use deep3m_predict::{
    Ensemble, ForegroundModel, ModelIdentity, PredictConfig, PredictError, PredictEvent, VariationCount, cdeep3m,
};
use deep3m_volume::{Binning, Block, Extent, Index, Region, Volume, VolumeSpec, VoxelType, Voxels, create, fs, open};

/// Answers with a mix of the sections it sees, as its number of frames has it, and notes what it was given.
struct Mix {
    frames: Frames,
    calls: Arc<AtomicU64>,
    first: Arc<Mutex<Vec<f32>>>,
}

impl ForegroundModel for Mix {
    fn frames(&self) -> Frames {
        self.frames
    }

    fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        assert_eq!((n, height, width), (1, 1024, 1024));
        if self.calls.fetch_add(1, Ordering::Relaxed) == 0 {
            input.clone_into(&mut self.first.lock().unwrap());
        }
        let section = height * width;
        let at = |k: usize, i: usize| input[k * section + i] / 255.0;
        let margin = self.frames.margin();
        Ok((0..section)
            .map(|i| match self.frames {
                Frames::One => at(0, i),
                _ => 0.5 * at(margin, i) + 0.25 * at(0, i) + 0.25 * at(2 * margin, i),
            })
            .collect())
    }
}

struct World {
    folder: tempfile::TempDir,
    calls: Arc<AtomicU64>,
    first: Arc<Mutex<Vec<f32>>>,
}

fn grey(z: u64, y: u64, x: u64) -> u8 {
    // Slow in the plane, so that a shift by a pixel shows, and bright somewhere in every section.
    ((y * 3 + x * 5 + z * 40) % 256) as u8
}

impl World {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), calls: Arc::default(), first: Arc::default() }
    }

    fn volume(&self, name: &str, extent: Extent) -> Arc<dyn Volume> {
        let path = self.folder.path().join(name);
        let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size: None, chunk: None, provenance: None };
        let writer = create(&path, &spec, false).unwrap();
        let values =
            (0..extent.z).flat_map(|z| (0..extent.y).flat_map(move |y| (0..extent.x).map(move |x| grey(z, y, x))));
        writer.write(Index::default(), &Block::new(extent, Voxels::U8(values.collect()))).unwrap();
        writer.finish().unwrap();
        open(&path).unwrap()
    }

    fn predict(
        &self,
        volume: &dyn Volume,
        out: &Path,
        config: &PredictConfig,
        passes: u64,
    ) -> Result<u64, PredictError> {
        self.calls.store(0, Ordering::Relaxed);
        let models = [Frames::One, Frames::Three].map(|frames| {
            Box::new(Mix { frames, calls: self.calls.clone(), first: self.first.clone() }) as Box<dyn ForegroundModel>
        });
        let weights = BTreeMap::from([("1fm".to_owned(), "x".to_owned())]);
        let identity = ModelIdentity { path: "model".into(), weights };
        let models = Vec::from(models);
        let ensemble = Ensemble::new(models, Binning::NONE, Normalisation::Raw, VoxelType::U8, identity).unwrap();
        let stop = AtomicBool::new(false);
        let mut seen = 0;
        cdeep3m::predict(&ensemble, volume, out, config, &stop, &mut |event| {
            if matches!(event, PredictEvent::Progress { .. }) {
                seen += 1;
                stop.store(seen >= passes, Ordering::Relaxed);
            }
        })
        .map(|_| self.calls.load(Ordering::Relaxed))
    }
}

fn plane(path: &Path) -> Vec<u32> {
    let volume = open(path).unwrap();
    volume.read(Region::whole(volume.info().extent)).unwrap().voxels().iter().collect()
}

fn two() -> PredictConfig {
    PredictConfig { variations: VariationCount::Two, ..PredictConfig::default() }
}

/// What a 1fm mix comes to: p = value / 255 as 16 bits, then as 8 bits of the scale 65,536.
fn expected(value: f64) -> u32 {
    let wide = (value / 255.0 * 65535.0).floor();
    (wide * 255.0 / 65536.0).round() as u32
}

#[test]
fn planes_are_written_as_the_reference_writes_them() {
    let world = World::new();
    let extent = Extent::new(3, 40, 1030);
    let volume = world.volume("stack.tif", extent);
    let out = world.folder.path().join("out");
    world.predict(volume.as_ref(), &out, &two(), u64::MAX).unwrap();
    let names = |folder: &str| {
        let list = fs::list(&out.join(folder)).unwrap();
        list.iter().map(|p| p.file_name().unwrap().to_string_lossy().into_owned()).collect::<Vec<_>>()
    };
    for model in ["1fm", "3fm"] {
        let mut found = names(model);
        found.sort();
        assert_eq!(found, ["DONE", "Segmented_0001.png", "Segmented_0002.png", "Segmented_0003.png"]);
    }
    assert_eq!(names("ensembled").len(), 3);

    let one = plane(&out.join("1fm/Segmented_0002.png"));
    let three = plane(&out.join("3fm/Segmented_0001.png"));
    for y in 0..40_u64 {
        for x in 0..1030_u64 {
            let at = (y * 1030 + x) as usize;
            if y < 13 {
                assert_eq!((one[at], three[at]), (0, 0), "the reference's empty band");
                continue;
            }
            let v = f64::from(grey(1, y, x));
            assert!(one[at].abs_diff(expected(v)) <= 1, "{y} {x}: {} {}", one[at], expected(v));
            // Above the first section stands the second, mirrored.
            let v = 0.5 * f64::from(grey(0, y, x)) + 0.5 * f64::from(grey(1, y, x));
            assert!(three[at].abs_diff(expected(v)) <= 1, "{y} {x}");
        }
    }
    let both = plane(&out.join("ensembled/Segmented_0001.png"));
    let one = plane(&out.join("1fm/Segmented_0001.png"));
    assert!(both.iter().zip(one.iter().zip(&three)).all(|(m, (a, b))| *m == (a + b).div_ceil(2)));

    // Packages lie row by row: the first begins at the second row and shows 12 mirrored columns.
    let first = world.first.lock().unwrap();
    let at = |row: usize, column: usize| first[row * 1024 + column];
    assert_eq!(at(0, 12), f32::from(grey(0, 1, 0)));
    assert_eq!((at(0, 11), at(0, 0)), (f32::from(grey(0, 1, 1)), f32::from(grey(0, 1, 12))));
    assert_eq!(at(39, 12), f32::from(grey(0, 38, 0)), "mirrored below");
    assert_eq!(at(51, 12), 0.0, "zeros beyond");
}

#[test]
fn a_stopped_run_goes_on_and_another_is_refused() {
    let world = World::new();
    let volume = world.volume("slices", Extent::new(3, 30, 40));
    let (whole, parts) = (world.folder.path().join("whole"), world.folder.path().join("parts"));
    let all = world.predict(volume.as_ref(), &whole, &two(), u64::MAX).unwrap();
    assert_eq!(all, 3 * 2 * 2);
    assert!(matches!(
        world.predict(volume.as_ref(), &parts, &two(), 3),
        Err(PredictError::Interrupted { done: 0, blocks: 2, .. })
    ));
    // One section was whole: its two passes are not made again.
    let rest = world.predict(volume.as_ref(), &parts, &two(), u64::MAX).unwrap();
    assert_eq!(rest, all - 2);
    for file in ["1fm/Segmented_0003.png", "3fm/Segmented_0001.png", "ensembled/Segmented_0002.png"] {
        assert_eq!(fs::read(&whole.join(file)).unwrap(), fs::read(&parts.join(file)).unwrap(), "{file}");
    }
    assert_eq!(world.predict(volume.as_ref(), &parts, &two(), u64::MAX).unwrap(), 0, "complete");

    let other = PredictConfig { variations: VariationCount::One, ..two() };
    let error = world.predict(volume.as_ref(), &parts, &other, u64::MAX).unwrap_err().to_string();
    assert!(error.contains("variations: found 2, expected 1"), "{error}");
    let anew = PredictConfig { overwrite: true, ..other };
    assert_eq!(world.predict(volume.as_ref(), &parts, &anew, u64::MAX).unwrap(), 3 * 2);
    let thesis = world.folder.path().join("thesis");
    std::fs::create_dir(&thesis).unwrap();
    std::fs::write(thesis.join("chapter.tex"), "x").unwrap();
    assert!(matches!(world.predict(volume.as_ref(), &thesis, &anew, u64::MAX), Err(PredictError::Occupied { .. })));
}

#[test]
fn what_the_reference_cannot_do_is_refused() {
    let world = World::new();
    let out = world.folder.path().join("out");
    let thin = world.volume("thin.zarr", Extent::new(2, 30, 40));
    let error = world.predict(thin.as_ref(), &out, &two(), u64::MAX).unwrap_err().to_string();
    assert!(error.contains("2 × 30 × 40") && error.contains("at least 3 sections"), "{error}");
    let volume = world.volume("volume.zarr", Extent::new(3, 30, 40));
    let region = PredictConfig { region: Some("0:3,0:20,0:20".parse().unwrap()), ..two() };
    let error = world.predict(volume.as_ref(), &out, &region, u64::MAX).unwrap_err().to_string();
    assert!(error.contains("a region"), "{error}");
    assert!(!out.exists());
}
