//! The network in training: weights as they are learned, batch normalisation apart from the convolutions.

use std::collections::BTreeMap;

use burn::tensor::activation::relu;
use burn::tensor::module::{conv_transpose2d, conv2d};
use burn::tensor::ops::{ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, Gradients, Tensor, TensorData};

use crate::config::NetConfig;
use crate::cpu::{self, Normalised};
use crate::graph::{GRAPH, Layers, Op, planes_to_channels, same_padding, windows_to_batch};
use crate::norm::{BatchNorm, Sums};
use crate::params::{NamedTensor, ParamName, ParamSpec};
use crate::weights::{WeightsError, check};

/// How much of the sums of batch normalisation stays from one batch to the next in Caffe.
const CAFFE_DECAY: f32 = 0.999;

/// Which statistics batch normalisation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The batch's own; each forward adds them to the running sums.
    Train,
    /// The running sums; nothing changes.
    Predict,
}

/// Why a network could not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// A size that the network cannot halve four times.
    #[error(
        "network input: found {height} × {width} pixels; expected whole multiples of {}, above 0",
        NetConfig::MULTIPLE
    )]
    Size {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// An image that is no whole number of bins that the network can halve four times.
    #[error("image: found {height} × {width} pixels; expected whole multiples of {rows} × {columns}, above 0")]
    ImageSize {
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
        /// What the rows must be a multiple of.
        rows: usize,
        /// What the columns must be a multiple of.
        columns: usize,
    },
    /// More or fewer values than the sizes say.
    #[error("network input: found {found} values; expected {expected} (inputs × frames × rows × columns)")]
    Values {
        /// How many were given.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// The device failed: no memory, a lost GPU.
    #[error("network on {device}: {message}. Smaller blocks or batches, or --device cpu, need less of it")]
    Device {
        /// The device.
        device: String,
        /// What it said.
        message: String,
    },
}

/// DeepEM3D.
///
/// Weights are kept as flat tensors in the order of Caffe's blobs (see [`NetConfig::parameters`]) and take their shape
/// where they are used, so that a solver works on every tensor alike.
#[derive(Clone, Debug)]
pub struct DeepEm3d {
    config: NetConfig,
    device: Device,
    bn_decay: f32,
    /// Whether to run on the CPU as on other devices.
    generic: bool,
    /// For each step of the network its tensors, where it has any.
    units: Vec<Option<Unit>>,
}

/// The tensors of one step.
#[derive(Clone, Debug)]
struct Unit {
    /// One convolution, or the transposed ones of a head.
    filters: Vec<Filter>,
    norm: BatchNorm,
    /// All tensors' names and shapes in the order of [`NetConfig::parameters`].
    specs: Vec<ParamSpec>,
}

/// Weights and bias of a convolution, flat.
#[derive(Clone, Debug)]
struct Filter {
    shape: Vec<usize>,
    weight: Tensor<1>,
    bias: Tensor<1>,
}

impl DeepEm3d {
    /// A network whose tensors have the values that `values` gives, each of its spec's length.
    pub(crate) fn build(config: NetConfig, device: &Device, mut values: impl FnMut(&ParamSpec) -> Vec<f32>) -> Self {
        let mut units: Vec<Option<Unit>> = GRAPH.nodes.iter().map(|_| None).collect();
        for (index, _) in GRAPH.layers() {
            let specs = config.layer_parameters(index);
            let mut host: Vec<Vec<f32>> = specs.iter().map(&mut values).collect();
            let [beta, gamma, factor, variance, mean] = [(); 5].map(|()| host.pop().unwrap_or_default());
            let statistics = device.clone().without_autodiff();
            let sums = Sums {
                mean: upload(mean, &statistics),
                variance: upload(variance, &statistics),
                factor: factor.first().copied().unwrap_or(0.0),
            };
            let mut host = host.into_iter();
            let mut filters = Vec::new();
            for spec in specs.iter().filter(|spec| spec.shape.len() > 1) {
                let weight = leaf(upload(host.next().unwrap_or_default(), device));
                let bias = leaf(upload(host.next().unwrap_or_default(), device));
                filters.push(Filter { shape: spec.shape.clone(), weight, bias });
            }
            let norm = BatchNorm::new(leaf(upload(gamma, device)), leaf(upload(beta, device)), sums);
            units[index] = Some(Unit { filters, norm, specs });
        }
        Self { config, device: device.clone(), bn_decay: CAFFE_DECAY, generic: false, units }
    }

    /// A network with these tensors, which must be exactly those of [`NetConfig::parameters`], in any order.
    pub fn from_tensors(config: NetConfig, tensors: &[NamedTensor], device: &Device) -> Result<Self, WeightsError> {
        let found = check(&config, tensors)?;
        Ok(Self::build(config, device, |spec| {
            found.get(&spec.name).map_or_else(Vec::new, |tensor| tensor.values.clone())
        }))
    }

    /// What the network looks like.
    pub const fn config(&self) -> &NetConfig {
        &self.config
    }

    /// Where it runs.
    pub const fn device(&self) -> &Device {
        &self.device
    }

    /// How much of the sums of batch normalisation stays from one batch to the next.
    pub const fn bn_decay(&self) -> f32 {
        self.bn_decay
    }

    /// Sets [`Self::bn_decay`] (0.999 unless set, as in Caffe): the statistics then reach back over about
    /// 1 / (1 − decay) batches.
    pub const fn set_bn_decay(&mut self, decay: f32) {
        self.bn_decay = decay;
    }

    /// Runs the layers on the CPU as the operations that other devices run, several times slower: for comparison.
    #[must_use]
    pub const fn without_cpu_kernels(mut self) -> Self {
        self.generic = true;
        self
    }

    /// The logits [N, 2, H, W] (background, foreground; before softmax) of sections `input` [N, 1, frames, H, W].
    ///
    /// # Panics
    /// If the frames are not those of the configuration, or H or W is no multiple of [`NetConfig::MULTIPLE`].
    pub fn forward(&self, input: Tensor<5>, mode: Mode) -> Tensor<4> {
        self.forward_watched(input, mode, |_, _| {})
    }

    /// As [`Self::forward`], with the blobs named in `names` (`concat_stem_1`, `conv3_sum`, …), for comparison with
    /// another implementation.
    pub fn forward_blobs(
        &self,
        input: Tensor<5>,
        mode: Mode,
        names: &[&str],
    ) -> (Tensor<4>, BTreeMap<String, Tensor<4>>) {
        let mut blobs = BTreeMap::new();
        let logits = self.forward_watched(input, mode, |name, blob| {
            if names.contains(&name) {
                blobs.insert(name.to_owned(), blob.clone());
            }
        });
        (logits, blobs)
    }

    fn forward_watched(&self, input: Tensor<5>, mode: Mode, watch: impl FnMut(&'static str, &Tensor<4>)) -> Tensor<4> {
        let [n, one, frames, height, width] = input.dims();
        assert_eq!([one, frames], [1, self.config.frames().count()], "channels and frames of the network's input");
        assert!(is_size(height) && is_size(width), "{height} × {width} px for a network that halves four times");
        GRAPH.run(&Running { net: self, mode }, input.reshape([n, frames, height, width]), watch)
    }

    /// The trained tensors, in the order in which [`Self::gradients`] and [`Self::map_parameters`] go.
    pub fn trained(&self) -> Vec<ParamSpec> {
        let specs = self.units.iter().flatten().flat_map(|unit| &unit.specs);
        specs.filter(|spec| spec.name.kind.is_trained()).cloned().collect()
    }

    /// Takes the gradients of the trained tensors out of a backward pass, flat, on the network's device, outside
    /// automatic differentiation. `None` means 0: the biases of convolutions have none, because batch normalisation
    /// takes every constant away again.
    pub fn gradients(&self, gradients: &mut Gradients) -> Vec<Option<Tensor<1>>> {
        let mut all = Vec::new();
        for unit in self.units.iter().flatten() {
            for filter in &unit.filters {
                all.push(filter.weight.grad_remove(gradients));
                all.push(filter.bias.grad_remove(gradients));
            }
            all.push(unit.norm.gamma.grad_remove(gradients));
            all.push(unit.norm.beta.grad_remove(gradients));
        }
        all
    }

    /// Replaces every trained tensor by what `f` makes of it, given its place in [`Self::trained`], its name and its
    /// values: flat, on the network's device, outside automatic differentiation. Nothing is copied to the host.
    pub fn map_parameters(&mut self, mut f: impl FnMut(usize, &ParamName, Tensor<1>) -> Tensor<1>) {
        let mut place = 0;
        let autodiff = self.device.is_autodiff();
        for unit in self.units.iter_mut().flatten() {
            let filters = unit.filters.iter_mut().flat_map(|filter| [&mut filter.weight, &mut filter.bias]);
            let tensors = filters.chain([&mut unit.norm.gamma, &mut unit.norm.beta]);
            for (tensor, spec) in tensors.zip(unit.specs.iter().filter(|spec| spec.name.kind.is_trained())) {
                let new = f(place, &spec.name, tensor.clone().without_autodiff());
                *tensor = if autodiff { leaf(new.autodiff()) } else { new };
                place += 1;
            }
        }
    }

    /// All tensors on the host, in the order of [`NetConfig::parameters`].
    pub fn collect(&self) -> Vec<NamedTensor> {
        let mut all = Vec::new();
        for unit in self.units.iter().flatten() {
            let sums = unit.norm.sums();
            let factor = vec![sums.factor];
            let filters = unit.filters.iter().flat_map(|filter| [&filter.weight, &filter.bias]);
            let mut values: Vec<Vec<f32>> = filters.map(download).collect();
            values.extend([download(&sums.mean), download(&sums.variance), factor]);
            values.extend([download(&unit.norm.gamma), download(&unit.norm.beta)]);
            all.extend(unit.specs.iter().zip(values).map(|(spec, values)| NamedTensor {
                name: spec.name.clone(),
                shape: spec.shape.clone(),
                values,
            }));
        }
        all
    }

    /// Replaces all tensors by these, which must be exactly those of [`NetConfig::parameters`], in any order. On an
    /// error the network is as before.
    pub fn assign(&mut self, tensors: &[NamedTensor]) -> Result<(), WeightsError> {
        let new = Self::from_tensors(self.config.clone(), tensors, &self.device)?;
        self.units = new.units;
        Ok(())
    }

    /// Forgets the statistics of batch normalisation, to collect new ones (with averaged weights, say).
    pub fn reset_statistics(&mut self) {
        for unit in self.units.iter_mut().flatten() {
            let [channels] = unit.norm.gamma.dims();
            unit.norm.set_sums(Sums::empty(channels, &self.device));
        }
    }
}

/// Whether the network can halve it four times.
pub(crate) const fn is_size(pixels: usize) -> bool {
    pixels > 0 && pixels.is_multiple_of(NetConfig::MULTIPLE)
}

/// A network in one of its modes.
struct Running<'a> {
    net: &'a DeepEm3d,
    mode: Mode,
}

impl Layers for Running<'_> {
    fn apply(&self, index: usize, input: Tensor<4>) -> Tensor<4> {
        let Some(unit) = &self.net.units[index] else { unreachable!("step {index} has no weights") };
        let op = &GRAPH.nodes[index].op;
        let frames = self.net.config.frames();
        let input = match index {
            0 => windows_to_batch(frames, input),
            1 => planes_to_channels(frames, input),
            _ => input,
        };
        if self.mode == Mode::Predict {
            let biases = unit.filters.iter().map(|filter| Some(filter.bias.clone()));
            let normal = unit.norm.predict(unit.filter(op, &input, biases));
            return if op.is_rectified() { relu(normal) } else { normal };
        }
        let biases = unit.filters.iter().map(|filter| filter.bias.clone().without_autodiff()).reduce(Tensor::add);
        let bias = biases.unwrap_or_else(|| unreachable!("a layer has filters"));
        let norm = [&unit.norm.gamma, &unit.norm.beta];
        let on_cpu = match op {
            _ if self.net.generic => None,
            Op::Conv(conv) => cpu::conv_norm(&input, &unit.filters[0].planar(), norm, conv),
            Op::Head(head) => {
                let weights: Vec<Tensor<4>> = unit.filters.iter().map(Filter::planar).collect();
                cpu::head_norm(&input, &weights, norm, head)
            }
            _ => None,
        };
        if let Some(Normalised { output, mean, variance }) = on_cpu {
            let [n, _, h, w] = output.dims();
            unit.norm.add_batch(mean, variance, bias, n * h * w, self.net.bn_decay);
            return output;
        }
        let sum = unit.filter(op, &input, std::iter::repeat(None));
        let normal = unit.norm.train(sum, bias, self.net.bn_decay);
        if op.is_rectified() { relu(normal) } else { normal }
    }
}

impl Unit {
    /// The convolution, or the sum of the transposed ones.
    fn filter(&self, op: &Op, input: &Tensor<4>, biases: impl Iterator<Item = Option<Tensor<1>>>) -> Tensor<4> {
        let filters = self.filters.iter().zip(biases).enumerate();
        let parts = filters.map(|(place, (filter, bias))| match op {
            Op::Head(head) => {
                let tap = &head.taps[place];
                let padding = [head.padding(tap); 2];
                let options = ConvTransposeOptions::new([head.stride; 2], padding, [0, 0], [tap.dilation; 2], 1);
                conv_transpose2d(input.clone(), filter.planar(), bias, options)
            }
            Op::Conv(conv) => {
                let weight = filter.planar();
                let [_, _, rows, columns] = weight.dims();
                let options = ConvOptions::new([conv.stride; 2], same_padding([rows, columns]), [1, 1], 1);
                conv2d(input.clone(), weight, bias, options)
            }
            _ => unreachable!("only convolutions and heads have filters"),
        });
        parts.reduce(Tensor::add).unwrap_or_else(|| unreachable!("a layer has filters"))
    }
}

impl Filter {
    /// The weights for a convolution in the plane: frames, where there are any, become input channels, each frame's
    /// channels together.
    fn planar(&self) -> Tensor<4> {
        match *self.shape {
            [out, input, rows, columns, depth] => {
                let weight = self.weight.clone().reshape([out, input, rows, columns, depth]);
                weight.permute([0, 4, 1, 2, 3]).reshape([out, depth * input, rows, columns])
            }
            [a, b, rows, columns] => self.weight.clone().reshape([a, b, rows, columns]),
            _ => unreachable!("weights of a convolution have 4 or 5 axes"),
        }
    }
}

fn upload(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

pub(crate) fn download(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().try_into_vec_as::<f32>().unwrap_or_else(|error| panic!("reading weights from their device: {error}"))
}

/// Marks a tensor on an autodiff device as one to train.
fn leaf(tensor: Tensor<1>) -> Tensor<1> {
    if tensor.is_autodiff() { tensor.require_grad() } else { tensor }
}
