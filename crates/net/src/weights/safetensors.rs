//! Deep3M's own weight files: safetensors, one `f32` tensor per name of [`NetConfig::parameters`].
//!
//! Keys are `<layer>/<kind>` with Caffe's layer names: `conv1_1/weight`, `conv1_1/bias`, `bn_conv1_1/mean_sum`,
//! `bn_conv1_1/variance_sum`, `bn_conv1_1/factor`, `scale_conv1_1/gamma`, `scale_conv1_1/beta`. Shapes are Caffe's. The
//! metadata entry `deep3m` holds the network's configuration as JSON, so that a file can be used by itself. The same
//! network gives the same bytes.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use super::{WeightsError, check};
use crate::config::NetConfig;
use crate::deepem3d::DeepEm3d;
use crate::params::{NamedTensor, ParamKind, ParamName};

/// The metadata entry of the configuration.
const CONFIG: &str = "deep3m";

/// A network as the bytes of a file.
pub fn encode(net: &DeepEm3d) -> Result<Vec<u8>, WeightsError> {
    encode_tensors(net.config(), &net.collect())
}

/// Tensors, which must be exactly those of [`NetConfig::parameters`], as the bytes of a file.
pub fn encode_tensors(config: &NetConfig, tensors: &[NamedTensor]) -> Result<Vec<u8>, WeightsError> {
    check(config, tensors)?;
    let bytes: Vec<Vec<u8>> = tensors.iter().map(|tensor| little_endian(&tensor.values)).collect();
    let views = tensors.iter().zip(&bytes).map(|(tensor, bytes)| {
        let view = TensorView::new(Dtype::F32, tensor.shape.clone(), bytes).map_err(malformed)?;
        Ok((tensor.name.to_string(), view))
    });
    let views = views.collect::<Result<Vec<_>, WeightsError>>()?;
    // One entry only: the order of several would not be fixed.
    let config = serde_json::to_string(config).map_err(malformed)?;
    safetensors::serialize(views, Some(HashMap::from([(CONFIG.to_owned(), config)]))).map_err(malformed)
}

fn little_endian(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.len());
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// The configuration and all tensors of a file, checked against one another.
pub fn decode(bytes: &[u8]) -> Result<(NetConfig, Vec<NamedTensor>), WeightsError> {
    let (header, metadata) = SafeTensors::read_metadata(bytes).map_err(malformed)?;
    let text = metadata.metadata().as_ref().and_then(|entries| entries.get(CONFIG));
    let text = text.ok_or_else(|| WeightsError::Malformed {
        offset: 8,
        found: format!("a header of {header} bytes without the entry \"{CONFIG}\""),
        expected: "weights written by Deep3M".to_owned(),
    })?;
    let config: NetConfig = serde_json::from_str(text).map_err(malformed)?;
    let tensors = decode_as(bytes, &config)?;
    Ok((config, tensors))
}

/// The tensors of a file for a network that is known, checked against it.
pub fn decode_as(bytes: &[u8], config: &NetConfig) -> Result<Vec<NamedTensor>, WeightsError> {
    // All lengths are checked against the file here, before anything is copied.
    let file = SafeTensors::deserialize(bytes).map_err(malformed)?;
    let mut names: HashMap<String, ParamName> =
        config.parameters().into_iter().map(|spec| (spec.name.to_string(), spec.name)).collect();
    let mut tensors = Vec::new();
    for (key, view) in file.iter() {
        let name =
            names.remove(key).unwrap_or_else(|| ParamName { layer: key.to_owned(), kind: ParamKind::ConvWeight });
        if view.dtype() != Dtype::F32 {
            return Err(WeightsError::Malformed {
                offset: 8,
                found: format!("{key} of {:?}", view.dtype()),
                expected: "F32".to_owned(),
            });
        }
        let values = view.data().as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        tensors.push(NamedTensor { name, shape: view.shape().to_vec(), values });
    }
    check(config, &tensors)?;
    Ok(tensors)
}

fn malformed(error: impl std::fmt::Display) -> WeightsError {
    WeightsError::Malformed { offset: 0, found: error.to_string(), expected: "a safetensors file of Deep3M".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DeviceChoice, Frames};

    fn net(seed: u64) -> DeepEm3d {
        let device = DeviceChoice::Cpu.open().unwrap();
        NetConfig::with_width(Frames::Three, 0.02).unwrap().init(&device, seed)
    }

    #[test]
    fn a_network_comes_back_as_it_was() {
        let before = net(3);
        let bytes = encode(&before).unwrap();
        assert_eq!(bytes, encode(&net(3)).unwrap(), "the same network gives the same bytes");
        let (config, tensors) = decode(&bytes).unwrap();
        assert_eq!(&config, before.config());
        let after = DeepEm3d::from_tensors(config, &tensors, before.device()).unwrap();
        assert_eq!(after.collect(), before.collect());
        assert_eq!(encode(&after).unwrap(), bytes);
    }

    #[test]
    fn cut_and_changed_files_are_refused() {
        let bytes = encode(&net(3)).unwrap();
        for len in [0, 7, 8, 100, bytes.len() - 1] {
            assert!(decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        let mut huge = bytes.clone();
        huge[..8].copy_from_slice(&u64::MAX.to_le_bytes());
        assert!(decode(&huge).is_err());
        let mut not_finite = bytes.clone();
        let end = not_finite.len();
        not_finite[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
        assert!(matches!(decode(&not_finite), Err(WeightsError::NotFinite { .. })));
    }

    #[test]
    fn another_network_is_told_apart_tensor_by_tensor() {
        let bytes = encode(&net(3)).unwrap();
        let wider = NetConfig::with_width(Frames::Three, 0.1).unwrap();
        let text = decode_as(&bytes, &wider).unwrap_err().to_string();
        assert!(text.contains("conv1_2/weight has shape [4, 4, 3, 3, 2], expected [8, 4, 3, 3, 2]"), "{text}");
        let mut tensors = net(3).collect();
        tensors.remove(0);
        let error = DeepEm3d::from_tensors(net(3).config().clone(), &tensors, net(3).device()).unwrap_err().to_string();
        assert!(error.contains("conv1_1/weight [4, 1, 3, 3, 3] is missing"), "{error}");
    }
}
