//! `deep3m import`: models trained with CDeep3M become Deep3M's.

use std::path::PathBuf;

use deep3m_net::{Frames, ImportConfig, Imported, import};
use miette::{IntoDiagnostic, Result};

use crate::commands::print_json;
use crate::console::notice;

/// Import a model that was trained with CDeep3M
///
/// Takes the folder that CDeep3M trained into (1fm, 3fm and 5fm, in each trainedmodel/*_iter_N.caffemodel), one of these
/// folders, or a single .caffemodel. Every layer is compared with the network by name and shape; reduced networks fit
/// too. The model that is made predicts on raw grey values from 0 to 255, as CDeep3M does, and needs nothing of Caffe.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m import trained/ -o model
  deep3m import trained/ -o model --iteration 22000
  deep3m import 3fm_classifer_iter_30000.caffemodel -o model")]
pub(crate) struct Args {
    /// Folder of a CDeep3M training, or a .caffemodel
    source: PathBuf,
    /// Folder of the model to make
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// Sections that the network sees, where neither the file nor its name tells; of several networks only this one
    #[arg(long, value_name = "1|3|5")]
    frames: Option<Frames>,
    /// Which snapshot to take [default: the highest iteration]
    #[arg(long, value_name = "N")]
    iteration: Option<u64>,
    /// The model was trained with CDeep3M 1.x, which gave images to the network with rows and columns exchanged: exchanges
    /// them in all kernels. With all 16 variations the result is the same without it, with fewer it is not
    #[arg(long)]
    transposed: bool,
    /// Replace a model that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print what was imported as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let config = ImportConfig {
        frames: args.frames,
        iteration: args.iteration,
        transposed: args.transposed,
        overwrite: args.overwrite,
    };
    let imported = import(&args.source, &args.output, &config).into_diagnostic()?;
    if imported.iter().any(|network| network.iteration != imported[0].iteration) {
        notice("the networks are of different iterations; --iteration N takes all of one");
    }
    if args.json {
        return print_json(&imported);
    }
    for network in &imported {
        println!("{}", describe(network));
    }
    println!("model: {}", args.output.display());
    Ok(())
}

/// An imported network in a line.
fn describe(network: &Imported) -> String {
    let iteration = network.iteration.map_or_else(|| "iteration not known".to_owned(), |n| format!("iteration {n}"));
    format!("{}: {}, {iteration}, {} weights", network.frames, network.file.display(), network.parameters)
}
