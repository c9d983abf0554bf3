//! From counts of grey levels to scores at any threshold.

use serde::{Deserialize, Serialize};

use crate::Confusion;

/// The scores of a prediction at one threshold, with one exclusion zone. A score without a meaning is `None`, in JSON
/// `null`; see [`Confusion`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoxelScore {
    /// Voxels within this distance of the truth's borders are left out.
    pub exclusion: u32,
    /// Foreground is where the probability is at least this.
    pub threshold: f64,
    /// TP / (TP + FP).
    pub precision: Option<f64>,
    /// TP / (TP + FN).
    pub recall: Option<f64>,
    /// 2 TP / (2 TP + FP + FN).
    pub f1: Option<f64>,
    /// TP / (TP + FP + FN).
    pub jaccard: Option<f64>,
    /// (TP + TN) / all.
    pub accuracy: Option<f64>,
}

impl VoxelScore {
    /// The scores of some counts.
    pub fn new(exclusion: u32, threshold: f64, counts: &Confusion) -> Self {
        Self {
            exclusion,
            threshold,
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            jaccard: counts.jaccard(),
            accuracy: counts.accuracy(),
        }
    }
}

/// How many voxels of each class have each value of the prediction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Levels {
    background: Vec<u64>,
    foreground: Vec<u64>,
}

impl Levels {
    /// For predictions with values from 0 to `max`.
    pub(crate) fn new(max: u32) -> Self {
        let zeros = vec![0; max as usize + 1];
        Self { background: zeros.clone(), foreground: zeros }
    }

    pub(crate) fn add(&mut self, value: u32, truth: bool) {
        let of_class = if truth { &mut self.foreground } else { &mut self.background };
        of_class[value as usize] += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        for (a, b) in self.background.iter_mut().zip(&other.background) {
            *a += b;
        }
        for (a, b) in self.foreground.iter_mut().zip(&other.foreground) {
            *a += b;
        }
    }

    /// For each value from 0 on the voxels of background and of foreground that have it.
    pub(crate) fn by_value(&self) -> impl ExactSizeIterator<Item = (u64, u64)> + '_ {
        self.background.iter().copied().zip(self.foreground.iter().copied())
    }

    /// Values that occur besides 0, ascending.
    pub(crate) fn values_above_0(&self) -> impl Iterator<Item = u32> + '_ {
        (1..self.background.len()).filter(|&v| self.background[v] + self.foreground[v] > 0).map(|v| v as u32)
    }

    /// The counts when values of at least `level` are foreground.
    pub(crate) fn at(&self, level: u32) -> Confusion {
        let split = |counts: &[u64]| {
            let (below, above) = counts.split_at((level as usize).min(counts.len()));
            (below.iter().sum(), above.iter().sum())
        };
        let ((tn, fp), (fn_, tp)) = (split(&self.background), split(&self.foreground));
        Confusion { tp, fp, fn_, tn }
    }

    /// The level above 0 with the highest Jaccard index, the lowest of several; `None` where there is no foreground.
    pub(crate) fn best(&self) -> Option<u32> {
        let total: u64 = self.foreground.iter().sum();
        if total == 0 {
            return None;
        }
        let (mut tp, mut fp) = (0_u64, 0_u64);
        let mut best = (0_u128, 1_u128, 1_u32);
        for level in (1..self.background.len()).rev() {
            tp += self.foreground[level];
            fp += self.background[level];
            // tp / (total + fp) compared as fractions: exact.
            let (n, d) = (u128::from(tp), u128::from(total + fp));
            if n * best.1 >= best.0 * d {
                best = (n, d, level as u32);
            }
        }
        Some(best.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn counts_are_those_of_the_voxels(voxels in prop::collection::vec((0_u32..=15, any::<bool>()), 0..60), level in 0_u32..=16) {
            let mut levels = Levels::new(15);
            let mut counts = Confusion::default();
            for &(value, truth) in &voxels {
                levels.add(value, truth);
                counts.add(value >= level, truth);
            }
            prop_assert_eq!(levels.at(level), counts);
            if let Some(best) = levels.best() {
                let highest = (1..=15).filter_map(|l| levels.at(l).jaccard()).fold(0.0, f64::max);
                prop_assert_eq!(levels.at(best).jaccard().unwrap(), highest);
                prop_assert!((1..best).all(|l| levels.at(l).jaccard().unwrap() < highest));
            }
        }
    }
}
