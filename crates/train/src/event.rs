//! What a training run tells while it runs, and at its end.

use std::path::PathBuf;

use deep3m_net::Frames;

use crate::metrics::Scores;

/// Something that a user wants to see.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum TrainEvent {
    /// A remark about data or settings: small slices padded, a run that goes on, a finished model skipped.
    Notice(String),
    /// A model starts (or goes on).
    Started {
        /// Which.
        frames: Frames,
        /// The first iteration to do, counted from 0; above 0 when going on.
        iteration: u64,
        /// Iterations in all; `None` where the clock decides.
        of: Option<u64>,
        /// Seconds that this model may take; `None` where iterations decide.
        seconds: Option<f64>,
        /// Number of weights.
        weights: u64,
    },
    /// A weight update was made.
    Iteration {
        /// Which model.
        frames: Frames,
        /// Updates made so far.
        iteration: u64,
        /// Iterations in all; under a clock an estimate from the rate so far.
        of: u64,
        /// Share of this model's run that is done, 0 to 1.
        progress: f64,
        /// Mean loss of the last `average_loss` iterations.
        loss: f64,
        /// Share of training pixels labelled right, over the same iterations.
        accuracy: f64,
        /// The learning rate used.
        learning_rate: f64,
        /// Seconds of training of this model so far, those before an interruption included.
        seconds: f64,
    },
    /// The model was measured on the validation sections.
    Validated {
        /// Which model.
        frames: Frames,
        /// Updates made so far.
        iteration: u64,
        /// Its scores.
        scores: Scores,
        /// Whether they are the best so far by Jaccard.
        best: bool,
    },
    /// A checkpoint was written.
    Snapshot {
        /// Which model.
        frames: Frames,
        /// Updates made so far.
        iteration: u64,
        /// Where.
        path: PathBuf,
    },
    /// A model is done and its weights are in the model directory.
    Finished {
        /// Which model.
        frames: Frames,
        /// Updates made.
        iteration: u64,
        /// Seconds of training.
        seconds: f64,
        /// Scores of the kept weights, where there is validation data.
        scores: Option<Scores>,
    },
}

/// Who is told; models that are trained side by side tell one at a time.
pub(crate) type Observer<'a> = dyn FnMut(TrainEvent) + Send + 'a;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All models are trained.
    Finished,
    /// All models were trained already; nothing was done.
    AlreadyFinished,
    /// Stopped on request, with a checkpoint; the same command goes on.
    Interrupted,
}

/// What a run made.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainSummary {
    /// How it ended.
    pub outcome: Outcome,
    /// The models, in the order trained.
    pub models: Vec<ModelSummary>,
}

/// One trained model.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ModelSummary {
    /// Which.
    pub frames: Frames,
    /// Updates made.
    pub iterations: u64,
    /// Seconds of training.
    pub seconds: f64,
    /// Mean training loss at the end.
    pub loss: f64,
    /// The validated iteration whose weights are kept, and its scores; `None` without validation data.
    pub best: Option<(u64, Scores)>,
}
