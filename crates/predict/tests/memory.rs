//! Peak memory is bounded by blocks: a volume eight times as large takes no more.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use deep3m_net::{Frames, Normalisation};
use deep3m_predict::{Ensemble, ForegroundModel, ModelIdentity, NullModel, PredictConfig, VariationCount, predict};
use deep3m_volume::{
    Binning, Block, Extent, Index, OpenOptions, VolumeSpec, VoxelSize, VoxelType, Voxels, create, open_with,
};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Writes a volume piece by piece.
fn write(path: &Path, extent: Extent) {
    let spec = VolumeSpec {
        extent,
        voxel_type: VoxelType::U8,
        voxel_size: VoxelSize::new(30.0, 5.0, 5.0),
        chunk: Some(Extent::new(8, 64, 64)),
        provenance: None,
    };
    let writer = create(path, &spec, false).unwrap();
    let slab = Extent::new(8, extent.y, extent.x);
    for z in (0..extent.z).step_by(8) {
        let voxels = (0..slab.len()).map(|i| (i as u64 + z).wrapping_mul(2_654_435_761).to_be_bytes()[4]).collect();
        writer.write(Index { z, y: 0, x: 0 }, &Block::new(slab, Voxels::U8(voxels))).unwrap();
    }
    writer.finish().unwrap();
}

/// The most bytes that were allocated at a time while a volume of this size was predicted.
fn peak(folder: &Path, extent: Extent) -> usize {
    let (images, out) = (folder.join("images.zarr"), folder.join("probability.zarr"));
    write(&images, extent);
    let normalisation = Normalisation::range(0.0, 255.0).unwrap();
    let models = vec![Box::new(NullModel { frames: Frames::Three }) as Box<dyn ForegroundModel>];
    let identity = ModelIdentity { path: "model".into(), weights: BTreeMap::from([("3fm".into(), "null".into())]) };
    let ensemble = Ensemble::new(models, Binning::NONE, normalisation, VoxelType::U8, identity).unwrap();
    let config = PredictConfig {
        variations: VariationCount::Two,
        tile: Some(64),
        halo: Some(16),
        slab: Some(8),
        ..PredictConfig::default()
    };
    // Decoded chunks are kept up to a budget of their own.
    let volume = open_with(&images, &OpenOptions::default().cache_bytes(1 << 20)).unwrap();
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    predict(&ensemble, volume.as_ref(), &out, &config, &AtomicBool::new(false), &mut |_| {}).unwrap();
    ALLOCATED.peak_usage() - before
}

#[test]
fn a_volume_eight_times_as_large_takes_no_more_memory() {
    let folder = tempfile::tempdir().unwrap();
    let small = peak(&folder.path().join("small"), Extent::new(16, 256, 256));
    let large = peak(&folder.path().join("large"), Extent::new(32, 512, 512));
    println!("{small} and {large} bytes at most");
    assert!(large as f64 <= 1.1 * small as f64, "{small} bytes, then {large}");
}
