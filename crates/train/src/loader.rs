//! Batches made ahead of the network, in order, by threads of their own.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use rayon::prelude::*;

use crate::patch::Batch;
use crate::random::Stream;
use crate::sampler::Sampler;
use crate::{TrainError, config::TrainConfig};

/// Batches that wait at most.
pub(crate) const AHEAD: usize = 3;

/// What a batch is for; each purpose has random numbers of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Training; counted over the run's iterations.
    Training,
    /// Estimating batch statistics; always the same batches.
    Statistics,
}

/// What a batch depends on, beside the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchKey {
    /// The run's seed.
    pub seed: u64,
    /// Sections that the model sees.
    pub frames: u64,
    /// What for.
    pub purpose: Purpose,
    /// Patches in a batch.
    pub size: u64,
}

impl BatchKey {
    /// The key of a run's batches.
    pub fn new(config: &TrainConfig, frames: deep3m_net::Frames, purpose: Purpose) -> Self {
        Self { seed: config.seed, frames: frames.count() as u64, purpose, size: u64::from(config.batch) }
    }

    /// Makes batch `number`: the same one whenever, wherever and on how many threads it is made.
    pub fn make(&self, sampler: &Sampler, number: u64) -> Result<Batch, TrainError> {
        let patch =
            |sample: u64| sampler.draw(&mut Stream::of(&[self.seed, self.frames, self.purpose as u64, number, sample]));
        Ok(Batch::new(&(0..self.size).into_par_iter().map(patch).collect::<Result<Vec<_>, _>>()?))
    }
}

/// A queue of batches, filled in the background.
pub struct Loader {
    batches: Receiver<Result<Batch, TrainError>>,
}

impl Loader {
    /// Starts making batches `first`, `first` + 1, …
    ///
    /// The thread and its helpers end when the loader is dropped.
    pub fn start(sampler: Arc<Sampler>, key: BatchKey, first: u64) -> Result<Self, TrainError> {
        // Not the network's threads: a batch must not wait for a convolution, nor hold one up.
        let threads = thread::available_parallelism().map_or(1, std::num::NonZero::get).clamp(1, 8);
        let failed = |e: String| TrainError::Thread { reason: e };
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("patches {i}"))
            .build()
            .map_err(|e| failed(e.to_string()))?;
        let (sender, batches) = sync_channel(AHEAD);
        thread::Builder::new()
            .name("batches".into())
            .spawn(move || {
                for number in first.. {
                    let batch = pool.install(|| key.make(&sampler, number));
                    let failed = batch.is_err();
                    if sender.send(batch).is_err() || failed {
                        return;
                    }
                }
            })
            .map_err(|e| failed(e.to_string()))?;
        Ok(Self { batches })
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> Result<Batch, TrainError> {
        self.batches
            .recv()
            .unwrap_or_else(|_| Err(TrainError::Thread { reason: "the thread that makes batches died".into() }))
    }
}
