//! The log of a run: `metrics.jsonl`, one JSON object per line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use deep3m_analyze::Confusion;
use deep3m_net::Frames;
use deep3m_volume::fs as files;
use serde::{Deserialize, Serialize};

use crate::{TrainError, plot};

/// How well probabilities agree with labels, at threshold ½ and the volume's own resolution.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Mean cross-entropy per voxel, unweighted, in nats.
    pub loss: f64,
    /// Share of voxels labelled right.
    pub accuracy: Option<f64>,
    /// Of what was predicted, the share that is there.
    pub precision: Option<f64>,
    /// Of what is there, the share that was predicted.
    pub recall: Option<f64>,
    /// Harmonic mean of precision and recall.
    pub f1: Option<f64>,
    /// Intersection over union.
    pub jaccard: Option<f64>,
    /// The threshold, in steps of 1/255, at which the intersection over union would be largest.
    #[serde(default)]
    pub best_threshold: Option<f64>,
}

impl Scores {
    /// The scores of counted voxels.
    pub fn new(loss: f64, counts: &Confusion, best_threshold: Option<f64>) -> Self {
        Self {
            best_threshold,
            loss,
            accuracy: counts.accuracy(),
            precision: counts.precision(),
            recall: counts.recall(),
            f1: counts.f1(),
            jaccard: counts.jaccard(),
        }
    }

    /// Whether these are better: a higher Jaccard index, or a lower loss where neither has one.
    pub fn better_than(&self, other: &Self) -> bool {
        match (self.jaccard, other.jaccard) {
            (Some(a), Some(b)) => a > b,
            (a, b) => a.is_some() || (b.is_none() && self.loss < other.loss),
        }
    }
}

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Record {
    /// A weight update.
    Training {
        /// Which model.
        frames: Frames,
        /// Updates made.
        iteration: u64,
        /// Mean cross-entropy of the last iterations.
        loss: f64,
        /// Share of training pixels labelled right, over the same iterations.
        accuracy: f64,
        /// The learning rate used.
        learning_rate: f64,
        /// Seconds of training of this model so far.
        seconds: f64,
    },
    /// A measurement on the validation sections.
    Validation {
        /// Which model.
        frames: Frames,
        /// Updates made.
        iteration: u64,
        /// Seconds of training of this model so far.
        seconds: f64,
        /// Whether the best so far.
        best: bool,
        /// The scores.
        #[serde(flatten)]
        scores: Scores,
    },
}

impl Record {
    /// The model and the number of updates that it is about.
    pub const fn at(&self) -> (Frames, u64) {
        match self {
            Self::Training { frames, iteration, .. } | Self::Validation { frames, iteration, .. } => {
                (*frames, *iteration)
            }
        }
    }
}

/// The log of a run, open to append.
#[derive(Debug)]
pub struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    /// Opens the log and keeps of it what `keep` wants: a run that goes on from a checkpoint leaves out what came after
    /// it, and a last line that was cut short.
    pub fn open(path: &Path, keep: impl Fn(&Record) -> bool) -> Result<Self, TrainError> {
        let old = read(path)?;
        let mut text = String::new();
        for record in old.iter().filter(|r| keep(r)) {
            text.push_str(&line(record));
        }
        files::write_atomic(path, text.as_bytes())?;
        let file = OpenOptions::new().append(true).open(path).map_err(|e| TrainError::io(path, "open", e))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends a line.
    pub fn add(&mut self, record: &Record) -> Result<(), TrainError> {
        self.file.write_all(line(record).as_bytes()).map_err(|e| TrainError::io(&self.path, "write", e))
    }
}

/// The log of a run whose models may be trained side by side: one writes at a time.
#[derive(Debug)]
pub struct SharedLog(Mutex<Log>);

impl SharedLog {
    /// The log for all models of a run.
    pub const fn new(log: Log) -> Self {
        Self(Mutex::new(log))
    }

    /// Appends a line.
    pub fn add(&self, record: &Record) -> Result<(), TrainError> {
        self.lock().add(record)
    }

    /// Draws what is logged so far (see [`plot::curves`]).
    pub fn draw(&self, picture: &Path) -> Result<(), TrainError> {
        plot::curves(&self.lock().path, picture)
    }

    /// A writer that panicked left whole lines or one torn one, which readers leave out.
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All whole lines of a log; none where there is no file.
pub fn read(path: &Path) -> Result<Vec<Record>, TrainError> {
    if !path.exists() {
        return Ok(Vec::new());
    }
    let text = files::read(path)?;
    let text = String::from_utf8_lossy(&text);
    Ok(text.lines().map_while(|line| serde_json::from_str(line).ok()).collect())
}

fn line(record: &Record) -> String {
    // Plain structs of numbers always serialise; a number that is none becomes null.
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(frames: Frames, iteration: u64) -> Record {
        Record::Training { frames, iteration, loss: 0.5, accuracy: 0.9, learning_rate: 0.01, seconds: 1.5 }
    }

    #[test]
    fn going_on_drops_what_came_after_and_a_torn_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let mut log = Log::open(&path, |_| true).unwrap();
        let counts = Confusion { tp: 1, fp: 1, fn_: 0, tn: 2 };
        let scores = Scores::new(0.25, &counts, Some(0.4));
        let validation = Record::Validation { frames: Frames::One, iteration: 2, seconds: 2.0, best: true, scores };
        for i in 1..=5 {
            log.add(&record(Frames::One, i)).unwrap();
        }
        log.add(&validation).unwrap();
        log.file.write_all(b"{\"kind\":\"train").unwrap();
        drop(log);
        let mut log = Log::open(&path, |r| r.at().1 <= 3).unwrap();
        log.add(&record(Frames::Three, 1)).unwrap();
        let kept = read(&path).unwrap();
        let places: Vec<_> = kept.iter().map(Record::at).collect();
        assert_eq!(
            places,
            [(Frames::One, 1), (Frames::One, 2), (Frames::One, 3), (Frames::One, 2), (Frames::Three, 1)]
        );
        assert_eq!(kept[3], validation);
    }

    #[test]
    fn better_means_a_higher_jaccard() {
        let scores = |jaccard, loss| Scores {
            loss,
            accuracy: None,
            precision: None,
            recall: None,
            f1: None,
            jaccard,
            best_threshold: None,
        };
        assert!(scores(Some(0.5), 9.0).better_than(&scores(Some(0.4), 0.1)));
        assert!(scores(Some(0.1), 9.0).better_than(&scores(None, 0.1)));
        assert!(scores(None, 0.1).better_than(&scores(None, 0.2)));
        assert!(!scores(None, 0.1).better_than(&scores(Some(0.0), 0.2)));
    }
}
