//! One strip or tile: from the file's bytes to voxels.
//!
//! The `tiff` crate does the decompression. It is handed a TIFF file in memory that holds this one strip, which makes
//! reading free of any state that threads would have to share, and lets it read pages that it does not know as a whole
//! (palettes).

use std::io::Cursor;
use std::ops::Range;

use tiff::decoder::{Decoder, Limits};

use super::directory::Source;
use super::page::{Chunks, Layout, Meaning, Number};
use crate::formats::checks;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VoxelType, Voxels};

/// The codes of the compressions that can be read: none, LZW, Deflate (both numbers), PackBits, Zstandard.
const COMPRESSIONS: [u16; 6] = [1, 5, 8, 32946, 32773, 50000];

/// By how much a compression can shrink pixels at most; a strip that claims more is damaged.
const fn largest_ratio(compression: u16) -> u64 {
    match compression {
        // A code of 9 to 12 bits stands for at most 4096 bytes.
        5 => 4096,
        // 258 bytes in 2 bits.
        8 | 32946 => 1032,
        // 128 bytes in 2.
        32773 => 64,
        // A block of 128 KiB in 4 bytes.
        50000 => 32768,
        _ => 1,
    }
}

/// Whether a compression and predictor can be read.
pub(super) fn supported(place: &Place, compression: u64, predictor: u64) -> Result<(u16, u16), VolumeError> {
    let unsupported = |found: String| VolumeError::Unsupported {
        place: place.clone(),
        found,
        expected: "no compression, LZW, Deflate, PackBits or Zstandard".into(),
        hint: "Save it again with one of these, for example in Fiji with File > Save As > Tiff.".into(),
    };
    let compression = u16::try_from(compression).ok().filter(|c| COMPRESSIONS.contains(c)).ok_or_else(|| {
        let name = match compression {
            2..=4 => " (fax)",
            6 | 7 => " (JPEG)",
            33003..=34712 => " (JPEG 2000)",
            _ => "",
        };
        unsupported(format!("compression {compression}{name}"))
    })?;
    match predictor {
        1..=3 => Ok((compression, predictor as u16)),
        other => Err(unsupported(format!("predictor {other}"))),
    }
}

/// The wanted rows of chunk `number`, at its full width.
pub(super) fn decode(
    source: &Source,
    layout: &Layout,
    chunks: &Chunks,
    part: &str,
    number: usize,
    rows: Range<u64>,
) -> Result<Block, VolumeError> {
    let extent = Extent::new(1, rows.end - rows.start, layout.chunk.x);
    let (offset, count) = (chunks.offsets[number], chunks.counts[number]);
    let row_bytes = layout.row_bytes();
    let too_far = || source.early_end(part);
    if layout.compression == 1 && (layout.predictor == 1 || layout.bits < 8) {
        let skip = rows.start.checked_mul(row_bytes).and_then(|n| n.checked_add(offset)).ok_or_else(too_far)?;
        let size = extent.y.checked_mul(row_bytes).ok_or_else(too_far)?;
        let bytes = source.bytes(part, skip, size)?;
        return values(source, layout, &bytes, extent, source.big_endian);
    }
    let count = if layout.compression == 1 { layout.chunk.y.min(rows.end).saturating_mul(row_bytes) } else { count };
    let place = || Place::part(&source.path, part);
    let size = rows.end.checked_mul(row_bytes).ok_or_else(too_far)?;
    if size / largest_ratio(layout.compression) > count {
        return Err(VolumeError::malformed(
            place(),
            format!("{count} bytes for a strip or tile"),
            format!("{size} when decoded"),
        ));
    }
    let file = single_strip(source, layout, part, (offset, count), rows.end)?;
    let region = Region::new(Index::default(), Extent::new(1, rows.end, row_bytes));
    let mut bytes = checks::zeros(&source.path, region, VoxelType::U8)?;
    let Voxels::U8(bytes) = bytes.voxels_mut() else { return Err(too_far()) };
    // What is read is bounded by the buffers made here.
    let mut decoder = Decoder::new(Cursor::new(file)).map(|d| d.with_limits(Limits::unlimited()));
    decoder
        .as_mut()
        .map_err(|e| e.to_string())
        .and_then(|d| d.read_chunk_bytes(0, bytes).map_err(|e| e.to_string()))
        .map_err(|e| VolumeError::malformed(place(), e, "a whole strip or tile"))?;
    values(source, layout, &bytes[(rows.start * row_bytes) as usize..], extent, cfg!(target_endian = "big"))
}

/// A TIFF file with one page of one strip: the stored bytes of a chunk as they are.
fn single_strip(
    source: &Source,
    layout: &Layout,
    part: &str,
    (offset, count): (u64, u64),
    rows: u64,
) -> Result<Vec<u8>, VolumeError> {
    const ENTRIES: u32 = 10;
    const DATA: u32 = 8 + 2 + 12 * ENTRIES + 4;
    let too_far = || source.early_end(part);
    if offset.checked_add(count).is_none_or(|end| end > source.len) {
        return Err(too_far());
    }
    let word = |n: u64| u32::try_from(n).map_err(|_| too_far());
    // Type 3 is a 16-bit number, type 4 one of 32 bits.
    let entries: [(u16, u16, u32); ENTRIES as usize] = [
        (256, 4, word(layout.chunk.x)?),
        (257, 4, word(rows)?),
        (258, 3, layout.bits as u32),
        (259, 3, u32::from(layout.compression)),
        (262, 3, 1),
        (273, 4, DATA),
        (278, 4, word(rows)?),
        (279, 4, word(count)?),
        (317, 3, u32::from(layout.predictor)),
        // The predictor of floating-point numbers is known for these only; the bytes of others are the same either way.
        (339, 3, if layout.number == Number::Float { 3 } else { 1 }),
    ];
    let mut file = Vec::with_capacity(DATA as usize + count as usize);
    file.extend(if source.big_endian { b"MM" } else { b"II" });
    let mut put = |number: u32, size: usize| {
        if source.big_endian {
            file.extend(&number.to_be_bytes()[4 - size..]);
        } else {
            file.extend(&number.to_le_bytes()[..size]);
        }
    };
    put(42, 2);
    put(8, 4);
    put(ENTRIES, 2);
    for (tag, kind, value) in entries {
        put(u32::from(tag), 2);
        put(u32::from(kind), 2);
        put(1, 4);
        if kind == 3 {
            put(value, 2);
            put(0, 2);
        } else {
            put(value, 4);
        }
    }
    put(0, 4);
    file.extend(source.bytes(part, offset, count)?);
    Ok(file)
}

/// Voxels from the decoded bytes of a chunk's rows.
fn values(
    source: &Source,
    layout: &Layout,
    bytes: &[u8],
    extent: Extent,
    big_endian: bool,
) -> Result<Block, VolumeError> {
    let mut block = checks::zeros(&source.path, Region::whole(extent), layout.voxel_type())?;
    let invert = layout.meaning == Meaning::WhiteIsZero;
    match block.voxels_mut() {
        Voxels::U8(values) if layout.bits == 8 => {
            let bytes = &bytes[..values.len()];
            values.copy_from_slice(bytes);
        }
        Voxels::U8(values) => unpack(values, bytes, layout),
        Voxels::U16(values) => {
            let read = if big_endian { u16::from_be_bytes } else { u16::from_le_bytes };
            for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = read([pair[0], pair[1]]);
            }
        }
        Voxels::U32(values) => {
            let read = if big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
            for (value, four) in values.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = read([four[0], four[1], four[2], four[3]]);
            }
        }
        Voxels::I16(values) => {
            let read = if big_endian { i16::from_be_bytes } else { i16::from_le_bytes };
            for (value, pair) in values.iter_mut().zip(bytes.chunks_exact(2)) {
                *value = read([pair[0], pair[1]]);
            }
        }
        Voxels::F32(values) => {
            let read = if big_endian { f32::from_be_bytes } else { f32::from_le_bytes };
            for (value, four) in values.iter_mut().zip(bytes.chunks_exact(4)) {
                *value = read([four[0], four[1], four[2], four[3]]);
            }
        }
    }
    if invert {
        match block.voxels_mut() {
            Voxels::U8(values) => {
                let largest = ((1_u16 << layout.bits) - 1) as u8;
                for value in values {
                    *value = largest - *value;
                }
            }
            Voxels::U16(values) => values.iter_mut().for_each(|v| *v = u16::MAX - *v),
            Voxels::U32(values) => values.iter_mut().for_each(|v| *v = u32::MAX - *v),
            // Refused when the page was opened.
            Voxels::I16(_) | Voxels::F32(_) => {}
        }
    }
    Ok(block)
}

/// Pixels of fewer than 8 bits lie from the high bit down, each row from a new byte on; values stay as they are.
fn unpack(values: &mut [u8], bytes: &[u8], layout: &Layout) {
    let bits = layout.bits as usize;
    let mask = ((1_u16 << bits) - 1) as u8;
    let rows = values.chunks_exact_mut(layout.chunk.x as usize).zip(bytes.chunks_exact(layout.row_bytes() as usize));
    for (row, packed) in rows {
        for (i, value) in row.iter_mut().enumerate() {
            *value = packed[i * bits / 8] >> (8 - bits - i * bits % 8) & mask;
        }
    }
}
