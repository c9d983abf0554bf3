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
    /// For each trained tensor that Muon may change, its rows as a matrix.
    rows: Vec<Option<usize>>,
    /// The highest learning rate, of which the current one is a share.
    highest: f64,
}

impl Solver {
    /// A solver for these tensors that has made no update.
    pub fn new(config: &TrainConfig, specs: &[ParamSpec], device: &Device) -> Self {
        let device = device.clone().without_autodiff();
        let per_tensor = match config.optimiser {
            Optimiser::Sgd => 1,
            Optimiser::AdamW { .. } | Optimiser::Muon { .. } => 2,
        };
        let per_tensor = |spec: &ParamSpec| match config.optimiser {
            Optimiser::Muon { .. } if is_trunk(spec) => 1,
            _ => per_tensor,
        };
        let zeros = |spec: &ParamSpec| (0..per_tensor(spec)).map(|_| Tensor::zeros([spec.len()], &device)).collect();
        Self {
            optimiser: config.optimiser,
            momentum: config.momentum,
            weight_decay: config.weight_decay,
            clip: config.clip,
            iter_size: f64::from(config.iter_size),
            updates: 0,
            state: specs.iter().map(zeros).collect(),
            rows: specs.iter().map(|spec| is_trunk(spec).then(|| spec.shape[0])).collect(),
            highest: config.learning_rate,
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
        let mut total: Option<Tensor<1>> = None;
        net.map_parameters(|place, name, weights| {
            let gradient = gradients[place].take();
            let new = match self.optimiser {
                Optimiser::Sgd => self.sgd(place, name, weights, gradient, learning_rate),
                Optimiser::AdamW { beta2 } => self.adam_w(place, name, weights, gradient, learning_rate, beta2),
                Optimiser::Muon { beta2, learning_rate: muon, momentum, weight_decay } => match self.rows[place] {
                    Some(rows) => {
                        let rate = muon * learning_rate / self.highest;
                        self.muon(place, rows, weights, gradient, [rate, momentum, weight_decay])
                    }
                    None => self.adam_w(place, name, weights, gradient, learning_rate, beta2),
                },
            };
            after(place, &new);
            // A sum is finite only if every term is.
            let sum = new.clone().sum();
            total = Some(match total.take() {
                Some(before) => before + sum,
                None => sum,
            });
            new
        });
        total.is_none_or(|sum| to_host(&sum).iter().all(|v| v.is_finite()))
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

    /// Jordan et al. 2024: m ← m + (1 − μ)(g − m); the step is the orthogonal matrix nearest to g + μ(m − g), times
    /// √(rows / columns) where there are more rows.
    fn muon(
        &mut self,
        place: usize,
        rows: usize,
        w: Tensor<1>,
        gradient: Option<Tensor<1>>,
        [rate, momentum, weight_decay]: [f64; 3],
    ) -> Tensor<1> {
        let Some(gradient) = gradient else { return w };
        let len = w.dims()[0];
        let mean = &mut self.state[place][0];
        *mean = mean.clone().mul_scalar(momentum) + gradient.clone().mul_scalar(1.0 - momentum);
        let ahead = gradient.mul_scalar(1.0 - momentum) + mean.clone().mul_scalar(momentum);
        let columns = len / rows;
        let step = orthogonal(ahead.reshape([rows, columns])).reshape([len]);
        let size = (rows as f64 / columns as f64).max(1.0).sqrt();
        w.mul_scalar(1.0 - rate * weight_decay) - step.mul_scalar(rate * size)
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

/// Whether a tensor is the weights of a convolution between the first layer and the heads.
fn is_trunk(spec: &ParamSpec) -> bool {
    let layer = spec.name.layer.as_str();
    spec.name.kind == ParamKind::ConvWeight && layer != "conv1_1" && !layer.starts_with("conv_deconv")
}

/// Nearly the orthogonal matrix nearest to one: five Newton–Schulz steps bring all singular values close to 1, with
/// Jordan's coefficients, which trade exactness for speed (0.7 to 1.2).
fn orthogonal(matrix: Tensor<2>) -> Tensor<2> {
    const COEFFICIENTS: (f64, f64, f64) = (3.4445, -4.7750, 2.0315);
    let [rows, columns] = matrix.dims();
    let tall = rows > columns;
    let length = (matrix.clone() * matrix.clone()).sum().sqrt().add_scalar(1e-7);
    let mut x = matrix / length.reshape([1, 1]);
    if tall {
        x = x.transpose();
    }
    for _ in 0..5 {
        let square = x.clone().matmul(x.clone().transpose());
        let inner =
            square.clone().mul_scalar(COEFFICIENTS.1) + square.clone().matmul(square).mul_scalar(COEFFICIENTS.2);
        x = x.clone().mul_scalar(COEFFICIENTS.0) + inner.matmul(x);
    }
    if tall { x.transpose() } else { x }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::TrainConfig;
    use deep3m_net::{DeviceChoice, Frames, NetConfig};

    #[test]
    fn orthogonal_matrices_have_singular_values_near_one() {
        let device = DeviceChoice::Cpu.open().unwrap();
        for (rows, columns) in [(4, 9), (9, 4), (5, 5)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| ((i * i * 7 + 3 * i) % 11) as f32 - 5.0).collect();
            let matrix = Tensor::<2>::from_data(TensorData::new(values, [rows, columns]), &device);
            let q = orthogonal(matrix);
            let square = if rows < columns { q.clone().matmul(q.transpose()) } else { q.clone().transpose().matmul(q) };
            // The trace is the sum of the squared singular values.
            let n = rows.min(columns);
            let host: Vec<f32> = square.into_data().iter::<f32>().collect();
            let mean = (0..n).map(|i| host[i * n + i]).sum::<f32>() / n as f32;
            assert!((0.5..1.4).contains(&mean), "{rows} × {columns}: {mean}");
        }
    }

    /// Every optimiser moves against the gradient, keeps its state, and long gradients are shortened.
    #[test]
    fn updates_go_down_and_their_state_is_kept() {
        let device = DeviceChoice::Cpu.open().unwrap();
        let muon = Optimiser::Muon { beta2: 0.99, learning_rate: 0.02, momentum: 0.95, weight_decay: 0.0 };
        for optimiser in [Optimiser::Sgd, Optimiser::AdamW { beta2: 0.99 }, muon] {
            let config = TrainConfig { optimiser, weight_decay: 0.0, clip: Some(1.0), ..TrainConfig::cdeep3m() };
            let mut net = NetConfig::with_width(Frames::One, 0.01).unwrap().init(&device, 1);
            let specs = net.trained();
            let mut solver = Solver::new(&config, &specs, &device);
            let gradients = |of: f32| -> Gradients {
                specs
                    .iter()
                    .map(|s| Some(to_device((0..s.len()).map(|i| of + (i % 3) as f32).collect(), &device)))
                    .collect()
            };
            let before = net.collect();
            assert!(solver.update(&mut net, gradients(1.0), 0.01, |_, _| {}));
            let mut twin = (net.clone(), Solver::new(&config, &specs, &device));
            assert!(twin.1.restore(1, solver.collect(), &device));
            let mut down = 0.0;
            for (a, b) in net.collect().iter().zip(&before) {
                down += a
                    .values
                    .iter()
                    .zip(&b.values)
                    .enumerate()
                    .map(|(i, (a, b))| (a - b) * (1.0 + (i % 3) as f32))
                    .sum::<f32>();
            }
            assert!(down < 0.0, "{optimiser:?}");
            assert!(solver.update(&mut net, gradients(0.5), 0.01, |_, _| {}));
            assert!(twin.1.update(&mut twin.0, gradients(0.5), 0.01, |_, _| {}));
            assert_eq!(net.collect(), twin.0.collect(), "{optimiser:?}");
            assert!(!solver.update(&mut net, gradients(f32::NAN), 0.01, |_, _| {}), "{optimiser:?}");
            assert!(!twin.1.restore(1, vec![vec![vec![1.0]]], &device));
        }
    }

    #[test]
    fn long_gradients_are_shortened_to_the_limit() {
        let device = DeviceChoice::Cpu.open().unwrap();
        let gradients = vec![Some(to_device(vec![3.0, 0.0], &device)), None, Some(to_device(vec![4.0], &device))];
        assert!((to_host(&shortening(&gradients, 1.0).unwrap())[0] - 0.2).abs() < 1e-5);
        assert_eq!(to_host(&shortening(&gradients, 10.0).unwrap())[0], 1.0);
    }
}
