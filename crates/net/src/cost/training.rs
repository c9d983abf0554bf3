//! One batch of training: forward, and backward with all that forward kept.

use super::forward::windows_in;
use super::layers::output_size;
use super::{Heap, Slot};
use crate::NetConfig;
use crate::graph::{CLASSES, GRAPH, Op};

/// A tensor of the forward pass.
#[derive(Clone, Copy)]
struct Blob {
    slot: Slot,
    count: usize,
    /// How many operations lie before it: the backward pass goes by this.
    depth: usize,
}

/// A step of the network with what it keeps for the backward pass.
struct Step {
    index: usize,
    depth: usize,
    kept: Vec<Slot>,
    /// The numbers of its output and of its first input.
    output: usize,
    input: usize,
}

/// A batch on its way.
struct Batch<'a> {
    net: &'a NetConfig,
    heap: &'a mut Heap,
    n: usize,
    /// The gradients of blobs that were not used yet.
    gradients: Vec<Option<Slot>>,
    /// The gradients of weights.
    weights: Vec<Slot>,
}

impl NetConfig {
    /// Takes what a forward and backward pass in training take for `n` patches of `height` × `width` pixels beside the
    /// patches themselves; what stays are the weights' gradients.
    pub fn training_in(&self, heap: &mut Heap, n: usize, height: usize, width: usize) -> Vec<Slot> {
        let mut batch = Batch {
            net: self,
            heap,
            n,
            gradients: GRAPH.nodes.iter().map(|_| None).chain([None]).collect(),
            weights: Vec::new(),
        };
        let (steps, logits) = batch.forward([height, width]);
        batch.loss(logits);
        batch.backward(steps);
        batch.weights
    }
}

impl Batch<'_> {
    fn forward(&mut self, size: [usize; 2]) -> (Vec<Step>, Blob) {
        let (n, frames) = (self.n, self.net.frames());
        let (channels, last_use) = (self.net.blob_channels(), GRAPH.last_use());
        let count = n * frames.count() * size[0] * size[1];
        let mut sizes = vec![size];
        let mut blobs = vec![Some(Blob { slot: self.heap.floats(count), count, depth: 0 })];
        let mut steps = Vec::new();
        for (index, node) in GRAPH.nodes.iter().enumerate() {
            let mut inputs: Vec<Blob> = node.inputs.iter().filter_map(|&blob| blobs[blob]).collect();
            let size = output_size(&node.op, sizes[node.inputs[0]]);
            let planes = if index == 0 { frames.kernel_depths()[1] } else { 1 };
            let count = n * planes * channels[index + 1] * size[0] * size[1];
            let mut depth = 1 + inputs.iter().map(|blob| blob.depth).max().unwrap_or(0);
            if index == 0 && planes > 1 {
                let windows = windows_in(self.net, self.heap, n, size.map(|pixels| 2 * pixels));
                self.heap.give(inputs[0].slot);
                inputs[0] = Blob { slot: windows, count: inputs[0].count, depth: 0 };
                blobs[0] = Some(inputs[0]);
            }
            let mut kept = Vec::new();
            let slot = match &node.op {
                Op::Conv(_) => {
                    // The input and the values before normalisation are kept.
                    kept.extend([self.heap.share(inputs[0].slot), self.heap.floats(count)]);
                    self.heap.floats(count)
                }
                Op::Head(_) => {
                    kept.extend([self.heap.share(inputs[0].slot), self.heap.floats(count)]);
                    let phases = self.heap.floats(count);
                    let pixels = self.heap.floats(count);
                    self.heap.give(phases);
                    pixels
                }
                Op::Pool => {
                    let output = self.heap.floats(count);
                    kept.extend([self.heap.share(inputs[0].slot), self.heap.take(8 * count as u64)]);
                    output
                }
                Op::Concat => self.heap.floats(count),
                Op::Residual => {
                    // The sum, made in place of the inner branch, is kept for the ReLU's gradient.
                    depth += 2;
                    kept.push(self.heap.share(inputs[1].slot));
                    self.heap.floats(count)
                }
                Op::Sum => {
                    depth += inputs.len() - 2;
                    self.heap.share(inputs[0].slot)
                }
            };
            for &blob in node.inputs.iter().filter(|&&blob| last_use[blob] == index) {
                if let Some(blob) = blobs[blob].take() {
                    self.heap.give(blob.slot);
                }
            }
            steps.push(Step { index, depth, kept, output: count, input: inputs[0].count });
            sizes.push(size);
            blobs.push(Some(Blob { slot, count, depth }));
        }
        let logits = blobs.pop().flatten().unwrap_or_else(|| unreachable!("the network has a last step"));
        (steps, logits)
    }

    /// The loss on the host, and its gradient as the logits'.
    fn loss(&mut self, logits: Blob) {
        let heap = &mut *self.heap;
        let pixels = logits.count / CLASSES;
        let host = [heap.floats(logits.count), heap.floats(logits.count)];
        // The difference of the logits, its gradient, and that as the logits' gradient.
        let work = [heap.floats(pixels), heap.floats(pixels)];
        let gradient = heap.floats(logits.count);
        heap.give_all(work);
        let product = heap.floats(logits.count);
        heap.give(product);
        heap.give(logits.slot);
        self.gradients[GRAPH.nodes.len()] = Some(heap.floats(logits.count));
        heap.give_all(host);
        heap.give(gradient);
    }

    fn backward(&mut self, mut steps: Vec<Step>) {
        steps.sort_by_key(|step| std::cmp::Reverse((step.depth, step.index)));
        for step in steps {
            let node = &GRAPH.nodes[step.index];
            let Some(gradient) = self.gradients[step.index + 1].take() else { continue };
            match &node.op {
                Op::Conv(_) => self.convolution(&step, gradient),
                Op::Head(_) => self.head(&step, gradient),
                Op::Pool => {
                    let of_input = self.heap.floats(step.input);
                    self.add(node.inputs[0], of_input);
                    self.heap.give(gradient);
                }
                // Parts of the same numbers.
                Op::Concat | Op::Sum => {
                    for &blob in &node.inputs {
                        let part = self.heap.share(gradient);
                        self.add(blob, part);
                    }
                    self.heap.give(gradient);
                }
                Op::Residual => {
                    let inner = self.heap.floats(step.output);
                    self.add(node.inputs[1], inner);
                    self.add(node.inputs[0], gradient);
                }
            }
            self.heap.give_all(step.kept);
        }
    }

    fn convolution(&mut self, step: &Step, gradient: Slot) {
        let weights = self.net.weights_of(step.index);
        let node = &GRAPH.nodes[step.index];
        // A part of a concatenation's gradient is copied out.
        let own = is_part(step.index).then(|| self.heap.floats(step.output));
        let normal = self.heap.floats(step.output);
        let by_pixel = self.heap.floats(step.output);
        let turned = self.heap.floats(weights);
        let of_input = (step.index > 0).then(|| self.heap.floats(step.input));
        let parts: Vec<Slot> = (0..self.n).map(|_| self.heap.floats(weights)).collect();
        let sum = self.heap.floats(weights);
        self.heap.give_all(parts);
        self.weights.push(self.heap.floats(weights));
        self.heap.give_all([sum, turned, by_pixel, normal]);
        self.heap.give_all(own);
        self.heap.give(gradient);
        if let Some(of_input) = of_input {
            self.add(node.inputs[0], of_input);
        }
    }

    fn head(&mut self, step: &Step, gradient: Slot) {
        let weights = self.net.weights_of(step.index);
        let phases = self.heap.floats(step.output);
        let normal = self.heap.floats(step.output);
        let of_input = self.heap.floats(step.input);
        let by_pixel = self.heap.floats(step.input);
        let sums = self.heap.floats(weights);
        self.weights.push(self.heap.floats(weights));
        self.heap.give_all([sums, by_pixel, normal, phases, gradient]);
        self.add(GRAPH.nodes[step.index].inputs[0], of_input);
    }

    /// Adds a gradient to a blob's; in place where there is one already.
    fn add(&mut self, blob: usize, gradient: Slot) {
        if self.gradients[blob].is_some() {
            self.heap.give(gradient);
        } else {
            self.gradients[blob] = Some(gradient);
        }
    }
}

/// Whether the output of a step goes into a concatenation, so that its gradient is a part of a larger tensor.
fn is_part(index: usize) -> bool {
    GRAPH.nodes.iter().any(|node| matches!(node.op, Op::Concat) && node.inputs.contains(&(index + 1)))
}
