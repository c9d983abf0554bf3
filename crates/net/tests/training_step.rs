//! The same training step as Caffe: gradients, losses, and weights after five updates, to 1e-3.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod common;

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use common::{Golden, caffemodel, cpu, host, input, network, relative};
use deep3m_net::{DeepEm3d, Mode, NamedTensor, ParamKind};

const TOLERANCE: f32 = 1e-3;
const N: usize = 2;
const H: usize = 96;
const W: usize = 128;

/// The unweighted mean of −ln p of the labels, and the class-weighted gradient of the logits.
fn loss(logits: &[f32], labels: &[u8]) -> (f64, Vec<f32>) {
    let foreground = labels.iter().map(|&label| usize::from(label)).sum::<usize>();
    let counts = [labels.len() - foreground, foreground];
    let rarer = counts[0].min(counts[1]) as f64;
    let area = H * W;
    let mut total = 0.0;
    let mut gradient = vec![0.0; logits.len()];
    for (pixel, &label) in labels.iter().enumerate() {
        let at = |class: usize| (pixel / area * 2 + class) * area + pixel % area;
        let [background, foreground] = [0, 1].map(|class| f64::from(logits[at(class)]));
        let p = 1.0 / (1.0 + (background - foreground).exp());
        let label = usize::from(label);
        let weight = rarer / counts[label] as f64 / labels.len() as f64;
        total -= [1.0 - p, p][label].max(f64::from(f32::MIN_POSITIVE)).ln();
        for (class, p) in [1.0 - p, p].into_iter().enumerate() {
            gradient[at(class)] = (weight * (p - if class == label { 1.0 } else { 0.0 })) as f32;
        }
    }
    (total / labels.len() as f64, gradient)
}

struct Batch {
    data: Vec<f32>,
    labels: Vec<u8>,
}

impl Batch {
    fn read(golden: &mut Golden) -> Self {
        let data = golden.array::<u8>("data_u8").iter().map(|&v| f32::from(v)).collect();
        let labels = golden.array::<u8>("label_u8").iter().copied().collect();
        Self { data, labels }
    }
}

/// One forward and backward: logits, their gradient, the loss, and the gradients of all trained tensors.
fn step(net: &DeepEm3d, batch: &Batch) -> (Vec<f32>, Vec<f32>, f64, Vec<Option<Tensor<1>>>) {
    let logits = net.forward(input(&batch.data, N, 1, H, W, net.device()), Mode::Train);
    let values = host(&logits);
    let (loss, gradient) = loss(&values, &batch.labels);
    let weights = Tensor::<4>::from_data(TensorData::new(gradient.clone(), [N, 2, H, W]), net.device());
    let mut gradients = (logits * weights).sum().backward();
    (values, gradient, loss, net.gradients(&mut gradients))
}

#[test]
fn gradients_agree() {
    let Some(mut golden) = Golden::open("step_1fm_golden.npz") else { return };
    let net = network("tiny_1fm.caffemodel", &cpu().autodiff()).unwrap();
    let batch = Batch::read(&mut golden);
    let (logits, diff, loss, gradients) = step(&net, &batch);
    assert!(relative(&logits, &golden.floats("logits")) < 1e-4);
    assert!(relative(&diff, &golden.floats("logits_diff")) < TOLERANCE);
    let expected: Vec<f64> = golden.array::<f64>("losses").iter().copied().collect();
    assert!((loss / expected[0] - 1.0).abs() < 1e-4, "{loss} for {}", expected[0]);

    let mut worst = (0.0, String::new());
    let mut compared = 0;
    let mut scale = 0.0_f32;
    for (spec, gradient) in net.trained().iter().zip(&gradients) {
        let name = format!("grad:{}.{}", spec.name.layer.replace('/', "|"), spec.name.kind.caffe_blob());
        let names = golden.names();
        let name = if names.contains(&name) { name } else { name.replace('|', "/") };
        let theirs = golden.floats(&name);
        let size = theirs.iter().fold(0.0_f32, |m, v| m.max(v.abs()));
        match gradient {
            Some(gradient) => {
                let off = relative(&host(gradient), &theirs);
                if off > worst.0 {
                    worst = (off, name.clone());
                }
                assert!(off < TOLERANCE, "{name}: {off}");
                scale = size;
            }
            // Rounding errors of Caffe: normalisation cancels a bias exactly.
            None => assert!(spec.name.kind.is_bias() && size < 1e-3 * scale, "{name}: {size} of {scale}"),
        }
        compared += 1;
    }
    eprintln!("{compared} gradients; the worst is {} with {:.1e}", worst.1, worst.0);
    assert_eq!(compared, 60 * 2 + 48 * 2);
}

#[test]
fn five_updates_give_caffes_losses_and_weights() {
    const ITER_SIZE: usize = 2;
    let Some(mut golden) = Golden::open("step_1fm_golden.npz") else { return };
    let mut net = network("tiny_1fm.caffemodel", &cpu().autodiff()).unwrap();
    let batch = Batch::read(&mut golden);
    let losses: Vec<f64> = golden.array::<f64>("losses").iter().copied().collect();
    let mut velocity: BTreeMap<usize, Tensor<1>> = BTreeMap::new();
    for (i, expected) in losses.iter().enumerate() {
        let rate = 0.01 * (1.0 - i as f64 / 20.0).powf(0.8);
        let (_, _, loss, first) = step(&net, &batch);
        let (_, _, _, second) = step(&net, &batch);
        assert!((loss / expected - 1.0).abs() < f64::from(TOLERANCE), "iteration {i}: loss {loss} for {expected}");
        let sums: Vec<Option<Tensor<1>>> = first.into_iter().zip(second).map(|(a, b)| Some(a? + b?)).collect();
        net.map_parameters(|place, name, w| {
            let rate = rate * if name.kind.is_bias() { 2.0 } else { 1.0 };
            let decay = if name.kind.is_bias() && name.layer.starts_with("fc1_") { 0.0 } else { 5e-4 };
            let mut change = w.clone().mul_scalar(decay);
            if let Some(gradient) = &sums[place] {
                change = change + gradient.clone().div_scalar(ITER_SIZE as f64);
            }
            let mut v = change.mul_scalar(rate);
            if let Some(before) = velocity.remove(&place) {
                v = v + before.mul_scalar(0.9);
            }
            velocity.insert(place, v.clone());
            w - v
        });
    }
    let (_, theirs) = caffemodel("step_1fm_after5.caffemodel").unwrap();
    let theirs: BTreeMap<_, _> = theirs.into_iter().map(|t| (t.name.clone(), t)).collect();
    let ours = net.collect();
    let factor = |tensors: &dyn Fn(&str) -> f32, tensor: &NamedTensor| tensors(&tensor.name.layer);
    let our_factor = |layer: &str| {
        ours.iter().find(|t| t.name.layer == layer && t.name.kind == ParamKind::Factor).map_or(1.0, |t| t.values[0])
    };
    let their_factor = |layer: &str| {
        theirs.values().find(|t| t.name.layer == layer && t.name.kind == ParamKind::Factor).map_or(1.0, |t| t.values[0])
    };
    let mut worst = (0.0, String::new());
    for tensor in ours.iter().filter(|t| t.name.kind != ParamKind::Factor) {
        let expected = &theirs[&tensor.name];
        // Sums count over their factor only (1 where there is none).
        let a: Vec<f32> = tensor.values.iter().map(|v| v / factor(&our_factor, tensor)).collect();
        let b: Vec<f32> = expected.values.iter().map(|v| v / factor(&their_factor, expected)).collect();
        let off = relative(&a, &b);
        if off > worst.0 {
            worst = (off, tensor.name.to_string());
        }
        assert!(off < TOLERANCE, "{}: {off}", tensor.name);
    }
    eprintln!("after five updates the worst tensor is {} with {:.1e}", worst.1, worst.0);
}
