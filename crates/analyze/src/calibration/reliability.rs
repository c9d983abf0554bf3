//! The reliability diagram: what was said against what was so.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scores::Levels;

/// Bins of a reliability diagram.
const BINS: u64 = 20;

/// How far probabilities are what they say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Twenty bins of equal width; a probability on a border belongs to the lower bin.
    pub bins: Vec<ReliabilityBin>,
    /// The expected calibration error (Guo et al., ICML 2017): the mean over all voxels of the distance between the mean
    /// probability and the share of foreground of their bin. 0 is perfect. `None` without a voxel.
    pub expected_calibration_error: Option<f64>,
    /// The Brier score: the mean of (p − truth)². 0 is perfect; `None` without a voxel.
    pub brier_score: Option<f64>,
}

/// The voxels whose probabilities lie in a range.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// More than this (the first bin: from 0 on).
    pub from: f64,
    /// Up to this.
    pub to: f64,
    /// Voxels.
    pub voxels: u64,
    /// Their mean probability; `None` without a voxel.
    pub mean_probability: Option<f64>,
    /// The share of them that is foreground in the truth.
    pub foreground: Option<f64>,
}

impl Reliability {
    /// Of counted values, where `one` is p = 1 and larger values do not occur.
    pub(crate) fn of(levels: &Levels, one: u32) -> Self {
        let one = u64::from(one.max(1));
        // Voxels, those of them that are foreground, and the sum of their values.
        let mut sums = [(0_u64, 0_u64, 0_u128); BINS as usize];
        let (mut all, mut squares) = (0_u64, 0_u128);
        for (value, (background, foreground)) in levels.by_value().enumerate() {
            let value = (value as u64).min(one);
            let bin = (BINS * value).div_ceil(one).saturating_sub(1) as usize;
            let voxels = background + foreground;
            sums[bin].0 += voxels;
            sums[bin].1 += foreground;
            sums[bin].2 += u128::from(voxels) * u128::from(value);
            let square = |count: u64, off: u64| u128::from(count) * u128::from(off) * u128::from(off);
            squares += square(background, value) + square(foreground, one - value);
            all += voxels;
        }
        let of = |sum: f64, voxels: u64| (voxels > 0).then(|| sum / voxels as f64);
        let one = one as f64;
        let bins = (0..BINS).zip(sums).map(|(i, (voxels, foreground, values))| ReliabilityBin {
            from: i as f64 / BINS as f64,
            to: (i + 1) as f64 / BINS as f64,
            voxels,
            mean_probability: of(values as f64 / one, voxels),
            foreground: of(foreground as f64, voxels),
        });
        let off: f64 =
            sums.iter().map(|&(_, foreground, values)| (values as f64 / one - foreground as f64).abs()).sum();
        Self {
            bins: bins.collect(),
            expected_calibration_error: of(off, all),
            brier_score: of(squares as f64 / (one * one), all),
        }
    }
}

impl fmt::Display for Reliability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Some(error), Some(brier)) = (self.expected_calibration_error, self.brier_score) else {
            return writeln!(f, "calibration: no voxel");
        };
        writeln!(f, "  probability         voxels  mean p  foreground")?;
        for bin in &self.bins {
            if let (Some(mean), Some(foreground)) = (bin.mean_probability, bin.foreground) {
                let (from, to, voxels) = (bin.from, bin.to, bin.voxels);
                writeln!(f, "  {from:.2} to {to:.2} {voxels:>14}  {mean:>6.3}  {foreground:>10.3}")?;
            }
        }
        writeln!(f, "expected calibration error {error:.4}, Brier score {brier:.4}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_errors_and_borders_of_a_worked_example() {
        let mut levels = Levels::new(255);
        // p = 0.2 lies on a border; 51 of 255.
        for (value, truth) in [(0, false), (51, false), (51, true), (255, true), (204, false)] {
            levels.add(value, truth);
        }
        let found = Reliability::of(&levels, 255);
        let filled: Vec<(usize, u64)> =
            found.bins.iter().enumerate().filter(|(_, bin)| bin.voxels > 0).map(|(i, bin)| (i, bin.voxels)).collect();
        assert_eq!(filled, [(0, 1), (3, 2), (15, 1), (19, 1)]);
        assert_eq!((found.bins[3].mean_probability, found.bins[3].foreground), (Some(0.2), Some(0.5)));
        let (error, brier) = (found.expected_calibration_error.unwrap(), found.brier_score.unwrap());
        assert!((error - (2.0 * 0.3 + 0.8) / 5.0).abs() < 1e-12);
        assert!((brier - (0.04 + 0.64 + 0.64) / 5.0).abs() < 1e-12);
        assert_eq!(Reliability::of(&Levels::new(255), 255).brier_score, None);
    }
}
