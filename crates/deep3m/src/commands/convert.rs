//! `deep3m convert`: from one format to another, with resolution levels.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use deep3m_volume::convert::{Conversion, ConvertError, ConvertEvent, ConvertSummary, Work, convert};
use deep3m_volume::pyramid::Reduce;
use deep3m_volume::{Extent, Format, Region, Volume, VoxelSize, ZarrLayout, ZarrVersion, crop};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::print_json;
use crate::console::{Progress, Unit};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Turn a volume into another format, with smaller copies to look at it in a viewer
///
/// The ending of OUT says the format: .zarr, .precomputed (Neuroglancer), .tif, .h5, .mrc; a name without one of these is a folder
/// of PNG slices. OME-Zarr and Neuroglancer volumes get resolution levels: each halves the finest axes of the one before
/// it, so that a viewer shows a large volume at once. The same command goes on with a conversion that was interrupted.
#[derive(clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(after_help = "\
Examples:
  deep3m convert stack.tif -o stack.zarr
  deep3m convert labels/ -o labels.precomputed --labels --voxel-size 30,8,8
  deep3m convert volume.zarr -o part.tif --region 0:50,0:1024,0:1024")]
pub(crate) struct Args {
    /// Folder of slices, TIFF stack, OME-Zarr or another volume
    input: PathBuf,
    /// Where to write it
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// The voxels are labels: coarser levels take the most frequent value instead of the mean
    #[arg(long)]
    labels: bool,
    /// Resolution levels at most, the volume itself counted [default: down to a level that fits one chunk]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    levels: Option<u16>,
    /// Chunk size in voxels [default: 32,128,128; 64,64,64 for .precomputed]
    #[arg(long, value_name = "z,y,x", value_parser = parse::extent)]
    chunk: Option<Extent>,
    /// Write OME-Zarr 0.4 (Zarr v2) for older programs, instead of 0.5
    #[arg(long)]
    zarr_v2: bool,
    /// Collect chunks in files (shards) of this size, for volumes of very many chunks; Zarr v3 only
    #[arg(long, value_name = "z,y,x", value_parser = parse::extent, conflicts_with = "zarr_v2")]
    shard: Option<Extent>,
    /// Convert only this part; ends are outside
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
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let conversion = Conversion {
        format: Format::of_output(&args.output),
        chunk: args.chunk,
        levels: args.levels.map(usize::from),
        reduce: if args.labels { Reduce::Mode } else { Reduce::Mean },
        zarr: ZarrLayout { version: if args.zarr_v2 { ZarrVersion::V2 } else { ZarrVersion::V3 }, shard: args.shard },
    };
    let open = |cache_bytes: u64| -> Result<Arc<dyn Volume>> {
        let source = open_limited(&args.input, args.voxel_size, cache_bytes)?;
        args.region.map_or(Ok(Arc::clone(&source)), |region| crop(source, region)).into_diagnostic()
    };
    let source = open(0)?;
    let work = Work::fit(source.info(), &conversion, args.memory.bytes()).into_diagnostic()?;
    let source = open(work.cache_bytes)?;
    let mut progress = None;
    let mut event = |event: ConvertEvent| match event {
        ConvertEvent::Planned { voxels, done } => {
            let bar = Progress::new("convert", voxels, Unit::Voxels);
            bar.resume_at(done);
            progress = Some(bar);
        }
        ConvertEvent::Written { voxels } => {
            if let Some(bar) = &progress {
                bar.advance(voxels);
            }
        }
        _ => {}
    };
    let outcome = convert(&source, &args.output, &conversion, args.overwrite, work, interrupt::stop(), &mut event);
    if let Some(bar) = &progress {
        bar.finish();
    }
    match outcome {
        Err(ConvertError::Interrupted { .. }) => Err(Interrupted.into()),
        Err(error) => Err(error).into_diagnostic(),
        Ok(summary) if args.json => print_json(&summary),
        Ok(summary) => {
            print!("{}", describe(&summary, args));
            Ok(())
        }
    }
}

fn describe(summary: &ConvertSummary, args: &Args) -> String {
    let rate = if summary.seconds > 0.0 { summary.voxels_now as f64 / summary.seconds / 1e6 } else { 0.0 };
    let mut text = if summary.voxels_now == 0 {
        format!("{}: is complete already\n", args.output.display())
    } else {
        let ConvertSummary { voxels_now, seconds, .. } = summary;
        format!("{}: {voxels_now} voxels in {seconds:.1} s ({rate:.0} million a second)\n", args.output.display())
    };
    for (number, level) in summary.levels.iter().enumerate() {
        let size = level.voxel_size.map_or_else(|| "voxel size not known".into(), |size| size.to_string());
        let _ = writeln!(text, "level {number}: {} voxels, {size}", level.extent);
    }
    text
}
