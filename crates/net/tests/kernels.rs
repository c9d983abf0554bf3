//! The CPU's own kernels against the tensor library's operations, in training.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod common;

use burn::tensor::{Tensor, TensorData};
use common::{cpu, host, input, relative};
use deep3m_net::{DeepEm3d, Frames, Mode, NetConfig, ParamKind};

/// Logits, gradients and statistics of one step on inputs that are not square.
fn step(net: &DeepEm3d, n: usize, h: usize, w: usize) -> (Vec<f32>, Vec<Option<Vec<f32>>>, Vec<f32>) {
    let frames = net.config().frames().count();
    let values: Vec<f32> = (0..n * frames * h * w).map(|i| ((i * i + 7 * i) % 1009) as f32 / 504.0 - 1.0).collect();
    let logits = net.forward(input(&values, n, frames, h, w, net.device()), Mode::Train);
    let weights: Vec<f32> = (0..n * 2 * h * w).map(|i| ((i * 31) % 97) as f32 / 97.0 - 0.4).collect();
    let weights = Tensor::<4>::from_data(TensorData::new(weights, [n, 2, h, w]), net.device());
    let mut gradients = (logits.clone() * weights).sum().backward();
    let gradients = net.gradients(&mut gradients).iter().map(|g| g.as_ref().map(host)).collect();
    let statistics = net.collect().into_iter().filter(|t| t.name.kind == ParamKind::VarianceSum);
    (host(&logits), gradients, statistics.flat_map(|t| t.values).collect())
}

#[test]
fn kernels_agree_with_the_library() {
    for (frames, n, h, w) in [(Frames::One, 1, 48, 80), (Frames::Three, 3, 32, 16), (Frames::Five, 2, 16, 64)] {
        let net = || NetConfig::with_width(frames, 0.15).unwrap().init(&cpu().autodiff(), 4);
        let (logits, gradients, statistics) = step(&net(), n, h, w);
        let plain = net().without_cpu_kernels();
        let (expected, expected_gradients, expected_statistics) = step(&plain, n, h, w);
        assert!(relative(&logits, &expected) < 1e-4, "{frames} logits: {}", relative(&logits, &expected));
        assert!(relative(&statistics, &expected_statistics) < 1e-4, "{frames} statistics");
        let largest = expected_gradients.iter().flatten().flatten().fold(0.0_f32, |m, v| m.max(v.abs()));
        for (spec, (ours, theirs)) in plain.trained().iter().zip(gradients.iter().zip(&expected_gradients)) {
            let (Some(ours), Some(theirs)) = (ours, theirs) else {
                assert!(ours.is_none() && theirs.is_none() && spec.name.kind.is_bias(), "{frames} {}", spec.name);
                continue;
            };
            // Rounding moves a few values across a ReLU's or a maximum's edge; gradients of near 0 are all rounding.
            let size = theirs.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
            let off = common::difference(ours, theirs);
            assert!(off < 2e-3 * size + 1e-5 * largest, "{frames} {}: {off} of {size}", spec.name);
        }
    }
}

#[test]
fn the_same_step_gives_the_same_bytes_on_any_number_of_threads() {
    let run = || {
        let net = NetConfig::with_width(Frames::Three, 0.1).unwrap().init(&cpu().autodiff(), 4);
        step(&net, 3, 48, 32)
    };
    let on = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run);
    let one = on(1);
    assert!(one == on(1), "again");
    assert!(one == on(3), "on three threads");
}
