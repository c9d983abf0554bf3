//! `deep3m export`: a model for other programs.

mod npy;
mod onnx;
mod package;
mod rdf;
mod readme;
mod sample;
mod staging;
mod tensors;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::ValueEnum;
use deep3m_net::{Frames, ModelDir};
use miette::{Diagnostic, IntoDiagnostic, Result};
use serde::Serialize;

use self::staging::Staging;
use crate::commands::print_json;
use crate::interrupt::{self, Interrupted};

/// Write a model in a form that other programs read
///
/// onnx: one file per network, for onnxruntime and all that is built on it. Input: grey values as they are in your
/// files, [N, sections, rows, columns]; binning and normalisation are inside. Output: the probability of the middle
/// section, [N, 1, rows, columns].
///
/// bioimageio: a package of one network for the programs of bioimage.io: the ONNX file, its description, a test image
/// and the answer to it. OUT is a folder, or a .zip.
///
/// safetensors: the weights as they are, with a list of their names and shapes, for Python.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m export model --format onnx -o exported             exported/1fm.onnx, 3fm.onnx, 5fm.onnx
  deep3m export model --format onnx --frames 3 -o net.onnx
  deep3m export model --format bioimageio -o package.zip
  deep3m export model --format safetensors -o weights")]
pub(crate) struct Args {
    /// Folder of a trained model
    model: PathBuf,
    /// What to write
    #[arg(long, value_enum)]
    format: Format,
    /// Folder to make, or a file where the name ends in .onnx or .zip
    #[arg(short, long, value_name = "OUT")]
    output: PathBuf,
    /// Which networks: numbers of sections that they see [default: all; bioimageio takes one, that of the fewest]
    #[arg(long, value_delimiter = ',', value_name = "1,3,5")]
    frames: Option<Vec<Frames>>,
    /// Replace an export that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was written as JSON
    #[arg(long)]
    json: bool,
}

/// The form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// ONNX files
    Onnx,
    /// Weight files
    Safetensors,
    /// A bioimage.io package
    Bioimageio,
}

/// A file that was written.
#[derive(Debug, Serialize)]
pub(crate) struct Written {
    /// Where it lies, from the export's folder on; of a single file its own name.
    path: String,
    /// Its size.
    bytes: usize,
    /// Its SHA-256, in hexadecimal.
    sha256: String,
}

/// Why a model could not be exported.
#[derive(Debug, thiserror::Error, Diagnostic)]
enum ExportError {
    /// There is something already.
    #[error("{}: is there already; expected a new name. Give --overwrite to replace an export, or another -o", path.display())]
    Exists { path: PathBuf },
    /// A folder that is more than an export.
    #[error("{}: holds {found}, which this export does not write; nothing was replaced. Give another -o", path.display())]
    OtherFiles { path: PathBuf, found: String },
    /// A folder where a file should be, or the other way round.
    #[error("{}: found {found}; expected {expected}. Give another -o", path.display())]
    OtherKind { path: PathBuf, found: &'static str, expected: &'static str },
    /// Several networks for one place.
    #[error("{}: found {} networks ({}); it takes one. Choose it with --frames {}", path.display(), frames.len(), names(frames), frames[0].count())]
    OneNetwork { path: PathBuf, frames: Vec<Frames> },
    /// A model that was never trained.
    #[error("{}: has no network yet. Train it first", path.display())]
    NoNetwork { path: PathBuf },
    /// An answer that no test can tell from none.
    #[error(
        "{frames} answers the test image with probabilities up to {most:e}; a bioimage.io package needs more than 0.0001. Train longer, or export as ONNX"
    )]
    Silent { frames: Frames, most: f32 },
    /// A zip archive that could not be made.
    #[error("{}: {source}", path.display())]
    Archive { path: PathBuf, source: zip::result::ZipError },
}

fn names(frames: &[Frames]) -> String {
    frames.iter().map(|frames| frames.name()).collect::<Vec<_>>().join(", ")
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let model = ModelDir::open(&args.model).into_diagnostic()?;
    let mut frames = args.frames.clone().unwrap_or_else(|| model.frames());
    frames.sort_unstable();
    frames.dedup();
    if frames.is_empty() {
        return Err(ExportError::NoNetwork { path: args.model.clone() }.into());
    }
    let output = &args.output;
    let written = match args.format {
        Format::Onnx if has_ending(output, "onnx") => {
            let staging = Staging::file(output, args.overwrite)?;
            let bytes = onnx::file(&model, one(output, &frames)?)?;
            vec![staging.publish_file(&bytes)?]
        }
        Format::Onnx => {
            let mut staging = Staging::folder(output, args.overwrite, &onnx::names())?;
            for frames in frames {
                staging.add(&format!("{frames}.onnx"), &onnx::file(&model, frames)?)?;
                go_on()?;
            }
            staging.publish()?
        }
        Format::Safetensors => {
            let mut staging = Staging::folder(output, args.overwrite, &tensors::names())?;
            tensors::write(&model, &frames, &mut staging)?;
            go_on()?;
            staging.publish()?
        }
        Format::Bioimageio => {
            // 2D programs, which most of these are, take single sections.
            let frames = if args.frames.is_none() { &frames[..1] } else { &frames };
            let frames = one(output, frames)?;
            if has_ending(output, "zip") {
                let staging = Staging::file(output, args.overwrite)?;
                let files = package::files(&model, frames)?;
                go_on()?;
                vec![staging.publish_file(&package::archive(output, &files)?)?]
            } else {
                let mut staging = Staging::folder(output, args.overwrite, &package::NAMES.map(str::to_owned))?;
                for (name, bytes) in package::files(&model, frames)? {
                    staging.add(name, &bytes)?;
                }
                go_on()?;
                staging.publish()?
            }
        }
    };
    if args.json {
        return print_json(&written);
    }
    for Written { path, bytes, sha256 } in &written {
        println!("{path:<24} {:>9.2} MB  SHA-256 {sha256}", *bytes as f64 / 1e6);
    }
    Ok(())
}

/// The one network that a file or package holds.
fn one(output: &Path, frames: &[Frames]) -> Result<Frames, ExportError> {
    match frames {
        [frames] => Ok(*frames),
        _ => Err(ExportError::OneNetwork { path: output.to_owned(), frames: frames.to_vec() }),
    }
}

fn has_ending(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// Nothing shows under its name until all of it is there, so an export can be stopped anywhere.
fn go_on() -> Result<()> {
    if interrupt::stop().load(Ordering::Relaxed) { Err(Interrupted.into()) } else { Ok(()) }
}
