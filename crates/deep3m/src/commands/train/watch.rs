//! What a person sees of a training: a bar for each model at work, and a line for each thing worth knowing.

use std::collections::BTreeMap;

use deep3m_net::Frames;
use deep3m_train::{Scores, TrainEvent};

use crate::console::{Bars, Progress, Unit, notice};

/// The bars of the models that are trained now.
pub(crate) struct Watch {
    bars: Bars,
    models: BTreeMap<Frames, (Progress, Unit)>,
}

impl Watch {
    /// Nothing to see yet.
    pub(crate) fn new() -> Self {
        Self { bars: Bars::new(), models: BTreeMap::new() }
    }

    /// Shows what happened.
    pub(crate) fn see(&mut self, event: TrainEvent) {
        match event {
            TrainEvent::Notice(text) => self.say(&text),
            TrainEvent::Started { frames, iteration, of, seconds, weights } => {
                self.say(&format!("{frames}: {weights} weights, from iteration {iteration}"));
                let (total, unit) =
                    of.map_or((seconds.unwrap_or(0.0) as u64, Unit::Seconds), |of| (of, Unit::Iterations));
                let bar = Progress::new(&format!("train {frames}"), total, unit).within(&self.bars);
                if of.is_some() {
                    bar.resume_at(iteration);
                }
                self.models.insert(frames, (bar, unit));
            }
            TrainEvent::Iteration { frames, iteration, loss, accuracy, seconds, .. } => {
                if let Some((bar, unit)) = self.models.get(&frames) {
                    bar.set(if matches!(unit, Unit::Seconds) { seconds as u64 } else { iteration });
                    bar.message(format!("iteration {iteration}  loss {loss:.3}  accuracy {accuracy:.3}"));
                }
            }
            TrainEvent::Validated { frames, iteration, scores, best } => {
                let mark = if best { ", the best so far" } else { "" };
                self.say(&format!("{frames}, iteration {iteration}: validation {}{mark}", scores_text(&scores)));
            }
            TrainEvent::Finished { frames, .. } => {
                if let Some((bar, _)) = self.models.remove(&frames) {
                    bar.finish();
                }
            }
            _ => {}
        }
    }

    /// Takes all bars away.
    pub(crate) fn close(self) {
        for (bar, _) in self.models.values() {
            bar.finish();
        }
    }

    /// Prints a line above the bars.
    fn say(&self, text: &str) {
        match self.models.values().next() {
            Some((bar, _)) => bar.notice(text),
            None => notice(text),
        }
    }
}

/// Scores in a line; `–` where a score has no value (nothing predicted, say).
pub(super) fn scores_text(scores: &Scores) -> String {
    let number = |score: Option<f64>| score.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    format!(
        "Jaccard {}, F1 {}, precision {}, recall {}, loss {:.3}",
        number(scores.jaccard),
        number(scores.f1),
        number(scores.precision),
        number(scores.recall),
        scores.loss
    )
}
