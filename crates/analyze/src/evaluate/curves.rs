//! Scores at every threshold, and what the probabilities are worth.

use super::scale::{Scale, lowest_value};
use crate::calibration::{Calibration, Reliability};
use crate::scores::Levels;
use crate::{Confusion, VoxelScore};

/// How often each value of a prediction lies on each class of the truth, in the first zone that was asked for.
#[derive(Clone, Debug)]
pub struct Curves {
    exclusion: u32,
    levels: Levels,
    scale: Scale,
    threshold: f64,
}

impl Curves {
    pub(super) const fn new(exclusion: u32, levels: Levels, scale: Scale, threshold: f64) -> Self {
        Self { exclusion, levels, scale, threshold }
    }

    /// The lowest value of the prediction that is foreground at the threshold of the comparison.
    pub fn level(&self) -> u32 {
        self.scale.level(self.threshold)
    }

    /// Scores at the thresholds 0, 1/255, 2/255, … 1: every one there is, for a prediction of 8 bits.
    pub fn scores(&self) -> Vec<VoxelScore> {
        let counts = |threshold: f64| -> Confusion { self.levels.at(lowest_value(threshold, self.scale.one)) };
        (0..=255)
            .map(|n| f64::from(n) / 255.0)
            .map(|threshold| VoxelScore::new(self.exclusion, threshold, &counts(threshold)))
            .collect()
    }

    /// How far a probability is the share of foreground that it says.
    pub fn reliability(&self) -> Reliability {
        Reliability::of(&self.levels, self.scale.one)
    }

    /// What makes the probabilities of this model true ones. `None` without a voxel.
    pub fn calibration(&self) -> Option<Calibration> {
        Calibration::of(&self.levels)
    }
}
