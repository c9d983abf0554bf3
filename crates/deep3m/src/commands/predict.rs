//! `deep3m predict`: from a model and a volume to the probability of every voxel.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use deep3m_net::{DeviceChoice, Frames, ModelDir};
use deep3m_predict::{
    EarlyStop, Elsewhere, Ensemble, Fitted, Networks, Passes, PredictConfig, PredictError, PredictEvent,
    PredictSummary, VariationCount, Worker, WorkerConfig, cdeep3m,
};
use deep3m_volume::memory::{peak, text as memory_text};
use deep3m_volume::{Region, Volume, VolumeInfo, VoxelSize};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::{open_sized, print_json};
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Predict the probability of every voxel of a volume
///
/// The output holds one byte per voxel: p = value / 255, on the same scale in every section. Its name says its format:
/// .zarr is OME-Zarr, .tif a TIFF stack, anything else a folder of PNG slices. The volume may be far larger than memory.
/// The same command goes on with a prediction that was interrupted. Several machines share one with --worker.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m predict model volume.tif -o result.zarr
  deep3m predict model images/ -o result.tif --variations 1 --frames 1
  deep3m predict model volume.zarr -o result.zarr --variations auto     as many as each section needs
  deep3m predict model volume.zarr -o result.zarr --disagreement        and how sure it is, for count
  deep3m predict model volume.zarr -o part.zarr --region 0:16,0:512,512:1024
  deep3m predict model volume.zarr -o result.zarr --device cuda:0,cuda:1
  deep3m predict model volume.zarr -o result.zarr --worker 2/8      the third of eight, anywhere
  deep3m predict imported images/ -o predicted/ --layout cdeep3m")]
pub(crate) struct Args {
    /// Folder of a trained model
    model: PathBuf,
    /// Volume to predict: folder of slices, .tif, .h5:/dataset, .mrc, OME-Zarr, precomputed, or s3://… and the like
    volume: PathBuf,
    /// Where to write the probability
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Replace an output that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    workers: WorkerArgs,
}

/// How several processes share an output.
#[derive(clap::Args)]
#[command(next_help_heading = "Workers: the same command on several machines that see one output")]
struct WorkerArgs {
    /// Worker I of N, counted from 0, as array jobs of SLURM and Kubernetes count: it begins with its part, then helps
    /// the others, and ends when all that is left is in the hands of workers that live
    #[arg(long, value_name = "I/N", conflicts_with = "overwrite")]
    worker: Option<Worker>,
    /// With --worker: stay until the output is complete, and take over what workers that die were at
    #[arg(long, requires = "worker")]
    wait: bool,
    /// After so many seconds without a sign of life another worker counts as dead
    #[arg(long, value_name = "S", default_value_t = WorkerConfig::LEASE_SECONDS)]
    lease_seconds: u32,
}

impl WorkerArgs {
    /// Without `--worker` whoever typed it expects the output when it ends.
    fn config(&self) -> WorkerConfig {
        WorkerConfig {
            worker: self.worker.unwrap_or_default(),
            wait: self.wait || self.worker.is_none(),
            lease_seconds: self.lease_seconds,
        }
    }
}

/// What decides the work of a prediction; a plan takes the same.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    pub(crate) voxel_size: Option<VoxelSize>,
    /// Which models take part: numbers of sections that they see [default: all of the model]
    #[arg(long, value_delimiter = ',', value_name = "1,3,5")]
    pub(crate) frames: Option<Vec<Frames>>,
    /// How many flips and rotations are averaged: 16, 8, 4, 2 or 1; fewer are faster. auto: each section until more would
    /// hardly change its answer
    #[arg(long, value_name = "N", default_value = "16")]
    pub(crate) variations: Passes,
    /// With --variations auto: how many voxels may be expected to change sides if all variations were averaged, as a share
    /// of the foreground's; 0 averages all
    #[arg(long, value_name = "SHARE", default_value_t = EarlyStop::TOLERANCE)]
    pub(crate) tolerance: f64,
    /// With --variations auto: the probability that parts foreground from background [default: the best of the model's
    /// validation, else 0.5]
    #[arg(long, value_name = "P")]
    pub(crate) threshold: Option<f32>,
    /// Keep, too, how much the passes disagree about every voxel, in OUT.zarr/disagreement: the standard deviation of the
    /// probability over variations and models, value / 255. count takes it for its error bars
    #[arg(long)]
    pub(crate) disagreement: bool,
    /// Predict only this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    pub(crate) region: Option<Region>,
    /// How the volume is cut into blocks, and what is written: deep3m's way, or cdeep3m's with its packages, folders and
    /// Segmented_NNNN.png, to reproduce an old result
    #[arg(long, value_enum, default_value = "deep3m")]
    pub(crate) layout: Layout,
    /// Where to compute: auto, cpu, cuda:0, vulkan:0; several (cuda:0,cuda:1) share the blocks
    #[arg(long, value_name = "DEVICE", value_delimiter = ',', default_value = "auto")]
    pub(crate) device: Vec<DeviceChoice>,
    /// Rows and columns of a block, in the network's pixels; smaller takes less memory
    #[arg(long, value_name = "N")]
    pub(crate) tile: Option<u32>,
    /// Real context around a block, in the network's pixels; more makes seams fainter
    #[arg(long, value_name = "N")]
    pub(crate) halo: Option<u32>,
    #[command(flatten)]
    pub(crate) memory: MemoryArg,
    /// Measure the seam: how much the result differs at block borders from a prediction in one piece
    #[arg(long)]
    pub(crate) seam: bool,
}

/// Ways to cut a volume into blocks.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Layout {
    Deep3m,
    Cdeep3m,
}

impl Options {
    fn early_stop(&self, model: &Path) -> Result<EarlyStop> {
        let threshold = if let Some(threshold) = self.threshold {
            threshold
        } else {
            let manifest = ModelDir::open(model).into_diagnostic()?.manifest;
            let wanted = |frames| self.frames.as_ref().is_none_or(|wanted| wanted.contains(&frames));
            manifest.best_threshold(wanted).unwrap_or(0.5) as f32
        };
        Ok(EarlyStop { threshold, tolerance: self.tolerance })
    }

    /// The device that a plan reckons with: several are usually alike.
    pub(crate) fn first_device(&self) -> DeviceChoice {
        self.device.first().copied().unwrap_or_default()
    }

    /// The settings of a prediction with a model; a mistake in their combination is said.
    pub(crate) fn config(&self, model: &Path) -> Result<PredictConfig> {
        let auto = self.variations == Passes::Auto;
        if self.layout == Layout::Cdeep3m && auto {
            miette::bail!("--layout cdeep3m: found --variations auto; expected 16, 8, 4, 2 or 1, as CDeep3M has them");
        }
        if !auto && (self.threshold.is_some() || self.tolerance != EarlyStop::TOLERANCE) {
            miette::bail!(
                "found --threshold or --tolerance with --variations {}; they decide when --variations auto has enough",
                self.variations
            );
        }
        if self.layout == Layout::Cdeep3m && self.disagreement {
            miette::bail!("--layout cdeep3m: found --disagreement; CDeep3M keeps none");
        }
        if self.layout == Layout::Cdeep3m && (self.tile.is_some() || self.halo.is_some() || self.seam) {
            miette::bail!(
                "--layout cdeep3m: found --tile, --halo or --seam; its blocks are CDeep3M's and cannot be changed"
            );
        }
        Ok(PredictConfig {
            frames: self.frames.clone(),
            variations: match self.variations {
                Passes::Auto => VariationCount::Sixteen,
                Passes::Count(count) => count,
            },
            early_stop: if auto { Some(self.early_stop(model)?) } else { None },
            disagreement: self.disagreement,
            region: self.region,
            tile: self.tile,
            halo: self.halo,
            seam: self.seam,
            ..PredictConfig::default()
        })
    }
}

/// What was done, and the most memory that it took, where the system says it.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    summary: &'a PredictSummary,
    peak_memory_bytes: Option<u64>,
}

impl<'a> Done<'a> {
    fn new(summary: &'a PredictSummary) -> Self {
        Self { summary, peak_memory_bytes: peak() }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let options = &args.options;
    if options.layout == Layout::Cdeep3m && (args.workers.worker.is_some() || options.device.len() > 1) {
        miette::bail!("--layout cdeep3m: found --worker or several devices; expected one process on one device");
    }
    let config =
        PredictConfig { overwrite: args.overwrite, workers: args.workers.config(), ..options.config(&args.model)? };
    let mut first_blocks = None;
    let outcome = loop {
        let (blocks, outcome) = attempt(args, &config)?;
        // Another worker may have begun in the same moment with blocks for another memory: then its blocks are taken.
        let begun_by_another = matches!(
            outcome.as_ref().map_err(|e| e.downcast_ref()),
            Err(Some(Unfinished(PredictError::AnotherRun { .. })))
        );
        if !begun_by_another || args.overwrite || first_blocks.is_some_and(|first| first == blocks) {
            break outcome;
        }
        first_blocks = Some(blocks);
    };
    match outcome {
        Ok(summary) if args.json => print_json(&Done::new(&summary)),
        Ok(summary) => {
            println!("{}", describe(&summary, &args.output));
            Ok(())
        }
        Err(report) => {
            if let (true, Some(Unfinished(PredictError::Incomplete { summary, .. }))) =
                (args.json, report.downcast_ref())
            {
                print_json(&Done::new(summary))?;
            }
            Err(report)
        }
    }
}

/// The size of blocks: pixels and sections.
type Blocks = (Option<u32>, Option<u32>);

/// Plans with what lies at the output, and predicts; which blocks were planned, and what came of it.
fn attempt(args: &Args, config: &PredictConfig) -> Result<(Blocks, Result<PredictSummary>)> {
    let options = &args.options;
    let mut volume = open_sized(&args.volume, options.voxel_size)?;
    let fitted = fit(&args.model, volume.info(), &args.output, config, options)?;
    if let Some(fitted) = &fitted
        && fitted.changed
    {
        notice(&format!(
            "memory: blocks of {} × {} pixels and {} sections to keep {} (--memory)",
            fitted.config.tile.unwrap_or(PredictConfig::TILE),
            fitted.config.tile.unwrap_or(PredictConfig::TILE),
            fitted.config.slab.unwrap_or(PredictConfig::SLAB),
            memory_text(options.memory.bytes()),
        ));
    }
    if let Some(fitted) = &fitted {
        volume = open_limited(&args.volume, options.voxel_size, fitted.cache_bytes)?;
    }
    let config = fitted.map_or_else(|| config.clone(), |fitted| fitted.config);
    let outcome = predict(&args.model, volume.as_ref(), &args.output, &config, options.layout, &options.device);
    Ok(((config.tile, config.slab), outcome))
}

/// Blocks are missing, or are another run's: [`PredictError::Incomplete`], [`PredictError::AnotherRun`].
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error(transparent)]
struct Unfinished(PredictError);

/// The plan that keeps the memory; `None` for CDeep3M's layout, whose blocks are what they are.
fn fit(
    model: &Path,
    info: &VolumeInfo,
    output: &Path,
    config: &PredictConfig,
    options: &Options,
) -> Result<Option<Fitted>> {
    let model = ModelDir::open(model).into_diagnostic()?;
    let networks = Networks::of(&model, config.frames.as_deref(), options.first_device()).into_diagnostic()?;
    let budget = options.memory.bytes();
    match options.layout {
        Layout::Deep3m => {
            deep3m_predict::fit(&networks, info, Some(output), config, budget).map(Some).into_diagnostic()
        }
        Layout::Cdeep3m => cdeep3m::check_memory(&networks, info, budget).map(|()| None).into_diagnostic(),
    }
}

/// Predicts with a progress bar; an interrupted run ends in [`Interrupted`].
pub(crate) fn predict(
    model: &Path,
    volume: &dyn Volume,
    output: &Path,
    config: &PredictConfig,
    layout: Layout,
    devices: &[DeviceChoice],
) -> Result<PredictSummary> {
    let model = ModelDir::open(model).into_diagnostic()?;
    let ensemble = Ensemble::load_on(&model, config.frames.as_deref(), devices).into_diagnostic()?;
    let mut progress: Option<Progress> = None;
    let mut observer = |event: PredictEvent| match event {
        PredictEvent::Planned { voxels, voxels_done, .. } => {
            let bar = Progress::new("predict", voxels, Unit::Voxels);
            bar.resume_at(voxels_done);
            progress = Some(bar);
        }
        PredictEvent::Progress { voxels_done } => {
            if let Some(bar) = &progress {
                bar.set(voxels_done);
            }
        }
        PredictEvent::BlockDone { done, blocks, .. } => {
            if let Some(bar) = &progress {
                bar.message(format!("block {done} of {blocks}"));
            }
        }
        PredictEvent::Copying { voxels_done, voxels } => {
            if voxels_done == 0 || progress.is_none() {
                progress = Some(Progress::new("write", voxels, Unit::Voxels));
            }
            if let Some(bar) = &progress {
                bar.set(voxels_done);
            }
        }
        PredictEvent::Notice(text) => say(progress.as_ref(), &text),
        PredictEvent::LeftOut { region, reason } => {
            say(progress.as_ref(), &format!("{region} is left out: {reason}"));
        }
        PredictEvent::Waiting(others) => say(progress.as_ref(), &format!("waiting for {}", list(&others))),
        _ => {}
    };
    let stop = interrupt::stop();
    let outcome = match layout {
        Layout::Deep3m => deep3m_predict::predict(&ensemble, volume, output, config, stop, &mut observer),
        Layout::Cdeep3m => cdeep3m::predict(&ensemble, volume, output, config, stop, &mut observer),
    };
    if let Some(bar) = progress {
        bar.finish();
    }
    match outcome {
        Err(PredictError::Interrupted { .. }) => Err(Interrupted.into()),
        Err(error @ (PredictError::Incomplete { .. } | PredictError::AnotherRun { .. })) => {
            Err(Unfinished(error).into())
        }
        other => other.into_diagnostic(),
    }
}

/// A notice, above the progress bar where there is one.
fn say(progress: Option<&Progress>, text: &str) {
    match progress {
        Some(bar) => bar.notice(text),
        None => notice(text),
    }
}

/// What other workers are at, in words.
fn list(others: &[Elsewhere]) -> String {
    others.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What was done, in a few lines.
fn describe(summary: &PredictSummary, output: &Path) -> String {
    let mut text = format!("{}: {} voxels", output.display(), summary.voxels);
    if !summary.complete {
        text = format!(
            "{}: {} of {} blocks by this worker; still to come: {}",
            output.display(),
            summary.blocks_now,
            summary.blocks,
            list(&summary.elsewhere)
        );
    }
    if summary.voxels_now > 0 {
        let _ = write!(
            text,
            ", {:.1} s, {:.3} Mvoxel/s, {:.1} % of the time outside the network",
            summary.seconds,
            summary.voxels_per_second() / 1e6,
            100.0 * summary.share_outside_network()
        );
    }
    if summary.passes_saved > 0 {
        let _ = write!(text, ", {:.1} times fewer passes than all variations", summary.times_fewer_passes());
    }
    if let Some(bytes) = peak() {
        let _ = write!(text, ", {} of memory at most", memory_text(bytes));
    }
    if let Some(seam) = &summary.seam {
        let _ = write!(text, "\nseam: {seam}");
    }
    text
}
