//! `deep3m phantom`: a synthetic volume with exact truth.

use std::path::{Path, PathBuf};

use deep3m_phantom::{Phantom, PhantomConfig, Truth, annotator_name};
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
#[command(after_help = "Examples:
  deep3m phantom -o phantom --shape 64,512,512 --seed 1
  deep3m phantom -o other --seed 2 --voxel-size 40,6,6 --noise 0.12 --contrast 0.6     another microscope
  deep3m phantom -o drawn --annotators 3                                               drawn by three people
  deep3m phantom -o layers --voxel-size 60,50,50 --mitochondria 0 --vesicles 0 --layers 1,0.2")]
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
    /// Also the mitochondria as N people would draw them, each in a way of their own, from 0 to 9
    #[arg(long, value_name = "N", default_value_t = 0)]
    annotators: u32,
    /// Replace a phantom that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tissue: Tissue,
    #[command(flatten)]
    camera: Camera,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Tissue: how much there is, from 0 (none) to 1")]
struct Tissue {
    /// Mitochondria [default: 1]
    #[arg(long, value_name = "SHARE")]
    mitochondria: Option<f64>,
    /// Clusters of vesicles [default: 0.8]
    #[arg(long, value_name = "SHARE")]
    vesicles: Option<f64>,
    /// Nuclei [default: 0.8]
    #[arg(long, value_name = "SHARE")]
    nuclei: Option<f64>,
    /// Share of the nuclei in layers of equal thickness, one below the other [default: as many everywhere]
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',')]
    layers: Vec<f64>,
    /// What looks like mitochondria and is none: myelin, lysosomes, dark processes [default: 0.7]
    #[arg(long, value_name = "SHARE")]
    distractors: Option<f64>,
}

#[derive(clap::Args)]
#[command(next_help_heading = "Image")]
struct Camera {
    /// Noise, as a share of the grey range, up to 0.5 [default: 0.06]
    #[arg(long, value_name = "SHARE")]
    noise: Option<f64>,
    /// Blur in the plane, the standard deviation in nm, up to 100 [default: 7]
    #[arg(long, value_name = "NM")]
    blur: Option<f64>,
    /// Contrast, from 0.1 to 2 [default: 1]
    #[arg(long, value_name = "FACTOR")]
    contrast: Option<f64>,
}

impl Args {
    fn config(&self) -> PhantomConfig {
        let default = PhantomConfig::default();
        PhantomConfig {
            shape: self.shape,
            seed: self.seed,
            voxel_size: self.voxel_size,
            mitochondria: self.tissue.mitochondria.unwrap_or(default.mitochondria),
            vesicles: self.tissue.vesicles.unwrap_or(default.vesicles),
            nuclei: self.tissue.nuclei.unwrap_or(default.nuclei),
            layers: self.tissue.layers.clone(),
            distractors: self.tissue.distractors.unwrap_or(default.distractors),
            noise: self.camera.noise.unwrap_or(default.noise),
            blur_nm: self.camera.blur.unwrap_or(default.blur_nm),
            contrast: self.camera.contrast.unwrap_or(default.contrast),
            annotators: self.annotators,
            ..default
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = args.config();
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
    for annotator in 1..=truth.config.annotators {
        println!("{}: mitochondria as annotator {annotator} drew them", annotator_name(annotator));
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
