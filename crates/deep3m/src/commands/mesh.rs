//! `deep3m mesh`: objects as surfaces of triangles.

mod output;
mod summary;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use deep3m_analyze::{AnalyzeError, MeshConfig, MeshMemory, MeshSink, MeshStep, ObjectMesh, Scene, mesh, palette};
use deep3m_volume::{Region, VoxelSize, as_labels, same_place};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::print_json;
use crate::commands::size::Size;
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse::{self, Length};
use output::{Format, Output};
use summary::Summary;

/// Make a surface of triangles for every object of a segmentation
///
/// SEG is a label volume, in which each object has a number of its own (deep3m segment makes them). Each surface is closed
/// and without seams, in nm, in the place that the object has in the volume. It is smoothed, by half a voxel along each axis at most, and then
/// simplified: no corner of the smooth surface is farther than --max-error from the one that is written.
///
/// OUT is a folder with a file for each object, or one file with all of them: the ending .glb, .ply, .obj or .stl says the
/// format. With .precomputed it is a folder for Neuroglancer, with several levels of detail.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m mesh objects.zarr -o objects.glb --picture objects.png
  deep3m mesh objects.zarr -o meshes --format stl --min-size 0.001um3
  deep3m mesh objects.zarr -o meshes.precomputed --voxel-size 30,8,8
  deep3m mesh objects.zarr -o three.ply --ids 1,5,9 --max-error 2nm")]
pub(crate) struct Args {
    /// Label volume
    #[arg(value_name = "SEG")]
    objects: PathBuf,
    /// Where to write the meshes
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Format of the files in a folder: ply, obj, stl, glb, precomputed, precomputed-legacy [default: ply]
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// Only these objects
    #[arg(long, value_name = "1,5,9", value_delimiter = ',')]
    ids: Option<Vec<u32>>,
    /// Leave smaller objects out: voxels, or a volume such as 0.001um3
    #[arg(long, value_name = "SIZE")]
    min_size: Option<Size>,
    /// How far the surface may move when triangles are saved: 10nm, or voxels as 0.5vx [default: a quarter of a voxel's
    /// shortest side]
    #[arg(long, value_name = "LENGTH", value_parser = parse::length)]
    max_error: Option<Length>,
    /// How often to smooth; 0 leaves the steps of the voxels [default: 12, more where sections are thick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(..=1000))]
    smooth: Option<u32>,
    /// Neither smooth nor simplify
    #[arg(long, conflicts_with_all = ["max_error", "smooth"])]
    raw: bool,
    /// Draw all objects into this PNG file
    #[arg(long, value_name = "FILE")]
    picture: Option<PathBuf>,
    /// Look only at this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for a volume that does not state it (or states it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Replace an output that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was made as JSON, with a list of all meshes
    #[arg(long)]
    json: bool,
}

/// Most that a volume keeps decoded.
const CACHE_BYTES: u64 = 256 << 20;
/// The longer side of a picture in pixels.
const PICTURE_SIDE: usize = 1200;
/// Levels of detail at most.
const LEVELS: u32 = 6;

pub(crate) fn run(args: &Args) -> Result<()> {
    let budget = args.memory.bytes();
    let cache_bytes = (budget / 8).min(CACHE_BYTES);
    let volume = as_labels(open_limited(&args.objects, args.voxel_size, cache_bytes)?);
    let info = volume.info();
    let Some(size) = info.voxel_size else {
        miette::bail!(
            "{}: does not state the size of its voxels, and meshes are in nm. Give --voxel-size z,y,x in nm (1,1,1 for a \
             mesh in voxels)",
            info.path.display()
        );
    };
    for out in std::iter::once(&args.output).chain(&args.picture) {
        if same_place(out, &info.path) {
            miette::bail!("{}: is read by this command; choose another output", out.display());
        }
    }
    let output = Output::new(&args.output, args.format, args.overwrite)?;
    let mut config = MeshConfig::for_voxels(size);
    config.region = args.region;
    config.ids = args.ids.as_ref().map(|ids| ids.iter().copied().collect());
    config.min_voxels = args.min_size.map_or(Ok(1), |least| least.voxels(Some(size), f64::ceil))?;
    config.levels = if output.has_levels() { LEVELS } else { 1 };
    if let Some(error) = args.max_error {
        config.max_error_nm = error.nm(Some(size), "--max-error")?;
    }
    config.smooth = args.smooth.unwrap_or(config.smooth);
    if args.raw {
        (config.smooth, config.max_error_nm) = (0, 0.0);
    }
    // What is written at the end, in one file, is held until then.
    let file_bytes = if output.is_file() { budget / 8 } else { 0 };
    let picture_bytes = if args.picture.is_some() { Scene::bytes(PICTURE_SIDE) } else { 0 };
    let memory = MeshMemory { budget, held: cache_bytes + file_bytes + picture_bytes };
    let mut taker = Taker {
        output: output.begin(file_bytes)?,
        scene: None,
        size,
        has_picture: args.picture.is_some(),
        summary: Summary::new(&config, size),
    };
    let voxels = args.region.map_or(info.extent, |region| region.extent).checked_voxels().unwrap_or(u64::MAX / 2);
    let progress = Progress::new("mesh", 2 * voxels, Unit::Voxels);
    let made = mesh(volume.as_ref(), size, &config, memory, &mut taker, &mut |step, voxels| {
        progress.advance(voxels);
        let doing = match step {
            MeshStep::Survey => "looking for objects",
            MeshStep::Surfaces => "making surfaces",
        };
        progress.message(doing.to_owned());
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    match made {
        Err(AnalyzeError::Interrupted) => return Err(Interrupted.into()),
        other => other.into_diagnostic()?,
    }
    let Taker { output, scene, summary, .. } = taker;
    output.take_place()?;
    if let (Some(path), Some(scene)) = (&args.picture, scene) {
        scene.picture().save(path).into_diagnostic()?;
    }
    let summary = summary.finish();
    let missing = summary.missing(config.ids.as_ref());
    if !missing.is_empty() {
        notice(&format!("{}: no object {missing}, or too small", info.path.display()));
    }
    if summary.is_empty() {
        notice(&format!("{}: no object; all is background (0), or left out", info.path.display()));
    }
    if args.json {
        return print_json(&summary);
    }
    println!("{}: {summary}", args.output.display());
    Ok(())
}

/// Hands the meshes to all that want them.
struct Taker {
    output: output::Begun,
    scene: Option<Scene>,
    size: VoxelSize,
    has_picture: bool,
    summary: Summary,
}

impl MeshSink for Taker {
    fn begin(&mut self, around: Region, objects: usize) -> Result<(), AnalyzeError> {
        self.scene = self.has_picture.then(|| Scene::new(around, self.size, PICTURE_SIDE));
        self.output.sink().begin(around, objects)
    }

    fn take(&mut self, objects: Vec<ObjectMesh>) -> Result<(), AnalyzeError> {
        for object in &objects {
            self.summary.add(object);
            if let (Some(scene), Some(level)) = (&mut self.scene, object.levels.first()) {
                scene.draw(object.id, &level.mesh, palette::of_object(object.id));
            }
        }
        self.output.sink().take(objects)
    }
}
