//! The four counts that every score stands on.

use serde::{Deserialize, Serialize};

/// How many voxels (or objects) were predicted right and wrong.
///
/// Ratios follow the CDeep3M paper: precision = TP / (TP + FP), recall = TP / (TP + FN), F1 = 2 TP / (2 TP + FP + FN),
/// Jaccard = TP / (TP + FP + FN). Where a denominator is zero the ratio says nothing, and is `None` (JSON `null`): never
/// 0 or 1, which would pass for a measurement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Confusion {
    /// Foreground found as foreground.
    pub tp: u64,
    /// Background taken for foreground.
    pub fp: u64,
    /// Foreground taken for background.
    #[serde(rename = "fn")]
    pub fn_: u64,
    /// Background left as background.
    pub tn: u64,
}

fn ratio(numerator: u64, denominator: u64) -> Option<f64> {
    (denominator > 0).then(|| numerator as f64 / denominator as f64)
}

impl Confusion {
    /// Counts one voxel.
    pub const fn add(&mut self, predicted: bool, truth: bool) {
        self.add_many(predicted, truth, 1);
    }

    /// Counts `n` voxels of one kind.
    pub const fn add_many(&mut self, predicted: bool, truth: bool, n: u64) {
        match (predicted, truth) {
            (true, true) => self.tp += n,
            (true, false) => self.fp += n,
            (false, true) => self.fn_ += n,
            (false, false) => self.tn += n,
        }
    }

    /// Adds the counts of another part of the data. Order does not matter.
    pub const fn merge(&mut self, other: &Self) {
        self.tp += other.tp;
        self.fp += other.fp;
        self.fn_ += other.fn_;
        self.tn += other.tn;
    }

    /// All voxels counted.
    pub const fn total(&self) -> u64 {
        self.tp + self.fp + self.fn_ + self.tn
    }

    /// The share of what was predicted that is there; `None` where nothing was predicted.
    pub fn precision(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp)
    }

    /// The share of what is there that was predicted; `None` where nothing is there.
    pub fn recall(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fn_)
    }

    /// The harmonic mean of precision and recall (Dice coefficient); `None` where nothing is there and nothing was
    /// predicted.
    pub fn f1(&self) -> Option<f64> {
        ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn_)
    }

    /// Intersection over union of the foreground; `None` where nothing is there and nothing was predicted.
    pub fn jaccard(&self) -> Option<f64> {
        ratio(self.tp, self.tp + self.fp + self.fn_)
    }

    /// The share of all voxels that is right; `None` where there are no voxels.
    pub fn accuracy(&self) -> Option<f64> {
        ratio(self.tp + self.tn, self.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ratios_of_a_worked_example() {
        let c = Confusion { tp: 6, fp: 2, fn_: 4, tn: 8 };
        assert_eq!(c.precision(), Some(0.75));
        assert_eq!(c.recall(), Some(0.6));
        assert_eq!(c.f1(), Some(12.0 / 18.0));
        assert_eq!(c.jaccard(), Some(0.5));
        assert_eq!(c.accuracy(), Some(0.7));
    }

    #[test]
    fn a_ratio_of_nothing_is_none() {
        let none = Confusion::default();
        assert_eq!([none.precision(), none.recall(), none.f1(), none.jaccard(), none.accuracy()], [None; 5]);
        let empty = Confusion { tn: 9, ..none };
        assert_eq!((empty.jaccard(), empty.accuracy()), (None, Some(1.0)));
    }

    proptest! {
        #[test]
        fn parts_sum_to_the_whole(voxels in prop::collection::vec(any::<(bool, bool)>(), 0..200), cut in 0_usize..200) {
            let count = |v: &[(bool, bool)]| {
                let mut c = Confusion::default();
                for &(p, t) in v {
                    c.add(p, t);
                }
                c
            };
            let cut = cut.min(voxels.len());
            let mut parts = count(&voxels[..cut]);
            parts.merge(&count(&voxels[cut..]));
            prop_assert_eq!(parts, count(&voxels));
            prop_assert_eq!(parts.total(), voxels.len() as u64);
        }

        #[test]
        fn f1_and_jaccard_say_the_same(tp in 0_u64..99, fp in 0_u64..99, fn_ in 0_u64..99) {
            let c = Confusion { tp, fp, fn_, tn: 0 };
            if let (Some(f), Some(j)) = (c.f1(), c.jaccard()) {
                prop_assert!((f - 2.0 * j / (1.0 + j)).abs() < 1e-12);
            }
        }
    }
}
