//! Mutated `.caffemodel` files: an error or a network, never a panic, never memory that the file does not back.
//!
//! `DEEP3M_FUZZ=1000000 cargo test --test import_fuzz -- --nocapture` tries a million; without it some thousands.
#![allow(clippy::unwrap_used, reason = "what cannot be made or read fails the test")]

mod common;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Instant;

use common::corpus::corpus;
use common::encode::{as_if_trained, blob, caffemodel, field, old_caffemodel, varint};
use common::{cpu, fixture};
use deep3m_net::weights::caffe::read_caffemodel;
use deep3m_net::{Frames, NamedTensor, NetConfig, ParamKind};
use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// The network's own table of 360 tensors, and an error that lists them: needed however short a file is.
const TABLE: usize = 192 << 10;

/// How many of the seeds, the first ones, are whole networks.
const WHOLE: usize = 4;

/// Memory that reading a file may take, the file itself included.
fn allowed(bytes: usize) -> usize {
    (4 * bytes).max(TABLE)
}

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A network with as many channels in every layer: with one, the smallest that there is, a file of 47 kB.
fn narrow(channels: usize) -> Vec<NamedTensor> {
    let mut json = serde_json::to_value(NetConfig::original(Frames::Three)).unwrap();
    json["channels"].as_object_mut().unwrap().values_mut().for_each(|count| *count = channels.into());
    let config: NetConfig = serde_json::from_value(json).unwrap();
    let mut tensors = config.init(&cpu(), 3).collect();
    as_if_trained(&mut tensors);
    tensors
}

/// What is mutated: whole networks, and files of a few layers, in which a mutation more often meets structure.
fn seeds() -> Vec<Vec<u8>> {
    let tensors = narrow(1);
    let first = &tensors[..12];
    let mut seeds =
        vec![caffemodel(&tensors), old_caffemodel(&tensors), caffemodel(&narrow(2)), old_caffemodel(&narrow(3))];
    seeds.extend([caffemodel(first), old_caffemodel(first)]);
    let small: Vec<NamedTensor> = first.iter().filter(|t| t.name.kind != ParamKind::ConvWeight).cloned().collect();
    seeds.push(caffemodel(&small));
    seeds.push(field(100, &[field(1, b"conv1_1"), field(7, &blob(&[1, 2], &[0.5, -0.5]))].concat()));
    // Thousands of layers of which the network has none, and thousands of blobs in one that it has.
    let tiny = |name: &[u8]| field(100, &[field(1, name), field(7, &[0x2d, 0, 0, 0, 0])].concat());
    seeds.push(tiny(b"x").repeat(2000));
    seeds.push(field(100, &[field(1, b"conv1_1"), field(7, &[0x2d, 0, 0, 0, 0]).repeat(4000)].concat()));
    if let Some(path) = fixture("tiny_3fm.caffemodel") {
        let bytes = std::fs::read(path).unwrap();
        seeds.push(bytes[..bytes.len().min(24 << 10)].to_vec());
    }
    // Nasty files, made nastier; whole networks are among the seeds already.
    seeds.extend(corpus().into_iter().map(|(_, bytes, _)| bytes).filter(|bytes| bytes.len() < 10_000));
    seeds
}

/// Changes `bytes` in one to four ways.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        // Half of the changes fall near the beginning, where names and lengths are.
        let at = if random.below(2) == 0 { random.below(len) } else { random.below(len.min(400)) };
        match random.below(9) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
            // A number as large as may be, or a length of 10 GB, put in.
            4 => {
                let shift = random.below(64);
                let values = [u64::MAX, 10_000_000_000, u64::from(u32::MAX), 1 << shift, 0];
                bytes.splice(at..at, varint(values[random.below(5)]));
            }
            // A piece moved, repeated or taken out.
            5 => {
                let piece = bytes[at..len.min(at + 1 + random.below(300))].to_vec();
                let to = random.below(len);
                bytes.splice(to..to, piece);
            }
            6 => {
                bytes.drain(at..len.min(at + 1 + random.below(40)));
            }
            // A length one off.
            7 => bytes[at] = bytes[at].wrapping_add([1, 255, 2, 254][random.below(4)]),
            // NaN, infinity, zero where a value may be.
            _ => {
                let value = [f32::NAN, f32::INFINITY, 0.0, -1.0][random.below(4)].to_le_bytes();
                let end = len.min(at + 4);
                bytes[at..end].copy_from_slice(&value[..end - at]);
            }
        }
    }
}

/// As the importer reads a file. Whether it is a network.
fn read(bytes: &[u8]) -> bool {
    let net = match read_caffemodel(bytes) {
        Ok(net) => net,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let frames = net.frames().unwrap_or(Frames::One);
    let network =
        if bytes.len().is_multiple_of(2) { net.to_network(frames) } else { net.to_transposed_network(frames) };
    match network {
        Ok((config, tensors)) => {
            assert_eq!(config.parameters().len(), tensors.len());
            true
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            false
        }
    }
}

/// The most bytes that reading takes at a time, the file included.
fn peak(bytes: &[u8]) -> (usize, bool) {
    let before = ALLOCATED.current_usage();
    ALLOCATED.reset_peak_usage();
    let is_network = read(bytes);
    (ALLOCATED.peak_usage().saturating_sub(before) + bytes.len(), is_network)
}

// One test: others beside it would count as its memory.
#[test]
fn mutated_files_neither_panic_nor_take_memory() {
    let tries: u64 = std::env::var("DEEP3M_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(6000);
    let seeds = seeds();
    // What is made once, at first use, is not a file's.
    assert!(seeds.iter().map(|seed| peak(seed).1).collect::<Vec<_>>().starts_with(&[true; WHOLE]));
    let nasty: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes, _)| bytes).collect();
    for file in seeds.iter().chain(&nasty) {
        let (most, _) = peak(file);
        assert!(most <= allowed(file.len()), "{most} bytes for a file of {}", file.len());
    }
    let begun = Instant::now();
    let mut networks = 0;
    let (mut worst, mut worst_small) = (0.0_f64, 0);
    let mut bytes = Vec::new();
    for run in 0..tries {
        let mut random = Random(run);
        bytes.clear();
        // Half of them whole networks.
        let among = [WHOLE, seeds.len()][random.below(2)];
        bytes.extend_from_slice(&seeds[random.below(among)]);
        mutate(&mut bytes, &mut random);
        let outcome = catch_unwind(AssertUnwindSafe(|| peak(&bytes)));
        let Ok((most, is_network)) = outcome else { panic!("run {run} panicked, see above") };
        assert!(most <= allowed(bytes.len()), "run {run}: {most} bytes for a file of {}", bytes.len());
        networks += u64::from(is_network);
        if 4 * bytes.len() >= TABLE {
            worst = worst.max(most as f64 / bytes.len() as f64);
        } else {
            worst_small = worst_small.max(most);
        }
    }
    println!(
        "{tries} mutated files in {:.1} s: {networks} still networks; at most {worst:.2} times a file's size, \
         {worst_small} bytes for files under {} bytes",
        begun.elapsed().as_secs_f64(),
        TABLE / 4
    );
    assert!(networks > 0 && networks < tries, "{networks} of {tries} are networks");
}
