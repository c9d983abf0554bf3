//! B-trees of version 1: the names of old groups, the chunks of most datasets.

use std::collections::HashSet;

use super::chunks::StoredChunk;
use super::source::{Cursor, Source};
use crate::VolumeError;

/// The head of a node: its level, how many children it has; then the rest, keys and children in turn.
fn head(cursor: &mut Cursor<'_>, source: &Source, part: &str, kind: u8) -> Result<(u8, usize), VolumeError> {
    let found = cursor.take(4)?;
    let found_kind = cursor.u8()?;
    if found != b"TREE" || found_kind != kind {
        let found = format!("'{}' of type {found_kind}", found.escape_ascii());
        return Err(source.malformed(part, found, format!("'TREE' of type {kind}")));
    }
    let level = cursor.u8()?;
    let used = cursor.u16()?;
    // The siblings.
    cursor.skip(2 * source.offset_size)?;
    Ok((level, used.into()))
}

fn node(source: &Source, part: &str, at: u64, key: usize, kind: u8) -> Result<(u8, usize, Vec<u8>), VolumeError> {
    let size = 8 + 2 * source.offset_size;
    let start = source.bytes(part, at, size as u64)?;
    let (level, used) = head(&mut Cursor::new(source, part, &start), source, part, kind)?;
    let size = (used * (key + source.offset_size) + key) as u64;
    Ok((level, used, source.bytes(part, at + start.len() as u64, size)?))
}

/// Visits the leaves of a group's tree.
pub(super) fn group_leaves(
    source: &Source,
    part: &str,
    root: u64,
    visit: &mut dyn FnMut(u64) -> Result<(), VolumeError>,
) -> Result<(), VolumeError> {
    let key = source.length_size;
    let mut seen = HashSet::new();
    let mut queue = vec![root];
    while let Some(at) = queue.pop() {
        if !seen.insert(at) {
            return Err(source.malformed(part, "a B-tree that comes back to a node", "a tree"));
        }
        let (level, used, bytes) = node(source, part, at, key, 0)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        for _ in 0..used {
            cursor.skip(key)?;
            let child = cursor.offset()?;
            if level == 0 {
                visit(child)?;
            } else {
                queue.push(child);
            }
        }
    }
    Ok(())
}

/// The chunk whose first voxel lies at `first`, counted along each axis.
pub(super) fn find_chunk(
    source: &Source,
    part: &str,
    root: u64,
    first: &[u64],
) -> Result<Option<StoredChunk>, VolumeError> {
    // Size, filter mask, then an offset along each axis and one inside the element.
    let key = 8 + 8 * (first.len() + 1);
    let mut at = root;
    let mut above = None;
    loop {
        let (level, used, bytes) = node(source, part, at, key, 1)?;
        if above.is_some_and(|above: u8| level.checked_add(1) != Some(above)) {
            return Err(source.malformed(part, format!("a B-tree node of level {level}"), "one less than above it"));
        }
        above = Some(level);
        let step = key + source.offset_size;
        let offsets = |i: usize| {
            let key = &bytes[i * step + 8..i * step + key - 8];
            key.chunks_exact(8).map(|b| b.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
        };
        // The last child that does not begin behind the chunk.
        let (mut low, mut high) = (0, used);
        while low < high {
            let middle = usize::midpoint(low, high);
            if offsets(middle).le(first.iter().copied()) { low = middle + 1 } else { high = middle }
        }
        let Some(child) = low.checked_sub(1) else { return Ok(None) };
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.at = child * step;
        let size = cursor.u32()?;
        let mask = cursor.u32()?;
        cursor.at = child * step + key;
        let address = cursor.offset()?;
        if level == 0 {
            let same = offsets(child).eq(first.iter().copied());
            return Ok(same.then_some(StoredChunk { address, size: Some(size.into()), mask }));
        }
        at = address;
    }
}
