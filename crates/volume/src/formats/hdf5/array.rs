//! Chunk indexes that are arrays: of a fixed length, or growing along one axis.

use super::chunks::{StoredChunk, element};
use super::source::{Cursor, Source};
use crate::VolumeError;

/// A block of elements: some of them, then a checksum. The element at `i`.
fn in_block(
    source: &Source,
    part: &str,
    (at, before, count, size): (u64, u64, u64, u64),
    letters: Option<[u8; 4]>,
    i: u64,
) -> Result<Option<StoredChunk>, VolumeError> {
    let bytes = before.saturating_add(count.saturating_mul(size)).saturating_add(4);
    let bytes = source.bytes(part, at, bytes)?;
    let mut cursor = Cursor::new(source, part, &bytes);
    if let Some(letters) = letters {
        cursor.signature(letters, 0)?;
    }
    cursor.at = bytes.len() - 4;
    cursor.check_sum()?;
    let first = (before + i * size) as usize;
    element(source, part, bytes.get(first..first + size as usize).unwrap_or_default())
}

/// Whether bit `i` of some bytes is set, the highest of a byte first.
fn bit(bytes: &[u8], i: u64) -> bool {
    usize::try_from(i / 8).ok().and_then(|at| bytes.get(at)).is_some_and(|byte| byte & 0x80 >> (i % 8) != 0)
}

/// The place of an element among the pages of a block.
fn page_start(first: u64, page: u64, per_page: u64, size: u64) -> Option<u64> {
    per_page.checked_mul(size)?.checked_add(4)?.checked_mul(page)?.checked_add(first)
}

/// An array of a fixed number of elements.
#[derive(Debug)]
pub(super) struct FixedArray {
    element: u64,
    page_bits: u32,
    count: u64,
    block: Option<u64>,
}

impl FixedArray {
    pub(super) fn open(source: &Source, part: &str, at: u64) -> Result<Self, VolumeError> {
        let size = 12 + source.length_size + source.offset_size;
        let bytes = source.bytes(part, at, size as u64)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"FAHD", 0)?;
        cursor.skip(1)?;
        let element = cursor.u8()?.into();
        let page_bits = cursor.u8()?.into();
        let count = cursor.length()?;
        let block = cursor.address()?;
        cursor.check_sum()?;
        if page_bits > 32 {
            return Err(source.malformed(part, format!("pages of 2^{page_bits} chunks"), "at most 2^32"));
        }
        Ok(Self { element, page_bits, count, block })
    }

    pub(super) fn find(&self, source: &Source, part: &str, i: u64) -> Result<Option<StoredChunk>, VolumeError> {
        if i >= self.count {
            return Err(source.malformed(part, format!("an index of {} chunks", self.count), format!("more than {i}")));
        }
        let Some(block) = self.block else { return Ok(None) };
        let per_page = 1_u64 << self.page_bits;
        let before = 6 + source.offset_size as u64;
        if self.count <= per_page {
            return in_block(source, part, (block, before, self.count, self.element), Some(*b"FADB"), i);
        }
        let pages = self.count.div_ceil(per_page);
        let bitmap = pages.div_ceil(8);
        let head = source.bytes(part, block, before.saturating_add(bitmap).saturating_add(4))?;
        let mut cursor = Cursor::new(source, part, &head);
        cursor.signature(*b"FADB", 0)?;
        cursor.at = head.len() - 4;
        cursor.check_sum()?;
        let page = i / per_page;
        if !bit(&head[before as usize..head.len() - 4], page) {
            return Ok(None);
        }
        let count = per_page.min(self.count - page * per_page);
        let at = page_start(head.len() as u64, page, per_page, self.element).and_then(|n| n.checked_add(block));
        in_block(source, part, (at.unwrap_or(u64::MAX), 0, count, self.element), None, i % per_page)
    }
}

/// An array that grows: blocks of elements, each run of them longer than the last.
#[derive(Debug)]
pub(super) struct ExtensibleArray {
    element: u64,
    /// Elements in the index block itself.
    in_index: u64,
    /// Elements in the smallest block.
    min_elements: u64,
    /// Block addresses in the smallest super block.
    min_pointers: u64,
    page_bits: u32,
    bits: u32,
    index: Option<u64>,
}

/// A run of blocks of one size.
struct Run {
    blocks: u64,
    elements: u64,
    /// Before the first of them: how many elements, how many blocks.
    first_element: u64,
    first_block: u64,
}

impl ExtensibleArray {
    pub(super) fn open(source: &Source, part: &str, at: u64) -> Result<Self, VolumeError> {
        let size = 16 + 6 * source.length_size + source.offset_size;
        let bytes = source.bytes(part, at, size as u64)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"EAHD", 0)?;
        cursor.skip(1)?;
        let element = cursor.u8()?.into();
        let bits = cursor.u8()?.into();
        let in_index = cursor.u8()?.into();
        let min_elements = u64::from(cursor.u8()?);
        let min_pointers = u64::from(cursor.u8()?);
        let page_bits = cursor.u8()?.into();
        cursor.skip(6 * source.length_size)?;
        let index = cursor.address()?;
        cursor.check_sum()?;
        let sound = min_elements.is_power_of_two() && min_pointers.is_power_of_two() && min_pointers > 1;
        if !sound || bits > 64 || page_bits > 32 {
            let found =
                format!("blocks of {min_elements} chunks, {min_pointers} pointers, {bits} and {page_bits} bits");
            return Err(source.malformed(part, found, "powers of two"));
        }
        Ok(Self { element, in_index, min_elements, min_pointers, page_bits, bits, index })
    }

    /// The run of number `run`: their number and their length double in turn.
    fn run(&self, run: u32) -> Option<Run> {
        let (mut first_element, mut first_block) = (0_u64, 0_u64);
        for i in 0..=run {
            let blocks = 1_u64.checked_shl(i / 2)?;
            let elements = self.min_elements.checked_mul(1_u64.checked_shl(i.div_ceil(2))?)?;
            if i == run {
                return Some(Run { blocks, elements, first_element, first_block });
            }
            first_element = first_element.checked_add(blocks.checked_mul(elements)?)?;
            first_block = first_block.checked_add(blocks)?;
        }
        None
    }

    pub(super) fn find(&self, source: &Source, part: &str, i: u64) -> Result<Option<StoredChunk>, VolumeError> {
        let outside = || source.malformed(part, format!("chunk {i}"), "one that its index can hold");
        let Some(index) = self.index else { return Ok(None) };
        let offset_size = source.offset_size as u64;
        let min_bits = self.min_elements.ilog2();
        let runs = u64::from(self.bits.checked_sub(min_bits).ok_or_else(outside)?) + 1;
        // The blocks of the first runs have their addresses in the index block, the others in super blocks.
        let direct_runs = 2 * u64::from(self.min_pointers.ilog2());
        let direct = 2 * (self.min_pointers - 1);
        let supers = runs.saturating_sub(direct_runs);
        let before = 6 + offset_size;
        let elements_end = before + self.in_index * self.element;
        let size = elements_end + (direct + supers) * offset_size + 4;
        let bytes = source.bytes(part, index, size)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"EAIB", 0)?;
        cursor.at = bytes.len() - 4;
        cursor.check_sum()?;
        if i < self.in_index {
            let at = (before + i * self.element) as usize;
            return element(source, part, &bytes[at..at + self.element as usize]);
        }
        let i = i - self.in_index;
        let number = (i / self.min_elements).checked_add(1).ok_or_else(outside)?.ilog2();
        if u64::from(number) >= runs {
            return Err(outside());
        }
        let run = self.run(number).ok_or_else(outside)?;
        let inside = i.checked_sub(run.first_element).ok_or_else(outside)?;
        let (block, inside) = (inside / run.elements, inside % run.elements);
        if u64::from(number) < direct_runs {
            cursor.at = (elements_end + (run.first_block + block) * offset_size) as usize;
            let Some(at) = cursor.address()? else { return Ok(None) };
            return self.in_data_block(source, part, at, &run, inside, None);
        }
        cursor.at = (elements_end + (direct + u64::from(number) - direct_runs) * offset_size) as usize;
        let Some(at) = cursor.address()? else { return Ok(None) };
        self.in_super_block(source, part, at, &run, (block, inside))
    }

    /// Bytes of an element's number.
    const fn number_size(&self) -> u64 {
        self.bits.div_ceil(8) as u64
    }

    /// Pages of a block, where it has any.
    fn pages(&self, run: &Run) -> u64 {
        if run.elements > 1 << self.page_bits { run.elements >> self.page_bits } else { 0 }
    }

    fn in_super_block(
        &self,
        source: &Source,
        part: &str,
        at: u64,
        run: &Run,
        (block, inside): (u64, u64),
    ) -> Result<Option<StoredChunk>, VolumeError> {
        let before = 6 + source.offset_size as u64 + self.number_size();
        let bitmap = run.blocks.saturating_mul(self.pages(run).div_ceil(8));
        let pointers = run.blocks.saturating_mul(source.offset_size as u64);
        let bytes = source.bytes(part, at, before.saturating_add(bitmap).saturating_add(pointers).saturating_add(4))?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"EASB", 0)?;
        cursor.at = bytes.len() - 4;
        cursor.check_sum()?;
        let bits = &bytes[before as usize..(before + bitmap) as usize];
        cursor.at = (before + bitmap + block * source.offset_size as u64) as usize;
        let Some(at) = cursor.address()? else { return Ok(None) };
        // The bits of all blocks follow each other without gaps.
        let page = block * self.pages(run) + (inside >> self.page_bits);
        self.in_data_block(source, part, at, run, inside, Some(bit(bits, page)))
    }

    fn in_data_block(
        &self,
        source: &Source,
        part: &str,
        at: u64,
        run: &Run,
        inside: u64,
        page_written: Option<bool>,
    ) -> Result<Option<StoredChunk>, VolumeError> {
        let before = 6 + source.offset_size as u64 + self.number_size();
        if self.pages(run) == 0 {
            return in_block(source, part, (at, before, run.elements, self.element), Some(*b"EADB"), inside);
        }
        if page_written == Some(false) {
            return Ok(None);
        }
        let per_page = 1_u64 << self.page_bits;
        let page = page_start(before + 4, inside / per_page, per_page, self.element).and_then(|n| n.checked_add(at));
        in_block(source, part, (page.unwrap_or(u64::MAX), 0, per_page, self.element), None, inside % per_page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_double_in_turn() {
        let array = ExtensibleArray {
            element: 8,
            in_index: 4,
            min_elements: 16,
            min_pointers: 4,
            page_bits: 10,
            bits: 32,
            index: None,
        };
        let shape = |i| array.run(i).map(|r| (r.blocks, r.elements, r.first_element, r.first_block));
        assert_eq!(shape(0), Some((1, 16, 0, 0)));
        assert_eq!(shape(1), Some((1, 32, 16, 1)));
        assert_eq!(shape(2), Some((2, 32, 48, 2)));
        assert_eq!(shape(3), Some((2, 64, 112, 4)));
        assert_eq!(shape(4), Some((4, 64, 240, 6)));
        assert!(bit(&[0x80, 0x01], 0) && bit(&[0x80, 0x01], 15) && !bit(&[0x80, 0x01], 8) && !bit(&[1], 8));
    }
}
