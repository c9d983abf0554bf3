//! The comparison with annotators as tables to read.

use std::fmt;

use super::{Annotators, Consensus, Rater};

/// A share as a number of four digits, or a dash where it has no meaning.
fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.4}"))
}

fn name(rater: Rater) -> String {
    if rater == 0 { "prediction".to_owned() } else { format!("annotator {rater}") }
}

impl fmt::Display for Annotators {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |rater: Rater| if rater == 0 { &self.prediction } else { &self.annotators[rater - 1] };
        for rater in 0..=self.annotators.len() {
            writeln!(f, "{:<13} {}", name(rater), path(rater).display())?;
        }
        write!(f, "{}: {} voxels", self.region.extent, self.compared)?;
        if self.ignored > 0 {
            write!(f, ", {} not annotated", self.ignored)?;
        }
        if self.mask {
            write!(f, "; the prediction is a mask, not probabilities")?;
        }
        writeln!(f)?;
        for consensus in [Consensus::Majority, Consensus::Staple] {
            let zone = if self.exclusion_3d { "3D" } else { "in-plane" };
            match consensus {
                Consensus::Majority => {
                    write!(f, "\nagainst the majority ({} voxels", self.majority_voxels)?;
                    if self.tied > 0 {
                        write!(f, "; {} more that half of them marked are background", self.tied)?;
                    }
                    writeln!(f, "), zones in voxels ({zone})")?;
                }
                Consensus::Staple => {
                    let rounds = self.staple.rounds;
                    write!(f, "\nagainst STAPLE ({} voxels, {rounds} rounds", self.staple_voxels)?;
                    writeln!(f, "{})", if self.staple.settled { "" } else { "; did not settle" })?;
                }
            }
            writeln!(f, "{:<13} zone  precision  recall      F1  Jaccard", "")?;
            for row in self.against_consensus.iter().filter(|row| row.consensus == consensus) {
                let (score, zone) = (&row.score, row.exclusion);
                let [p, r, f1, j] = [score.precision, score.recall, score.f1, score.jaccard].map(share);
                writeln!(f, "{:<13} {zone:>4} {p:>10} {r:>7} {f1:>7} {j:>8}", name(row.rater))?;
            }
        }
        writeln!(f, "\nby STAPLE     sensitivity  specificity")?;
        for (i, skill) in self.staple.annotators.iter().enumerate() {
            let [p, q] = [skill.sensitivity, skill.specificity].map(share);
            writeln!(f, "{:<13} {p:>11} {q:>12}", name(i + 1))?;
        }
        writeln!(f, "\nagainst each other: F1 above the diagonal, Jaccard below")?;
        write!(f, "{:<13}", "")?;
        for rater in 0..=self.annotators.len() {
            write!(f, " {:>7}", if rater == 0 { "pred.".to_owned() } else { rater.to_string() })?;
        }
        writeln!(f)?;
        for row in 0..=self.annotators.len() {
            write!(f, "{:<13}", name(row))?;
            for column in 0..=self.annotators.len() {
                let (a, b) = (row.min(column), row.max(column));
                let score = self.pairs.iter().find(|pair| (pair.rater, pair.truth) == (a, b)).map(|pair| pair.score);
                let text = score.map(|score| share(if row < column { score.f1 } else { score.jaccard }));
                write!(f, " {:>7}", text.unwrap_or_default())?;
            }
            writeln!(f)?;
        }
        Ok(())
    }
}
