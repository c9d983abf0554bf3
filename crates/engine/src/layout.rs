//! Sizes and places of everything for one size of input.

use std::ops::Range;

use crate::EngineError;
use crate::grid::Grid;
use crate::layer::pooled;
use crate::memory::{Need, arrange};
use crate::plan::{Kernel, Plan, Resize};

/// Where everything lies.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// For each buffer its extent, and its place in memory.
    pub grids: Vec<Grid>,
    pub places: Vec<Range<usize>>,
    /// Numbers of memory.
    pub total: usize,
    /// Numbers of scratch that a task takes.
    pub scratch: usize,
}

impl Layout {
    /// The layout for inputs of `size` rows and columns.
    pub(crate) fn new(plan: &Plan, size: [usize; 2]) -> Result<Self, EngineError> {
        let sizes = sizes(plan, size)?;
        let grids = plan.buffers.iter().map(|buffer| Grid {
            blocks: buffer.blocks,
            lanes: buffer.lanes,
            size: sizes[buffer.blob],
            pad: buffer.pad,
        });
        let grids: Vec<Grid> = grids.collect();
        let needs = grids.iter().zip(&plan.buffers).map(|(grid, buffer)| Need { len: grid.len(), used: buffer.used });
        let (places, total) = arrange(&needs.collect::<Vec<_>>());
        let scratch = plan.steps.iter().map(|step| {
            let (input, output) = (sizes[step.inputs[0]], sizes[step.output]);
            match &step.kernel {
                Kernel::Winograd(conv) => conv.scratch(),
                Kernel::Unfolded(conv) => conv.scratch(output[1]),
                Kernel::Head(head) => head.scratch(input[1]),
                _ => 0,
            }
        });
        let scratch = scratch.max().unwrap_or(0);
        Ok(Self { grids, places, total, scratch })
    }
}

/// Rows and columns of every blob.
fn sizes(plan: &Plan, size: [usize; 2]) -> Result<Vec<[usize; 2]>, EngineError> {
    let mut sizes = vec![size];
    for (layer, (input, resize)) in plan.sizes.iter().enumerate() {
        let from = sizes[*input];
        let to = match resize {
            Resize::Conv { kernel, stride, padding } => {
                [0, 1].map(|axis| Some((from[axis] + 2 * padding[axis]).checked_sub(kernel[axis])? / stride + 1))
            }
            Resize::Times(stride) => from.map(|size| Some(size * stride)),
            Resize::Pool => from.map(pooled),
            Resize::Same(inputs) => from.map(|size| inputs.iter().all(|&i| sizes[i] == from).then_some(size)),
        };
        let [Some(height @ 1..), Some(width @ 1..)] = to else {
            return Err(EngineError::Size { height: size[0], width: size[1], layer });
        };
        sizes.push([height, width]);
    }
    Ok(sizes)
}
