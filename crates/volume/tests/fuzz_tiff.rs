//! Mutated TIFF files.
//!
//! `DEEP3M_FUZZ=1000000 cargo test -p deep3m-volume --test fuzz_tiff -- --nocapture` tries a million; without it some
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
    let seeds = seeds(&["tif"]);
    // Directories lie at the beginning or at the end, depending on who wrote the file.
    let spot = |random: &mut Random, len: usize| match random.below(4) {
        0 => random.below(len),
        1 => random.below(len.min(16)),
        2 => random.below(len.min(300)),
        _ => len - 1 - random.below(len.min(300)),
    };
    Fuzz { allocated: &ALLOCATED, seeds, ending: "tif", spot: &spot, mend: &|_, _| (), allowed: 8 << 20 }.run();
}
