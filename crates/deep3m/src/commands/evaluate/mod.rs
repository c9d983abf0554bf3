//! `deep3m evaluate`: how well a prediction agrees with the truth.

mod annotators;
mod inputs;
mod objects;
mod plots;
mod points;
mod voxels;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use deep3m_analyze::{AnalyzeError, EvaluateConfig, Evaluation};
use deep3m_volume::{Region, Volume, VoxelSize};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::MemoryArg;
use crate::console::{Progress, Unit};
use crate::interrupt::{self, Interrupted};
use crate::parse::{self, Length};

/// Measure how well a prediction agrees with the truth
///
/// Per voxel: precision, recall, F1, Jaccard and accuracy. The prediction is a probability (p = value / 255, / 65535
/// for 16 bit, as it is in floating point) or a mask of 0 and 1. The truth has two values. An exclusion zone of n voxels leaves out the voxels within
/// n voxels of the true objects' borders, where people disagree too. --surface adds how far the surfaces lie apart, --calibration
/// whether a probability of 0.8 is right eight times in ten.
///
/// With --objects, per object: both are label volumes, in which each object has a number of its own (deep3m segment makes
/// them). Matches at intersections over union from 0.5 to 0.95, average precision, panoptic quality, adapted Rand error,
/// variation of information.
///
/// With --points, per place, for counts: tables (.csv) with the centroids of objects, or label volumes. Places match one to one where
/// they are no further apart than --distance.
///
/// With --annotators, several truths: the prediction and every annotator against what the annotators agree on (the majority, and
/// STAPLE), and against each other.
///
/// Where a score would divide by nothing, as the Jaccard index of two empty volumes, it has no value: –, null in JSON. With --objects
/// nothing to find and nothing found is perfect.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m evaluate result.zarr truth/
  deep3m evaluate result.zarr truth.tif --exclusion 0,1,2 --json
  deep3m evaluate result.zarr truth.tif --threshold 0.6 --region 0:10,0:512,0:512
  deep3m evaluate result.zarr truth.tif --surface --calibration --plot plots
  deep3m evaluate objects.zarr true-objects.tif --objects
  deep3m evaluate vesicles.csv true-vesicles.csv --points --distance 40nm
  deep3m evaluate result.zarr anna.tif ben.tif carla.tif --annotators --exclusion 0,1")]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct Args {
    /// Probability or mask; objects with --objects; objects or a table with --points
    prediction: PathBuf,
    /// Labels of the same size; several with --annotators
    #[arg(required = true, num_args = 1..)]
    truth: Vec<PathBuf>,
    /// Compare objects by their numbers, not voxels
    #[arg(long, conflicts_with_all = ["threshold", "exclusion", "exclusion_3d", "foreground", "ignore"])]
    objects: bool,
    /// Compare places: centroids of objects
    #[arg(long, requires = "distance", conflicts_with_all = ["objects", "threshold", "exclusion", "exclusion_3d", "foreground", "ignore"])]
    points: bool,
    /// How far apart two places may be and still match: 40nm, 2um, 5vx
    #[arg(long, value_name = "LENGTH", value_parser = parse::length, requires = "points")]
    distance: Option<Length>,
    /// Take each truth for an annotator's, and compare with what they agree on
    #[arg(long, conflicts_with_all = ["objects", "points"])]
    annotators: bool,
    /// Probability from which a voxel counts as found
    #[arg(long, value_name = "T", value_parser = parse::fraction, default_value = "0.5")]
    threshold: f64,
    /// Exclusion zones in voxels
    #[arg(long, value_delimiter = ',', value_name = "0,1,2", default_value = "0")]
    exclusion: Vec<u32>,
    /// Measure the zones in 3D instead of within each section
    #[arg(long)]
    exclusion_3d: bool,
    /// Measure how far the surfaces lie apart: mean, 95 % and largest (Hausdorff) distance
    #[arg(long, conflicts_with_all = ["objects", "points", "annotators"])]
    surface: bool,
    /// Measure how far probabilities are true: expected calibration error, Brier score; in the first zone
    #[arg(long, conflicts_with_all = ["objects", "points", "annotators"])]
    calibration: bool,
    /// Write what makes the probabilities of this model true ones, for deep3m combine
    #[arg(long, value_name = "FILE.json", conflicts_with_all = ["objects", "points", "annotators"])]
    calibration_file: Option<PathBuf>,
    /// Write plots (SVG) into this folder; those of the same names are replaced
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["points", "annotators"])]
    plot: Option<PathBuf>,
    /// Compare only this part of both; ends are outside. Where one has the size of this part, it is taken for the part
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for volumes that do not state it (or state it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
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

impl Args {
    /// How voxels are compared, in a part.
    fn config(&self, region: Option<Region>) -> EvaluateConfig {
        EvaluateConfig {
            threshold: self.threshold,
            exclusion: self.exclusion.clone(),
            exclusion_3d: self.exclusion_3d,
            region,
            foreground: self.foreground,
            ignore: self.ignore,
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.annotators {
        return annotators::compare(args);
    }
    let [truth] = args.truth.as_slice() else {
        miette::bail!(
            "found {} truths; expected one. Several annotators' labels of one volume: --annotators",
            args.truth.len()
        );
    };
    if args.objects {
        objects::compare(args, truth)
    } else if args.points {
        points::compare(args, truth)
    } else {
        voxels::compare(args, truth)
    }
}

/// Evaluates with a progress bar.
pub(crate) fn evaluate(prediction: &dyn Volume, truth: &dyn Volume, config: &EvaluateConfig) -> Result<Evaluation> {
    let extent = config.region.map_or(prediction.info().extent, |region| region.extent);
    let done = with_progress(extent.checked_voxels().unwrap_or(u64::MAX), |go_on| {
        deep3m_analyze::evaluate(prediction, truth, config, go_on)
    });
    told(done)
}

/// Does something of so many steps with a progress bar, until it is done or the user wants to stop.
fn with_progress<T>(steps: u64, work: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> T) -> T {
    let progress = Progress::new("evaluate", steps, Unit::Voxels);
    let done = work(&mut |more| {
        progress.advance(more);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    done
}

/// What a user is told of an error.
fn told<T>(done: Result<T, AnalyzeError>) -> Result<T> {
    match done {
        Err(AnalyzeError::Interrupted) => Err(Interrupted.into()),
        other => other.into_diagnostic(),
    }
}
