//! `deep3m train`: from labelled volumes to a model.

use std::path::{Path, PathBuf};

use deep3m_analyze::CheckConfig;
use deep3m_net::{DeviceChoice, Frames};
use deep3m_train::cost::{self, Volumes};
use deep3m_train::{
    Budget, LabelledVolume, ModelSummary, Outcome, Policy, Recipe, TrainConfig, TrainSummary, TrainingSet,
};
use deep3m_volume::{Binning, OpenOptions, VoxelSize, as_labels, fs};
use miette::{IntoDiagnostic, Result};
use serde_json::Value;

use crate::commands::memory::{MemoryArg, open_limited};
use crate::commands::{check, print_json};
use crate::console::notice;
use crate::interrupt::{self, Interrupted};
use crate::parse;

mod watch;

use watch::{Watch, scores_text};

/// Train a model on a labelled stack
///
/// Images and labels are volumes of the same size, in any format that is read. Labels have two values
/// (0 and 1, 0 and 255, a palette, true and false). Three networks are trained, which see 1, 3 and 5 sections; for
/// single images give --frames 1. The same command goes on with a training that was interrupted.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m train images/ labels/ -o model
  deep3m train images/ labels/ --validation val-images/ val-labels/ --minutes 30 -o model
  deep3m train new-images/ new-labels/ --from model --iterations 2000 -o adapted")]
pub(crate) struct Args {
    /// Grey images
    images: PathBuf,
    /// Their labels
    labels: PathBuf,
    /// Folder of the model to make
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    #[command(flatten)]
    options: Options,
    /// Replace a model that is already there
    #[arg(long)]
    overwrite: bool,
    /// Do not look for errors in the data first
    #[arg(long)]
    no_check: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// What decides the work of a training; a plan takes the same.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Size of an image's voxel in nm, for images that do not state it (or state it wrong)
    #[arg(long, value_name = "z,y,x", value_parser = parse::voxel_size)]
    pub(crate) voxel_size: Option<VoxelSize>,
    /// A further training volume; may be repeated
    #[arg(long, num_args = 2, value_names = ["IMAGES", "LABELS"], action = clap::ArgAction::Append)]
    pub(crate) volume: Vec<PathBuf>,
    /// A volume to measure progress on, never trained on; may be repeated
    #[arg(long, num_args = 2, value_names = ["IMAGES", "LABELS"], action = clap::ArgAction::Append)]
    pub(crate) validation: Vec<PathBuf>,
    /// Which models: numbers of sections that they see [default: 1,3,5]
    #[arg(long, value_delimiter = ',', value_name = "1,3,5")]
    pub(crate) frames: Option<Vec<Frames>>,
    /// deep3m: made to learn fast and well; cdeep3m: the published training, to the letter
    #[arg(long, value_enum, default_value = "deep3m")]
    pub(crate) recipe: RecipeName,
    /// Minutes for all models together: the best that this machine gives in that time [default: 30]
    #[arg(long, value_name = "M", value_parser = parse::positive)]
    pub(crate) minutes: Option<f64>,
    /// Iterations for each model, instead of minutes [default for cdeep3m: 30000]
    #[arg(long, value_name = "N", conflicts_with = "minutes")]
    pub(crate) iterations: Option<u64>,
    /// Go on with a finished training for N more iterations of each model
    #[arg(long, value_name = "N")]
    pub(crate) add_iterations: Option<u64>,
    /// Start from the weights of a trained model (transfer learning)
    #[arg(long, value_name = "MODEL")]
    pub(crate) from: Option<PathBuf>,
    /// Width of the network: 1 is DeepEM3D as published, smaller is faster
    #[arg(long, value_name = "W", value_parser = parse::positive)]
    pub(crate) width: Option<f64>,
    /// Average N × N pixels to one before the network: it sees more of the cell at the same cost [default: by the data]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) binning: Option<u32>,
    /// Number that decides everything random
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Where to compute: auto, cpu, cuda:0, vulkan:0; several (cuda:0,cuda:1) train one model each at the same time
    #[arg(long, value_name = "DEVICE", value_delimiter = ',', default_value = "auto")]
    pub(crate) device: Vec<DeviceChoice>,
    /// JSON file with settings that replace the recipe's, as model.json keeps them under training.config
    #[arg(long, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) memory: MemoryArg,
    /// Label value that is foreground, where labels have more than two values
    #[arg(long, value_name = "V", help_heading = "Labels")]
    pub(crate) foreground: Option<u32>,
    /// Label value of voxels that nobody labelled; they take no part
    #[arg(long, value_name = "V", help_heading = "Labels")]
    pub(crate) ignore: Option<u32>,
    #[command(flatten)]
    pub(crate) solver: SolverArgs,
}

/// The hyper-parameters, each with the recipe's default.
#[derive(clap::Args)]
#[command(next_help_heading = "Hyper-parameters (the recipe has a default for each)")]
pub(crate) struct SolverArgs {
    /// Highest learning rate
    #[arg(long, value_name = "R", value_parser = parse::positive)]
    learning_rate: Option<f64>,
    /// Course of the learning rate
    #[arg(long, value_enum, value_name = "POLICY")]
    lr_policy: Option<PolicyName>,
    /// Exponent of the poly policy
    #[arg(long, value_name = "P")]
    power: Option<f64>,
    /// Momentum; for AdamW the first decay rate
    #[arg(long, value_name = "M")]
    momentum: Option<f64>,
    /// Weight decay
    #[arg(long, value_name = "D")]
    weight_decay: Option<f64>,
    /// Batches per weight update
    #[arg(long, value_name = "N")]
    iter_size: Option<u32>,
    /// Patches per batch
    #[arg(long, value_name = "N")]
    batch: Option<u32>,
    /// Height and width of a patch in the network's pixels, a multiple of 16
    #[arg(long, value_name = "N")]
    patch: Option<u32>,
    /// Iterations that a shown loss is the mean of
    #[arg(long, value_name = "N")]
    average_loss: Option<u32>,
    /// Iterations between checkpoints
    #[arg(long, value_name = "N")]
    snapshot_interval: Option<u64>,
    /// Iterations between validations
    #[arg(long, value_name = "N")]
    validation_interval: Option<u64>,
}

/// The recipes by name.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum RecipeName {
    Deep3m,
    Cdeep3m,
}

/// The learning-rate policies by name.
#[derive(Clone, Copy, clap::ValueEnum)]
pub(crate) enum PolicyName {
    Poly,
    Onecycle,
    Cosine,
    Fixed,
    Step,
}

impl From<PolicyName> for Policy {
    fn from(name: PolicyName) -> Self {
        match name {
            PolicyName::Poly => Self::Poly,
            PolicyName::Onecycle => Self::OneCycle,
            PolicyName::Cosine => Self::Cosine,
            PolicyName::Fixed => Self::Fixed,
            PolicyName::Step => Self::Step,
        }
    }
}

impl Options {
    /// The recipe's settings with what was given on the command line.
    pub(crate) fn config(&self) -> Result<TrainConfig> {
        fn set<T: Copy>(setting: &mut T, given: Option<T>) {
            if let Some(value) = given {
                *setting = value;
            }
        }
        let mut config = TrainConfig::of(match self.recipe {
            RecipeName::Deep3m => Recipe::Deep3m,
            RecipeName::Cdeep3m => Recipe::Cdeep3m,
        });
        if let Some(path) = &self.settings {
            config = with_settings(&config, path)?;
        }
        if let Some(frames) = &self.frames {
            config.frames.clone_from(frames);
        }
        let budget = self.minutes.map(Budget::Minutes).or(self.iterations.map(Budget::Iterations));
        set(&mut config.budget, budget);
        set(&mut config.add_iterations, self.add_iterations);
        set(&mut config.width, self.width);
        set(&mut config.seed, self.seed);
        config.binning = self.binning.map(Binning::square).or(config.binning);
        config.from.clone_from(&self.from);
        config.foreground = self.foreground;
        config.ignore = self.ignore;
        let solver = &self.solver;
        set(&mut config.learning_rate, solver.learning_rate);
        set(&mut config.policy, solver.lr_policy.map(Policy::from));
        set(&mut config.power, solver.power);
        set(&mut config.momentum, solver.momentum);
        set(&mut config.weight_decay, solver.weight_decay);
        set(&mut config.iter_size, solver.iter_size);
        set(&mut config.batch, solver.batch);
        set(&mut config.patch, solver.patch);
        set(&mut config.average_loss, solver.average_loss);
        config.snapshot_interval = solver.snapshot_interval.or(config.snapshot_interval);
        config.validation_interval = solver.validation_interval.or(config.validation_interval);
        Ok(config)
    }
}

/// The settings with those that a JSON file holds in their place, name by name.
fn with_settings(config: &TrainConfig, path: &Path) -> Result<TrainConfig> {
    let text = fs::read_to_string(path).into_diagnostic()?;
    let bad = |error: serde_json::Error| {
        miette::miette!(
            "{}: found settings that do not fit ({error}); expected those of model.json, training.config",
            path.display()
        )
    };
    let changes: Value = serde_json::from_str(&text).map_err(bad)?;
    let mut settings = serde_json::to_value(config).map_err(bad)?;
    merge(&mut settings, changes);
    serde_json::from_value(settings).map_err(bad)
}

/// Replaces values by those of `changes`; objects of the same keys are merged, others replaced whole.
fn merge(settings: &mut Value, changes: Value) {
    match (settings, changes) {
        (Value::Object(settings), Value::Object(changes)) if changes.keys().all(|key| settings.contains_key(key)) => {
            for (key, change) in changes {
                merge(settings.entry(key).or_insert(Value::Null), change);
            }
        }
        (settings, changes) => *settings = changes,
    }
}

/// A pair of images and labels, each keeping at most so many bytes decoded.
fn open_pair(images: &Path, labels: &Path, size: Option<VoxelSize>, cache_bytes: u64) -> Result<LabelledVolume> {
    let labels = as_labels(open_limited(labels, None, cache_bytes)?);
    Ok(LabelledVolume { images: open_limited(images, size, cache_bytes)?, labels })
}

impl Options {
    /// Opens all volumes, each keeping at most so many bytes decoded.
    pub(crate) fn open(&self, images: &Path, labels: &Path, cache_bytes: u64) -> Result<TrainingSet> {
        let pairs = |paths: &[PathBuf]| -> Result<Vec<LabelledVolume>> {
            paths.chunks_exact(2).map(|pair| open_pair(&pair[0], &pair[1], self.voxel_size, cache_bytes)).collect()
        };
        let mut training = vec![open_pair(images, labels, self.voxel_size, cache_bytes)?];
        training.extend(pairs(&self.volume)?);
        Ok(TrainingSet { training, validation: pairs(&self.validation)? })
    }
}

/// What the volumes of a training are.
pub(crate) fn volumes(set: &TrainingSet) -> Volumes {
    let infos = |volumes: &[LabelledVolume]| {
        volumes.iter().map(|volume| [volume.images.info().clone(), volume.labels.info().clone()]).collect()
    };
    Volumes { training: infos(&set.training), validation: infos(&set.validation) }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let options = &args.options;
    let config = options.config()?;
    let usual = OpenOptions::default().cache_bytes as u64;
    let mut set = options.open(&args.images, &args.labels, usual)?;
    let networks = cost::networks(&config).into_diagnostic()?;
    let fitted = cost::fit(&networks, &volumes(&set), &config, &options.device, options.memory.bytes());
    let cache_bytes = fitted.into_diagnostic()?.cache_bytes;
    if cache_bytes < usual {
        set = options.open(&args.images, &args.labels, cache_bytes)?;
    }
    if !args.no_check {
        let labels = CheckConfig { foreground: config.foreground, ignore: config.ignore };
        check::before_training(&set, &labels, options.memory.bytes())?;
    }
    let summary = train(&set, &config, &args.output, &options.device, args.overwrite)?;
    if args.json {
        print_json(&summary.models)?;
    } else {
        for model in &summary.models {
            println!("{}", describe(model));
        }
        println!("model: {}", args.output.display());
    }
    Ok(())
}

/// Trains with a progress bar; an interrupted run ends in [`Interrupted`].
pub(crate) fn train(
    set: &TrainingSet,
    config: &TrainConfig,
    output: &Path,
    devices: &[DeviceChoice],
    overwrite: bool,
) -> Result<TrainSummary> {
    let mut watch = Watch::new();
    let summary = deep3m_train::train(set, config, output, devices, overwrite, interrupt::stop(), &mut |event| {
        watch.see(event);
    })
    .into_diagnostic()?;
    watch.close();
    match summary.outcome {
        Outcome::Interrupted => Err(Interrupted.into()),
        Outcome::AlreadyFinished => {
            notice(&format!(
                "{} is trained already with these settings; --add-iterations N goes on, --overwrite starts anew",
                output.display()
            ));
            Ok(summary)
        }
        Outcome::Finished => Ok(summary),
    }
}

/// A trained model in a line.
fn describe(model: &ModelSummary) -> String {
    let best = model.best.as_ref().map_or_else(
        || "no validation data given".to_owned(),
        |(iteration, scores)| format!("validation at iteration {iteration}: {}", scores_text(scores)),
    );
    format!(
        "{}: {} iterations in {:.1} min, loss {:.4}; {best}",
        model.frames,
        model.iterations,
        model.seconds / 60.0,
        model.loss
    )
}
