//! The whole run: data, one model after another, the model directory.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use deep3m_net::weights::safetensors;
use deep3m_net::{DeviceChoice, Frames, ModelDir, ModelManifest, NetConfig};
use deep3m_volume::fs as files;
use serde_json::{Map, Value, json};

use crate::checkpoint::Checkpoint;
use crate::clock::Limit;
use crate::event::{ModelSummary, Outcome, TrainEvent, TrainSummary};
use crate::folder::{Folder, Identity, discard};
use crate::lanes::{self, Shared};
use crate::metrics::{Log, Record, SharedLog};
use crate::prepare::{Prepared, prepare};
use crate::session::Session;
use crate::validate::Validation;
use crate::{Budget, TrainConfig, TrainError, TrainingSet};

/// Trains the models of `config` on `set` and writes them into the folder `out`.
///
/// In `out` are afterwards `model.json` with `NNfm.safetensors` (the best weights by validation, or the last without
/// validation data), `NNfm.last.safetensors`, `metrics.jsonl`, `curves.svg` and `checkpoints/`. The same call goes on with
/// a run that was stopped, and says so of one that is finished. Where `out` holds another run the call is refused, unless
/// `overwrite` is set: then that run is removed once settings and data are found good, and this one starts anew.
///
/// The models are trained one after another; given several devices, they are dealt out to them and trained side by side.
/// A model's weights depend on its device, not on what is trained beside it.
///
/// Stops within an iteration of `stop` being set, with a checkpoint. With [`Budget::Iterations`] on the CPU a run that
/// was stopped, or killed, ends with the same bytes as one that was not.
///
/// # Errors
/// Bad settings or data are found before anything is written. After an error in training the last checkpoint stays.
pub fn train(
    set: &TrainingSet,
    config: &TrainConfig,
    out: &Path,
    devices: &[DeviceChoice],
    overwrite: bool,
    stop: &AtomicBool,
    observer: &mut (dyn FnMut(TrainEvent) + Send),
) -> Result<TrainSummary, TrainError> {
    let begun = Instant::now();
    config.validate()?;
    let identity = Identity::new(set, config)?;
    if devices.is_empty() {
        return Err(TrainError::Setting { setting: "device", found: "none".into(), expected: "at least one" });
    }
    let opened = devices.iter().map(|d| d.open()).collect::<Result<Vec<_>, _>>()?;
    let (folder, before) = if overwrite { (Folder::at(out), None) } else { Folder::open(out, &identity)? };
    let mut run = Run { config, folder, begun, budget: before.as_ref().map_or(config.budget, |c| c.budget) };
    let from = config.from.as_ref().map(ModelDir::open).transpose()?;
    let mut states = Vec::new();
    for &frames in &config.frames {
        let net = run.network(frames, from.as_ref())?;
        let folder = run.folder.checkpoints(frames);
        states.push((frames, if overwrite { None } else { Checkpoint::load(&folder, &net)? }));
    }
    if states.iter().all(|(_, checkpoint)| run.is_finished(checkpoint.as_ref())) {
        let models = states.iter().filter_map(|(f, c)| Some(finished_summary(*f, c.as_ref()?))).collect();
        return Ok(TrainSummary { outcome: Outcome::AlreadyFinished, models });
    }

    let data = prepare(set, config, from.as_ref(), &mut |text| observer(TrainEvent::Notice(text)))?;
    // The first words of a run: what it is. From here on the folder is its own.
    let mut alone = run.folder.hold()?;
    if overwrite {
        discard(out)?;
        // The file that is locked went, too.
        alone = run.folder.hold()?;
    }
    run.budget = before.map_or(config.budget, |c| c.budget);
    let identity = Identity { config: TrainConfig { budget: run.budget, ..config.clone() }, ..identity };
    run.folder.claim(&identity)?;
    let log = Log::open(&run.folder.metrics(), |record| is_kept(record, &states))?;
    let validation = Validation::new(Arc::clone(&data.validation));
    let shared = Shared {
        model: Mutex::new(run.open_model(&data, &identity)?),
        run: &run,
        log: SharedLog::new(log),
        data: &data,
        validation: &validation,
        from: from.as_ref(),
        stop,
    };
    let lanes = lanes::divide(states, opened);
    let summary = lanes::run(&shared, lanes, observer);
    drop(alone);
    summary
}

/// Whether a line of the log is still true of models that go on from these checkpoints.
fn is_kept(record: &Record, states: &[(Frames, Option<Checkpoint>)]) -> bool {
    let (of, at) = record.at();
    let Some((_, checkpoint)) = states.iter().find(|(frames, _)| *frames == of) else { return true };
    let Some(state) = checkpoint.as_ref().map(|c| &c.state) else { return false };
    match record {
        Record::Training { .. } => at <= state.iteration,
        Record::Validation { .. } => state.last_validated.is_some_and(|last| at <= last),
    }
}

/// What stays the same over a run.
pub(crate) struct Run<'a> {
    pub(crate) config: &'a TrainConfig,
    pub(crate) folder: Folder,
    begun: Instant,
    /// The budget that the run was started with.
    budget: Budget,
}

impl Run<'_> {
    /// The size of a model's network.
    fn network(&self, frames: Frames, from: Option<&ModelDir>) -> Result<NetConfig, TrainError> {
        match from {
            Some(model) => Ok(model.tensors(frames)?.0),
            None => Ok(NetConfig::with_width(frames, self.config.width)?),
        }
    }

    /// Updates that a model gets, where they are counted: its budget, or what the clock allowed, and those added.
    fn iterations(&self, checkpoint: Option<&Checkpoint>) -> Option<u64> {
        let base = match (self.budget, checkpoint.and_then(|c| c.state.finished)) {
            (Budget::Iterations(n), _) | (Budget::Minutes(_), Some(n)) => n,
            (Budget::Minutes(_), None) => return None,
        };
        Some(base.saturating_add(self.config.add_iterations))
    }

    pub(crate) fn is_finished(&self, checkpoint: Option<&Checkpoint>) -> bool {
        let Some(checkpoint) = checkpoint else { return false };
        checkpoint.state.kept == Some(checkpoint.state.iteration)
            && self.iterations(Some(checkpoint)).is_some_and(|n| checkpoint.state.iteration >= n)
    }

    /// What ends a model's training; under a clock its share of the minutes that the models before it on its device left.
    pub(crate) fn limit(&self, checkpoint: Option<&Checkpoint>, first: bool, used: f64, left: usize) -> Limit {
        if let Some(iterations) = self.iterations(checkpoint) {
            return Limit::Iterations(iterations);
        }
        let Budget::Minutes(minutes) = self.budget else { return Limit::Iterations(0) };
        // Reading and checking the data is inside the first model's share.
        let start = if first { self.begun.elapsed().as_secs_f64() } else { 0.0 };
        Limit::Seconds(((60.0 * minutes - used) / left as f64 - start).max(0.0))
    }

    /// The model directory, new or with the models trained before.
    fn open_model(&self, data: &Prepared, identity: &Identity) -> Result<ModelDir, TrainError> {
        let out = self.folder.path();
        if out.join("model.json").exists() {
            return Ok(ModelDir::open(out)?);
        }
        let mut manifest = ModelManifest::new(data.normalisation, data.binning, data.voxel_type);
        manifest.voxel_size = data.voxel_size;
        manifest.training = serde_json::to_value(identity).unwrap_or(Value::Null);
        Ok(ModelDir::create(out, manifest)?)
    }

    /// Writes a trained model's weights and what was measured.
    pub(crate) fn keep(
        &self,
        session: &Session<'_>,
        summary: &ModelSummary,
        model: &mut ModelDir,
    ) -> Result<(), TrainError> {
        let (config, kept, last) = session.results()?;
        let bytes = safetensors::encode_tensors(&config, &last)?;
        files::write_atomic(&self.folder.last(summary.frames), &bytes)?;
        let mut measured = Map::new();
        if let Some((iteration, scores)) = session.kept_scores() {
            if let Ok(Value::Object(scores)) = serde_json::to_value(scores) {
                measured = scores;
            }
            measured.insert("iteration".into(), json!(iteration));
        }
        measured.insert("training_loss".into(), json!(summary.loss));
        Ok(model.save_tensors(&config, &kept, summary.iterations, summary.seconds, measured)?)
    }
}

pub(crate) fn finished_summary(frames: Frames, checkpoint: &Checkpoint) -> ModelSummary {
    let state = &checkpoint.state;
    let loss = state.recent.iter().map(|r| r.loss).sum::<f64>() / state.recent.len().max(1) as f64;
    ModelSummary { frames, iterations: state.iteration, seconds: state.seconds, loss, best: state.best }
}
