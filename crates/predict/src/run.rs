//! The run over a volume, from its beginning or from where it was stopped.

use std::path::{Path, absolute};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use deep3m_volume::{Region, Volume, VolumeWriter, open};
use serde::{Deserialize, Serialize};

use crate::forward::wanted_voxels;
use crate::output::{Found, Output};
use crate::parts::Parts;
use crate::pipeline::{Job, Step, Times, run};
use crate::plan::{Plan, PlannedBlock};
use crate::run_log::RunLog;
use crate::{Ensemble, PredictConfig, PredictError, RunIdentity, Seam, measure_seam};

/// What is heard during a prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PredictEvent {
    /// Once, before the first block.
    Planned {
        /// Blocks that the prediction takes.
        blocks: u64,
        /// Blocks that were done before.
        done: u64,
        /// Voxels to predict.
        voxels: u64,
        /// Voxels of the blocks that were done before.
        voxels_done: u64,
        /// Passes through a network that each section of a block takes.
        passes: u64,
    },
    /// Something that the user should know.
    Notice(String),
    /// After each pass through a network, to move a progress bar: it ends at `voxels` of [`Self::Planned`].
    Progress {
        /// Voxels so far, a voxel that has had half its passes counting half.
        voxels_done: u64,
    },
    /// A block is on the disk: it will not be computed again.
    BlockDone {
        /// Blocks so far.
        done: u64,
        /// Blocks in all.
        blocks: u64,
        /// Voxels of this block that were asked for.
        voxels: u64,
    },
    /// The output is being made from the blocks (for another format than OME-Zarr, or a region).
    Copying {
        /// Voxels so far.
        voxels_done: u64,
        /// Voxels in all.
        voxels: u64,
    },
}

/// What a prediction was.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PredictSummary {
    /// Voxels of the output.
    pub voxels: u64,
    /// Voxels that this call predicted.
    pub voxels_now: u64,
    /// Blocks of the prediction.
    pub blocks: u64,
    /// Of these, those that were done before this call.
    pub blocks_before: u64,
    /// Time of this call, in seconds.
    pub seconds: f64,
    /// Of it, in the network.
    pub network_seconds: f64,
    /// Time to read, bin and normalise, beside the network.
    pub reading_seconds: f64,
    /// Time to compress and write, beside the network.
    pub writing_seconds: f64,
    /// The seam, where it was asked for and blocks meet.
    pub seam: Option<Seam>,
}

impl PredictSummary {
    /// The share of the time that the network did not run: reading, averaging and writing that it waited for.
    pub fn share_outside_network(&self) -> f64 {
        if self.seconds > 0.0 { 1.0 - self.network_seconds / self.seconds } else { 0.0 }
    }

    /// Voxels per second of this call.
    pub fn voxels_per_second(&self) -> f64 {
        if self.seconds > 0.0 { self.voxels_now as f64 / self.seconds } else { 0.0 }
    }
}

/// The block grid of a prediction.
///
/// # Errors
/// [`PredictError::Setting`], [`PredictError::Empty`].
pub fn plan(ensemble: &Ensemble, volume: &dyn Volume, config: &PredictConfig) -> Result<Plan, PredictError> {
    let info = volume.info();
    if info.extent.is_empty() {
        return Err(PredictError::Empty { path: info.path.clone(), extent: info.extent });
    }
    Ok(Plan::new(config.plan_settings(info.extent, ensemble.binning(), ensemble.margin())?))
}

/// Predicts a volume, or goes on with a prediction that was stopped.
///
/// `out` is an 8-bit volume of the foreground's probability, p = value / 255, in the format that its name's ending says.
/// With [`PredictConfig::region`] it has the region's size and the values that a prediction of the whole volume has
/// there (its place in the volume is in its attributes). Set `stop` to end early: what is done stays, and the same call
/// goes on from there with the same bytes in the end.
///
/// # Errors
/// [`PredictError::Interrupted`] when stopped, [`PredictError::AnotherRun`] when `out` holds another prediction and may
/// not be replaced, else what went wrong, with its place.
pub fn predict(
    ensemble: &Ensemble,
    volume: &dyn Volume,
    out: &Path,
    config: &PredictConfig,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(PredictEvent),
) -> Result<PredictSummary, PredictError> {
    let started = Instant::now();
    let info = volume.info();
    let plan = plan(ensemble, volume, config)?;
    let region = config.region.unwrap_or(Region::whole(info.extent));
    if region.is_empty() || !region.fits(info.extent) {
        return Err(PredictError::Region { path: info.path.clone(), region, extent: info.extent });
    }
    if same_place(out, &info.path) {
        return Err(PredictError::OutputIsInput { path: out.to_owned() });
    }
    let grey = ensemble.grey(volume)?;
    let identity = RunIdentity {
        program: RunIdentity::this_program(),
        model: ensemble.identity().clone(),
        normalisation: grey.description.clone(),
        volume: absolute(&info.path).unwrap_or_else(|_| info.path.clone()),
        voxel_type: info.voxel_type,
        region: config.region,
        variations: config.variations,
        batch: config.batch.unwrap_or(1),
        plan: *plan.settings(),
    };
    let blocks: Vec<PlannedBlock> = plan.blocks_meeting(region).collect();
    let mut summary =
        PredictSummary { voxels: region.extent.len() as u64, blocks: blocks.len() as u64, ..PredictSummary::default() };
    let output = Output::new(out, config.region);
    let forward = ensemble.forward(config);
    if output.settle(&identity, config.overwrite)? == Found::Finished {
        observer(PredictEvent::Notice(format!("{}: already complete, nothing to do", out.display())));
        summary.blocks_before = summary.blocks;
        output.clear_up()?;
    } else {
        let notices = grey.notice.into_iter().chain(ensemble.doubts(info)).chain(padding(&plan));
        for notice in notices {
            observer(PredictEvent::Notice(notice));
        }
        let writer = output.open_store(&identity, plan.chunk(), info.voxel_size)?;
        let parts = Parts::new(&output.store(), Parts::WORTH_KEEPING);
        let ahead = config.ahead();
        let job =
            Job { volume, forward: &forward, normalise: &*grey.apply, region, writer: &writer, parts: &parts, ahead };
        let interrupted = |done| PredictError::Interrupted { path: out.to_owned(), done, blocks: blocks.len() as u64 };
        let mut log = RunLog::open(&output.store(), plan.blocks().count() as u64)?;
        let times = predict_blocks(&job, &blocks, &mut log, stop, &mut summary, observer)?;
        summary.network_seconds = times.network.as_secs_f64();
        summary.reading_seconds = times.reading.as_secs_f64();
        summary.writing_seconds = times.writing.as_secs_f64();
        let done = blocks.iter().filter(|block| log.done().contains(&block.number)).count();
        if done < blocks.len() {
            return Err(interrupted(done as u64));
        }
        writer.finish()?;
        let (mut voxels_done, voxels) = (0, summary.voxels);
        let mut copied = |count| {
            // A first call with 0 says that copying begins.
            voxels_done += count;
            observer(PredictEvent::Copying { voxels_done, voxels });
        };
        if !output.complete(&identity, plan.chunk(), config.copy_bytes(), stop, &mut copied)? {
            return Err(interrupted(summary.blocks));
        }
        drop(log);
        output.clear_up()?;
    }
    if config.seam {
        summary.seam = measure_seam(ensemble, volume, open(out)?.as_ref(), config)?;
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// Runs the blocks that are not done, and tells the observer.
fn predict_blocks(
    job: &Job<'_>,
    blocks: &[PlannedBlock],
    log: &mut RunLog,
    stop: &AtomicBool,
    summary: &mut PredictSummary,
    observer: &mut dyn FnMut(PredictEvent),
) -> Result<Times, PredictError> {
    let passes = job.forward.passes();
    let (before, to_do): (Vec<PlannedBlock>, Vec<_>) =
        blocks.iter().partition(|block| log.done().contains(&block.number));
    let voxels_before: u64 = before.iter().map(|block| wanted_voxels(block, job.region)).sum();
    let all = blocks.len() as u64;
    let mut done = before.len() as u64;
    summary.blocks_before = done;
    observer(PredictEvent::Planned { blocks: all, done, voxels: summary.voxels, voxels_done: voxels_before, passes });
    // In voxels times passes, so that the sum is exact.
    let mut progress = voxels_before * passes;
    let mut times = Times::default();
    let mut voxels_now = 0;
    run(job, &to_do, log, stop, &mut times, &mut |step| match step {
        Step::Pass { block, sections } => {
            let plane = block.core.intersect(&job.region).map_or(0, |part| part.extent.y * part.extent.x);
            progress += plane * sections;
            observer(PredictEvent::Progress { voxels_done: (progress / passes).min(summary.voxels) });
        }
        Step::Done(block) => {
            let voxels = wanted_voxels(&block, job.region);
            done += 1;
            voxels_now += voxels;
            observer(PredictEvent::BlockDone { done, blocks: all, voxels });
        }
    })?;
    summary.voxels_now = voxels_now;
    Ok(times)
}

/// Says it where sections are so small that the network sees much that is mirrored.
fn padding(plan: &Plan) -> Option<String> {
    let (size, bin) = (plan.settings().extent, plan.settings().binning);
    let small = size.y.div_ceil(bin.y.into()) < SMALL || size.x.div_ceil(bin.x.into()) < SMALL;
    let context = plan.context(Region::whole(plan.core()));
    small.then(|| {
        format!(
            "sections of {} × {} pixels are small: padded by reflection to {} × {} for the network",
            size.y,
            size.x,
            context.y.len * u64::from(bin.y),
            context.x.len * u64::from(bin.x)
        )
    })
}

/// Binned pixels below which a section is padded in the reference: its training patch.
const SMALL: u64 = 320;

/// Whether two paths lead to the same file or folder.
fn same_place(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => false,
    }
}
