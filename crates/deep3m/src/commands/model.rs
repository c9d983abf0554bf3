//! `deep3m model`: what a model is, and whether it is still what it was.

use std::fmt::Write as _;
use std::path::PathBuf;

use deep3m_net::{DeviceChoice, ModelDir, ModelEntry, ModelManifest, Normalisation};
use miette::{IntoDiagnostic, Result};
use serde_json::{Map, Value, json};

use crate::commands::print_json;

/// Show what a model is, or check that it is still what it was
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m model show model
  deep3m model verify model")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    Show(Show),
    Verify(Verify),
}

/// Show what a model is, what it was trained on and how well it did
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m model show model
  deep3m model show model --json")]
struct Show {
    /// Folder of the model
    model: PathBuf,
    /// Print everything that model.json holds
    #[arg(long)]
    json: bool,
}

/// Check that a model is whole and predicts as it did when it was made
///
/// Compares each weight file with its SHA-256, and what each network answers to a small synthetic block with what it
/// answered when the model was made. Exit code 1 where something differs.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deep3m model verify model
  deep3m model verify model --device cuda:0")]
struct Verify {
    /// Folder of the model
    model: PathBuf,
    /// Where to compute: auto, cpu, cuda:0, vulkan:0
    #[arg(long, default_value = "auto")]
    device: DeviceChoice,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    match &args.command {
        Command::Show(args) => show(args),
        Command::Verify(args) => verify(args),
    }
}

fn show(args: &Show) -> Result<()> {
    let model = ModelDir::open(&args.model).into_diagnostic()?;
    if args.json {
        return print_json(&model.manifest);
    }
    print!("{}", describe(&model.manifest));
    Ok(())
}

fn verify(args: &Verify) -> Result<()> {
    let model = ModelDir::open(&args.model).into_diagnostic()?;
    let device = args.device.open().into_diagnostic()?;
    let drifts = model.verify(&device).into_diagnostic()?;
    if args.json {
        let networks: Vec<Value> = drifts
            .iter()
            .map(|(frames, drift)| {
                json!({ "frames": frames, "weights": "as written", "same": drift.map(|d| d.is_same()), "drift": drift })
            })
            .collect();
        print_json(&networks)?;
    } else {
        for (frames, drift) in &drifts {
            match drift {
                Some(d) if d.is_same() => {
                    println!(
                        "{frames}: weights as written; predicts as it did (probabilities within {:.1e})",
                        d.probability
                    );
                }
                Some(d) => println!(
                    "{frames}: weights as written, but it PREDICTS OTHERWISE: log-odds differ by up to {:.1e} of their \
                     size, probabilities by {:.1e}",
                    d.log_odds, d.probability
                ),
                None => println!("{frames}: weights as written; no sample prediction is stored with it"),
            }
        }
    }
    let other: Vec<String> =
        drifts.iter().filter(|(_, d)| d.is_some_and(|d| !d.is_same())).map(|(f, _)| f.to_string()).collect();
    if other.is_empty() {
        return Ok(());
    }
    miette::bail!(
        "{}: {} predicts otherwise than when the model was made. Try --device cpu, and the version of deep3m that made it \
         ({})",
        args.model.display(),
        other.join(", "),
        model.manifest.program
    )
}

/// A model in words.
fn describe(model: &ModelManifest) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{name:<14}{value}");
    };
    line("network", format!("{}, made by {}", model.architecture, model.program));
    let grey = match model.normalisation {
        Normalisation::Raw => "raw, as in the files".to_owned(),
        Normalisation::Range { low, high } => format!("{low} to {high} brought to -1 to 1"),
    };
    line("grey values", format!("{grey}; {} voxels", model.voxel_type));
    if !model.binning.is_none() {
        line("binning", format!("{} × {} pixels averaged to one", model.binning.y, model.binning.x));
    }
    if let Some(size) = model.voxel_size {
        line("voxel size", size.to_string());
    }
    line("classes", format!("{}; foreground from probability {}", model.classes.join(", "), model.threshold));
    for (frames, entry) in &model.networks {
        line(&frames.to_string(), network(entry));
        if let Some(scores) = scores(&entry.validation) {
            line("", scores);
        }
    }
    if model.networks.is_empty() {
        line("networks", "none yet: the training has not finished its first".to_owned());
    }
    for (name, value) in training(&model.training) {
        line(name, value);
    }
    text
}

fn network(entry: &ModelEntry) -> String {
    let mut text = format!("{} weights", entry.config.parameter_count());
    if entry.iterations > 0 {
        let _ = write!(text, ", {} iterations", entry.iterations);
    }
    if entry.seconds > 0.0 {
        let _ = write!(text, " in {:.1} min", entry.seconds / 60.0);
    }
    let _ = write!(text, ", SHA-256 {}…", entry.sha256.get(..12).unwrap_or(&entry.sha256));
    text
}

/// What validation measured, in the order that people read it.
fn scores(validation: &Map<String, Value>) -> Option<String> {
    let found: Vec<String> = ["jaccard", "f1", "precision", "recall", "accuracy", "loss"]
        .iter()
        .filter_map(|name| Some(format!("{name} {:.3}", validation.get(*name)?.as_f64()?)))
        .collect();
    (!found.is_empty()).then(|| format!("validation: {}", found.join(", ")))
}

/// What a model was trained on, or where it came from.
fn training(training: &Value) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(config) = training["config"].as_object() {
        let setting = |name: &str| config.get(name).map(plain).filter(|value| !value.is_empty());
        let settings: Vec<String> = ["recipe", "width", "seed", "batch", "patch"]
            .iter()
            .filter_map(|name| Some(format!("{name} {}", setting(name)?)))
            .collect();
        lines.push(("recipe", settings.join(", ").trim_start_matches("recipe ").to_owned()));
        if let Some(from) = setting("from") {
            lines.push(("goes on from", from));
        }
    }
    for (list, name) in [("training", "trained on"), ("validation", "validated on")] {
        for pair in training[list].as_array().into_iter().flatten() {
            let (images, extent) = (&pair["images"]["path"], &pair["images"]["extent"]);
            let hash = pair["images_sha256"].as_str().and_then(|hash| hash.get(..12)).unwrap_or("unknown");
            lines.push((
                name,
                format!(
                    "{}, {} × {} × {} (z × y × x), SHA-256 {hash}…",
                    plain(images),
                    extent["z"],
                    extent["y"],
                    extent["x"]
                ),
            ));
        }
    }
    if let Some(origin) = training["origin"].as_str() {
        lines.push(("origin", origin.to_owned()));
    }
    for (frames, snapshot) in training["snapshots"].as_object().into_iter().flatten() {
        let hash = snapshot["sha256"].as_str().and_then(|hash| hash.get(..12)).unwrap_or("unknown");
        lines.push(("", format!("{frames} from {}, SHA-256 {hash}…", plain(&snapshot["file"]))));
    }
    lines
}

/// A JSON value as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
