//! `deep3m plan train`: iterations, memory, time and cost of a training.

use std::path::PathBuf;

use deep3m_net::Frames;
use deep3m_train::cost::{self, TrainCost};
use deep3m_train::{Budget, measure_step};
use deep3m_volume::OpenOptions;
use deep3m_volume::memory::text;
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use super::Common;
use super::table::{Table, duration, grouped};
use crate::commands::print_json;
use crate::commands::train::{Options, volumes};

/// Say what a training would take
///
/// A training by the clock takes its minutes: then the plan says how many iterations that is here.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m plan train images/ labels/
  deep3m plan train images/ labels/ --recipe cdeep3m --price-per-hour 0.526
  deep3m plan train images/ labels/ --width 0.5 --iterations 5000 --json")]
pub(super) struct Args {
    /// Grey images
    images: PathBuf,
    /// Their labels
    labels: PathBuf,
    /// Folder of the model that would be made
    #[arg(short, long, value_name = "MODEL")]
    output: Option<PathBuf>,
    #[command(flatten)]
    options: Options,
    #[command(flatten)]
    common: Common,
}

/// A planned training.
#[derive(Serialize)]
struct Plan {
    models: Vec<Model>,
    /// Patches per batch, and their height and width.
    batch: u32,
    patch: u32,
    /// The budget of memory in bytes; missing where there is none.
    memory_budget: Option<u64>,
    /// The peak of the memory, in bytes.
    memory_peak: u64,
    /// Its parts.
    memory: TrainCost,
    /// What each volume may keep decoded, in bytes.
    cache_bytes: u64,
    /// Disk for weights and checkpoints, in bytes.
    output_bytes: u64,
    /// Time of all models, in seconds.
    seconds: Option<f64>,
    /// In the currency of the price.
    cost: Option<f64>,
}

/// A model of it.
#[derive(Serialize)]
struct Model {
    frames: Frames,
    /// Numbers that training changes.
    weights: u64,
    /// Iterations: those asked for, or those that the minutes allow; missing where that was not measured.
    iterations: Option<u64>,
    /// Seconds for one.
    seconds_per_iteration: Option<f64>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let (options, common) = (&args.options, &args.common);
    let config = options.config()?;
    config.validate().into_diagnostic()?;
    let set = options.open(&args.images, &args.labels, OpenOptions::default().cache_bytes as u64)?;
    let networks = cost::networks(&config).into_diagnostic()?;
    let budget = options.memory.bytes();
    let fitted = cost::fit(&networks, &volumes(&set), &config, &options.device, budget).into_diagnostic()?;
    let count = networks.len().max(1) as f64;
    let device = options.device.first().copied().unwrap_or_default();
    let mut models = Vec::new();
    for net in &networks {
        let seconds = if common.no_measure {
            None
        } else {
            Some(measure_step(net, &config, device, common.measure_seconds / count).into_diagnostic()?)
        };
        let iterations = match config.budget {
            Budget::Iterations(n) => Some(n + config.add_iterations),
            Budget::Minutes(minutes) => seconds.map(|each| (60.0 * minutes / count / each) as u64),
        };
        let weights = net.parameter_count();
        models.push(Model { frames: net.frames(), weights, iterations, seconds_per_iteration: seconds });
    }
    let seconds = match config.budget {
        Budget::Minutes(minutes) => Some(60.0 * minutes),
        Budget::Iterations(_) => {
            models.iter().map(|model| Some(model.iterations? as f64 * model.seconds_per_iteration?)).sum()
        }
    };
    let weights: u64 = networks.iter().map(deep3m_net::NetConfig::weight_bytes).sum();
    let plan = Plan {
        models,
        batch: config.batch,
        patch: config.patch,
        memory_budget: (budget < u64::MAX).then_some(budget),
        memory_peak: fitted.cost.peak(),
        memory: fitted.cost,
        cache_bytes: fitted.cache_bytes,
        // The kept and the last weights, and checkpoints with the solver's state, averages and best weights.
        output_bytes: 7 * weights,
        seconds,
        cost: seconds.zip(common.price_per_hour).map(|(seconds, price)| seconds / 3600.0 * price),
    };
    if common.json {
        return print_json(&plan);
    }
    show(&plan);
    Ok(())
}

fn show(plan: &Plan) {
    let mut table = Table::default();
    for model in &plan.models {
        let iterations = match (model.iterations, model.seconds_per_iteration) {
            (Some(n), Some(each)) => format!(", {} iterations of {}", grouped(n), duration(each)),
            (Some(n), None) => format!(", {} iterations", grouped(n)),
            (None, _) => String::new(),
        };
        table.line(&format!("model {}", model.frames), format!("{} weights{iterations}", grouped(model.weights)));
    }
    table.line("batch", format!("{} patches of {} × {} pixels", plan.batch, plan.patch, plan.patch));
    table.line("peak memory", text(plan.memory_peak));
    let memory = &plan.memory;
    for (name, bytes) in [
        ("  weights and solver", memory.weights),
        ("  passes", memory.work + memory.threads),
        ("  patches", memory.batches + memory.index + memory.decoding),
        ("  kept decoded", memory.cache),
    ] {
        table.line(name, text(bytes));
    }
    if memory.gpu > 0 {
        table.line("  of each GPU, at least", text(memory.gpu));
    }
    if let Some(budget) = plan.memory_budget {
        table.line("memory budget", text(budget));
    }
    table.line("disk", text(plan.output_bytes));
    if let Some(seconds) = plan.seconds {
        table.line("time", duration(seconds));
    }
    if let Some(cost) = plan.cost {
        table.line("cost", format!("{cost:.2}"));
    }
    print!("{table}");
}
