//! Maps by object number, and the numbers of a block.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use deep3m_volume::{Extent, Voxels};

/// A map whose keys are object numbers, or places.
pub(crate) type IdMap<K, T> = HashMap<K, T, BuildHasherDefault<IdHasher>>;

/// Fibonacci hashing: an object is looked up for every run of its voxels, and numbers need no more.
#[derive(Default)]
pub(crate) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(id.into());
    }

    fn write_u64(&mut self, id: u64) {
        self.0 = (self.0.rotate_left(5) ^ id).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// The voxels as object numbers.
pub(crate) fn numbers(voxels: Voxels) -> Vec<u32> {
    match voxels {
        Voxels::U32(numbers) => numbers,
        Voxels::U8(v) => v.into_iter().map(u32::from).collect(),
        Voxels::U16(v) => v.into_iter().map(u32::from).collect(),
        other => other.iter().collect(),
    }
}

/// Calls `each` with the label, begin and end of each run of one object along a row.
pub(crate) fn runs(row: &[u32], mut each: impl FnMut(u32, usize, usize)) {
    let mut from = 0;
    while from < row.len() {
        let label = row[from];
        let to = row[from..].iter().position(|&other| other != label).map_or(row.len(), |n| from + n);
        if label != 0 {
            each(label, from, to);
        }
        from = to;
    }
}

/// What lies beyond the end of what is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beyond {
    /// Background.
    Nothing,
    /// The outermost voxels, again and again.
    Same,
}

/// A box cut out of a block of labels; it may begin before the block's first voxel and end behind its last.
pub(crate) fn cut(labels: &[u32], extent: Extent, start: [i64; 3], size: Extent, beyond: Beyond) -> Vec<u32> {
    let all = extent.to_array().map(|n| n as i64);
    let mut out = vec![0; size.len()];
    if labels.is_empty() {
        return out;
    }
    let source = |at: i64, axis: usize| match beyond {
        Beyond::Nothing => (0..all[axis]).contains(&at).then_some(at),
        Beyond::Same => Some(at.clamp(0, all[axis] - 1)),
    };
    let (from, to) = (start[2].clamp(0, all[2]), (start[2] + size.x as i64).clamp(0, all[2]));
    for (i, row_out) in out.chunks_exact_mut(size.x as usize).enumerate() {
        let (z, y) = (start[0] + i as i64 / size.y as i64, start[1] + i as i64 % size.y as i64);
        let (Some(z), Some(y)) = (source(z, 0), source(y, 1)) else { continue };
        let row = &labels[((z * all[1] + y) * all[2]) as usize..][..all[2] as usize];
        if from < to {
            let inside = (from - start[2]) as usize..(to - start[2]) as usize;
            row_out[inside].copy_from_slice(&row[from as usize..to as usize]);
        }
        if beyond == Beyond::Same {
            for (x, voxel) in row_out.iter_mut().enumerate() {
                *voxel = row[(start[2] + x as i64).clamp(0, all[2] - 1) as usize];
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_cut_into_runs() {
        let mut met = Vec::new();
        runs(&[0, 3, 3, 1, 0, 0, u32::MAX], |label, from, to| met.push((label, from, to)));
        assert_eq!(met, [(3, 1, 3), (1, 3, 4), (u32::MAX, 6, 7)]);
        runs(&[], |_, _, _| panic!("no run"));
    }

    #[test]
    fn a_box_may_stick_out() {
        let labels = [1, 2, 3, 4, 5, 6];
        let extent = Extent::new(1, 2, 3);
        let size = Extent::new(1, 3, 4);
        let nothing = cut(&labels, extent, [0, -1, 1], size, Beyond::Nothing);
        assert_eq!(nothing, [0, 0, 0, 0, 2, 3, 0, 0, 5, 6, 0, 0]);
        let same = cut(&labels, extent, [0, -1, -1], size, Beyond::Same);
        assert_eq!(same, [1, 1, 2, 3, 1, 1, 2, 3, 4, 4, 5, 6]);
        assert_eq!(cut(&labels, extent, [5, 0, 0], Extent::new(1, 1, 2), Beyond::Nothing), [0, 0]);
    }
}
