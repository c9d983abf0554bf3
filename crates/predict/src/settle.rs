//! When more variations could hardly change which side of the threshold a voxel is on.
//!
//! The variations of a section are walked in a fixed order, in rounds: one pass through each model. After k of N rounds the
//! mean of all N differs from the mean so far by about s · √((N − k) / (N · k)), s being the spread of a round's answer (the
//! finite population correction). So a voxel at distance d from the threshold will have changed sides with probability
//! Φ(−d / that). The sum over the section is the number of voxels that are expected to change sides; when it is a small share
//! of the foreground, the section is done.
//!
//! Two or three rounds say little about one voxel's spread. It is drawn towards that of all voxels of about the same
//! probability, as if these were some rounds more.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::PredictError;

/// When a section has had enough variations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlyStop {
    /// The probability that parts foreground from background.
    pub threshold: f32,
    /// The voxels that may be expected to change sides if all variations were walked, as a share of the foreground's.
    pub tolerance: f64,
}

impl EarlyStop {
    /// Default of [`Self::tolerance`].
    pub const TOLERANCE: f64 = 0.03;
    /// Rounds without which there is no spread.
    const FEWEST: usize = 2;
    /// As many rounds count what voxels of the same probability say of the spread.
    const PRIOR: f64 = 2.0;
    /// Kinds of voxels, by their probability.
    const KINDS: usize = 20;
    /// A section with less foreground than this share counts as if it had so much: else one without any were never done.
    const LEAST: f64 = 0.01;

    /// # Errors
    /// [`PredictError::Share`] for a threshold or tolerance that is none from 0 to 1.
    pub(crate) fn check(&self) -> Result<(), PredictError> {
        for (name, found) in [("threshold", f64::from(self.threshold)), ("tolerance", self.tolerance)] {
            if !(0.0..=1.0).contains(&found) {
                return Err(PredictError::Share { name, found });
            }
        }
        Ok(())
    }
}

/// What the rounds of a section have said so far.
pub(crate) struct Rounds {
    stop: EarlyStop,
    /// Rounds in all.
    all: usize,
    done: usize,
    /// For each pixel the sum, over rounds, of the probability's distance from the threshold; and of its square.
    sum: Vec<f32>,
    squares: Vec<f32>,
}

impl Rounds {
    pub(crate) fn new(stop: EarlyStop, all: usize, pixels: usize) -> Self {
        Self { stop, all, done: 0, sum: vec![0.0; pixels], squares: vec![0.0; pixels] }
    }

    /// Adds a round: the mean over the models of one pass each.
    pub(crate) fn add(&mut self, round: &[f32]) {
        let threshold = self.stop.threshold;
        let sums = self.sum.par_iter_mut().zip(&mut self.squares);
        sums.zip(round).for_each(|((sum, square), p)| {
            let distance = p - threshold;
            *sum += distance;
            *square += distance * distance;
        });
        self.done += 1;
    }

    /// Whether more rounds would hardly change a core's answer: `rows` and `columns` of a section `width` pixels wide.
    pub(crate) fn settled(&self, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>, width: usize) -> bool {
        if self.done >= self.all {
            return true;
        }
        if self.done < EarlyStop::FEWEST || self.stop.tolerance <= 0.0 {
            return false;
        }
        let done = self.done as f64;
        let row = |row: usize| {
            let part = row * width + columns.start..row * width + columns.end;
            self.sum[part.clone()].iter().zip(&self.squares[part]).map(|(sum, square)| {
                let mean = f64::from(*sum) / done;
                (mean, (f64::from(*square) - f64::from(*sum) * mean).max(0.0))
            })
        };
        let kind = |mean: f64| {
            let p = (mean + f64::from(self.stop.threshold)).clamp(0.0, 1.0);
            ((p * EarlyStop::KINDS as f64) as usize).min(EarlyStop::KINDS - 1)
        };
        // Row by row, and rows in order, so that sums do not depend on the number of threads.
        let of_kinds: Vec<_> = rows
            .clone()
            .into_par_iter()
            .map(|y| {
                let mut sums = [(0.0, 0_u64); EarlyStop::KINDS];
                for (mean, deviation) in row(y) {
                    let (sum, count) = &mut sums[kind(mean)];
                    *sum += deviation;
                    *count += 1;
                }
                sums
            })
            .collect();
        let usual: [f64; EarlyStop::KINDS] = std::array::from_fn(|kind| {
            let (sum, count) = of_kinds.iter().fold((0.0, 0), |(a, n), row| (a + row[kind].0, n + row[kind].1));
            sum / (count.max(1) as f64 * (done - 1.0))
        });
        let left = (self.all - self.done) as f64 / (self.all as f64 * done);
        let expected: Vec<_> = rows
            .into_par_iter()
            .map(|y| {
                let (mut changes, mut foreground) = (0.0, 0_u64);
                for (mean, deviation) in row(y) {
                    let prior = EarlyStop::PRIOR;
                    let variance = (deviation + prior * usual[kind(mean)]) / (done - 1.0 + prior);
                    changes += beyond(mean.abs() / (variance * left).sqrt().max(1e-9));
                    foreground += u64::from(mean > 0.0);
                }
                (changes, foreground, row(y).len())
            })
            .collect();
        let (changes, foreground, pixels) = expected
            .iter()
            .fold((0.0, 0, 0), |(a, b, c), (changes, foreground, pixels)| (a + changes, b + foreground, c + pixels));
        let foreground = (foreground as f64).max(EarlyStop::LEAST * pixels as f64);
        changes <= self.stop.tolerance * foreground
    }

    /// The mean of the rounds so far.
    pub(crate) fn into_mean(self) -> Vec<f32> {
        let (share, threshold) = (1.0 / self.done.max(1) as f32, self.stop.threshold);
        let mut mean = self.sum;
        mean.par_iter_mut().for_each(|sum| *sum = (*sum * share + threshold).clamp(0.0, 1.0));
        mean
    }
}

/// The probability of a normally distributed number above `x` ≥ 0: half of erfc(x / √2), by 7.1.26 of Abramowitz and
/// Stegun, "Handbook of Mathematical Functions" (to 1e-7).
fn beyond(x: f64) -> f64 {
    if x > 6.0 {
        return 0.0;
    }
    let x = x * std::f64::consts::FRAC_1_SQRT_2;
    let t = 1.0 / (1.0 + 0.327_591_1 * x);
    let series =
        t * (0.254_829_592 + t * (-0.284_496_736 + t * (1.421_413_741 + t * (-1.453_152_027 + t * 1.061_405_429))));
    0.5 * series * (-x * x).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_the_normal_distribution() {
        for (x, expected) in [(0.0, 0.5), (1.0, 0.158_655_25), (1.959_964, 0.025), (3.0, 0.001_349_898)] {
            assert!((beyond(x) - expected).abs() < 1e-6, "{x}: {}", beyond(x));
        }
        assert!(beyond(f64::NAN).is_nan());
    }

    /// Noise around `p`, other in each round; its spread is 0.05.
    fn round(p: f32, number: u64, pixels: u64) -> Vec<f32> {
        let noise = |i: u64| {
            let bits = (i + 1000 * number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            ((bits ^ (bits >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as f32 / (1 << 24) as f32 - 0.5
        };
        (0..pixels).map(|i| p + 0.05 * 12_f32.sqrt() * noise(i)).collect()
    }

    fn rounds_until_settled(p: f32, tolerance: f64) -> usize {
        let stop = EarlyStop { threshold: 0.5, tolerance };
        let mut rounds = Rounds::new(stop, 16, 400);
        while !rounds.settled(0..20, 0..20, 20) {
            rounds.add(&round(p, rounds.done as u64, 400));
        }
        rounds.done
    }

    #[test]
    fn what_is_clear_is_done_and_what_is_not_goes_on() {
        assert_eq!(rounds_until_settled(0.9, 0.03), 2, "far from the threshold");
        let near = [0.52, 0.55, 0.60].map(|p| rounds_until_settled(p, 0.03));
        assert!(near.is_sorted_by(|a, b| a >= b) && near[0] > 4, "{near:?}");
        assert_eq!(rounds_until_settled(0.5, 0.03), 16, "at the threshold only all will do");
        assert_eq!(rounds_until_settled(0.55, 0.0), 16, "without tolerance");
        assert_eq!(rounds_until_settled(0.0, 0.03), 2, "without foreground");
    }

    /// About as many change sides as expected, and not less than half: else the tolerance were no promise. Fewer do after
    /// many rounds because all voxels are above the threshold here: with 8 of 16 rounds P(change) = 0.040, expected are 0.065
    /// from means that vary by 0.05 / √8 around 0.03.
    #[test]
    fn as_many_change_sides_as_expected() {
        let (pixels, all) = (10_000, 16);
        let values: Vec<Vec<f32>> = (0..all).map(|number| round(0.53, number, pixels)).collect();
        let side = |count: usize, i: usize| values[..count].iter().map(|v| v[i] - 0.5).sum::<f32>() > 0.0;
        for done in [2, 4, 8] {
            let changed = (0..pixels as usize).filter(|&i| side(done, i) != side(all as usize, i)).count() as f64;
            let settled = |tolerance: f64| {
                let mut rounds = Rounds::new(EarlyStop { threshold: 0.5, tolerance }, all as usize, pixels as usize);
                values[..done].iter().for_each(|round| rounds.add(round));
                rounds.settled(0..100, 0..100, 100)
            };
            let foreground = (0..pixels as usize).filter(|&i| side(done, i)).count() as f64;
            assert!(settled(2.0 * changed / foreground), "{done} rounds: {changed} changed, far more are expected");
            assert!(!settled(0.8 * changed / foreground), "{done} rounds: {changed} changed, far fewer are expected");
        }
    }

    #[test]
    fn what_is_no_number_is_never_settled_early() {
        let mut rounds = Rounds::new(EarlyStop { threshold: 0.5, tolerance: 0.5 }, 4, 1);
        rounds.add(&[f32::NAN]);
        rounds.add(&[0.3]);
        assert!(!rounds.settled(0..1, 0..1, 1));
        assert!(rounds.into_mean()[0].is_nan());
    }
}
