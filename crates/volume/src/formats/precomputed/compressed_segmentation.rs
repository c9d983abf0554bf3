//! Neuroglancer's compressed segmentation: each small block of a chunk is a table of its labels and, per voxel, an index
//! into the table of 0, 1, 2, 4, 8, 16 or 32 bits.
//!
//! The specification: <https://github.com/google/neuroglancer/tree/master/src/sliceview/compressed_segmentation>. All is
//! counted in little-endian 32-bit words. A file of one channel is the word 1, then two words for each block (offset of
//! its table: 24 bits; bits of an index: 8; offset of the indices: 32), then tables and indices.

use std::collections::HashMap;

use crate::{Extent, Index, Region};

/// Table offsets have 24 bits.
const TABLE_LIMIT: u64 = 1 << 24;

/// Bits of an index into a table of so many labels.
fn bits_for(labels: u64) -> u32 {
    match labels {
        0..=1 => 0,
        2 => 1,
        3..=4 => 2,
        5..=16 => 4,
        17..=256 => 8,
        257..=65536 => 16,
        _ => 32,
    }
}

/// The most bytes that a chunk takes when encoded: every voxel its own label of 64 bits, indices of 32.
pub(super) fn most_bytes(chunk: Extent, block: Extent) -> Option<u64> {
    let blocks = grid(chunk, block).checked_voxels()?;
    let voxels = blocks.checked_mul(block.checked_voxels()?)?;
    voxels.checked_mul(12)?.checked_add(blocks.checked_mul(8)?)?.checked_add(4)
}

/// Whether [`encode`] can write any chunk of this size.
pub(super) fn encodes(chunk: Extent, block: Extent) -> bool {
    let words = || {
        let voxels = block.checked_voxels()?;
        let each = 2 + voxels + (voxels * u64::from(bits_for(voxels))).div_ceil(32);
        grid(chunk, block).checked_voxels()?.checked_mul(each)
    };
    words().is_some_and(|words| words < TABLE_LIMIT)
}

fn grid(chunk: Extent, block: Extent) -> Extent {
    Extent::new(chunk.z.div_ceil(block.z), chunk.y.div_ceil(block.y), chunk.x.div_ceil(block.x))
}

/// The words of a file.
struct Words<'a>(&'a [u8]);

impl Words<'_> {
    fn get(&self, at: u64) -> Result<u32, String> {
        let from = usize::try_from(at).ok().and_then(|at| at.checked_mul(4));
        let word = from.and_then(|from| self.0.get(from..from.checked_add(4)?)).and_then(|b| b.try_into().ok());
        word.map(u32::from_le_bytes)
            .ok_or_else(|| format!("{} bytes, where its blocks point to word {at}", self.0.len()))
    }
}

/// Decodes a part of a chunk (`inside` counts from the chunk's first voxel) into `out`, row-major.
///
/// `wide` labels have 64 bits, and must fit 32.
///
/// # Errors
/// What is wrong with the bytes.
pub(super) fn decode(
    bytes: &[u8],
    chunk: Extent,
    block: Extent,
    wide: bool,
    inside: Region,
    out: &mut [u32],
) -> Result<(), String> {
    if Words(bytes).get(0)? != 1 {
        return Err("a first word that is not 1, the offset of the only channel".into());
    }
    let words = Words(&bytes[4..]);
    let grid = grid(chunk, block);
    let (start, end) = (inside.start, inside.end());
    for i in start.z / block.z..end.z.div_ceil(block.z) {
        for j in start.y / block.y..end.y.div_ceil(block.y) {
            for k in start.x / block.x..end.x.div_ceil(block.x) {
                let header = 2 * (k + grid.x * (j + grid.y * i));
                let first = words.get(header)?;
                let encoded = Encoded {
                    words: &words,
                    table: u64::from(first & 0xff_ffff),
                    bits: first >> 24,
                    indices: u64::from(words.get(header + 1)?),
                    wide,
                };
                if !matches!(encoded.bits, 0 | 1 | 2 | 4 | 8 | 16 | 32) {
                    return Err(format!("indices of {} bits", encoded.bits));
                }
                let origin = Index::new(i * block.z, j * block.y, k * block.x);
                if let Some(common) = inside.intersect(&Region::new(origin, block)) {
                    encoded.decode(block, origin, common, inside, out)?;
                }
            }
        }
    }
    Ok(())
}

/// One block of a file.
struct Encoded<'a> {
    words: &'a Words<'a>,
    table: u64,
    bits: u32,
    indices: u64,
    wide: bool,
}

impl Encoded<'_> {
    /// Decodes the voxels of `common`, which lies in this block and in `inside`.
    fn decode(
        &self,
        block: Extent,
        origin: Index,
        common: Region,
        inside: Region,
        out: &mut [u32],
    ) -> Result<(), String> {
        let bits = u64::from(self.bits);
        let mask = u32::MAX.checked_shr(32 - self.bits).unwrap_or(0);
        let end = common.end();
        let mut known: Option<(u32, u32)> = None;
        for z in common.start.z..end.z {
            for y in common.start.y..end.y {
                let row = block.x * (y - origin.y + block.y * (z - origin.z));
                let at = Index::new(z - inside.start.z, y - inside.start.y, common.start.x - inside.start.x);
                let into = inside.extent.offset(at);
                for (x, out) in (common.start.x..end.x).zip(&mut out[into..]) {
                    let bit = bits * (row + x - origin.x);
                    let index = match bits {
                        0 => 0,
                        _ => (self.words.get(self.indices + bit / 32)? >> (bit % 32)) & mask,
                    };
                    *out = match known {
                        Some((same, label)) if same == index => label,
                        _ => {
                            let label = self.label(index)?;
                            known = Some((index, label));
                            label
                        }
                    };
                }
            }
        }
        Ok(())
    }

    fn label(&self, index: u32) -> Result<u32, String> {
        let index = u64::from(index);
        if !self.wide {
            return self.words.get(self.table + index);
        }
        let (low, high) = (self.words.get(self.table + 2 * index)?, self.words.get(self.table + 2 * index + 1)?);
        if high == 0 { Ok(low) } else { Err(too_wide(u64::from(high) << 32 | u64::from(low))) }
    }
}

/// What to say of a label that does not fit 32 bits.
pub(super) fn too_wide(label: u64) -> String {
    format!("the label {label}, which needs more than 32 bits: renumber the labels from 1 on")
}

/// Encodes a chunk of 32-bit labels, for which [`encodes`] holds.
pub(super) fn encode(labels: &[u32], chunk: Extent, block: Extent) -> Vec<u8> {
    let grid = grid(chunk, block);
    let headers = 2 * grid.len();
    // The first word is the offset of the channel; everything else counts from behind it.
    let mut words = vec![0_u32; headers];
    let mut tables: HashMap<Vec<u32>, usize> = HashMap::new();
    let mut values = Vec::with_capacity(block.len());
    for (number, part) in Region::whole(chunk).tiles(block).enumerate() {
        values.clear();
        let end = part.end();
        for z in part.start.z..end.z {
            for y in part.start.y..end.y {
                let from = chunk.offset(Index::new(z, y, part.start.x));
                values.extend_from_slice(&labels[from..from + part.extent.x as usize]);
            }
        }
        let mut table = values.clone();
        table.sort_unstable();
        table.dedup();
        let bits = bits_for(table.len() as u64);
        let indices = words.len();
        words.resize(indices + (block.len() * bits as usize).div_ceil(32), 0);
        if bits > 0 {
            // Voxels that stick out of the chunk take the index 0.
            for (voxel, label) in values.iter().enumerate() {
                let (row, x) = (voxel as u64 / part.extent.x, voxel as u64 % part.extent.x);
                let (z, y) = (row / part.extent.y, row % part.extent.y);
                let bit = block.offset(Index::new(z, y, x)) * bits as usize;
                let index = table.binary_search(label).unwrap_or(0) as u32;
                words[indices + bit / 32] |= index << (bit % 32);
            }
        }
        // Neighbours often have the same labels, and share their table.
        let at = *tables.entry(table).or_insert_with_key(|table| {
            let at = words.len();
            words.extend_from_slice(table);
            at
        });
        words[2 * number] = at as u32 | bits << 24;
        words[2 * number + 1] = indices as u32;
    }
    std::iter::once(1).chain(words).flat_map(u32::to_le_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BLOCK: Extent = Extent::new(8, 8, 8);

    fn whole(bytes: &[u8], chunk: Extent, block: Extent) -> Result<Vec<u32>, String> {
        let mut out = vec![7; chunk.len()];
        decode(bytes, chunk, block, false, Region::whole(chunk), &mut out).map(|()| out)
    }

    #[test]
    fn the_words_are_those_of_the_specification() {
        // 1 × 2 × 2 voxels in blocks of 1 × 1 × 2 (z, y, x): one of a single label, one of two.
        let bytes = encode(&[5, 5, 9, 3], Extent::new(1, 2, 2), Extent::new(1, 1, 2));
        let words: Vec<u32> = bytes.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        // Channel; two headers; the table of block 0 at word 4; indices of block 1 (9 is 1, 3 is 0) at 5, its table at 6.
        assert_eq!(words, [1, 4, 4, 6 | 1 << 24, 5, 5, 0b01, 3, 9]);
    }

    #[test]
    fn wide_labels_fit_or_are_named() {
        let words = |high: u32| [1_u32, 2, 2, 7, high];
        let bytes = |high| words(high).iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<u8>>();
        let (one, mut out) = (Extent::new(1, 1, 1), [0]);
        decode(&bytes(0), one, BLOCK, true, Region::whole(one), &mut out).unwrap();
        assert_eq!(out, [7]);
        let error = decode(&bytes(1), one, BLOCK, true, Region::whole(one), &mut out).unwrap_err();
        assert!(error.contains("4294967303"), "{error}");
    }

    #[test]
    fn any_table_size_comes_back() {
        // 1, 2, 4, 16, 256 labels and one more: each number of bits, at its limits.
        let chunk = Extent::new(3, 21, 19);
        for labels in [1, 2, 3, 4, 5, 16, 17, 256, 257] {
            let values: Vec<u32> =
                (0..chunk.len() as u32).map(|i| i.wrapping_mul(2654435761) % labels * 77777).collect();
            assert_eq!(
                whole(&encode(&values, chunk, Extent::new(3, 16, 16)), chunk, Extent::new(3, 16, 16)),
                Ok(values)
            );
        }
        let chunk = Extent::new(2, 256, 256);
        let values: Vec<u32> = (0..chunk.len() as u32).rev().collect();
        assert_eq!(whole(&encode(&values, chunk, chunk), chunk, chunk), Ok(values), "32 bits");
    }

    proptest! {
        #[test]
        fn any_part_comes_back(
            z in 1_u64..20, y in 1_u64..20, x in 1_u64..20,
            b in (1_u64..10, 1_u64..10, 1_u64..10),
            seed in any::<u32>(),
            part in (0.0..1.0, 0.0..1.0, 0.0..1.0),
        ) {
            let chunk = Extent::new(z, y, x);
            let block = Extent::new(b.0, b.1, b.2);
            let values: Vec<u32> = (0..chunk.len() as u32).map(|i| (i.wrapping_mul(seed) >> 13) % 6).collect();
            let bytes = encode(&values, chunk, block);
            prop_assert!(bytes.len() as u64 <= most_bytes(chunk, block).unwrap());
            let start = Index::new((part.0 * z as f64) as u64, (part.1 * y as f64) as u64, (part.2 * x as f64) as u64);
            let inside = Region::new(start, Extent::new(z - start.z, y - start.y, (x - start.x).div_ceil(2)));
            let mut out = vec![9; inside.extent.len()];
            decode(&bytes, chunk, block, false, inside, &mut out).unwrap();
            let truth = crate::Block::new(chunk, crate::Voxels::U32(values)).crop(inside);
            prop_assert_eq!(crate::Voxels::U32(out), truth.into_voxels());
        }

        #[test]
        fn damage_is_an_error_or_labels(at in 0_usize..10_000, value: u8, cut in 0_usize..10_000) {
            let chunk = Extent::new(9, 10, 11);
            let values: Vec<u32> = (0..chunk.len() as u32).map(|i| i / 7).collect();
            let mut bytes = encode(&values, chunk, BLOCK);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = whole(&bytes, chunk, BLOCK);
            let len = bytes.len();
            bytes.truncate(cut % len);
            let _ = whole(&bytes, chunk, BLOCK);
        }
    }

    #[test]
    fn chunks_beyond_the_offsets_are_known() {
        assert!(encodes(Extent::new(64, 64, 64), BLOCK));
        assert!(encodes(Extent::new(128, 256, 256), BLOCK));
        assert!(!encodes(Extent::new(256, 256, 256), BLOCK));
        assert!(!encodes(Extent::new(u64::MAX, u64::MAX, 1), BLOCK));
    }
}
