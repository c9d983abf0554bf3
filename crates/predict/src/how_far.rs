//! How far a prediction is, for those who look on while others work.

use std::path::Path;

use deep3m_volume::{Extent, Region};

use crate::forward::wanted_voxels;
use crate::output::Output;
use crate::plan::Plan;
use crate::run_note::{RUN_FILE, RunNote};
use crate::workers::Done;
use crate::{PredictError, RunIdentity};

/// Most blocks that are counted. The paper's largest volume has thousands.
const MOST_BLOCKS: u64 = 10_000_000;

/// How far a prediction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HowFar {
    /// Voxels to predict.
    pub voxels: u64,
    /// Voxels of the blocks that are noted as done.
    pub voxels_done: u64,
}

/// Looks at the notes beside an output that other processes may be writing; `out` and `region` are theirs. `None` where
/// there is nothing to see: no worker has begun, or the output has been made from the blocks.
///
/// # Errors
/// [`PredictError::DamagedRun`], or a note that cannot be read.
pub fn how_far(out: &Path, region: Option<Region>) -> Result<Option<HowFar>, PredictError> {
    let notes = Output::new(out, region)?.notes();
    let Some(note) = RunNote::<RunIdentity>::read(&notes, RUN_FILE)? else { return Ok(None) };
    let plan = Plan::new(note.run.plan);
    let all = note.run.plan.extent;
    let region = note.run.region.unwrap_or(Region::whole(all));
    let Some(blocks) = count(all, plan.core()).filter(|&blocks| blocks <= MOST_BLOCKS) else { return Ok(None) };
    let mut done = Done::default();
    if !note.finished {
        done.read(&notes, blocks, None)?;
    }
    let (mut voxels, mut voxels_done) = (0, 0);
    for block in plan.blocks_meeting(region) {
        let wanted = wanted_voxels(&block, region);
        voxels += wanted;
        voxels_done += if note.finished || done.blocks.contains(&block.number) { wanted } else { 0 };
    }
    Ok(Some(HowFar { voxels, voxels_done }))
}

/// How many cores tile a volume; `None` beyond what can be counted.
fn count(all: Extent, core: Extent) -> Option<u64> {
    let along = |size: u64, step: u64| size.div_ceil(step.max(1));
    along(all.z, core.z).checked_mul(along(all.y, core.y))?.checked_mul(along(all.x, core.x))
}
