//! One step of training: a network to start from, and a batch's loss and gradients.

use burn::tensor::{Device, Tensor, TensorData};
use deep3m_net::{DeepEm3d, Frames, Mode, ModelDir, NetConfig, NetError, ParamKind};

use crate::loss::{self, LossValue};
use crate::patch::Batch;
use crate::solver::Gradients;
use crate::{TrainConfig, TrainError};

/// The network that a model starts from.
pub(crate) fn first_network(
    config: &TrainConfig,
    frames: Frames,
    from: Option<&ModelDir>,
    device: &Device,
) -> Result<DeepEm3d, TrainError> {
    if let Some(model) = from {
        return Ok(model.load_network(frames, device)?);
    }
    let mut net = NetConfig::with_width(frames, config.width)?.init(device, config.seed);
    if config.output_shift != 0.0 {
        net.map_parameters(|_, name, values| {
            if name.kind == ParamKind::Beta && name.layer.starts_with("scale_conv_deconv") {
                values.add_scalar(config.output_shift)
            } else {
                values
            }
        });
    }
    Ok(net)
}

/// A batch as the network's input.
pub(crate) fn input(batch: &Batch, device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(batch.image.clone(), batch.shape), device)
}

/// The loss of a batch and the gradients of all trained tensors.
pub(crate) fn backward(
    net: &DeepEm3d,
    batch: &Batch,
    config: &TrainConfig,
) -> Result<(LossValue, Gradients), TrainError> {
    let [n, _, _, height, width] = batch.shape;
    let logits = net.forward(input(batch, net.device()), Mode::Train);
    let failed = |e: burn::tensor::ExecutionError| NetError::Device {
        device: format!("{:?}", net.device()),
        message: e.to_string(),
    };
    let host = logits.clone().without_autodiff().try_into_data().map_err(failed)?;
    let host: Vec<f32> = host.iter::<f32>().collect();
    let mut value = loss::evaluate(config.loss, &host, &batch.target, &batch.known, height * width);
    let gradient = std::mem::take(&mut value.gradient);
    let gradient = Tensor::<4>::from_data(TensorData::new(gradient, [n, 2, height, width]), net.device());
    // The derivative of Σ logits · gradient by the logits is the gradient: backpropagation starts from it.
    let mut gradients = (logits * gradient).sum().backward();
    Ok((value, net.gradients(&mut gradients)))
}
