//! Batch normalisation as Caffe keeps it: decaying sums of the batches' statistics, and their decaying count.

use std::sync::{Mutex, PoisonError};

use burn::tensor::module::{batch_norm, batch_norm_train};
use burn::tensor::{Device, Tensor};

/// Added to the variance before its root.
pub(crate) const EPSILON: f64 = 1e-5;

/// Normalises each channel, then scales and shifts it: gamma · (x − mean) / √(variance + ε) + beta.
#[derive(Debug)]
pub(crate) struct BatchNorm {
    /// Scale, `[channels]`.
    pub gamma: Tensor<1>,
    /// Shift, `[channels]`.
    pub beta: Tensor<1>,
    sums: Mutex<Sums>,
}

/// The statistics of the batches so far. Each batch multiplies all three by the decay and adds its own (1 to the count),
/// so that sum / count is a mean in which recent batches weigh more.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    /// Σ mean, `[channels]`, outside automatic differentiation.
    pub mean: Tensor<1>,
    /// Σ unbiased variance, `[channels]`, outside automatic differentiation.
    pub variance: Tensor<1>,
    /// Σ 1.
    pub factor: f32,
}

impl Clone for BatchNorm {
    /// A copy that no longer shares its statistics.
    fn clone(&self) -> Self {
        Self { gamma: self.gamma.clone(), beta: self.beta.clone(), sums: Mutex::new(self.sums()) }
    }
}

impl BatchNorm {
    pub(crate) const fn new(gamma: Tensor<1>, beta: Tensor<1>, sums: Sums) -> Self {
        Self { gamma, beta, sums: Mutex::new(sums) }
    }

    pub(crate) fn sums(&self) -> Sums {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_sums(&mut self, sums: Sums) {
        *self.sums.get_mut().unwrap_or_else(PoisonError::into_inner) = sums;
    }

    /// Normalises with the batch's own statistics and adds them to the sums. `x` [N, channels, H, W] lacks its
    /// convolution's bias: normalisation takes it away again, only the mean must know it.
    pub(crate) fn train(&self, x: Tensor<4>, bias: Tensor<1>, decay: f32) -> Tensor<4> {
        let [n, _, h, w] = x.dims();
        let batch = batch_norm_train(x, self.gamma.clone(), self.beta.clone(), EPSILON);
        self.add_batch(batch.mean.without_autodiff(), batch.variance.without_autodiff(), bias, n * h * w, decay);
        batch.output
    }

    /// Adds a batch's statistics to the sums: the mean of the convolution without its `bias`, and the biased variance of
    /// `count` values per channel.
    pub(crate) fn add_batch(&self, mean: Tensor<1>, variance: Tensor<1>, bias: Tensor<1>, count: usize, decay: f32) {
        let count = count as f64;
        let mean = mean + bias.without_autodiff();
        let variance = variance.mul_scalar(count / (count - 1.0).max(1.0));
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.mean = sums.mean.clone().mul_scalar(decay) + mean;
        sums.variance = sums.variance.clone().mul_scalar(decay) + variance;
        sums.factor = sums.factor * decay + 1.0;
    }

    /// Normalises with the statistics of all batches so far.
    pub(crate) fn predict(&self, x: Tensor<4>) -> Tensor<4> {
        let (mean, variance) = self.sums().statistics();
        let (mean, variance) = if x.is_autodiff() { (mean.autodiff(), variance.autodiff()) } else { (mean, variance) };
        batch_norm(x, self.gamma.clone(), self.beta.clone(), mean, variance, EPSILON)
    }
}

impl Sums {
    /// No batch yet.
    pub(crate) fn empty(channels: usize, device: &Device) -> Self {
        let zeros = Tensor::zeros([channels], &device.clone().without_autodiff());
        Self { mean: zeros.clone(), variance: zeros, factor: 0.0 }
    }

    /// The mean and variance of all batches; both 0 before the first.
    pub(crate) fn statistics(&self) -> (Tensor<1>, Tensor<1>) {
        let share = if self.factor == 0.0 { 0.0 } else { 1.0 / self.factor };
        (self.mean.clone().mul_scalar(share), self.variance.clone().mul_scalar(share))
    }
}
