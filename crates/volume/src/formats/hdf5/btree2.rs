//! B-trees of version 2: dense groups and attributes, the chunks of datasets that may grow along several axes.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::source::{Cursor, Source};
use crate::VolumeError;

/// A tree, from its header.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) kind: u8,
    pub(super) record: usize,
    node: usize,
    depth: u16,
    root: Option<Child>,
    /// Bytes of a number of records in a child.
    count_size: usize,
    /// Bytes of a total number of records below a child, by the child's depth.
    total_sizes: Vec<usize>,
}

/// A node's address, and how many records it has.
type Child = (u64, usize);

/// Where a search is to go on: before, at, or behind a record.
pub(super) type Compare<'a> = dyn Fn(&[u8]) -> Ordering + 'a;

/// Bytes that numbers up to `limit` take.
fn size_of_number(limit: u64) -> usize {
    limit.checked_ilog2().unwrap_or(0) as usize / 8 + 1
}

impl Tree {
    pub(super) fn open(source: &Source, part: &str, at: u64) -> Result<Self, VolumeError> {
        let size = 4 + 12 + source.offset_size + 2 + source.length_size + 4;
        let bytes = source.bytes(part, at, size as u64)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(*b"BTHD", 0)?;
        let kind = cursor.u8()?;
        let node = cursor.u32()? as usize;
        let record = cursor.u16()?.into();
        let depth = cursor.u16()?;
        cursor.skip(2)?;
        let root = cursor.address()?;
        let records = cursor.u16()?.into();
        cursor.skip(source.length_size)?;
        cursor.check_sum()?;
        // What is said of a leaf: signature, version, type and checksum stand around its records.
        let most = node.saturating_sub(10).checked_div(record).unwrap_or(0);
        if most == 0 || depth > 32 {
            let found = format!("a B-tree of depth {depth}, its nodes of {node} bytes, its records of {record}");
            return Err(source.malformed(part, found, "nodes that hold records, at most 32 levels"));
        }
        let count_size = size_of_number(most as u64);
        let mut total_sizes = vec![0];
        let mut total = most as u64;
        for _ in 0..depth {
            let pointer = source.offset_size + count_size + total_sizes.last().copied().unwrap_or(0);
            let most = (node.saturating_sub(10 + pointer) / (record + pointer)) as u64;
            total = (most + 1).saturating_mul(total).saturating_add(most);
            total_sizes.push(size_of_number(total));
        }
        Ok(Self { kind, record, node, depth, root: root.map(|at| (at, records)), count_size, total_sizes })
    }

    /// The records of a node, and its children.
    fn node(
        &self,
        source: &Source,
        part: &str,
        (at, records): Child,
        depth: u16,
    ) -> Result<(Vec<u8>, Vec<Child>), VolumeError> {
        let total_size = if depth > 1 { self.total_sizes[depth as usize - 1] } else { 0 };
        let pointer = if depth > 0 { source.offset_size + self.count_size + total_size } else { 0 };
        let size = 10 + records * self.record + if depth > 0 { (records + 1) * pointer } else { 0 };
        if size > self.node {
            let found = format!("{records} records of {} bytes", self.record);
            return Err(source.malformed(part, found, format!("what fits {} bytes", self.node)));
        }
        let bytes = source.bytes(part, at, size as u64)?;
        let mut cursor = Cursor::new(source, part, &bytes);
        cursor.signature(if depth > 0 { *b"BTIN" } else { *b"BTLF" }, 0)?;
        if cursor.u8()? != self.kind {
            return Err(source.malformed(part, "a B-tree node of another type", format!("type {}", self.kind)));
        }
        let taken = cursor.take(records * self.record)?.to_vec();
        let mut children = Vec::new();
        if depth > 0 {
            for _ in 0..=records {
                let child = cursor.offset()?;
                children.push((child, cursor.unsigned(self.count_size)? as usize));
                cursor.skip(total_size)?;
            }
        }
        cursor.check_sum()?;
        Ok((taken, children))
    }

    /// The record for which `compare` says that the search is at it.
    pub(super) fn find(
        &self,
        source: &Source,
        part: &str,
        compare: &Compare<'_>,
    ) -> Result<Option<Vec<u8>>, VolumeError> {
        let Some(mut place) = self.root else { return Ok(None) };
        for depth in (0..=self.depth).rev() {
            let (records, children) = self.node(source, part, place, depth)?;
            let mut child = 0;
            for record in records.chunks_exact(self.record) {
                match compare(record) {
                    Ordering::Equal => return Ok(Some(record.to_vec())),
                    Ordering::Greater => child += 1,
                    Ordering::Less => break,
                }
            }
            match children.get(child) {
                Some(&next) => place = next,
                None => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Visits all records.
    pub(super) fn each(
        &self,
        source: &Source,
        part: &str,
        visit: &mut dyn FnMut(&[u8]) -> Result<(), VolumeError>,
    ) -> Result<(), VolumeError> {
        let Some(root) = self.root else { return Ok(()) };
        let mut seen = HashSet::new();
        let mut queue = vec![(root, self.depth)];
        while let Some((place, depth)) = queue.pop() {
            if !seen.insert(place.0) {
                return Err(source.malformed(part, "a B-tree that comes back to a node", "a tree"));
            }
            let (records, children) = self.node(source, part, place, depth)?;
            records.chunks_exact(self.record).try_for_each(&mut *visit)?;
            queue.extend(children.into_iter().map(|child| (child, depth.saturating_sub(1))));
        }
        Ok(())
    }
}
