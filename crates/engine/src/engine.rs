//! A network ready to run.

use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::EngineError;
use crate::aligned::Aligned;
use crate::grid::{Grid, View, ViewMut};
use crate::layer::{Layer, pooled};
use crate::memory::{Need, arrange, carve};
use crate::plan::{Kernel, Plan, Resize, Step};
use crate::pool::pool;
use crate::scratch::Scratch;
use crate::simd::Isa;

/// A network ready to run: weights packed once, memory planned once per size and used again.
///
/// It runs on the threads of the rayon pool that it is called in. Results are the same, bit for bit, whatever their
/// number.
pub struct Engine {
    isa: Isa,
    channels: usize,
    plan: Plan,
    /// Memory of earlier calls, for later ones.
    idle: Mutex<Vec<Workspace>>,
}

/// Memory for one size of input.
struct Workspace {
    layout: Layout,
    memory: Aligned,
    scratch: Scratch,
}

/// Where everything lies for one size of input.
#[derive(Clone)]
struct Layout {
    size: [usize; 2],
    grids: Vec<Grid>,
    places: Vec<Range<usize>>,
    total: usize,
    /// Numbers of scratch that a task takes.
    scratch: usize,
}

/// What a step took.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// The layer whose result it made.
    pub layer: usize,
    /// How: the kernel's name.
    pub kernel: &'static str,
    /// How long.
    pub seconds: f64,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("isa", &self.isa())
            .field("steps", &self.plan.steps.len())
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// Packs the layers of a network with `channels` input channels. The last layer's blob is the result.
    pub fn new(channels: usize, layers: Vec<Layer>) -> Result<Self, EngineError> {
        Self::with(Isa::detect(), channels, layers)
    }

    pub(crate) fn with(isa: Isa, channels: usize, layers: Vec<Layer>) -> Result<Self, EngineError> {
        Ok(Self { isa, channels, plan: Plan::new(isa, channels, layers)?, idle: Mutex::default() })
    }

    /// The name of the instruction set that it runs on.
    pub const fn isa(&self) -> &'static str {
        self.isa.name()
    }

    /// Bytes of the packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.plan.bytes()
    }

    /// Bytes that [`Self::forward`] takes on `threads` threads, beside the weights, its input and its result. They are
    /// kept for the next call with the same size.
    pub fn bytes(&self, height: usize, width: usize, threads: usize) -> Result<u64, EngineError> {
        let layout = self.layout([height, width])?;
        Ok(Aligned::bytes(layout.total) + threads as u64 * Aligned::bytes(layout.scratch))
    }

    /// Gives back the memory that is kept for the next call.
    pub fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The last layer's blob, [channels, rows, columns], for `input`, [channels, `height`, `width`], all row-major.
    pub fn forward(&self, input: &[f32], height: usize, width: usize) -> Result<Vec<f32>, EngineError> {
        self.timed(input, height, width, |_| {})
    }

    /// As [`Self::forward`]; `watch` hears what each step took.
    pub fn timed(
        &self,
        input: &[f32],
        height: usize,
        width: usize,
        mut watch: impl FnMut(Timing),
    ) -> Result<Vec<f32>, EngineError> {
        let size = [height, width];
        let expected = self.channels.saturating_mul(height).saturating_mul(width);
        if input.len() != expected {
            return Err(EngineError::Values { found: input.len(), expected });
        }
        let mut workspace = self.workspace(size)?;
        let Workspace { layout, memory, scratch } = &mut workspace;
        let first = &self.plan.blobs[0];
        enter(input, layout.grids[first.buffer], &mut memory.numbers_mut()[layout.places[first.buffer].clone()]);
        for step in &self.plan.steps {
            let start = std::time::Instant::now();
            self.step(step, layout, memory.numbers_mut(), scratch);
            watch(Timing { layer: step.layer, kernel: step.kernel.name(), seconds: start.elapsed().as_secs_f64() });
        }
        let answer = self.answer(layout, memory.numbers());
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(workspace);
        Ok(answer)
    }

    /// Memory of an earlier call of this size, or new.
    fn workspace(&self, size: [usize; 2]) -> Result<Workspace, EngineError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = idle.iter().position(|workspace| workspace.layout.size == size) {
            return Ok(idle.swap_remove(at));
        }
        // Of another size: given back before the new is taken.
        idle.clear();
        drop(idle);
        let layout = self.layout(size)?;
        let (memory, scratch) = (Aligned::zeros(layout.total), Scratch::new(layout.scratch));
        Ok(Workspace { layout, memory, scratch })
    }

    fn step(&self, step: &Step, layout: &Layout, memory: &mut [f32], scratch: &Scratch) {
        let blobs = &self.plan.blobs;
        let place = |blob: usize| layout.places[blobs[blob].buffer].clone();
        let sources: Vec<Range<usize>> = step.inputs.iter().map(|&input| place(input)).collect();
        let (target, sources) = carve(memory, &place(step.output), &sources);
        let inputs: Vec<View<'_>> = step
            .inputs
            .iter()
            .zip(sources)
            .map(|(&blob, data)| {
                let blob = &blobs[blob];
                let grid = layout.grids[blob.buffer];
                View { data, grid, first: blob.first, blocks: blob.channels.blocks(grid.lanes) }
            })
            .collect();
        let blob = &blobs[step.output];
        let grid = layout.grids[blob.buffer];
        let output = ViewMut { data: target, grid, first: blob.first, blocks: blob.channels.blocks(grid.lanes) };
        let isa = self.isa;
        match &step.kernel {
            Kernel::Direct(conv) => conv.run(isa, inputs[0], output),
            Kernel::Winograd(conv) => conv.run(isa, scratch, inputs[0], output),
            Kernel::Unfolded(conv) => conv.run(isa, scratch, inputs[0], output),
            Kernel::Planes(conv) => conv.run(isa, inputs[0], output),
            Kernel::Head(head) => head.run(isa, scratch, inputs[0], output),
            Kernel::Pool => pool(isa, inputs[0], output),
            Kernel::Combine(combine) => combine.run(isa, &inputs, output),
        }
    }

    /// Sizes and places of everything for one size of input.
    fn layout(&self, size: [usize; 2]) -> Result<Layout, EngineError> {
        let plan = &self.plan;
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
            let error = EngineError::Size { height: size[0], width: size[1], layer };
            let [Some(height), Some(width)] = to else { return Err(error) };
            if height == 0 || width == 0 {
                return Err(error);
            }
            sizes.push([height, width]);
        }
        let grids: Vec<Grid> = plan
            .buffers
            .iter()
            .map(|buffer| Grid {
                blocks: buffer.blocks,
                lanes: buffer.lanes,
                size: sizes[buffer.blob],
                pad: buffer.pad,
            })
            .collect();
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
        Ok(Layout { size, grids, places, total, scratch })
    }

    /// The last blob's channels one after another.
    fn answer(&self, layout: &Layout, memory: &[f32]) -> Vec<f32> {
        let blob = &self.plan.blobs[self.plan.blobs.len() - 1];
        let grid = layout.grids[blob.buffer];
        let data = &memory[layout.places[blob.buffer].clone()];
        let view = View { data, grid, first: blob.first, blocks: blob.channels.blocks(grid.lanes) };
        let [height, width] = grid.size;
        let mut answer = Vec::with_capacity(blob.channels.count() * height * width);
        for (place, channel) in blob.channels.places(grid.lanes).into_iter().enumerate() {
            if channel.is_some() {
                let lane = place % grid.lanes;
                let rows = (0..height).map(|row| view.inside(row, place / grid.lanes));
                answer.extend(rows.flat_map(|row| row.iter().skip(lane).step_by(grid.lanes)));
            }
        }
        answer
    }
}

impl Kernel {
    const fn name(&self) -> &'static str {
        match self {
            Self::Direct(_) => "direct",
            Self::Winograd(_) => "winograd",
            Self::Unfolded(_) => "unfolded",
            Self::Planes(_) => "planes",
            Self::Head(_) => "head",
            Self::Pool => "pool",
            Self::Combine(_) => "combine",
        }
    }
}

/// The input as planes with zeros around.
fn enter(input: &[f32], grid: Grid, data: &mut [f32]) {
    let [height, width] = grid.size;
    data.fill(0.0);
    for (plane, values) in input.chunks_exact(height * width).enumerate() {
        for (row, values) in values.chunks_exact(width).enumerate() {
            let start = (row + grid.pad[0]) * grid.row() + plane * grid.columns() + grid.pad[1];
            data[start..start + width].copy_from_slice(values);
        }
    }
}
