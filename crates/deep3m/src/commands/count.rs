//! `deep3m count`: round objects, one by one.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use deep3m_analyze::{
    AnalyzeError, CountConfig, RoundObjects, TableFormat, count, count_labels, count_range, imod_points,
    learn_diameter, neuroglancer_state, write_overlay,
};
use deep3m_predict::DISAGREEMENT;
use deep3m_volume::{Region, Volume, VoxelSize, VoxelType, as_labels, as_probabilities, fs, same_place};
use miette::{IntoDiagnostic, Result};
use serde_json::json;

use crate::commands::memory::MemoryArg;
use crate::commands::{open, open_sized, print_json};
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse::{self, Length};

/// Count round objects that lie close together: vesicles, nuclei
///
/// Of a probability or a mask: finds what looks like a ball of the diameter, tells apart balls that touch, also where
/// sections are so thick that each shows in one or two of them. Of a label volume (32 bits, or --labels): one row per
/// number. Each object gets its centre in 3D, its radius, the section that shows most of it, and a confidence.
///
/// The table has one row per object; the ending of its name says the format: .csv, .json, .parquet.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m count result.zarr --diameter 40nm -o vesicles.csv
  deep3m count result.zarr --diameter auto -o vesicles.parquet --overlay pictures --image volume.zarr
  deep3m count result.zarr --diameter 40nm --unbiased --neuroglancer state.json --imod points.txt
  deep3m count objects.zarr -o nuclei.csv")]
pub(crate) struct Args {
    /// Probability, mask or labels
    volume: PathBuf,
    /// Where to write the table (.csv, .json, .parquet)
    #[arg(short, long, value_name = "TABLE")]
    output: Option<PathBuf>,
    /// Diameter of the objects: 40nm, 8um, 5vx (voxels in the plane); auto: the one that explains the data best
    #[arg(long, value_name = "LENGTH|auto", default_value = "auto")]
    diameter: Diameter,
    /// Each value of the volume is an object of its own (so are those of 32-bit volumes in any case)
    #[arg(long)]
    labels: bool,
    /// Leave out objects of a lower confidence: 1 looks just as a ball of the diameter does
    #[arg(long, value_name = "C", value_parser = parse::fraction, default_value = "0.4")]
    min_confidence: f64,
    /// Count as stereology does, in a frame inside of the volume: objects on its low faces count, those on its high faces do
    /// not
    #[arg(long)]
    unbiased: bool,
    /// How far inside the frame of --unbiased lies, on all sides [default: one diameter]
    #[arg(long, value_name = "LENGTH", value_parser = parse::length, requires = "unbiased")]
    guard: Option<Length>,
    /// Standard deviation of the probability, a volume of the same size: the count is also made one deviation lower and higher
    /// [default: what predict --disagreement has kept, if it has]
    #[arg(long, value_name = "VOLUME", conflicts_with = "labels")]
    uncertainty: Option<PathBuf>,
    /// Write a picture of each section with the objects on it
    #[arg(long, value_name = "FOLDER")]
    overlay: Option<PathBuf>,
    /// What the pictures show [default: the probability]
    #[arg(long, value_name = "VOLUME", requires = "overlay")]
    image: Option<PathBuf>,
    /// Write the objects as annotations of Neuroglancer: a state to paste into it
    #[arg(long, value_name = "FILE")]
    neuroglancer: Option<PathBuf>,
    /// Write the centres as points for IMOD's point2model
    #[arg(long, value_name = "FILE")]
    imod: Option<PathBuf>,
    /// Look only at this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// A diameter, or that the data shall say it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Diameter {
    Auto,
    Given(Length),
}

impl FromStr for Diameter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" { Ok(Self::Auto) } else { parse::length(text).map(Self::Given) }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let volume = open_sized(&args.volume, args.voxel_size)?;
    let by_number = args.labels || volume.info().voxel_type == VoxelType::U32;
    let volume = if by_number { as_labels(volume) } else { as_probabilities(volume) };
    check_outputs(args, volume.as_ref())?;
    let size = volume.info().voxel_size;
    let images = args.image.as_deref().map(open).transpose()?;
    let (found, range) = if by_number {
        if args.uncertainty.is_some() {
            miette::bail!("{}: --uncertainty needs a probability; found labels", args.volume.display());
        }
        (labels(args, volume.as_ref())?, None)
    } else {
        probability(args, volume.as_ref())?
    };
    if found.objects.is_empty() {
        let why = if by_number { "all voxels are 0" } else { "is the diameter right, is --min-confidence too high?" };
        notice(&format!("{}: no object; {why}", args.volume.display()));
    }
    if let Some(path) = &args.output {
        found.table().write(path).into_diagnostic()?;
    }
    if let (Some(path), Some(size)) = (&args.neuroglancer, size) {
        let name = args.volume.file_stem().map_or("objects".into(), |name| name.to_string_lossy());
        write_text(path, &format!("{:#}\n", neuroglancer_state(&found, size, &name)))?;
    }
    if let Some(path) = &args.imod {
        write_text(path, &imod_points(&found))?;
    }
    if let Some(folder) = &args.overlay {
        let shown = images.as_deref().unwrap_or(volume.as_ref());
        let extent = found.region.extent;
        let progress = Progress::new("overlay", extent.checked_voxels().unwrap_or(0), Unit::Voxels);
        let written = write_overlay(&found, shown, volume.as_ref(), folder, &mut |voxels| advance(&progress, voxels));
        progress.finish();
        stopped(written)?;
    }
    if args.json {
        return print_json(&summary(&found, range));
    }
    println!("{}", describe(&found, range, &args.volume));
    Ok(())
}

/// What would fail after minutes fails at once.
fn check_outputs(args: &Args, volume: &dyn Volume) -> Result<()> {
    if let Some(path) = args.output.as_ref().filter(|path| TableFormat::of(path).is_none()) {
        return Err(AnalyzeError::TableName { path: path.clone() }).into_diagnostic();
    }
    for path in [&args.output, &args.neuroglancer, &args.imod, &args.overlay].into_iter().flatten() {
        if same_place(path, &args.volume) {
            miette::bail!("{}: is read by this command; choose another output", path.display());
        }
    }
    if args.neuroglancer.is_some() && volume.info().voxel_size.is_none() {
        miette::bail!(
            "--neuroglancer: the volume does not state how large its voxels are. Give --voxel-size z,y,x in nm"
        );
    }
    Ok(())
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    fs::write_atomic(path, text.as_bytes()).into_diagnostic()
}

fn advance(progress: &Progress, voxels: u64) -> bool {
    progress.advance(voxels);
    !interrupt::stop().load(Ordering::Relaxed)
}

fn stopped<T>(result: Result<T, AnalyzeError>) -> Result<T> {
    match result {
        Err(AnalyzeError::Interrupted) => Err(Interrupted.into()),
        other => other.into_diagnostic(),
    }
}

/// In nm, or in voxels where the volume states no size.
fn length(given: Length, size: Option<VoxelSize>, option: &str) -> Result<f64> {
    if size.is_some() { given.nm(size, option) } else { given.voxels(None, option) }
}

fn bar(label: &str, args: &Args, volume: &dyn Volume, passes: u64) -> Progress {
    let extent = args.region.map_or(volume.info().extent, |region| region.extent);
    Progress::new(label, passes * extent.checked_voxels().unwrap_or(0), Unit::Voxels)
}

fn labels(args: &Args, volume: &dyn Volume) -> Result<RoundObjects> {
    let size = volume.info().voxel_size;
    let guard = match (args.unbiased, args.guard) {
        (false, _) => None,
        (true, Some(guard)) => Some(length(guard, size, "--guard")?),
        (true, None) => {
            miette::bail!("--unbiased: labels say no diameter. Give --guard, the diameter of the largest object")
        }
    };
    let config = CountConfig { guard, region: args.region, ..CountConfig::of_diameter(0.0) };
    let progress = bar("count", args, volume, 1);
    let found = count_labels(volume, &config, args.memory.bytes(), &mut |voxels| advance(&progress, voxels));
    progress.finish();
    stopped(found)
}

fn probability(args: &Args, volume: &dyn Volume) -> Result<(RoundObjects, Option<(u64, u64)>)> {
    let size = volume.info().voxel_size;
    let kept = args.volume.join(DISAGREEMENT);
    let uncertainty = args.uncertainty.as_deref().or_else(|| kept.is_dir().then_some(&*kept));
    let deviation = uncertainty.map(|path| open(path).map(as_probabilities)).transpose()?;
    let diameter = match args.diameter {
        Diameter::Given(given) => length(given, size, "--diameter")?,
        Diameter::Auto => learned(args, volume)?,
    };
    let guard = match (args.unbiased, args.guard) {
        (false, _) => None,
        (true, Some(guard)) => Some(length(guard, size, "--guard")?),
        (true, None) => Some(diameter),
    };
    let (min_confidence, region) = (args.min_confidence, args.region);
    let config = CountConfig { diameter, min_confidence, guard, region };
    let budget = args.memory.bytes();
    let progress = bar("count", args, volume, if deviation.is_some() { 3 } else { 1 });
    let mut go_on = |voxels| advance(&progress, voxels);
    let found = count(volume, &config, budget, &mut go_on);
    let range = match (&found, &deviation) {
        (Ok(_), Some(deviation)) => Some(count_range(volume, deviation.as_ref(), &config, budget, &mut go_on)),
        _ => None,
    };
    progress.finish();
    Ok((stopped(found)?, range.map(stopped).transpose()?))
}

/// `--diameter auto`.
fn learned(args: &Args, volume: &dyn Volume) -> Result<f64> {
    let progress = bar("diameter", args, volume, 1);
    let found = learn_diameter(volume, args.region, &mut |voxels| advance(&progress, voxels));
    progress.finish();
    let Some(diameter) = stopped(found)? else {
        miette::bail!(
            "{}: --diameter auto: found nothing round; expected objects of at least 3 pixels. Give --diameter 40nm",
            args.volume.display()
        );
    };
    let unit = unit(volume.info().voxel_size);
    notice(&format!("{}: balls of {diameter:.1} {unit} explain the data best", args.volume.display()));
    Ok(diameter)
}

const fn unit(size: Option<VoxelSize>) -> &'static str {
    if size.is_some() { "nm" } else { "voxels" }
}

fn summary(found: &RoundObjects, range: Option<(u64, u64)>) -> serde_json::Value {
    let diameters = found.diameters();
    json!({
        "objects": found.objects.len(),
        "counted": found.count(),
        "at_border": found.at_border(),
        "confidence_error": found.confidence_error(),
        "counted_low": range.map(|range| range.0),
        "counted_high": range.map(|range| range.1),
        "volume_um3": found.volume_um3(),
        "per_um3": found.per_um3(),
        "unit": unit(found.voxel_size),
        "diameter_sought": found.diameter,
        "diameter_mean": diameters.map(|d| d.0),
        "diameter_sd": diameters.and_then(|d| d.1),
        "frame": found.frame,
        "region": found.region,
    })
}

/// What was found, in a few lines.
fn describe(found: &RoundObjects, range: Option<(u64, u64)>, path: &Path) -> String {
    let objects = |n: u64| format!("{n} {}", if n == 1 { "object" } else { "objects" });
    let mut text = format!("{}: {}", path.display(), objects(found.count()));
    // Writing into a text cannot fail.
    if let Some(error) = found.confidence_error() {
        let _ = write!(text, " ± {error:.1} (from their confidence)");
    }
    if let Some((low, high)) = range {
        let _ = write!(text, ", {low} to {high} where the models are one deviation less or more sure");
    }
    if let (Some(density), Some(volume)) = (found.per_um3(), found.volume_um3()) {
        let _ = write!(text, "\n{density:.4} per µm³, in {volume:.4} µm³");
    }
    if let Some((mean, deviation)) = found.diameters() {
        let unit = unit(found.voxel_size);
        let spread = deviation.map_or(String::new(), |deviation| format!(" ± {deviation:.1}"));
        let _ = write!(text, "\ndiameter {mean:.1}{spread} {unit}, of those that do not touch the border");
    }
    let _ = if found.frame.is_none() {
        write!(text, "\n{} at the border, of which a part may be missing", found.at_border())
    } else {
        let all = found.objects.len() as u64;
        write!(text, "\ncounted in the frame; {} outside of it or on its high faces", objects(all - found.count()))
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diameter_is_a_length_or_auto() {
        assert_eq!("auto".parse(), Ok(Diameter::Auto));
        assert_eq!("40nm".parse(), Ok(Diameter::Given(Length::Nm(40.0))));
        assert!("40".parse::<Diameter>().unwrap_err().contains("40nm"));
    }
}
