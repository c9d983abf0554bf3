//! One model in training: a network with its solver, averages, clock and log.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;
use deep3m_net::{DeepEm3d, Frames, Inference, Mode, ModelDir, NamedTensor, NetConfig};

use crate::average::{self, Average};
use crate::checkpoint::{Checkpoint, Plan, Recent, State};
use crate::clock::{Clock, Limit};
use crate::event::{ModelSummary, Observer, TrainEvent};
use crate::folder::Folder;
use crate::loader::{BatchKey, Loader, Purpose};
use crate::metrics::{Record, Scores, SharedLog};
use crate::sampler::Sampler;
use crate::solver::{self, Gradients, Solver};
use crate::step::{backward, first_network, input};
use crate::validate::Validation;
use crate::{Budget, TrainConfig, TrainError, schedule};

/// Validations in a run, where no interval is set.
const VALIDATIONS: u64 = 6;
/// The share of a run by the clock that validations may take, all together.
const VALIDATION_SHARE: f64 = 0.08;
/// Iterations by which the time of one is known well enough to plan.
const TIMED_ITERATIONS: u64 = 3;
/// Iterations between checkpoints where iterations are counted (CDeep3M's).
const SNAPSHOT_ITERATIONS: u64 = 2000;
/// Seconds between checkpoints where the clock decides.
const SNAPSHOT_SECONDS: f64 = 60.0;

/// What a session works with.
pub(crate) struct Surroundings<'a> {
    pub config: &'a TrainConfig,
    pub frames: Frames,
    pub sampler: Arc<Sampler>,
    pub validation: &'a Validation,
    pub folder: &'a Folder,
    pub log: &'a SharedLog,
    pub device: &'a Device,
    pub stop: &'a AtomicBool,
}

/// A model in training.
pub(crate) struct Session<'a> {
    around: Surroundings<'a>,
    net: DeepEm3d,
    solver: Solver,
    average: Option<Average>,
    state: State,
    recent: VecDeque<Recent>,
    best: Option<Vec<NamedTensor>>,
    /// What was validated last, and after which iteration.
    measured: Option<(u64, Vec<NamedTensor>)>,
    clock: Clock,
    loader: Loader,
    /// Iteration and time of the last checkpoint on disk.
    saved: (u64, Instant),
}

impl<'a> Session<'a> {
    /// A model where its checkpoint left it, or a new one: from `from`'s weights or from the seed.
    pub(crate) fn start(
        around: Surroundings<'a>,
        checkpoint: Option<Checkpoint>,
        limit: Limit,
        from: Option<&ModelDir>,
    ) -> Result<Self, TrainError> {
        let (config, frames) = (around.config, around.frames);
        let device = around.device.clone().autodiff();
        let mut net = first_network(config, frames, from, &device)?;
        net.set_bn_decay(config.statistics_decay as f32);
        let mut solver = Solver::new(config, &net.trained(), &device);
        let mut average = (config.average_share > 0.0).then(|| Average::new(&mut net));
        let mut state = State::default();
        let mut best = None;
        if let Some(checkpoint) = checkpoint {
            let path = around.folder.checkpoints(frames);
            let other = |found: &str| TrainError::Damaged {
                path: path.clone(),
                found: found.to_owned(),
                expected: "the state of this run".to_owned(),
                hint: "Give --overwrite to start the run anew",
            };
            net.assign(&checkpoint.weights)?;
            if !solver.restore(checkpoint.state.iteration, checkpoint.solver, &device) {
                return Err(other("a solver's state of another size"));
            }
            if average.is_some() {
                let restored = checkpoint.average.and_then(|values| Average::restore(values, &net));
                average = Some(restored.ok_or_else(|| other("no averaged weights of this size"))?);
            }
            (state, best) = (checkpoint.state, checkpoint.best);
        }
        let iteration = state.iteration;
        let key = BatchKey::new(config, frames, Purpose::Training);
        let first_batch = iteration * u64::from(config.iter_size);
        let loader = Loader::start(Arc::clone(&around.sampler), key, first_batch)?;
        let clock = Clock::start(limit, state.seconds);
        let recent = state.recent.iter().copied().collect();
        Ok(Self {
            around,
            net,
            solver,
            average,
            state,
            recent,
            best,
            measured: None,
            clock,
            loader,
            saved: (iteration, Instant::now()),
        })
    }

    /// Trains until the budget is used up or `stop` is set; `None` where stopped.
    pub(crate) fn run(&mut self, observer: &mut Observer<'_>) -> Result<Option<ModelSummary>, TrainError> {
        observer(TrainEvent::Started {
            frames: self.around.frames,
            iteration: self.state.iteration,
            of: matches!(self.clock.limit(), Limit::Iterations(_))
                .then(|| self.clock.expected_iterations(self.state.iteration)),
            seconds: if let Limit::Seconds(seconds) = self.clock.limit() { Some(seconds) } else { None },
            weights: self.net.config().parameter_count(),
        });
        loop {
            self.plan();
            if self.validation_is_due() {
                self.validate(observer)?;
            }
            if self.clock.is_over(self.state.iteration) {
                return self.finish(observer);
            }
            if self.stopped() {
                self.save(observer)?;
                return Ok(None);
            }
            if self.snapshot_is_due() {
                self.save(observer)?;
            }
            if !self.iterate(observer)? {
                self.save(observer)?;
                return Ok(None);
            }
        }
    }

    fn stopped(&self) -> bool {
        self.around.stop.load(Ordering::Relaxed)
    }

    /// One weight update; `false`, and nothing changed, where stopped before it was made.
    fn iterate(&mut self, observer: &mut Observer<'_>) -> Result<bool, TrainError> {
        let config = self.around.config;
        // With many batches per update an iteration can take minutes: a stop takes back its batch statistics.
        let before = (config.iter_size > 1).then(|| self.net.clone());
        self.clock.begin_iteration();
        let progress = self.clock.progress(self.state.iteration);
        let mut sum = Gradients::new();
        let mut recent = Recent::default();
        for _ in 0..config.iter_size {
            let batch = self.loader.next_batch()?;
            let (value, gradients) = backward(&self.net, &batch, config)?;
            if !value.total.is_finite() || !value.cross_entropy.is_finite() {
                return Err(self.diverged(value.total));
            }
            recent.loss += value.cross_entropy / f64::from(config.iter_size);
            recent.correct += value.correct;
            recent.known += value.known;
            solver::accumulate(&mut sum, gradients);
            if let Some(net) = before.as_ref().filter(|_| self.stopped()) {
                self.net = net.clone();
                return Ok(false);
            }
        }
        let rate = schedule::learning_rate(config, progress);
        let number = self.state.iteration + 1;
        let decay = average::decay(config.average_share, number, self.clock.expected_iterations(number));
        let average = &mut self.average;
        let finite = self.solver.update(&mut self.net, sum, rate, |place, weights| {
            if let Some(average) = average {
                average.follow(place, weights, decay);
            }
        });
        if !finite {
            return Err(self.diverged(recent.loss));
        }
        self.state.iteration = number;
        self.recent.push_back(recent);
        while self.recent.len() > config.average_loss as usize {
            self.recent.pop_front();
        }
        self.clock.end_iteration();
        self.tell(rate, observer)?;
        Ok(true)
    }

    /// Says and logs how the last iterations went.
    fn tell(&mut self, learning_rate: f64, observer: &mut Observer<'_>) -> Result<(), TrainError> {
        let (frames, iteration, seconds) = (self.around.frames, self.state.iteration, self.clock.seconds());
        let (loss, accuracy) = self.shown();
        self.around.log.add(&Record::Training { frames, iteration, loss, accuracy, learning_rate, seconds })?;
        observer(TrainEvent::Iteration {
            frames,
            iteration,
            of: self.clock.expected_iterations(iteration),
            progress: self.clock.progress(iteration),
            loss,
            accuracy,
            learning_rate,
            seconds,
        });
        Ok(())
    }

    /// Mean loss and accuracy of the last iterations.
    fn shown(&self) -> (f64, f64) {
        let loss = self.recent.iter().map(|r| r.loss).sum::<f64>() / self.recent.len().max(1) as f64;
        let (correct, known) = self.recent.iter().fold((0, 0), |(c, k), r| (c + r.correct, k + r.known));
        (loss, correct as f64 / known.max(1) as f64)
    }

    fn diverged(&self, loss: f64) -> TrainError {
        TrainError::Diverged {
            frames: self.around.frames,
            iteration: self.state.iteration + 1,
            loss,
            checkpoint: self.saved.0,
            path: self.around.folder.checkpoints(self.around.frames),
        }
    }

    /// Decides how often and on how much to validate. By the clock, as the speed of this machine allows: the time of an
    /// iteration tells that of a validation, for a forward pass takes a third of both passes.
    fn plan(&mut self) {
        if self.state.plan.is_some() {
            return;
        }
        let config = self.around.config;
        let most = config.validation_sections.max(1);
        let Limit::Seconds(seconds) = self.clock.limit() else {
            self.state.plan = Some(Plan { validations: VALIDATIONS, sections: most });
            return;
        };
        if self.state.iteration < TIMED_ITERATIONS {
            return;
        }
        let batch = self.clock.step() / f64::from(config.iter_size) / 3.0;
        let pixels = f64::from(config.batch) * f64::from(config.patch).powi(2);
        let section = batch * self.around.validation.pixels_per_field() / pixels;
        let statistics = batch * f64::from(config.statistics_batches);
        let plan = plan(VALIDATION_SHARE * seconds, statistics, section, most);
        self.clock.keep_back(statistics + section * f64::from(plan.sections));
        self.state.plan = Some(plan);
    }

    /// How many validations should have been made by now.
    fn validations_by_now(&self) -> u64 {
        let by_plan = || {
            let validations = self.state.plan.map_or(0, |plan| plan.validations);
            (self.clock.progress(self.state.iteration) * validations as f64) as u64
        };
        self.around.config.validation_interval.map_or_else(by_plan, |interval| self.state.iteration / interval)
    }

    fn validation_is_due(&self) -> bool {
        self.state.iteration > 0
            && !self.around.validation.is_empty()
            && self.validations_by_now() > self.state.validated
    }

    /// Measures the weights that would be kept now, and keeps them if they are the best so far.
    fn validate(&mut self, observer: &mut Observer<'_>) -> Result<(), TrainError> {
        let begun = Instant::now();
        let candidate = self.candidate()?;
        let model = Inference::from_tensors(self.net.config().clone(), &candidate, self.around.device)?;
        let sections = self.state.plan.map_or(1, |plan| plan.sections) as usize;
        let Some(scores) = self.around.validation.scores(&model, sections, &|| !self.stopped())? else { return Ok(()) };
        let best = self.state.best.is_none_or(|(_, before)| scores.better_than(&before));
        let (frames, iteration) = (self.around.frames, self.state.iteration);
        if best {
            self.state.best = Some((iteration, scores));
            self.best = Some(candidate.clone());
        }
        self.measured = Some((iteration, candidate));
        self.state.validated = self.validations_by_now();
        self.state.last_validated = Some(iteration);
        let seconds = self.clock.seconds();
        self.around.log.add(&Record::Validation { frames, iteration, seconds, best, scores })?;
        observer(TrainEvent::Validated { frames, iteration, scores, best });
        self.around.log.draw(&self.around.folder.curves())?;
        self.clock.keep_back(begun.elapsed().as_secs_f64());
        Ok(())
    }

    /// The tensors that would be kept now: averaged weights where there are any, with batch statistics of their own.
    fn candidate(&self) -> Result<Vec<NamedTensor>, TrainError> {
        let config = self.around.config;
        let mut tensors = self.net.collect();
        if let Some(average) = &self.average {
            average.place_into(&mut tensors);
        }
        if config.statistics_batches == 0 {
            return Ok(tensors);
        }
        let mut net = DeepEm3d::from_tensors(self.net.config().clone(), &tensors, self.around.device)?;
        net.reset_statistics();
        // The plain mean over the batches.
        net.set_bn_decay(1.0);
        let key = BatchKey::new(config, self.around.frames, Purpose::Statistics);
        for number in 0..u64::from(config.statistics_batches) {
            let batch = key.make(&self.around.sampler, number)?;
            let _ = net.forward(input(&batch, self.around.device), Mode::Train);
        }
        Ok(net.collect())
    }

    fn snapshot_is_due(&self) -> bool {
        let since = self.state.iteration - self.saved.0;
        match (self.around.config.snapshot_interval, self.around.config.budget) {
            (Some(interval), _) => since > 0 && self.state.iteration.is_multiple_of(interval),
            (None, Budget::Iterations(_)) => since > 0 && self.state.iteration.is_multiple_of(SNAPSHOT_ITERATIONS),
            (None, Budget::Minutes(_)) => since > 0 && self.saved.1.elapsed().as_secs_f64() > SNAPSHOT_SECONDS,
        }
    }

    /// Writes a checkpoint.
    fn save(&mut self, observer: &mut Observer<'_>) -> Result<PathBuf, TrainError> {
        let frames = self.around.frames;
        self.state.seconds = self.clock.seconds();
        self.state.recent = self.recent.iter().copied().collect();
        let checkpoint = Checkpoint {
            state: self.state.clone(),
            weights: self.net.collect(),
            solver: self.solver.collect(),
            average: self.average.as_ref().map(Average::collect),
            best: self.best.clone(),
        };
        let path = checkpoint.save(&self.around.folder.checkpoints(frames))?;
        self.saved = (self.state.iteration, Instant::now());
        observer(TrainEvent::Snapshot { frames, iteration: self.state.iteration, path: path.clone() });
        Ok(path)
    }

    /// The last validation; `None` where stopped before, with a checkpoint.
    fn finish(&mut self, observer: &mut Observer<'_>) -> Result<Option<ModelSummary>, TrainError> {
        let measured = self.state.last_validated == Some(self.state.iteration);
        if !measured && !self.around.validation.is_empty() {
            self.validate(observer)?;
        }
        if self.stopped() {
            self.save(observer)?;
            return Ok(None);
        }
        self.state.seconds = self.clock.seconds();
        let (loss, _) = self.shown();
        Ok(Some(ModelSummary {
            frames: self.around.frames,
            iterations: self.state.iteration,
            seconds: self.state.seconds,
            loss,
            best: self.state.best,
        }))
    }

    /// Writes the last checkpoint, once the results are in the model directory.
    pub(crate) fn close(&mut self, observer: &mut Observer<'_>) -> Result<(), TrainError> {
        self.state.finished.get_or_insert(self.state.iteration);
        self.state.kept = Some(self.state.iteration);
        self.save(observer).map(drop)
    }

    /// The network's size, the tensors to keep (best by validation, else last), and the last ones.
    pub(crate) fn results(&self) -> Result<(NetConfig, Vec<NamedTensor>, Vec<NamedTensor>), TrainError> {
        let last = match &self.measured {
            Some((iteration, tensors)) if *iteration == self.state.iteration => tensors.clone(),
            _ => self.candidate()?,
        };
        let kept = self.best.clone().unwrap_or_else(|| last.clone());
        Ok((self.net.config().clone(), kept, last))
    }

    /// Scores of the kept weights.
    pub(crate) fn kept_scores(&self) -> Option<(u64, Scores)> {
        self.state.best
    }
}

/// How often and on how many sections to validate within `seconds` in all, if a validation takes `fixed` seconds and
/// `section` more for each section: often first, then on many sections. Once, at the end, in any case.
fn plan(seconds: f64, fixed: f64, section: f64, most: u32) -> Plan {
    let validations = ((seconds / (fixed + 2.0 * section)) as u64).clamp(1, VALIDATIONS);
    let sections = ((seconds / validations as f64 - fixed) / section).clamp(1.0, f64::from(most)) as u32;
    Plan { validations, sections }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validation_takes_its_share_of_the_time_and_no_more() {
        assert_eq!(plan(480.0, 1.0, 1.0, 8), Plan { validations: 6, sections: 8 });
        assert_eq!(plan(24.0, 1.0, 1.0, 8), Plan { validations: 6, sections: 3 });
        assert_eq!(plan(8.0, 2.0, 1.0, 8), Plan { validations: 2, sections: 2 });
        assert_eq!(plan(0.1, 2.0, 1.0, 8), Plan { validations: 1, sections: 1 });
    }
}
