//! Waiting for the end.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use deep3m_predict::how_far;
use deep3m_volume::Region;
use miette::Result;

use super::engine::{Engine, LastStep, LeftRunning, Look, Order, SubmitError};
use crate::console::{Progress, Unit};
use crate::interrupt;

/// How long an engine may be silent.
const PATIENCE: Duration = Duration::from_mins(10);

/// Lines of a log that are shown.
const LINES: usize = 12;

/// Shows how things stand until the last step has ended.
///
/// # Errors
/// [`SubmitError::Incomplete`] where the last step failed, [`LeftRunning`] when interrupted, [`SubmitError::NoContact`].
pub(super) fn wait(engine: &mut dyn Engine, order: &Order) -> Result<()> {
    let mut view = View::new(order);
    let outcome = follow(engine, order, &mut view);
    view.bar.finish();
    outcome
}

fn follow(engine: &mut dyn Engine, order: &Order, view: &mut View) -> Result<()> {
    let mut heard = Instant::now();
    loop {
        let looked = engine.look();
        // Ctrl-C reaches the engine's program too, which then fails.
        if interrupt::stop().load(Ordering::Relaxed) {
            return Err(LeftRunning { hints: engine.hints().join("\n") }.into());
        }
        match looked {
            Ok(look) => {
                heard = Instant::now();
                let last_step = look.last_step.clone();
                view.show(look);
                match last_step {
                    LastStep::Succeeded => return Ok(()),
                    LastStep::Failed(why) => {
                        let words = engine.last_words();
                        return Err(SubmitError::Incomplete { output: order.output.clone(), why, words }.into());
                    }
                    LastStep::Waiting | LastStep::Running => {}
                }
            }
            Err(error) if heard.elapsed() > PATIENCE => {
                let minutes = heard.elapsed().as_secs() / 60;
                return Err(SubmitError::NoContact { tool: engine.name(), minutes, last: error.to_string() }.into());
            }
            Err(error) => {
                view.bar.message(format!("no answer: {}", error.to_string().lines().next().unwrap_or_default()));
            }
        }
        let next = Instant::now() + Duration::from_secs_f64(order.flags.poll.min(3600.0));
        while Instant::now() < next && !interrupt::stop().load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100).min(next.saturating_duration_since(Instant::now())));
        }
    }
}

/// What is seen of it: voxels where the notes beside the output can be read, else workers.
struct View<'a> {
    order: &'a Order<'a>,
    region: Option<Region>,
    bar: Progress,
    counts_voxels: bool,
    before: Look,
}

impl<'a> View<'a> {
    fn new(order: &'a Order<'a>) -> Self {
        let bar = Progress::new("workers", order.workers().into(), Unit::Workers);
        let region = order.line.value("region").parse().ok();
        Self { order, region, bar, counts_voxels: false, before: Look::default() }
    }

    fn show(&mut self, look: Look) {
        let all = u64::from(self.order.workers());
        let ended = look.done + look.failed;
        if let Some(far) = self.order.seen.as_ref().and_then(|out| how_far(out, self.region).ok()?) {
            if !self.counts_voxels {
                self.counts_voxels = true;
                self.bar.finish();
                self.bar = Progress::new("predict", far.voxels, Unit::Voxels);
                self.bar.resume_at(far.voxels_done);
            }
            self.bar.set(far.voxels_done);
        } else if !self.counts_voxels {
            self.bar.set(ended);
        }
        let waiting = all.saturating_sub(ended + look.running);
        let held = look.held.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
        self.bar.message(match look.last_step {
            LastStep::Running => "the last step looks for what is missing".to_owned(),
            _ if ended == all => "the last step waits for its turn".to_owned(),
            _ => format!("{} of {all} workers run, {waiting} wait{held}", look.running),
        });
        // Where no bar is seen, these are the lines that tell.
        if look.failed > self.before.failed {
            let text = format!("{} of {all} workers failed; the last step does what they left", look.failed);
            self.bar.notice(&text);
        }
        if look.held.is_some() && look.held != self.before.held {
            self.bar.notice(&format!("workers do not start{held}"));
        }
        if look.last_step == LastStep::Running && self.before.last_step != LastStep::Running {
            self.bar.notice("the workers have ended; the last step looks for what is missing");
        }
        self.before = look;
    }
}

/// The end of a log, line by line.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(|line| line.rsplit('\r').next().unwrap_or(line)).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().flat_map(|line| ["  | ", line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log() {
        assert_eq!(tail("a\r50 %\rb\nc\n"), "  | b\n  | c\n");
        let long = (0..30).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
        let end = tail(&long);
        assert!(end.starts_with("  | 18\n") && end.ends_with("  | 29\n"), "{end}");
        assert_eq!(tail(""), "");
    }
}
