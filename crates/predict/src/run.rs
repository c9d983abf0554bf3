//! The run over a volume, from its beginning or from where it was stopped.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use deep3m_volume::{Region, Volume, VolumeWriter, absolute, open, same_place};

use crate::forward::Forward;
use crate::grey::Normalise;
use crate::output::{Found, Output};
use crate::parts::Parts;
use crate::pipeline::{End, Job, Times, run};
use crate::plan::{Plan, PlannedBlock};
use crate::progress::Progress;
use crate::retry::wait;
use crate::run_note::RunNote;
use crate::workers::{Claim, Left, Life, Queue, Session};
use crate::{Elsewhere, Ensemble, PredictConfig, PredictError, PredictSummary, RunIdentity, measure_seam};

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
    /// A block could not be read or written; the others go on.
    LeftOut {
        /// Its voxels.
        region: Region,
        /// Why.
        reason: String,
    },
    /// Nothing is left to do but what other workers are at: waiting for them.
    Waiting(Vec<Elsewhere>),
    /// The output is being made from the blocks (for another format than OME-Zarr, or a region).
    Copying {
        /// Voxels so far.
        voxels_done: u64,
        /// Voxels in all.
        voxels: u64,
    },
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

/// Predicts a volume, or goes on with a prediction that was stopped, or helps other [workers](crate::WorkerConfig) with it.
///
/// `out` is an 8-bit volume of the foreground's probability, p = value / 255, in the format that its name's ending says.
/// With [`PredictConfig::region`] it has the region's size and the values that a prediction of the whole volume has
/// there (its place in the volume is in its attributes). Set `stop` to end early: what is done stays, and the same call
/// goes on from there with the same bytes in the end.
///
/// The output is complete when [`PredictSummary::complete`] says so; else other workers are still at what is left.
///
/// # Errors
/// [`PredictError::Interrupted`] when stopped, [`PredictError::AnotherRun`] when `out` holds another prediction and may
/// not be replaced, [`PredictError::Incomplete`] when blocks could not be read or written and all others are done, else
/// what went wrong, with its place.
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
        volume: absolute(&info.path),
        voxel_type: info.voxel_type,
        region: config.region,
        variations: config.variations,
        early_stop: config.early_stop,
        disagreement: config.disagreement,
        batch: config.batch.unwrap_or(1),
        plan: *plan.settings(),
    };
    let blocks: Vec<PlannedBlock> = plan.blocks_meeting(region).collect();
    let mut summary =
        PredictSummary { voxels: region.extent.len() as u64, blocks: blocks.len() as u64, ..PredictSummary::default() };
    let output = Output::new(out, config.region)?;
    if config.disagreement {
        output.check_disagreement()?;
    }
    if output.settle(&identity, config.overwrite)? == Found::Finished {
        observer(PredictEvent::Notice(format!("{}: already complete, nothing to do", out.display())));
        summary.blocks_before = summary.blocks;
        summary.complete = true;
        output.clear_up_unused()?;
    } else {
        let notices = grey.notice.into_iter().chain(ensemble.doubts(info)).chain(padding(&plan));
        for notice in notices {
            observer(PredictEvent::Notice(notice));
        }
        let call = Call {
            ensemble,
            volume,
            normalise: &*grey.apply,
            region,
            output: &output,
            identity: &identity,
            plan: &plan,
            config,
            stop,
        };
        let outcome = match call.work(&blocks, &mut summary, observer) {
            // Notes and blocks go when another worker ends the run.
            Err(_) if call.is_over() => Ok(Ended::Complete),
            other => other,
        };
        summary.seconds = started.elapsed().as_secs_f64();
        match outcome? {
            Ended::Complete => {
                summary.complete = true;
                summary.elsewhere.clear();
                output.clear_up()?;
            }
            Ended::Elsewhere => return Ok(summary),
            Ended::Stopped { done } => {
                return Err(PredictError::Interrupted { path: out.to_owned(), done, blocks: summary.blocks });
            }
            Ended::Missing => {
                return Err(PredictError::Incomplete { path: out.to_owned(), summary: Box::new(summary) });
            }
        }
    }
    if config.seam {
        summary.seam = measure_seam(ensemble, volume, open(out)?.as_ref(), config)?;
    }
    summary.seconds = started.elapsed().as_secs_f64();
    Ok(summary)
}

/// A call of [`predict`].
struct Call<'a> {
    ensemble: &'a Ensemble,
    volume: &'a dyn Volume,
    normalise: &'a Normalise,
    region: Region,
    output: &'a Output,
    identity: &'a RunIdentity,
    plan: &'a Plan,
    config: &'a PredictConfig,
    stop: &'a AtomicBool,
}

impl Call<'_> {
    /// Whether another worker has ended the run. What was there before is not this run's result where it is to be
    /// replaced.
    fn is_over(&self) -> bool {
        !self.config.overwrite && self.output.is_finished(self.identity).unwrap_or(false)
    }

    /// Becomes a worker and takes its turn.
    fn work(
        &self,
        blocks: &[PlannedBlock],
        summary: &mut PredictSummary,
        observer: &mut dyn FnMut(PredictEvent),
    ) -> Result<Ended, PredictError> {
        let (output, workers) = (self.output, &self.config.workers);
        let voxel_size = self.volume.info().voxel_size;
        let (writer, resumed) = output.open_store(self.identity, self.plan.chunk(), voxel_size)?;
        let disagreement = self.config.disagreement;
        let open = || output.open_disagreement(self.identity, self.plan.chunk(), voxel_size);
        let disagreement = disagreement.then(open).transpose()?;
        let mut notice = |text| observer(PredictEvent::Notice(text));
        let session = Session::open(output.notes(), output.presence(), workers, self.stop, &mut notice)?;
        let Some(session) = session.map(Arc::new) else { return Ok(Ended::Stopped { done: 0 }) };
        // Meanwhile: then what is open here was made anew for nothing.
        if self.is_over() {
            return Ok(Ended::Complete);
        }
        if resumed && session.others()? == 0 {
            output.sweep(session.lease)?;
        }
        let lanes = self.ensemble.lanes(self.config);
        let parts = Parts::new(output.notes(), Parts::WORTH_KEEPING);
        let numbers = self.plan.blocks().count() as u64;
        let kinds = self.ensemble.kinds();
        let is_over = || self.is_over();
        let queue = Queue::new(blocks, self.region, numbers, workers.worker, session.clone(), kinds, is_over)?;
        let job = Job {
            volume: self.volume,
            lanes: &lanes,
            normalise: self.normalise,
            region: self.region,
            writer: &writer,
            disagreement: disagreement.as_ref().map(|writer| writer as &dyn VolumeWriter),
            parts: &parts,
            ahead: self.config.ahead(),
        };
        Turn { call: self, job, queue: &queue, session: &session, resumed }.take(summary, observer)
    }
}

/// A worker's turn at an output.
struct Turn<'a> {
    call: &'a Call<'a>,
    job: Job<'a>,
    queue: &'a Queue<'a>,
    session: &'a Session,
    /// Whether the run had begun before.
    resumed: bool,
}

/// How a worker's turn ended.
enum Ended {
    Complete,
    Elsewhere,
    Stopped { done: u64 },
    Missing,
}

impl Turn<'_> {
    /// Takes blocks until all are done, or what is left is not for this worker; then makes the output, if nobody else
    /// does.
    fn take(
        &self,
        summary: &mut PredictSummary,
        observer: &mut dyn FnMut(PredictEvent),
    ) -> Result<Ended, PredictError> {
        let (blocks, voxels) = (summary.blocks, summary.voxels);
        let passes = self.job.lanes.first().map_or(0, Forward::passes);
        let (done, voxels_done) = self.queue.progress();
        summary.blocks_before = done;
        observer(PredictEvent::Planned { blocks, done, voxels, voxels_done, passes });
        let mut times = Times::default();
        let mut progress = Progress::new(self.queue, self.job.region, passes, blocks, voxels);
        let ended = loop {
            let mut hear = |step| observer(progress.event(step));
            let end = run(&self.job, self.queue, self.call.stop, &mut times, &mut hear);
            self.queue.give_back();
            let next = match end {
                Ok(End::Taken) => self.what_next(summary, observer),
                Ok(End::Stopped) => Ok(Some(Ended::Stopped { done: self.queue.progress().0 })),
                // The notes are gone.
                Ok(End::GaveUp(_)) if self.call.is_over() => Ok(Some(Ended::Complete)),
                Ok(End::GaveUp(error)) => {
                    summary.missing = self.queue.missing(&format!("not tried, because of {error}"));
                    Ok(Some(Ended::Missing))
                }
                Err(error) => Err(error),
            };
            if let Some(ended) = next.transpose() {
                break ended;
            }
            self.queue.again();
        };
        (summary.blocks_now, summary.voxels_now) = self.queue.progress_now();
        let sum = |of: for<'f> fn(&'f Forward<'_>) -> &'f AtomicU64| {
            self.job.lanes.iter().map(|lane| of(lane).load(Ordering::Relaxed)).sum()
        };
        (summary.passes, summary.passes_saved) = (sum(|lane| &lane.made), sum(|lane| &lane.saved));
        summary.network_seconds = times.network.as_secs_f64();
        summary.reading_seconds = times.reading.as_secs_f64();
        summary.writing_seconds = times.writing.as_secs_f64();
        ended
    }

    /// What to do when there is nothing to take; `None` to try again.
    fn what_next(
        &self,
        summary: &mut PredictSummary,
        observer: &mut dyn FnMut(PredictEvent),
    ) -> Result<Option<Ended>, PredictError> {
        if self.call.is_over() {
            return Ok(Some(Ended::Complete));
        }
        if self.session.is_lost() {
            return Err(self.session.lost());
        }
        let (all_live, with) = match self.queue.left()? {
            Left::More => return Ok(None),
            Left::Failed => {
                summary.missing = self.queue.missing("");
                return Ok(Some(Ended::Missing));
            }
            Left::Elsewhere { all_live, with } => (all_live, with),
            Left::Nothing => match self.queue.claim_finish()? {
                Claim::Mine => return self.finish(summary, observer),
                Claim::Held(holder, life) => {
                    let (worker, host) = holder.map_or((None, None), |h| (Some(h.worker), Some(h.host)));
                    (life == Life::Lives, vec![Elsewhere { worker, host, blocks: 0 }])
                }
            },
        };
        // Without a sign of life of all others, what they have may be free soon.
        if all_live && !self.call.config.workers.wait {
            summary.elsewhere = with;
            if self.queue.has_left_out() {
                summary.missing = self.queue.missing("another worker is at it");
                return Ok(Some(Ended::Missing));
            }
            return Ok(Some(Ended::Elsewhere));
        }
        if summary.elsewhere != with {
            summary.elsewhere.clone_from(&with);
            observer(PredictEvent::Waiting(with));
        }
        let waited = wait(self.session.pause(), self.call.stop);
        Ok((!waited).then(|| Ended::Stopped { done: self.queue.progress().0 }))
    }

    /// Makes the output from the blocks, which are all done; `None` where another worker took over.
    fn finish(
        &self,
        summary: &PredictSummary,
        observer: &mut dyn FnMut(PredictEvent),
    ) -> Result<Option<Ended>, PredictError> {
        if self.call.is_over() {
            return Ok(Some(Ended::Complete));
        }
        self.job.writer.finish()?;
        self.job.disagreement.map_or(Ok(()), VolumeWriter::finish)?;
        if self.resumed || self.session.others()? > 0 {
            self.call.output.sweep(Duration::ZERO)?;
        }
        let note = RunNote { finished: true, run: self.call.identity.clone(), devices: self.queue.devices() };
        let (mut voxels_done, voxels) = (0, summary.voxels);
        let mut copied = |count| {
            // A first call with 0 says that copying begins.
            voxels_done += count;
            observer(PredictEvent::Copying { voxels_done, voxels });
        };
        let mut go_on = || !self.call.stop.load(Ordering::Relaxed) && self.queue.finishes().unwrap_or(false);
        let attempt = format!("worker-{}", self.call.config.workers.worker.number());
        let made = self.call.output.complete(
            &note,
            &attempt,
            self.call.plan.chunk(),
            self.call.config.copy_bytes(),
            &mut go_on,
            &mut copied,
        );
        if !matches!(made, Ok(true)) {
            self.queue.give_finish_back();
        }
        if made? {
            return Ok(Some(Ended::Complete));
        }
        let stopped = self.call.stop.load(Ordering::Relaxed);
        Ok(stopped.then_some(Ended::Stopped { done: summary.blocks }))
    }
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
