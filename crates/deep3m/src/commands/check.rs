//! `deep3m check`: the data doctor.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use deep3m_analyze::{AnalyzeError, CheckConfig, Checkup, Code, Finding, LabelFigures, Severity, check};
use deep3m_train::TrainingSet;
use deep3m_volume::{OpenOptions, Region, Volume, VoxelSize, as_labels, crop};
use miette::{IntoDiagnostic, Report, Result};
use serde::Serialize;

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::print_json;
use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// Look for what is wrong with images and labels
///
/// Looks for missing, duplicated, empty, dark, bright, faint, blurred and shifted sections, odd grey values, labels whose values
/// are not clear, unlabelled sections, labels that lie beside the structures, and the voxel size. Each finding says where it
/// is, how much, and what to do. Errors would make training wrong; warnings are for you to judge. deep3m train looks
/// for the same before it begins, and stops on errors.
///
/// The exit code is 0 without errors, 1 with errors.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m check images/
  deep3m check images/ labels/
  deep3m check stack.tif labels.tif --foreground 2 --ignore 255 --voxel-size 30,8,8
  deep3m check volume.zarr --json > check.json")]
pub(crate) struct Args {
    /// Grey images
    images: PathBuf,
    /// Their labels
    labels: Option<PathBuf>,
    /// Label value that is foreground, where labels have more than two values
    #[arg(long, value_name = "V", requires = "labels")]
    foreground: Option<u32>,
    /// Label value of voxels that nobody labelled
    #[arg(long, value_name = "V", requires = "labels")]
    ignore: Option<u32>,
    /// Look only at this part of both; ends are outside
    #[arg(long, value_name = "z0:z1,y0:y1,x0:x1")]
    region: Option<Region>,
    /// Size of a voxel in nm, for images that do not state it (or state it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    voxel_size: Option<VoxelSize>,
    #[command(flatten)]
    memory: MemoryArg,
    /// Print all findings, and what was measured of each section, as JSON
    #[arg(long)]
    json: bool,
}

/// Found errors; they are printed already.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("{errors} in {path}: see above", errors = count(*.0, "error"), path = .1.display())]
struct Sick(usize, PathBuf);

/// What is printed as JSON.
#[derive(Serialize)]
struct Findings<'a> {
    errors: usize,
    warnings: usize,
    #[serde(flatten)]
    found: &'a Checkup,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let budget = args.memory.bytes();
    // Two volumes are open at a time.
    let cache_bytes = (OpenOptions::default().cache_bytes as u64).min(budget / 4);
    let part = |volume: Arc<dyn Volume>| args.region.map_or(Ok(Arc::clone(&volume)), |region| crop(volume, region));
    let images = part(open_limited(&args.images, args.voxel_size, cache_bytes)?).into_diagnostic()?;
    let labels = match &args.labels {
        Some(path) => Some(part(as_labels(open_limited(path, None, cache_bytes)?)).into_diagnostic()?),
        None => None,
    };
    let config = CheckConfig { foreground: args.foreground, ignore: args.ignore };
    let room = budget.saturating_sub(2 * cache_bytes);
    let found = look(images.as_ref(), labels.as_deref(), &config, room).map_err(said)?;
    let (errors, warnings) = (found.count(Severity::Error), found.count(Severity::Warning));
    if args.json {
        print_json(&Findings { errors, warnings, found: &found })?;
    } else {
        print!("{}", describe(&found, &args.images, args.labels.as_deref()));
    }
    if errors > 0 { Err(Sick(errors, args.images.clone()).into()) } else { Ok(()) }
}

/// Checks with a progress bar.
fn look(
    images: &dyn Volume,
    labels: Option<&dyn Volume>,
    config: &CheckConfig,
    budget: u64,
) -> Result<Checkup, AnalyzeError> {
    let voxels = |volume: &dyn Volume| volume.info().extent.checked_voxels().unwrap_or(0);
    let progress = Progress::new("check", voxels(images) + labels.map_or(0, voxels), Unit::Voxels);
    let found = check(images, labels, config, budget, &mut |voxels| {
        progress.advance(voxels);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    found
}

/// Why there was no check.
fn said(error: AnalyzeError) -> Report {
    match error {
        AnalyzeError::Interrupted => Interrupted.into(),
        other => Report::from_err(other),
    }
}

/// Checks all volumes of a training; says what to look at, and fails where training would be wrong.
pub(crate) fn before_training(set: &TrainingSet, config: &CheckConfig, budget: u64) -> Result<()> {
    let mut errors = 0;
    let mut text = String::new();
    for volume in set.training.iter().chain(&set.validation) {
        let path = &volume.images.info().path;
        let found = match look(volume.images.as_ref(), Some(volume.labels.as_ref()), config, budget) {
            // Training itself may do with less.
            Err(error @ AnalyzeError::Memory { .. }) => {
                notice(&format!("{}: not looked at for errors: {error}", path.display()));
                continue;
            }
            other => other.map_err(said)?,
        };
        for finding in found.findings.iter().filter(|f| matters_to_training(f)) {
            if finding.severity == Severity::Error {
                errors += 1;
                let _ = write!(text, "\n  {}: {finding}\n    {}", path.display(), finding.fix);
            } else {
                notice(&format!("{}: {finding}", path.display()));
            }
        }
    }
    if errors > 0 {
        miette::bail!("{} in the data:{text}\n  --no-check trains all the same", count(errors, "error"));
    }
    Ok(())
}

/// Sizes of voxels do not change what a network learns; what labels of one class are worth depends on the other volumes, and
/// the trainer itself says it.
fn matters_to_training(finding: &Finding) -> bool {
    !matches!(finding.code, Code::NoVoxelSize | Code::OddVoxelSize | Code::OneClass)
}

/// The findings for people.
fn describe(found: &Checkup, images: &Path, labels: Option<&Path>) -> String {
    let (about, size) = (&found.images, found.images.extent);
    let sections = count(size.z as usize, "section");
    let voxel_size = about.voxel_size.map_or(String::new(), |s| format!(", {} × {} × {} nm", s.z_nm, s.y_nm, s.x_nm));
    let mut text = format!(
        "{}: {sections}, {} × {}, {}{voxel_size}\n  grey values {} to {}, mean {:.1}, standard deviation {:.1}\n",
        images.display(),
        size.y,
        size.x,
        about.voxel_type,
        about.range.0,
        about.range.1,
        about.mean,
        about.sd
    );
    if let (Some(path), Some(labels)) = (labels, &found.labels) {
        let _ = writeln!(text, "{}: {}", path.display(), describe_labels(labels));
    }
    for (kind, codes) in KINDS {
        let seen = match codes[0] {
            Code::LabelValues => found.labels.is_some(),
            Code::LabelsShifted => found.fit.is_some(),
            _ => true,
        };
        if seen && !found.findings.iter().any(|f| codes.contains(&f.code)) {
            let _ = writeln!(text, "✓ {kind}");
        }
    }
    for finding in &found.findings {
        let (mark, word) = match finding.severity {
            Severity::Error => ('✗', "error"),
            Severity::Warning => ('!', "warning"),
        };
        let _ = writeln!(text, "{mark} {word}: {finding}\n    → {}", finding.fix);
    }
    let (errors, warnings) = (found.count(Severity::Error), found.count(Severity::Warning));
    let _ = writeln!(text, "{}, {}", count(errors, "error"), count(warnings, "warning"));
    text
}

/// What is looked for, in the order in which it is said.
const KINDS: [(&str, &[Code]); 8] = [
    ("no section is missing or there twice", &[Code::MissingFiles, Code::Duplicate, Code::Jump, Code::NumbersDiffer]),
    ("no section is empty, dark, bright or faint", &[Code::Blank, Code::Dark, Code::Bright, Code::Faint]),
    ("no section is blurred", &[Code::Blurred]),
    ("no section is shifted", &[Code::Shifted]),
    ("grey values are sound", &[Code::NotGrey, Code::NotFinite, Code::FewGreys, Code::NarrowRange, Code::Saturated]),
    ("the voxel size is stated", &[Code::NoVoxelSize, Code::OddVoxelSize]),
    (
        "label values are clear and balanced",
        &[
            Code::LabelValues,
            Code::OneClass,
            Code::Imbalance,
            Code::Unlabelled,
            Code::RepeatedLabels,
            Code::SizesDiffer,
        ],
    ),
    ("labels lie on the structures", &[Code::LabelsShifted]),
];

fn describe_labels(labels: &LabelFigures) -> String {
    let more = if labels.more_values { "more than " } else { "" };
    let mut text = format!("{more}{}", count(labels.values.len(), "value"));
    if let (Some(value), Some(share)) = (labels.foreground, labels.foreground_share) {
        let _ = write!(text, ", {value} is foreground: {:.2} % of the voxels", 100.0 * share);
    }
    if labels.labelled_share < 1.0 {
        let _ = write!(text, ", {:.1} % are labelled", 100.0 * labels.labelled_share);
    }
    text
}

/// "1 error", "2 errors".
fn count(n: usize, of: &str) -> String {
    if n == 1 { format!("1 {of}") } else { format!("{n} {of}s") }
}
