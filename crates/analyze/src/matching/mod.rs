//! Predicted places against true ones: for counts, where what matters is that each object was found once.
//!
//! A predicted and a true place can match if they lie no further apart than a distance; each has one match at most. Of all ways to
//! match, one with the most matches is taken, and of these one whose distances are the least together.

mod assignment;
mod centroids;

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::boundary::LengthUnit;
use crate::{AnalyzeError, Confusion};

use assignment::{LONGEST, Possible};
pub use centroids::centroids;

/// Possible pairs at the most: 24 bytes each.
const MOST_PAIRS: usize = 50_000_000;

/// How well places agree. A score without a meaning is `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PointAgreement {
    /// What distances are in.
    pub unit: LengthUnit,
    /// The largest distance of a match.
    pub distance: f64,
    /// Predicted places.
    pub predicted: u64,
    /// True places.
    pub truth: u64,
    /// Matches.
    pub true_positives: u64,
    /// Predicted places without a match.
    pub false_positives: u64,
    /// True places without a match.
    pub false_negatives: u64,
    /// TP / (TP + FP).
    pub precision: Option<f64>,
    /// TP / (TP + FN).
    pub recall: Option<f64>,
    /// 2 TP / (2 TP + FP + FN).
    pub f1: Option<f64>,
    /// Predicted places for each true one: what a count is off by.
    pub count_ratio: Option<f64>,
    /// The mean distance of the matches.
    pub mean_distance: Option<f64>,
    /// The middle one of their distances.
    pub median_distance: Option<f64>,
}

/// Matches places that are no further apart than `distance`, in whatever unit they are given. `progress` hears each predicted
/// place; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::Setting`] for a distance that is not above 0, or so large that almost every two places are possible matches;
/// [`AnalyzeError::Interrupted`] when told to stop.
pub fn match_points(
    predicted: &[[f64; 3]],
    truth: &[[f64; 3]],
    distance: f64,
    unit: LengthUnit,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<PointAgreement, AnalyzeError> {
    if !(distance.is_finite() && distance > 0.0) {
        let expected = "a length above 0".to_owned();
        return Err(AnalyzeError::Setting { name: "distance", found: distance.to_string(), expected });
    }
    let pairs = near(predicted, truth, distance, unit)?;
    let cost = |&(right, apart): &(u32, f64)| (right, (apart / distance * LONGEST as f64) as u64);
    let costs = pairs.iter().map(|row| row.iter().map(cost).collect()).collect();
    let partners = Possible { pairs: costs, right: truth.len() }.best(progress).ok_or(AnalyzeError::Interrupted)?;
    let mut distances: Vec<f64> = Vec::new();
    for (row, partner) in pairs.iter().zip(partners) {
        distances.extend(row.iter().find(|(right, _)| Some(*right) == partner).map(|(_, apart)| *apart));
    }
    distances.sort_by(f64::total_cmp);
    let (found, there, tp) = (predicted.len() as u64, truth.len() as u64, distances.len() as u64);
    let counts = Confusion { tp, fp: found - tp, fn_: there - tp, tn: 0 };
    let middle = |n: usize| f64::midpoint(distances[(n - 1) / 2], distances[n / 2]);
    Ok(PointAgreement {
        unit,
        distance,
        predicted: found,
        truth: there,
        true_positives: counts.tp,
        false_positives: counts.fp,
        false_negatives: counts.fn_,
        precision: counts.precision(),
        recall: counts.recall(),
        f1: counts.f1(),
        count_ratio: (there > 0).then(|| found as f64 / there as f64),
        mean_distance: (tp > 0).then(|| distances.iter().sum::<f64>() / tp as f64),
        median_distance: (tp > 0).then(|| middle(distances.len())),
    })
}

/// For each predicted place the true ones within a distance, by cells of that size.
fn near(
    predicted: &[[f64; 3]],
    truth: &[[f64; 3]],
    distance: f64,
    unit: LengthUnit,
) -> Result<Vec<Vec<(u32, f64)>>, AnalyzeError> {
    let cell = |place: &[f64; 3]| place.map(|at| (at / distance).floor() as i64);
    let mut cells: HashMap<[i64; 3], Vec<u32>> = HashMap::new();
    for (place, number) in truth.iter().zip(0_u32..) {
        cells.entry(cell(place)).or_default().push(number);
    }
    let mut count = 0_usize;
    let mut all = Vec::with_capacity(predicted.len());
    for place in predicted {
        let [z, y, x] = cell(place);
        let mut row = Vec::new();
        for (dz, dy, dx) in (-1..=1).flat_map(|z| (-1..=1).flat_map(move |y| (-1..=1).map(move |x| (z, y, x)))) {
            let there = [z.saturating_add(dz), y.saturating_add(dy), x.saturating_add(dx)];
            for &number in cells.get(&there).into_iter().flatten() {
                let other = &truth[number as usize];
                let apart = place.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt();
                if apart <= distance && !row.iter().any(|&(known, _)| known == number) {
                    row.push((number, apart));
                }
            }
        }
        count += row.len();
        if count > MOST_PAIRS {
            return Err(AnalyzeError::Setting {
                name: "distance",
                found: format!("{distance} {unit}"),
                expected: format!("less: more than {MOST_PAIRS} pairs lie no further apart"),
            });
        }
        all.push(row);
    }
    Ok(all)
}

impl fmt::Display for PointAgreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "–".to_owned(), |value| format!("{value:.digits$}"))
        };
        let (unit, distance) = (self.unit, self.distance);
        let ratio = number(self.count_ratio, 3);
        writeln!(f, "{} places predicted, {} in the truth (ratio {ratio})", self.predicted, self.truth)?;
        let [found, invented, missed] = [self.true_positives, self.false_positives, self.false_negatives];
        writeln!(f, "within {distance} {unit}: {found} matches, {invented} only predicted, {missed} only true")?;
        let [p, r, f1] = [self.precision, self.recall, self.f1].map(|value| number(value, 4));
        writeln!(f, "precision {p}, recall {r}, F1 {f1}")?;
        let [mean, median] = [self.mean_distance, self.median_distance].map(|value| number(value, 2));
        writeln!(f, "distance of the matches in {unit}: mean {mean}, median {median}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn matched(predicted: &[[f64; 3]], truth: &[[f64; 3]], distance: f64) -> PointAgreement {
        match_points(predicted, truth, distance, LengthUnit::Nm, &mut |_| true).unwrap()
    }

    #[test]
    fn more_matches_go_before_shorter_ones() {
        // Taking the nearest first would leave one alone.
        let (predicted, truth) = ([[0.0, 0.0, 0.0], [0.0, 0.0, 6.0]], [[0.0, 0.0, 5.0], [0.0, 0.0, 14.0]]);
        let found = matched(&predicted, &truth, 8.0);
        assert_eq!((found.true_positives, found.mean_distance, found.median_distance), (2, Some(6.5), Some(6.5)));
        assert_eq!((found.precision, found.recall, found.count_ratio), (Some(1.0), Some(1.0), Some(1.0)));
        // At the distance itself two still match.
        assert_eq!(matched(&predicted, &truth, 5.0).true_positives, 1);
        assert_eq!(matched(&predicted[..1], &truth[..1], 5.0).true_positives, 1);
        assert_eq!(matched(&predicted[..1], &truth[..1], 4.999).true_positives, 0);
    }

    #[test]
    fn nothing_and_odd_places_are_no_trouble() {
        let none = matched(&[], &[], 1.0);
        assert_eq!((none.precision, none.recall, none.f1, none.count_ratio), (None, None, None, None));
        let missed = matched(&[], &[[0.0; 3]], 1.0);
        assert_eq!((missed.precision, missed.recall, missed.count_ratio), (None, Some(0.0), Some(0.0)));
        let far = [[1e300, -1e300, 0.0], [1e19, 0.0, 0.0]];
        assert_eq!(matched(&far, &far, 1e-3).true_positives, 2);
        assert!(match_points(&far, &far, f64::NAN, LengthUnit::Nm, &mut |_| true).is_err());
        let stopped = match_points(&far, &far, 1.0, LengthUnit::Nm, &mut |_| false);
        assert!(matches!(stopped, Err(AnalyzeError::Interrupted)));
    }

    proptest! {
        #[test]
        fn cells_find_every_pair_once(
            a in prop::collection::vec(prop::array::uniform3(-9.0_f64..9.0), 0..30),
            b in prop::collection::vec(prop::array::uniform3(-9.0_f64..9.0), 0..30),
            distance in 0.5_f64..6.0,
        ) {
            let found = near(&a, &b, distance, LengthUnit::Nm).unwrap();
            for (place, row) in a.iter().zip(&found) {
                let mut numbers: Vec<u32> = row.iter().map(|pair| pair.0).collect();
                numbers.sort_unstable();
                let apart = |other: &[f64; 3]| place.iter().zip(other).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
                let expected: Vec<u32> =
                    b.iter().zip(0..).filter(|(other, _)| apart(other) <= distance).map(|(_, number)| number).collect();
                prop_assert_eq!(numbers, expected);
            }
        }
    }
}
