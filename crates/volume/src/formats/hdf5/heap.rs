//! Heaps: the names of old groups, the links and attributes of dense ones.

use super::source::{Cursor, REPACK, Source};
use crate::VolumeError;

/// The names of an old group.
#[derive(Debug)]
pub(super) struct LocalHeap {
    bytes: Vec<u8>,
}

impl LocalHeap {
    pub(super) fn open(source: &Source, part: &str, at: u64) -> Result<Self, VolumeError> {
        let size = 8 + 2 * source.length_size + source.offset_size;
        let bytes = source.bytes(part, at, size as u64)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"HEAP", 0)?;
        cursor.skip(3)?;
        let size = cursor.length()?;
        cursor.length()?;
        let data = cursor.offset()?;
        Ok(Self { bytes: source.bytes(part, data, size)? })
    }

    /// The text at an offset, up to its zero.
    pub(super) fn text(&self, source: &Source, part: &str, at: u64) -> Result<&[u8], VolumeError> {
        let rest = usize::try_from(at).ok().and_then(|at| self.bytes.get(at..));
        let end = rest.and_then(|rest| rest.iter().position(|&byte| byte == 0));
        match (rest, end) {
            (Some(rest), Some(end)) => Ok(&rest[..end]),
            _ => Err(source.malformed(part, format!("a name at byte {at} of {}", self.bytes.len()), "a name inside")),
        }
    }
}

/// A heap of many small objects in blocks that double.
#[derive(Debug)]
pub(super) struct FractalHeap {
    max_managed: u64,
    width: u64,
    start: u64,
    max_direct: u64,
    offset_size: usize,
    root: Option<u64>,
    rows: u32,
}

impl FractalHeap {
    pub(super) fn open(source: &Source, part: &str, at: u64) -> Result<Self, VolumeError> {
        let size = 26 + 12 * source.length_size + 3 * source.offset_size;
        let bytes = source.bytes(part, at, size as u64)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"FRHP", 0)?;
        cursor.skip(2)?;
        if cursor.u16()? != 0 {
            let expected = "one without filters".to_owned();
            return Err(source.unsupported(part, "a compressed heap of names".into(), expected, REPACK));
        }
        cursor.skip(1)?;
        let max_managed = cursor.u32()?.into();
        cursor.skip(10 * source.length_size + 2 * source.offset_size)?;
        let width = cursor.u16()?.into();
        let start = cursor.length()?;
        let max_direct = cursor.length()?;
        let bits = cursor.u16()?;
        cursor.skip(2)?;
        let root = cursor.address()?;
        let rows = cursor.u16()?.into();
        cursor.check_sum()?;
        let sound = [width, start, max_direct].iter().all(|n| n.is_power_of_two());
        if !sound || start > max_direct || bits > 64 {
            let found = format!("blocks of {start} to {max_direct} bytes, {width} in a row, {bits} bits");
            return Err(source.malformed(part, found, "powers of two"));
        }
        let offset_size = usize::from(bits).div_ceil(8);
        Ok(Self { max_managed, width, start, max_direct, offset_size, root, rows })
    }

    /// An object by its id; `None` for one that lies outside the blocks (a huge one).
    pub(super) fn object(&self, source: &Source, part: &str, id: &[u8]) -> Result<Option<Vec<u8>>, VolumeError> {
        let mut cursor = Cursor::new(source, part, id);
        if cursor.u8()? >> 4 & 3 != 0 {
            return Ok(None);
        }
        let offset = cursor.unsigned(self.offset_size)?;
        let by_block = (self.max_direct.ilog2() as usize).div_ceil(8);
        let by_object = self.max_managed.checked_ilog2().unwrap_or(0) as usize / 8 + 1;
        let size = cursor.unsigned(by_block.min(by_object))?;
        let (block, block_size, inside) = self.locate(source, part, offset)?;
        if inside.checked_add(size).is_none_or(|end| end > block_size) {
            return Err(source.malformed(part, format!("an object of {size} bytes"), "one inside its block"));
        }
        let head = source.bytes(part, block, 4)?;
        if head != b"FHDB" {
            return Err(source.malformed(part, format!("'{}'", head.escape_ascii()), "'FHDB'"));
        }
        source.bytes(part, block.saturating_add(inside), size).map(Some)
    }

    /// The direct block at an offset of the heap: its address, its size, the place in it.
    fn locate(&self, source: &Source, part: &str, offset: u64) -> Result<(u64, u64, u64), VolumeError> {
        let outside =
            || source.malformed(part, format!("an object at {offset} of a heap"), "a place inside its blocks");
        let mut at = self.root.ok_or_else(outside)?;
        let (mut rows, mut offset) = (self.rows, offset);
        if rows == 0 {
            return Ok((at, self.start, offset));
        }
        // Blocks of the first two rows are as large as the first, then they double from row to row.
        let direct_rows = (self.max_direct / self.start).ilog2() + 2;
        let head = 5 + source.offset_size + self.offset_size;
        // Rows below an indirect block are fewer than its own row's number.
        loop {
            let row = (offset / self.start / self.width).checked_ilog2().map_or(0, |n| n + 1);
            if row >= rows {
                return Err(outside());
            }
            let doubled = row.saturating_sub(1);
            let size = self.start.checked_shl(doubled).filter(|n| n >> doubled == self.start).ok_or_else(outside)?;
            let begin = if row == 0 { 0 } else { size.checked_mul(self.width).ok_or_else(outside)? };
            let column = (offset - begin) / size;
            offset = (offset - begin) % size;
            let bytes = source.bytes(part, at, 4)?;
            if bytes != b"FHIB" {
                return Err(source.malformed(part, format!("'{}'", bytes.escape_ascii()), "'FHIB'"));
            }
            let entry =
                (head as u64).saturating_add((u64::from(row) * self.width + column) * source.offset_size as u64);
            let entry = source.bytes(part, at.saturating_add(entry), source.offset_size as u64)?;
            let child = Cursor::new(source, part, &entry).address()?.ok_or_else(outside)?;
            if row < direct_rows {
                return Ok((child, size, offset));
            }
            let below = (size / self.start / self.width).checked_ilog2().map_or(0, |n| n + 1);
            if below == 0 || below >= rows {
                return Err(outside());
            }
            (at, rows) = (child, below);
        }
    }
}
