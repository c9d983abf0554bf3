//! What the messages of a dataset say: its shape, its numbers, where they lie.

use super::chunks::Index;
use super::filters::{Filter, Pipeline};
use super::object::{Object, kind};
use super::source::{Cursor, REPACK, Source};
use crate::VolumeError;
use crate::formats::stored::Stored;

/// HDF5 has no more axes.
const MOST_AXES: usize = 32;

/// The sizes of a dataset's axes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dataspace {
    pub(super) dims: Vec<u64>,
    /// How far they may grow; `u64::MAX` without limit.
    pub(super) max_dims: Vec<u64>,
}

pub(super) fn dataspace(source: &Source, object: &Object) -> Result<Dataspace, VolumeError> {
    let Some(message) = object.get(source, kind::DATASPACE)? else {
        return Err(source.malformed(&object.part, "a dataset without shape", "a dataspace message"));
    };
    read_dataspace(source, &object.part, &message.data)
}

pub(super) fn read_dataspace(source: &Source, part: &str, bytes: &[u8]) -> Result<Dataspace, VolumeError> {
    let mut cursor = Cursor::new(source, part, bytes);
    let version = cursor.u8()?;
    let rank = usize::from(cursor.u8()?);
    let flags = cursor.u8()?;
    match version {
        1 => cursor.skip(5)?,
        2 => cursor.skip(1)?,
        _ => return Err(source.malformed(part, format!("a dataspace of version {version}"), "version 1 or 2")),
    }
    if rank > MOST_AXES {
        return Err(source.malformed(part, format!("{rank} axes"), format!("at most {MOST_AXES}")));
    }
    let mut list = || (0..rank).map(|_| cursor.length()).collect::<Result<Vec<_>, _>>();
    let dims = list()?;
    let unlimited = u64::MAX >> (64 - 8 * source.length_size);
    let max_dims = if flags & 1 == 0 {
        dims.clone()
    } else {
        list()?.into_iter().map(|n| if n == unlimited { u64::MAX } else { n }).collect()
    };
    if dims.iter().zip(&max_dims).any(|(n, most)| n > most) {
        return Err(source.malformed(part, format!("axes of {dims:?}"), format!("at most {max_dims:?}")));
    }
    Ok(Dataspace { dims, max_dims })
}

/// The numbers of a dataset, and whether their most significant byte comes first.
pub(super) fn datatype_of(source: &Source, object: &Object) -> Result<(Stored, bool), VolumeError> {
    let Some(message) = object.get(source, kind::DATATYPE)? else {
        return Err(source.malformed(&object.part, "a dataset without number type", "a datatype message"));
    };
    datatype(source, &object.part, &message.data)
}

pub(super) fn datatype(source: &Source, part: &str, bytes: &[u8]) -> Result<(Stored, bool), VolumeError> {
    let mut cursor = Cursor::new(source, part, bytes);
    let class = cursor.u8()? & 15;
    let bits = [cursor.u8()?, cursor.u8()?, cursor.u8()?];
    let size = cursor.u32()?;
    let unsupported = |found: String| {
        let expected = "whole numbers of 8 to 64 bits, or floating point of 16, 32 or 64".to_owned();
        Err(source.unsupported(part, found, expected, "Convert the dataset, for example with h5py."))
    };
    let name = match class {
        0 => {
            let (offset, precision) = (cursor.u16()?, cursor.u16()?);
            let stored = match (size, bits[0] & 8 != 0) {
                (1, false) => Stored::U8,
                (1, true) => Stored::I8,
                (2, false) => Stored::U16,
                (2, true) => Stored::I16,
                (4, false) => Stored::U32,
                (4, true) => Stored::I32,
                (8, false) => Stored::U64,
                (8, true) => Stored::I64,
                _ => return unsupported(format!("whole numbers of {size} bytes")),
            };
            if offset != 0 || u32::from(precision) != 8 * size {
                return unsupported(format!("numbers of {precision} bits in {size} bytes"));
            }
            return Ok((stored, bits[0] & 1 == 1));
        }
        1 => {
            let layout = (cursor.u16()?, cursor.u16()?, cursor.u8()?, cursor.u8()?, cursor.u8()?, cursor.u8()?);
            let bias = cursor.u32()?;
            // Offset and precision; place and size of the exponent, then of the mantissa.
            let stored = match (size, layout, bias) {
                (2, (0, 16, 10, 5, 0, 10), 15) => Stored::F16,
                (4, (0, 32, 23, 8, 0, 23), 127) => Stored::F32,
                (8, (0, 64, 52, 11, 0, 52), 1023) => Stored::F64,
                _ => return unsupported(format!("floating point of {size} bytes that is not IEEE 754")),
            };
            if bits[0] & 0x40 != 0 {
                return unsupported("floating point in the order of a VAX".into());
            }
            return Ok((stored, bits[0] & 1 == 1));
        }
        // An enumeration, such as h5py's truth values: the type of its numbers follows.
        8 => {
            let base = bytes.get(8..).unwrap_or_default();
            return match base.first().map(|b| b & 15) {
                Some(0) => match datatype(source, part, base)? {
                    (Stored::I8, big_endian) => Ok((Stored::U8, big_endian)),
                    other => Ok(other),
                },
                _ => unsupported("an enumeration of other things than numbers".into()),
            };
        }
        2 => "times",
        3 => "text",
        4 => "bit fields",
        5 => "opaque bytes",
        6 => "compounds",
        7 => "references",
        9 => "sequences of varying length",
        10 => "arrays as elements",
        11 => "complex numbers",
        _ => return Err(source.malformed(part, format!("numbers of class {class}"), "0 to 11")),
    };
    unsupported(name.into())
}

/// The value of voxels that were never written, as it is stored; `None` for zero.
pub(super) fn fill_value(source: &Source, object: &Object) -> Result<Option<Vec<u8>>, VolumeError> {
    let part = &object.part;
    let mut value = None;
    if let Some(message) = object.get(source, kind::FILL)? {
        let mut cursor = Cursor::new(source, part, &message.data);
        let defined = match cursor.u8()? {
            1 | 2 => {
                cursor.skip(2)?;
                cursor.u8()? != 0
            }
            3 => cursor.u8()? & 0x20 != 0,
            version => {
                return Err(source.malformed(part, format!("a fill value of version {version}"), "1 to 3"));
            }
        };
        if defined {
            let size = cursor.u32()?;
            value = Some(cursor.take(size as usize)?.to_vec());
        }
    } else if let Some(message) = object.get(source, kind::OLD_FILL)? {
        let mut cursor = Cursor::new(source, part, &message.data);
        let size = cursor.u32()?;
        value = Some(cursor.take(size as usize)?.to_vec());
    }
    Ok(value.filter(|bytes| !bytes.is_empty()))
}

/// How the voxels of a dataset lie in the file.
#[derive(Debug)]
pub(super) enum Layout {
    /// One after another: at an address, or not yet written.
    Contiguous { at: Option<u64>, size: u64 },
    /// In boxes.
    Chunked { chunk: Vec<u64>, index: Index, partial_unfiltered: bool },
}

pub(super) fn layout(source: &Source, object: &Object, space: &Dataspace, bytes: usize) -> Result<Layout, VolumeError> {
    let part = &object.part;
    if object.find(kind::EXTERNAL_FILES).is_some() {
        let hint = "Copy the dataset into one file with h5repack or h5py.";
        return Err(source.unsupported(part, "voxels in other files".into(), "voxels in this file".into(), hint));
    }
    let Some(message) = object.get(source, kind::LAYOUT)? else {
        return Err(source.malformed(part, "no layout", "a dataset (not a group)"));
    };
    let mut cursor = Cursor::new(source, part, &message.data);
    let version = cursor.u8()?;
    if !(3..=5).contains(&version) {
        return Err(source.unsupported(part, format!("a layout of version {version}"), "3 to 5".into(), REPACK));
    }
    match cursor.u8()? {
        0 => {
            let size = cursor.u16()?;
            let at = message.at + cursor.at as u64;
            cursor.skip(size.into())?;
            Ok(Layout::Contiguous { at: Some(at), size: size.into() })
        }
        1 => Ok(Layout::Contiguous { at: cursor.address()?, size: cursor.length()? }),
        2 => chunked(source, part, cursor, version, space, bytes),
        3 => {
            let hint = "Copy the dataset into one file with h5py.";
            Err(source.unsupported(part, "a virtual dataset".into(), "voxels in this file".into(), hint))
        }
        class => Err(source.malformed(part, format!("layout class {class}"), "0 to 3")),
    }
}

fn chunked(
    source: &Source,
    part: &str,
    mut cursor: Cursor<'_>,
    version: u8,
    space: &Dataspace,
    bytes: usize,
) -> Result<Layout, VolumeError> {
    let flags = if version == 3 { 0 } else { cursor.u8()? };
    let rank = usize::from(cursor.u8()?);
    if rank != space.dims.len() + 1 {
        let found = format!("chunks of {} axes", rank.saturating_sub(1));
        return Err(source.malformed(part, found, format!("{}, as the dataset has", space.dims.len())));
    }
    let tree = if version == 3 { cursor.address()? } else { None };
    let size = if version == 3 { 4 } else { usize::from(cursor.u8()?) };
    if !(1..=8).contains(&size) {
        return Err(source.malformed(part, format!("numbers of {size} bytes"), "1 to 8"));
    }
    let mut chunk = (0..rank).map(|_| cursor.unsigned(size)).collect::<Result<Vec<_>, _>>()?;
    let element = chunk.pop();
    if element != Some(bytes as u64) || chunk.contains(&0) {
        let found = format!("chunks of {chunk:?} voxels, {} bytes each", element.unwrap_or(0));
        return Err(source.malformed(part, found, format!("at least one along each axis, of {bytes} bytes")));
    }
    let index =
        if version == 3 { Index::btree1(tree) } else { Index::read(source, part, &mut cursor, flags, space, &chunk)? };
    Ok(Layout::Chunked { chunk, index, partial_unfiltered: flags & 1 != 0 })
}

/// The filters that chunks went through, in the order of writing.
pub(super) fn filters(source: &Source, object: &Object, bytes: usize) -> Result<Pipeline, VolumeError> {
    let part = &object.part;
    let Some(message) = object.get(source, kind::FILTERS)? else { return Ok(Pipeline::default()) };
    let mut cursor = Cursor::new(source, part, &message.data);
    let version = cursor.u8()?;
    let count = cursor.u8()?;
    match version {
        1 => cursor.skip(6)?,
        2 => {}
        _ => return Err(source.malformed(part, format!("filters of version {version}"), "1 or 2")),
    }
    let mut filters = Vec::new();
    for _ in 0..count {
        let id = cursor.u16()?;
        let name = if version == 1 || id >= 256 { usize::from(cursor.u16()?) } else { 0 };
        cursor.skip(2)?;
        let values = cursor.u16()?;
        let padded = if version == 1 { name.next_multiple_of(8) } else { name };
        let name = String::from_utf8_lossy(cursor.take(padded)?).trim_end_matches('\0').to_owned();
        let first = if values > 0 { Some(cursor.u32()?) } else { None };
        cursor.skip(4 * usize::from(values.saturating_sub(1)))?;
        if version == 1 && values % 2 == 1 {
            // The last one may go without padding.
            cursor.skip(4.min(cursor.left()))?;
        }
        filters.push(Filter::new(source, part, id, &name, first, bytes)?);
    }
    Pipeline::new(source, part, filters)
}
