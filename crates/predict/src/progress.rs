//! How far a run is, in voxels times passes, so that the sum is exact.

use std::collections::BTreeMap;

use deep3m_volume::Region;

use crate::PredictEvent;
use crate::forward::wanted_voxels;
use crate::pipeline::Step;
use crate::workers::Queue;

/// Adds up what this worker and others have done.
pub(crate) struct Progress<'a> {
    pub(crate) queue: &'a Queue<'a>,
    pub(crate) region: Region,
    /// Passes of each section.
    pub(crate) passes: u64,
    /// Blocks of the run.
    pub(crate) blocks: u64,
    /// Voxels of the run.
    pub(crate) voxels: u64,
    /// Blocks that are not noted as done, with the voxels times passes that they have had.
    under_way: BTreeMap<u64, u64>,
}

impl<'a> Progress<'a> {
    pub(crate) const fn new(queue: &'a Queue<'a>, region: Region, passes: u64, blocks: u64, voxels: u64) -> Self {
        Self { queue, region, passes, blocks, voxels, under_way: BTreeMap::new() }
    }

    /// What is to be told of a step.
    pub(crate) fn event(&mut self, step: Step) -> PredictEvent {
        match step {
            Step::Pass { block, sections } => {
                let plane = block.core.intersect(&self.region).map_or(0, |part| part.extent.y * part.extent.x);
                let all = wanted_voxels(&block, self.region) * self.passes;
                let had = self.under_way.entry(block.number).or_default();
                // A group of sections is computed whole where only a part of it was asked for.
                *had = (*had + plane * sections).min(all);
                PredictEvent::Progress { voxels_done: self.voxels_done() }
            }
            Step::Done { block, done } => {
                self.under_way.remove(&block.number);
                let voxels = wanted_voxels(&block, self.region);
                PredictEvent::BlockDone { done, blocks: self.blocks, voxels }
            }
            Step::LeftOut { block, reason } => {
                self.under_way.remove(&block.number);
                PredictEvent::LeftOut { region: block.core.intersect(&self.region).unwrap_or(block.core), reason }
            }
        }
    }

    fn voxels_done(&self) -> u64 {
        let (done, under_way) = self.queue.progress_with(&self.under_way);
        (done + under_way / self.passes.max(1)).min(self.voxels)
    }
}
