//! Waiting for the end.

use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use miette::Result;

use super::engine::{Engine, LastStep, LeftRunning, Look, Order, SubmitError};
use crate::console::{Progress, Unit, notice};
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
    let bar = Progress::new("workers", order.workers().into(), Unit::Workers);
    let outcome = follow(engine, order, &bar);
    bar.finish();
    outcome
}

fn follow(engine: &mut dyn Engine, order: &Order, bar: &Progress) -> Result<()> {
    let mut heard = Instant::now();
    let mut before = Look::default();
    loop {
        let looked = engine.look();
        // Ctrl-C reaches the engine's program too, which then fails.
        if interrupt::stop().load(Ordering::Relaxed) {
            return Err(LeftRunning { hints: engine.hints().join("\n") }.into());
        }
        match looked {
            Ok(look) => {
                heard = Instant::now();
                show(bar, order, &before, &look);
                match look.last_step {
                    LastStep::Succeeded => return Ok(()),
                    LastStep::Failed(why) => {
                        let words = engine.last_words();
                        return Err(SubmitError::Incomplete { output: order.output.clone(), why, words }.into());
                    }
                    LastStep::Waiting | LastStep::Running => before = look,
                }
            }
            Err(error) if heard.elapsed() > PATIENCE => {
                let minutes = heard.elapsed().as_secs() / 60;
                return Err(SubmitError::NoContact { tool: engine.name(), minutes, last: error.to_string() }.into());
            }
            Err(error) => bar.message(format!("no answer: {}", error.to_string().lines().next().unwrap_or_default())),
        }
        let next = Instant::now() + Duration::from_secs_f64(order.flags.poll.min(3600.0));
        while Instant::now() < next && !interrupt::stop().load(Ordering::Relaxed) {
            sleep(Duration::from_millis(100).min(next.saturating_duration_since(Instant::now())));
        }
    }
}

fn show(bar: &Progress, order: &Order, before: &Look, look: &Look) {
    let ended = look.done + look.failed;
    let waiting = u64::from(order.workers()).saturating_sub(ended + look.running);
    bar.set(ended);
    let held = look.held.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    bar.message(match look.last_step {
        LastStep::Running => "the last step looks for what is missing".to_owned(),
        _ if ended == u64::from(order.workers()) => "the last step waits for its turn".to_owned(),
        _ => format!("{} running, {waiting} waiting{held}", look.running),
    });
    // Where no bar is seen, these are the lines that tell.
    if look.failed > before.failed {
        notice(&format!("{} of {} workers failed; the last step does what they left", look.failed, order.workers()));
    }
    if look.held.is_some() && look.held != before.held {
        notice(&format!("workers do not start{held}"));
    }
    if look.last_step == LastStep::Running && before.last_step != LastStep::Running {
        notice("the workers have ended; the last step looks for what is missing");
    }
}

/// The end of a log, line by line.
pub(super) fn tail(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(|line| line.rsplit('\r').next().unwrap_or(line)).collect();
    lines[lines.len().saturating_sub(LINES)..].iter().map(|line| format!("  | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log() {
        assert_eq!(tail("a\r50 %\rb\nc\n"), "  | b\n  | c\n");
        let long: String = (0..30).map(|n| format!("{n}\n")).collect();
        let end = tail(&long);
        assert!(end.starts_with("  | 18\n") && end.ends_with("  | 29\n"), "{end}");
        assert_eq!(tail(""), "");
    }
}
