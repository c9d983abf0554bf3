//! `deep3m evaluate`: how well a prediction agrees with the truth.

use std::path::PathBuf;

use deep3m_analyze::{EvaluateConfig, Evaluation, Work, agreement};
use deep3m_volume::{Region, Volume, as_labels, as_probabilities};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::{open, print_json};
use crate::console::{Progress, Unit};
use crate::parse;

/// Measure how well a prediction agrees with the truth
///
/// Per voxel: precision, recall, F1, Jaccard and accuracy. The prediction is a probability (p = value / 255, / 65535
/// for 16 bit, as it is in floating point) or a mask of 0 and 1. The truth has two values. An exclusion zone of n voxels leaves out the voxels within
/// n voxels of the true objects' borders, where people disagree too.
///
/// With --objects, per object: both are label volumes, in which each object has a number of its own (deep3m segment makes
/// them). Matches at intersections over union from 0.5 to 0.95, average precision, panoptic quality, adapted Rand error,
/// variation of information.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m evaluate result.zarr truth/
  deep3m evaluate result.zarr truth.tif --exclusion 0,1,2 --json
  deep3m evaluate result.zarr truth.tif --threshold 0.6 --region 0:10,0:512,0:512
  deep3m evaluate objects.zarr true-objects.tif --objects")]
pub(crate) struct Args {
    /// Probability or mask
    prediction: PathBuf,
    /// Labels of the same size
    truth: PathBuf,
    /// Compare objects by their numbers, not voxels
    #[arg(long, conflicts_with_all = ["threshold", "exclusion", "exclusion_3d", "foreground", "ignore"])]
    objects: bool,
    /// Probability from which a voxel counts as found
    #[arg(long, value_name = "T", value_parser = parse::fraction, default_value = "0.5")]
    threshold: f64,
    /// Exclusion zones in voxels
    #[arg(long, value_delimiter = ',', value_name = "0,1,2", default_value = "0")]
    exclusion: Vec<u32>,
    /// Measure the zones in 3D instead of within each section
    #[arg(long)]
    exclusion_3d: bool,
    /// Compare only this part of both; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Label value that is foreground, where the truth has more than two values
    #[arg(long, value_name = "V")]
    foreground: Option<u32>,
    /// Label value of voxels that nobody labelled; they are left out
    #[arg(long, value_name = "V")]
    ignore: Option<u32>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Print the result as JSON, with the scores at every threshold
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.objects {
        return compare_objects(args);
    }
    let config = EvaluateConfig {
        threshold: args.threshold,
        exclusion: args.exclusion.clone(),
        exclusion_3d: args.exclusion_3d,
        region: args.region,
        foreground: args.foreground,
        ignore: args.ignore,
    };
    let (mut prediction, mut truth) = (as_probabilities(open(&args.prediction)?), as_labels(open(&args.truth)?));
    let work = Work::fit(prediction.info(), truth.info(), &config, args.memory.bytes()).into_diagnostic()?;
    if work.cache_bytes < Work::default().cache_bytes {
        prediction = as_probabilities(open_limited(&args.prediction, None, work.cache_bytes)?);
        truth = as_labels(open_limited(&args.truth, None, work.cache_bytes)?);
    }
    let evaluation = evaluate_with(prediction.as_ref(), truth.as_ref(), &config, &work)?;
    if args.json {
        print_json(&evaluation)
    } else {
        print!("{evaluation}");
        Ok(())
    }
}

/// `--objects`.
fn compare_objects(args: &Args) -> Result<()> {
    let (prediction, truth) = (as_labels(open(&args.prediction)?), as_labels(open(&args.truth)?));
    let extent = args.region.map_or(prediction.info().extent, |region| region.extent);
    let progress = Progress::new("evaluate", extent.checked_voxels().unwrap_or(u64::MAX), Unit::Voxels);
    let found = agreement(prediction.as_ref(), truth.as_ref(), args.region, &mut |voxels| progress.advance(voxels));
    progress.finish();
    let objects = found.into_diagnostic()?;
    if args.json {
        return print_json(&serde_json::json!({ "objects": objects }));
    }
    print!("{objects}");
    Ok(())
}

/// Evaluates with a progress bar.
pub(crate) fn evaluate(prediction: &dyn Volume, truth: &dyn Volume, config: &EvaluateConfig) -> Result<Evaluation> {
    evaluate_with(prediction, truth, config, &Work::default())
}

fn evaluate_with(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    config: &EvaluateConfig,
    work: &Work,
) -> Result<Evaluation> {
    let extent = config.region.map_or(prediction.info().extent, |region| region.extent);
    let progress = Progress::new("evaluate", extent.checked_voxels().unwrap_or(u64::MAX), Unit::Voxels);
    let evaluation =
        deep3m_analyze::evaluate_with(prediction, truth, config, work, &mut |voxels| progress.advance(voxels));
    progress.finish();
    evaluation.into_diagnostic()
}
