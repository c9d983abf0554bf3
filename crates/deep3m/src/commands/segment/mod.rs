//! `deep3m segment`: from a probability to objects.

mod parting;
mod threshold;
mod tune;
mod unfinished;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deep3m_analyze::{
    AnalyzeError, Connectivity, SegmentConfig, SegmentMeans, SegmentStep, Segmentation, Watershed, Written,
    segment_with,
};
use deep3m_volume::{Region, Volume, VolumeInfo, VolumeSpec, VoxelSize, VoxelType, absolute, as_probabilities};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::print_json;
use crate::commands::size::{Size, voxel_um3};
use crate::commands::target::Target;
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse::{self, Length};
use parting::{By, Parting, Rise};
use threshold::Threshold;
use tune::{Score, Tried};
use unfinished::Unfinished;

/// Give every object of a prediction a number of its own
///
/// Voxels from a probability on are foreground; those that touch are one object. With --watershed, objects that touch are told
/// apart where they narrow, or where the probability dips. OUT is a label volume: 0 is background, objects
/// are numbered from 1 in the order in which they are met, section by section. The numbers do not depend on the machine.
/// The ending of OUT says the format: .zarr, .precomputed (Neuroglancer), .h5, .tif. A run that was stopped goes on when the
/// same command is given again (.zarr, .precomputed).
///
/// With --tune, objects of a part that somebody has numbered are found with many settings; the best are then used.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m segment result.zarr -o objects.zarr
  deep3m segment result.zarr -o objects.zarr --threshold 0.6 --fill-holes 500 --min-size 0.001um3
  deep3m segment result.zarr -o objects.precomputed --threshold auto --connectivity 6 --voxel-size 30,8,8
  deep3m segment result.zarr -o nuclei.zarr --watershed --h 400nm
  deep3m segment result.zarr -o objects.zarr --watershed probability --smooth 20nm --h 0.1
  deep3m segment result.zarr -o objects.zarr --watershed --tune truth.tif --region 0:32,0:512,0:512")]
pub(crate) struct Args {
    /// Probability or mask
    probability: PathBuf,
    /// Where to write the numbers
    #[arg(short, long, value_name = "OUT", required_unless_present = "dry_run")]
    output: Option<PathBuf>,
    /// Probability from which a voxel is foreground; auto: the best of the model's validation, or what separates the two humps
    /// of all values best (Otsu) [default: 0.5]
    #[arg(long, value_name = "T|auto")]
    threshold: Option<Threshold>,
    /// Which voxels touch: those that share a face (6), also an edge (18), also a corner (26); 4 and 8 take each section
    /// for itself [default: 26]
    #[arg(long, value_name = "4|8|6|18|26", value_parser = connectivity)]
    connectivity: Option<Connectivity>,
    /// Tell objects that touch apart: at their necks (distance), or where the probability dips
    #[arg(long, value_enum, value_name = "BY", num_args = 0..=1, default_missing_value = "distance")]
    watershed: Option<By>,
    /// How far the middle of an object rises at least above the pass to the next: larger parts less. A length with distances
    /// (20nm, 2vx), a number with probabilities [default: 1vx, 0.05]
    #[arg(long, value_name = "H", requires = "watershed")]
    h: Option<Rise>,
    /// Smooth probabilities before they part objects: the standard deviation of a Gaussian, in nm or voxels [default: 1vx]
    #[arg(long, value_name = "LENGTH", value_parser = parse::length, requires = "watershed")]
    smooth: Option<Length>,
    /// Fill holes of up to this size that the foreground encloses: voxels, or a volume such as 0.001um3
    #[arg(long, value_name = "SIZE")]
    fill_holes: Option<Size>,
    /// Leave smaller objects out: voxels, or a volume such as 0.001um3
    #[arg(long, value_name = "SIZE")]
    min_size: Option<Size>,
    /// Leave larger objects out
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Size>,
    /// Look only at this part; ends are outside. With --tune, only this part is compared; all is segmented
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Find the settings whose objects agree best with these true ones: numbered labels of the same size, or of --region
    #[arg(long, value_name = "TRUTH", conflicts_with = "threshold")]
    tune: Option<PathBuf>,
    /// What is best
    #[arg(long, value_enum, value_name = "SCORE", default_value = "f1", requires = "tune")]
    by: Score,
    /// Draw the scores of all settings
    #[arg(long, value_name = "FILE.svg", requires = "tune")]
    tune_plot: Option<PathBuf>,
    /// Find the best settings, and write no objects
    #[arg(long, requires = "tune")]
    dry_run: bool,
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Replace an output that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

fn connectivity(text: &str) -> Result<Connectivity, String> {
    let found = text.parse().ok().and_then(Connectivity::with_neighbours);
    found.ok_or_else(|| format!("'{text}' found; expected 4, 8, 6, 18 or 26"))
}

/// What was done.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    found: Option<Segmentation>,
    /// Probability from which a voxel was foreground.
    threshold: f64,
    connectivity: Connectivity,
    watershed: Option<Watershed>,
    /// Volume of all objects, where the size of voxels is known.
    volume_um3: Option<f64>,
    /// What was tried with --tune.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tuned: Vec<Tried>,
}

/// The memory that may be taken.
#[derive(Clone, Copy)]
struct Budget {
    bytes: u64,
    /// Of these, what the open volume may keep decoded.
    cache_bytes: u64,
}

/// The share of the memory that an open volume may keep decoded.
const CACHE_SHARE: u64 = 8;

pub(crate) fn run(args: &Args) -> Result<()> {
    let bytes = args.memory.bytes();
    let budget = Budget { bytes, cache_bytes: (bytes / CACHE_SHARE).min(256 << 20) };
    let volume = as_probabilities(open_limited(&args.probability, args.voxel_size, budget.cache_bytes)?);
    let info = volume.info();
    let size = info.voxel_size;
    if !matches!(info.voxel_type, VoxelType::U8 | VoxelType::U16) {
        let (path, found) = (info.path.clone(), info.voxel_type);
        return Err(AnalyzeError::NotProbabilities { path, found }).into_diagnostic();
    }
    let parting = args.watershed.map(|by| Parting { by, h: args.h, smooth: args.smooth });
    if let Some(parting) = parting {
        if parting.smooth.is_some() && parting.by == By::Distance {
            miette::bail!("--smooth is for --watershed probability: distances are not smoothed");
        }
        parting.warn(size);
    }
    let of = |size_of: Option<Size>, otherwise: u64, round: fn(f64) -> f64| {
        size_of.map_or(Ok(otherwise), |given| given.voxels(size, round))
    };
    let connectivity = args.connectivity.unwrap_or_default();
    let mut config = SegmentConfig {
        level: 1,
        connectivity,
        fill_holes: of(args.fill_holes, 0, f64::floor)?,
        min_voxels: of(args.min_size, 1, f64::ceil)?.max(1),
        max_voxels: of(args.max_size, u64::MAX, f64::floor)?,
        region: args.region,
        watershed: parting.map(|parting| parting.watershed(size, connectivity)).transpose()?,
    };
    config.extent(volume.as_ref()).into_diagnostic()?;
    let target = args.output.as_ref().map(|out| Target::of_labels(out, &[&info.path], args.overwrite)).transpose()?;
    let one = info.voxel_type.full_scale() as u32;
    let region = args.region.unwrap_or(Region::whole(info.extent));
    let mut tuned = Vec::new();
    if let Some(truth) = &args.tune {
        (config, tuned) = tune::tune(args, truth, &volume, &config, parting, budget)?;
    } else {
        config.level = args.threshold.unwrap_or(Threshold::Probability(0.5)).level(volume.as_ref(), region, one)?;
    }
    let threshold = f64::from(config.level) / f64::from(one);
    let (connectivity, watershed) = (config.connectivity, config.watershed);
    let Some((target, output)) = target.zip(args.output.as_ref()).filter(|_| !args.dry_run) else {
        let done = Done { found: None, threshold, connectivity, watershed, volume_um3: None, tuned };
        return if args.json { print_json(&done) } else { Ok(()) };
    };
    let found = write(&volume, &config, &target, output, budget)?;
    if found.objects == 0 {
        let why = "is the threshold too high, or is it a mask of 0 and 1 (--threshold 0.001)?";
        notice(&format!("{}: no object from a probability of {threshold:.3} on; {why}", info.path.display()));
    }
    let volume_um3 = size.map(|size| found.voxels as f64 * voxel_um3(size));
    if args.json {
        return print_json(&Done { found: Some(found), threshold, connectivity, watershed, volume_um3, tuned });
    }
    println!("{}", describe(&found, threshold, size, output));
    Ok(())
}

/// Finds the objects and writes them.
fn write(
    volume: &Arc<dyn Volume>,
    config: &SegmentConfig,
    target: &Target,
    output: &Path,
    budget: Budget,
) -> Result<Segmentation> {
    let info = volume.info();
    let extent = config.extent(volume.as_ref()).into_diagnostic()?;
    let origin = config.region.map(|region| region.start).unwrap_or_default();
    let provenance =
        serde_json::json!({ "kind": "objects", "origin": origin, "volume": absolute(&info.path), "settings": config });
    let identity = serde_json::json!({ "program": env!("CARGO_PKG_VERSION"), "of": provenance, "input": info });
    let (voxel_type, voxel_size) = (VoxelType::U32, info.voxel_size);
    let spec = VolumeSpec { extent, voxel_type, voxel_size, chunk: None, provenance: Some(provenance) };
    let (writer, mut unfinished) = Unfinished::begin(target, &spec, &identity)?;
    let mut scratch = output.as_os_str().to_owned();
    scratch.push(".scratch");
    let means = SegmentMeans {
        memory: Some(budget.bytes),
        besides: budget.cache_bytes.min(extent_bytes(info)),
        scratch: Some(scratch.into()),
        written: unfinished.as_mut().map(|log| log as &mut dyn Written),
    };
    let progress = Progress::new("segment", config.steps() * extent.checked_voxels().unwrap_or(0), Unit::Voxels);
    let found = segment_with(volume.as_ref(), writer.as_ref(), config, means, &mut |step, voxels| {
        progress.advance(voxels);
        let doing = match step {
            SegmentStep::Holes => "looking for holes",
            SegmentStep::Heights => "measuring how deep voxels lie",
            SegmentStep::Find => "looking for objects",
            SegmentStep::Write => "writing",
        };
        progress.message(doing.to_owned());
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    drop(writer);
    let found = match found {
        Err(AnalyzeError::Interrupted) => return Err(Interrupted.into()),
        Err(error) => {
            if let Some(unfinished) = unfinished {
                unfinished.give_up(target)?;
            }
            return Err(error).into_diagnostic();
        }
        Ok(found) => found,
    };
    target.take_place()?;
    unfinished.map_or(Ok(()), Unfinished::finish)?;
    Ok(found)
}

/// The bytes of a volume, decoded.
fn extent_bytes(info: &VolumeInfo) -> u64 {
    info.extent.checked_voxels().unwrap_or(u64::MAX).saturating_mul(info.voxel_type.bytes() as u64)
}

/// What was found, in a few lines.
fn describe(found: &Segmentation, threshold: f64, size: Option<VoxelSize>, output: &Path) -> String {
    let objects = if found.objects == 1 { "object" } else { "objects" };
    let share = 100.0 * found.voxels as f64 / found.of_voxels.max(1) as f64;
    let mut text = format!(
        "{}: {} {objects} from a probability of {threshold:.3} on, {} voxels, {share:.2} % of the volume",
        output.display(),
        found.objects,
        found.voxels
    );
    if found.objects > 0 {
        let of = |voxels: u64| match size {
            Some(size) => format!("{voxels} voxels ({:.3e} µm³)", voxels as f64 * voxel_um3(size)),
            None => format!("{voxels} voxels"),
        };
        let _ = write!(text, "\nsmallest {}, largest {}", of(found.smallest), of(found.largest));
        let _ = write!(text, "\n{} at the volume's border, of which a part may be missing", found.at_border);
    }
    if found.holes > 0 {
        let _ = write!(text, "\n{} holes filled, {} voxels", found.holes, found.hole_voxels);
    }
    text
}
