//! Mutated files: an error or a volume, never a panic, never memory that neither the file nor the options back.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Instant;

use peak_alloc::PeakAlloc;

use deep3m_volume::{Extent, Index, OpenOptions, Region, VolumeError, open_with};

use super::common::try_read;

/// `SplitMix64`: each run is a function of its number, so that a failure can be repeated.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// The fixtures of a format, by their endings.
pub(crate) fn seeds(endings: &[&str]) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| endings.iter().any(|ending| *ending == e)));
    paths.sort();
    paths.iter().map(|path| (path.file_name().unwrap().to_string_lossy().into(), fs::read(path).unwrap())).collect()
}

/// Changes `bytes` in one to four ways. `spot` chooses where: most changes should meet structure, not voxels.
fn mutate(bytes: &mut Vec<u8>, random: &mut Random, spot: &dyn Fn(&mut Random, usize) -> usize) {
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            return;
        }
        let len = bytes.len();
        let at = spot(random, len).min(len - 1);
        match random.below(10) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = random.next() as u8,
            3 => bytes[at] = bytes[at].wrapping_add([1, 255, 2, 254][random.below(4)]),
            // A number of 2, 4 or 8 bytes: none, all, negative, huge, or a place in the file.
            4..=6 => {
                let place = random.below(len) as u64 & !7;
                let values = [0, u64::MAX, 1 << 63, 1 << 31, 1 << random.below(64), place, len as u64];
                let value = values[random.below(7)].to_le_bytes();
                let size = (2 << random.below(3)).min(len - at);
                bytes[at..at + size].copy_from_slice(&value[..size]);
            }
            // A piece over another: what leads back to itself.
            7 => {
                let size = (8 << random.below(5)).min(len - at);
                let from = spot(random, len).min(len - size);
                bytes.copy_within(from..from + size, at);
            }
            8 => bytes.truncate(at),
            _ => {
                let piece = bytes[at..len.min(at + 1 + random.below(40))].to_vec();
                if random.below(2) == 0 {
                    bytes.splice(at..at, piece);
                } else {
                    bytes.drain(at..at + piece.len());
                }
            }
        }
    }
}

/// Reads some voxels: thousands of chunks would take most of the time.
fn look(path: &Path) -> Result<(), VolumeError> {
    let volume = open_with(path, &OpenOptions::default().cache_bytes(1 << 20))?;
    let Extent { z, y, x } = volume.info().extent;
    for at in [Index::default(), Index::new(z / 2, y / 2, x / 2), Index::new(z - 1, y - 1, x - 1)] {
        let extent = Extent::new((z - at.z).min(2), (y - at.y).min(3), (x - at.x).min(5));
        volume.read(Region::new(at, extent))?;
    }
    Ok(())
}

/// How a format is fuzzed.
pub(crate) struct Fuzz<'a> {
    pub(crate) allocated: &'a PeakAlloc,
    pub(crate) seeds: Vec<(String, Vec<u8>)>,
    pub(crate) ending: &'a str,
    /// Where to change a file of a length.
    pub(crate) spot: &'a dyn Fn(&mut Random, usize) -> usize,
    /// Makes the checksums of seed i right again.
    pub(crate) mend: &'a dyn Fn(usize, &mut Vec<u8>),
    /// The most bytes that reading may take at a time, the file itself (which is not held) aside.
    pub(crate) allowed: usize,
}

impl Fuzz<'_> {
    /// Tries `DEEP3M_FUZZ` mutations, or a few thousand.
    pub(crate) fn run(&self) {
        let tries: u64 = std::env::var("DEEP3M_FUZZ").ok().and_then(|n| n.parse().ok()).unwrap_or(6000);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v").with_extension(self.ending);
        let mut most = 0;
        let mut read = |bytes: &[u8], whole: bool| {
            // A new file each time: some file systems flush one that is cut short and written again.
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            let before = self.allocated.current_usage();
            self.allocated.reset_peak_usage();
            let result = if whole { try_read(&path).map(|_| ()) } else { look(&path) };
            let peak = self.allocated.peak_usage().saturating_sub(before);
            most = most.max(peak);
            assert!(peak <= self.allowed, "{peak} bytes for a file of {}", bytes.len());
            if let Err(error) = &result {
                assert!(error.to_string().contains("v."), "no path in: {error}");
            }
            result.is_ok()
        };
        // What is made once, at first use, is not a file's.
        let sound = self.seeds.iter().filter(|(_, bytes)| read(bytes, true)).count();
        assert!(2 * sound > self.seeds.len(), "{sound} of {} files can be read", self.seeds.len());
        let begun = Instant::now();
        let (mut volumes, mut bytes) = (0, Vec::new());
        for run in 0..tries {
            let mut random = Random(run);
            let seed = random.below(self.seeds.len());
            bytes.clear();
            bytes.extend_from_slice(&self.seeds[seed].1);
            mutate(&mut bytes, &mut random, self.spot);
            if random.below(4) > 0 && bytes.len() == self.seeds[seed].1.len() {
                (self.mend)(seed, &mut bytes);
            }
            let outcome = catch_unwind(AssertUnwindSafe(|| read(&bytes, run % 16 == 0)));
            let Ok(is_volume) = outcome else { panic!("run {run} of {} panicked, see above", self.seeds[seed].0) };
            volumes += u64::from(is_volume);
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{tries} mutated files in {seconds:.1} s: {volumes} still volumes; at most {most} bytes at a time");
        assert!(volumes > 0 && volumes < tries, "{volumes} of {tries} are volumes");
    }
}
