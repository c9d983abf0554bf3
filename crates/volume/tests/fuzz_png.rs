//! Mutated PNG files.
//!
//! `DEEP3M_FUZZ=1000000 cargo test -p deep3m-volume --test fuzz_png -- --nocapture` tries a million; without it some
//! thousands.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[path = "common/fuzz.rs"]
mod fuzz;

use std::fs;
use std::path::Path;

use fuzz::{Fuzz, Random, seeds};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// Makes the checksum of each chunk right that still begins where the chunk before it ends.
fn sign(bytes: &mut [u8]) {
    let mut at = 8;
    while let Some(length) = bytes.get(at..at + 4).and_then(|length| length.try_into().ok()).map(u32::from_be_bytes) {
        let Some(end) = (at + 8).checked_add(length as usize).filter(|end| end + 4 <= bytes.len()) else { return };
        let mut crc = flate2::Crc::new();
        crc.update(&bytes[at + 4..end]);
        bytes[end..end + 4].copy_from_slice(&crc.sum().to_be_bytes());
        at = end + 4;
    }
}

#[test]
fn mutated_files_neither_panic_nor_take_memory() {
    let mut seeds = seeds(&["png"]);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut folders: Vec<_> = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("png-")));
    folders.sort();
    for folder in folders {
        let mut slices: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        slices.sort();
        seeds.push((folder.file_name().unwrap().to_string_lossy().into(), fs::read(&slices[0]).unwrap()));
    }
    assert!(seeds.len() > 8, "{} files", seeds.len());
    // The header with size and kind, what lies around the compressed pixels, or anything.
    let spot = |random: &mut Random, len: usize| match random.below(3) {
        0 => random.below(len.min(40)),
        1 => random.below(len.min(120)),
        _ => random.below(len),
    };
    let mend = |_: usize, bytes: &mut Vec<u8>| sign(bytes);
    Fuzz { allocated: &ALLOCATED, seeds, ending: "png", spot: &spot, mend: &mend, allowed: 8 << 20 }.run();
}
