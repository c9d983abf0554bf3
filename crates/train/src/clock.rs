//! How much of a model's training is done, counted in iterations or by the clock.

use std::time::Instant;

/// What ends a model's training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many weight updates.
    Iterations(u64),
    /// So many seconds, with everything that belongs to the model: validation, saving and the last estimates too.
    Seconds(f64),
}

/// Follows one model's training. Time goes on where a checkpoint left it.
#[derive(Clone, Debug)]
pub struct Clock {
    limit: Limit,
    before: f64,
    started: Instant,
    /// Seconds kept back for what comes after the last iteration.
    reserve: f64,
    /// The longest iteration seen lately, forgotten by a tenth with each.
    step: f64,
    last: f64,
}

impl Clock {
    /// A clock that has already run for `before` seconds.
    pub fn start(limit: Limit, before: f64) -> Self {
        // Until the first validation is timed, a twentieth of the time is kept back for the end.
        let reserve = match limit {
            Limit::Seconds(seconds) => 0.05 * seconds,
            Limit::Iterations(_) => 0.0,
        };
        Self { limit, before, started: Instant::now(), reserve, step: 0.0, last: before }
    }

    /// Seconds so far.
    pub fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Says that an iteration starts now.
    pub fn begin_iteration(&mut self) {
        self.last = self.seconds();
    }

    /// Says that the iteration ended.
    pub fn end_iteration(&mut self) {
        self.step = (self.seconds() - self.last).max(0.9 * self.step);
    }

    /// Seconds that an iteration takes, at most.
    pub const fn step(&self) -> f64 {
        self.step
    }

    /// Says how long validation, estimates and saving took: so long is kept back for the end, with a tenth to spare.
    pub fn keep_back(&mut self, seconds: f64) {
        if matches!(self.limit, Limit::Seconds(_)) {
            self.reserve = 1.1 * seconds;
        }
    }

    /// The share of the iterations that is done, 0 to 1.
    pub fn progress(&self, iteration: u64) -> f64 {
        match self.limit {
            Limit::Iterations(total) => iteration as f64 / total.max(1) as f64,
            Limit::Seconds(total) => self.seconds() / (total - self.reserve).max(f64::MIN_POSITIVE),
        }
        .min(1.0)
    }

    /// Whether no further iteration fits.
    pub fn is_over(&self, iteration: u64) -> bool {
        match self.limit {
            Limit::Iterations(total) => iteration >= total,
            // At least one, so that there is a model.
            Limit::Seconds(total) => iteration > 0 && self.seconds() + self.step > total - self.reserve,
        }
    }

    /// Iterations in all; under a time limit an estimate from the rate so far.
    pub fn expected_iterations(&self, iteration: u64) -> u64 {
        match self.limit {
            Limit::Iterations(total) => total,
            Limit::Seconds(_) => {
                ((iteration as f64 / self.progress(iteration).max(1e-6)).round() as u64).max(iteration)
            }
        }
    }

    /// What ends the training.
    pub const fn limit(&self) -> Limit {
        self.limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_counted() {
        let clock = Clock::start(Limit::Iterations(4), 0.0);
        assert_eq!((clock.progress(1), clock.is_over(3), clock.is_over(4)), (0.25, false, true));
        assert_eq!(clock.expected_iterations(1), 4);
    }

    #[test]
    fn time_goes_on_where_it_was_and_keeps_something_back() {
        let mut clock = Clock::start(Limit::Seconds(100.0), 50.0);
        assert!((clock.progress(7) - 50.0 / 95.0).abs() < 0.01);
        assert!(!clock.is_over(7));
        clock.keep_back(50.0);
        assert!(clock.is_over(7), "55 of 100 seconds are kept back");
        assert!(!clock.is_over(0), "one iteration is always made");
        assert_eq!(Clock::start(Limit::Seconds(1.0), 5.0).progress(1), 1.0);
    }
}
