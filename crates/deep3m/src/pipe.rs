//! Standard output that nobody reads on, as in `deep3m evaluate … | head -5`.

use std::panic::{self, PanicHookInfo};
use std::process;

/// What `println!` panics with.
const UNPRINTED: &str = "failed printing to stdout: ";
/// What a shell gives a program that was ended by SIGPIPE: 128 + 13.
const PIPE_EXIT_CODE: i32 = 141;

/// Ends the program without a word where its output is read no further, and with an error where it cannot be written
/// (the disk is full). `println!` would panic; taking back SIGPIPE itself would need unsafe code.
pub(crate) fn end_quietly() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |what| match unprinted(what) {
        Some(why) if why.contains("os error 32") || why.contains("os error 232") => process::exit(PIPE_EXIT_CODE),
        Some(why) => {
            eprintln!("Error: standard output cannot be written: {why}");
            process::exit(1);
        }
        None => usual(what),
    }));
}

fn unprinted<'a>(what: &'a PanicHookInfo<'_>) -> Option<&'a str> {
    what.payload().downcast_ref::<String>()?.strip_prefix(UNPRINTED)
}
