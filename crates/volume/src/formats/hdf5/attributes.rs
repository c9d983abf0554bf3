//! The voxel size, as the field's programs write it beside a dataset.
//!
//! `element_size_um`, in µm, by the HDF5 plugin of Fiji and those that follow it; `resolution`, in nm, by CREMI and the
//! training tools around it; `voxel_size`, in nm, by gunpowder and funlib. All in the order (z, y, x).

use super::btree2::Tree;
use super::heap::FractalHeap;
use super::messages::{datatype, read_dataspace};
use super::object::{Object, kind};
use super::source::{Cursor, Source};
use crate::formats::stored::Stored;
use crate::{VolumeError, VoxelSize};

/// Names, and nanometres in their unit; the first that is there counts.
pub(super) const NAMES: [(&str, f64); 3] = [("element_size_um", 1e3), ("resolution", 1.0), ("voxel_size", 1.0)];

/// The voxel size of a dataset, if an attribute of it has three numbers above zero.
pub(super) fn voxel_size(source: &Source, object: &Object) -> Result<Option<VoxelSize>, VolumeError> {
    let mut found = [None; NAMES.len()];
    let mut visit = |bytes: &[u8]| -> Result<(), VolumeError> {
        if let Some((i, [z, y, x])) = attribute(source, &object.part, bytes)? {
            let nm = |size: f64| size * NAMES[i].1;
            found[i] = VoxelSize::converted(nm(z), nm(y), nm(x));
        }
        Ok(())
    };
    for message in object.messages.iter().filter(|m| m.kind == kind::ATTRIBUTE && !m.shared) {
        visit(&message.data)?;
    }
    if let Some(message) = object.get(source, kind::ATTRIBUTE_INFO)? {
        let part = &object.part;
        let mut cursor = Cursor::new(source, part, &message.data);
        cursor.skip(1)?;
        let flags = cursor.u8()?;
        cursor.skip(if flags & 1 == 0 { 0 } else { 2 })?;
        if let (Some(heap), Some(tree)) = (cursor.address()?, cursor.address()?) {
            let heap = FractalHeap::open(source, part, heap)?;
            Tree::open(source, part, tree)?.each(source, part, &mut |record| {
                // The place in the heap comes first, 8 bytes of it; then flags, bit 1 for one that lies elsewhere.
                let shared = record.get(8).is_some_and(|flags| flags & 2 != 0);
                let id = record.get(..8).unwrap_or_default();
                match heap.object(source, part, id)? {
                    Some(bytes) if !shared => visit(&bytes),
                    _ => Ok(()),
                }
            })?;
        }
    }
    Ok(found.into_iter().flatten().next())
}

/// Which of [`NAMES`] an attribute is, and its three numbers; `None` for any other.
fn attribute(source: &Source, part: &str, bytes: &[u8]) -> Result<Option<(usize, [f64; 3])>, VolumeError> {
    let mut cursor = Cursor::new(source, part, bytes);
    let version = cursor.u8()?;
    let flags = cursor.u8()?;
    let sizes = [cursor.u16()?, cursor.u16()?, cursor.u16()?].map(usize::from);
    let step = match version {
        1 => 8,
        2 => 1,
        3 => {
            cursor.skip(1)?;
            1
        }
        // Not one that these programs write.
        _ => return Ok(None),
    };
    let mut field = |size: usize| -> Result<&[u8], VolumeError> {
        let bytes = cursor.take(size)?;
        // The last one may go without padding.
        cursor.skip((size.next_multiple_of(step) - size).min(cursor.left()))?;
        Ok(bytes)
    };
    let name = field(sizes[0])?;
    let end = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let Some(i) = NAMES.iter().position(|(known, _)| known.as_bytes() == &name[..end]) else { return Ok(None) };
    // A type that lies elsewhere.
    if version > 1 && flags & 3 != 0 {
        return Ok(None);
    }
    let numbers = field(sizes[1])?;
    let space = field(sizes[2])?;
    let Ok((stored, big_endian)) = datatype(source, part, numbers) else { return Ok(None) };
    let space = read_dataspace(source, part, space)?;
    if space.dims != [3] {
        return Ok(None);
    }
    let mut values = [0.0; 3];
    for value in &mut values {
        *value = number(stored, cursor.take(stored.bytes())?, big_endian);
    }
    Ok(Some((i, values)))
}

/// A number as the one that was meant: 0.0046 in 32 bits as 0.0046.
fn number(stored: Stored, bytes: &[u8], big_endian: bool) -> f64 {
    let digit = |n: u64, &byte: &u8| n << 8 | u64::from(byte);
    let bits = if big_endian { bytes.iter().fold(0, digit) } else { bytes.iter().rev().fold(0, digit) };
    match stored {
        Stored::U8 | Stored::U16 | Stored::U32 | Stored::U64 => bits as f64,
        Stored::I8 => f64::from((bits as u8).cast_signed()),
        Stored::I16 => f64::from((bits as u16).cast_signed()),
        Stored::I32 => f64::from((bits as u32).cast_signed()),
        Stored::I64 => bits.cast_signed() as f64,
        Stored::F64 => f64::from_bits(bits),
        Stored::F32 => f32::from_bits(bits as u32).to_string().parse().unwrap_or(f64::NAN),
        // Three digits are no voxel size.
        Stored::F16 => f64::NAN,
    }
}
