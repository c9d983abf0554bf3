//! The network as a list of layers, and the one function that runs it.
//!
//! Training, prediction, counting and checking all walk this list. Names and order of operations are those of CDeep3M's
//! network description; each head stands right after the blob that it reads, so that no large blob waits for the end.

use std::collections::HashMap;
use std::sync::LazyLock;

use burn::tensor::Tensor;
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;

use crate::frames::Frames;

/// Background and foreground.
pub(crate) const CLASSES: usize = 2;

/// The share of the inner branch in a residual sum.
pub(crate) const RESIDUAL_SHARE: f64 = 0.1;

/// One step of the network.
pub(crate) struct Node {
    /// The name of the blob that it makes, and of its layer.
    pub name: &'static str,
    /// What it does.
    pub op: Op,
    /// The blobs that it reads; 0 is the network's input, `i` the blob of node `i - 1`.
    pub inputs: Vec<usize>,
}

/// What a step does.
pub(crate) enum Op {
    /// A convolution, batch normalisation and (unless linear) ReLU.
    Conv(Conv),
    /// The sum of dilated transposed convolutions, batch normalisation and ReLU.
    Head(Head),
    /// The largest of 3 × 3 in steps of 2; windows are cut at the lower and right border (Caffe's rule).
    Pool,
    /// Channels one after another.
    Concat,
    /// ReLU(a + 0.1 · b).
    Residual,
    /// The sum of all inputs.
    Sum,
}

/// A convolution with zero padding of half its kernel.
pub(crate) struct Conv {
    /// Channels of the original, width 1.
    pub channels: usize,
    /// Rows and columns of its kernel in the published network.
    pub kernel: [usize; 2],
    /// Step in rows and columns.
    pub stride: usize,
    /// Whether a ReLU follows.
    pub relu: bool,
    /// The name of its normalisation, without `bn_` or `scale_`.
    pub norm: &'static str,
}

/// Transposed convolutions of one kernel and stride at several dilations, from one blob to the classes at full size.
pub(crate) struct Head {
    /// Upsampling.
    pub stride: usize,
    /// One transposed convolution each.
    pub taps: Vec<Tap>,
}

/// A transposed convolution of a head.
pub(crate) struct Tap {
    /// Its layer.
    pub layer: &'static str,
    /// The distance of neighbouring kernel elements.
    pub dilation: usize,
}

impl Op {
    /// Whether a ReLU ends it.
    pub(crate) const fn is_rectified(&self) -> bool {
        matches!(self, Self::Conv(Conv { relu: true, .. }) | Self::Head(_))
    }
}

/// The zeros on each side with which a convolution of this kernel, stride 1, keeps rows and columns. Kernels are those of
/// the weights: a transposed network's are turned ([`crate::NetConfig::transposed`]).
pub(crate) fn same_padding(kernel: [usize; 2]) -> [usize; 2] {
    kernel.map(|k| (k - 1) / 2)
}

impl Head {
    /// Rows and columns of the kernels.
    pub(crate) fn kernel(&self) -> usize {
        2 * self.stride
    }

    /// The padding with which the output is exactly `stride` times the input.
    pub(crate) fn padding(&self, tap: &Tap) -> usize {
        (tap.dilation * (self.kernel() - 1) + 1 - self.stride) / 2
    }
}

impl Node {
    /// The name of the normalisation, where the step has one.
    pub(crate) fn norm(&self) -> Option<&'static str> {
        match &self.op {
            Op::Conv(conv) => Some(conv.norm),
            Op::Head(_) => Some(self.name),
            _ => None,
        }
    }
}

/// The network.
pub(crate) struct Graph {
    /// Its steps in order; the last one makes the logits.
    pub nodes: Vec<Node>,
    /// For each blob the last step that reads it.
    last_use: Vec<usize>,
}

/// DeepEM3D.
pub(crate) static GRAPH: LazyLock<Graph> = LazyLock::new(deepem3d);

/// The layers with weights of a network: those in training, or those folded for prediction.
pub(crate) trait Layers {
    /// The blob after the layer of step `node` (a convolution or head), normalised and rectified.
    fn apply(&self, node: usize, input: Tensor<4>) -> Tensor<4>;
}

impl Graph {
    /// Runs the network on frames [N, frames, H, W] to logits [N, 2, H, W]. `watch` sees every blob as it is made.
    pub(crate) fn run(
        &self,
        layers: &impl Layers,
        input: Tensor<4>,
        mut watch: impl FnMut(&'static str, &Tensor<4>),
    ) -> Tensor<4> {
        let mut blobs: Vec<Option<Tensor<4>>> = vec![Some(input)];
        for (index, node) in self.nodes.iter().enumerate() {
            let mut inputs: Vec<Tensor<4>> = node.inputs.iter().filter_map(|&blob| blobs[blob].clone()).collect();
            for &blob in node.inputs.iter().filter(|&&blob| self.last_use[blob] == index) {
                blobs[blob] = None;
            }
            debug_assert_eq!(inputs.len(), node.inputs.len(), "{} reads a blob that is gone", node.name);
            let blob = match &node.op {
                Op::Conv(_) | Op::Head(_) => layers.apply(index, inputs.remove(0)),
                Op::Pool => {
                    let options = MaxPoolOptions::new([3, 3]).with_stride([2, 2]).with_ceil_mode(true);
                    max_pool2d(inputs.remove(0), options)
                }
                Op::Concat => Tensor::cat(inputs, 1),
                Op::Residual => {
                    let inner = inputs.remove(1).mul_scalar(RESIDUAL_SHARE);
                    burn::tensor::activation::relu(inputs.remove(0).add(inner))
                }
                Op::Sum => {
                    let first = inputs.remove(0);
                    inputs.into_iter().fold(first, Tensor::add)
                }
            };
            watch(node.name, &blob);
            blobs.push(Some(blob));
        }
        blobs.pop().flatten().expect("the network has a last step")
    }

    /// For each blob the last step that reads it.
    pub(crate) fn last_use(&self) -> &[usize] {
        &self.last_use
    }

    /// The steps that have weights, with their index.
    pub(crate) fn layers(&self) -> impl Iterator<Item = (usize, &Node)> {
        self.nodes.iter().enumerate().filter(|(_, node)| node.norm().is_some())
    }

    /// The channels of every blob (0: the input's), given those of the convolutions that are not heads.
    pub(crate) fn channels(&self, input: usize, of: impl Fn(&Node, &Conv) -> usize) -> Vec<usize> {
        let mut channels = vec![input];
        for node in &self.nodes {
            channels.push(match &node.op {
                Op::Conv(conv) => of(node, conv),
                Op::Head(_) => CLASSES,
                Op::Concat => node.inputs.iter().map(|&blob| channels[blob]).sum(),
                Op::Pool | Op::Residual | Op::Sum => channels[node.inputs[0]],
            });
        }
        channels
    }
}

/// Frames [N, frames, H, W] to the windows that the first convolution looks at, one after another in the batch:
/// [N · planes, frames per window, H, W], zero beyond the frames. A convolution over (z, y, x) of one input channel is
/// then one over (y, x) with the window's frames as channels.
pub(crate) fn windows_to_batch(frames: Frames, input: Tensor<4>) -> Tensor<4> {
    if frames == Frames::One {
        return input;
    }
    let [n, _, h, w] = input.dims();
    let windows = frames.first_windows();
    let [planes, depth] = [windows.len(), windows[0].len()];
    let zeros = Tensor::zeros([n, 1, h, w], &input.device());
    let slices =
        windows.into_iter().flatten().map(|z| z.map_or_else(|| zeros.clone(), |z| input.clone().narrow(1, z, 1)));
    Tensor::cat(slices.collect(), 1).reshape([n * planes, depth, h, w])
}

/// The planes that the first convolution made, [N · planes, C, H, W], side by side as channels of the second:
/// [N, planes · C, H, W].
pub(crate) fn planes_to_channels(frames: Frames, input: Tensor<4>) -> Tensor<4> {
    let [batch, channels, h, w] = input.dims();
    let planes = frames.kernel_depths()[1];
    input.reshape([batch / planes, planes * channels, h, w])
}

/// Collects steps and finds their inputs by name.
#[derive(Default)]
struct Builder {
    nodes: Vec<Node>,
    blobs: HashMap<&'static str, usize>,
}

impl Builder {
    fn push(&mut self, name: &'static str, op: Op, inputs: &[&str]) {
        let inputs = inputs.iter().map(|&input| if input == "data" { 0 } else { self.blobs[input] }).collect();
        self.nodes.push(Node { name, op, inputs });
        self.blobs.insert(name, self.nodes.len());
    }

    fn conv(&mut self, name: &'static str, input: &str, channels: usize, kernel: [usize; 2], stride: usize) {
        self.push(name, Op::Conv(Conv { channels, kernel, stride, relu: true, norm: name }), &[input]);
    }

    fn linear(&mut self, name: &'static str, input: &str, channels: usize, kernel: [usize; 2], norm: &'static str) {
        self.push(name, Op::Conv(Conv { channels, kernel, stride: 1, relu: false, norm }), &[input]);
    }

    fn head(
        &mut self,
        name: &'static str,
        input: &str,
        stride: usize,
        taps: &[(&'static str, usize)],
        conv: &'static str,
    ) {
        let taps = taps.iter().map(|&(layer, dilation)| Tap { layer, dilation }).collect();
        self.push(name, Op::Head(Head { stride, taps }), &[input]);
        self.conv(conv, name, CLASSES, [3, 3], 1);
    }
}

#[rustfmt::skip]
fn deepem3d() -> Graph {
    let mut g = Builder::default();
    g.conv("conv1_1", "data", 32, [3, 3], 2);
    g.conv("conv1_2", "conv1_1", 64, [3, 3], 1);

    // Stem, at 1/2.
    g.conv("conv2_1b", "conv1_2", 64, [1, 1], 1);
    g.linear("conv2_1b_3x3", "conv2_1b", 96, [3, 3], "conv2_1b_3x3");
    g.conv("conv2_1x1", "conv1_2", 64, [1, 1], 1);
    g.conv("conv2_1x7", "conv2_1x1", 64, [7, 1], 1);
    g.conv("conv2_7x1", "conv2_1x7", 64, [1, 7], 1);
    g.conv("conv2_3x3", "conv2_7x1", 96, [3, 3], 1);
    g.push("concat_stem_1", Op::Concat, &["conv2_1b_3x3", "conv2_3x3"]);
    g.head("deconv2_2x", "concat_stem_1", 2, &[
        ("deconv2_2x_d1", 1), ("fc1_2x_c0", 5), ("fc1_2x_c1", 11), ("fc1_2x_c2", 17), ("fc1_2x_c3", 23),
    ], "conv_deconv2_2x");
    g.conv("stem_concat_conv_3x3", "concat_stem_1", 192, [3, 3], 2);
    g.push("pool_stem_concat", Op::Pool, &["concat_stem_1"]);
    g.push("concat_stem_2", Op::Concat, &["pool_stem_concat", "stem_concat_conv_3x3"]);

    // Inception-ResNet A, at 1/4.
    g.conv("conv3_1b", "concat_stem_2", 384, [1, 1], 1);
    g.conv("ira_A_1_conv1x1", "conv3_1b", 32, [1, 1], 1);
    g.conv("ira_A_2_conv1x1", "conv3_1b", 32, [1, 1], 1);
    g.conv("ira_A_2_conv3x3", "ira_A_2_conv1x1", 32, [3, 3], 1);
    g.conv("ira_A_3_conv1x1", "conv3_1b", 32, [1, 1], 1);
    g.conv("ira_A_3_conv3x3_1", "ira_A_3_conv1x1", 48, [3, 3], 1);
    g.conv("ira_A_3_conv3x3_2", "ira_A_3_conv3x3_1", 64, [3, 3], 1);
    g.push("ira_A_concat", Op::Concat, &["ira_A_1_conv1x1", "ira_A_2_conv3x3", "ira_A_3_conv3x3_2"]);
    // The original's own spelling: its normalisation lacks the first letter.
    g.linear("ira_A_concat_top_conv_1x1", "ira_A_concat", 384, [1, 1], "ra_A_concat_top_conv_1x1");
    g.push("conv3_sum", Op::Residual, &["conv3_1b", "ira_A_concat_top_conv_1x1"]);
    g.head("deconv3_4x", "conv3_sum", 4, &[
        ("deconv3_4x_d1", 1), ("fc1_4x_c0", 5), ("fc1_4x_c1", 11), ("fc1_4x_c2", 17), ("fc1_4x_c3", 23),
    ], "conv_deconv3_4x");

    // Reduction A, to 1/8.
    g.push("ira_v4_reduction_A/pool", Op::Pool, &["conv3_sum"]);
    g.conv("ira_v4_reduction_A/conv3x3_reduction_b", "conv3_sum", 384, [3, 3], 2);
    g.conv("ira_v4_reduction_A/conv1x1_c", "conv3_sum", 256, [1, 1], 1);
    g.conv("ira_v4_reduction_A/conv3x3_c", "ira_v4_reduction_A/conv1x1_c", 256, [3, 3], 1);
    g.conv("ira_v4_reduction_A/conv3x3_reduction_c", "ira_v4_reduction_A/conv3x3_c", 384, [3, 3], 2);
    g.push("ira_v4_reduction_A/concat", Op::Concat, &[
        "ira_v4_reduction_A/pool", "ira_v4_reduction_A/conv3x3_reduction_b", "ira_v4_reduction_A/conv3x3_reduction_c",
    ]);

    // Inception-ResNet B, at 1/8.
    g.conv("conv4_1b", "ira_v4_reduction_A/concat", 1154, [1, 1], 1);
    g.conv("ira_Inception_B_block_1/a_conv1x1_1", "conv4_1b", 192, [1, 1], 1);
    g.conv("ira_Inception_B_block_1/b_conv1x1_1", "conv4_1b", 128, [1, 1], 1);
    g.conv("ira_Inception_B_block_1/b_conv1x7_1", "ira_Inception_B_block_1/b_conv1x1_1", 160, [1, 7], 1);
    g.conv("ira_Inception_B_block_1/b_conv7x1_1", "ira_Inception_B_block_1/b_conv1x7_1", 192, [7, 1], 1);
    g.push("ira_Inception_B_block_1/concat", Op::Concat, &[
        "ira_Inception_B_block_1/a_conv1x1_1", "ira_Inception_B_block_1/b_conv7x1_1",
    ]);
    let top = "ira_Inception_B_block_1/top_conv_1x1";
    g.linear(top, "ira_Inception_B_block_1/concat", 1154, [1, 1], top);
    g.push("conv4_sum", Op::Residual, &["conv4_1b", top]);
    g.head("deconv4_8x", "conv4_sum", 8, &[
        ("deconv4_8x_d1", 1), ("fc1_8x_c0", 5), ("fc1_8x_c1", 11), ("fc1_8x_c2", 17), ("fc1_8x_c3", 23),
    ], "conv_deconv4_8x");

    // Reduction B, to 1/16.
    g.push("ira_Reduction_B_block_1/a_pool", Op::Pool, &["conv4_sum"]);
    g.conv("ira_Reduction_B_block_1/b_conv1x1_1", "conv4_sum", 256, [1, 1], 1);
    g.conv("ira_Reduction_B_block_1/b_conv3x3_1", "ira_Reduction_B_block_1/b_conv1x1_1", 384, [3, 3], 2);
    g.conv("ira_Reduction_B_block_1/c_conv1x1_1", "conv4_sum", 256, [1, 1], 1);
    g.conv("ira_Reduction_B_block_1/c_conv3x3_1", "ira_Reduction_B_block_1/c_conv1x1_1", 288, [3, 3], 2);
    g.conv("ira_Reduction_B_block_1/d_conv1x1_1", "conv4_sum", 256, [1, 1], 1);
    g.conv("ira_Reduction_B_block_1/d_conv3x3_1", "ira_Reduction_B_block_1/d_conv1x1_1", 288, [3, 3], 1);
    g.conv("ira_Reduction_B_block_1/d_conv3x3_2", "ira_Reduction_B_block_1/d_conv3x3_1", 320, [3, 3], 2);
    g.push("ira_Reduction_B_block_1/concat", Op::Concat, &[
        "ira_Reduction_B_block_1/a_pool", "ira_Reduction_B_block_1/b_conv3x3_1",
        "ira_Reduction_B_block_1/c_conv3x3_1", "ira_Reduction_B_block_1/d_conv3x3_2",
    ]);

    // Inception-ResNet C, at 1/16. Its kernels are 1 × 3 and 3 × 1, whatever the names say.
    g.conv("conv5_1b", "ira_Reduction_B_block_1/concat", 2048, [1, 1], 1);
    g.conv("ira_Inception_C_block_1/a_conv1x1_1", "conv5_1b", 192, [1, 1], 1);
    g.conv("ira_Inception_C_block_1/b_conv1x1_1", "conv5_1b", 192, [1, 1], 1);
    g.conv("ira_Inception_C_block_1/b_conv1x7_1", "ira_Inception_C_block_1/b_conv1x1_1", 224, [1, 3], 1);
    g.conv("ira_Inception_C_block_1/b_conv7x1_1", "ira_Inception_C_block_1/b_conv1x7_1", 256, [3, 1], 1);
    g.push("ira_Inception_C_block_1/concat", Op::Concat, &[
        "ira_Inception_C_block_1/a_conv1x1_1", "ira_Inception_C_block_1/b_conv7x1_1",
    ]);
    let top = "ira_Inception_C_block_1/top_conv_1x1";
    g.linear(top, "ira_Inception_C_block_1/concat", 2048, [1, 1], top);
    g.push("conv5_sum", Op::Residual, &["conv5_1b", top]);
    g.head("deconv5_16x", "conv5_sum", 16, &[("deconv5_16x", 1)], "conv_deconv5_16x");

    g.push("deconv_all_sum", Op::Sum, &[
        "conv_deconv2_2x", "conv_deconv3_4x", "conv_deconv4_8x", "conv_deconv5_16x",
    ]);

    let mut last_use = vec![0; g.nodes.len() + 1];
    for (index, node) in g.nodes.iter().enumerate() {
        for &blob in &node.inputs {
            last_use[blob] = index;
        }
    }
    Graph { nodes: g.nodes, last_use }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of the original's layers: name, type, inputs, outputs, parameters.
    const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/spec/deepem3d-layers.tsv");

    #[test]
    fn every_layer_of_the_original_is_here_with_its_parameters() {
        let Ok(table) = std::fs::read_to_string(TABLE) else {
            eprintln!("SKIPPED: {TABLE} absent");
            return;
        };
        let mut ours = HashMap::new();
        let mut norms = Vec::new();
        for (_, node) in GRAPH.layers() {
            norms.push(format!("bn_{}", node.norm().unwrap()));
            match &node.op {
                Op::Conv(c) => {
                    ours.insert(
                        node.name,
                        format!("{} {:?} s{} p{:?} d1", c.channels, c.kernel, c.stride, same_padding(c.kernel)),
                    );
                }
                Op::Head(h) => ours.extend(h.taps.iter().map(|t| {
                    let (k, p) = (h.kernel(), h.padding(t));
                    (t.layer, format!("2 {:?} s{} p{:?} d{}", [k, k], h.stride, [p, p], t.dilation))
                })),
                _ => unreachable!(),
            }
        }
        let mut seen = 0;
        for row in table.lines().filter(|l| !l.starts_with('#')) {
            let columns: Vec<&str> = row.split('\t').collect();
            let settings: HashMap<_, _> = columns[4].split_whitespace().filter_map(|s| s.split_once('=')).collect();
            let number = |keys: &[&str], otherwise: usize| {
                let text = keys.iter().find_map(|k| settings.get(k));
                text.map_or(otherwise, |t| t.split(',').next().unwrap().parse().unwrap())
            };
            match columns[1] {
                "Convolution" | "Deconvolution" => {
                    let kernel = [number(&["kernel_h", "kernel_size"], 0), number(&["kernel_w", "kernel_size"], 0)];
                    let padding = [number(&["pad_h", "pad"], 0), number(&["pad_w", "pad"], 0)];
                    let stride = number(&["stride"], 1);
                    let expected = format!(
                        "{} {kernel:?} s{stride} p{padding:?} d{}",
                        number(&["num_output"], 0),
                        number(&["dilation"], 1)
                    );
                    assert_eq!(ours.remove(columns[0]), Some(expected), "{}", columns[0]);
                    seen += 1;
                }
                "BatchNorm" => assert!(norms.contains(&columns[0].to_owned()), "{}", columns[0]),
                _ => {}
            }
        }
        assert_eq!((seen, ours.len(), norms.len()), (60, 0, 48));
    }
}
