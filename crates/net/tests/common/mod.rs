//! The golden outputs of the original network, and what it takes to compare with them.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a fixture that cannot be read fails the test")]

pub(crate) mod corpus;
pub(crate) mod encode;

use std::fs::File;
use std::path::PathBuf;

use burn::tensor::{Device, Tensor, TensorData};
use deep3m_net::weights::caffe::read_caffemodel;
use deep3m_net::{DeepEm3d, DeviceChoice, NamedTensor, NetConfig};
use ndarray::{Array, IxDyn};
use ndarray_npy::{NpzReader, ReadableElement};

/// A file of the fixtures; `None`, said loudly, where they are absent.
pub(crate) fn fixture(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures")).join(name);
    if path.is_file() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} absent", path.display());
    None
}

/// A `.npz` of golden arrays.
pub(crate) struct Golden(NpzReader<File>);

impl Golden {
    pub(crate) fn open(name: &str) -> Option<Self> {
        Some(Self(NpzReader::new(File::open(fixture(name)?).unwrap()).unwrap()))
    }

    pub(crate) fn names(&mut self) -> Vec<String> {
        let names = self.0.names().unwrap();
        names.into_iter().map(|n| n.trim_end_matches(".npy").to_owned()).collect()
    }

    pub(crate) fn array<T: ReadableElement>(&mut self, name: &str) -> Array<T, IxDyn> {
        let array = self.0.by_name(&format!("{name}.npy")).or_else(|_| self.0.by_name(name));
        array.unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn floats(&mut self, name: &str) -> Vec<f32> {
        self.array::<f32>(name).iter().copied().collect()
    }

    /// Grey values (rows, columns, frames) as the network's input: frames, rows, columns.
    pub(crate) fn frames(&mut self, name: &str) -> Vec<f32> {
        let array = self.array::<u8>(name).permuted_axes(IxDyn(&[2, 0, 1]));
        array.iter().map(|&v| f32::from(v)).collect()
    }
}

pub(crate) fn cpu() -> Device {
    DeviceChoice::Cpu.open().unwrap()
}

/// The tensors of a `.caffemodel` of the fixtures.
pub(crate) fn caffemodel(name: &str) -> Option<(NetConfig, Vec<NamedTensor>)> {
    let bytes = std::fs::read(fixture(name)?).unwrap();
    let net = read_caffemodel(&bytes).unwrap();
    let frames = net.frames().unwrap();
    Some(net.to_network(frames).unwrap())
}

pub(crate) fn network(name: &str, device: &Device) -> Option<DeepEm3d> {
    let (config, tensors) = caffemodel(name)?;
    Some(DeepEm3d::from_tensors(config, &tensors, device).unwrap())
}

/// Grey values n × frames × h × w as a tensor [n, 1, frames, h, w].
pub(crate) fn input(values: &[f32], n: usize, frames: usize, h: usize, w: usize, device: &Device) -> Tensor<5> {
    Tensor::from_data(TensorData::new(values.to_vec(), [n, 1, frames, h, w]), device)
}

pub(crate) fn host<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor.clone().try_into_vec_as().unwrap()
}

/// The largest difference.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

/// The largest difference over the largest value of `b`.
pub(crate) fn relative(a: &[f32], b: &[f32]) -> f32 {
    difference(a, b) / b.iter().fold(0.0_f32, |m, v| m.max(v.abs())).max(f32::MIN_POSITIVE)
}
