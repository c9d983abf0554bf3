//! `deep3m density`: objects per mm³ and their share of the volume, along an axis.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use deep3m_analyze::{Axis, Chart, Density, DensityConfig, Points, TableFormat, density_of_objects, density_of_points};
use deep3m_volume::{Extent, Region, VoxelSize, fs};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use crate::commands::labels::{Room, check_other, check_table, with_progress};
use crate::commands::memory::MemoryArg;
use crate::commands::print_json;
use crate::console::notice;
use crate::parse::{self, Length};

/// Measure how dense objects are along an axis
///
/// A window (a slab across the axis) is slid over the volume. In each window: objects per mm³, counted where their centroids
/// are, and the share of the volume that they fill. With --mask only tissue counts.
///
/// OBJECTS is a label volume, or a CSV table of points with columns centroid_z_nm, centroid_y_nm, centroid_x_nm (deep3m measure
/// writes them), or z, y, x in voxels. For points give the volume that they are in.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m density nuclei.zarr --window 20um -o density.csv
  deep3m density nuclei.zarr --window 20um --step 2um --axis z --mask tissue.zarr -o density.csv --plot density.svg
  deep3m density objects.csv --volume images.zarr --window 20um -o density.csv
  deep3m density points.csv --extent 400,2048,2048 --voxel-size 30,8,8 --window 5um --json")]
pub(crate) struct Args {
    /// Label volume, or points (.csv)
    objects: PathBuf,
    /// How thick the window is: 20um, 500nm
    #[arg(long, value_name = "LENGTH", value_parser = parse::length)]
    window: Length,
    /// How far it is moved each time [default: a quarter of the window]
    #[arg(long, value_name = "LENGTH", value_parser = parse::length)]
    step: Option<Length>,
    /// Along which axes
    #[arg(long, value_name = "z,y,x", value_delimiter = ',', default_value = "z,y,x")]
    axis: Vec<Axis>,
    /// Label volume of the tissue, of the same size: 0 is outside
    #[arg(long, value_name = "TISSUE")]
    mask: Option<PathBuf>,
    /// The volume that points are in: its size, and the size of its voxels
    #[arg(long, value_name = "VOLUME", conflicts_with = "extent")]
    volume: Option<PathBuf>,
    /// The size in voxels of the volume that points are in
    #[arg(long, value_name = "z,y,x", value_parser = parse::extent)]
    extent: Option<Extent>,
    /// Look only at this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    /// Table to write: .csv, .json or .parquet, a row per window
    #[arg(short, long, value_name = "TABLE")]
    output: Option<PathBuf>,
    /// Chart to write (.svg) [default: beside the table]
    #[arg(long, value_name = "SVG")]
    plot: Option<PathBuf>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let inputs: Vec<&Path> = [Some(&args.objects), args.mask.as_ref(), args.volume.as_ref()]
        .into_iter()
        .flatten()
        .map(PathBuf::as_path)
        .collect();
    let plot = args.plot.clone().or_else(|| args.output.as_ref().map(|output| output.with_extension("svg")));
    if let Some(output) = &args.output {
        check_table(output, &inputs)?;
    }
    if let Some(plot) = &plot {
        check_other(plot, &inputs)?;
        if plot.extension().is_none_or(|ending| !ending.eq_ignore_ascii_case("svg")) {
            miette::bail!(
                "{}: found a name that says no format for a chart; expected one that ends in .svg",
                plot.display()
            );
        }
    }
    let found = if is_points(&args.objects)? { of_points(args)? } else { of_objects(args)? };
    let path = args.objects.display();
    for axis in &found.short_axes {
        notice(&format!(
            "{path}: the volume is shorter than the window along {axis}; there is one window, as long as the volume"
        ));
    }
    if found.outside_volume > 0 {
        notice(&format!("{path}: {} points lie outside the volume; they are not counted", found.outside_volume));
    }
    if let Some(output) = &args.output {
        found.table().write(output).into_diagnostic()?;
    }
    if let Some(plot) = &plot {
        let svg = Chart::stacked(&found.charts(), 800, 320).map_err(|e| miette::miette!("{}: {e}", plot.display()))?;
        fs::write_atomic(plot, svg.as_bytes()).into_diagnostic()?;
    }
    if args.json {
        return print_json(&Done::of(&found));
    }
    println!("{path}: {}", describe(&found));
    let written: Vec<String> = args.output.iter().chain(&plot).map(|path| path.display().to_string()).collect();
    if !written.is_empty() {
        println!("{}: {} windows", written.join(", "), found.windows.len());
    }
    Ok(())
}

/// Whether points are given, not a volume.
fn is_points(path: &Path) -> Result<bool> {
    match TableFormat::of(path) {
        Some(TableFormat::Csv) => Ok(true),
        Some(_) => miette::bail!(
            "{}: found a table in another format; expected points as .csv, or a label volume",
            path.display()
        ),
        None => Ok(false),
    }
}

fn config(args: &Args, size: VoxelSize, budget: u64) -> Result<DensityConfig> {
    let mut axes = args.axis.clone();
    let mut met = Vec::new();
    axes.retain(|axis| {
        !met.contains(axis) && {
            met.push(*axis);
            true
        }
    });
    Ok(DensityConfig {
        window_nm: args.window.nm(Some(size), "--window")?,
        step_nm: args.step.map(|step| step.nm(Some(size), "--step")).transpose()?,
        axes,
        region: args.region,
        budget,
    })
}

/// That the size of voxels is known.
fn known(size: Option<VoxelSize>, path: &Path) -> Result<VoxelSize> {
    size.ok_or_else(|| {
        miette::miette!(
            "{}: does not state the size of its voxels; a density in mm³ needs it. Give --voxel-size z,y,x in nm",
            path.display()
        )
    })
}

fn of_objects(args: &Args) -> Result<Density> {
    if args.volume.is_some() || args.extent.is_some() {
        miette::bail!("--volume and --extent are for points in a CSV table; {} is a volume", args.objects.display());
    }
    let room = Room::of(args.memory, 1 + u64::from(args.mask.is_some()));
    let labels = room.open_labels(&args.objects, args.voxel_size)?;
    let mask = args.mask.as_deref().map(|path| room.open_labels(path, None)).transpose()?;
    let config = config(args, known(labels.info().voxel_size, &args.objects)?, room.budget)?;
    let voxels = args.region.map_or(labels.info().extent, |region| region.extent).checked_voxels();
    with_progress("density", voxels, |progress| density_of_objects(labels.as_ref(), mask.as_deref(), &config, progress))
}

fn of_points(args: &Args) -> Result<Density> {
    let room = Room::of(args.memory, 1);
    let mask = args.mask.as_deref().map(|path| room.open_labels(path, None)).transpose()?;
    let volume = args.volume.as_deref().map(|path| room.open(path, None)).transpose()?;
    let info = volume.as_ref().or(mask.as_ref()).map(|volume| volume.info());
    let Some(extent) = args.extent.or(info.map(|info| info.extent)) else {
        miette::bail!(
            "{}: a table of points does not say how large the volume is. Give --volume VOLUME, or --extent z,y,x in voxels \
             with --voxel-size",
            args.objects.display()
        );
    };
    let place = info.map_or(args.objects.as_path(), |info| &info.path);
    let size = known(args.voxel_size.or(info.and_then(|info| info.voxel_size)), place)?;
    let points = Points::read_csv(&args.objects, Some(size)).into_diagnostic()?;
    let config = config(args, size, room.budget)?;
    let voxels = mask.as_ref().and_then(|_| args.region.map_or(extent, |region| region.extent).checked_voxels());
    with_progress("density", voxels.or(Some(0)), |progress| {
        density_of_points(&points, extent, size, mask.as_deref(), &config, progress)
    })
}

/// What `--json` prints.
#[derive(Serialize)]
struct Done {
    objects: u64,
    outside_tissue: u64,
    outside_volume: u64,
    volume_mm3: f64,
    objects_per_mm3: Option<f64>,
    volume_fraction: Option<f64>,
    windows: serde_json::Value,
}

impl Done {
    fn of(found: &Density) -> Self {
        Self {
            objects: found.objects,
            outside_tissue: found.outside_tissue,
            outside_volume: found.outside_volume,
            volume_mm3: found.volume_mm3,
            objects_per_mm3: found.objects_per_mm3,
            volume_fraction: found.volume_fraction,
            windows: found.table().to_json(),
        }
    }
}

/// The whole, and along each axis the least and the most.
fn describe(found: &Density) -> String {
    let mut text = format!("{} objects in {:.3e} mm³", found.objects, found.volume_mm3);
    match found.objects_per_mm3 {
        Some(density) => {
            let _ = write!(text, ", {density:.4e} per mm³");
        }
        None => text += "; there is no tissue",
    }
    if let Some(fraction) = found.volume_fraction {
        let _ = write!(text, ", {:.3} % of the volume", 100.0 * fraction);
    }
    if found.outside_tissue > 0 {
        let _ = write!(text, "; {} outside the tissue are not counted", found.outside_tissue);
    }
    for axis in Axis::ALL {
        let all = || found.windows.iter().filter(|window| window.axis == axis);
        let values: Vec<f64> = all().filter_map(|window| window.objects_per_mm3).collect();
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if low <= high {
            let _ = write!(text, "\nalong {axis}: {low:.4e} to {high:.4e} per mm³ in {} windows", all().count());
        }
    }
    text
}
