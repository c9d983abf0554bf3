//! Time of the network: a forward pass for prediction at width 1, and a training step.
//!
//! `cargo bench -p deep3m --bench network`

use std::hint::black_box;
use std::time::Duration;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Tensor, TensorData};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use deep3m_net::{DeviceChoice, Frames, Inference, Mode, NetConfig};

/// Grey values that are no special case.
fn grey(len: usize) -> Vec<f32> {
    (0..len).map(|i| ((i * 37) % 256) as f32 / 128.0 - 1.0).collect()
}

fn forward(c: &mut Criterion) {
    let device = DeviceChoice::Cpu.open().expect("the CPU is always there");
    let mut group = c.benchmark_group("forward, width 1");
    group.sample_size(10).measurement_time(Duration::from_secs(20));
    for frames in [Frames::One, Frames::Three] {
        let net = NetConfig::original(frames).init(&device, 1);
        let inference = Inference::new(&net, &device).expect("a new network is whole");
        for side in [512, 1024] {
            let input = grey(frames.count() * side * side);
            group.throughput(Throughput::Elements((side * side) as u64));
            group.bench_function(BenchmarkId::new(frames.name(), side), |b| {
                b.iter(|| inference.foreground(black_box(&input), 1, side, side).expect("the size fits"));
            });
        }
    }
    group.finish();
}

/// Forward, cross-entropy and backward of one batch.
fn training_step(c: &mut Criterion) {
    let device = DeviceChoice::Cpu.open().expect("the CPU is always there").autodiff();
    let mut group = c.benchmark_group("training step");
    group.sample_size(10).measurement_time(Duration::from_secs(30));
    for (width, batch, side) in [(1.0, 5, 320), (0.25, 4, 256)] {
        let config = NetConfig::with_width(Frames::One, width).expect("a width above 0");
        let net = config.init(&device, 1);
        let input = TensorData::new(grey(batch * side * side), [batch, 1, 1, side, side]);
        group.bench_function(format!("1fm, width {width}, batch {batch} of {side} × {side}"), |b| {
            b.iter(|| {
                let logits = net.forward(Tensor::<5>::from_data(input.clone(), &device), Mode::Train);
                let loss = log_softmax(logits, 1).mean().neg();
                black_box(net.gradients(&mut loss.backward()));
            });
        });
    }
    group.finish();
}

criterion_group!(benches, forward, training_step);
criterion_main!(benches);
