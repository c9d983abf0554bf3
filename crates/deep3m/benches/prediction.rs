//! A whole prediction from disk to disk: with a network, and with a null model that costs nothing, so that the time of
//! everything else shows.
//!
//! `cargo bench -p deep3m --bench prediction`

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use burn::tensor::{Tensor, TensorData};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use deep3m_net::{DeviceChoice, Frames, Mode, ModelDir, ModelManifest, NetConfig, Normalisation};
use deep3m_phantom::{Phantom, PhantomConfig};
use deep3m_predict::{Ensemble, PredictConfig, PredictSummary, VariationCount, predict};
use deep3m_volume::{Binning, Extent, Volume, VoxelType, open};

const EXTENT: Extent = Extent::new(8, 512, 512);

fn run(ensemble: &Ensemble, volume: &dyn Volume, out: &Path) -> PredictSummary {
    let config = PredictConfig { variations: VariationCount::One, overwrite: true, ..PredictConfig::default() };
    predict(ensemble, volume, out, &config, &AtomicBool::new(false), &mut |_| {}).expect("nothing stops it")
}

/// A model of random weights in a folder: its speed is that of any. One batch gives it statistics that keep its values
/// finite.
fn model(folder: &Path, width: f64) -> Ensemble {
    let device = DeviceChoice::Cpu.open().expect("the CPU is always there");
    let manifest = ModelManifest::new(Normalisation::Range { low: 0.0, high: 255.0 }, Binning::NONE, VoxelType::U8);
    let mut model = ModelDir::create(folder, manifest).expect("the folder is new");
    let mut net = NetConfig::with_width(Frames::One, width).expect("a width above 0").init(&device, 1);
    net.reset_statistics();
    net.set_bn_decay(1.0);
    let noise = (0..128 * 128_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32 / 128.0 - 1.0).collect();
    let _ = net.forward(Tensor::from_data(TensorData::new(noise, [1, 1, 1, 128, 128]), &device), Mode::Train);
    model.save_network(&net, 0, 0.0, serde_json::Map::new()).expect("the disk has room");
    Ensemble::load(&model, None, &device).expect("the model is whole")
}

fn whole_prediction(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder for temporary files");
    let at = folder.path();
    let phantom =
        Phantom::new(PhantomConfig { shape: EXTENT, ..PhantomConfig::default() }).expect("the shape is small");
    deep3m_phantom::write(&phantom, &at.join("phantom"), false, &mut |_| {}).expect("the disk has room");
    let volume: Arc<dyn Volume> = open(&at.join("phantom/images.zarr")).expect("it was just written");

    let mut group = c.benchmark_group("prediction of 8 × 512 × 512, one variation");
    group.throughput(Throughput::Elements(EXTENT.len() as u64));
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for (name, ensemble) in [
        ("null model", Ensemble::null(&[Frames::One], Binning::NONE).expect("one model")),
        ("1fm, width 0.25", model(&at.join("narrow"), 0.25)),
        ("1fm, width 1", model(&at.join("full"), 1.0)),
    ] {
        let out = at.join("out.zarr");
        let summary = run(&ensemble, volume.as_ref(), &out);
        eprintln!(
            "{name}: {:.3} Mvoxel/s, {:.1} % of the time outside the network",
            summary.voxels_per_second() / 1e6,
            100.0 * summary.share_outside_network()
        );
        group.bench_function(name, |b| b.iter(|| run(&ensemble, volume.as_ref(), &out)));
    }
    group.finish();
}

criterion_group!(benches, whole_prediction);
criterion_main!(benches);
