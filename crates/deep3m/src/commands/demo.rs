//! `deep3m demo`: the whole way once, on a synthetic volume whose truth is known.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use deep3m_analyze::{EvaluateConfig, Evaluation};
use deep3m_net::{DeviceChoice, Frames};
use deep3m_phantom::{PhantomConfig, Truth};
use deep3m_predict::{PredictConfig, PredictSummary, VariationCount};
use deep3m_train::{Budget, LabelledVolume, TrainConfig, TrainSummary, TrainingSet};
use deep3m_volume::{Extent, Index, Region, Volume, crop, fs};
use miette::{IntoDiagnostic, Result};

use crate::commands::{open, phantom, predict, print_json, train};
use crate::{console, parse};

mod page;

/// Sections that are trained on.
const TRAINING: u64 = 24;
/// Sections between training and test, so that few objects are in both; progress is measured on those in their middle.
const GAP: u64 = 8;
const VALIDATION_START: u64 = TRAINING + 2;
const VALIDATION: u64 = 4;
/// Sections that the model never saw.
const UNSEEN: u64 = 12;
/// Rows and columns.
const SIDE: u64 = 512;

/// The whole way once: make a labelled volume, train, predict a part never seen, measure, draw
///
/// Makes a synthetic electron-microscopy volume whose truth is known, trains a narrow network on its first sections,
/// predicts sections that it never saw and measures the result. The folder gets the volume, the model, the prediction,
/// pictures, curves and report.html, a page that opens offline. It takes about three minutes on two CPU cores.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  deep3m demo -o demo")]
pub(crate) struct Args {
    /// Folder to make
    #[arg(short, long, value_name = "DIR", default_value = "demo")]
    output: PathBuf,
    /// Minutes of training
    #[arg(long, value_name = "M", value_parser = parse::positive, default_value = "3")]
    minutes: f64,
    /// Number that decides everything random
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to compute: auto, cpu, cuda:0, vulkan:0
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Replace a demo that is already there
    #[arg(long)]
    overwrite: bool,
    /// Print the scores as JSON
    #[arg(long)]
    json: bool,
}

/// All that the demo made, for its page.
struct Results {
    minutes: f64,
    truth: Truth,
    images: Arc<dyn Volume>,
    labels: Arc<dyn Volume>,
    prediction: Arc<dyn Volume>,
    training: TrainSummary,
    run: PredictSummary,
    evaluation: Evaluation,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let begun = Instant::now();
    let out = &args.output;
    let truth = volume(args)?;
    let images = open(&out.join("phantom/images.zarr"))?;
    let labels = open(&out.join("phantom/mitochondria.zarr"))?;
    let part = |volume: &Arc<dyn Volume>, from: u64, sections: u64| {
        let region = Region::new(Index::new(from, 0, 0), Extent::new(sections, SIDE, SIDE));
        crop(Arc::clone(volume), region).into_diagnostic()
    };
    let labelled = |from: u64, sections: u64| -> Result<LabelledVolume> {
        Ok(LabelledVolume { images: part(&images, from, sections)?, labels: part(&labels, from, sections)? })
    };
    let set = TrainingSet {
        training: vec![labelled(0, TRAINING)?],
        validation: vec![labelled(VALIDATION_START, VALIDATION)?],
    };
    let unseen = labelled(TRAINING + GAP, UNSEEN)?;
    let training = train::train(&set, &settings(args), &out.join("model"), &[args.device], args.overwrite)?;
    let prediction = out.join("prediction.zarr");
    let config =
        PredictConfig { variations: VariationCount::Eight, overwrite: args.overwrite, ..PredictConfig::default() };
    let run = predict::predict(
        &out.join("model"),
        unseen.images.as_ref(),
        &prediction,
        &config,
        predict::Layout::Deep3m,
        &[args.device],
    )?;
    let prediction = open(&prediction)?;
    let config = EvaluateConfig { exclusion: vec![0, 1, 2], ..EvaluateConfig::default() };
    let evaluation = super::evaluate::evaluate(prediction.as_ref(), unseen.labels.as_ref(), &config)?;
    write_json(&out.join("evaluation.json"), &evaluation)?;

    let results = Results {
        minutes: begun.elapsed().as_secs_f64() / 60.0,
        truth,
        images: unseen.images,
        labels: unseen.labels,
        prediction,
        training,
        run,
        evaluation,
    };
    let page = page::write(out, &results)?;
    if args.json {
        print_json(&results.evaluation)
    } else {
        print!("{}", results.evaluation);
        println!("\nThe whole way took {:.1} min. Open {}", results.minutes, page.display());
        Ok(())
    }
}

/// Makes the volume, or finds the one that an interrupted demo made.
fn volume(args: &Args) -> Result<Truth> {
    let folder = args.output.join("phantom");
    let config = PhantomConfig {
        shape: Extent::new(TRAINING + GAP + UNSEEN, SIDE, SIDE),
        seed: args.seed,
        ..PhantomConfig::default()
    };
    let list = folder.join("truth.json");
    if !args.overwrite && list.is_file() {
        let text = fs::read_to_string(&list).into_diagnostic()?;
        if let Ok(truth) = serde_json::from_str::<Truth>(&text)
            && truth.config == config
        {
            console::notice(&format!("{}: the volume is there already", folder.display()));
            return Ok(truth);
        }
    }
    phantom::write(config, &folder, args.overwrite)
}

/// A narrow network that learns in minutes.
fn settings(args: &Args) -> TrainConfig {
    TrainConfig {
        frames: vec![Frames::One],
        budget: Budget::Minutes(args.minutes),
        seed: args.seed,
        ..TrainConfig::deep3m()
    }
}

fn write_json(path: &Path, value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value).into_diagnostic()?;
    fs::write_atomic(path, &text).into_diagnostic()
}
