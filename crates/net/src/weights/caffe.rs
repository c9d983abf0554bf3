//! Reads binary `.caffemodel` files: Caffe's `NetParameter` message, with current and old (V1) layers.
//!
//! The protobuf wire format is read by hand, because each length must be checked against the bytes that are left before
//! anything is allocated, and an error must say at which byte. Only what is needed is looked at: names, types and blobs
//! of layers. Fields (caffe.proto): `NetParameter` layer 100, layers 2 (V1); `LayerParameter` name 1, type 2, blobs 7;
//! `V1LayerParameter` name 4, type 5 (a number), blobs 6; `BlobProto` shape 7 (`dim` 1), data 5, `double_data` 8, and in
//! old files num, channels, height, width 1–4.

use std::collections::BTreeMap;

use super::WeightsError;
use crate::config::NetConfig;
use crate::frames::Frames;
use crate::params::{NamedTensor, ParamSpec};

/// Bounds against damaged files, far above what networks have: layers, blobs of a layer, axes of a blob.
const MAX_LAYERS: usize = 4096;
const MAX_BLOBS: usize = 8;
const MAX_AXES: usize = 8;

/// The layers of a file that hold weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaffeNet {
    /// In the order of the file.
    pub layers: Vec<CaffeLayer>,
}

/// A layer with weights.
#[derive(Clone, Debug, PartialEq)]
pub struct CaffeLayer {
    /// Its name.
    pub name: String,
    /// Its type: "Convolution"; in old files the type's number.
    pub kind: String,
    /// Its weights, then its biases.
    pub blobs: Vec<CaffeBlob>,
    /// Where it begins in the file, in bytes.
    pub offset: usize,
}

/// An array of numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct CaffeBlob {
    /// Its shape; as many values as `data` has.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub data: Vec<f32>,
}

/// Reads a `.caffemodel`.
pub fn read_caffemodel(bytes: &[u8]) -> Result<CaffeNet, WeightsError> {
    let mut net = CaffeNet::default();
    let mut fields = Reader { bytes, offset: 0 };
    while let Some(field) = fields.next_field()? {
        let (Field { number: 100, .. } | Field { number: 2, .. }) = field else { continue };
        let layer = match field.value {
            Value::Bytes(message) if field.number == 100 => read_layer(message, field.offset, &LAYER)?,
            Value::Bytes(message) => read_layer(message, field.offset, &V1_LAYER)?,
            Value::Number(_) | Value::Word(_) => return Err(at(field.offset, "a number", "a layer")),
        };
        if layer.blobs.is_empty() {
            continue;
        }
        if net.layers.len() == MAX_LAYERS {
            return Err(at(field.offset, format!("more than {MAX_LAYERS} layers"), "a network"));
        }
        net.layers.push(layer);
    }
    if net.layers.is_empty() {
        return Err(at(0, "no layer with weights", "a network in Caffe's binary format (.caffemodel)"));
    }
    Ok(net)
}

impl CaffeNet {
    /// A layer by its name.
    pub fn layer(&self, name: &str) -> Option<&CaffeLayer> {
        self.layers.iter().find(|layer| layer.name == name)
    }

    /// The number of frames, from the kernels of the first two layers.
    pub fn frames(&self) -> Option<Frames> {
        let depth = |name: &str| self.layer(name)?.blobs.first()?.shape.get(4).copied();
        let depths = [depth("conv1_1")?, depth("conv1_2")?];
        Frames::ALL.into_iter().find(|frames| frames.kernel_depths() == depths)
    }

    /// The network that these layers are, with its channels from the shapes, and its tensors. Names and shapes are
    /// compared when a network is made of them ([`crate::DeepEm3d::from_tensors`]), which lists all differences.
    pub fn to_network(self, frames: Frames) -> Result<(NetConfig, Vec<NamedTensor>), WeightsError> {
        let config = NetConfig::from_shapes(frames, |layer| Some(&self.layer(layer)?.blobs.first()?.shape))?;
        let mut specs: BTreeMap<(String, usize), ParamSpec> = config
            .parameters()
            .into_iter()
            .map(|spec| ((spec.name.layer.clone(), spec.name.kind.caffe_blob()), spec))
            .collect();
        let mut tensors = Vec::new();
        let mut unexpected = Vec::new();
        for layer in self.layers {
            for (place, blob) in layer.blobs.into_iter().enumerate() {
                let Some(spec) = specs.remove(&(layer.name.clone(), place)) else {
                    unexpected.push(format!("layer {} (blob {place}, at byte {})", layer.name, layer.offset));
                    continue;
                };
                // Old files give every blob four axes, the first ones 1.
                let shape = if without_leading_ones(&blob.shape) == without_leading_ones(&spec.shape) {
                    spec.shape
                } else {
                    blob.shape
                };
                tensors.push(NamedTensor { name: spec.name, shape, values: blob.data });
            }
        }
        if unexpected.is_empty() {
            Ok((config, tensors))
        } else {
            Err(WeightsError::Mismatch(super::Mismatch {
                unexpected,
                missing: specs.into_values().collect(),
                different: Vec::new(),
            }))
        }
    }
}

fn without_leading_ones(shape: &[usize]) -> &[usize] {
    let ones = shape.iter().take_while(|&&size| size == 1).count();
    &shape[ones..]
}

/// Numbers of a layer message's fields.
struct LayerFields {
    name: u32,
    kind: u32,
    blobs: u32,
}

const LAYER: LayerFields = LayerFields { name: 1, kind: 2, blobs: 7 };
const V1_LAYER: LayerFields = LayerFields { name: 4, kind: 5, blobs: 6 };

fn read_layer(message: Reader<'_>, offset: usize, numbers: &LayerFields) -> Result<CaffeLayer, WeightsError> {
    let mut layer = CaffeLayer { name: String::new(), kind: String::new(), blobs: Vec::new(), offset };
    let mut fields = message;
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            (n, Value::Bytes(text)) if n == numbers.name => layer.name = text.text()?,
            (n, Value::Bytes(text)) if n == numbers.kind => layer.kind = text.text()?,
            (n, Value::Number(kind)) if n == numbers.kind => layer.kind = kind.to_string(),
            (n, Value::Bytes(blob)) if n == numbers.blobs => {
                if layer.blobs.len() == MAX_BLOBS {
                    return Err(at(field.offset, format!("more than {MAX_BLOBS} blobs"), "a layer"));
                }
                layer.blobs.push(read_blob(blob, field.offset)?);
            }
            _ => {}
        }
    }
    Ok(layer)
}

fn read_blob(message: Reader<'_>, offset: usize) -> Result<CaffeBlob, WeightsError> {
    let mut data = Vec::new();
    let mut shape: Option<Vec<usize>> = None;
    let mut old_shape = [None; 4];
    let mut fields = message;
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            (n @ 1..=4, Value::Number(size)) => old_shape[n as usize - 1] = Some(size_of_axis(size, field.offset)?),
            (5, Value::Bytes(floats)) => {
                let (values, rest) = floats.bytes.as_chunks::<4>();
                if !rest.is_empty() {
                    return Err(at(
                        field.offset,
                        format!("{} bytes of data", floats.bytes.len()),
                        "whole 32-bit numbers",
                    ));
                }
                data.extend(values.iter().map(|&value| f32::from_le_bytes(value)));
            }
            (5, Value::Word(word)) => data.push(f32::from_bits(word)),
            (7, Value::Bytes(dims)) => shape = Some(read_shape(dims)?),
            (8, Value::Bytes(doubles)) => {
                let (values, rest) = doubles.bytes.as_chunks::<8>();
                if !rest.is_empty() {
                    return Err(at(
                        field.offset,
                        format!("{} bytes of data", doubles.bytes.len()),
                        "whole 64-bit numbers",
                    ));
                }
                data.extend(values.iter().map(|&value| f64::from_le_bytes(value) as f32));
            }
            _ => {}
        }
    }
    let shape = shape.unwrap_or_else(|| old_shape.iter().flatten().copied().collect());
    let expected = shape.iter().try_fold(1_usize, |all, &size| all.checked_mul(size));
    if expected != Some(data.len()) {
        return Err(at(
            offset,
            format!("{} values for a blob of shape {shape:?}", data.len()),
            "as many as the shape says",
        ));
    }
    Ok(CaffeBlob { shape, data })
}

fn read_shape(message: Reader<'_>) -> Result<Vec<usize>, WeightsError> {
    let mut shape = Vec::new();
    let mut add = |size: u64, offset: usize| {
        if shape.len() == MAX_AXES {
            return Err(at(offset, format!("more than {MAX_AXES} axes"), "a blob's shape"));
        }
        shape.push(size_of_axis(size, offset)?);
        Ok(())
    };
    let mut fields = message;
    while let Some(field) = fields.next_field()? {
        match (field.number, field.value) {
            (1, Value::Number(size)) => add(size, field.offset)?,
            (1, Value::Bytes(mut packed)) => {
                while !packed.bytes.is_empty() {
                    let offset = packed.offset;
                    add(packed.varint()?, offset)?;
                }
            }
            _ => {}
        }
    }
    Ok(shape)
}

fn size_of_axis(size: u64, offset: usize) -> Result<usize, WeightsError> {
    match u32::try_from(size) {
        Ok(size) if size > 0 => Ok(size as usize),
        _ => Err(at(offset, format!("an axis of {}", size.cast_signed()), "1 or more, below 2³²")),
    }
}

fn at(offset: usize, found: impl Into<String>, expected: impl Into<String>) -> WeightsError {
    WeightsError::Malformed { offset, found: found.into(), expected: expected.into() }
}

/// The bytes of a message that are still to be read, and where they lie in the file.
#[derive(Clone, Copy)]
struct Reader<'a> {
    bytes: &'a [u8],
    offset: usize,
}

/// A field of a message.
struct Field<'a> {
    number: u32,
    offset: usize,
    value: Value<'a>,
}

enum Value<'a> {
    Number(u64),
    Word(u32),
    Bytes(Reader<'a>),
}

impl<'a> Reader<'a> {
    /// The next field; `None` at the message's end. 64-bit numbers, which no field above has, count as [`Value::Bytes`].
    fn next_field(&mut self) -> Result<Option<Field<'a>>, WeightsError> {
        if self.bytes.is_empty() {
            return Ok(None);
        }
        let offset = self.offset;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|&n| n > 0 && n < 1 << 29);
        let number =
            number.ok_or_else(|| at(offset, format!("field number {}", tag >> 3), "a field of a protobuf message"))?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => {
                let word = self.take(4)?.bytes;
                Value::Word(word.iter().rev().fold(0, |all, &byte| all << 8 | u32::from(byte)))
            }
            other => return Err(at(offset, format!("wire type {other}"), "a field of a protobuf message")),
        };
        Ok(Some(Field { number, offset, value }))
    }

    fn varint(&mut self) -> Result<u64, WeightsError> {
        let mut value = 0_u64;
        for (i, &byte) in self.bytes.iter().take(10).enumerate() {
            value |= u64::from(byte & 0x7f) << (7 * i);
            if byte & 0x80 == 0 {
                self.bytes = &self.bytes[i + 1..];
                self.offset += i + 1;
                return Ok(value);
            }
        }
        Err(at(self.offset, "a number without an end", "at most 10 bytes"))
    }

    fn take(&mut self, length: u64) -> Result<Self, WeightsError> {
        match usize::try_from(length).ok().and_then(|length| self.bytes.split_at_checked(length)) {
            Some((bytes, rest)) => {
                let taken = Self { bytes, offset: self.offset };
                self.offset += bytes.len();
                self.bytes = rest;
                Ok(taken)
            }
            None => Err(at(
                self.offset,
                format!("a length of {length} bytes"),
                format!("at most the {} that are left", self.bytes.len()),
            )),
        }
    }

    fn text(self) -> Result<String, WeightsError> {
        match std::str::from_utf8(self.bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(at(self.offset, "bytes that are no text", "a name in UTF-8")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(number: u64, payload: &[u8]) -> Vec<u8> {
        let mut bytes = varint(number << 3 | 2);
        bytes.extend(varint(payload.len() as u64));
        bytes.extend(payload);
        bytes
    }

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    /// A file of one layer "conv" with a blob of shape [2, 3].
    fn file() -> Vec<u8> {
        let shape = field(7, &field(1, &[2, 3]));
        let blob = [shape, field(5, &floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))].concat();
        field(100, &[field(1, b"conv"), field(2, b"Convolution"), field(7, &blob)].concat())
    }

    #[test]
    fn current_and_old_layers_are_read() {
        let net = read_caffemodel(&file()).unwrap();
        let blob = CaffeBlob { shape: vec![2, 3], data: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0] };
        assert_eq!(net.layer("conv").unwrap().blobs, std::slice::from_ref(&blob));
        assert_eq!(net.layer("conv").unwrap().kind, "Convolution");

        // num 1, channels 1, height 2, width 3; values one by one.
        let mut old = vec![0x08, 1, 0x10, 1, 0x18, 2, 0x20, 3];
        for value in &blob.data {
            old.push(0x2d);
            old.extend(value.to_le_bytes());
        }
        let old = field(2, &[field(4, b"conv"), vec![0x28, 4], field(6, &old)].concat());
        let net = read_caffemodel(&old).unwrap();
        assert_eq!(net.layers[0].blobs, [CaffeBlob { shape: vec![1, 1, 2, 3], ..blob }]);
        assert_eq!((net.layers[0].name.as_str(), net.layers[0].kind.as_str()), ("conv", "4"));
    }

    #[test]
    fn lengths_are_checked_before_anything_is_allocated() {
        let mut bytes = vec![0xa2, 0x06];
        bytes.extend(varint(10_000_000_000));
        let text = read_caffemodel(&bytes).unwrap_err().to_string();
        assert!(text.contains("at byte 7") && text.contains("10000000000"), "{text}");

        let blob =
            [field(7, &field(1, &[varint(u64::from(u32::MAX)), varint(u64::from(u32::MAX))].concat())), field(5, &[])]
                .concat();
        let text = read_caffemodel(&field(100, &field(7, &blob))).unwrap_err().to_string();
        assert!(text.contains("0 values for a blob of shape"), "{text}");
    }

    #[test]
    fn every_cut_of_a_file_is_an_error_with_its_place() {
        let bytes = file();
        for len in 0..bytes.len() {
            let text = read_caffemodel(&bytes[..len]).unwrap_err().to_string();
            assert!(text.contains("at byte"), "{len} bytes: {text}");
        }
    }

    proptest! {
        #[test]
        fn damaged_files_do_not_panic(at in 0_usize..60, byte: u8, cut in 0_usize..80) {
            let mut bytes = file();
            let at = at % bytes.len();
            bytes[at] = byte;
            bytes.truncate(bytes.len().max(cut) - cut.min(bytes.len()) / 3);
            let _ = read_caffemodel(&bytes);
        }

        #[test]
        fn noise_does_not_panic(bytes: Vec<u8>) {
            let _ = read_caffemodel(&bytes);
        }
    }
}
