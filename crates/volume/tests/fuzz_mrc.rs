//! Mutated MRC files.
//!
//! `DEEP3M_FUZZ=1000000 cargo test -p deep3m-volume --test fuzz_mrc -- --nocapture` tries a million; without it some
//! thousands.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[path = "common/fuzz.rs"]
mod fuzz;

use fuzz::{Fuzz, Random, seeds};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

#[test]
fn mutated_files_neither_panic_nor_take_memory() {
    let seeds = seeds(&["mrc", "rec"]);
    // The header; of it most often its first fields.
    let spot = |random: &mut Random, len: usize| {
        let most = [100, 240, 1024][random.below(3)];
        random.below(len.min(most))
    };
    Fuzz { allocated: &ALLOCATED, seeds, ending: "mrc", spot: &spot, mend: &|_, _| (), allowed: 1 << 20 }.run();
}
