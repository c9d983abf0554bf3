//! Weights in the order in which the kernel reads them.

use crate::grid::BLOCK;
use crate::simd::Eight;

/// The channels of a blob and where they lie in its blocks: each of the layers that were put together begins a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Channels(pub Vec<usize>);

impl Channels {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.iter().sum()
    }

    /// Blocks of `lanes` channels.
    pub(crate) fn blocks(&self, lanes: usize) -> usize {
        self.0.iter().map(|part| part.div_ceil(lanes)).sum()
    }

    /// For every place in the blocks of `lanes` its channel; `None`: a place that holds zeros.
    pub(crate) fn places(&self, lanes: usize) -> Vec<Option<usize>> {
        let mut places = Vec::new();
        let mut first = 0;
        for &part in &self.0 {
            let room = part.next_multiple_of(lanes);
            places.extend((0..room).map(|at| (at < part).then_some(first + at)));
            first += part;
        }
        places
    }
}

/// `eights` in panels of at most `most`.
pub(crate) fn panels(eights: usize, most: usize) -> Vec<usize> {
    (0..eights).step_by(most).map(|first| (eights - first).min(most)).collect()
}

/// Numbers of the panels' weights, for an input of `places` and kernels of `elements`.
pub(crate) fn packed_len(panels: &[usize], places: usize, elements: usize) -> usize {
    panels.iter().sum::<usize>() * BLOCK * places * elements
}

/// The panels' weights one after another into `target`, which holds zeros: for every step (block of input channels, kernel
/// element, channel in the block) the panel's output channels. `value` answers for an output channel, an input channel
/// and a kernel element.
pub(crate) fn pack(
    mut target: &mut [f32],
    outputs: usize,
    panels: &[usize],
    places: &[Option<usize>],
    elements: usize,
    value: impl Fn(usize, usize, usize) -> f32,
) {
    let mut first = 0;
    for &panel in panels {
        let width = panel * BLOCK;
        let (these, rest) = target.split_at_mut(width * places.len() * elements);
        let mut steps = these.chunks_exact_mut(width);
        for block in places.chunks(BLOCK) {
            for element in 0..elements {
                for (place, step) in block.iter().zip(&mut steps) {
                    let Some(input) = *place else { continue };
                    for (output, weight) in (first..outputs).zip(step) {
                        *weight = value(output, input, element);
                    }
                }
            }
        }
        first += width;
        target = rest;
    }
}

/// The least that an output channel may be, in eights: 0 with a ReLU, −∞ without. Places beyond the channels hold 0 even
/// where an infinite input meets their weight 0.
pub(crate) fn floors(channels: usize, relu: bool) -> Vec<Eight> {
    eights(&vec![if relu { 0.0 } else { f32::NEG_INFINITY }; channels])
}

/// The output channels' biases in eights.
pub(crate) fn eights(values: &[f32]) -> Vec<Eight> {
    let mut eights = vec![[0.0; BLOCK]; values.len().div_ceil(BLOCK)];
    eights.as_flattened_mut()[..values.len()].copy_from_slice(values);
    eights
}
