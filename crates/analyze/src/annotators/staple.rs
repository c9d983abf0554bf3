//! STAPLE: who is how good, and what the truth is, estimated from each other.

use serde::{Deserialize, Serialize};

use super::patterns::Patterns;

/// How much a square of a sensitivity or specificity may still change, as in ITK.
const SETTLED: f64 = 1e-14;
/// Rounds at the most; ten or some hundreds are usual.
const MOST_ROUNDS: u32 = 10_000;

/// What STAPLE estimated (Warfield, Zou and Wells, IEEE Transactions on Medical Imaging 23, 2004).
///
/// Expectation maximisation as ITK does it: it begins with each voxel's share of votes, the prior is the share of foreground in all
/// votes, and it ends when no sensitivity or specificity moves by more than 10⁻⁷. A voxel is foreground in the consensus where its
/// probability is at least one half.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Staple {
    /// The share of foreground in all votes.
    pub prior: f64,
    /// One per annotator.
    pub annotators: Vec<Skill>,
    /// Rounds of the estimate.
    pub rounds: u32,
    /// Whether it settled.
    pub settled: bool,
}

/// How good an annotator is by STAPLE's estimate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Skill {
    /// The share of true foreground that was marked; `None` where there is none.
    pub sensitivity: Option<f64>,
    /// The share of true background that was not; `None` where there is none.
    pub specificity: Option<f64>,
}

/// Estimates from how often each pattern of votes occurs; and for each pattern, the probability that it is foreground.
pub(super) fn staple(patterns: &Patterns) -> (Staple, Vec<f64>) {
    let (raters, counts) = (patterns.raters(), patterns.counts());
    let voted = |pattern: usize, rater: usize| pattern >> rater & 1 == 1;
    let all: u64 = counts.iter().sum();
    let votes: u64 = counts.iter().enumerate().map(|(pattern, n)| n * u64::from(pattern.count_ones())).sum();
    let prior = if all == 0 { 0.0 } else { votes as f64 / all as f64 / raters as f64 };
    let mut truth: Vec<f64> =
        (0..counts.len()).map(|pattern: usize| f64::from(pattern.count_ones()) / raters as f64).collect();
    let mut skills = vec![Skill { sensitivity: None, specificity: None }; raters];
    let (mut rounds, mut settled) = (0, false);
    while !settled && rounds < MOST_ROUNDS {
        rounds += 1;
        settled = true;
        let foreground: f64 = counts.iter().zip(&truth).map(|(&n, w)| n as f64 * w).sum();
        let background: f64 = counts.iter().zip(&truth).map(|(&n, w)| n as f64 * (1.0 - w)).sum();
        for (rater, skill) in skills.iter_mut().enumerate() {
            let (mut found, mut spared) = (0.0, 0.0);
            for (pattern, (&n, w)) in counts.iter().zip(&truth).enumerate() {
                if voted(pattern, rater) {
                    found += n as f64 * w;
                } else {
                    spared += n as f64 * (1.0 - w);
                }
            }
            let now = Skill {
                sensitivity: (foreground > 0.0).then(|| found / foreground),
                specificity: (background > 0.0).then(|| spared / background),
            };
            let moved = |before: Option<f64>, now: Option<f64>| match (before, now) {
                (Some(a), Some(b)) => (a - b) * (a - b) > SETTLED,
                (a, b) => a.is_some() != b.is_some(),
            };
            settled &= !moved(skill.sensitivity, now.sensitivity) && !moved(skill.specificity, now.specificity);
            *skill = now;
        }
        for (pattern, w) in truth.iter_mut().enumerate() {
            let (mut as_foreground, mut as_background) = (prior, 1.0 - prior);
            for (rater, skill) in skills.iter().enumerate() {
                let (p, q) = (skill.sensitivity.unwrap_or(1.0), skill.specificity.unwrap_or(1.0));
                as_foreground *= if voted(pattern, rater) { p } else { 1.0 - p };
                as_background *= if voted(pattern, rater) { 1.0 - q } else { q };
            }
            let sum = as_foreground + as_background;
            // A pattern that no one can have made says nothing: it does not occur.
            *w = if sum > 0.0 { as_foreground / sum } else { 0.0 };
        }
    }
    (Staple { prior, annotators: skills, rounds, settled }, truth)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The same, voxel by voxel, as the paper writes it.
    fn by_voxel(votes: &[Vec<bool>]) -> (Vec<(f64, f64)>, Vec<f64>) {
        let (voxels, raters) = (votes[0].len(), votes.len());
        let mut truth: Vec<f64> =
            (0..voxels).map(|i| votes.iter().filter(|v| v[i]).count() as f64 / raters as f64).collect();
        let prior = truth.iter().sum::<f64>() / voxels as f64;
        let mut skills = vec![(f64::NAN, f64::NAN); raters];
        for _ in 0..MOST_ROUNDS {
            let before = skills.clone();
            let all: f64 = truth.iter().sum();
            for (votes, skill) in votes.iter().zip(&mut skills) {
                let found: f64 = truth.iter().zip(votes).map(|(w, v)| if *v { *w } else { 0.0 }).sum();
                let spared: f64 = truth.iter().zip(votes).map(|(w, v)| if *v { 0.0 } else { 1.0 - w }).sum();
                *skill = (found / all, spared / (voxels as f64 - all));
            }
            for (i, w) in truth.iter_mut().enumerate() {
                let (mut a, mut b) = (prior, 1.0 - prior);
                for (votes, (p, q)) in votes.iter().zip(&skills) {
                    a *= if votes[i] { *p } else { 1.0 - p };
                    b *= if votes[i] { 1.0 - q } else { *q };
                }
                *w = a / (a + b);
            }
            let still =
                |(a, b): (&(f64, f64), &(f64, f64))| (a.0 - b.0).powi(2) <= SETTLED && (a.1 - b.1).powi(2) <= SETTLED;
            if before.iter().zip(&skills).all(still) {
                break;
            }
        }
        (skills, truth)
    }

    proptest! {
        #[test]
        fn it_is_that_of_single_voxels(
            truth in prop::collection::vec(any::<bool>(), 200),
            noise in prop::collection::vec(prop::collection::vec(0_u8..100, 200), 2..6),
            wrong in prop::collection::vec(5_u8..30, 6),
        ) {
            let votes: Vec<Vec<bool>> = noise
                .iter()
                .zip(&wrong)
                .map(|(noise, wrong)| truth.iter().zip(noise).map(|(t, n)| *t ^ (n < wrong)).collect())
                .collect();
            let mut patterns = Patterns::new(votes.len());
            let pattern = |i: usize| votes.iter().enumerate().map(|(r, v)| u32::from(v[i]) << r).sum::<u32>();
            (0..200).for_each(|i| patterns.add(pattern(i), 0));
            let (found, of_patterns) = staple(&patterns);
            let (skills, of_voxels) = by_voxel(&votes);
            for (skill, (p, q)) in found.annotators.iter().zip(skills) {
                prop_assert!((skill.sensitivity.unwrap() - p).abs() < 1e-6, "{:?} {}", skill, p);
                prop_assert!((skill.specificity.unwrap() - q).abs() < 1e-6, "{:?} {}", skill, q);
            }
            for (i, w) in of_voxels.iter().enumerate() {
                prop_assert!((of_patterns[pattern(i) as usize] - w).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn nothing_marked_and_everything_marked_are_no_trouble() {
        for (pattern, sensitivity, specificity) in [(0, None, Some(1.0)), (0b111, Some(1.0), None)] {
            let mut patterns = Patterns::new(3);
            (0..10).for_each(|_| patterns.add(pattern, 0));
            let (found, truth) = staple(&patterns);
            assert!(found.settled);
            assert!(found.annotators.iter().all(|s| (s.sensitivity, s.specificity) == (sensitivity, specificity)));
            assert_eq!(truth[pattern as usize] >= 0.5, pattern != 0);
        }
        let (none, _) = staple(&Patterns::new(2));
        assert_eq!((none.prior, none.annotators[0].sensitivity), (0.0, None));
    }
}
