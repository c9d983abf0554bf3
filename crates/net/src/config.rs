//! The size of a network: its frames and every layer's channels.

use std::collections::BTreeMap;

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::frames::Frames;
use crate::graph::{CLASSES, Conv, GRAPH, Node, Op};
use crate::params::{ParamKind, ParamName, ParamSpec};
use crate::{DeepEm3d, init};

/// More channels than any layer may have: a bound against damaged files.
const MAX_CHANNELS: usize = 1 << 16;

/// The output channels of every convolution, by its layer's name. The heads and what follows them have two, one per
/// class, and are not listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Channels(BTreeMap<String, usize>);

impl Channels {
    /// The channels of a layer.
    pub fn get(&self, layer: &str) -> Option<usize> {
        self.0.get(layer).copied()
    }

    /// All layers in alphabetical order with their channels.
    pub fn iter(&self) -> impl Iterator<Item = (&str, usize)> {
        self.0.iter().map(|(layer, &channels)| (layer.as_str(), channels))
    }
}

/// What a network looks like: everything that its weights' shapes follow from.
///
/// ```
/// # use deep3m_net::{Frames, NetConfig};
/// let original = NetConfig::original(Frames::Three);
/// assert_eq!(original.channels().get("conv4_1b"), Some(1154));
/// let quarter = NetConfig::with_width(Frames::Three, 0.25)?;
/// assert_eq!(quarter.channels().get("conv4_1b"), Some(288));
/// # Ok::<(), deep3m_net::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct NetConfig {
    frames: Frames,
    channels: Channels,
    /// Whether rows and columns of every kernel are exchanged.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    transposed: bool,
}

/// A configuration as a file gives it.
#[derive(Deserialize)]
struct Unchecked {
    frames: Frames,
    channels: Channels,
    #[serde(default)]
    transposed: bool,
}

/// Why there is no such network.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A width that gives no network.
    #[error("network width: found {found}; expected a number above 0 and at most 8 (1 is the original network)")]
    Width {
        /// The width.
        found: f64,
    },
    /// Layers without a channel count.
    #[error("network configuration: no channel count for {}", layers.join(", "))]
    Missing {
        /// Their names.
        layers: Vec<String>,
    },
    /// Layers that the network does not have.
    #[error("network configuration: DeepEM3D has no layer {}", layers.join(", "))]
    Unknown {
        /// Their names.
        layers: Vec<String>,
    },
    /// A channel count out of range.
    #[error("network configuration: layer {layer} has {found} channels; expected 1 to {MAX_CHANNELS}")]
    Channels {
        /// The layer.
        layer: String,
        /// Its channels.
        found: usize,
    },
    /// Two layers that are added have different channels.
    #[error(
        "network configuration: layer {layer} has {found} channels; expected {expected}, as {other}, to which it is added"
    )]
    Residual {
        /// The layer.
        layer: String,
        /// Its channels.
        found: usize,
        /// The other's channels.
        expected: usize,
        /// The layer it is added to.
        other: String,
    },
}

impl TryFrom<Unchecked> for NetConfig {
    type Error = ConfigError;

    fn try_from(Unchecked { frames, channels, transposed }: Unchecked) -> Result<Self, Self::Error> {
        Ok(Self { transposed, ..Self::new(frames, channels)? })
    }
}

impl NetConfig {
    /// Height and width of the input must be whole multiples of this: the network halves them four times.
    pub const MULTIPLE: usize = 16;

    /// The network of the paper: width 1, 24 million weights.
    pub fn original(frames: Frames) -> Self {
        let channels = sized_layers().map(|(name, conv)| (name.to_owned(), conv.channels)).collect();
        Self { frames, channels: Channels(channels), transposed: false }
    }

    /// The network with every layer's channels times `width`, rounded to a multiple of 4, at least 4; the two output
    /// channels stay. Width 1 is the original as it is.
    pub fn with_width(frames: Frames, width: f64) -> Result<Self, ConfigError> {
        if !(width > 0.0 && width <= 8.0) {
            return Err(ConfigError::Width { found: width });
        }
        let mut config = Self::original(frames);
        if width != 1.0 {
            for channels in config.channels.0.values_mut() {
                *channels = ((*channels as f64 * width / 4.0).round() as usize * 4).max(4);
            }
        }
        Ok(config)
    }

    /// The network with these channels.
    pub fn new(frames: Frames, channels: Channels) -> Result<Self, ConfigError> {
        let names = |keep: &dyn Fn(&str) -> bool| -> Vec<String> {
            sized_layers().map(|(name, _)| name).filter(|name| keep(name)).map(str::to_owned).collect()
        };
        let layers = names(&|name| channels.get(name).is_none());
        if !layers.is_empty() {
            return Err(ConfigError::Missing { layers });
        }
        let known = names(&|_| true);
        let layers: Vec<String> = channels.0.keys().filter(|layer| !known.contains(layer)).cloned().collect();
        if !layers.is_empty() {
            return Err(ConfigError::Unknown { layers });
        }
        if let Some((layer, found)) = channels.iter().find(|&(_, found)| found == 0 || found > MAX_CHANNELS) {
            return Err(ConfigError::Channels { layer: layer.to_owned(), found });
        }
        let config = Self { frames, channels, transposed: false };
        let blobs = config.blob_channels();
        for node in GRAPH.nodes.iter().filter(|node| matches!(node.op, Op::Residual)) {
            let [outer, inner] = [node.inputs[0], node.inputs[1]];
            if blobs[outer] != blobs[inner] {
                return Err(ConfigError::Residual {
                    layer: GRAPH.nodes[inner - 1].name.to_owned(),
                    found: blobs[inner],
                    expected: blobs[outer],
                    other: GRAPH.nodes[outer - 1].name.to_owned(),
                });
            }
        }
        Ok(config)
    }

    /// The network whose convolutions have these channels, found by layer name.
    pub fn from_channels(frames: Frames, channels_of: impl Fn(&str) -> Option<usize>) -> Result<Self, ConfigError> {
        let channels = sized_layers().filter_map(|(name, _)| Some((name.to_owned(), channels_of(name)?))).collect();
        Self::new(frames, Channels(channels))
    }

    /// The same network with rows and columns of every kernel exchanged, so that 7 × 1 is 1 × 7: given a transposed image
    /// and transposed weights, it gives the transposed answer. CDeep3M 1.x trained such networks, because it handed
    /// images over with rows and columns exchanged.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self { transposed: !self.transposed, ..self }
    }

    /// Whether rows and columns of every kernel are exchanged against the published network.
    pub const fn is_transposed(&self) -> bool {
        self.transposed
    }

    /// How many sections it sees.
    pub const fn frames(&self) -> Frames {
        self.frames
    }

    /// Every layer's channels.
    pub const fn channels(&self) -> &Channels {
        &self.channels
    }

    /// A new network on a device, its first weights Caffe's fillers drawn from `seed`. On a device with
    /// [`autodiff`](Device::autodiff) it can be trained.
    pub fn init(&self, device: &Device, seed: u64) -> DeepEm3d {
        DeepEm3d::build(self.clone(), device, |spec| init::first_values(spec, seed))
    }

    /// Every tensor of the network with its shape: layer by layer weights and biases, then statistics, gamma and beta.
    pub fn parameters(&self) -> Vec<ParamSpec> {
        let blobs = self.blob_channels();
        GRAPH.layers().flat_map(|(index, _)| self.parameters_of(index, &blobs)).collect()
    }

    /// The tensors of one step, in the order of [`Self::parameters`].
    pub(crate) fn layer_parameters(&self, index: usize) -> Vec<ParamSpec> {
        self.parameters_of(index, &self.blob_channels())
    }

    /// The tensors of one step, given the channels of every blob.
    fn parameters_of(&self, index: usize, blobs: &[usize]) -> Vec<ParamSpec> {
        let node = &GRAPH.nodes[index];
        let (from, to) = (blobs[node.inputs[0]], blobs[index + 1]);
        let spec = |layer: &str, kind, shape: &[usize]| ParamSpec {
            name: ParamName { layer: layer.to_owned(), kind },
            shape: shape.to_vec(),
        };
        let mut specs = Vec::new();
        match &node.op {
            &Op::Conv(Conv { mut kernel, .. }) => {
                if self.transposed {
                    kernel.reverse();
                }
                let [rows, columns] = kernel;
                // The frames lie along z for the first two layers: the first reads one channel, grey.
                let shape = match (index, self.frames.kernel_depths()) {
                    (0, [depth, _]) => vec![to, 1, rows, columns, depth],
                    (1, [_, depth]) => vec![to, from, rows, columns, depth],
                    _ => vec![to, from, rows, columns],
                };
                specs.push(spec(node.name, ParamKind::ConvWeight, &shape));
                specs.push(spec(node.name, ParamKind::ConvBias, &[to]));
            }
            Op::Head(head) => {
                for tap in &head.taps {
                    specs.push(spec(tap.layer, ParamKind::DeconvWeight, &[from, to, head.kernel(), head.kernel()]));
                    specs.push(spec(tap.layer, ParamKind::DeconvBias, &[to]));
                }
            }
            _ => return specs,
        }
        let norm = node.norm().unwrap_or(node.name);
        for kind in [ParamKind::MeanSum, ParamKind::VarianceSum] {
            specs.push(spec(&format!("bn_{norm}"), kind, &[to]));
        }
        specs.push(spec(&format!("bn_{norm}"), ParamKind::Factor, &[1]));
        for kind in [ParamKind::Gamma, ParamKind::Beta] {
            specs.push(spec(&format!("scale_{norm}"), kind, &[to]));
        }
        specs
    }

    /// How many numbers training changes.
    pub fn parameter_count(&self) -> u64 {
        self.parameters().iter().filter(|spec| spec.name.kind.is_trained()).map(|spec| spec.len() as u64).sum()
    }

    /// Floating-point operations (two per multiplication with addition) of the convolutions for one section of `height`
    /// × `width` pixels.
    pub fn flops(&self, height: usize, width: usize) -> f64 {
        let mut pixels = vec![(height * width) as f64];
        let mut flops = 0.0;
        for (index, node) in GRAPH.nodes.iter().enumerate() {
            let input = pixels[node.inputs[0]];
            let weights =
                self.layer_parameters(index).iter().filter(|s| s.shape.len() > 1).map(ParamSpec::len).sum::<usize>();
            let (output, at, planes) = match &node.op {
                Op::Conv(conv) => {
                    let output = input / (conv.stride * conv.stride) as f64;
                    (output, output, if index == 0 { self.frames.kernel_depths()[1] } else { 1 })
                }
                Op::Head(head) => (input * (head.stride * head.stride) as f64, input, 1),
                Op::Pool => (input / 4.0, 0.0, 1),
                Op::Concat | Op::Residual | Op::Sum => (input, 0.0, 1),
            };
            flops += 2.0 * weights as f64 * at * planes as f64;
            pixels.push(output);
        }
        flops
    }

    /// How far an input pixel can lie from an output pixel that it influences, in rows or columns, whichever is more:
    /// the context that a block needs on each side for its result not to depend on where it was cut.
    #[allow(clippy::unused_self, reason = "a network of other kernels would answer otherwise")]
    pub fn field_of_view(&self) -> usize {
        // Every output pixel of one period of the strides, traced back to the rows and columns of the input.
        let period = Self::MULTIPLE as i64;
        (0..period).flat_map(|at| [0, 1].map(|axis| reach(at, axis))).max().unwrap_or(0) as usize
    }

    /// The channels of every blob; 0 is the network's input.
    pub(crate) fn blob_channels(&self) -> Vec<usize> {
        GRAPH.channels(self.frames.count(), |node, _| self.channels.get(node.name).unwrap_or(CLASSES))
    }
}

/// The convolutions whose channels a configuration sets.
fn sized_layers() -> impl Iterator<Item = (&'static str, &'static Conv)> {
    GRAPH.nodes.iter().filter_map(|Node { name, op, .. }| match op {
        Op::Conv(conv) if conv.channels != CLASSES => Some((*name, conv)),
        _ => None,
    })
}

/// The largest distance along an axis (0 rows, 1 columns) from output pixel `at` to an input pixel that it depends on.
fn reach(at: i64, axis: usize) -> i64 {
    // For each blob the pixels, first to last, that the output depends on.
    let mut needed: Vec<Option<(i64, i64)>> = vec![None; GRAPH.nodes.len() + 1];
    needed[GRAPH.nodes.len()] = Some((at, at));
    for (index, node) in GRAPH.nodes.iter().enumerate().rev() {
        let Some((first, last)) = needed[index + 1] else { continue };
        let (first, last) = match &node.op {
            Op::Conv(conv) => {
                let (stride, kernel) = (conv.stride as i64, conv.kernel[axis] as i64);
                let before = (kernel - 1) / 2;
                (first * stride - before, last * stride - before + kernel - 1)
            }
            Op::Head(head) => {
                let spans = head.taps.iter().map(|tap| {
                    let (stride, padding) = (head.stride as i64, head.padding(tap) as i64);
                    let span = (tap.dilation * (head.kernel() - 1)) as i64;
                    (-(-(first + padding - span)).div_euclid(stride), (last + padding).div_euclid(stride))
                });
                spans.fold(
                    (first, last),
                    |(a, b), (c, d)| if (a, b) == (first, last) { (c, d) } else { (a.min(c), b.max(d)) },
                )
            }
            Op::Pool => (first * 2, last * 2 + 2),
            Op::Concat | Op::Residual | Op::Sum => (first, last),
        };
        for &blob in &node.inputs {
            let (a, b) = needed[blob].unwrap_or((first, last));
            needed[blob] = Some((a.min(first), b.max(last)));
        }
    }
    needed[0].map_or(0, |(first, last)| (at - first).max(last - at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_has_the_size_that_was_measured() {
        let one = NetConfig::original(Frames::One);
        assert!((23.9e6..24.1e6).contains(&(one.parameter_count() as f64)), "{}", one.parameter_count());
        assert!((one.flops(512, 512) / 182e9 - 1.0).abs() < 0.01, "{}", one.flops(512, 512));
        assert!((NetConfig::original(Frames::Three).flops(1024, 1024) / 740e9 - 1.0).abs() < 0.01);
        assert!((NetConfig::original(Frames::Five).flops(1024, 1024) / 751e9 - 1.0).abs() < 0.01);
        assert_eq!(one.channels().iter().count(), 40);
        assert_eq!(NetConfig::with_width(Frames::One, 1.0).unwrap(), one);
    }

    #[test]
    fn every_width_gives_a_network_of_multiples_of_four() {
        for width in [0.01, 1.0 / 16.0, 0.25, 0.3, 0.5, 2.0] {
            let config = NetConfig::with_width(Frames::Five, width).unwrap();
            assert!(config.channels().iter().all(|(_, c)| c >= 4 && c % 4 == 0));
            NetConfig::new(Frames::Five, config.channels().clone()).unwrap();
        }
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY, 9.0] {
            assert!(NetConfig::with_width(Frames::One, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_configuration_is_checked_when_read() {
        let config = NetConfig::with_width(Frames::Three, 0.1).unwrap();
        let mut json = serde_json::to_value(&config).unwrap();
        assert_eq!(serde_json::from_value::<NetConfig>(json.clone()).unwrap(), config);
        let mut refused = |layer: &str, value: Option<usize>, says: &str| {
            let before = json.clone();
            let channels = json["channels"].as_object_mut().unwrap();
            match value {
                Some(value) => channels.insert(layer.to_owned(), value.into()),
                None => channels.remove(layer),
            };
            let error = serde_json::from_value::<NetConfig>(json.clone()).unwrap_err().to_string();
            assert!(error.contains(says) && error.contains(layer), "{error}");
            json = before;
        };
        refused("conv4_1b", None, "no channel count");
        refused("conv9", Some(4), "has no layer");
        refused("conv1_2", Some(0), "0 channels");
        refused("conv1_2", Some(1 << 40), "channels");
        refused("ira_A_concat_top_conv_1x1", Some(44), "to which it is added");
    }

    #[test]
    fn a_transposed_network_has_its_kernels_turned_and_says_so() {
        let plain = NetConfig::with_width(Frames::Three, 0.1).unwrap();
        let turned = plain.clone().transposed();
        let kernel = |config: &NetConfig, layer: &str| {
            let spec = config.parameters().into_iter().find(|spec| spec.name.layer == layer).unwrap();
            spec.shape[2..4].to_vec()
        };
        assert_eq!((kernel(&plain, "conv2_1x7"), kernel(&turned, "conv2_1x7")), (vec![7, 1], vec![1, 7]));
        let json = serde_json::to_string(&turned).unwrap();
        assert_eq!(serde_json::from_str::<NetConfig>(&json).unwrap(), turned);
        assert!(!serde_json::to_string(&plain).unwrap().contains("transposed"));
    }

    #[test]
    fn the_field_of_view_is_that_of_the_widest_head() {
        let radius = NetConfig::original(Frames::One).field_of_view();
        // The head at 1/8 alone reaches 23 · 15 / 2 px; everything before it adds to that.
        assert!((173..400).contains(&radius), "{radius}");
        eprintln!("field of view: {radius} px");
    }
}
