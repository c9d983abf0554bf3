//! The layers as operations of the tensor library, with their gradients.

use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::NoCheckpointing;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::flex::FlexTensor;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Float, Tensor, TensorData};

use super::conv::{self, ConvShape};
use super::head::{self, HeadShape};
use super::normal;
use crate::graph::{CLASSES, Conv, Head, same_padding};

/// A layer's output and the statistics that it was normalised with.
pub(crate) struct Normalised {
    /// [N, channels, H, W].
    pub output: Tensor<4>,
    /// The batch's mean, `[channels]`, outside automatic differentiation.
    pub mean: Tensor<1>,
    /// The batch's biased variance, `[channels]`, outside automatic differentiation.
    pub variance: Tensor<1>,
}

/// Convolution (without bias), batch normalisation with the batch's statistics, and ReLU where the layer has one.
/// `None` on a device that is not the CPU.
pub(crate) fn conv_norm(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    [gamma, beta]: [&Tensor<1>; 2],
    conv: &Conv,
) -> Option<Normalised> {
    let [_, from, h, w] = x.dims();
    let shape = Shape::Conv(conv_shape(conv, from, weight, [h, w]), conv.relu);
    layer(shape, x, std::slice::from_ref(weight), gamma, beta)
}

/// The sum of a head's transposed convolutions (without bias), batch normalisation with the batch's statistics, and ReLU.
/// `None` on a device that is not the CPU.
pub(crate) fn head_norm(
    x: &Tensor<4>,
    weights: &[Tensor<4>],
    [gamma, beta]: [&Tensor<1>; 2],
    head: &Head,
) -> Option<Normalised> {
    let [_, channels, h, w] = x.dims();
    layer(Shape::Head(head_shape(head, channels, [h, w])), x, weights, gamma, beta)
}

fn conv_shape(conv: &Conv, from: usize, weight: &Tensor<4>, size: [usize; 2]) -> ConvShape {
    let [to, _, rows, columns] = weight.dims();
    let kernel = [rows, columns];
    ConvShape { channels: [from, to], kernel, stride: conv.stride, padding: same_padding(kernel), size }
}

fn head_shape(head: &Head, channels: usize, size: [usize; 2]) -> HeadShape {
    let taps = head.taps.iter().map(|tap| (tap.dilation, head.padding(tap))).collect();
    HeadShape { channels, stride: head.stride, taps, size }
}

/// One of the two kinds of layers, with its sizes.
#[derive(Clone, Debug)]
enum Shape {
    /// A convolution, and whether a ReLU follows.
    Conv(ConvShape, bool),
    Head(HeadShape),
}

impl Shape {
    /// Before normalisation.
    fn forward(&self, x: &[f32], weights: &[&[f32]]) -> Vec<f32> {
        match self {
            Self::Conv(shape, _) => conv::forward(x, weights[0], shape),
            Self::Head(shape) => head::forward(x, weights, shape),
        }
    }

    fn backward(&self, x: &[f32], weights: &[&[f32]], dy: &[f32], wanted: bool) -> (Option<Vec<f32>>, Vec<Vec<f32>>) {
        match self {
            Self::Conv(shape, _) => {
                let (dx, dw) = conv::backward(x, weights[0], dy, shape, wanted);
                (dx, vec![dw])
            }
            Self::Head(shape) => {
                let (dx, dw) = head::backward(x, weights, dy, shape);
                (Some(dx), dw)
            }
        }
    }

    /// Channels, and values of each before normalisation for one input.
    fn planes(&self) -> (usize, usize) {
        match self {
            Self::Conv(shape, _) => (shape.channels[1], shape.output_area()),
            Self::Head(shape) => (CLASSES, shape.output() / CLASSES),
        }
    }

    const fn rectify(&self) -> bool {
        matches!(self, Self::Conv(_, true) | Self::Head(_))
    }

    /// Rows and columns of the output.
    fn size(&self) -> [usize; 2] {
        match self {
            Self::Conv(shape, _) => shape.output(),
            Self::Head(shape) => shape.size.map(|size| size * shape.stride),
        }
    }
}

/// What the backward pass needs.
#[derive(Debug)]
struct Saved {
    shape: Shape,
    x: FlexTensor,
    weights: Vec<FlexTensor>,
    /// Before normalisation.
    y: Vec<f32>,
    line: Vec<(f32, f32)>,
    mean: Vec<f32>,
    variance: Vec<f32>,
    /// Whether the input has a gradient.
    wanted: bool,
}

impl Saved {
    /// Runs a layer; also its output, [N, channels, H, W].
    fn run(
        shape: Shape,
        x: &FlexTensor,
        weights: &[FlexTensor],
        [gamma, beta]: [&FlexTensor; 2],
        wanted: bool,
    ) -> (Self, FlexTensor) {
        let x = x.to_contiguous();
        let weights: Vec<FlexTensor> = weights.iter().map(FlexTensor::to_contiguous).collect();
        let [gamma, beta] = [gamma.to_contiguous(), beta.to_contiguous()];
        let y = shape.forward(values(&x), &weights.iter().map(values).collect::<Vec<_>>());
        let (channels, area) = shape.planes();
        let (mean, variance) = normal::statistics(&y, channels, area);
        let line = normal::line(values(&gamma), values(&beta), &mean, &variance);
        let output = normal::apply(&y, &line, area, shape.rectify());
        let output = match &shape {
            Shape::Conv(..) => output,
            Shape::Head(head) => head::to_pixels(&output, head),
        };
        let [rows, columns] = shape.size();
        let output = flex(output, vec![y.len() / (channels * area), channels, rows, columns]);
        (Self { shape, x, weights, y, line, mean, variance, wanted }, output)
    }

    fn normalised(&self, output: Tensor<4>) -> Normalised {
        let channel = |values: &[f32]| tensor(values.to_vec(), [values.len()]);
        Normalised { output, mean: channel(&self.mean), variance: channel(&self.variance) }
    }
}

fn layer(
    shape: Shape,
    x: &Tensor<4>,
    weights: &[Tensor<4>],
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
) -> Option<Normalised> {
    if !gamma.is_autodiff() {
        let weights = weights.iter().map(plain).collect::<Option<Vec<_>>>()?;
        let (saved, output) = Saved::run(shape, &plain(x)?, &weights, [&plain(gamma)?, &plain(beta)?], false);
        return Some(saved.normalised(Tensor::from_primitive::<Flex>(output)));
    }
    // The library's list of inputs has a fixed length.
    match weights {
        [a] => tracked(shape, x, [a], gamma, beta),
        [a, b, c, d, e] => tracked(shape, x, [a, b, c, d, e], gamma, beta),
        _ => None,
    }
}

fn tracked<const W: usize>(
    shape: Shape,
    x: &Tensor<4>,
    weights: [&Tensor<4>; W],
    gamma: &Tensor<1>,
    beta: &Tensor<1>,
) -> Option<Normalised>
where
    Layer: Inputs<W>,
{
    Layer::register(shape, x, weights, gamma, beta)
}

/// The backward pass of a layer.
#[derive(Debug)]
struct Layer;

/// A layer of `W` weights; its inputs are x, gamma, beta and the weights.
trait Inputs<const W: usize> {
    fn register(
        shape: Shape,
        x: &Tensor<4>,
        weights: [&Tensor<4>; W],
        gamma: &Tensor<1>,
        beta: &Tensor<1>,
    ) -> Option<Normalised>;
}

macro_rules! inputs {
    ($weights:literal, $all:literal) => {
        impl Backward<Flex, $all> for Layer {
            type State = Arc<Saved>;

            fn backward(self, ops: Ops<Self::State, $all>, gradients: &mut Gradients, _: &mut Checkpointer) {
                let saved = ops.state;
                let gradient = gradients.consume::<Flex>(&ops.node);
                for (parent, gradient) in ops.parents.iter().zip(saved.gradients(&gradient)) {
                    if let (Some(parent), Some(gradient)) = (parent, gradient) {
                        gradients.register::<Flex>(parent.id, gradient);
                    }
                }
            }
        }

        impl Inputs<$weights> for Layer {
            fn register(
                shape: Shape,
                x: &Tensor<4>,
                weights: [&Tensor<4>; $weights],
                gamma: &Tensor<1>,
                beta: &Tensor<1>,
            ) -> Option<Normalised> {
                let x = x.clone().autodiff().try_into_primitive::<Autodiff<Flex>>().ok()?;
                let gamma = gamma.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
                let beta = beta.clone().try_into_primitive::<Autodiff<Flex>>().ok()?;
                let weights = weights.iter().map(|&weight| weight.clone().try_into_primitive::<Autodiff<Flex>>().ok());
                let weights = weights.collect::<Option<Vec<_>>>()?;
                let plain: Vec<FlexTensor> = weights.iter().map(|weight| weight.primitive().clone()).collect();
                let statistics = [gamma.primitive(), beta.primitive()];
                let (saved, output) = Saved::run(shape, x.primitive(), &plain, statistics, x.is_tracked());
                let mut all = vec![x.node(), gamma.node(), beta.node()];
                all.extend(weights.iter().map(|weight| weight.node()));
                let nodes: [_; $all] = all.try_into().ok()?;
                let saved = Arc::new(saved);
                let output = match Layer.prepare::<NoCheckpointing>(nodes).compute_bound().stateful() {
                    OpsKind::Tracked(prep) => prep.finish(saved.clone(), output),
                    OpsKind::UnTracked(prep) => prep.finish(output),
                };
                Some(saved.normalised(Tensor::from_primitive::<Autodiff<Flex>>(output)))
            }
        }
    };
}

inputs!(1, 4);
inputs!(5, 8);

impl Saved {
    /// The gradients of x, gamma, beta and the weights.
    fn gradients(&self, gradient: &FlexTensor) -> Vec<Option<FlexTensor>> {
        let gradient = gradient.to_contiguous();
        let (channels, area) = self.shape.planes();
        let phases;
        let of_output = match &self.shape {
            Shape::Conv(..) => values(&gradient),
            Shape::Head(head) => {
                phases = head::to_phases(values(&gradient), head);
                &phases
            }
        };
        let statistics = (&*self.mean, &*self.variance);
        let normal = normal::backward(of_output, &self.y, &self.line, statistics, area, self.shape.rectify());
        let weights: Vec<&[f32]> = self.weights.iter().map(values).collect();
        let (dx, dw) = self.shape.backward(values(&self.x), &weights, &normal.y, self.wanted);
        let dims = |tensor: &FlexTensor| tensor.layout().shape().to_vec();
        let mut all = vec![
            dx.map(|dx| flex(dx, dims(&self.x))),
            Some(flex(normal.gamma, vec![channels])),
            Some(flex(normal.beta, vec![channels])),
        ];
        all.extend(dw.into_iter().zip(&self.weights).map(|(dw, weight)| Some(flex(dw, dims(weight)))));
        all
    }
}

/// A tensor on the CPU, its values in order.
fn plain<const D: usize>(tensor: &Tensor<D>) -> Option<FlexTensor> {
    let primitive = tensor.clone().try_into_primitive::<Flex>().ok()?;
    Some(primitive.to_contiguous())
}

fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().unwrap_or_else(|| unreachable!("the tensor was made contiguous"))
}

fn flex(values: Vec<f32>, shape: Vec<usize>) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::<D, Float>::from_primitive::<Flex>(flex(values, shape.to_vec()))
}
