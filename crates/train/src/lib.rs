//! Training of Deep3M's networks: from labelled volumes to a model directory.
//!
//! [`train`] does it all: it checks images and labels, draws patches, trains one model after another, validates, keeps
//! the best and the last weights, and goes on where it was when it is called again. [`TrainConfig`] holds every setting.

pub mod augment;
pub mod average;
pub mod check;
pub mod checkpoint;
pub mod clock;
mod config;
pub mod cost;
mod dataset;
mod error;
mod event;
mod fingerprint;
mod folder;
pub mod grey;
mod index;
mod lanes;
pub mod loader;
pub mod loss;
mod measure;
pub mod metrics;
pub mod patch;
pub mod plot;
mod prepare;
pub mod random;
pub mod sampler;
pub mod schedule;
mod session;
pub mod solver;
mod step;
mod trainer;

#[cfg(test)]
mod kill_tests;
#[cfg(test)]
mod parity;
#[cfg(test)]
mod run_tests;
#[cfg(test)]
mod testing;
pub mod validate;

pub use config::{Budget, Loss, Optimiser, Policy, Recipe, TrainConfig};
pub use dataset::{LabelledVolume, TrainingSet};
pub use error::TrainError;
pub use event::{ModelSummary, Outcome, TrainEvent, TrainSummary};
pub use folder::discard;
pub use index::PlaceIndex;
pub use measure::measure_step;
pub use metrics::Scores;
pub use trainer::train;
