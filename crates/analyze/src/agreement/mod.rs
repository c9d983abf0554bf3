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

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use deep3m_volume::{Place, Region, Volume, VolumeError};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use contingency::Contingency;

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

/// Compares the objects of two label volumes (numbers, 0 is background), or of a part of both. `progress` hears the voxels
/// of each batch of blocks.
///
/// # Errors
/// [`AnalyzeError::ShapeMismatch`], a region that sticks out, [`AnalyzeError::NotLabels`]; what reading met.
pub fn agreement(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    region: Option<Region>,
    progress: &mut dyn FnMut(u64),
) -> Result<Agreement, AnalyzeError> {
    let (a, b) = (prediction.info(), truth.info());
    if a.extent != b.extent {
        return Err(AnalyzeError::ShapeMismatch {
            first: a.path.clone(),
            first_extent: a.extent,
            second: b.path.clone(),
            second_extent: b.extent,
        });
    }
    for info in [a, b] {
        if !info.voxel_type.is_unsigned() {
            return Err(AnalyzeError::NotLabels { path: info.path.clone(), found: info.voxel_type });
        }
    }
    let region = region.unwrap_or(Region::whole(a.extent));
    if !region.fits(a.extent) {
        return Err(VolumeError::OutOfBounds { place: Place::file(&a.path), region, extent: a.extent }.into());
    }
    Ok(Agreement::of(&Contingency::of(prediction, truth, region, progress)?))
}

impl Agreement {
    fn of(table: &Contingency) -> Self {
        let pairs = table.pairs();
        let (mut predicted, mut truth) = (BTreeMap::<u32, u64>::new(), BTreeMap::<u32, u64>::new());
        for &((p, t), voxels) in &pairs {
            *predicted.entry(p).or_default() += voxels;
            *truth.entry(t).or_default() += voxels;
        }
        predicted.remove(&0);
        truth.remove(&0);
        let (found, there) = (predicted.len() as u64, truth.len() as u64);
        // Above a half each object has one partner at most; at exactly a half the first of two.
        let mut overlaps: Vec<(u64, u64, u32, u32)> = Vec::new();
        for &((p, t), voxels) in &pairs {
            if let (Some(a), Some(b)) = (predicted.get(&p), truth.get(&t)) {
                let union = a + b - voxels;
                if 2 * voxels >= union {
                    overlaps.push((voxels, union, p, t));
                }
            }
        }
        overlaps.sort_by(|a, b| {
            let (left, right) = (u128::from(a.0) * u128::from(b.1), u128::from(b.0) * u128::from(a.1));
            right.cmp(&left).then((a.2, a.3).cmp(&(b.2, b.3)))
        });
        let (mut taken_p, mut taken_t) = (BTreeSet::new(), BTreeSet::new());
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
        let rand = Rand::of(&pairs);
        let (vi_split, vi_merge) = variation(&pairs);
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
        let quality: f64 = good.iter().map(|&&(shared, union, ..)| shared as f64 / union as f64).sum();
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
    fn of(pairs: &[((u32, u32), u64)]) -> Self {
        let (mut predicted, mut truth, mut both) = (BTreeMap::<u32, u64>::new(), BTreeMap::<u32, u64>::new(), 0_u128);
        let two = |n: u64| u128::from(n) * u128::from(n.saturating_sub(1));
        for &((p, t), voxels) in pairs.iter().filter(|((_, t), _)| *t != 0) {
            *predicted.entry(p).or_default() += voxels;
            *truth.entry(t).or_default() += voxels;
            both += two(voxels);
        }
        let sum = |of: &BTreeMap<u32, u64>| of.values().map(|&n| two(n)).sum::<u128>() as f64;
        let (in_prediction, in_truth, both) = (sum(&predicted), sum(&truth), both as f64);
        Self {
            precision: share(both, in_prediction),
            recall: share(both, in_truth),
            f1: share(2.0 * both, in_prediction + in_truth),
        }
    }
}

/// H(prediction | truth) and H(truth | prediction) in bits, where the truth is no background.
fn variation(pairs: &[((u32, u32), u64)]) -> (f64, f64) {
    let (mut predicted, mut truth, mut all) = (BTreeMap::<u32, u64>::new(), BTreeMap::<u32, u64>::new(), 0_u64);
    for &((p, t), voxels) in pairs.iter().filter(|((_, t), _)| *t != 0) {
        *predicted.entry(p).or_default() += voxels;
        *truth.entry(t).or_default() += voxels;
        all += voxels;
    }
    let (mut split, mut merge) = (0.0, 0.0);
    for &((p, t), voxels) in pairs.iter().filter(|((_, t), _)| *t != 0) {
        let weight = voxels as f64 / all as f64;
        split -= weight * (voxels as f64 / truth[&t] as f64).log2();
        merge -= weight * (voxels as f64 / predicted[&p] as f64).log2();
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
        let shared = pairs.iter().map(|&(p, t, voxels)| ((p, t), voxels)).collect();
        Agreement::of(&Contingency { shared })
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
