//! `deep3m`: from a labelled stack of microscope images to a segmented, measured volume.

mod commands;
mod console;
mod interrupt;
mod parse;
mod pipe;
mod report;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Segments 3D microscopy: train on a few labelled slices, predict volumes of any size, measure the result.
///
/// Volumes are folders of PNG or TIFF slices, TIFF stacks, HDF5, MRC, OME-Zarr or Neuroglancer precomputed, the last two also in
/// object storage. Results go to standard output, progress
/// and notices to standard error. An interrupted command goes on where it was when it is given again.
#[derive(Parser)]
#[command(
    name = "deep3m",
    version,
    max_term_width = 110,
    after_help = "\
Examples:
  deep3m demo -o demo                              the whole way on synthetic data, with a report page
  deep3m train images/ labels/ -o model            train on a labelled stack
  deep3m predict model volume.tif -o result.zarr   probability of every voxel
  deep3m evaluate result.zarr truth/               how good it is
  deep3m segment result.zarr -o objects.zarr       each object with a number of its own
  deep3m measure objects.zarr -o objects.csv       how large each object is, and where
  deep3m mesh objects.zarr -o objects.glb          their surfaces"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(commands::demo::Args),
    Phantom(commands::phantom::Args),
    Check(commands::check::Args),
    Enhance(commands::enhance::Args),
    Train(Box<commands::train::Args>),
    Predict(commands::predict::Args),
    Submit(Box<commands::submit::Args>),
    Plan(Box<commands::plan::Args>),
    Evaluate(commands::evaluate::Args),
    Segment(commands::segment::Args),
    Overlay(commands::overlay::Args),
    Combine(commands::combine::Args),
    Measure(commands::measure::Args),
    Density(commands::density::Args),
    Contacts(commands::contacts::Args),
    Count(commands::count::Args),
    Mesh(commands::mesh::Args),
    Convert(commands::convert::Args),
    Import(commands::import::Args),
    Export(commands::export::Args),
    Model(commands::model::Args),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    interrupt::install();
    pipe::end_quietly();
    let outcome = match cli.command {
        Command::Demo(args) => commands::demo::run(&args),
        Command::Phantom(args) => commands::phantom::run(&args),
        Command::Check(args) => commands::check::run(&args),
        Command::Enhance(args) => commands::enhance::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Submit(args) => commands::submit::run(&args),
        Command::Plan(args) => commands::plan::run(&args),
        Command::Evaluate(args) => commands::evaluate::run(&args),
        Command::Segment(args) => commands::segment::run(&args),
        Command::Overlay(args) => commands::overlay::run(&args),
        Command::Combine(args) => commands::combine::run(&args),
        Command::Measure(args) => commands::measure::run(&args),
        Command::Density(args) => commands::density::run(&args),
        Command::Contacts(args) => commands::contacts::run(&args),
        Command::Count(args) => commands::count::run(&args),
        Command::Mesh(args) => commands::mesh::run(&args),
        Command::Convert(args) => commands::convert::run(&args),
        Command::Import(args) => commands::import::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Model(args) => commands::model::run(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) if report.is::<interrupt::Interrupted>() || report.is::<commands::submit::LeftRunning>() => {
            eprintln!("{report}");
            ExitCode::from(interrupt::EXIT_CODE)
        }
        Err(report) => {
            eprintln!("Error: {}", explain(&report));
            ExitCode::FAILURE
        }
    }
}

/// An error with its causes, each said once: most errors already quote what the system said.
fn explain(report: &miette::Report) -> String {
    report.chain().skip(1).fold(report.to_string(), |text, cause| {
        let cause = cause.to_string();
        if text.contains(&cause) { text } else { format!("{text}\n  because: {cause}") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Outer {
        text: &'static str,
        source: std::io::Error,
    }

    #[test]
    fn what_the_system_said_is_said_once() {
        let report = |text| {
            let error = Outer { text, source: std::io::Error::other("disk full") };
            miette::IntoDiagnostic::into_diagnostic(Err::<(), _>(error)).unwrap_err()
        };
        assert_eq!(explain(&report("a.png: write: disk full")), "a.png: write: disk full");
        assert_eq!(explain(&report("a.png: not written")), "a.png: not written\n  because: disk full");
    }
}
