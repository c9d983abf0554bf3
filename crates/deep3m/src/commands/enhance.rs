//! `deep3m enhance`: images made even, clear and quiet.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deep3m_analyze::{
    AnalyzeError, CheckConfig, Clahe, Denoise, EnhanceConfig, Enhancement, EvenTo, check, enhance, to_repair,
    write_enhanced,
};
use deep3m_volume::{OpenOptions, Region, Volume, VolumeSpec, VoxelSize, crop};
use miette::{IntoDiagnostic, Result};

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::print_json;
use crate::commands::target::Target;
use crate::console::{Progress, Unit};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Improve images: replace bad sections, even out brightness, match contrast, take noise away
///
/// Say what is to be done; it is done in this order, whatever the order of the options: --repair, --even, --match, --contrast,
/// --denoise, --clahe. Images for a model should look like those it was trained on: --match makes the grey values those of
/// the training images. What was done is kept with the output. The ending of OUT says the format, as for deep3m convert.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m enhance volume.zarr -o matched.zarr --match training/images
  deep3m enhance stack.tif -o better.tif --repair auto --even --denoise tv
  deep3m enhance raw16.mrc -o clear.zarr --contrast 0.5,99.5 --clahe
  deep3m enhance images/ -o enhanced --like cdeep3m2")]
pub(crate) struct Args {
    /// Grey images
    volume: PathBuf,
    /// Where to write the result
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Sections to replace by what lies between their good neighbours: auto (those that deep3m check finds empty, blurred,
    /// doubled, dark, bright or faint), or their numbers, from 0 on
    #[arg(long, value_name = "auto|3,17,20-22", help_heading = "Steps, in this order")]
    repair: Option<Repair>,
    /// Give each section the brightness and contrast of its neighbours, or with --even=volume those of the whole volume
    #[arg(long, value_name = "TO", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "neighbours",
          help_heading = "Steps, in this order")]
    even: Option<EvenName>,
    /// Give the volume the grey values of another one (histogram matching), and its type
    #[arg(long = "match", value_name = "VOLUME", help_heading = "Steps, in this order")]
    match_to: Option<PathBuf>,
    /// Percentiles of the grey values that become black and white
    #[arg(long, value_name = "0.5,99.5", value_parser = percentiles, help_heading = "Steps, in this order")]
    contrast: Option<(f64, f64)>,
    /// Take noise away: tv (total variation: fast, flat areas), nlm (non-local means: slow, keeps texture)
    #[arg(long, value_name = "METHOD", value_enum, help_heading = "Steps, in this order")]
    denoise: Option<DenoiseName>,
    /// How much noise is taken away
    #[arg(long, value_name = "S", value_parser = parse::positive, default_value = "1", requires = "denoise",
          help_heading = "Steps, in this order")]
    strength: f64,
    /// Raise contrast where it is low (CLAHE), in N × N parts of each section; 8 where N is not given
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "8",
          value_parser = clap::value_parser!(u32).range(1..=64), help_heading = "Steps, in this order")]
    clahe: Option<u32>,
    /// How far contrast may rise, from 0 to 1
    #[arg(long, value_name = "C", value_parser = parse::positive, default_value = "0.01", requires = "clahe",
          help_heading = "Steps, in this order")]
    clip: f64,
    /// Do what CDeep3M2's enhance_stack.py does, in place of --match, --contrast, --denoise and --clahe
    #[arg(long, value_name = "PROGRAM", value_enum, conflicts_with_all = ["match_to", "contrast", "denoise", "clahe"],
          help_heading = "Steps, in this order")]
    like: Option<Like>,
    /// Enhance only this part; ends are outside
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
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// What evening aims at.
#[derive(Clone, Copy, clap::ValueEnum)]
enum EvenName {
    Neighbours,
    Volume,
}

/// Ways to take noise away.
#[derive(Clone, Copy, clap::ValueEnum)]
enum DenoiseName {
    Tv,
    Nlm,
}

/// Programs whose way is kept to the letter.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Like {
    Cdeep3m2,
}

/// Sections to replace.
#[derive(Clone, Debug, PartialEq)]
enum Repair {
    Auto,
    Sections(Vec<u64>),
}

impl FromStr for Repair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A range of more sections than any volume has is a slip of the pen.
        const MOST: u64 = 1 << 20;
        if text == "auto" {
            return Ok(Self::Auto);
        }
        let fail = || format!("'{text}' found; expected auto, or numbers of sections such as 3,17,20-22");
        let mut sections = Vec::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let number = |text: &str| text.trim().parse::<u64>().map_err(|_| fail());
            let (first, last) = (number(first)?, number(last)?);
            if first > last || last - first > MOST {
                return Err(fail());
            }
            sections.extend(first..=last);
        }
        sections.sort_unstable();
        sections.dedup();
        Ok(Self::Sections(sections))
    }
}

/// `0.5,99.5`.
fn percentiles(text: &str) -> Result<(f64, f64), String> {
    let fail = || format!("'{text}' found; expected two percentiles, the lower first, such as 0.5,99.5");
    let (low, high) = text.split_once(',').ok_or_else(fail)?;
    let number = |text: &str| text.trim().parse::<f64>().map_err(|_| fail());
    let (low, high) = (number(low)?, number(high)?);
    if low >= 0.0 && low < high && high <= 100.0 { Ok((low, high)) } else { Err(fail()) }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let budget = args.memory.bytes();
    let cache_bytes = (OpenOptions::default().cache_bytes as u64).min(budget / 4);
    let whole = open_limited(&args.volume, args.voxel_size, cache_bytes)?;
    let volume = args.region.map_or(Ok(Arc::clone(&whole)), |region| crop(whole, region)).into_diagnostic()?;
    let reference = match &args.match_to {
        Some(path) => Some(open_limited(path, None, cache_bytes)?),
        None => None,
    };
    let mut config = EnhanceConfig {
        repair: Vec::new(),
        even: args.even.map(|to| match to {
            EvenName::Neighbours => EvenTo::Neighbours,
            EvenName::Volume => EvenTo::Volume,
        }),
        contrast: args.contrast,
        denoise: args.denoise.map(|method| match method {
            DenoiseName::Tv => Denoise::Tv,
            DenoiseName::Nlm => Denoise::Nlm,
        }),
        strength: args.strength,
        clahe: args.clahe.map(|tiles| Clahe { tiles, clip: args.clip }),
        like_cdeep3m2: args.like.is_some(),
    };
    if args.repair.is_none() && reference.is_none() && config == EnhanceConfig::default() {
        miette::bail!(
            "nothing to do: give at least one of --repair, --even, --match, --contrast, --denoise, --clahe, --like"
        );
    }
    let inputs: Vec<&Path> =
        [Some(&args.volume), args.match_to.as_ref()].into_iter().flatten().map(PathBuf::as_path).collect();
    let target = Target::of_image(&args.output, &inputs, args.overwrite)?;
    // The volume and the one to match.
    let budget = budget.saturating_sub(2 * cache_bytes);
    config.repair = match &args.repair {
        None => Vec::new(),
        Some(Repair::Sections(sections)) => sections.clone(),
        Some(Repair::Auto) => bad_sections(volume.as_ref(), config.even.is_some(), budget)?,
    };
    let voxels = |volume: &dyn Volume| volume.info().extent.checked_voxels().unwrap_or(0);
    let passes = config.passes(reference.is_some());
    let total = passes.saturating_mul(voxels(volume.as_ref())) + reference.as_deref().map_or(0, voxels);
    let (layer, report) = with_progress("measure", total, |hear| {
        enhance(Arc::clone(&volume), reference.as_deref(), &config, budget, hear)
    })?;
    let info = layer.info();
    let provenance = serde_json::json!({
        "kind": "enhanced images",
        "origin": args.region.map(|region| region.start).unwrap_or_default(),
        "volume": args.volume,
        "match": args.match_to,
        "settings": config,
        "measured": report,
    });
    let (extent, voxel_type, voxel_size) = (info.extent, info.voxel_type, info.voxel_size);
    let spec = VolumeSpec { extent, voxel_type, voxel_size, chunk: None, provenance: Some(provenance) };
    let writer = target.create(&spec)?;
    with_progress("enhance", voxels(layer.as_ref()), |hear| {
        write_enhanced(layer.as_ref(), writer.as_ref(), &config, budget, hear)
    })?;
    drop(writer);
    target.take_place()?;
    if args.json {
        return print_json(&serde_json::json!({ "output": args.output, "settings": config, "measured": report }));
    }
    println!("{}", describe(&report, args));
    Ok(())
}

/// What the doctor finds of no use.
fn bad_sections(volume: &dyn Volume, evened: bool, budget: u64) -> Result<Vec<u64>> {
    let voxels = volume.info().extent.checked_voxels().unwrap_or(0);
    let found = with_progress("check", voxels, |hear| check(volume, None, &CheckConfig::default(), budget, hear))?;
    Ok(to_repair(&found, evened))
}

/// Work with a progress bar that an interruption ends.
fn with_progress<T>(
    label: &str,
    total: u64,
    work: impl FnOnce(&mut dyn FnMut(u64) -> bool) -> Result<T, AnalyzeError>,
) -> Result<T> {
    let progress = Progress::new(label, total, Unit::Voxels);
    let done = work(&mut |voxels| {
        progress.advance(voxels);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    match done {
        Err(AnalyzeError::Interrupted) => Err(Interrupted.into()),
        other => other.into_diagnostic(),
    }
}

/// What was done, in a few lines.
fn describe(report: &Enhancement, args: &Args) -> String {
    let mut lines = vec![format!("{}: enhanced", args.output.display())];
    if args.repair.is_some() {
        lines.push(match report.repaired.as_slice() {
            [] => "no section needed repair".to_owned(),
            sections => {
                let list: Vec<String> = sections.iter().map(u64::to_string).collect();
                format!("repaired sections: {}", list.join(", "))
            }
        });
    }
    lines.extend(
        report.largest_change.map(|change| format!("evened: sections changed by up to {change:.1} grey values")),
    );
    lines.extend(args.match_to.as_ref().map(|path| format!("matched to {}", path.display())));
    lines.extend(report.contrast.map(|(low, high)| format!("contrast: {low} is black, {high} is white")));
    lines.extend(report.noise.map(|noise| format!("noise before: standard deviation {noise:.2} grey values")));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_numbers_and_ranges() {
        assert_eq!("auto".parse(), Ok(Repair::Auto));
        assert_eq!("3, 17,20-22,21".parse(), Ok(Repair::Sections(vec![3, 17, 20, 21, 22])));
        for text in ["", "-3", "5-3", "a", "1,,2", "0-99999999999999"] {
            assert!(text.parse::<Repair>().is_err(), "{text}");
        }
    }

    #[test]
    fn percentiles_come_in_order() {
        assert_eq!(percentiles("0.5, 99.5"), Ok((0.5, 99.5)));
        for text in ["5", "99,1", "-1,50", "1,101", "nan,99"] {
            assert!(percentiles(text).unwrap_err().contains("0.5,99.5"), "{text}");
        }
    }
}
