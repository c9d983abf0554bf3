//! Ways to damage files.

use std::fs;
use std::path::{Path, PathBuf};

use deep3m_volume::{Block, Extent, Index, OpenOptions, Region, VolumeError, open_with};

/// Opens and reads a volume, if it is not much more than was written. Errors are welcome, panics are not.
pub(crate) fn try_read(path: &Path) -> Result<Block, VolumeError> {
    let volume = open_with(path, &OpenOptions::default().cache_bytes(1 << 20))?;
    let extent = volume.info().extent;
    // A header that claims more voxels may be right; then only a corner is asked for.
    let size = Extent::new(extent.z.min(4), extent.y.min(64), extent.x.min(64));
    let corner = volume.read(Region::new(Index::default(), size));
    let last = Index::new(extent.z - 1, extent.y - 1, extent.x - 1);
    volume.read(Region::new(last, Extent::new(1, 1, 1)))?;
    corner
}

/// The files of a volume, in order.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let mut found: Vec<_> = fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect();
    found.sort();
    found
}

/// A new file in place of the old one: some file systems flush one that is cut short and written again.
pub(crate) fn replace(file: &Path, bytes: &[u8]) {
    fs::remove_file(file).unwrap();
    fs::write(file, bytes).unwrap();
}

/// Deterministic variety (an LCG of Knuth's).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) % limit.max(1) as u64) as usize
    }
}

/// Damages each file of a volume in turn, `rounds` times: `accepted` judges what is read all the same. Errors must name
/// the place. Returns how many were refused and how many tried.
pub(crate) fn damage(path: &Path, rounds: usize, mut accepted: impl FnMut(&Path, &Block)) -> (usize, usize) {
    let whole = try_read(path).unwrap();
    let folder = path.parent().unwrap().display().to_string();
    let (mut refused, mut tried) = (0, 0);
    let mut attempt = |file: &Path, bytes: &[u8]| {
        replace(file, bytes);
        tried += 1;
        match try_read(path) {
            Ok(block) => accepted(file, &block),
            Err(error) => {
                refused += 1;
                let words = error.to_string();
                assert!(words.contains(&folder), "no path in: {words}");
            }
        }
    };
    let mut random = Random(7);
    for file in files(path) {
        let sound = fs::read(&file).unwrap();
        for cut in (0..rounds / 8).map(|i| i * sound.len() / (rounds / 8)) {
            attempt(&file, &sound[..cut]);
        }
        for round in 0..rounds {
            let mut bytes = sound.clone();
            for _ in 0..=round % 4 {
                let head = if random.below(2) == 0 { bytes.len() } else { bytes.len().min(400) };
                let at = random.below(head);
                bytes[at] = match random.below(4) {
                    0 => 0,
                    1 => 255,
                    2 => bytes[at] ^ (1 << random.below(8)),
                    _ => random.below(256) as u8,
                };
            }
            attempt(&file, &bytes);
        }
        replace(&file, &sound);
    }
    assert!(try_read(path).unwrap() == whole, "as before");
    (refused, tried)
}
