//! How well the objects of a segmentation agree with the true ones.
//!
//! All of it comes from one table, counted block by block: how many voxels each pair of objects shares.
//!
//! - **Matches**: a predicted and a true object match at a threshold t if their intersection over union (IoU) is at least t; each
//!   has one match at most. From the matches (TP), the predicted (FP) and the true objects (FN) without one: precision, recall,
//!   F1 = 2 TP / (2 TP + FP + FN), and TP / (TP + FP + FN), which StarDist and the Data Science Bowl 2018 call average precision.
//!   Panoptic quality (Kirillov et al., CVPR 2019) = the sum of the matches' IoU / (TP + FP/2 + FN/2).
//! - **Adapted Rand error** (Arganda-Carreras et al., Frontiers in Neuroanatomy 2015): 1 − the F1 of "these two voxels are of one
//!   object" over all pairs of voxels where the truth is no background.
//! - **Variation of information** (Meilă 2003) over the same voxels, in bits: split = H(prediction | truth), merge =
//!   H(truth | prediction).
//!
//! Where there is nothing to find and nothing was found, all scores are perfect.

mod contingency;
mod marginals;

use std::collections::HashSet;
use std::fmt;

use deep3m_volume::{Region, Volume};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use crate::inputs::{Allowance, must_be_labels, part_of, same_extent};
use contingency::{Contingency, Pair};
use marginals::Marginals;

/// Thresholds of IoU in twentieths: 0.50, 0.55, … 0.95.
const TWENTIETHS: std::ops::RangeInclusive<u8> = 10..=19;

/// How well objects agree.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Predicted objects.
    pub predicted: u64,
    /// True objects.
    pub truth: u64,
    /// Matches at each threshold of IoU: 0.5, 0.55, … 0.95.
    pub matches: Vec<Matches>,
    /// The mean of TP / (TP + FP + FN) over these thresholds.
    pub mean_average_precision: f64,
    /// 1 − the F1 of pairs of voxels; 0 is perfect.
    pub adapted_rand_error: f64,
    /// Of the pairs of voxels that are of one predicted object, those that are of one true object.
    pub rand_precision: f64,
    /// Of the pairs of voxels that are of one true object, those that are of one predicted object.
    pub rand_recall: f64,
    /// H(prediction | truth) in bits: true objects that fall apart; 0 is perfect.
    pub vi_split: f64,
    /// H(truth | prediction) in bits: true objects that are run together; 0 is perfect.
    pub vi_merge: f64,
}

/// Matches at a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Matches {
    /// The least intersection over union of a match.
    pub iou: f64,
    /// Matches.
    pub true_positives: u64,
    /// Predicted objects without a match.
    pub false_positives: u64,
    /// True objects without a match.
    pub false_negatives: u64,
    /// TP / (TP + FP).
    pub precision: f64,
    /// TP / (TP + FN).
    pub recall: f64,
    /// 2 TP / (2 TP + FP + FN).
    pub f1: f64,
    /// TP / (TP + FP + FN).
    pub average_precision: f64,
    /// The sum of the matches' IoU / (TP + FP/2 + FN/2).
    pub panoptic_quality: f64,
}

/// Compares the objects of two label volumes (numbers, 0 is background), or of a part of both. Memory is some blocks per thread,
/// and a table of the pairs of objects that share voxels. `progress` hears the voxels of each block; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::ShapeMismatch`], a region that sticks out, [`AnalyzeError::NotLabels`]; [`AnalyzeError::TooMany`] for a table
/// that outgrows the memory; [`AnalyzeError::Interrupted`] when told to stop; what reading met.
pub fn agreement(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    region: Option<Region>,
    memory: Allowance,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Agreement, AnalyzeError> {
    let (a, b) = (prediction.info(), truth.info());
    same_extent(a, b)?;
    must_be_labels(a)?;
    must_be_labels(b)?;
    let region = part_of(a, region)?;
    Ok(Agreement::of(&Contingency::of(prediction, truth, region, memory, progress)?))
}

impl Agreement {
    fn of(table: &Contingency) -> Self {
        let pairs = &table.pairs;
        let sizes = Marginals::of(pairs);
        let (found, there) = (sizes.predicted.len() as u64, sizes.truth.len() as u64);
        // Above a half each object has one partner at most; at exactly a half the first of two.
        let mut overlaps: Vec<(u64, u64, u32, u32)> = Vec::new();
        for &((p, t), voxels) in pairs {
            if let (Some(a), Some(b)) = (sizes.predicted.get(&p), sizes.truth.get(&t)) {
                let union = a.voxels + b - voxels;
                if 2 * voxels >= union {
                    overlaps.push((voxels, union, p, t));
                }
            }
        }
        overlaps.sort_by(|a, b| {
            let (left, right) = (u128::from(a.0) * u128::from(b.1), u128::from(b.0) * u128::from(a.1));
            right.cmp(&left).then((a.2, a.3).cmp(&(b.2, b.3)))
        });
        let (mut taken_p, mut taken_t) = (HashSet::new(), HashSet::new());
        overlaps.retain(|&(_, _, p, t)| {
            let free = !taken_p.contains(&p) && !taken_t.contains(&t);
            if free {
                taken_p.insert(p);
                taken_t.insert(t);
            }
            free
        });
        let matches: Vec<Matches> = TWENTIETHS.map(|n| Matches::at(n, &overlaps, found, there)).collect();
        let mean = matches.iter().map(|m| m.average_precision).sum::<f64>() / matches.len() as f64;
        let rand = Rand::of(pairs, &sizes);
        let (vi_split, vi_merge) = variation(pairs, &sizes);
        Self {
            predicted: found,
            truth: there,
            matches,
            mean_average_precision: mean,
            adapted_rand_error: 1.0 - rand.f1,
            rand_precision: rand.precision,
            rand_recall: rand.recall,
            vi_split,
            vi_merge,
        }
    }
}

impl Matches {
    fn at(twentieths: u8, overlaps: &[(u64, u64, u32, u32)], predicted: u64, truth: u64) -> Self {
        let good = |&&(shared, union, ..): &&(u64, u64, u32, u32)| {
            20 * u128::from(shared) >= u128::from(twentieths) * u128::from(union)
        };
        let good: Vec<_> = overlaps.iter().filter(good).collect();
        let tp = good.len() as u64;
        let (fp, fn_) = (predicted - tp, truth - tp);
        // Not sum(): that of nothing is -0.
        let quality = good.iter().fold(0.0, |sum, &&(shared, union, ..)| sum + shared as f64 / union as f64);
        let half = (fp + fn_) as f64 / 2.0;
        Self {
            iou: f64::from(twentieths) / 20.0,
            true_positives: tp,
            false_positives: fp,
            false_negatives: fn_,
            precision: share(tp as f64, (tp + fp) as f64),
            recall: share(tp as f64, (tp + fn_) as f64),
            f1: share(tp as f64, tp as f64 + half),
            average_precision: share(tp as f64, (tp + fp + fn_) as f64),
            panoptic_quality: share(quality, tp as f64 + half),
        }
    }
}

/// A part of all; of nothing it is all.
fn share(part: f64, all: f64) -> f64 {
    if all > 0.0 { part / all } else { 1.0 }
}

/// Pairs of voxels where the truth is no background.
struct Rand {
    precision: f64,
    recall: f64,
    f1: f64,
}

impl Rand {
    fn of(pairs: &[Pair], sizes: &Marginals) -> Self {
        let two = |n: u64| u128::from(n) * u128::from(n.saturating_sub(1));
        let both = inside(pairs).map(|&(_, voxels)| two(voxels)).sum::<u128>() as f64;
        let in_prediction = sizes.inside().map(|(_, voxels)| two(voxels)).sum::<u128>() as f64;
        let in_truth = sizes.truth.values().map(|&voxels| two(voxels)).sum::<u128>() as f64;
        Self {
            precision: share(both, in_prediction),
            recall: share(both, in_truth),
            f1: share(2.0 * both, in_prediction + in_truth),
        }
    }
}

/// The pairs where the truth is no background.
fn inside(pairs: &[Pair]) -> impl Iterator<Item = &Pair> {
    pairs.iter().filter(|((_, t), _)| *t != 0)
}

/// H(prediction | truth) and H(truth | prediction) in bits, where the truth is no background.
fn variation(pairs: &[Pair], sizes: &Marginals) -> (f64, f64) {
    let all = sizes.truth.values().sum::<u64>() as f64;
    let (mut split, mut merge) = (0.0, 0.0);
    for &((p, t), voxels) in inside(pairs) {
        let voxels = voxels as f64;
        split -= voxels / all * (voxels / sizes.truth[&t] as f64).log2();
        merge -= voxels / all * (voxels / sizes.inside_of(p) as f64).log2();
    }
    // No sum is below 0 but by rounding.
    (split.max(0.0), merge.max(0.0))
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} objects predicted, {} in the truth", self.predicted, self.truth)?;
        writeln!(f)?;
        writeln!(f, "  IoU  matches  only predicted  only true  precision  recall     F1  panoptic")?;
        for m in &self.matches {
            writeln!(
                f,
                " {:.2}  {:>7}  {:>14}  {:>9}      {:.3}   {:.3}  {:.3}     {:.3}",
                m.iou,
                m.true_positives,
                m.false_positives,
                m.false_negatives,
                m.precision,
                m.recall,
                m.f1,
                m.panoptic_quality
            )?;
        }
        writeln!(f)?;
        writeln!(f, "mean average precision {:.3}", self.mean_average_precision)?;
        writeln!(
            f,
            "adapted Rand error {:.4} (precision {:.4}, recall {:.4})",
            self.adapted_rand_error, self.rand_precision, self.rand_recall
        )?;
        writeln!(f, "variation of information: split {:.4}, merge {:.4} bits", self.vi_split, self.vi_merge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(u32, u32, u64)]) -> Agreement {
        Agreement::of(&Contingency::in_order(pairs.iter().map(|&(p, t, voxels)| ((p, t), voxels)).collect()))
    }

    #[test]
    fn the_same_objects_under_other_names_are_perfect() {
        let same = of(&[(0, 0, 1000), (7, 1, 50), (3, 2, 60), (9, 3, 1)]);
        assert_eq!((same.predicted, same.truth), (3, 3));
        assert!(same.matches.iter().all(|m| m.true_positives == 3 && m.f1 == 1.0 && m.panoptic_quality == 1.0));
        assert_eq!((same.mean_average_precision, same.adapted_rand_error), (1.0, 0.0));
        assert_eq!((same.vi_split, same.vi_merge), (0.0, 0.0));
        let nothing = of(&[(0, 0, 10)]);
        assert_eq!((nothing.matches[0].f1, nothing.adapted_rand_error, nothing.vi_split), (1.0, 0.0, 0.0));
    }

    #[test]
    fn what_falls_apart_and_what_runs_together_is_told_apart() {
        // One true object in two equal halves: one of them matches at 0.5.
        let split = of(&[(0, 0, 10), (1, 1, 50), (2, 1, 50)]);
        assert_eq!((split.matches[0].true_positives, split.matches[0].false_positives), (1, 1));
        assert_eq!(split.matches[1].true_positives, 0);
        assert!(!split.to_string().contains("-0.000"));
        assert_eq!((split.vi_split, split.vi_merge), (1.0, 0.0));
        assert!(split.rand_precision == 1.0 && (split.rand_recall - 49.0 / 99.0).abs() < 1e-12);
        // Two true objects as one.
        let merged = of(&[(0, 0, 10), (1, 1, 50), (1, 2, 50)]);
        assert_eq!((merged.vi_split, merged.vi_merge), (0.0, 1.0));
        assert_eq!((merged.matches[0].true_positives, merged.matches[0].false_negatives), (1, 1));
    }

    #[test]
    fn missed_and_invented_objects_count() {
        let scores = of(&[(0, 0, 100), (1, 1, 80), (0, 1, 20), (2, 0, 30), (0, 2, 5)]);
        let half = scores.matches[0];
        assert_eq!((half.true_positives, half.false_positives, half.false_negatives), (1, 1, 1));
        assert!((half.panoptic_quality - 0.8 / 2.0).abs() < 1e-12);
        // 80 of 100: a match up to 0.8.
        let up_to = scores.matches.iter().filter(|m| m.true_positives == 1).map(|m| m.iou).next_back();
        assert_eq!(up_to, Some(0.8));
    }
}
