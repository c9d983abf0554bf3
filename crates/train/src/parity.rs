//! Training against the original: five updates of a small net, as Caffe made them.

use std::fs::File;
use std::path::PathBuf;

use deep3m_net::{DeepEm3d, DeviceChoice, Frames, NamedTensor, ParamKind, weights::caffe};
use ndarray::{Array1, Array3, ArrayD};
use ndarray_npy::NpzReader;

use crate::patch::Batch;
use crate::solver::{Gradients, Solver, accumulate};
use crate::step::backward;
use crate::{Budget, TrainConfig, schedule};

fn fixture(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures")).join(name);
    if !path.exists() {
        eprintln!("SKIPPED: {} absent", path.display());
        return None;
    }
    Some(path)
}

fn network(name: &str) -> Option<DeepEm3d> {
    let bytes = std::fs::read(fixture(name)?).unwrap();
    let (config, tensors) = caffe::read_caffemodel(&bytes).unwrap().to_network(Frames::One).unwrap();
    let device = DeviceChoice::Cpu.open().unwrap().autodiff();
    Some(DeepEm3d::from_tensors(config, &tensors, &device).unwrap())
}

/// The largest difference of two tensors over the largest value of the second.
fn relative(a: &[f32], b: &[f32]) -> f32 {
    let largest = b.iter().fold(0.0_f32, |m, v| m.max(v.abs())).max(1e-6);
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max) / largest
}

fn golden_batch(npz: &mut NpzReader<File>) -> Batch {
    let data: Array3<u8> = npz.by_name("data_u8").unwrap();
    let label: Array3<u8> = npz.by_name("label_u8").unwrap();
    let (n, height, width) = data.dim();
    let floats = |values: &Array3<u8>| values.iter().map(|&v| f32::from(v)).collect();
    Batch {
        shape: [n, 1, 1, height, width],
        image: floats(&data),
        target: floats(&label),
        known: vec![1.0; label.len()],
    }
}

#[test]
fn five_updates_agree_with_the_original() {
    let (Some(golden), Some(mut net), Some(expected)) =
        (fixture("step_1fm_golden.npz"), network("tiny_1fm.caffemodel"), network("step_1fm_after5.caffemodel"))
    else {
        return;
    };
    let mut npz = NpzReader::new(File::open(golden).unwrap()).unwrap();
    let losses: Array1<f64> = npz.by_name("losses").unwrap();
    let batch = golden_batch(&mut npz);
    let config = TrainConfig { budget: Budget::Iterations(20), iter_size: 2, ..TrainConfig::cdeep3m() };
    let mut solver = Solver::new(&config, &net.trained(), net.device());
    for i in 0..5 {
        let mut sum = Gradients::new();
        let mut loss = 0.0;
        for _ in 0..config.iter_size {
            let (value, gradients) = backward(&net, &batch, &config).unwrap();
            if i == 0 && sum.is_empty() {
                compare_gradients(&net, &gradients, &mut npz);
            }
            loss += value.cross_entropy / f64::from(config.iter_size);
            accumulate(&mut sum, gradients);
        }
        assert!((loss / losses[i] - 1.0).abs() < 1e-3, "loss before update {i}: {loss}, the original's {}", losses[i]);
        let rate = schedule::learning_rate(&config, i as f64 / 20.0);
        assert!(solver.update(&mut net, sum, rate, |_, _| {}));
    }
    for (ours, theirs) in statistics_as_means(net.collect()).iter().zip(&statistics_as_means(expected.collect())) {
        assert_eq!(ours.name, theirs.name);
        let difference = relative(&ours.values, &theirs.values);
        assert!(difference < 1e-3, "{}: {difference}", ours.name);
    }
}

fn compare_gradients(net: &DeepEm3d, gradients: &Gradients, npz: &mut NpzReader<File>) {
    let mut largest = 0.0_f32;
    for (spec, gradient) in net.trained().iter().zip(gradients) {
        let name = format!("grad:{}.{}", spec.name.layer.replace('/', "|"), spec.name.kind.caffe_blob());
        let golden: ArrayD<f32> = npz.by_name(&name).unwrap_or_else(|e| panic!("{name}: {e}"));
        let golden: Vec<f32> = golden.iter().copied().collect();
        match gradient {
            Some(gradient) => {
                let difference = relative(&crate::solver::to_host(gradient), &golden);
                largest = largest.max(difference);
                assert!(difference < 1e-3, "{name}: {difference}");
            }
            // What is left of them in the original is rounding.
            None => assert!(spec.name.kind.is_bias() && golden.iter().all(|g| g.abs() < 1e-4), "{name}: {golden:?}"),
        }
    }
    eprintln!("largest relative difference of a gradient: {largest}");
}

/// The solver of the original also decays the sums of batch normalisation; their quotients are what counts.
fn statistics_as_means(mut tensors: Vec<NamedTensor>) -> Vec<NamedTensor> {
    let factors: Vec<(String, f32)> = tensors
        .iter()
        .filter(|t| t.name.kind == ParamKind::Factor)
        .map(|t| (t.name.layer.clone(), t.values[0]))
        .collect();
    for tensor in &mut tensors {
        if !tensor.name.kind.is_trained() {
            let factor = factors.iter().find(|(layer, _)| *layer == tensor.name.layer).unwrap().1;
            tensor.values.iter_mut().for_each(|v| *v /= factor);
        }
    }
    tensors
}
