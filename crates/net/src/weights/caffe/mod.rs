//! Reads binary `.caffemodel` files: Caffe's `NetParameter` message, with current and old (V1) layers.
//!
//! The protobuf wire format is read by hand, because each length must be checked against the bytes that are left before
//! anything is allocated, and an error must say at which byte. Only what is needed is looked at: names and blobs of
//! layers. Fields (caffe.proto): `NetParameter` layer 100, layers 2 (V1); `LayerParameter` name 1, blobs 7;
//! `V1LayerParameter` name 4, blobs 6; `BlobProto` shape 7 (`dim` 1), data 5, `double_data` 8, and in old files num,
//! channels, height, width 1–4.
//!
//! A file is walked twice. First its layers are found, as places in the file: what the network does not have is counted
//! and not kept, so that memory is bounded by the network's own table whatever a file claims. Then the values of layers
//! whose shapes fit are read, once.

mod blob;
mod differences;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use super::WeightsError;
use crate::config::NetConfig;
use crate::frames::Frames;
use crate::params::{NamedTensor, ParamKind, ParamSpec};

pub use blob::CaffeBlob;
pub use differences::{LayerDifferences, ShapeDifference};
use wire::{Field, Reader, Value, at};

/// The first bytes of every HDF5 file.
const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// How many blobs each of the network's layers has, by its name: the same for 1, 3 and 5 frames and all widths.
static BLOBS: LazyLock<BTreeMap<String, usize>> = LazyLock::new(|| {
    let mut blobs = BTreeMap::new();
    for spec in NetConfig::original(Frames::One).parameters() {
        *blobs.entry(spec.name.layer).or_default() += 1;
    }
    blobs
});

/// The layers of a file that DeepEM3D has, as places in the file's bytes.
#[derive(Clone, Debug, Default)]
pub struct CaffeNet<'a> {
    layers: BTreeMap<&'static str, CaffeLayer<'a>>,
    /// What the file has beside them.
    differences: LayerDifferences,
}

/// A layer with weights.
#[derive(Clone, Debug)]
pub struct CaffeLayer<'a> {
    /// Its weights, then its biases; of batch normalisation the sums of means and variances, then their factor.
    pub blobs: Vec<CaffeBlob<'a>>,
    /// Where it begins in the file, in bytes.
    pub offset: usize,
}

/// Finds the layers of a `.caffemodel`. Values are not looked at yet, but every length is checked.
///
/// # Errors
/// [`WeightsError::Malformed`] with the byte where the file breaks, [`WeightsError::Hdf5`] for a snapshot of that format.
pub fn read_caffemodel(bytes: &[u8]) -> Result<CaffeNet<'_>, WeightsError> {
    if bytes.starts_with(HDF5) {
        return Err(WeightsError::Hdf5);
    }
    match read_layers(bytes) {
        Err(_) if is_text(bytes) => {
            let start: String = bytes.iter().take(40).map(|&byte| char::from(byte)).collect();
            let expected =
                "a network in Caffe's binary format (.caffemodel); a .prototxt describes one without weights";
            Err(at(0, format!("text beginning with {start:?}"), expected))
        }
        other => other,
    }
}

fn is_text(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().take(256).all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

fn read_layers(bytes: &[u8]) -> Result<CaffeNet<'_>, WeightsError> {
    let mut net = CaffeNet::default();
    let mut fields = Reader { bytes, offset: 0 };
    let mut last = None;
    loop {
        let field = fields.next_field().map_err(|error| match last {
            Some(name) => error.place(&format!("after layer {}", shorten(name))),
            None => error,
        })?;
        let Some(field) = field else { break };
        let numbers = match field.number {
            100 => &LAYER,
            2 => &V1_LAYER,
            _ => continue,
        };
        let Value::Bytes(message) = field.value else { return Err(at(field.offset, "a number", "a layer")) };
        let (name, blobs) = read_name(message, numbers)?;
        last = Some(name);
        if blobs > 0 {
            let add = net.add(name, field.offset, message, numbers);
            add.map_err(|error| error.place(&format!("in layer {}", shorten(name))))?;
        }
    }
    if net.layers.is_empty() {
        let found = match net.differences.unexpected.first() {
            Some(layer) => format!("no layer of DeepEM3D (but {layer})"),
            None => "no layer with weights".to_owned(),
        };
        return Err(at(0, found, "a DeepEM3D network in Caffe's binary format (.caffemodel)"));
    }
    Ok(net)
}

/// A name from a file, cut to a length that fits into a message.
fn shorten(name: &str) -> String {
    const SHOWN: usize = 60;
    if name.chars().count() <= SHOWN {
        return name.to_owned();
    }
    name.chars().take(SHOWN).chain(['…']).collect()
}

/// Numbers of a layer message's fields.
struct LayerFields {
    name: u32,
    blobs: u32,
}

const LAYER: LayerFields = LayerFields { name: 1, blobs: 7 };
const V1_LAYER: LayerFields = LayerFields { name: 4, blobs: 6 };

/// The name of a layer, and the number of its blobs.
fn read_name<'a>(message: Reader<'a>, numbers: &LayerFields) -> Result<(&'a str, usize), WeightsError> {
    let (mut name, mut blobs) = ("", 0);
    let mut fields = message;
    loop {
        let field = fields.next_field().map_err(|error| match name {
            "" => error,
            name => error.place(&format!("in layer {}", shorten(name))),
        })?;
        let Some(Field { number, value, .. }) = field else { return Ok((name, blobs)) };
        match value {
            Value::Bytes(text) if number == numbers.name => name = text.text()?,
            Value::Bytes(_) if number == numbers.blobs => blobs += 1,
            _ => {}
        }
    }
}

impl<'a> CaffeNet<'a> {
    /// Adds a layer, or notes that the network does not have it. Its blobs are checked in either case.
    fn add(
        &mut self,
        name: &str,
        offset: usize,
        message: Reader<'a>,
        numbers: &LayerFields,
    ) -> Result<(), WeightsError> {
        let known = BLOBS.get_key_value(name);
        let mut layer = CaffeLayer { blobs: Vec::new(), offset };
        let mut superfluous = None;
        let mut fields = message;
        while let Some(field) = fields.next_field()? {
            let Value::Bytes(blob) = field.value else { continue };
            if field.number != numbers.blobs {
                continue;
            }
            let blob = CaffeBlob::read(blob, field.offset)?;
            match known {
                Some((_, &blobs)) if layer.blobs.len() < blobs => {
                    layer.blobs.reserve_exact(1);
                    layer.blobs.push(blob);
                }
                Some((_, &blobs)) => superfluous = superfluous.or(Some((blobs, field.offset))),
                None => {}
            }
        }
        match known {
            None => self.differences.not_expected(|| format!("layer {}, at byte {offset}", shorten(name))),
            Some((name, _)) => {
                if let Some((blob, offset)) = superfluous {
                    self.differences.not_expected(|| format!("layer {name}, blob {blob}, at byte {offset}"));
                }
                if let Some(first) = self.layers.get(name.as_str()) {
                    return Err(at(
                        offset,
                        format!("a second layer {name}"),
                        format!("the one at byte {}", first.offset),
                    ));
                }
                self.layers.insert(name, layer);
            }
        }
        Ok(())
    }

    /// A layer by its name.
    pub fn layer(&self, name: &str) -> Option<&CaffeLayer<'a>> {
        self.layers.get(name)
    }

    /// The number of frames, from the kernels of the first two layers. Old files keep kernels of four axes: those of one
    /// frame.
    pub fn frames(&self) -> Option<Frames> {
        let depth = |name: &str| {
            let blob = self.layer(name)?.blobs.first()?;
            match blob.shape() {
                [_, _, _, _] => Some(1),
                [_, _, _, _, depth] => Some(*depth as usize),
                _ => None,
            }
        };
        let depths = [depth("conv1_1")?, depth("conv1_2")?];
        Frames::ALL.into_iter().find(|frames| frames.kernel_depths() == depths)
    }

    /// The network that these layers are, with its channels from the shapes, and its tensors, in the order of
    /// [`NetConfig::parameters`].
    ///
    /// # Errors
    /// [`WeightsError::Layers`] lists every layer that is missing, superfluous or of another shape;
    /// [`WeightsError::Value`] names a weight that is infinite or no number, and statistics that no batch went into.
    pub fn to_network(&self, frames: Frames) -> Result<(NetConfig, Vec<NamedTensor>), WeightsError> {
        self.differences(frames).and_then(|config| self.tensors(config, false))
    }

    /// As [`Self::to_network`], for a network that was trained on images with rows and columns exchanged, as CDeep3M 1.x
    /// did: rows and columns of all kernels are exchanged, and the network is [`NetConfig::transposed`].
    pub fn to_transposed_network(&self, frames: Frames) -> Result<(NetConfig, Vec<NamedTensor>), WeightsError> {
        self.differences(frames).and_then(|config| self.tensors(config, true))
    }

    /// The network as the file has it, if every layer is there in its shape.
    fn differences(&self, frames: Frames) -> Result<NetConfig, WeightsError> {
        let mut differences = self.differences.clone();
        let missing = BLOBS.keys().filter(|layer| !self.layers.contains_key(layer.as_str()));
        differences.missing = missing.map(|layer| format!("layer {layer}")).collect();
        // Without a layer its channels are unknown, and so are the shapes of those that read from it.
        if !differences.missing.is_empty() {
            return Err(WeightsError::Layers(differences));
        }
        let config = NetConfig::from_channels(frames, |layer| {
            Some(*self.layer(layer)?.blobs.first()?.shape().first()? as usize)
        })?;
        for spec in config.parameters() {
            let (layer, place) = (&spec.name.layer, spec.name.kind.caffe_blob());
            match self.blob(&spec) {
                None => differences.missing.push(format!("layer {layer}, blob {place} ({})", spec.name.kind.key())),
                Some(blob) if is_same_shape(blob.shape(), &spec) => {}
                Some(blob) => differences.different.push(ShapeDifference {
                    found: blob.shape().to_vec(),
                    offset: blob.offset(),
                    expected: spec,
                }),
            }
        }
        if differences.is_empty() { Ok(config) } else { Err(WeightsError::Layers(differences)) }
    }

    fn blob(&self, spec: &ParamSpec) -> Option<&CaffeBlob<'a>> {
        self.layer(&spec.name.layer)?.blobs.get(spec.name.kind.caffe_blob())
    }

    fn tensors(&self, config: NetConfig, transposed: bool) -> Result<(NetConfig, Vec<NamedTensor>), WeightsError> {
        let specs = config.parameters();
        let mut tensors = Vec::with_capacity(specs.len());
        for ParamSpec { name, mut shape } in specs {
            let blob = self.layer(&name.layer).and_then(|layer| layer.blobs.get(name.kind.caffe_blob()));
            let mut values = blob.map_or_else(|| Ok(Vec::new()), CaffeBlob::values)?;
            let wrong = |value: &f32| match name.kind {
                ParamKind::Factor => !(value.is_finite() && *value > 0.0),
                ParamKind::VarianceSum => !(value.is_finite() && *value >= 0.0),
                _ => !value.is_finite(),
            };
            if let Some(index) = values.iter().position(wrong) {
                let found = values[index];
                let expected = match name.kind {
                    ParamKind::Factor if found == 0.0 => {
                        "a number above 0 (the network's normalisation has seen no batch: give a trained snapshot)"
                    }
                    ParamKind::Factor => "a number above 0",
                    ParamKind::VarianceSum if found < 0.0 && found.is_finite() => "a variance, 0 or more",
                    _ => "a finite number (give an earlier snapshot)",
                };
                let offset = blob.map_or(0, |blob| blob.offset_of(index));
                return Err(WeightsError::Value { name, index, offset, found, expected });
            }
            if transposed && shape.len() > 1 {
                values = exchange_rows_and_columns(&values, &mut shape);
            }
            tensors.push(NamedTensor { name, shape, values });
        }
        Ok((if transposed { config.transposed() } else { config }, tensors))
    }
}

/// A kernel [a, b, rows, columns] or [a, b, rows, columns, z] as [a, b, columns, rows…].
fn exchange_rows_and_columns(values: &[f32], shape: &mut [usize]) -> Vec<f32> {
    let (rows, columns, depth) = (shape[2], shape[3], shape.get(4).copied().unwrap_or(1));
    let mut turned = Vec::with_capacity(values.len());
    for kernel in values.chunks_exact((rows * columns * depth).max(1)) {
        for column in 0..columns {
            for row in 0..rows {
                turned.extend_from_slice(&kernel[(row * columns + column) * depth..][..depth]);
            }
        }
    }
    shape.swap(2, 3);
    turned
}

/// Whether a blob has a tensor's shape. Old files give every blob four axes: the first ones of a vector are 1, and kernels
/// of one frame lack theirs along z.
fn is_same_shape(found: &[u32], spec: &ParamSpec) -> bool {
    fn without_leading_ones<T: Copy + PartialEq + From<u8>>(shape: &[T]) -> &[T] {
        &shape[shape.iter().take_while(|&&size| size == T::from(1)).count()..]
    }
    let same = |a: &[u32], b: &[usize]| a.len() == b.len() && a.iter().zip(b).all(|(&a, &b)| a as usize == b);
    let shape = &*spec.shape;
    if shape.len() > 1 {
        return same(found, shape) || (shape.len() == 5 && shape[4] == 1 && same(found, &shape[..4]));
    }
    same(without_leading_ones(found), without_leading_ones(shape))
}
