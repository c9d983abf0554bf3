//! From gradients to new weights, on the device where the weights are.

use burn::tensor::{Device, Tensor, TensorData};
use deep3m_net::{DeepEm3d, ParamKind, ParamName, ParamSpec};

use crate::config::{Optimiser, TrainConfig};

/// Keeps AdamW's denominator away from zero.
const EPSILON: f64 = 1e-8;

/// Gradients of all trained tensors, added up over the batches of an iteration; `None` is zero.
pub type Gradients = Vec<Option<Tensor<1>>>;

/// Adds the gradients of a batch to those of the batches before.
pub fn accumulate(sum: &mut Gradients, batch: Gradients) {
    if sum.is_empty() {
        *sum = batch;
        return;
    }
    for (sum, gradient) in sum.iter_mut().zip(batch) {
        *sum = match (sum.take(), gradient) {
            (Some(a), Some(b)) => Some(a + b),
            (a, b) => a.or(b),
        };
    }
}

/// An optimiser with its state.
#[derive(Clone, Debug)]
pub struct Solver {
    optimiser: Optimiser,
    momentum: f64,
    weight_decay: f64,
    clip: Option<f64>,
    iter_size: f64,
    /// Updates made.
    updates: u64,
    /// For each trained tensor: Caffe's history v, or Adam's first and second moment.
    state: Vec<Vec<Tensor<1>>>,
}

impl Solver {
    /// A solver for these tensors that has made no update.
    pub fn new(config: &TrainConfig, specs: &[ParamSpec], device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let per_tensor = match config.optimiser {
            Optimiser::Sgd => 1,
            Optimiser::AdamW { .. } => 2,
        };
        let zeros = |spec: &ParamSpec| (0..per_tensor).map(|_| Tensor::zeros([spec.len()], &device)).collect();
        Self {
            optimiser: config.optimiser,
            momentum: config.momentum,
            weight_decay: config.weight_decay,
            clip: config.clip,
            iter_size: f64::from(config.iter_size),
            updates: 0,
            state: specs.iter().map(zeros).collect(),
        }
    }

    /// Changes the network's weights by gradients summed over `iter_size` batches. `after` sees each new tensor with its
    /// place in [`DeepEm3d::trained`].
    ///
    /// Returns whether all new weights are finite. (A network may hide weights that are not: ReLU of NaN is 0 on some
    /// devices.)
    pub fn update(
        &mut self,
        net: &mut DeepEm3d,
        gradients: Gradients,
        learning_rate: f64,
        mut after: impl FnMut(usize, &Tensor<1>),
    ) -> bool {
        self.updates += 1;
        let factor = self.clip.and_then(|longest| shortening(&gradients, longest * self.iter_size));
        let mut gradients: Vec<Option<Tensor<1>>> = gradients
            .into_iter()
            .map(|gradient| {
                let mean = gradient?.mul_scalar(1.0 / self.iter_size);
                Some(match &factor {
                    Some(factor) => mean * factor.clone(),
                    None => mean,
                })
            })
            .collect();
        let mut magnitude: Option<Tensor<1>> = None;
        net.map_parameters(|place, name, weights| {
            let gradient = gradients[place].take();
            let new = match self.optimiser {
                Optimiser::Sgd => self.sgd(place, name, weights, gradient, learning_rate),
                Optimiser::AdamW { beta2 } => self.adam_w(place, name, weights, gradient, learning_rate, beta2),
            };
            after(place, &new);
            let size = new.clone().abs().max();
            magnitude = Some(match magnitude.take() {
                Some(sum) => sum + size,
                None => size,
            });
            new
        });
        magnitude.is_none_or(|sum| to_host(&sum).iter().all(|v| v.is_finite()))
    }

    /// Caffe's: v ← momentum · v + lr · lr_mult · (g + weight_decay · decay_mult · w); w ← w − v.
    fn sgd(
        &mut self,
        place: usize,
        name: &ParamName,
        w: Tensor<1>,
        gradient: Option<Tensor<1>>,
        rate: f64,
    ) -> Tensor<1> {
        let rate = rate * if name.kind.is_bias() { 2.0 } else { 1.0 };
        // The reference's network description gives the dilated heads, and only them, no decay on biases.
        let decay = if name.kind.is_bias() && name.layer.starts_with("fc1_") { 0.0 } else { self.weight_decay };
        let pull = w.clone().mul_scalar(decay);
        let step = match gradient {
            Some(gradient) => gradient + pull,
            None => pull,
        };
        let history = &mut self.state[place][0];
        *history = history.clone().mul_scalar(self.momentum) + step.mul_scalar(rate);
        w - history.clone()
    }

    /// Loshchilov and Hutter 2019; only weights of convolutions decay.
    fn adam_w(
        &mut self,
        place: usize,
        name: &ParamName,
        w: Tensor<1>,
        gradient: Option<Tensor<1>>,
        rate: f64,
        beta2: f64,
    ) -> Tensor<1> {
        let decays = matches!(name.kind, ParamKind::ConvWeight | ParamKind::DeconvWeight);
        let Some(gradient) = gradient else { return w };
        let (beta1, updates) = (self.momentum, self.updates as f64);
        let [first, second] = &mut self.state[place][..] else { return w };
        *first = first.clone().mul_scalar(beta1) + gradient.clone().mul_scalar(1.0 - beta1);
        *second = second.clone().mul_scalar(beta2) + (gradient.clone() * gradient).mul_scalar(1.0 - beta2);
        // Both moments start at zero; these undo the bias of the first updates.
        let (unbias1, unbias2) = (1.0 - beta1.powf(updates), 1.0 - beta2.powf(updates));
        let size = second.clone().sqrt().mul_scalar(unbias2.sqrt().recip()).add_scalar(EPSILON);
        let kept = if decays { w.mul_scalar(1.0 - rate * self.weight_decay) } else { w };
        kept - (first.clone() / size).mul_scalar(rate / unbias1)
    }

    /// The state on the host: for each trained tensor its moments.
    pub fn collect(&self) -> Vec<Vec<Vec<f32>>> {
        self.state.iter().map(|tensors| tensors.iter().map(to_host).collect()).collect()
    }

    /// Goes on with a state from [`Self::collect`] after `updates` updates; `false` where it is of another network or
    /// optimiser, and nothing changed.
    pub fn restore(&mut self, updates: u64, state: Vec<Vec<Vec<f32>>>, device: &Device) -> bool {
        let shape = |lens: Vec<Vec<usize>>| lens;
        let own = shape(self.state.iter().map(|t| t.iter().map(|t| t.dims()[0]).collect()).collect());
        let given = shape(state.iter().map(|t| t.iter().map(Vec::len).collect()).collect());
        if own != given {
            return false;
        }
        self.updates = updates;
        self.state = state.into_iter().map(|t| t.into_iter().map(|v| to_device(v, device)).collect()).collect();
        true
    }
}

/// The factor that makes gradients no longer than `longest` (norm over all tensors), at most 1; `None` without any.
fn shortening(gradients: &Gradients, longest: f64) -> Option<Tensor<1>> {
    let squares = gradients.iter().flatten().map(|g| (g.clone() * g.clone()).sum());
    let norm = squares.reduce(|a, b| a + b)?.sqrt();
    Some(norm.add_scalar(1e-6).recip().mul_scalar(longest).clamp_max(1.0))
}

/// A flat tensor's values.
pub(crate) fn to_host(tensor: &Tensor<1>) -> Vec<f32> {
    tensor.clone().into_data().iter::<f32>().collect()
}

/// A flat tensor outside automatic differentiation.
pub(crate) fn to_device(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), &device.clone().without_autodiff())
}
