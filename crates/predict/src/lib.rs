//! Prediction of volumes of any size: the probability of every voxel to belong to the structure, block by block.
//!
//! An [`Ensemble`] holds the trained models; [`predict()`] runs them over a [`Volume`](deep3m_volume::Volume) and writes
//! a volume of 8-bit probabilities (p = value / 255) of one scale everywhere:
//!
//! 1. [`Plan`]: blocks counted from the volume's first voxel, whole chunks of the output each, with real context around.
//! 2. Each block is read with its context (mirrored only at the volume's own border), binned and normalised as in
//!    training, while the block before it is in the network.
//! 3. Each section goes through each model in the chosen [variations](VariationCount), turned back and averaged; the
//!    mean of the models is brought to the volume's own grid and written.
//! 4. What is done is noted beside the output: the same call goes on after an interruption, with the same bytes. Several
//!    processes share an output as [workers](WorkerConfig), and one process several devices ([`Ensemble::load_on`]).
//!
//! ```no_run
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use deep3m_net::{DeviceChoice, ModelDir};
//! use deep3m_predict::{Ensemble, PredictConfig, PredictEvent, predict};
//! use std::path::Path;
//! use std::sync::atomic::AtomicBool;
//!
//! let volume = deep3m_volume::open(Path::new("images/"))?;
//! let config = PredictConfig::default();
//! let device = DeviceChoice::Auto.open()?;
//! let ensemble = Ensemble::load(&ModelDir::open("model")?, config.frames.as_deref(), &device)?;
//! let stop = AtomicBool::new(false);
//! let out = Path::new("probability.zarr");
//! let summary = predict(&ensemble, volume.as_ref(), out, &config, &stop, &mut |event| {
//!     if let PredictEvent::Notice(text) = event {
//!         eprintln!("{text}");
//!     }
//! })?;
//! println!("{} voxels in {:.1} s", summary.voxels, summary.seconds);
//! # Ok(())
//! # }
//! ```

pub mod cdeep3m;
mod config;
mod context;
mod cost;
mod disagreement;
mod ensemble;
mod error;
mod estimate;
mod fit;
mod forward;
mod grey;
mod how_far;
mod identity;
mod lock;
mod output;
mod parts;
mod pipeline;
mod plan;
mod progress;
mod retry;
mod run;
mod run_note;
mod seam;
mod settle;
mod summary;
#[cfg(test)]
mod testing;
mod variations;
mod workers;

pub use config::PredictConfig;
pub use cost::{MemoryCost, Networks, cost};
pub use disagreement::DISAGREEMENT;
pub use ensemble::{Ensemble, ForegroundModel, NullModel};
pub use error::PredictError;
pub use estimate::{Estimate, Speed, Work, estimate, measure, work};
pub use fit::{Fitted, fit};
pub use how_far::{HowFar, how_far};
pub use identity::{ModelIdentity, RunIdentity};
pub use output::check_output;
pub use plan::{Borders, Context, Plan, PlanSettings, PlannedBlock, Span};
pub use run::{PredictEvent, plan, predict};
pub use seam::{Seam, measure_seam};
pub use settle::EarlyStop;
pub use summary::{Elsewhere, MissingBlock, PredictSummary};
pub use variations::{Passes, PassesError, VariationCount, VariationCountError};
pub use workers::{Worker, WorkerConfig, WorkerError};
