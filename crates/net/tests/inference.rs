//! What holds for a folded network whatever its weights.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod common;

use common::{cpu, difference, host, input};
use deep3m_net::{DeepEm3d, Frames, Inference, Mode, NetConfig, NetError};

/// A network whose statistics are not those of its beginning.
fn network(frames: Frames) -> DeepEm3d {
    let net = NetConfig::with_width(frames, 0.1).unwrap().init(&cpu(), 11);
    for seed in 0..2 {
        net.forward(input(&noise(2 * frames.count() * 64 * 64, seed), 2, frames.count(), 64, 64, &cpu()), Mode::Train);
    }
    net
}

fn noise(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn folded_equals_unfolded() {
    for frames in Frames::ALL {
        let net = network(frames);
        let x = noise(frames.count() * 48 * 80, 5);
        let logits = host(&net.forward(input(&x, 1, frames.count(), 48, 80, &cpu()), Mode::Predict));
        let area = 48 * 80;
        let expected: Vec<f32> = (0..area).map(|i| 1.0 / (1.0 + (logits[i] - logits[area + i]).exp())).collect();
        let folded = Inference::new(&net, &cpu()).unwrap().foreground(&x, 1, 48, 80).unwrap();
        assert!(difference(&folded, &expected) < 1e-5, "{frames}: {}", difference(&folded, &expected));
        let spread = expected.iter().fold((1.0_f32, 0.0_f32), |(a, b), &p| (a.min(p), b.max(p)));
        assert!(spread.1 - spread.0 > 0.01, "{frames}: an output that varies, found {spread:?}");
    }
}

#[test]
fn the_result_does_not_depend_on_the_batch() {
    let inference = Inference::new(&network(Frames::Three), &cpu()).unwrap();
    let (h, w) = (64, 96);
    let batch = noise(5 * 3 * h * w, 9);
    let together = inference.foreground(&batch, 5, h, w).unwrap();
    for (i, alone) in batch.chunks(3 * h * w).enumerate() {
        let alone = inference.foreground(alone, 1, h, w).unwrap();
        assert!(
            alone == together[i * h * w..][..h * w],
            "input {i}: {}",
            difference(&alone, &together[i * h * w..][..h * w])
        );
    }
    assert!(together == inference.foreground(&batch, 5, h, w).unwrap(), "again");
}

#[test]
fn what_lies_beyond_the_field_of_view_does_not_matter() {
    let net = network(Frames::One);
    let inference = Inference::new(&net, &cpu()).unwrap();
    let radius = net.config().field_of_view();
    let (h, w) = (16, (2 * radius + 64).next_multiple_of(16));
    let mut x = noise(h * w, 3);
    let at = w / 2;
    let before = inference.foreground(&x, 1, h, w).unwrap();
    for row in x.chunks_mut(w) {
        for (column, value) in row.iter_mut().enumerate() {
            if column.abs_diff(at) > radius {
                *value = -*value;
            }
        }
    }
    let after = inference.foreground(&x, 1, h, w).unwrap();
    // Beyond it only rounding is left: Winograd's convolutions round a few neighbours together.
    let off = (0..h).map(|y| (before[y * w + at] - after[y * w + at]).abs()).fold(0.0, f32::max);
    assert!(off < 1e-6, "column {at}, field of view {radius}: {off}");
    assert!(difference(&before, &after) > 1e-3);
}

#[test]
fn sizes_are_checked() {
    let inference = Inference::new(&network(Frames::One), &cpu()).unwrap();
    assert!(matches!(inference.foreground(&[0.0; 17 * 16], 1, 17, 16), Err(NetError::Size { .. })));
    assert!(matches!(inference.foreground(&[], 1, 0, 16), Err(NetError::Size { .. })));
    assert!(matches!(inference.foreground(&[0.0; 255], 1, 16, 16), Err(NetError::Values { .. })));
    assert!(matches!(inference.foreground(&[], usize::MAX, 16, 16), Err(NetError::Values { .. })));
    assert_eq!(inference.foreground(&[], 0, 16, 16), Ok(Vec::new()));
}

#[test]
fn training_statistics_are_those_of_the_batches() {
    let net = network(Frames::One);
    let copy = net.clone();
    net.forward(input(&noise(64 * 64, 8), 1, 1, 64, 64, &cpu()), Mode::Train);
    assert_ne!(net.collect(), copy.collect(), "a copy does not share statistics");
    let factors =
        |net: &DeepEm3d| net.collect().iter().find(|t| t.name.to_string() == "bn_conv1_1/factor").unwrap().values[0];
    assert!((factors(&copy) - (1.0 + 0.999)).abs() < 1e-6);
    assert!((factors(&net) - (1.0 + 0.999 * (1.0 + 0.999))).abs() < 1e-6);
}
