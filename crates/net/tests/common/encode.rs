//! Writes networks as Caffe does: `.caffemodel` files to import.

use deep3m_net::{NamedTensor, ParamKind};

pub(crate) fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A field of a message: tag, length, bytes.
pub(crate) fn field(number: u64, payload: &[u8]) -> Vec<u8> {
    let mut bytes = varint(number << 3 | 2);
    bytes.extend(varint(payload.len() as u64));
    bytes.extend(payload);
    bytes
}

fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn floats(values: &[f32]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(4 * values.len());
    for value in values {
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    bytes
}

/// A blob with its shape as a message.
pub(crate) fn blob(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let dims: Vec<u8> = shape.iter().flat_map(|&size| varint(size as u64)).collect();
    [field(7, &field(1, &dims)), field(5, &floats(values))].concat()
}

/// A blob as old files have it: four axes, the first ones 1; a kernel of one frame without its axis along z.
fn old_blob(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let shape = if let [kernel @ .., 1] = shape
        && kernel.len() == 4
    {
        kernel
    } else {
        shape
    };
    if shape.len() > 4 {
        return blob(shape, values);
    }
    let axes = std::iter::repeat_n(1, 4 - shape.len()).chain(shape.iter().copied());
    let axes = axes.zip(1..).flat_map(|(size, place)| number(place, size as u64));
    axes.chain(field(5, &floats(values))).collect()
}

/// The layers of tensors that are in the order of Caffe's blobs.
fn layers(tensors: &[NamedTensor]) -> Vec<(&str, &[NamedTensor])> {
    tensors.chunk_by(|a, b| a.name.layer == b.name.layer).map(|blobs| (&*blobs[0].name.layer, blobs)).collect()
}

fn kind(blobs: &[NamedTensor]) -> (&'static str, u64) {
    match blobs[0].name.kind {
        ParamKind::ConvWeight => ("Convolution", 4),
        ParamKind::DeconvWeight => ("Deconvolution", 39),
        ParamKind::Gamma => ("Scale", 0),
        _ => ("BatchNorm", 0),
    }
}

/// A file of current layers, with a layer without weights between them.
pub(crate) fn caffemodel(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut file = field(1, b"DeepEM3D");
    for (name, blobs) in layers(tensors) {
        let mut layer = [field(1, name.as_bytes()), field(2, kind(blobs).0.as_bytes())].concat();
        for tensor in blobs {
            layer.extend(field(7, &blob(&tensor.shape, &tensor.values)));
        }
        file.extend(field(100, &layer));
        file.extend(field(100, &[field(1, b"relu"), field(2, b"ReLU")].concat()));
    }
    file
}

/// A file of old (V1) layers.
pub(crate) fn old_caffemodel(tensors: &[NamedTensor]) -> Vec<u8> {
    let mut file = field(1, b"DeepEM3D");
    for (name, blobs) in layers(tensors) {
        let mut layer = [field(2, b"bottom"), field(4, name.as_bytes()), number(5, kind(blobs).1)].concat();
        for tensor in blobs {
            layer.extend(field(6, &old_blob(&tensor.shape, &tensor.values)));
        }
        file.extend(field(2, &layer));
    }
    file
}

/// Gives a new network statistics as if it had been trained: normalisation that has seen no batch is not imported.
pub(crate) fn as_if_trained(tensors: &mut [NamedTensor]) {
    for tensor in tensors {
        let value = |i: usize| match tensor.name.kind {
            ParamKind::MeanSum => Some((i % 5) as f32 * 2.0 - 4.0),
            ParamKind::VarianceSum => Some(80.0 + (i % 7) as f32),
            ParamKind::Factor => Some(100.0),
            _ => None,
        };
        for (i, old) in tensor.values.iter_mut().enumerate() {
            *old = value(i).unwrap_or(*old);
        }
    }
}
