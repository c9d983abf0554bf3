//! Mutated files of chunked volumes: an error with its place or a volume, never a panic, never memory that neither the
//! files nor the request back, and nothing read from outside.
//!
//! `DEEP3M_FUZZ=1000000 cargo test -p deep3m-volume --test chunked_fuzz -- --nocapture` tries a million; without it some
//! thousands.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

#[allow(dead_code, reason = "other tests damage files in another way")]
mod common;

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use common::{files, replace, try_read};
use deep3m_volume::pyramid::{create_levels, levels};
use deep3m_volume::{Block, Extent, Format, Index, VolumeSpec, VoxelSize, VoxelType, Voxels, ZarrLayout, ZarrVersion};
use peak_alloc::PeakAlloc;
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATED: PeakAlloc = PeakAlloc;

/// What opening and reading may take: the test reads at most 4 × 64 × 64 voxels and keeps at most 1 MiB; files have a few
/// kilobytes.
const ALLOWED: usize = 4 << 20;

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

/// A volume that is mutated: its files as they are when sound.
struct Seed {
    path: PathBuf,
    files: Vec<(PathBuf, Vec<u8>)>,
    truth: Block,
}

impl Seed {
    fn new(path: PathBuf) -> Self {
        let truth = try_read(&path).unwrap();
        let files = files(&path).into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect();
        Self { path, files, truth }
    }
}

fn write(path: PathBuf, format: Format, voxel_type: VoxelType, layout: ZarrLayout) -> Seed {
    let extent = Extent::new(3, 40, 50);
    let voxel_size = VoxelSize::new(50.0, 5.0, 5.0);
    let spec = VolumeSpec { extent, voxel_type, voxel_size, chunk: Some(Extent::new(2, 20, 25)), provenance: None };
    let planned = levels(extent, voxel_size, Extent::new(3, 20, 25));
    let writers = create_levels(&path, format, &spec, &planned, layout, false).unwrap();
    let values = (0..extent.len() as u32).map(|i| i * i / 7 % 4001 / (1 + i / 700));
    let voxels = match voxel_type {
        VoxelType::U32 => Voxels::U32(values.collect()),
        VoxelType::F32 => Voxels::F32(values.map(|v| v as f32).collect()),
        _ => Voxels::U16(values.map(|v| v as u16).collect()),
    };
    writers[0].write(Index::default(), &Block::new(extent, voxels)).unwrap();
    Seed::new(path)
}

/// A copy of a volume of another program.
fn fixture(folder: &Path, name: &str) -> Seed {
    fn copy(from: &Path, to: &Path) {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::write(to, fs::read(entry.path()).unwrap()).unwrap();
            }
        }
    }
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name), &folder.join(name));
    Seed::new(folder.join(name))
}

fn seeds(folder: &Path) -> Vec<Seed> {
    let zarr = |name: &str, voxel_type, layout| write(folder.join(name), Format::OmeZarr, voxel_type, layout);
    let sharded = ZarrLayout { version: ZarrVersion::V3, shard: Some(Extent::new(2, 40, 50)) };
    let precomputed =
        |name: &str, voxel_type| write(folder.join(name), Format::Precomputed, voxel_type, ZarrLayout::default());
    vec![
        zarr("v3.zarr", VoxelType::U16, ZarrLayout::default()),
        zarr("sharded.zarr", VoxelType::U16, sharded),
        zarr("v2.zarr", VoxelType::F32, ZarrLayout { version: ZarrVersion::V2, shard: None }),
        precomputed("grey.precomputed", VoxelType::U16),
        precomputed("labels.precomputed", VoxelType::U32),
        fixture(folder, "precomputed-sharded"),
        fixture(folder, "precomputed-gzip"),
        fixture(folder, "five-axes-blosc.zarr"),
        fixture(folder, "version-2-columns-first.zarr"),
    ]
}

/// A value that a hostile or broken writer could put anywhere.
fn nasty(random: &mut Random) -> Value {
    let values = [
        json!(0),
        json!(-1),
        json!(1),
        json!(2),
        json!(3),
        json!(64),
        json!(65),
        json!(1000),
        json!(1_u64 << 20),
        json!(1_u64 << 31),
        json!(1_u64 << 32),
        json!(1_u64 << 40),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(0.5),
        json!(1e300),
        json!(null),
        json!(true),
        json!(""),
        json!("../../outside"),
        json!("/etc"),
        json!("..\\outside"),
        json!("zstd"),
        json!("gzip"),
        json!("blosc"),
        json!("raw"),
        json!("bytes"),
        json!("sharding_indexed"),
        json!("float32"),
        json!("uint8"),
        json!("uint64"),
        json!("<f8"),
        json!("|u1"),
        json!("NaN"),
        json!([]),
        json!({}),
        json!([1_u64 << 20, 1_u64 << 20, 1]),
        json!([1, 1, 1]),
        json!([0, 0, 0]),
        json!([[1 << 10, 1 << 10, 1 << 10]]),
        json!([1, 2, 3, 4]),
        json!("x".repeat(5000)),
    ];
    values[random.below(values.len())].clone()
}

/// Changes one value somewhere in a tree.
fn mutate_value(value: &mut Value, random: &mut Random) {
    let children = match value {
        Value::Array(values) => values.len(),
        Value::Object(values) => values.len(),
        _ => 0,
    };
    if children == 0 || random.below(8) == 0 {
        *value = nasty(random);
        return;
    }
    let child = random.below(children);
    match value {
        Value::Array(values) => match random.below(20) {
            0 => drop(values.remove(child)),
            1 => values.push(nasty(random)),
            _ => mutate_value(&mut values[child], random),
        },
        Value::Object(values) => {
            let name = values.keys().nth(child).unwrap().clone();
            match random.below(20) {
                0 => drop(values.remove(&name)),
                _ => mutate_value(&mut values[&name], random),
            }
        }
        _ => {}
    }
}

fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    if let Ok(mut json) = serde_json::from_slice::<Value>(bytes)
        && random.below(4) != 0
    {
        for _ in 0..=random.below(2) {
            mutate_value(&mut json, random);
        }
        *bytes = json.to_string().into_bytes();
        return;
    }
    for _ in 0..=random.below(3) {
        if bytes.is_empty() {
            return;
        }
        // Half of the changes fall near an end, where headers and indexes are.
        let len = bytes.len();
        let at = match random.below(4) {
            0 => random.below(len.min(40)),
            1 => len - 1 - random.below(len.min(80)),
            _ => random.below(len),
        };
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => bytes.truncate(at),
            3 => bytes[at] = [0, 0x7f, 0x80, 0xff][random.below(4)],
            4 => {
                let end = len.min(at + [4, 8][random.below(2)]);
                let number = [u64::MAX, 1 << 31, 1 << 40, 10_000_000_000, 0][random.below(5)].to_le_bytes();
                bytes[at..end].copy_from_slice(&number[..end - at]);
            }
            5 => {
                let piece = bytes[at..len.min(at + 1 + random.below(100))].to_vec();
                let to = random.below(len);
                bytes.splice(to..to, piece);
            }
            _ => drop(bytes.drain(at..len.min(at + 1 + random.below(30)))),
        }
    }
}

// One test: others beside it would count as its memory.
#[test]
fn mutated_volumes_neither_panic_nor_take_memory() {
    let tries: u64 = std::env::var("DEEP3M_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(6000);
    let folder = tempfile::tempdir().unwrap();
    let seeds = seeds(folder.path());
    // What lies outside: it must not come in.
    let outside = write(folder.path().join("outside"), Format::Precomputed, VoxelType::U32, ZarrLayout::default());
    let secret = outside.truth.clone();
    let mut outcomes: BTreeMap<String, [u64; 2]> = BTreeMap::new();
    let (begun, mut worst) = (Instant::now(), 0);
    for run in 0..tries {
        let mut random = Random(run);
        let seed = &seeds[random.below(seeds.len())];
        let (file, sound) = &seed.files[random.below(seed.files.len())];
        let mut bytes = sound.clone();
        mutate(&mut bytes, &mut random);
        replace(file, &bytes);
        let before = ALLOCATED.current_usage();
        ALLOCATED.reset_peak_usage();
        let outcome = catch_unwind(AssertUnwindSafe(|| try_read(&seed.path)));
        let peak = ALLOCATED.peak_usage().saturating_sub(before);
        let what =
            || format!("run {run}, {}: {}", file.display(), String::from_utf8_lossy(&bytes[..bytes.len().min(3000)]));
        let Ok(outcome) = outcome else { panic!("{} panicked, see above", what()) };
        assert!(peak <= ALLOWED, "{peak} bytes for {}", what());
        worst = worst.max(peak);
        let name = seed.path.file_name().unwrap().to_string_lossy().into_owned();
        let counts = outcomes.entry(name).or_default();
        match outcome {
            Ok(block) => {
                counts[0] += 1;
                assert!(seed.path.ends_with("labels.precomputed") || block != secret, "{} reads outside", what());
            }
            Err(error) => {
                counts[1] += 1;
                let words = error.to_string();
                assert!(words.contains(&*folder.path().to_string_lossy()), "no place in '{words}' for {}", what());
            }
        }
        replace(file, sound);
    }
    println!("{tries} mutated files in {:.1} s, at most {worst} bytes:", begun.elapsed().as_secs_f64());
    for (name, [read, refused]) in outcomes {
        println!("  {name}: {read} read all the same, {refused} refused");
        assert!(tries < 1000 || read > 0 && refused > 0, "{name}: {read} read, {refused} refused");
    }
    for seed in &seeds {
        assert!(try_read(&seed.path).unwrap() == seed.truth, "as before");
    }
}
