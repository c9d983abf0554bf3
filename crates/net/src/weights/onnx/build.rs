//! The network's steps as operations of ONNX: a walk along the one list of layers.

use std::collections::BTreeMap;

use super::proto::{GraphProto, Node};
use super::{GREY, PROBABILITY};
use crate::config::NetConfig;
use crate::fold::{FoldedLayer, Planar, fold_layer};
use crate::graph::{CLASSES, Conv, GRAPH, Head, Op, RESIDUAL_SHARE, same_padding};
use crate::normalise::Normalisation;
use crate::params::{NamedTensor, ParamName};
use crate::preparation::Preparation;

/// The graph from grey values to the probability of foreground.
pub(super) fn build(
    config: &NetConfig,
    tensors: &BTreeMap<&ParamName, &NamedTensor>,
    preparation: Preparation,
) -> GraphProto {
    let mut graph = GraphProto::default();
    let mut blobs = vec![prepare(&mut graph, preparation)];
    graph.floats("residual_share", &[], &[RESIDUAL_SHARE as f32]);
    for (index, node) in GRAPH.nodes.iter().enumerate() {
        let name = node.name;
        let inputs: Vec<&str> = node.inputs.iter().map(|&blob| blobs[blob].as_str()).collect();
        match &node.op {
            Op::Conv(conv) => {
                let layer = fold_layer(config, tensors, index);
                let layer = if index == 0 { layer.over_all_frames(config.frames()) } else { layer };
                convolution(&mut graph, name, conv, &layer, inputs[0]);
            }
            Op::Head(head) => up(&mut graph, name, head, &fold_layer(config, tensors, index), inputs[0]),
            Op::Pool => {
                // Caffe cuts the last window where the image ends. Sizes are even, so that is one row and column of
                // padding, which never is the largest.
                let pool = Node::new("MaxPool", name, &inputs, name).integers("kernel_shape", &[3, 3]);
                graph.node(&pool.integers("strides", &[2, 2]).integers("pads", &[0, 0, 1, 1]));
            }
            Op::Concat => graph.node(&Node::new("Concat", name, &inputs, name).integer("axis", 1)),
            Op::Residual => {
                let (share, sum) = (format!("{name}/share"), format!("{name}/sum"));
                graph.node(&Node::new("Mul", &share, &[inputs[1], "residual_share"], &share));
                graph.node(&Node::new("Add", &sum, &[inputs[0], &share], &sum));
                graph.node(&Node::new("Relu", name, &[&sum], name));
            }
            Op::Sum => graph.node(&Node::new("Sum", name, &inputs, name)),
        }
        blobs.push(name.to_owned());
    }
    let logits = blobs.pop().unwrap_or_default();
    answer(&mut graph, preparation, &logits);
    graph
}

/// Grey values to the network's input; its name.
fn prepare(graph: &mut GraphProto, Preparation { normalisation, binning }: Preparation) -> String {
    let mut blob = GREY.to_owned();
    if !binning.is_none() {
        let bins = [binning.y as usize, binning.x as usize];
        let mean = Node::new("AveragePool", "binned", &[&blob], "binned").integers("kernel_shape", &bins);
        graph.node(&mean.integers("strides", &bins));
        "binned".clone_into(&mut blob);
    }
    if let Normalisation::Range { low, high } = normalisation {
        // As Normalisation::apply has it, operation by operation.
        let numbers = [
            ("range_low", low),
            ("range_scale", 2.0 / (high - low)),
            ("one", 1.0),
            ("least", -Normalisation::CUT),
            ("most", Normalisation::CUT),
        ];
        for (name, value) in numbers {
            graph.floats(name, &[], &[value]);
        }
        for (kind, name, number) in
            [("Sub", "above_low", "range_low"), ("Mul", "scaled", "range_scale"), ("Sub", "centred", "one")]
        {
            graph.node(&Node::new(kind, name, &[&blob, number], name));
            name.clone_into(&mut blob);
        }
        graph.node(&Node::new("Clip", "normalised", &[&blob, "least", "most"], "normalised"));
        "normalised".clone_into(&mut blob);
    }
    blob
}

/// Logits to the probability of foreground on the image's own pixels.
fn answer(graph: &mut GraphProto, Preparation { binning, .. }: Preparation, logits: &str) {
    graph.node(&Node::new("Softmax", "probabilities", &[logits], "probabilities").integer("axis", 1));
    let last = CLASSES as i64;
    for (name, value) in [("first", last - 1), ("end", last), ("channels", 1)] {
        graph.integers(name, &[value]);
    }
    let foreground = if binning.is_none() { PROBABILITY } else { "foreground/binned" };
    graph.node(&Node::new("Slice", foreground, &["probabilities", "first", "end", "channels"], foreground));
    if !binning.is_none() {
        graph.floats("bins", &[4], &[1.0, 1.0, binning.y as f32, binning.x as f32]);
        let resize = Node::new("Resize", PROBABILITY, &[foreground, "", "bins"], PROBABILITY).text("mode", "linear");
        graph.node(&resize.text("coordinate_transformation_mode", "half_pixel"));
    }
}

fn convolution(graph: &mut GraphProto, name: &str, conv: &Conv, layer: &FoldedLayer, input: &str) {
    // The weights' kernel, not the table's: a transposed network's are turned.
    let [_, _, height, width] = layer.weights[0].shape;
    let [rows, columns] = same_padding([height, width]);
    let weight = constant(graph, name, &layer.weights[0]);
    let bias = bias(graph, name, layer);
    let output = if conv.relu { format!("{name}/linear") } else { name.to_owned() };
    let node = Node::new("Conv", &output, &[input, &weight, &bias], &output).integers("kernel_shape", &[height, width]);
    let node = node.integers("strides", &[conv.stride; 2]).integers("pads", &[rows, columns, rows, columns]);
    graph.node(&node);
    if conv.relu {
        graph.node(&Node::new("Relu", name, &[&output], name));
    }
}

fn up(graph: &mut GraphProto, name: &str, head: &Head, layer: &FoldedLayer, input: &str) {
    let bias = bias(graph, name, layer);
    let mut parts = Vec::new();
    for (tap, weight) in head.taps.iter().zip(&layer.weights) {
        let part = format!("{name}/{}", tap.layer);
        let weight = constant(graph, tap.layer, weight);
        let mut inputs = vec![input, &weight];
        if parts.is_empty() {
            inputs.push(&bias);
        }
        let node = Node::new("ConvTranspose", &part, &inputs, &part).integers("kernel_shape", &[head.kernel(); 2]);
        let node = node.integers("strides", &[head.stride; 2]).integers("dilations", &[tap.dilation; 2]);
        graph.node(&node.integers("pads", &[head.padding(tap); 4]));
        parts.push(part);
    }
    let mut sum = parts.remove(0);
    if !parts.is_empty() {
        let all: Vec<&str> = std::iter::once(&sum).chain(&parts).map(String::as_str).collect();
        let total = format!("{name}/sum");
        graph.node(&Node::new("Sum", &total, &all, &total));
        sum = total;
    }
    graph.node(&Node::new("Relu", name, &[&sum], name));
}

fn constant(graph: &mut GraphProto, layer: &str, weight: &Planar) -> String {
    let name = format!("{layer}/weight");
    graph.floats(&name, &weight.shape, &weight.values);
    name
}

fn bias(graph: &mut GraphProto, layer: &str, folded: &FoldedLayer) -> String {
    let name = format!("{layer}/bias");
    graph.floats(&name, &[folded.bias.len()], &folded.bias);
    name
}
