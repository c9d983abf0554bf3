//! `deep3m combine`: predictions of one class each into one volume of classes.

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::Ordering;

use deep3m_analyze::{AnalyzeError, Calibration, Class, combine};
use deep3m_volume::{Region, VolumeSpec, VoxelSize, VoxelType, as_probabilities};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::MemoryArg;
use crate::commands::target::Target;
use crate::commands::{open_sized, print_json};
use crate::console::{Progress, Unit};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Make one volume of classes from predictions of one class each
///
/// Each voxel gets the class that is most probable there, or 0 where none reaches the threshold. Classes are numbered from 1 in the order in
/// which they are given. Models are sure of themselves in different ways; a calibration (deep3m evaluate --calibration-file) makes
/// their probabilities comparable. With --priority some classes win wherever they reach the threshold.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m combine membranes=mem.zarr mitochondria=mito.zarr nuclei=nuc.zarr -o classes.zarr
  deep3m combine er=er.zarr nuclei=nuc.zarr -o classes.zarr --priority nuclei
  deep3m combine a=a.zarr b=b.zarr -o classes.zarr --calibration a=a.json --calibration b=b.json")]
pub(crate) struct Args {
    /// Classes and their predictions
    #[arg(required = true, value_name = "NAME=PREDICTION")]
    classes: Vec<Named>,
    /// Where to write the classes
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Probability from which a voxel can have a class
    #[arg(long, value_name = "T", value_parser = parse::fraction, default_value = "0.5")]
    threshold: f64,
    /// Classes that win over others wherever they reach the threshold, the first over the second
    #[arg(long, value_delimiter = ',', value_name = "NAME,…")]
    priority: Vec<String>,
    /// What a class's probabilities are worth; give it once for each class
    #[arg(long, value_name = "NAME=FILE")]
    calibration: Vec<Named>,
    /// Only this part; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for volumes that do not state it
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Replace an output that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// A file with a name for it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    name: String,
    path: PathBuf,
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.trim().is_empty() && !path.is_empty() => {
                Ok(Self { name: name.trim().to_owned(), path: path.into() })
            }
            _ => Err(format!("'{text}' found; expected a name and a file: mitochondria=mito.zarr")),
        }
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let names: Vec<&str> = args.classes.iter().map(|class| class.name.as_str()).collect();
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            miette::bail!("{name}: found twice; expected a name of its own for each class");
        }
    }
    for (option, name) in args
        .priority
        .iter()
        .map(|name| ("--priority", name))
        .chain(args.calibration.iter().map(|file| ("--calibration", &file.name)))
    {
        if !names.contains(&name.as_str()) {
            miette::bail!("{option} {name}: is none of the classes; they are {}", names.join(", "));
        }
    }
    let open = |class: &Named| Ok(as_probabilities(open_sized(&class.path, args.voxel_size)?));
    let predictions = args.classes.iter().map(open).collect::<Result<Vec<_>>>()?;
    let calibrations = args
        .classes
        .iter()
        .map(|class| args.calibration.iter().find(|file| file.name == class.name))
        .map(|file| file.map(|file| Calibration::read(&file.path)).transpose().into_diagnostic())
        .collect::<Result<Vec<_>>>()?;
    let rank = |name: &str| args.priority.iter().position(|first| first == name).unwrap_or(args.priority.len());
    let classes: Vec<Class<'_>> = predictions
        .iter()
        .zip(&calibrations)
        .zip(&names)
        .map(|((prediction, calibration), name)| Class {
            prediction: prediction.as_ref(),
            calibration: calibration.as_ref().map(Calibration::probabilities),
            rank: rank(name),
        })
        .collect();
    let info = predictions[0].info();
    let region = args.region.unwrap_or(Region::whole(info.extent));
    if !region.fits(info.extent) {
        miette::bail!("--region: found {region}; {} has {}", info.path.display(), info.extent);
    }
    let inputs: Vec<_> = predictions.iter().map(|prediction| prediction.info().path.as_path()).collect();
    let target = Target::of_image(&args.output, &inputs, args.overwrite)?;
    let numbered: Vec<_> =
        (1..).zip(&names).map(|(value, name)| serde_json::json!({ "value": value, "name": name })).collect();
    let provenance = serde_json::json!({
        "kind": "classes", "classes": numbered, "predictions": inputs, "origin": region.start,
        "settings": { "threshold": args.threshold, "priority": args.priority },
    });
    let spec = VolumeSpec {
        extent: region.extent,
        voxel_type: VoxelType::U8,
        voxel_size: info.voxel_size,
        chunk: None,
        provenance: Some(provenance),
    };
    let writer = target.create(&spec)?;
    let progress = Progress::new("combine", region.extent.checked_voxels().unwrap_or(0), Unit::Voxels);
    let found = combine(&classes, writer.as_ref(), region, args.threshold, args.memory.bytes(), &mut |voxels| {
        progress.advance(voxels);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    drop(writer);
    let found = match found {
        Err(AnalyzeError::Interrupted) => return Err(Interrupted.into()),
        other => other.into_diagnostic()?,
    };
    target.take_place()?;
    if args.json {
        let of_class: serde_json::Map<_, _> =
            names.iter().zip(&found.of_class).map(|(name, &voxels)| ((*name).to_owned(), voxels.into())).collect();
        return print_json(&serde_json::json!({
            "voxels": found.voxels, "of_class": of_class, "disputed": found.disputed,
        }));
    }
    println!("{}: {} voxels", args.output.display(), found.voxels);
    let share = |voxels: u64| 100.0 * voxels as f64 / found.voxels.max(1) as f64;
    for ((value, name), &voxels) in (1..).zip(&names).zip(&found.of_class) {
        println!("{value} {name}: {voxels} voxels, {:.2} %", share(voxels));
    }
    println!("{} voxels ({:.2} %) were claimed by more than one class", found.disputed, share(found.disputed));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_a_name_and_a_file() {
        let expected = Named { name: "er".into(), path: "a=b.zarr".into() };
        assert_eq!("er=a=b.zarr".parse(), Ok(expected));
        for text in ["er", "=a", "er=", " =a"] {
            assert!(text.parse::<Named>().unwrap_err().contains("mitochondria=mito.zarr"), "{text}");
        }
    }
}
