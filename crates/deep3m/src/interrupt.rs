//! Ctrl-C and termination: the running command is asked to stop at a safe place; a second Ctrl-C stops at once.

use std::sync::atomic::{AtomicBool, Ordering};

/// The exit code of an interrupted command, as shells use it for Ctrl-C.
pub(crate) const EXIT_CODE: u8 = 130;

static STOP: AtomicBool = AtomicBool::new(false);

/// A command was interrupted; what it has done so far is kept.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
#[error("Interrupted. What is done so far is kept: give the same command again to go on.")]
pub(crate) struct Interrupted;

/// Listens for Ctrl-C and termination. Without this (a system that refuses the handler) the command still runs.
pub(crate) fn install() {
    let handled = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(i32::from(EXIT_CODE));
        }
        eprintln!("\nStopping at the next safe place; press Ctrl-C again to stop at once.");
    });
    if let Err(error) = handled {
        eprintln!("note: Ctrl-C stops at once here ({error})");
    }
}

/// Set once the user wants to stop.
pub(crate) fn stop() -> &'static AtomicBool {
    &STOP
}
