//! `deep3m contacts`: where objects touch, or come near each other.

use std::path::{Path, PathBuf};

use deep3m_analyze::{ContactsConfig, contacts};
use deep3m_volume::{Region, VoxelSize, same_place, same_volume, with_voxel_size};
use miette::{IntoDiagnostic, Result};

use crate::commands::labels::{Room, check_table, with_progress};
use crate::commands::memory::MemoryArg;
use crate::commands::print_json;
use crate::console::notice;
use crate::parse::{self, Length};

/// Measure where objects touch: contact area, sites and distance of each pair
///
/// A and B are label volumes of one size. A voxel of the surface of an object of A is a contact where an object of B is at most
/// --distance away, from face to face; 0 nm: they touch or overlap. Contact voxels that touch each other are one site.
/// Give the same volume twice for the contacts between its own objects.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m contacts mitochondria.zarr er.zarr --distance 30nm -o contacts.csv --sites sites.csv
  deep3m contacts cells.zarr cells.zarr --distance 0nm -o contacts.parquet
  deep3m contacts a.tif b.tif --distance 25nm --voxel-size 30,8,8 --json")]
pub(crate) struct Args {
    /// Label volume
    a: PathBuf,
    /// Label volume of the same size, or the same
    b: PathBuf,
    /// Largest gap between objects in contact: 30nm, 2vx, 0nm
    #[arg(long, value_name = "LENGTH", value_parser = parse::length_or_none)]
    distance: Length,
    /// Table of pairs to write: .csv, .json or .parquet
    #[arg(short, long, value_name = "TABLE")]
    output: Option<PathBuf>,
    /// Table of sites to write
    #[arg(long, value_name = "TABLE")]
    sites: Option<PathBuf>,
    /// Look only at this part; ends are outside
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
    let outputs: Vec<&Path> = args.output.iter().chain(&args.sites).map(PathBuf::as_path).collect();
    for output in &outputs {
        check_table(output, &[&args.a, &args.b])?;
    }
    if let [pairs, sites] = outputs[..]
        && (pairs == sites || same_place(pairs, sites))
    {
        miette::bail!("{}: is given as --output and as --sites; choose two names", pairs.display());
    }
    let one = same_volume(&args.a, &args.b);
    let room = Room::of(args.memory, if one { 1 } else { 2 });
    let a = room.open_labels(&args.a, args.voxel_size)?;
    let b = if one { None } else { Some(room.open_labels(&args.b, None)?) };
    // Either says how large voxels are, but not two things.
    let (size_a, size_b) = (a.info().voxel_size, b.as_ref().and_then(|b| b.info().voxel_size));
    if let (None, Some(first), Some(second)) = (args.voxel_size, size_a, size_b)
        && first != second
    {
        miette::bail!(
            "{} has voxels of {first}, but {} of {second}; expected one size. If one is wrong, give --voxel-size z,y,x in nm",
            args.a.display(),
            args.b.display()
        );
    }
    let a = match (size_a, size_b) {
        (None, Some(size)) => with_voxel_size(a, size),
        _ => a,
    };
    let distance_nm = args.distance.nm(a.info().voxel_size, "--distance")?;
    let config = ContactsConfig { distance_nm, region: args.region, budget: room.budget };
    let voxels = args.region.map_or(a.info().extent, |region| region.extent).checked_voxels();
    let found = with_progress("contacts", voxels, |progress| contacts(a.as_ref(), b.as_deref(), &config, progress))?;
    if let Some(output) = &args.output {
        found.pairs_table().write(output).into_diagnostic()?;
    }
    if let Some(sites) = &args.sites {
        found.sites_table().write(sites).into_diagnostic()?;
    }
    let all = found.summary(distance_nm, one);
    if all.pairs == 0 {
        notice(&format!("no objects within {distance_nm} nm of each other"));
    }
    if args.json {
        return print_json(&all);
    }
    println!("{} pairs of objects within {distance_nm} nm of each other, {} sites", all.pairs, all.sites);
    if one {
        println!("{} objects of {} have contacts", all.objects_a, args.a.display());
    } else {
        println!("{} objects of {}: {:.4} µm² near the others", all.objects_a, args.a.display(), all.area_a_um2);
        println!("{} objects of {}: {:.4} µm² near the others", all.objects_b, args.b.display(), all.area_b_um2);
    }
    for (path, rows) in args.output.iter().map(|p| (p, all.pairs)).chain(args.sites.iter().map(|p| (p, all.sites))) {
        println!("{}: {rows} rows", path.display());
    }
    Ok(())
}
