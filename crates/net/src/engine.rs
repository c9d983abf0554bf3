//! The network as the CPU engine takes it, and the memory that all networks of the process work in.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use deep3m_engine::{Conv, Head, Layer, Memory, Op as EngineOp, Sketch, Tap};

use crate::config::NetConfig;
use crate::fold::{FoldedLayer, Planar};
use crate::graph::{GRAPH, Op, RESIDUAL_SHARE, same_padding};

/// Networks take turns in the same memory; with the last of them it is given back.
static MEMORY: Mutex<Weak<Memory>> = Mutex::new(Weak::new());

/// The memory of all networks that are there.
pub(crate) fn memory() -> Arc<Memory> {
    let mut shared = MEMORY.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let memory = Arc::new(Memory::new());
        *shared = Arc::downgrade(&memory);
        memory
    })
}

/// The network's layers; `weights` answers for every step that has weights.
pub(crate) fn layers(config: &NetConfig, mut weights: impl FnMut(usize) -> FoldedLayer) -> Vec<Layer> {
    let steps = GRAPH.nodes.iter().enumerate().map(|(index, node)| {
        let op = match &node.op {
            Op::Conv(conv) => {
                let layer = weights(index);
                let FoldedLayer { weights, bias } =
                    if index == 0 { layer.over_all_frames(config.frames()) } else { layer };
                let weights = weights.into_iter().next().unwrap_or_else(|| unreachable!("a convolution has weights"));
                let [_, _, rows, columns] = weights.shape;
                let kernel = [rows, columns];
                let (stride, relu, padding) = (conv.stride, conv.relu, same_padding(kernel));
                EngineOp::Conv(Conv { kernel, stride, padding, relu, weights: weights.values, bias })
            }
            Op::Head(head) => {
                let FoldedLayer { weights, bias } = weights(index);
                let taps = head.taps.iter().zip(weights).map(|(tap, weights)| Tap {
                    dilation: tap.dilation,
                    padding: head.padding(tap),
                    weights: weights.values,
                });
                EngineOp::Head(Head { kernel: head.kernel(), stride: head.stride, taps: taps.collect(), bias })
            }
            Op::Pool => EngineOp::Pool,
            Op::Concat => EngineOp::Concat,
            Op::Residual => EngineOp::Residual { share: RESIDUAL_SHARE as f32 },
            Op::Sum => EngineOp::Sum,
        };
        Layer { op, inputs: node.inputs.clone() }
    });
    steps.collect()
}

impl NetConfig {
    /// What the engine would take for this network.
    pub(crate) fn sketch(&self) -> Sketch {
        let channels = self.blob_channels();
        let layers = layers(self, |index| {
            let specs = self.layer_parameters(index);
            let shapes = specs.iter().filter_map(|spec| match *spec.shape {
                [a, b, rows, columns] => Some([a, b, rows, columns]),
                [to, from, rows, columns, depth] => Some([to, depth * from, rows, columns]),
                _ => None,
            });
            let weights = shapes.map(|shape| Planar { shape, values: Vec::new() }).collect();
            FoldedLayer { weights, bias: vec![0.0; channels[index + 1]] }
        });
        Sketch::new(self.frames().count(), layers).unwrap_or_else(|error| unreachable!("the network's layers: {error}"))
    }
}
