//! A network ready to run.

use std::ops::Range;
use std::time::Instant;

use crate::EngineError;
use crate::aligned::Aligned;
use crate::grid::{Grid, View, ViewMut};
use crate::layer::Layer;
use crate::layout::Layout;
use crate::memory::carve;
use crate::plan::{Kernel, Plan, Step};
use crate::pool::pool;
use crate::scratch::Scratch;
use crate::simd::Isa;
use crate::workspace::Memory;

/// A network ready to run: its weights are packed once.
///
/// It runs on the threads of the rayon pool that it is called in. Results are the same, bit for bit, whatever their
/// number.
///
/// ```
/// # use deep3m_engine::{Conv, Engine, Layer, Memory, Op};
/// let mean = Conv {
///     kernel: [3, 3],
///     stride: 1,
///     padding: [1, 1],
///     relu: false,
///     weights: vec![1.0 / 9.0; 9],
///     bias: vec![0.0],
/// };
/// let engine = Engine::new(1, vec![Layer { op: Op::Conv(mean), inputs: vec![0] }])?;
/// let answer = engine.forward(&Memory::new(), &[1.0; 5 * 7], 5, 7)?;
/// assert!((answer[2 * 7 + 3] - 1.0).abs() < 1e-6);
/// # Ok::<(), deep3m_engine::EngineError>(())
/// ```
pub struct Engine {
    isa: Isa,
    channels: usize,
    plan: Plan,
}

/// What a network would take, without its weights.
pub struct Sketch(Plan);

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

impl std::fmt::Debug for Sketch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sketch").field("steps", &self.0.steps.len()).finish_non_exhaustive()
    }
}

impl Sketch {
    /// A network with `channels` input channels of layers whose weights are left empty; their biases are there.
    pub fn new(channels: usize, layers: Vec<Layer>) -> Result<Self, EngineError> {
        Ok(Self(Plan::new(Isa::detect(), channels, layers, false)?))
    }

    /// Bytes of the packed weights.
    pub fn weight_bytes(&self) -> u64 {
        self.weights().map(|(_, bytes)| bytes).sum()
    }

    /// The layers that have weights, and the bytes of each. [`Engine::new`] packs them in this order and gives each
    /// layer's own weights back before the next.
    pub fn weights(&self) -> impl Iterator<Item = (usize, u64)> {
        self.0.weights()
    }

    /// Bytes of memory that [`Engine::forward`] works in, beside the weights, its input and its result: for the blobs,
    /// and for each thread.
    pub fn memory_bytes(&self, height: usize, width: usize) -> Result<[u64; 2], EngineError> {
        let layout = Layout::new(&self.0, [height, width])?;
        Ok([Aligned::bytes(layout.total), Aligned::bytes(layout.scratch)])
    }
}

impl Engine {
    /// Packs the layers of a network with `channels` input channels. The last layer's blob is the result.
    pub fn new(channels: usize, layers: Vec<Layer>) -> Result<Self, EngineError> {
        Self::with(Isa::detect(), channels, layers)
    }

    pub(crate) fn with(isa: Isa, channels: usize, layers: Vec<Layer>) -> Result<Self, EngineError> {
        Ok(Self { isa, channels, plan: Plan::new(isa, channels, layers, true)? })
    }

    /// The name of the instruction set that it runs on.
    pub const fn isa(&self) -> &'static str {
        self.isa.name()
    }

    /// The last layer's blob, [channels, rows, columns], for `input`, [channels, `height`, `width`], all row-major.
    pub fn forward(
        &self,
        memory: &Memory,
        input: &[f32],
        height: usize,
        width: usize,
    ) -> Result<Vec<f32>, EngineError> {
        self.timed(memory, input, height, width, |_| {})
    }

    /// As [`Self::forward`]; `watch` hears what each step took.
    pub fn timed(
        &self,
        memory: &Memory,
        input: &[f32],
        height: usize,
        width: usize,
        mut watch: impl FnMut(Timing),
    ) -> Result<Vec<f32>, EngineError> {
        let expected = self.channels.saturating_mul(height).saturating_mul(width);
        if input.len() != expected {
            return Err(EngineError::Values { found: input.len(), expected });
        }
        let layout = Layout::new(&self.plan, [height, width])?;
        let answer = memory.with(layout.total, layout.scratch, |memory, scratch| {
            let first = self.plan.blobs[0].buffer;
            enter(input, layout.grids[first], &mut memory.numbers_mut()[layout.places[first].clone()]);
            for step in &self.plan.steps {
                let start = Instant::now();
                self.step(step, &layout, memory.numbers_mut(), scratch);
                watch(Timing { layer: step.layer, kernel: step.kernel.name(), seconds: start.elapsed().as_secs_f64() });
            }
            self.answer(&layout, memory.numbers())
        });
        Ok(answer)
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
