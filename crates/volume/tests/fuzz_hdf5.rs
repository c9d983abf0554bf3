//! Mutated HDF5 files.
//!
//! `DEEP3M_FUZZ=1000000 cargo test -p deep3m-volume --test fuzz_hdf5 -- --nocapture` tries a million; without it some
//! thousands.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

#[allow(dead_code, reason = "the other checksum")]
#[path = "../src/formats/hdf5/checksum.rs"]
mod checksum;
#[allow(dead_code, reason = "other tests use the rest")]
mod common;
#[path = "common/fuzz.rs"]
mod fuzz;

use checksum::lookup3;
use fuzz::{Fuzz, Random, seeds};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What closes with a checksum begins with one of these.
const SIGNED: [&[u8; 4]; 14] = [
    b"\x89HDF", b"OHDR", b"OCHK", b"FAHD", b"FADB", b"EAHD", b"EAIB", b"EASB", b"EADB", b"BTHD", b"BTIN", b"BTLF",
    b"FRHP", b"FHIB",
];

/// Blocks are at most this long; longer ones stay signed as they are.
const LONGEST: usize = 900;

/// Where blocks begin, and where their checksums lie: found by trying each length.
fn signed_blocks(bytes: &[u8]) -> Vec<(usize, usize)> {
    let is_sum = |start: usize, end: usize| lookup3(&bytes[start..end]).to_le_bytes() == bytes[end..end + 4];
    let starts = (0..bytes.len().saturating_sub(8)).filter(|&at| SIGNED.iter().any(|s| bytes[at..].starts_with(*s)));
    starts
        .filter_map(|start| {
            let ends = start + 8..(start + LONGEST).min(bytes.len() - 3);
            ends.into_iter().find(|&end| is_sum(start, end)).map(|end| (start, end))
        })
        .collect()
}

#[test]
fn mutated_files_neither_panic_nor_take_memory() {
    let seeds = seeds(&["h5"]);
    let blocks: Vec<_> = seeds.iter().map(|(_, bytes)| signed_blocks(bytes)).collect();
    assert!(blocks.iter().filter(|blocks| blocks.len() > 2).count() > 4, "new files have signed blocks");
    // Structure lies at the beginning, and between and behind the voxels.
    let spot = |random: &mut Random, len: usize| match random.below(3) {
        0 => random.below(len),
        1 => random.below(len.min(200)),
        _ => random.below(len.min(4096)),
    };
    let mend = |seed: usize, bytes: &mut Vec<u8>| {
        for &(start, end) in &blocks[seed] {
            let sum = lookup3(&bytes[start..end]).to_le_bytes();
            bytes[end..end + 4].copy_from_slice(&sum);
        }
    };
    Fuzz { allocated: &ALLOCATED, seeds, ending: "h5", spot: &spot, mend: &mend, allowed: 8 << 20 }.run();
}
