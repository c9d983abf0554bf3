//! Loading a network, and a prediction with it.

use super::layers::{output_size, packed};
use super::{Heap, Slot};
use crate::NetConfig;
use crate::graph::{CLASSES, GRAPH, Op};

/// A tensor: where it lies and how many numbers it has for each pixel of its own size.
#[derive(Clone, Copy)]
struct Blob {
    slot: Slot,
    channels: usize,
    size: [usize; 2],
}

/// The memory for blobs that the networks on the CPU work in, one after another. It lasts as long as any of them.
#[derive(Debug, Default)]
pub struct Blobs(Option<(Slot, u64)>);

impl Blobs {
    /// What is too small goes before its successor comes.
    fn grow(&mut self, heap: &mut Heap, bytes: u64) {
        if self.0.is_none_or(|(_, found)| found < bytes) {
            self.give(heap);
            self.0 = Some((heap.take(bytes), bytes));
        }
    }

    /// Gives it back.
    pub fn give(&mut self, heap: &mut Heap) {
        if let Some((slot, _)) = self.0.take() {
            heap.give(slot);
        }
    }
}

impl NetConfig {
    /// Takes what loading a network to predict with on the CPU takes: the file, its tensors, the folded weights and the
    /// packed ones, of which only the last stay. These are the answer.
    pub fn load_in(&self, heap: &mut Heap) -> Vec<Slot> {
        let file = heap.take(self.weight_bytes());
        let tensors: Vec<Slot> = self.parameters().iter().map(|spec| heap.floats(spec.len())).collect();
        heap.give(file);
        let packed = self.pack_in(heap);
        heap.give_all(tensors);
        packed
    }

    /// Takes what [`crate::Inference::from_tensors`] takes on the CPU; the packed weights stay and are the answer.
    pub fn pack_in(&self, heap: &mut Heap) -> Vec<Slot> {
        let folded: Vec<Slot> = GRAPH.layers().map(|(index, _)| heap.floats(self.weights_of(index))).collect();
        let pack = |((_, bytes), folded)| {
            let packed = heap.take(bytes);
            heap.give(folded);
            packed
        };
        self.sketch().weights().zip(folded).map(pack).collect()
    }

    /// Bytes that each thread needs for itself while the CPU predicts on `height` × `width` pixels.
    pub fn prediction_thread_bytes(&self, height: usize, width: usize) -> u64 {
        self.working_bytes(height, width)[1]
    }

    /// Takes what [`crate::Inference::foreground`] takes on the CPU for `n` inputs of `height` × `width` pixels beside the
    /// input that it is given; what stays is its answer, and `blobs` for the next call, of any network.
    pub fn foreground_in(&self, heap: &mut Heap, blobs: &mut Blobs, n: usize, height: usize, width: usize) -> Slot {
        let answer = heap.floats(n * height * width);
        blobs.grow(heap, self.working_bytes(height, width)[0]);
        let logits = heap.floats(CLASSES * height * width);
        heap.give(logits);
        answer
    }

    /// Bytes of the engine's memory for blobs, and for each thread.
    fn working_bytes(&self, height: usize, width: usize) -> [u64; 2] {
        // Sizes at which there is no result take nothing.
        self.sketch().memory_bytes(height, width).unwrap_or_default()
    }

    /// As [`Self::foreground_in`] where the network runs as tensors: on a GPU, and in training.
    pub fn tensors_in(&self, heap: &mut Heap, n: usize, height: usize, width: usize) -> Slot {
        let frames = self.frames();
        let last_use = GRAPH.last_use();
        let channels = self.blob_channels();
        let input = heap.floats(n * frames.count() * height * width);
        let mut blobs = vec![Some(Blob { slot: input, channels: frames.count(), size: [height, width] })];
        for (index, node) in GRAPH.nodes.iter().enumerate() {
            let inputs: Vec<Blob> = node.inputs.iter().filter_map(|&blob| blobs[blob]).collect();
            let size = output_size(&node.op, inputs[0].size);
            // The first convolution makes its planes one after another in the batch.
            let planes = if index == 0 { frames.kernel_depths()[1] } else { 1 };
            let count = n * planes * channels[index + 1] * size[0] * size[1];
            let ends: Vec<usize> = node.inputs.iter().copied().filter(|&blob| last_use[blob] == index).collect();
            let slot = match &node.op {
                Op::Conv(_) if index == 0 && planes > 1 => {
                    let windows = windows_in(self, heap, n, [height, width]);
                    heap.give(input);
                    blobs[0] = None;
                    let output = heap.floats(count);
                    heap.give(windows);
                    output
                }
                Op::Conv(_) | Op::Concat => heap.floats(count),
                Op::Head(head) => {
                    let weights = heap.floats(packed(head, inputs[0].channels));
                    let phases = heap.floats(n * CLASSES * size[0] * size[1]);
                    heap.give(weights);
                    let pixels = heap.floats(n * CLASSES * size[0] * size[1]);
                    heap.give(phases);
                    pixels
                }
                Op::Pool => {
                    let output = heap.floats(count);
                    // The library notes in 64 bits where each largest value came from.
                    let places = heap.take(8 * count as u64);
                    heap.give(places);
                    output
                }
                // In place, into the first, which nobody reads any more.
                Op::Residual | Op::Sum => heap.share(inputs[0].slot),
            };
            for blob in ends {
                if let Some(blob) = blobs[blob].take() {
                    heap.give(blob.slot);
                }
            }
            let channels = planes * channels[index + 1];
            blobs.push(Some(Blob { slot, channels, size }));
        }
        let answer = heap.floats(n * height * width);
        blobs.into_iter().flatten().for_each(|blob| heap.give(blob.slot));
        answer
    }
}

/// Takes the windows that the first convolution looks at; see [`crate::graph::windows_to_batch`].
pub(super) fn windows_in(config: &NetConfig, heap: &mut Heap, n: usize, [height, width]: [usize; 2]) -> Slot {
    let [depth, planes] = config.frames().kernel_depths();
    let section = n * height * width;
    let zeros = heap.floats(section);
    let windows = heap.floats(planes * depth * section);
    // Each section is copied where it is not the first.
    let copies: Vec<Slot> = (0..planes * depth - 2).map(|_| heap.floats(section)).collect();
    heap.give_all(copies);
    heap.give(zeros);
    windows
}
