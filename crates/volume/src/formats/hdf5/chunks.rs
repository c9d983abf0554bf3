//! Which chunk of a dataset lies where.

use super::array::{ExtensibleArray, FixedArray};
use super::btree1;
use super::btree2::Tree;
use super::messages::Dataspace;
use super::source::{Cursor, Source};
use crate::VolumeError;

/// A chunk as it lies in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StoredChunk {
    pub(super) address: u64,
    /// Its bytes; `None` where no filter changed them.
    pub(super) size: Option<u64>,
    /// Bit i: filter i was left out.
    pub(super) mask: u32,
}

/// The index of a dataset's chunks.
#[derive(Debug)]
pub(super) enum Index {
    /// Nothing was written yet.
    None,
    BTree1 {
        root: u64,
    },
    Single(StoredChunk),
    /// All chunks one after another.
    Implicit {
        at: u64,
        grid: Grid,
    },
    Fixed {
        array: FixedArray,
        grid: Grid,
    },
    Extensible {
        array: ExtensibleArray,
        grid: Grid,
    },
    BTree2(Tree),
}

/// Numbers chunks row by row, as many as there may ever be.
#[derive(Debug)]
pub(super) struct Grid {
    /// Chunks along each axis, the one that may grow without limit first.
    counts: Vec<u64>,
    /// That axis.
    growing: usize,
}

impl Grid {
    fn new(space: &Dataspace, chunk: &[u64]) -> Self {
        let growing = space.max_dims.iter().position(|&n| n == u64::MAX).unwrap_or(0);
        let mut counts: Vec<u64> = space.max_dims.iter().zip(chunk).map(|(n, c)| n.div_ceil(*c)).collect();
        counts[..=growing].rotate_right(1);
        Self { counts, growing }
    }

    fn number(&self, at: &[u64]) -> Option<u64> {
        let mut at = at.to_vec();
        at[..=self.growing].rotate_right(1);
        at.iter().zip(&self.counts).try_fold(0_u64, |n, (i, count)| n.checked_mul(*count)?.checked_add(*i))
    }
}

impl Index {
    pub(super) fn btree1(root: Option<u64>) -> Self {
        root.map_or(Self::None, |root| Self::BTree1 { root })
    }

    /// Reads the index that a layout of version 4 or 5 describes.
    pub(super) fn read(
        source: &Source,
        part: &str,
        cursor: &mut Cursor<'_>,
        flags: u8,
        space: &Dataspace,
        chunk: &[u64],
    ) -> Result<Self, VolumeError> {
        let kind = cursor.u8()?;
        let filtered = match kind {
            1 if flags & 2 != 0 => Some((cursor.length()?, cursor.u32()?)),
            1 | 2 => None,
            3 => cursor.skip(1).map(|()| None)?,
            4 => cursor.skip(5).map(|()| None)?,
            5 => cursor.skip(6).map(|()| None)?,
            _ => return Err(source.malformed(part, format!("a chunk index of type {kind}"), "1 to 5")),
        };
        let Some(at) = cursor.address()? else { return Ok(Self::None) };
        if space.dims.is_empty() {
            return Err(source.malformed(part, "chunks of a dataset without axes", "at least one axis"));
        }
        let grid = Grid::new(space, chunk);
        Ok(match kind {
            1 => {
                let (size, mask) = filtered.map_or((None, 0), |(size, mask)| (Some(size), mask));
                Self::Single(StoredChunk { address: at, size, mask })
            }
            2 => Self::Implicit { at, grid },
            3 => Self::Fixed { array: FixedArray::open(source, part, at)?, grid },
            4 => Self::Extensible { array: ExtensibleArray::open(source, part, at)?, grid },
            _ => {
                let tree = Tree::open(source, part, at)?;
                let scaled = 8 * space.dims.len();
                let sound = match tree.kind {
                    10 => tree.record == source.offset_size + scaled,
                    11 => (1..=8).any(|size| tree.record == source.offset_size + size + 4 + scaled),
                    _ => false,
                };
                if !sound {
                    let found = format!("a B-tree of type {} with records of {} bytes", tree.kind, tree.record);
                    return Err(source.malformed(part, found, "one of chunks"));
                }
                Self::BTree2(tree)
            }
        })
    }

    /// The chunk at a place of the grid of chunks; `None` where nothing was written.
    pub(super) fn find(
        &self,
        source: &Source,
        part: &str,
        at: &[u64],
        chunk: &[u64],
        chunk_bytes: u64,
    ) -> Result<Option<StoredChunk>, VolumeError> {
        let outside = || source.malformed(part, format!("a chunk at {at:?}"), "one that can be counted");
        let number = |grid: &Grid| grid.number(at).ok_or_else(outside);
        match self {
            Self::None => Ok(None),
            Self::Single(stored) => Ok(Some(*stored)),
            Self::BTree1 { root } => {
                let first: Option<Vec<u64>> = at.iter().zip(chunk).map(|(i, c)| i.checked_mul(*c)).collect();
                btree1::find_chunk(source, part, *root, &first.ok_or_else(outside)?)
            }
            Self::Implicit { at: first, grid } => {
                let offset = number(grid)?.checked_mul(chunk_bytes).and_then(|n| n.checked_add(*first));
                Ok(Some(StoredChunk { address: offset.ok_or_else(outside)?, size: None, mask: 0 }))
            }
            Self::Fixed { array, grid } => array.find(source, part, number(grid)?),
            Self::Extensible { array, grid } => array.find(source, part, number(grid)?),
            Self::BTree2(tree) => {
                let scaled = 8 * at.len();
                let place = |record: &[u8]| {
                    let place = &record[record.len() - scaled..];
                    let numbers = place.chunks_exact(8).map(|b| b.iter().rev().fold(0, |n, &x| n << 8 | u64::from(x)));
                    at.iter().copied().cmp(numbers)
                };
                let Some(record) = tree.find(source, part, &place)? else { return Ok(None) };
                element(source, part, &record[..record.len() - scaled])
            }
        }
    }
}

/// An address, and for a filtered chunk its size and mask: what is left of the bytes says how long the size is.
pub(super) fn element(source: &Source, part: &str, bytes: &[u8]) -> Result<Option<StoredChunk>, VolumeError> {
    let mut cursor = Cursor::new(source, part, bytes);
    let Some(address) = cursor.address()? else { return Ok(None) };
    let left = cursor.left();
    if left == 0 {
        return Ok(Some(StoredChunk { address, size: None, mask: 0 }));
    }
    if !(5..=12).contains(&left) {
        return Err(source.malformed(part, format!("{left} bytes behind a chunk's address"), "0, or 5 to 12"));
    }
    let size = Some(cursor.unsigned(left - 4)?);
    Ok(Some(StoredChunk { address, size, mask: cursor.u32()? }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_numbered_with_the_growing_axis_first() {
        let space = Dataspace { dims: vec![4, 6, 8], max_dims: vec![4, u64::MAX, 8] };
        let grid = Grid::new(&space, &[2, 2, 2]);
        // Rows of chunks along y, each of 2 × 4.
        assert_eq!(grid.number(&[1, 2, 3]), Some(2 * 8 + 4 + 3));
        let fixed = Dataspace { dims: vec![4, 6, 8], max_dims: vec![4, 10, 8] };
        assert_eq!(Grid::new(&fixed, &[2, 2, 2]).number(&[1, 2, 3]), Some((5 + 2) * 4 + 3), "by the largest size");
        assert_eq!(grid.number(&[0, u64::MAX, 0]), None);
    }
}
