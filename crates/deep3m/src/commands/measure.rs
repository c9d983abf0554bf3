//! `deep3m measure`: the size, place and shape of every object.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use deep3m_analyze::{MeasureConfig, MeasureSummary, measure};
use deep3m_volume::{Region, VoxelSize};
use miette::{IntoDiagnostic, Result};

use crate::commands::labels::{Room, check_table, with_progress};
use crate::commands::memory::MemoryArg;
use crate::commands::print_json;
use crate::commands::size::Size;
use crate::console::notice;
use crate::parse;

/// Measure every object: volume, surface, place, shape, nearest neighbour
///
/// OBJECTS is a label volume, in which each object has a number of its own (deep3m segment makes them). The table has a row per
/// object, with units in the names of columns. Where the size of voxels is not known, lengths are in voxels (vx).
/// What each column is: docs/guide/reference.md.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m measure objects.zarr -o objects.csv
  deep3m measure objects.zarr -o objects.parquet --intensity images.zarr --min-size 0.001um3
  deep3m measure objects.tif -o objects.csv --voxel-size 30,8,8 --region 0:100,0:2048,0:2048
  deep3m measure objects.zarr --json")]
pub(crate) struct Args {
    /// Label volume
    objects: PathBuf,
    /// Table to write: .csv, .json or .parquet; without it only the summary is printed
    #[arg(short, long, value_name = "TABLE")]
    output: Option<PathBuf>,
    /// Image of the same size; each object's mean grey value is measured in it
    #[arg(long, value_name = "VOLUME")]
    intensity: Option<PathBuf>,
    /// Leave smaller objects out: voxels, or a volume such as 0.001um3
    #[arg(long, value_name = "SIZE")]
    min_size: Option<Size>,
    /// Measure only in this part; ends are outside. Objects are cut at its border
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Print the summary as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let inputs: Vec<&Path> = std::iter::once(&args.objects).chain(&args.intensity).map(PathBuf::as_path).collect();
    if let Some(output) = &args.output {
        check_table(output, &inputs)?;
    }
    let room = Room::of(args.memory, inputs.len() as u64);
    let labels = room.open_labels(&args.objects, args.voxel_size)?;
    let intensity = args.intensity.as_deref().map(|path| room.open(path, None)).transpose()?;
    let size = labels.info().voxel_size;
    let config = MeasureConfig {
        region: args.region,
        min_voxels: args.min_size.map_or(Ok(1), |least| least.voxels(size, f64::ceil))?,
        budget: room.budget,
    };
    let voxels = args.region.map_or(labels.info().extent, |region| region.extent).checked_voxels();
    let found =
        with_progress("measure", voxels, |progress| measure(labels.as_ref(), intensity.as_deref(), &config, progress))?;
    if let Some(output) = &args.output {
        found.table().write(output).into_diagnostic()?;
    }
    let summary = found.summary();
    let path = args.objects.display();
    if size.is_none() {
        notice(&format!(
            "{path}: does not state the size of its voxels; lengths are in voxels. Give --voxel-size z,y,x in nm"
        ));
    }
    if summary.objects == 0 {
        notice(&format!("{path}: no object; all is background (0), or smaller than --min-size"));
    }
    if summary.without_intensity > 0 {
        let count = summary.without_intensity;
        notice(&format!("{count} voxels of objects have no finite grey value; they are not in the means"));
    }
    if args.json {
        return print_json(&summary);
    }
    println!("{path}: {}", describe(&summary));
    if let Some(output) = &args.output {
        println!("{}: {} rows", output.display(), summary.objects);
    }
    Ok(())
}

/// All objects together, in a few lines.
fn describe(all: &MeasureSummary) -> String {
    let objects = if all.objects == 1 { "object" } else { "objects" };
    let mut text =
        format!("{} {objects}, {} voxels, {:.3} % of the volume", all.objects, all.voxels, 100.0 * all.volume_fraction);
    if all.left_out > 0 {
        let _ = write!(text, "; {} smaller ones left out", all.left_out);
    }
    if let (Some(volume), Some(surface)) = (all.volume_um3, all.surface_um2) {
        let _ = write!(text, "\ntogether {volume:.4} µm³ with {surface:.4} µm² of surface");
    }
    if let Some(voxels) = all.median_voxels {
        let _ = write!(text, "\nmedian volume {voxels} voxels");
    }
    if let (Some(volume), Some(diameter)) = (all.median_volume_um3, all.median_diameter_nm) {
        let _ = write!(text, " ({volume:.3e} µm³), equivalent diameter {diameter:.1} nm");
    }
    if let Some(sphericity) = all.median_sphericity {
        let _ = write!(text, ", sphericity {sphericity:.3}");
    }
    if let Some(nearest) = all.median_nearest_nm {
        let _ = write!(text, "\nmedian distance to the nearest neighbour {nearest:.1} nm, middle to middle");
    }
    if all.objects > 0 {
        let _ = write!(text, "\n{} at the volume's border, of which a part may be missing", all.at_border);
    }
    text
}
