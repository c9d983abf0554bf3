//! Scores as a table to read.

use std::fmt;

use crate::Evaluation;
use crate::VoxelScore;

/// A share as a number of four digits, or a dash where it has no meaning.
fn share(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), |v| format!("{v:.4}"))
}

fn row(f: &mut fmt::Formatter<'_>, s: &VoxelScore, name: &str) -> fmt::Result {
    let [p, r, f1, j, a] = [s.precision, s.recall, s.f1, s.jaccard, s.accuracy].map(share);
    writeln!(f, "{name:<10} {:>4} {:>10.3} {p:>10} {r:>8} {f1:>8} {j:>8} {a:>9}", s.exclusion, s.threshold)
}

impl fmt::Display for Evaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.counts.first().map_or(0, |c| c.compared + c.left_out);
        let zone = if self.exclusion_3d { "3D" } else { "in-plane" };
        writeln!(f, "{} against {}", self.prediction.display(), self.truth.display())?;
        write!(f, "{}: {all} voxels, zones in voxels ({zone})", self.region.extent)?;
        if self.ignored > 0 {
            write!(f, ", {} not annotated", self.ignored)?;
        }
        if self.mask {
            write!(f, "; the prediction is a mask, not probabilities")?;
        }
        writeln!(f)?;
        let heads = ["zone", "threshold", "precision", "recall", "F1", "Jaccard", "accuracy"];
        let [z, t, p, r, f1, j, a] = heads;
        writeln!(f, "{:<10} {z:>4} {t:>10} {p:>10} {r:>8} {f1:>8} {j:>8} {a:>9}", "")?;
        for score in &self.voxel {
            row(f, score, "result")?;
        }
        if !self.mask {
            for score in &self.best {
                row(f, score, "at best")?;
            }
        }
        for c in self.counts.iter().filter(|c| c.left_out > 0) {
            let percent = 100.0 * c.left_out as f64 / all.max(1) as f64;
            writeln!(f, "zone {} leaves out {} voxels ({percent:.1} %)", c.exclusion, c.left_out)?;
        }
        Ok(())
    }
}
