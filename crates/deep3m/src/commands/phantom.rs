//! `deep3m phantom`: a synthetic volume with exact truth.

use std::path::{Path, PathBuf};

use deep3m_phantom::{Phantom, PhantomConfig, Truth};
use deep3m_volume::{Extent, VoxelSize};
use miette::{IntoDiagnostic, Result};

use crate::commands::print_json;
use crate::console::{Progress, Unit};
use crate::parse;

/// Make a synthetic electron-microscopy volume with exact truth
///
/// Membranes, mitochondria with cristae, vesicles and nuclei, with section jitter, noise and blur. The folder gets
/// images.zarr, one label volume per class and truth.json with every object's class, centroid and size. The same seed
/// gives the same volume.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  deep3m phantom -o phantom --shape 64,512,512 --seed 1")]
pub(crate) struct Args {
    /// Folder to make
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Size in voxels: sections, rows, columns
    #[arg(long, value_name = "z,y,x", value_parser = parse::extent, default_value = "64,512,512")]
    shape: Extent,
    /// Voxel size in nm: section thickness, row and column pitch
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size, default_value = "30,8,8")]
    voxel_size: VoxelSize,
    /// Number that decides everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Replace a phantom that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config =
        PhantomConfig { shape: args.shape, seed: args.seed, voxel_size: args.voxel_size, ..PhantomConfig::default() };
    let truth = write(config, &args.output, args.overwrite)?;
    if args.json {
        return print_json(&truth.classes);
    }
    println!("{}: {} of {}", args.output.display(), args.shape, args.voxel_size);
    for class in &truth.classes {
        println!(
            "{:<20} {:>7} objects {:>6.2} % of the volume",
            class.volume.display(),
            class.objects,
            100.0 * class.share
        );
    }
    Ok(())
}

/// Makes a phantom with a progress bar.
pub(crate) fn write(config: PhantomConfig, output: &Path, overwrite: bool) -> Result<Truth> {
    let progress = Progress::new("phantom", config.shape.checked_voxels().unwrap_or(u64::MAX), Unit::Voxels);
    let phantom = Phantom::new(config).into_diagnostic()?;
    let truth = deep3m_phantom::write(&phantom, output, overwrite, &mut |voxels| progress.advance(voxels));
    progress.finish();
    truth.into_diagnostic()
}
