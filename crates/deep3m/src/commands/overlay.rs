//! `deep3m overlay`: pictures of sections with what was found over them.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deep3m_analyze::{CLASS_COLOURS, Layer, LayerKind, OverlayStyle, Picture, overlay_section, scale_bar};
use deep3m_volume::{Extent, Region, Volume, VoxelSize, VoxelType, as_labels, as_probabilities, fs};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;

use crate::commands::{open, open_sized, print_json};
use crate::console::{Progress, Unit};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Draw what was found over the images: a PNG for each section
///
/// Every SEG is a class with a colour of its own: a probability, a mask, or labels. Labels of 32 bits (deep3m segment makes them) have
/// a colour for each object where there is one SEG. The colours are those that people with any kind of colour vision tell apart. A white bar shows the
/// scale, where the size of voxels is known.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m overlay volume.tif result.zarr -o pictures
  deep3m overlay volume.tif mitochondria.zarr membranes.zarr -o pictures --style contour --sections 0:100:10
  deep3m overlay volume.tif objects.zarr -o pictures --montage 4 --sections 0,20,40,60 --max-side 600")]
pub(crate) struct Args {
    /// Images
    volume: PathBuf,
    /// What is drawn over them, the last on top
    #[arg(required = true)]
    segmentations: Vec<PathBuf>,
    /// Folder for the pictures
    #[arg(short, long, value_name = "FOLDER")]
    output: PathBuf,
    /// How it is drawn
    #[arg(long, value_enum, default_value = "fill")]
    style: Drawn,
    /// The colour's share of a filled pixel, 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = parse::fraction, default_value = "0.4")]
    opacity: f64,
    /// Probability from which a voxel is inside
    #[arg(long, value_name = "T", value_parser = parse::fraction, default_value = "0.5")]
    threshold: f64,
    /// The values of 8 and 16-bit volumes are labels, each with a colour of its own (deep3m combine makes them)
    #[arg(long)]
    labels: bool,
    /// Only these sections: 0,20,40, or first:end:step
    #[arg(long, value_name = "LIST")]
    sections: Option<Sections>,
    /// Only this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Shrink pictures by a whole factor until no side is longer
    #[arg(long, value_name = "PIXELS", default_value = "2048", value_parser = clap::value_parser!(u32).range(1..=16384))]
    max_side: u32,
    /// Also one picture of all, in so many columns: montage.png
    #[arg(long, value_name = "COLUMNS", value_parser = clap::value_parser!(u16).range(1..))]
    montage: Option<u16>,
    /// Size of a voxel in nm, for a volume that does not state it
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    /// Print what was drawn as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Drawn {
    /// A tint
    Fill,
    /// The rim
    Contour,
    /// A tint with a rim
    Both,
}

/// Sections to draw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sections {
    These(Vec<u64>),
    Steps { first: u64, end: u64, step: u64 },
}

impl FromStr for Sections {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("'{text}' found; expected sections 0,20,40, or first:end:step such as 0:100:10");
        let number = |part: &str| part.trim().parse::<u64>().map_err(|_| fail());
        if !text.contains(':') {
            return text.split(',').map(number).collect::<Result<_, _>>().map(Self::These);
        }
        let parts = text.split(':').map(number).collect::<Result<Vec<_>, _>>()?;
        match parts[..] {
            [first, end] if first < end => Ok(Self::Steps { first, end, step: 1 }),
            [first, end, step] if first < end && step > 0 => Ok(Self::Steps { first, end, step }),
            _ => Err(fail()),
        }
    }
}

/// A picture that was drawn.
#[derive(Serialize)]
struct Written {
    section: u64,
    path: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let images = open_sized(&args.volume, args.voxel_size)?;
    let info = images.info();
    let region = args.region.unwrap_or(Region::whole(info.extent));
    let sections = sections(args, region)?;
    let pictured = sections.iter().map(|&z| slice(region, z)).collect::<Vec<_>>();
    let classes = args.segmentations.iter().map(|path| open_layer(args, path)).collect::<Result<Vec<_>>>()?;
    let alone = classes.len() == 1;
    let mut layers = Vec::new();
    for (i, volume) in classes.iter().enumerate() {
        let kind = match volume.info().voxel_type {
            VoxelType::U32 if alone => LayerKind::Objects,
            VoxelType::U32 => LayerKind::Class,
            _ if args.labels => LayerKind::Objects,
            _ if is_mask(volume.as_ref(), &pictured)? => LayerKind::Class,
            _ => LayerKind::Probability(args.threshold),
        };
        layers.push(Layer { volume: volume.as_ref(), kind, colour: CLASS_COLOURS[i % CLASS_COLOURS.len()] });
    }
    let style = OverlayStyle {
        fill: if args.style == Drawn::Contour { 0.0 } else { args.opacity as f32 },
        contour: args.style != Drawn::Fill,
    };
    fs::create_dir(&args.output).into_diagnostic()?;
    let factor = region.extent.y.max(region.extent.x).div_ceil(u64::from(args.max_side));
    let digits = (info.extent.z.max(2) - 1).to_string().len().max(4);
    let progress = Progress::new("overlay", sections.len() as u64, Unit::Sections);
    let (mut written, mut drawn, mut bar) = (Vec::new(), Vec::new(), None);
    for (&z, &part) in sections.iter().zip(&pictured) {
        if interrupt::stop().load(Ordering::Relaxed) {
            return Err(Interrupted.into());
        }
        let mut picture =
            overlay_section(images.as_ref(), &layers, part, args.max_side as usize, style).into_diagnostic()?;
        bar = info.voxel_size.and_then(|size| scale_bar(&mut picture, size, factor));
        let path = args.output.join(format!("{z:0digits$}.png"));
        picture.save(&path).into_diagnostic()?;
        written.push(Written { section: z, path });
        if args.montage.is_some() {
            drawn.push(picture);
        }
        progress.advance(1);
    }
    progress.finish();
    if let Some(columns) = args.montage {
        let gap = drawn.first().map_or(0, |picture| picture.width() / 60);
        Picture::montage(&drawn, columns.into(), gap).save(&args.output.join("montage.png")).into_diagnostic()?;
    }
    if args.json {
        return print_json(&serde_json::json!({ "pictures": written, "scale_bar_nm": bar.map(|bar| bar.nm) }));
    }
    println!("{}: {} pictures", args.output.display(), written.len());
    for (i, path) in args.segmentations.iter().enumerate().filter(|_| !alone) {
        println!("{}: {}", COLOUR_NAMES[i % COLOUR_NAMES.len()], path.display());
    }
    if let Some(bar) = bar {
        println!("the white bar is {} long", bar.text());
    }
    Ok(())
}

/// Names of [`CLASS_COLOURS`].
const COLOUR_NAMES: [&str; CLASS_COLOURS.len()] = ["light blue", "orange", "yellow", "green", "pink", "blue", "white"];

/// Most pixels of a montage: it is held whole.
const MONTAGE_PIXELS: u64 = 200_000_000;

/// The sections that were asked for, as the volume has them.
fn sections(args: &Args, region: Region) -> Result<Vec<u64>> {
    let all = region.start.z..region.end().z;
    let sections: Vec<u64> = match &args.sections {
        None => all.clone().collect(),
        Some(Sections::These(these)) => these.clone(),
        Some(Sections::Steps { first, end, step }) => {
            (*first..(*end).min(all.end)).step_by(usize::try_from(*step).unwrap_or(usize::MAX)).collect()
        }
    };
    if let Some(z) = sections.iter().find(|z| !all.contains(z)) {
        miette::bail!(
            "--sections: found section {z}; the volume, or the part to draw, has {} to {}",
            all.start,
            all.end - 1
        );
    }
    if sections.is_empty() {
        miette::bail!("--sections: none of them is in the volume, or in the part to draw, which has {all:?}");
    }
    let side = |length: u64| length.min(u64::from(args.max_side));
    let pixels = sections.len() as u64 * side(region.extent.y) * side(region.extent.x);
    if args.montage.is_some() && pixels > MONTAGE_PIXELS {
        miette::bail!(
            "--montage: found {} sections of up to {} pixels a side; a picture of all would have {} million pixels. Choose fewer \
             with --sections, or make them smaller with --max-side",
            sections.len(),
            args.max_side,
            pixels / 1_000_000
        );
    }
    Ok(sections)
}

fn slice(region: Region, z: u64) -> Region {
    let mut part = region;
    part.start.z = z;
    part.extent.z = 1;
    part
}

/// Probabilities stay what they are, labels become whole numbers.
fn open_layer(args: &Args, path: &std::path::Path) -> Result<Arc<dyn Volume>> {
    let volume = open(path)?;
    Ok(if args.labels { as_labels(volume) } else { as_labels(as_probabilities(volume)) })
}

/// Whether no voxel of these parts is above 1; ends at the first that is.
fn is_mask(volume: &dyn Volume, parts: &[Region]) -> Result<bool> {
    let whole = Region::whole(volume.info().extent);
    for part in parts.iter().filter_map(|part| part.intersect(&whole)) {
        for tile in part.tiles(Extent::new(1, 1024, 1024)) {
            if volume.read(tile).into_diagnostic()?.voxels().iter().any(|value| value > 1) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_a_list_or_steps() {
        assert_eq!("0, 20,40".parse(), Ok(Sections::These(vec![0, 20, 40])));
        assert_eq!("5:100:10".parse(), Ok(Sections::Steps { first: 5, end: 100, step: 10 }));
        assert_eq!("5:9".parse(), Ok(Sections::Steps { first: 5, end: 9, step: 1 }));
        for text in ["", "a", "9:5", "0:9:0", "1:2:3:4"] {
            assert!(text.parse::<Sections>().unwrap_err().contains("0:100:10"), "{text}");
        }
    }
}
