//! The whole run: data, one model after another, the model directory.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use deep3m_net::weights::safetensors;
use deep3m_net::{DeviceChoice, Frames, ModelDir, ModelManifest, NetConfig};
use deep3m_volume::fs as files;
use serde_json::{Map, Value, json};

use crate::checkpoint::Checkpoint;
use crate::clock::Limit;
use crate::event::{ModelSummary, Outcome, TrainEvent, TrainSummary};
use crate::folder::{Folder, Identity, discard};
use crate::prepare::{Prepared, prepare};
use crate::sampler::Sampler;
use crate::session::{Session, Surroundings};
use crate::validate::Validation;
use crate::{Budget, TrainConfig, TrainError, TrainingSet, plot};

/// Trains the models of `config` on `set` and writes them into the folder `out`.
///
/// In `out` are afterwards `model.json` with `NNfm.safetensors` (the best weights by validation, or the last without
/// validation data), `NNfm.last.safetensors`, `metrics.jsonl`, `curves.svg` and `checkpoints/`. The same call goes on with
/// a run that was stopped, and says so of one that is finished. Where `out` holds another run the call is refused, unless
/// `overwrite` is set: then that run is removed once settings and data are found good, and this one starts anew.
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
    device: DeviceChoice,
    overwrite: bool,
    stop: &AtomicBool,
    observer: &mut dyn FnMut(TrainEvent),
) -> Result<TrainSummary, TrainError> {
    let begun = Instant::now();
    config.validate()?;
    let identity = Identity::new(set, config)?;
    let device = device.open()?;
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
    if overwrite {
        discard(out)?;
    }
    run.budget = before.map_or(config.budget, |c| c.budget);
    let identity = Identity { config: TrainConfig { budget: run.budget, ..config.clone() }, ..identity };
    run.folder.claim(&identity)?;
    let mut model = run.open_model(&data, &identity)?;
    let validation = Validation::new(Arc::clone(&data.validation));
    let mut models: Vec<ModelSummary> = Vec::new();
    let count = states.len();
    for (index, (frames, checkpoint)) in states.into_iter().enumerate() {
        if let Some(done) = checkpoint.as_ref().filter(|_| run.is_finished(checkpoint.as_ref())) {
            observer(TrainEvent::Notice(format!("{frames} is trained already ({} iterations)", done.state.iteration)));
            models.push(finished_summary(frames, done));
            continue;
        }
        if let Some(checkpoint) = &checkpoint {
            observer(TrainEvent::Notice(format!("{frames} goes on after iteration {}", checkpoint.state.iteration)));
        }
        let limit = run.limit(checkpoint.as_ref(), &models, count - index);
        let sampler = Sampler::new(
            Arc::clone(&data.training),
            config.sampling,
            config.augmentation,
            frames.count(),
            config.patch as usize,
        );
        let around = Surroundings {
            config,
            frames,
            sampler: Arc::new(sampler),
            validation: &validation,
            folder: &run.folder,
            device: &device,
            stop,
        };
        let mut session = Session::start(around, checkpoint, limit, from.as_ref())?;
        let Some(summary) = session.run(observer)? else {
            return Ok(TrainSummary { outcome: Outcome::Interrupted, models });
        };
        run.keep(&session, &summary, &mut model)?;
        session.close(observer)?;
        let scores = summary.best.map(|(_, scores)| scores);
        let (iteration, seconds) = (summary.iterations, summary.seconds);
        observer(TrainEvent::Finished { frames, iteration, seconds, scores });
        models.push(summary);
    }
    Ok(TrainSummary { outcome: Outcome::Finished, models })
}

/// What stays the same over a run.
struct Run<'a> {
    config: &'a TrainConfig,
    folder: Folder,
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

    fn is_finished(&self, checkpoint: Option<&Checkpoint>) -> bool {
        let Some(checkpoint) = checkpoint else { return false };
        checkpoint.state.kept == Some(checkpoint.state.iteration)
            && self.iterations(Some(checkpoint)).is_some_and(|n| checkpoint.state.iteration >= n)
    }

    /// What ends a model's training; under a clock its share of what the models before it left.
    fn limit(&self, checkpoint: Option<&Checkpoint>, before: &[ModelSummary], left: usize) -> Limit {
        if let Some(iterations) = self.iterations(checkpoint) {
            return Limit::Iterations(iterations);
        }
        let Budget::Minutes(minutes) = self.budget else { return Limit::Iterations(0) };
        let used: f64 = before.iter().map(|m| m.seconds).sum();
        // Reading and checking the data is inside the first model's share.
        let start = if before.is_empty() { self.begun.elapsed().as_secs_f64() } else { 0.0 };
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

    /// Writes a trained model's weights, the log's plot and what was measured.
    fn keep(&self, session: &Session<'_>, summary: &ModelSummary, model: &mut ModelDir) -> Result<(), TrainError> {
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
        model.save_tensors(&config, &kept, summary.iterations, summary.seconds, measured)?;
        plot::curves(&self.folder.metrics(), &self.folder.curves())
    }
}

fn finished_summary(frames: Frames, checkpoint: &Checkpoint) -> ModelSummary {
    let state = &checkpoint.state;
    let loss = state.recent.iter().map(|r| r.loss).sum::<f64>() / state.recent.len().max(1) as f64;
    ModelSummary { frames, iterations: state.iteration, seconds: state.seconds, loss, best: state.best }
}
