//! Predictions with real, very narrow networks from a model directory.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use deep3m_net::{DeviceChoice, Frames, ModelDir, ModelManifest, NetConfig, Normalisation, ParamKind};
use deep3m_predict::{Ensemble, PredictConfig, PredictError, PredictEvent, VariationCount, predict};
use deep3m_volume::{Binning, Block, Extent, Index, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open};

const EXTENT: Extent = Extent::new(3, 40, 50);

fn model(path: &Path) -> ModelDir {
    let device = DeviceChoice::Cpu.open().unwrap();
    let normalisation = Normalisation::range(0.0, 255.0).unwrap();
    let mut manifest = ModelManifest::new(normalisation, Binning::NONE, VoxelType::U8);
    manifest.voxel_size = VoxelSize::new(30.0, 10.0, 10.0);
    let mut model = ModelDir::create(path, manifest).unwrap();
    for frames in [Frames::One, Frames::Three] {
        let config = NetConfig::with_width(frames, 0.02).unwrap();
        let mut tensors = config.init(&device, 3).collect();
        // Statistics as if it had been trained, so that numbers stay in range from layer to layer.
        for tensor in &mut tensors {
            if matches!(tensor.name.kind, ParamKind::Factor | ParamKind::VarianceSum) {
                tensor.values.fill(1.0);
            }
        }
        model.save_tensors(&config, &tensors, 1, 1.0, serde_json::Map::new()).unwrap();
    }
    model
}

fn images(path: &Path) -> Vec<u8> {
    let values: Vec<u8> = (0..EXTENT.len() as u32).map(|i| (i.wrapping_mul(2654435761) >> 24) as u8).collect();
    let voxel_size = VoxelSize::new(30.0, 5.0, 5.0);
    let spec = VolumeSpec { extent: EXTENT, voxel_type: VoxelType::U8, voxel_size, chunk: None, provenance: None };
    let writer = create(path, &spec, false).unwrap();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U8(values.clone()))).unwrap();
    writer.finish().unwrap();
    values
}

fn probability(path: &Path) -> Vec<u32> {
    open(path).unwrap().read(Region::whole(EXTENT)).unwrap().voxels().iter().collect()
}

#[test]
fn a_section_in_one_piece_is_what_the_network_says() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let grey = images(&folder.path().join("images.zarr"));
    let volume = open(&folder.path().join("images.zarr")).unwrap();
    let device = DeviceChoice::Cpu.open().unwrap();
    let ensemble = Ensemble::load(&model, Some(&[Frames::Three]), &device).unwrap();
    let config = PredictConfig { variations: VariationCount::One, mirror: Some(0), ..PredictConfig::default() };
    let out = folder.path().join("p.zarr");
    let mut notices = Vec::new();
    let stop = AtomicBool::new(false);
    predict(&ensemble, volume.as_ref(), &out, &config, &stop, &mut |event| {
        if let PredictEvent::Notice(text) = event {
            notices.push(text);
        }
    })
    .unwrap();
    assert!(notices.iter().any(|n| n.contains("structures look larger or smaller")), "{notices:?}");
    // By hand: sections mirrored at the ends, rows and columns mirrored up to multiples of 16.
    let net = model.load_inference(Frames::Three, &device).unwrap();
    let found = probability(&out);
    let at = |i: usize, size: usize| if i < size { i } else { 2 * (size - 1) - i };
    for z in 0..3_usize {
        let mut input = Vec::new();
        for section in [[1, 0, 1], [0, 1, 2], [1, 2, 1]][z] {
            for y in 0..48 {
                for x in 0..64 {
                    let value = f32::from(grey[(section * 40 + at(y, 40)) * 50 + at(x, 50)]);
                    input.push(value / 127.5 - 1.0);
                }
            }
        }
        let expected = net.foreground(&input, 1, 48, 64).unwrap();
        for y in 0..40 {
            for x in 0..50 {
                let (p, byte) = (expected[y * 64 + x], found[(z * 40 + y) * 50 + x]);
                assert!((p * 255.0 - byte as f32).abs() < 0.51, "{z} {y} {x}: {p} as {byte}");
            }
        }
    }
}

#[test]
fn the_ensemble_stopped_and_gone_on_with_gives_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    images(&folder.path().join("images.zarr"));
    let volume = open(&folder.path().join("images.zarr")).unwrap();
    let ensemble = Ensemble::load(&model, None, &DeviceChoice::Cpu.open().unwrap()).unwrap();
    assert_eq!(ensemble.frames(), [Frames::One, Frames::Three]);
    let config =
        PredictConfig { variations: VariationCount::Four, tile: Some(25), halo: Some(8), ..PredictConfig::default() };
    let run = |out: &Path, passes: u64| {
        let (stop, mut seen) = (AtomicBool::new(false), 0);
        predict(&ensemble, volume.as_ref(), out, &config, &stop, &mut |event| {
            if matches!(event, PredictEvent::Progress { .. }) {
                seen += 1;
                stop.store(seen >= passes, Ordering::Relaxed);
            }
        })
    };
    let (whole, stopped) = (folder.path().join("whole.zarr"), folder.path().join("stopped.zarr"));
    let summary = run(&whole, u64::MAX).unwrap();
    assert!(summary.network_seconds > 0.0 && summary.network_seconds <= summary.seconds);
    assert!(matches!(run(&stopped, 40), Err(PredictError::Interrupted { done: 1, blocks: 4, .. })));
    assert_eq!(run(&stopped, u64::MAX).unwrap().blocks_before, 1);
    assert_eq!(probability(&stopped), probability(&whole));
}

#[test]
fn a_network_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let model = model(&folder.path().join("model"));
    let device = DeviceChoice::Cpu.open().unwrap();
    let error = Ensemble::load(&model, Some(&[Frames::Five]), &device).err().unwrap().to_string();
    assert!(error.contains("5fm") && error.contains("1fm, 3fm"), "{error}");
}
