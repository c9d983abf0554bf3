//! The metadata of a new file: version 1 of everything, which every reader knows.

use std::io::{self, Write};

use super::attributes;
use crate::{Extent, VolumeSpec, VoxelType};

/// No address.
const UNDEFINED: u64 = u64::MAX;

/// Half of the most children of a B-tree node, as a superblock of version 0 implies for chunks and states for groups.
const CHUNK_K: usize = 32;
const GROUP_K: usize = 16;

/// Half of the most entries of a symbol table node.
const LEAF_K: usize = 4;

/// The largest message of a header.
const MOST_MESSAGE: usize = 65_000;

/// A chunk that was written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    pub(super) address: u64,
    pub(super) size: u32,
}

/// The first voxel of a chunk.
pub(super) fn first_voxel(number: u64, counts: Extent, chunk: Extent) -> [u64; 3] {
    let (z, y, x) = (number / counts.x / counts.y, number / counts.x % counts.y, number % counts.x);
    [z * chunk.z, y * chunk.y, x * chunk.x]
}

/// All that follows the chunks.
pub(super) struct Metadata<'a> {
    pub(super) spec: &'a VolumeSpec,
    /// The groups on the way to the dataset, and its own name.
    pub(super) names: &'a [String],
    pub(super) chunk: Extent,
    pub(super) counts: Extent,
    /// Where it begins: the end of the file so far.
    pub(super) at: u64,
}

/// Appends, and knows where.
struct Sink<'a, W> {
    to: &'a mut W,
    at: u64,
}

impl<W: Write> Sink<'_, W> {
    /// The address of what comes next.
    const fn next(&self) -> u64 {
        self.at.next_multiple_of(8)
    }

    /// Writes at a multiple of 8; the address.
    fn put(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let at = self.next();
        self.to.write_all(&[0; 8][..(at - self.at) as usize])?;
        self.to.write_all(bytes)?;
        self.at = at + bytes.len() as u64;
        Ok(at)
    }
}

impl Metadata<'_> {
    /// Writes all of it but the superblock, which it returns: that belongs at the beginning of the file.
    pub(super) fn write(&self, chunks: &[(u64, Chunk)], to: &mut impl Write) -> io::Result<Vec<u8>> {
        let mut sink = Sink { to, at: self.at };
        let tree = self.chunk_tree(chunks, &mut sink)?;
        let mut object = sink.put(&header(&self.dataset(tree)))?;
        let mut group = (UNDEFINED, UNDEFINED);
        for name in self.names.iter().rev() {
            group = self::group(name, object, &mut sink)?;
            object = sink.put(&header(&[(0x11, words(&[group.0, group.1]))]))?;
        }
        sink.put(&[])?;
        Ok(superblock(sink.at, object, group))
    }

    /// The key of a chunk: its size, a filter mask of none, its first voxel, and 0 in the element.
    fn key(&self, number: u64, size: u32) -> Vec<u8> {
        let mut key = size.to_le_bytes().to_vec();
        key.extend([0; 4]);
        key.extend(words(&first_voxel(number, self.counts, self.chunk)));
        key.extend([0; 8]);
        key
    }

    /// The key behind the last chunk: one further along every axis.
    fn last_key(&self) -> Vec<u8> {
        let beyond = [
            self.counts.z * self.chunk.z,
            self.counts.y * self.chunk.y,
            self.counts.x * self.chunk.x,
            self.spec.voxel_type.bytes() as u64,
        ];
        [[0; 8].to_vec(), words(&beyond)].concat()
    }

    /// Writes the B-tree level by level, each node full; the address of its root.
    fn chunk_tree(&self, chunks: &[(u64, Chunk)], sink: &mut Sink<'_, impl Write>) -> io::Result<u64> {
        let mut children: Vec<(Vec<u8>, u64)> = Vec::new();
        let leaves = chunks.chunks(2 * CHUNK_K);
        // Leaves are made one at a time: only their first keys are kept.
        let last = chunks.len().div_ceil(2 * CHUNK_K).saturating_sub(1);
        let mut at = sink.next();
        for (i, leaf) in leaves.enumerate() {
            let entries: Vec<_> = leaf.iter().map(|(n, c)| (self.key(*n, c.size), c.address)).collect();
            let next = chunks.get((i + 1) * 2 * CHUNK_K).map_or_else(|| self.last_key(), |(n, c)| self.key(*n, c.size));
            let first = entries[0].0.clone();
            children.push((first, sink.put(&node(0, &entries, &next, at, i > 0, i < last))?));
            at = sink.next();
        }
        let mut level = 1;
        while children.len() > 1 {
            let mut above = Vec::new();
            let last = children.len().div_ceil(2 * CHUNK_K) - 1;
            for (i, entries) in children.chunks(2 * CHUNK_K).enumerate() {
                let next = children.get((i + 1) * 2 * CHUNK_K).map_or_else(|| self.last_key(), |(key, _)| key.clone());
                let at = sink.next();
                above.push((entries[0].0.clone(), sink.put(&node(level, entries, &next, at, i > 0, i < last))?));
            }
            children = above;
            level += 1;
        }
        Ok(children.first().map_or(UNDEFINED, |(_, at)| *at))
    }

    /// The messages of the dataset.
    fn dataset(&self, tree: u64) -> Vec<(u16, Vec<u8>)> {
        let bytes = self.spec.voxel_type.bytes();
        let Extent { z, y, x } = self.chunk;
        let mut layout = vec![3, 2, 4];
        layout.extend(tree.to_le_bytes());
        layout.extend([z, y, x, bytes as u64].iter().flat_map(|n| (*n as u32).to_le_bytes()));
        // Shuffle where numbers have several bytes, then deflate at level 1; each with one setting.
        let filter = |id: u16, setting: u32| {
            let head = [id, 0, 1, 1].into_iter().flat_map(u16::to_le_bytes);
            head.chain(setting.to_le_bytes()).chain([0; 4]).collect::<Vec<u8>>()
        };
        let shuffled = bytes > 1;
        let mut filters = vec![1, 1 + u8::from(shuffled), 0, 0, 0, 0, 0, 0];
        if shuffled {
            filters.extend(filter(2, bytes as u32));
        }
        filters.extend(filter(1, 1));
        let mut messages = vec![
            (0x01, dataspace(&self.spec.extent.to_array())),
            (0x03, number_type(self.spec.voxel_type)),
            // Version 2: room is taken as chunks come, zero where none is.
            (0x05, vec![2, 3, 2, 1, 0, 0, 0, 0]),
            (0x08, layout),
            (0x0b, filters),
        ];
        if let Some(size) = self.spec.voxel_size {
            for (name, nm) in &attributes::NAMES[..2] {
                let values = [size.z_nm, size.y_nm, size.x_nm].map(|v| v / nm);
                let data = values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
                messages.push((0x0c, attribute(name, &double(), &dataspace(&[3]), &data)));
            }
        }
        if let Some(json) = &self.spec.provenance {
            let text = json.to_string().into_bytes();
            if text.len() < MOST_MESSAGE {
                messages.push((0x0c, attribute("deep3m", &text_type(text.len()), &dataspace(&[]), &text)));
            }
        }
        messages
    }
}

/// A node at `at`, at its full size. Those of a level follow each other.
fn node(level: u8, entries: &[(Vec<u8>, u64)], next: &[u8], at: u64, left: bool, right: bool) -> Vec<u8> {
    let size = (24 + 2 * CHUNK_K * 8 + (2 * CHUNK_K + 1) * next.len()).next_multiple_of(8);
    let mut node = b"TREE".to_vec();
    node.extend([1, level]);
    node.extend((entries.len() as u16).to_le_bytes());
    node.extend(words(&[
        if left { at - size as u64 } else { UNDEFINED },
        if right { at + size as u64 } else { UNDEFINED },
    ]));
    for (key, child) in entries {
        node.extend(key);
        node.extend(child.to_le_bytes());
    }
    node.extend(next);
    node.resize(size, 0);
    node
}

/// Numbers of 64 bits.
fn words(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
}

fn padded(bytes: &[u8]) -> Vec<u8> {
    let mut padded = bytes.to_vec();
    padded.resize(bytes.len().next_multiple_of(8), 0);
    padded
}

/// An object header with these messages.
fn header(messages: &[(u16, Vec<u8>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (kind, data) in messages {
        let data = padded(data);
        body.extend(kind.to_le_bytes());
        body.extend((data.len() as u16).to_le_bytes());
        body.extend([0; 4]);
        body.extend(data);
    }
    let mut header = vec![1, 0];
    header.extend((messages.len() as u16).to_le_bytes());
    header.extend(1_u32.to_le_bytes());
    header.extend((body.len() as u32).to_le_bytes());
    header.extend([0; 4]);
    header.extend(body);
    header
}

fn dataspace(sizes: &[u64]) -> Vec<u8> {
    let mut space = vec![1, sizes.len() as u8, 0, 0, 0, 0, 0, 0];
    space.extend(words(sizes));
    space
}

fn number_type(voxel_type: VoxelType) -> Vec<u8> {
    let bytes = voxel_type.bytes() as u8;
    if voxel_type == VoxelType::F32 {
        return vec![0x11, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0];
    }
    let signed = u8::from(voxel_type == VoxelType::I16) << 3;
    vec![0x10, signed, 0, 0, bytes, 0, 0, 0, 0, 0, 8 * bytes, 0]
}

/// 64-bit floating point.
fn double() -> Vec<u8> {
    vec![0x11, 0x20, 63, 0, 8, 0, 0, 0, 0, 0, 64, 0, 52, 11, 0, 52, 0xff, 3, 0, 0]
}

/// UTF-8 text of so many bytes, padded with zeros.
fn text_type(len: usize) -> Vec<u8> {
    let mut text = vec![0x13, 0x11, 0, 0];
    text.extend((len as u32).to_le_bytes());
    text
}

fn attribute(name: &str, number_type: &[u8], space: &[u8], data: &[u8]) -> Vec<u8> {
    let mut attribute = vec![1, 0];
    for size in [name.len() + 1, number_type.len(), space.len()] {
        attribute.extend((size as u16).to_le_bytes());
    }
    attribute.extend(padded(&[name.as_bytes(), &[0]].concat()));
    attribute.extend(padded(number_type));
    attribute.extend(padded(space));
    attribute.extend(data);
    attribute
}

/// A group with one entry: the addresses of its B-tree and of its heap of names.
fn group(name: &str, object: u64, sink: &mut Sink<'_, impl Write>) -> io::Result<(u64, u64)> {
    // The empty name first, at 0; then this one, at 8.
    let names = [&[0; 8][..], &padded(&[name.as_bytes(), &[0]].concat())].concat();
    let data = sink.put(&names)?;
    let mut heap = b"HEAP\0\0\0\0".to_vec();
    // No free block in it: 1.
    heap.extend(words(&[names.len() as u64, 1, data]));
    let heap = sink.put(&heap)?;
    let mut leaf = b"SNOD\x01\0\x01\0".to_vec();
    leaf.extend(words(&[8, object, 0, 0, 0]));
    leaf.resize(8 + 2 * LEAF_K * 40, 0);
    let leaf = sink.put(&leaf)?;
    let mut tree = b"TREE\0\0\x01\0".to_vec();
    tree.extend(words(&[UNDEFINED, UNDEFINED, 0, leaf, 8]));
    tree.resize(24 + 2 * GROUP_K * 8 + (2 * GROUP_K + 1) * 8, 0);
    Ok((sink.put(&tree)?, heap))
}

fn superblock(end: u64, root: u64, (tree, heap): (u64, u64)) -> Vec<u8> {
    let mut block = b"\x89HDF\r\n\x1a\n".to_vec();
    // Versions, and 8 bytes for offsets and lengths.
    block.extend([0, 0, 0, 0, 0, 8, 8, 0]);
    block.extend([LEAF_K as u16, GROUP_K as u16].into_iter().flat_map(u16::to_le_bytes));
    block.extend([0; 4]);
    block.extend(words(&[0, UNDEFINED, end, UNDEFINED]));
    // The root group: no name, its header; then that tree and heap are known.
    block.extend(words(&[0, root]));
    block.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    block.extend(words(&[tree, heap]));
    block
}
