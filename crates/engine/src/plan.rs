//! From layers to steps: which blob lies in which buffer, which layers run as one, which kernel each takes.

use crate::EngineError;
use crate::combine::Combine;
use crate::conv::Direct;
use crate::grid::BLOCK;
use crate::head::PackedHead;
use crate::layer::{Conv, Layer, Op};
use crate::pack::Channels;
use crate::planes::{self, Planes};
use crate::simd::Isa;
use crate::unfold::Unfolded;
use crate::winograd::Winograd;

/// Where a blob lies.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    pub buffer: usize,
    /// Its first block in the buffer.
    pub first: usize,
    pub channels: Channels,
}

/// Memory for a blob, or for several that are put together.
#[derive(Clone, Debug)]
pub(crate) struct Buffer {
    pub blocks: usize,
    pub lanes: usize,
    /// The widest padding of a convolution that reads it.
    pub pad: [usize; 2],
    /// The first step that writes it and the last that uses it.
    pub used: (usize, usize),
    /// A blob that has its size.
    pub blob: usize,
}

/// What a step does.
pub(crate) enum Kernel {
    Direct(Direct),
    Winograd(Winograd),
    Unfolded(Unfolded),
    Planes(Planes),
    Head(PackedHead),
    Pool,
    Combine(Combine),
}

/// One kernel's work.
pub(crate) struct Step {
    /// The layer whose blob it makes.
    pub layer: usize,
    pub kernel: Kernel,
    pub inputs: Vec<usize>,
    pub output: usize,
}

/// How a layer changes rows and columns.
#[derive(Clone, Debug)]
pub(crate) enum Resize {
    Conv { kernel: [usize; 2], stride: usize, padding: [usize; 2] },
    Times(usize),
    Pool,
    Same(Vec<usize>),
}

/// A network as steps.
pub(crate) struct Plan {
    pub blobs: Vec<Blob>,
    pub buffers: Vec<Buffer>,
    pub steps: Vec<Step>,
    /// For each layer its first input and how sizes change.
    pub sizes: Vec<(usize, Resize)>,
}

/// What is known of the layers before kernels are chosen.
struct Outline {
    channels: Vec<usize>,
    /// Blobs in planes.
    planes: Vec<bool>,
    readers: Vec<Vec<usize>>,
}

impl Plan {
    /// The steps of `layers`, with weights or (not `filled`) without.
    pub(crate) fn new(isa: Isa, channels: usize, layers: Vec<Layer>, filled: bool) -> Result<Self, EngineError> {
        let outline = Outline::new(channels, &layers, filled)?;
        let fused = outline.fused(&layers);
        let (blobs, mut buffers) = outline.place(&layers, &fused)?;
        let last = layers.len() - 1;
        let mut steps = Vec::new();
        let mut sizes = Vec::new();
        let mut touched: Vec<Option<(usize, usize)>> = vec![None; buffers.len()];
        touched[blobs[0].buffer] = Some((0, 0));
        for (index, Layer { op, inputs }) in layers.into_iter().enumerate() {
            let input = inputs[0];
            sizes.push((input, resize(&op, &inputs)));
            let is_plane = outline.planes[input];
            if let Op::Conv(conv) = &op {
                let pad = &mut buffers[blobs[input].buffer].pad;
                *pad = [0, 1].map(|axis| pad[axis].max(conv.padding[axis]));
            }
            let from = &blobs[input].channels;
            let kernel = match op {
                Op::Conv(conv) if outline.planes[index + 1] => Kernel::Planes(Planes::new(conv, from.count())),
                Op::Conv(conv) if is_plane => Kernel::Unfolded(Unfolded::new(isa, &conv, from.count())),
                Op::Conv(conv) => match fused[index] {
                    Some(share) => Kernel::Direct(Direct::new(isa, &conv, from, Some(share))),
                    None if Winograd::suits(&conv, from.count()) => Kernel::Winograd(Winograd::new(isa, &conv, from)),
                    None => Kernel::Direct(Direct::new(isa, &conv, from, None)),
                },
                Op::Head(head) => Kernel::Head(PackedHead::new(isa, &head, from)),
                Op::Pool => Kernel::Pool,
                // Its inputs are written where it lies.
                Op::Concat => continue,
                Op::Residual { .. } if index > 0 && fused[index - 1].is_some() => continue,
                Op::Residual { share } => Kernel::Combine(Combine { shares: vec![1.0, share], floor: 0.0 }),
                Op::Sum => Kernel::Combine(Combine { shares: vec![1.0; inputs.len()], floor: f32::NEG_INFINITY }),
            };
            let output = index + 1;
            let unsupported = |reason| EngineError::Unsupported { layer: index, reason };
            for &input in &inputs {
                if blobs[input].buffer == blobs[output].buffer {
                    return Err(unsupported("reads a blob beside which its result is put"));
                }
            }
            let step = steps.len();
            for &blob in inputs.iter().chain([&output]) {
                let used = touched[blobs[blob].buffer].get_or_insert((step, step));
                used.1 = step;
            }
            steps.push(Step { layer: index, kernel, inputs, output });
        }
        let end = &mut touched[blobs[last + 1].buffer];
        *end = end.map(|(first, _)| (first, steps.len()));
        for (buffer, used) in buffers.iter_mut().zip(touched) {
            buffer.used = used.unwrap_or_default();
        }
        Ok(Self { blobs, buffers, steps, sizes })
    }

    /// Bytes of the weights of each layer that has any.
    pub(crate) fn weights(&self) -> impl Iterator<Item = (usize, u64)> {
        self.steps.iter().filter_map(|step| {
            let bytes = match &step.kernel {
                Kernel::Direct(conv) => conv.bytes(),
                Kernel::Winograd(conv) => conv.bytes(),
                Kernel::Unfolded(conv) => conv.bytes(),
                Kernel::Planes(conv) => conv.bytes(),
                Kernel::Head(head) => head.bytes(),
                Kernel::Pool | Kernel::Combine(_) => return None,
            };
            Some((step.layer, bytes))
        })
    }
}

fn resize(op: &Op, inputs: &[usize]) -> Resize {
    match op {
        Op::Conv(Conv { kernel, stride, padding, .. }) => {
            Resize::Conv { kernel: *kernel, stride: *stride, padding: *padding }
        }
        Op::Head(head) => Resize::Times(head.stride),
        Op::Pool => Resize::Pool,
        Op::Concat | Op::Residual { .. } | Op::Sum => Resize::Same(inputs.to_vec()),
    }
}

impl Outline {
    /// Checks the layers.
    fn new(input: usize, layers: &[Layer], filled: bool) -> Result<Self, EngineError> {
        if layers.is_empty() {
            return Err(EngineError::Empty);
        }
        let mut channels = vec![input];
        let mut planes = vec![true];
        let mut readers = vec![Vec::new()];
        for (layer, Layer { op, inputs }) in layers.iter().enumerate() {
            let (fits, expected) = match op {
                Op::Conv(_) | Op::Head(_) | Op::Pool => (inputs.len() == 1, "one blob"),
                Op::Residual { .. } => (inputs.len() == 2, "two blobs"),
                Op::Concat | Op::Sum => (!inputs.is_empty(), "blobs"),
            };
            if !fits || inputs.iter().any(|&blob| blob > layer) {
                return Err(EngineError::Inputs { layer, found: inputs.clone(), expected });
            }
            for &blob in inputs {
                readers[blob].push(layer);
            }
            let from = channels[inputs[0]];
            let (to, plane) = match op {
                Op::Conv(conv) => {
                    let expected = conv.channels() * from * conv.kernel[0] * conv.kernel[1];
                    check(layer, conv.weights.len(), expected, filled)?;
                    let after_head = planes[inputs[0]] && inputs[0] > 0;
                    (conv.channels(), after_head && conv.channels() <= planes::MOST && conv.stride == 1)
                }
                Op::Head(head) => {
                    for tap in &head.taps {
                        check(layer, tap.weights.len(), head.bias.len() * from * head.kernel * head.kernel, filled)?;
                    }
                    (head.bias.len(), true)
                }
                Op::Concat => (inputs.iter().map(|&blob| channels[blob]).sum(), false),
                Op::Pool => (from, false),
                Op::Residual { .. } | Op::Sum => (from, planes[inputs[0]]),
            };
            let unsupported = |reason| Err(EngineError::Unsupported { layer, reason });
            let alike = |of: &dyn Fn(usize) -> bool| inputs.iter().all(|&blob| of(blob));
            match op {
                Op::Conv(conv) if !matches!(conv.stride, 1 | 2) => return unsupported("a step of neither 1 nor 2"),
                Op::Conv(conv) if conv.kernel.contains(&0) => return unsupported("a kernel without elements"),
                Op::Head(head) if head.kernel == 0 || head.stride == 0 || head.taps.iter().any(|t| t.dilation == 0) => {
                    return unsupported("a kernel, stride or dilation of 0");
                }
                Op::Head(_) | Op::Pool | Op::Concat if !alike(&|blob| !planes[blob]) => {
                    return unsupported("reads the network's input or a head's result");
                }
                Op::Residual { .. } | Op::Sum
                    if !alike(&|blob| planes[blob] == planes[inputs[0]] && channels[blob] == from) =>
                {
                    return unsupported("adds blobs of different kinds");
                }
                _ => {}
            }
            if to == 0 {
                return unsupported("no output channels");
            }
            channels.push(to);
            planes.push(plane);
            readers.push(Vec::new());
        }
        Ok(Self { channels, planes, readers })
    }

    /// For each layer the share with which its result is added to a blob in place: a linear convolution that only the
    /// residual sum right after it reads, where that is the last to read the other summand.
    fn fused(&self, layers: &[Layer]) -> Vec<Option<f32>> {
        let alone = |blob: usize| {
            blob > 0
                && self.readers[blob].iter().all(|&reader| !matches!(layers[reader].op, Op::Concat))
                && !matches!(layers[blob - 1].op, Op::Concat)
        };
        let mut fused = vec![None; layers.len()];
        for (index, pair) in layers.windows(2).enumerate() {
            let [Layer { op: Op::Conv(conv), inputs: read }, Layer { op: Op::Residual { share }, inputs }] = pair
            else {
                continue;
            };
            let [kept, made] = [inputs[0], index + 1];
            let fits = inputs[1] == made
                && self.readers[made].len() == 1
                && !conv.relu
                && !self.planes[made]
                && !self.planes[read[0]]
                && kept != read[0]
                && alone(kept)
                && self.readers[kept].last() == Some(&(index + 1));
            fused[index] = fits.then_some(*share);
        }
        fused
    }

    /// Where each blob lies: what is put together, in one buffer; what is added in place, in the other summand's.
    fn place(&self, layers: &[Layer], fused: &[Option<f32>]) -> Result<(Vec<Blob>, Vec<Buffer>), EngineError> {
        // For each blob how its channels are made up; and the concatenation that it is part of.
        let mut parts: Vec<Channels> = vec![Channels(vec![self.channels[0]])];
        for (index, Layer { op, inputs }) in layers.iter().enumerate() {
            parts.push(match op {
                Op::Concat => Channels(inputs.iter().flat_map(|&blob| parts[blob].0.clone()).collect()),
                Op::Pool | Op::Residual { .. } | Op::Sum => parts[inputs[0]].clone(),
                Op::Conv(_) | Op::Head(_) => Channels(vec![self.channels[index + 1]]),
            });
            // Summands must lie alike.
            if matches!(op, Op::Residual { .. } | Op::Sum) && inputs.iter().any(|&b| parts[b] != parts[inputs[0]]) {
                return Err(EngineError::Unsupported { layer: index, reason: "adds blobs put together differently" });
            }
        }
        let mut blobs: Vec<Option<(usize, usize)>> = vec![None; parts.len()];
        let mut buffers = Vec::new();
        // From the last blob on: whoever contains others comes after them.
        for blob in (0..parts.len()).rev() {
            let lanes = if self.planes[blob] { 1 } else { BLOCK };
            let (buffer, first) = *blobs[blob].get_or_insert_with(|| {
                buffers.push(Buffer { blocks: parts[blob].blocks(lanes), lanes, pad: [0, 0], used: (0, 0), blob });
                (buffers.len() - 1, 0)
            });
            let Some(layer) = blob.checked_sub(1) else { continue };
            let inputs = &layers[layer].inputs;
            let within: Vec<(usize, usize)> = match &layers[layer].op {
                Op::Concat => {
                    let firsts = inputs.iter().scan(first, |next, &input| {
                        Some((input, std::mem::replace(next, *next + parts[input].blocks(lanes))))
                    });
                    firsts.collect()
                }
                Op::Residual { .. } if layer > 0 && fused[layer - 1].is_some() => {
                    vec![(inputs[0], first), (inputs[1], first)]
                }
                _ => continue,
            };
            for (input, first) in within {
                if blobs[input].replace((buffer, first)).is_some() {
                    let reason = "a blob that is put together with others twice";
                    return Err(EngineError::Unsupported { layer, reason });
                }
            }
        }
        let place = |(channels, place): (Channels, Option<(usize, usize)>)| {
            let (buffer, first) = place.unwrap_or_default();
            Blob { buffer, first, channels }
        };
        Ok((parts.into_iter().zip(blobs).map(place).collect(), buffers))
    }
}

/// Layers of a network that is only reckoned with have no weights.
fn check(layer: usize, found: usize, expected: usize, filled: bool) -> Result<(), EngineError> {
    let expected = if filled { expected } else { 0 };
    if found == expected { Ok(()) } else { Err(EngineError::Weights { layer, found, expected }) }
}
