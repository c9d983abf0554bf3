//! `deep3m plan predict`: blocks, memory, disk, time and cost of a prediction.

use std::path::{Path, PathBuf};

use deep3m_net::ModelDir;
use deep3m_predict::{
    Ensemble, Estimate, Fitted, MemoryCost, Networks, PredictConfig, Speed, Work, cdeep3m, estimate, fit, measure, work,
};
use deep3m_volume::memory::text;
use deep3m_volume::{Extent, Format, VolumeInfo};
use miette::{IntoDiagnostic, Result, bail};
use serde::Serialize;

use super::Common;
use super::table::{Table, duration, grouped};
use crate::commands::predict::{Layout, Options};
use crate::commands::{open_sized, print_json};
use crate::parse;

/// Say what a prediction would take
///
/// The time comes from a few sections of synthetic grey through the real networks. A volume that does not exist yet is
/// given by its size.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m plan predict model volume.tif -o result.zarr
  deep3m plan predict model --shape 400,12000,16000 --memory 8GB
  deep3m plan predict model --shape 400,12000,16000 --workers 20 --price-per-hour 0.526 --json")]
pub(super) struct Args {
    /// Folder of a trained model
    model: PathBuf,
    /// Volume to predict: folder of slices, .tif, .h5:/dataset, .mrc, OME-Zarr, precomputed, or s3://… and the like
    #[arg(required_unless_present = "shape")]
    volume: Option<PathBuf>,
    /// Size of a volume that is not there, instead of VOLUME
    #[arg(long, value_name = "z,y,x", value_parser = parse::extent, conflicts_with = "volume", help_heading = "Plan")]
    shape: Option<Extent>,
    /// Where it would be written
    #[arg(short, long, value_name = "OUT")]
    output: Option<PathBuf>,
    /// Machines like this one that would share the work
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), default_value = "1", help_heading = "Plan")]
    workers: u64,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    common: Common,
}

/// A planned prediction.
#[derive(Serialize)]
struct Plan {
    /// The volume's size.
    volume: Extent,
    #[serde(flatten)]
    work: Work,
    /// Whether sections may take fewer passes (`--variations auto`).
    early_stop: bool,
    /// Blocks read ahead of the one in the network.
    ahead: u32,
    /// What the volume may keep decoded, in bytes.
    cache_bytes: u64,
    /// The budget in bytes; missing where there is none.
    memory_budget: Option<u64>,
    /// The peak of the memory of each worker, in bytes.
    memory_peak: u64,
    /// Its parts.
    memory: MemoryCost,
    workers: u64,
    /// How fast the networks were here.
    speed: Option<Speed>,
    time: Option<Estimate>,
    /// In the currency of the price.
    cost: Option<f64>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let options = &args.options;
    let config = options.config(&args.model)?;
    let info = match (&args.volume, args.shape) {
        (Some(path), _) => open_sized(path, options.voxel_size)?.info().clone(),
        (None, Some(shape)) => absent(shape),
        (None, None) => bail!("found neither VOLUME nor --shape; expected one of them"),
    };
    let model = ModelDir::open(&args.model).into_diagnostic()?;
    let networks = Networks::of(&model, config.frames.as_deref(), options.first_device()).into_diagnostic()?;
    let budget = options.memory.bytes();
    let fitted = match options.layout {
        Layout::Deep3m => fit(&networks, &info, args.output.as_deref(), &config, budget).into_diagnostic()?,
        Layout::Cdeep3m => {
            cdeep3m::check_memory(&networks, &info, budget).into_diagnostic()?;
            let cost = cdeep3m::cost(&networks, &info);
            Fitted { config: as_cdeep3m(&config), cache_bytes: cost.cache, cost, changed: false }
        }
    };
    let copied = args.output.as_deref().is_some_and(|out| is_copied(out, &config));
    let work = work(&networks, &info, &fitted.config, copied).into_diagnostic()?;
    let speed = if args.common.no_measure { None } else { Some(speed(args, &model, &work)?) };
    let time = speed.as_ref().map(|speed| estimate(&work, speed, args.workers));
    let cost = time.zip(args.common.price_per_hour).map(|(time, price)| time.machine_hours * price);
    let plan = Plan {
        volume: info.extent,
        work,
        early_stop: config.early_stop.is_some(),
        ahead: fitted.config.ahead.unwrap_or(PredictConfig::AHEAD),
        cache_bytes: fitted.cache_bytes,
        memory_budget: (budget < u64::MAX).then_some(budget),
        memory_peak: fitted.cost.peak(),
        memory: fitted.cost,
        workers: args.workers,
        speed,
        time,
        cost,
    };
    if args.common.json {
        return print_json(&plan);
    }
    show(&plan, &networks);
    Ok(())
}

/// A volume as it would be found, were it there: OME-Zarr of 8 bits.
fn absent(extent: Extent) -> VolumeInfo {
    VolumeInfo {
        path: PathBuf::from("a volume of this size"),
        format: Format::OmeZarr,
        extent,
        voxel_type: deep3m_volume::VoxelType::U8,
        voxel_size: None,
        grain: Extent::new(extent.z.min(32), extent.y.min(128), extent.x.min(128)),
    }
}

/// CDeep3M's packages as nearly as blocks can be: 1000 pixels with 12 around them, 100 sections.
fn as_cdeep3m(config: &PredictConfig) -> PredictConfig {
    PredictConfig { tile: Some(1000), halo: Some(12), mirror: Some(12), slab: Some(100), ..config.clone() }
}

/// Whether the output is made from the blocks in the end.
fn is_copied(out: &Path, config: &PredictConfig) -> bool {
    config.region.is_some() || Format::of_output(out) != Format::OmeZarr
}

/// Runs the networks for a moment.
fn speed(args: &Args, model: &ModelDir, work: &Work) -> Result<Speed> {
    let device = args.options.first_device().open().into_diagnostic()?;
    let ensemble = Ensemble::load(model, args.options.frames.as_deref(), &device).into_diagnostic()?;
    measure(&ensemble, work.context, args.common.measure_seconds).into_diagnostic()
}

fn show(plan: &Plan, networks: &Networks) {
    let mut table = Table::default();
    let work = &plan.work;
    let [z, y, x] = work.block;
    table.line("volume", plan.volume);
    table.line("blocks", format!("{} of {z} × {y} × {x} voxels", grouped(work.blocks)));
    let names = networks.networks().iter().zip(&work.passes);
    let passes: Vec<String> = names.map(|(net, passes)| format!("{passes} through {}", net.frames())).collect();
    let most = if plan.early_stop { "at most " } else { "" };
    table.line("passes of a section", format!("{most}{}", passes.join(", ")));
    let memory = &plan.memory;
    table.line("peak memory", text(plan.memory_peak));
    for (name, bytes) in [
        ("  network", memory.network + memory.threads),
        ("  reading", memory.reading + memory.decoding),
        ("  kept decoded", memory.cache),
        ("  writing", memory.writing),
    ] {
        table.line(name, text(bytes));
    }
    if memory.gpu > 0 {
        table.line("  of the GPU, at least", text(memory.gpu));
    }
    if let Some(budget) = plan.memory_budget {
        table.line("memory budget", text(budget));
    }
    table.line("output, before compression", text(work.output_bytes));
    table.line("scratch, before compression", text(work.scratch_bytes));
    if let Some(time) = &plan.time {
        table.line("time of one machine", duration(time.seconds_alone));
        if plan.workers > 1 {
            table.line(&format!("time of {} machines", plan.workers), duration(time.seconds));
        }
    }
    if let Some(cost) = plan.cost {
        table.line("cost", format!("{cost:.2}"));
    }
    print!("{table}");
}
