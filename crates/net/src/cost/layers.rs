//! What the CPU's operations need of their own beside their inputs and outputs.

use crate::NetConfig;
use crate::cpu::band_rows;
use crate::graph::{CLASSES, GRAPH, Head, Op};
use crate::params::ParamKind;

/// A thread's own buffers in the matrix products: its share of the second-level cache for one factor, as much of the other.
const PACKED: usize = 2 << 20;

impl NetConfig {
    /// Bytes of all weights and statistics.
    pub fn weight_bytes(&self) -> u64 {
        self.parameters().iter().map(|spec| 4 * spec.len() as u64).sum()
    }

    /// The numbers of the trained tensors, one after another.
    pub fn trained_lengths(&self) -> Vec<usize> {
        self.parameters().iter().filter(|spec| spec.name.kind.is_trained()).map(crate::ParamSpec::len).collect()
    }

    /// Bytes that each thread needs for itself while the network runs on `height` × `width` pixels.
    pub fn thread_bytes(&self, height: usize, width: usize) -> u64 {
        let mut sizes = vec![[height, width]];
        let mut most = 0;
        for (index, node) in GRAPH.nodes.iter().enumerate() {
            let input = sizes[node.inputs[0]];
            sizes.push(output_size(&node.op, input));
            // Values per pixel of a band, over the pixels of the output (a convolution) or input (a head).
            let (values, [rows, columns]) = match &node.op {
                Op::Conv(_) => (self.unfolded(index), sizes[index + 1]),
                Op::Head(head) => (rows_of_a_phase(head) * head.kernel(), input),
                _ => continue,
            };
            if values == 0 {
                continue;
            }
            most = most.max(values * band_rows(values, columns).min(rows) * columns);
        }
        // The unfolded band, and what the product packs of it.
        (4 * 2 * most + PACKED) as u64
    }

    /// The numbers of one step's weights; for a head those of all its transposed convolutions.
    pub(super) fn weights_of(&self, index: usize) -> usize {
        let specs = self.layer_parameters(index);
        specs.iter().filter(|spec| spec.shape.len() > 1).map(crate::ParamSpec::len).sum()
    }

    /// Values of the unfolded input for one output pixel of a convolution: its inputs times its kernel. 0 where the
    /// input is its own unfolding.
    fn unfolded(&self, index: usize) -> usize {
        let specs = self.layer_parameters(index);
        let Some(spec) = specs.iter().find(|spec| spec.name.kind == ParamKind::ConvWeight) else { return 0 };
        let values = spec.len() / spec.shape[0].max(1);
        let pointwise = spec.shape.get(2..4) == Some(&[1, 1]);
        if pointwise { 0 } else { values }
    }
}

/// Rows and columns of a step's output, given those of its first input (sizes are multiples of 16).
pub(super) fn output_size(op: &Op, [rows, columns]: [usize; 2]) -> [usize; 2] {
    match op {
        Op::Conv(conv) => [rows.div_ceil(conv.stride), columns.div_ceil(conv.stride)],
        Op::Head(head) => [rows * head.stride, columns * head.stride],
        Op::Pool => [rows.div_ceil(2), columns.div_ceil(2)],
        Op::Concat | Op::Residual | Op::Sum => [rows, columns],
    }
}

/// Kernel rows of a head that lead to one phase of the output rows, about.
fn rows_of_a_phase(head: &Head) -> usize {
    head.taps.len() * head.kernel() / head.stride
}

/// Numbers of a head's weights by phase, as the forward pass packs them.
pub(super) fn packed(head: &Head, channels: usize) -> usize {
    CLASSES * head.kernel() * head.kernel() * head.taps.len() * channels
}
