//! `deep3m segment`: from a probability to objects.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use deep3m_analyze::{
    AnalyzeError, Connectivity, SegmentConfig, SegmentStep, Segmentation, lowest_value, otsu_level, segment,
};
use deep3m_volume::{Region, Volume, VolumeSpec, VoxelSize, VoxelType, as_probabilities};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use crate::commands::size::{Size, voxel_um3};
use crate::commands::target::Target;
use crate::commands::{open_sized, print_json};
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Give every object of a prediction a number of its own
///
/// Voxels from a probability on are foreground; those that touch are one object. OUT is a label volume: 0 is background, objects
/// are numbered from 1 in the order in which they are met, section by section. The numbers do not depend on the machine.
/// The ending of OUT says the format: .zarr, .precomputed (Neuroglancer), .h5, .tif.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m segment result.zarr -o objects.zarr
  deep3m segment result.zarr -o objects.zarr --threshold 0.6 --fill-holes 500 --min-size 0.001um3
  deep3m segment result.zarr -o objects.precomputed --threshold auto --connectivity 6 --voxel-size 30,8,8")]
pub(crate) struct Args {
    /// Probability or mask
    probability: PathBuf,
    /// Where to write the numbers
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Probability from which a voxel is foreground; auto: what separates the two humps of all values best (Otsu)
    #[arg(long, value_name = "T|auto", default_value = "0.5")]
    threshold: Threshold,
    /// Which voxels touch: those that share a face (6), also an edge (18), also a corner (26); 4 and 8 take each section
    /// for itself
    #[arg(long, value_name = "4|8|6|18|26", value_parser = connectivity, default_value = "26")]
    connectivity: Connectivity,
    /// Fill holes of up to this size that the foreground encloses: voxels, or a volume such as 0.001um3
    #[arg(long, value_name = "SIZE")]
    fill_holes: Option<Size>,
    /// Leave smaller objects out: voxels, or a volume such as 0.001um3
    #[arg(long, value_name = "SIZE")]
    min_size: Option<Size>,
    /// Leave larger objects out
    #[arg(long, value_name = "SIZE")]
    max_size: Option<Size>,
    /// Look only at this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    /// Replace an output that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// From which value on a voxel is foreground.
#[derive(Clone, Copy, Debug)]
enum Threshold {
    Auto,
    Probability(f64),
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match parse::fraction(text) {
            Ok(value) if value > 0.0 => Ok(Self::Probability(value)),
            Ok(_) => Err("0 found; every voxel would be foreground: expected more than 0, up to 1, or auto".to_owned()),
            Err(_) => Err(format!("'{text}' found; expected a number above 0 and up to 1, or auto")),
        }
    }
}

fn connectivity(text: &str) -> Result<Connectivity, String> {
    let found = text.parse().ok().and_then(Connectivity::with_neighbours);
    found.ok_or_else(|| format!("'{text}' found; expected 4, 8, 6, 18 or 26"))
}

/// What was done.
#[derive(Serialize)]
struct Done {
    #[serde(flatten)]
    found: Segmentation,
    /// Probability from which a voxel was foreground.
    threshold: f64,
    connectivity: Connectivity,
    /// Volume of all objects, where the size of voxels is known.
    volume_um3: Option<f64>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let volume = as_probabilities(open_sized(&args.probability, args.voxel_size)?);
    let info = volume.info();
    let size = info.voxel_size;
    if !matches!(info.voxel_type, VoxelType::U8 | VoxelType::U16) {
        let (path, found) = (info.path.clone(), info.voxel_type);
        return Err(AnalyzeError::NotProbabilities { path, found }).into_diagnostic();
    }
    let of = |size_of: Option<Size>, otherwise: u64, round: fn(f64) -> f64| {
        size_of.map_or(Ok(otherwise), |given| given.voxels(size, round))
    };
    let mut config = SegmentConfig {
        level: 1,
        connectivity: args.connectivity,
        fill_holes: of(args.fill_holes, 0, f64::floor)?,
        min_voxels: of(args.min_size, 1, f64::ceil)?.max(1),
        max_voxels: of(args.max_size, u64::MAX, f64::floor)?,
        region: args.region,
    };
    let extent = config.extent(volume.as_ref()).into_diagnostic()?;
    let target = Target::of_labels(&args.output, &[&info.path], args.overwrite)?;
    let one = info.voxel_type.full_scale() as u32;
    config.level = match args.threshold {
        Threshold::Probability(probability) => lowest_value(probability, one),
        Threshold::Auto => find_level(volume.as_ref(), args.region.unwrap_or(Region::whole(info.extent)))?,
    };
    let threshold = f64::from(config.level) / f64::from(one);
    let origin = args.region.map(|region| region.start).unwrap_or_default();
    let provenance =
        serde_json::json!({ "kind": "objects", "origin": origin, "volume": info.path, "settings": config });
    let voxel_type = VoxelType::U32;
    let spec = VolumeSpec { extent, voxel_type, voxel_size: size, chunk: None, provenance: Some(provenance) };
    let writer = target.create(&spec)?;
    let steps = if config.fill_holes > 0 { 3 } else { 2 };
    let progress = Progress::new("segment", steps * extent.checked_voxels().unwrap_or(0), Unit::Voxels);
    let found = segment(volume.as_ref(), writer.as_ref(), &config, &mut |step, voxels| {
        progress.advance(voxels);
        let doing = match step {
            SegmentStep::Holes => "looking for holes",
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
        other => other.into_diagnostic()?,
    };
    target.take_place()?;
    if found.objects == 0 {
        let why = "is the threshold too high, or is it a mask of 0 and 1 (--threshold 0.001)?";
        notice(&format!("{}: no object from a probability of {threshold:.3} on; {why}", info.path.display()));
    }
    let volume_um3 = size.map(|size| found.voxels as f64 * voxel_um3(size));
    if args.json {
        return print_json(&Done { found, threshold, connectivity: args.connectivity, volume_um3 });
    }
    println!("{}", describe(&found, threshold, size, &args.output));
    Ok(())
}

fn find_level(volume: &dyn Volume, region: Region) -> Result<u32> {
    let progress = Progress::new("threshold", region.extent.checked_voxels().unwrap_or(0), Unit::Voxels);
    let level = otsu_level(volume, region, &mut |voxels| {
        progress.advance(voxels);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    match level {
        Err(AnalyzeError::Interrupted) => Err(Interrupted.into()),
        Err(error) => Err(error).into_diagnostic(),
        Ok(Some(level)) => Ok(level),
        Ok(None) => miette::bail!(
            "{}: --threshold auto: all voxels have one value; expected at least two. Give a number from 0 to 1",
            volume.info().path.display()
        ),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_lowest_value_that_reaches_it() {
        for one in [255, 65535] {
            for threshold in [0.001, 0.25, 0.5, 0.6, 0.999, 1.0] {
                let (level, scale) = (lowest_value(threshold, one), f64::from(one));
                assert!(f64::from(level) / scale >= threshold);
                assert!(level == 1 || f64::from(level - 1) / scale < threshold, "{threshold} of {scale}: {level}");
            }
        }
        assert!("0".parse::<Threshold>().is_err() && "2".parse::<Threshold>().is_err());
        assert!(matches!("auto".parse(), Ok(Threshold::Auto)));
    }
}
