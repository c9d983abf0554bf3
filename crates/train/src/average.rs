//! Averaged weights: an exponential moving average of the weights along the way, which generalises better than the last
//! ones (Polyak and Juditsky 1992).

use burn::tensor::{Device, Tensor};
use deep3m_net::{DeepEm3d, NamedTensor};

use crate::solver::{to_device, to_host};

/// The average of each trained tensor.
#[derive(Clone, Debug)]
pub struct Average {
    tensors: Vec<Tensor<1>>,
}

impl Average {
    /// An average that starts at a network's weights.
    pub fn new(net: &mut DeepEm3d) -> Self {
        let mut tensors = Vec::new();
        net.map_parameters(|_, _, weights| {
            tensors.push(weights.clone());
            weights
        });
        Self { tensors }
    }

    /// An average from its values; `None` where they are of another network.
    pub fn restore(values: Vec<Vec<f32>>, net: &DeepEm3d) -> Option<Self> {
        let fits = values.iter().map(Vec::len).eq(net.trained().iter().map(deep3m_net::ParamSpec::len));
        let device: &Device = net.device();
        fits.then(|| Self { tensors: values.into_iter().map(|v| to_device(v, device)).collect() })
    }

    /// Moves one tensor's average towards new values.
    pub fn follow(&mut self, place: usize, weights: &Tensor<1>, decay: f64) {
        let average = &mut self.tensors[place];
        *average = average.clone().mul_scalar(decay) + weights.clone().mul_scalar(1.0 - decay);
    }

    /// The values on the host.
    pub fn collect(&self) -> Vec<Vec<f32>> {
        self.tensors.iter().map(to_host).collect()
    }

    /// A network's tensors with the trained ones replaced by their averages.
    pub fn place_into(&self, tensors: &mut [NamedTensor]) {
        let trained = tensors.iter_mut().filter(|t| t.name.kind.is_trained());
        for (tensor, average) in trained.zip(&self.tensors) {
            tensor.values = to_host(average);
        }
    }
}

/// How much of the average stays at update `n` (from 1) of about `expected`: it reaches back over the given share of the
/// run, and over less at the start, where weights change fast.
pub fn decay(share: f64, n: u64, expected: u64) -> f64 {
    let reach = (share * expected as f64).max(1.0);
    let start = (1.0 + n as f64) / (10.0 + n as f64);
    (1.0 - 1.0 / reach).min(start)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_average_reaches_back_over_its_share() {
        assert!((decay(0.1, 50_000, 100_000) - 0.9999).abs() < 1e-4);
        assert!(decay(0.1, 1, 10_000) < 0.2);
        assert_eq!(decay(0.1, 1, 1), 0.0, "a run of one iteration keeps its weights");
    }
}
