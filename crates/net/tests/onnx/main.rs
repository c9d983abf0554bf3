//! ONNX files: their structure, and that running them as ONNX defines its operations gives what a prediction gives.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod evaluate;
mod reader;

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use deep3m_net::weights::onnx::{OnnxError, encode};
use deep3m_net::{
    DeepEm3d, DeviceChoice, Frames, Inference, Mode, NetConfig, Normalisation, Preparation, WeightsError,
};
use deep3m_volume::Binning;

use reader::Onnx;

fn cpu() -> Device {
    DeviceChoice::Cpu.open().unwrap()
}

fn grey(len: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(747_796_405).wrapping_add(1);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as f32
    };
    (0..len).map(|_| next()).collect()
}

/// A network with statistics that are not those of its beginning.
fn network(frames: Frames, seen: Preparation) -> DeepEm3d {
    network_of(&NetConfig::with_width(frames, 0.05).unwrap(), seen)
}

fn network_of(config: &NetConfig, seen: Preparation) -> DeepEm3d {
    let frames = config.frames();
    let net = config.init(&cpu(), 11);
    for seed in 0..2 {
        let mut x = grey(frames.count() * 64 * 64, seed);
        seen.normalisation.apply(&mut x);
        net.forward(Tensor::from_data(TensorData::new(x, [1, 1, frames.count(), 64, 64]), &cpu()), Mode::Train);
    }
    net
}

fn seen(y: u32, x: u32) -> Preparation {
    Preparation { normalisation: Normalisation::range(20.0, 200.0).unwrap(), binning: Binning { y, x } }
}

#[test]
fn the_graph_gives_what_a_prediction_gives() {
    let raw = Preparation { normalisation: Normalisation::Raw, binning: Binning::NONE };
    let config = |frames| NetConfig::with_width(frames, 0.05).unwrap();
    for (config, seen) in [
        (config(Frames::One), raw),
        (config(Frames::One).transposed(), seen(1, 1)),
        (config(Frames::One), seen(2, 2)),
        (config(Frames::Three), seen(1, 1)),
        (config(Frames::Three), raw),
        (config(Frames::Five), seen(2, 3)),
    ] {
        let frames = config.frames();
        let net = network_of(&config, seen);
        let inference = Inference::new(&net, &cpu()).unwrap();
        let onnx = Onnx::read(&encode(net.config(), &net.collect(), seen, &[]).unwrap());
        // The smallest size, where pooling sees one row, and another.
        for (n, rows, columns) in [(1, 1, 1), (2, 3, 4)] {
            let [h, w] = [rows * seen.multiple()[0], columns * seen.multiple()[1]];
            let x = grey(n * frames.count() * h * w, 5);
            let expected = seen.foreground(&inference, &x, n, h, w).unwrap();
            let input = Tensor::from_data(TensorData::new(x, [n, frames.count(), h, w]), &cpu());
            let found = evaluate::evaluate(&onnx, input, &cpu());
            assert_eq!(found.dims(), [n, 1, h, w]);
            let found: Vec<f32> = found.try_into_vec_as().unwrap();
            let difference = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(difference < 1e-5, "{frames} {seen:?} {h} × {w}: {difference}");
            let spread = expected.iter().fold((1.0_f32, 0.0_f32), |(a, b), &p| (a.min(p), b.max(p)));
            assert!(spread.1 - spread.0 > 0.01, "{frames}: an output that varies, found {spread:?}");
        }
    }
}

#[test]
fn the_structure_is_as_it_was() {
    let net = NetConfig::with_width(Frames::Three, 0.02).unwrap().init(&cpu(), 1);
    let metadata = [("frames".to_owned(), "3".to_owned())];
    let bytes = encode(net.config(), &net.collect(), seen(2, 2), &metadata).unwrap();
    assert_eq!(bytes, encode(net.config(), &net.collect(), seen(2, 2), &metadata).unwrap());
    let onnx = Onnx::read(&bytes);
    assert_eq!(onnx.opset, 17);
    assert_eq!(onnx.metadata, BTreeMap::from(metadata));
    insta::assert_snapshot!("three_sections_in_bins", onnx.list());
}

#[test]
fn normalisation_is_folded_into_the_weights() {
    let net = network(Frames::Three, seen(1, 1));
    let tensors = net.collect();
    let onnx = Onnx::read(&encode(net.config(), &tensors, seen(1, 1), &[]).unwrap());
    let values = |name: &str| {
        let tensor = tensors.iter().find(|t| t.name.to_string() == name).unwrap();
        tensor.values.iter().map(|&v| f64::from(v)).collect::<Vec<_>>()
    };
    // What a constant input becomes, channel by channel: gamma · (w + b − mean) / √(variance + ε) + beta.
    let factor = values("bn_conv2_1x1/factor")[0];
    let [gamma, beta] = ["gamma", "beta"].map(|kind| values(&format!("scale_conv2_1x1/{kind}")));
    let [mean, variance] = ["mean_sum", "variance_sum"].map(|kind| values(&format!("bn_conv2_1x1/{kind}")));
    let (weight, bias) = (values("conv2_1x1/weight"), values("conv2_1x1/bias"));
    let (folded, folded_bias) = (onnx.constant("conv2_1x1/weight"), onnx.constant("conv2_1x1/bias").floats());
    let inputs = folded.shape[1];
    for channel in 0..folded.shape[0] {
        let scale = gamma[channel] / (variance[channel] / factor + 1e-5).sqrt();
        for input in 0..inputs {
            let expected = weight[channel * inputs + input] * scale;
            assert!((f64::from(folded.floats()[channel * inputs + input]) - expected).abs() <= 1e-6 * expected.abs());
        }
        let expected = (bias[channel] - mean[channel] / factor) * scale + beta[channel];
        assert!((f64::from(folded_bias[channel]) - expected).abs() < 1e-5);
    }
    assert!(onnx.nodes.iter().all(|node| node.kind != "BatchNormalization"));
}

#[test]
fn tensors_of_another_network_are_refused() {
    let net = NetConfig::with_width(Frames::One, 0.02).unwrap().init(&cpu(), 1);
    let mut tensors = net.collect();
    tensors.pop();
    let error = encode(net.config(), &tensors, seen(1, 1), &[]).unwrap_err();
    assert!(matches!(error, OnnxError::Weights(WeightsError::Mismatch(_))), "{error}");
}
