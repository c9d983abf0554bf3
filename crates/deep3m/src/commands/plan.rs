//! `deep3m plan`: what a prediction or a training would take here, before it runs.

mod predict;
mod table;
mod train;

use clap::Subcommand;
use miette::Result;

/// Say what a prediction or a training would take, without doing it
///
/// Blocks, passes through the networks, peak memory, disk, and from a short measurement on this machine the time; with a
/// price per hour also the cost. Takes the options of the command that it plans.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m plan predict model volume.tif -o result.zarr
  deep3m plan predict model --shape 400,12000,16000 --workers 20 --price-per-hour 0.526
  deep3m plan train images/ labels/ --iterations 5000 --json")]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Predict(Box<predict::Args>),
    Train(Box<train::Args>),
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.what {
        What::Predict(args) => predict::run(args),
        What::Train(args) => train::run(args),
    }
}

/// How a plan is measured and shown.
#[derive(clap::Args)]
struct Common {
    /// Seconds of measuring how fast this machine is
    #[arg(long, value_name = "S", value_parser = crate::parse::positive, default_value = "2", help_heading = "Plan")]
    measure_seconds: f64,
    /// Measure nothing, and say nothing of time
    #[arg(long, conflicts_with = "measure_seconds", help_heading = "Plan")]
    no_measure: bool,
    /// Price of a machine like this one for an hour, to say what the run costs
    #[arg(long, value_name = "P", value_parser = crate::parse::positive, help_heading = "Plan")]
    price_per_hour: Option<f64>,
    /// Print the plan as JSON
    #[arg(long, help_heading = "Plan")]
    json: bool,
}
