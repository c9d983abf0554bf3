//! The network ready to predict: batch normalisation folded into the convolutions, no automatic differentiation.

use std::collections::BTreeMap;
use std::sync::Arc;

use burn::tensor::activation::relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Tensor, TensorData};
use deep3m_engine::{Engine, Memory};
use rayon::prelude::*;

use crate::config::NetConfig;
use crate::deepem3d::{DeepEm3d, NetError, is_size};
use crate::engine::{layers, memory};
use crate::frames::Frames;
use crate::graph::{GRAPH, Layers, Op, planes_to_channels, same_padding, windows_to_batch};
use crate::norm::EPSILON;
use crate::params::{NamedTensor, ParamKind, ParamName};
use crate::weights::{WeightsError, check};

/// A network ready to predict on a device.
///
/// ```
/// # use deep3m_net::{DeviceChoice, Frames, Inference, NetConfig};
/// let device = DeviceChoice::Cpu.open()?;
/// let net = NetConfig::with_width(Frames::One, 0.05)?.init(&device, 1);
/// let inference = Inference::new(&net, &device)?;
/// let probability = inference.foreground(&vec![0.5; 32 * 48], 1, 32, 48)?;
/// assert_eq!(probability.len(), 32 * 48);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Inference {
    config: NetConfig,
    device: Device,
    weights: Weights,
}

/// The folded layers, where they run.
#[derive(Clone, Debug)]
enum Weights {
    /// On the CPU.
    Engine(Arc<Engine>, Arc<Memory>),
    /// On another device: for each step of the network its folded convolution, where it has one.
    Device(Vec<Option<Folded>>),
}

/// A convolution, or a head's transposed ones, after normalisation.
#[derive(Clone, Debug)]
struct Folded {
    weights: Vec<Tensor<4>>,
    bias: Tensor<1>,
}

impl Inference {
    /// A network ready to predict on `device`, from one in training.
    pub fn new(net: &DeepEm3d, device: &Device) -> Result<Self, WeightsError> {
        Self::from_tensors(net.config().clone(), &net.collect(), device)
    }

    /// A network ready to predict on `device`, from its tensors, which must be exactly those of
    /// [`NetConfig::parameters`], in any order.
    pub fn from_tensors(config: NetConfig, tensors: &[NamedTensor], device: &Device) -> Result<Self, WeightsError> {
        let found = check(&config, tensors)?;
        let device = device.clone().without_autodiff();
        let folded = |index| fold_layer(&config, &found, index);
        let weights = if device == Device::flex() {
            let engine = Engine::new(config.frames().count(), layers(&config, folded))
                .unwrap_or_else(|error| unreachable!("layers of checked tensors: {error}"));
            Weights::Engine(Arc::new(engine), memory())
        } else {
            let mut units: Vec<Option<Folded>> = GRAPH.nodes.iter().map(|_| None).collect();
            for (index, _) in GRAPH.layers() {
                units[index] = Some(folded(index).upload(&device));
            }
            Weights::Device(units)
        };
        Ok(Self { config, device, weights })
    }

    /// What the network looks like.
    pub const fn config(&self) -> &NetConfig {
        &self.config
    }

    /// Where it runs.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// The probability of foreground, `n` × `height` × `width`, of `n` inputs of the configured number of frames:
    /// `input` is `n` × frames × `height` × `width` grey values, already normalised as in training, row-major.
    ///
    /// Nothing is padded: height and width must be multiples of [`NetConfig::MULTIPLE`]. On the CPU the result is the
    /// same, bit for bit, whatever the number of threads and whichever inputs share a batch.
    pub fn foreground(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        let mut answer = self.log_odds(input, n, height, width)?;
        // Softmax over two classes is the sigmoid of their difference.
        answer.par_iter_mut().for_each(|value| *value = 1.0 / (1.0 + (-*value).exp()));
        Ok(answer)
    }

    /// As [`Self::foreground`], before the last step: ln(p / (1 − p)).
    pub fn log_odds(&self, input: &[f32], n: usize, height: usize, width: usize) -> Result<Vec<f32>, NetError> {
        if !is_size(height) || !is_size(width) {
            return Err(NetError::Size { height, width });
        }
        let frames = self.config.frames().count();
        let expected = [n, frames, height, width].iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
        if expected != Some(input.len()) {
            return Err(NetError::Values { found: input.len(), expected: expected.unwrap_or(usize::MAX) });
        }
        if n == 0 {
            return Ok(Vec::new());
        }
        let failed = |message| NetError::Device { device: format!("{:?}", self.device), message };
        match &self.weights {
            Weights::Engine(engine, memory) => {
                let area = height * width;
                let mut answer = vec![0.0; n * area];
                for (input, answer) in input.chunks_exact(frames * area).zip(answer.chunks_exact_mut(area)) {
                    let logits = engine.forward(memory, input, height, width).map_err(|e| failed(e.to_string()))?;
                    let (background, foreground) = logits.split_at(area);
                    let differences = foreground.iter().zip(background).map(|(f, b)| f - b);
                    answer.iter_mut().zip(differences).for_each(|(answer, difference)| *answer = difference);
                }
                Ok(answer)
            }
            Weights::Device(units) => {
                let data = TensorData::new(input.to_vec(), [n, frames, height, width]);
                let layers = Units { frames: self.config.frames(), units };
                let logits = GRAPH.run(&layers, Tensor::from_data(data, &self.device), |_, _| {});
                let difference = logits.clone().narrow(1, 1, 1) - logits.narrow(1, 0, 1);
                difference.try_into_vec_as::<f32>().map_err(|error| failed(error.to_string()))
            }
        }
    }
}

/// The folded layers as the tensor library's operations.
struct Units<'a> {
    frames: Frames,
    units: &'a [Option<Folded>],
}

impl Layers for Units<'_> {
    fn apply(&self, index: usize, input: Tensor<4>) -> Tensor<4> {
        let Some(unit) = &self.units[index] else { unreachable!("step {index} has no weights") };
        match &GRAPH.nodes[index].op {
            Op::Conv(conv) => {
                let input = match index {
                    0 => windows_to_batch(self.frames, input),
                    1 => planes_to_channels(self.frames, input),
                    _ => input,
                };
                let [_, _, rows, columns] = unit.weights[0].dims();
                let options = ConvOptions::new([conv.stride; 2], same_padding([rows, columns]), [1, 1], 1);
                let blob = conv2d(input, unit.weights[0].clone(), Some(unit.bias.clone()), options);
                if conv.relu { relu(blob) } else { blob }
            }
            Op::Head(head) => {
                let mut bias = Some(unit.bias.clone());
                let taps = unit.weights.iter().zip(&head.taps).map(|(weight, tap)| {
                    let padding = [head.padding(tap); 2];
                    let options = ConvTransposeOptions::new([head.stride; 2], padding, [0, 0], [tap.dilation; 2], 1);
                    conv_transpose2d(input.clone(), weight.clone(), bias.take(), options)
                });
                relu(taps.reduce(Tensor::add).unwrap_or_else(|| unreachable!("a head has transposed convolutions")))
            }
            _ => unreachable!("{} has weights", GRAPH.nodes[index].name),
        }
    }
}

/// The folded convolution, or a head's transposed ones, on the host.
pub(crate) struct FoldedLayer {
    /// One for a convolution, one per tap of a head.
    pub weights: Vec<Planar>,
    /// One number per output channel.
    pub bias: Vec<f32>,
}

/// Weights of a convolution in the plane, row-major: [out, in, rows, columns], or [in, out, rows, columns] of a
/// transposed one. Frames, where there are any, are input channels, each frame's channels together.
pub(crate) struct Planar {
    /// Its shape.
    pub shape: [usize; 4],
    /// Its values.
    pub values: Vec<f32>,
}

impl FoldedLayer {
    fn upload(self, device: &Device) -> Folded {
        let weights = self.weights.into_iter();
        let weights = weights.map(|w| Tensor::from_data(TensorData::new(w.values, w.shape), device)).collect();
        let channels = self.bias.len();
        Folded { weights, bias: Tensor::from_data(TensorData::new(self.bias, [channels]), device) }
    }

    /// The first layer, which goes over the frames in steps of two and makes several planes, as one convolution from all
    /// frames to the channels of all planes, one plane's after another's: weights of frames that a plane does not see are
    /// 0. That is the order in which the second layer's weights take them. Weights that are left empty stay so.
    pub(crate) fn over_all_frames(self, frames: Frames) -> Self {
        let windows = frames.first_windows();
        let wide = self.weights.into_iter().map(|Planar { shape: [out, depth, rows, columns], values }| {
            let area = rows * columns;
            let shape = [windows.len() * out, frames.count(), rows, columns];
            if values.is_empty() {
                return Planar { shape, values };
            }
            let mut wide = vec![0.0; shape.iter().product()];
            let filters = wide.chunks_exact_mut(frames.count() * area);
            let planes = windows.iter().flat_map(|window| values.chunks_exact(depth * area).map(move |f| (window, f)));
            for (filter, (window, source)) in filters.zip(planes) {
                for (frame, kernel) in window.iter().zip(source.chunks_exact(area)) {
                    if let Some(frame) = frame {
                        filter[frame * area..][..area].copy_from_slice(kernel);
                    }
                }
            }
            Planar { shape, values: wide }
        });
        Self { weights: wide.collect(), bias: self.bias.repeat(windows.len()) }
    }
}

/// Folds step `index` of a network, given its tensors after their [`check`].
pub(crate) fn fold_layer(config: &NetConfig, found: &BTreeMap<&ParamName, &NamedTensor>, index: usize) -> FoldedLayer {
    let specs = config.layer_parameters(index);
    let tensors: Vec<&NamedTensor> = specs.iter().filter_map(|spec| found.get(&spec.name).copied()).collect();
    fold(&tensors)
}

/// gamma · (w·x + b − mean) / √(variance + ε) + beta as one convolution: weights times s = gamma / √(variance + ε), and
/// bias s · (b − mean) + beta. In 64 bits, so that only the final rounding is lost.
fn fold(tensors: &[&NamedTensor]) -> FoldedLayer {
    let values = |kind: ParamKind| tensors.iter().filter(move |t| t.name.kind == kind).map(|t| t.values.as_slice());
    let one = |kind: ParamKind| values(kind).next().unwrap_or_default();
    let factor = f64::from(one(ParamKind::Factor).first().copied().unwrap_or(0.0));
    let share = if factor == 0.0 { 0.0 } else { 1.0 / factor };
    let deviations = one(ParamKind::VarianceSum).iter().map(|&sum| (f64::from(sum) * share + EPSILON).sqrt());
    let scales: Vec<f64> =
        one(ParamKind::Gamma).iter().zip(deviations).map(|(&gamma, d)| f64::from(gamma) / d).collect();
    let mut bias: Vec<f64> = one(ParamKind::MeanSum).iter().map(|&sum| -f64::from(sum) * share).collect();
    for biases in values(ParamKind::ConvBias).chain(values(ParamKind::DeconvBias)) {
        bias.iter_mut().zip(biases).for_each(|(sum, &b)| *sum += f64::from(b));
    }
    let shifts = one(ParamKind::Beta).iter();
    let bias: Vec<f32> =
        bias.iter().zip(&scales).zip(shifts).map(|((b, s), &beta)| (b * s + f64::from(beta)) as f32).collect();
    let weights = tensors.iter().filter(|t| t.shape.len() > 1).map(|tensor| {
        let scaled: Vec<f32> = match (tensor.name.kind, &*tensor.shape) {
            (ParamKind::DeconvWeight, [_, out, rows, columns]) => {
                let area = rows * columns;
                tensor.values.iter().enumerate().map(|(i, &w)| (f64::from(w) * scales[i / area % out]) as f32).collect()
            }
            (_, shape) => {
                let per_output = shape[1..].iter().product::<usize>();
                tensor.values.iter().enumerate().map(|(i, &w)| (f64::from(w) * scales[i / per_output]) as f32).collect()
            }
        };
        planar(scaled, &tensor.shape)
    });
    FoldedLayer { weights: weights.collect(), bias }
}

/// Weights for a convolution in the plane: frames, where there are any, become input channels.
fn planar(values: Vec<f32>, shape: &[usize]) -> Planar {
    match *shape {
        [out, input, rows, columns, depth] => {
            let area = rows * columns;
            let mut turned = Vec::with_capacity(values.len());
            for filter in values.chunks_exact(input * area * depth) {
                for z in 0..depth {
                    turned.extend(filter.iter().skip(z).step_by(depth));
                }
            }
            Planar { shape: [out, depth * input, rows, columns], values: turned }
        }
        [a, b, rows, columns] => Planar { shape: [a, b, rows, columns], values },
        _ => unreachable!("weights of a convolution have 4 or 5 axes"),
    }
}
