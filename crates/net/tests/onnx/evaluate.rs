//! Runs the operations that our ONNX files have, with the tensor library's own, as ONNX defines them.

use std::collections::HashMap;

use burn::tensor::activation::{relu, softmax};
use burn::tensor::module::{avg_pool2d, conv_transpose2d, conv2d, interpolate, max_pool2d};
use burn::tensor::ops::{
    AvgPoolOptions, ConvOptions, ConvTransposeOptions, InterpolateMode, InterpolateOptions, MaxPoolOptions,
};
use burn::tensor::{Device, Tensor, TensorData};

use super::reader::{Node, Onnx};

/// The output for an input [N, frames, H, W].
pub(crate) fn evaluate(onnx: &Onnx, input: Tensor<4>, device: &Device) -> Tensor<4> {
    let mut values = HashMap::from([(onnx.ends[0].0.clone(), input)]);
    for node in &onnx.nodes {
        let output = operation(onnx, node, &values, device);
        assert!(values.insert(node.output.clone(), output).is_none(), "{} is made twice", node.output);
    }
    values.remove(&onnx.ends[1].0).unwrap()
}

fn operation(onnx: &Onnx, node: &Node, values: &HashMap<String, Tensor<4>>, device: &Device) -> Tensor<4> {
    let input = |place: usize| values[&node.inputs[place]].clone();
    let number = |place: usize| onnx.constant(&node.inputs[place]).floats()[0];
    let pair = |name: &str| {
        let found = node.integers.get(name).map_or(vec![1, 1], Clone::clone);
        [found[0] as usize, found[1] as usize]
    };
    // top, left, bottom, right
    let pads: Vec<usize> =
        node.integers.get("pads").map_or(vec![0; 4], |pads| pads.iter().map(|&pad| pad as usize).collect());
    let weight = || {
        let constant = onnx.constant(&node.inputs[1]);
        let shape: [usize; 4] = constant.shape.clone().try_into().unwrap();
        Tensor::<4>::from_data(TensorData::new(constant.floats(), shape), device)
    };
    let bias = || {
        let constant = onnx.constant(node.inputs.get(2)?);
        Some(Tensor::<1>::from_data(TensorData::new(constant.floats(), [constant.shape[0]]), device))
    };
    match node.kind.as_str() {
        "Sub" => input(0).sub_scalar(number(1)),
        "Mul" => input(0).mul_scalar(number(1)),
        "Clip" => input(0).clamp(number(1), number(2)),
        "Add" => input(0) + input(1),
        "Relu" => relu(input(0)),
        "Sum" => (1..node.inputs.len()).fold(input(0), |sum, place| sum + input(place)),
        "Concat" => {
            assert_eq!(node.integers["axis"], [1]);
            Tensor::cat((0..node.inputs.len()).map(input).collect(), 1)
        }
        "AveragePool" => {
            assert_eq!(pads, [0; 4]);
            avg_pool2d(input(0), AvgPoolOptions::new(pair("kernel_shape")).with_stride(pair("strides")))
        }
        "MaxPool" => {
            let mut options = MaxPoolOptions::new(pair("kernel_shape")).with_stride(pair("strides"));
            options.padding = [(pads[0], pads[2]), (pads[1], pads[3])];
            max_pool2d(input(0), options)
        }
        "Conv" => {
            assert_eq!(pads[..2], pads[2..]);
            let options = ConvOptions::new(pair("strides"), [pads[0], pads[1]], pair("dilations"), 1);
            conv2d(input(0), weight(), bias(), options)
        }
        "ConvTranspose" => {
            assert_eq!(pads[..2], pads[2..]);
            let options = ConvTransposeOptions::new(pair("strides"), [pads[0], pads[1]], [0, 0], pair("dilations"), 1);
            conv_transpose2d(input(0), weight(), bias(), options)
        }
        "Softmax" => softmax(input(0), node.integers["axis"][0] as usize),
        "Slice" => {
            let [first, end, axis] = [1, 2, 3].map(|place| onnx.constant(&node.inputs[place]).integers()[0] as usize);
            input(0).narrow(axis, first, end - first)
        }
        "Resize" => {
            assert_eq!((node.texts["mode"].as_str(), node.inputs[1].as_str()), ("linear", ""));
            assert_eq!(node.texts["coordinate_transformation_mode"], "half_pixel");
            let scales = onnx.constant(&node.inputs[2]).floats();
            let [_, _, h, w] = input(0).dims();
            let size = [h * scales[2] as usize, w * scales[3] as usize];
            let options =
                InterpolateOptions::new(InterpolateMode::Bilinear).with_align_corners(false).with_output_size(size);
            interpolate(input(0), options)
        }
        other => panic!("{}: no operation {other}", node.name),
    }
}
