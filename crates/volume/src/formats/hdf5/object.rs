//! Object headers: the messages that say what a group or a dataset is.

use std::collections::HashSet;

use super::source::{Cursor, REPACK, Source};
use crate::VolumeError;

/// The kinds of message that are read.
pub(super) mod kind {
    pub(in super::super) const DATASPACE: u16 = 0x01;
    pub(in super::super) const LINK_INFO: u16 = 0x02;
    pub(in super::super) const DATATYPE: u16 = 0x03;
    pub(in super::super) const OLD_FILL: u16 = 0x04;
    pub(in super::super) const FILL: u16 = 0x05;
    pub(in super::super) const LINK: u16 = 0x06;
    pub(in super::super) const EXTERNAL_FILES: u16 = 0x07;
    pub(in super::super) const LAYOUT: u16 = 0x08;
    pub(in super::super) const FILTERS: u16 = 0x0b;
    pub(in super::super) const ATTRIBUTE: u16 = 0x0c;
    pub(in super::super) const CONTINUATION: u16 = 0x10;
    pub(in super::super) const SYMBOL_TABLE: u16 = 0x11;
    pub(in super::super) const ATTRIBUTE_INFO: u16 = 0x15;
}

/// All blocks of a header together; sound ones have a few kB.
const MOST_HEADER: u64 = 16 << 20;

/// A message of an object header.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: u16,
    /// Its contents lie elsewhere; here is only where.
    pub(super) shared: bool,
    pub(super) data: Vec<u8>,
    /// Where `data` lies, as the file counts.
    pub(super) at: u64,
}

/// The messages of an object, in words for errors too.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) part: String,
    pub(super) messages: Vec<Message>,
}

impl Object {
    /// Reads the header at an address.
    pub(super) fn read(source: &Source, at: u64, part: String) -> Result<Self, VolumeError> {
        let start = source.bytes(&part, at, 4)?;
        let messages = if start == b"OHDR" { second(source, &part, at)? } else { first(source, &part, at)? };
        Ok(Self { part, messages })
    }

    pub(super) fn find(&self, kind: u16) -> Option<&Message> {
        self.messages.iter().find(|m| m.kind == kind)
    }

    /// The first message of a kind.
    pub(super) fn get(&self, source: &Source, kind: u16) -> Result<Option<&Message>, VolumeError> {
        let found = self.find(kind);
        if found.is_some_and(|m| m.shared) {
            let expected = "messages of its own";
            return Err(source.unsupported(
                &self.part,
                format!("a message of kind {kind} shared between objects (a committed type, say)"),
                expected.into(),
                REPACK,
            ));
        }
        Ok(found)
    }

    pub(super) fn is_dataset(&self) -> bool {
        self.find(kind::LAYOUT).is_some()
    }

    pub(super) fn is_group(&self) -> bool {
        [kind::SYMBOL_TABLE, kind::LINK_INFO, kind::LINK].iter().any(|&kind| self.find(kind).is_some())
    }
}

/// The blocks of a header: each address once, not too much together.
struct Blocks<'a> {
    source: &'a Source,
    part: &'a str,
    queue: Vec<(u64, u64)>,
    seen: HashSet<u64>,
    bytes: u64,
}

impl<'a> Blocks<'a> {
    fn new(source: &'a Source, part: &'a str, at: u64, size: u64) -> Self {
        Self { source, part, queue: vec![(at, size)], seen: HashSet::new(), bytes: 0 }
    }

    /// The next block, with its address.
    fn next(&mut self) -> Result<Option<(u64, Vec<u8>)>, VolumeError> {
        let Some((at, size)) = self.queue.pop() else { return Ok(None) };
        self.bytes = self.bytes.saturating_add(size);
        if !self.seen.insert(at) || self.bytes > MOST_HEADER {
            let found = "an object header that comes back to itself or has no end";
            return Err(self.source.malformed(self.part, found, "a chain of blocks with an end"));
        }
        Ok(Some((at, self.source.bytes(self.part, at, size)?)))
    }

    fn keep(&mut self, messages: &mut Vec<Message>, message: Message) -> Result<(), VolumeError> {
        match message.kind {
            kind::CONTINUATION => {
                let mut cursor = Cursor::new(self.source, self.part, &message.data);
                self.queue.push((cursor.offset()?, cursor.length()?));
            }
            kind::DATASPACE..=kind::LAYOUT
            | kind::FILTERS
            | kind::ATTRIBUTE
            | kind::SYMBOL_TABLE
            | kind::ATTRIBUTE_INFO => messages.push(message),
            _ => {}
        }
        Ok(())
    }
}

/// A header of version 1.
fn first(source: &Source, part: &str, at: u64) -> Result<Vec<Message>, VolumeError> {
    let prefix = source.bytes(part, at, 16)?;
    let mut cursor = Cursor::new(source, part, &prefix);
    let version = cursor.u8()?;
    if version != 1 {
        return Err(source.malformed(part, format!("an object header of version {version}"), "version 1 or 2"));
    }
    cursor.skip(7)?;
    let size = cursor.u32()?;
    let mut blocks = Blocks::new(source, part, at + 16, size.into());
    let mut messages = Vec::new();
    while let Some((at, bytes)) = blocks.next()? {
        let mut cursor = Cursor::new(source, part, &bytes);
        while cursor.left() >= 8 {
            let kind = cursor.u16()?;
            let size = cursor.u16()?;
            let flags = cursor.u8()?;
            cursor.skip(3)?;
            let place = at + cursor.at as u64;
            let data = cursor.take(size.into())?.to_vec();
            blocks.keep(&mut messages, Message { kind, shared: flags & 2 != 0, data, at: place })?;
        }
    }
    Ok(messages)
}

/// A header of version 2.
fn second(source: &Source, part: &str, at: u64) -> Result<Vec<Message>, VolumeError> {
    // The prefix has at most 34 bytes; near the end of the file there may be fewer.
    let after = source.len.saturating_sub(source.absolute(part, at, 0)?).min(34);
    let prefix = source.bytes(part, at, after)?;
    let mut cursor = Cursor::new(source, part, &prefix);
    cursor.signature(*b"OHDR", 2)?;
    let flags = cursor.u8()?;
    cursor.skip(if flags & 0x20 == 0 { 0 } else { 16 })?;
    cursor.skip(if flags & 0x10 == 0 { 0 } else { 4 })?;
    let size = cursor.unsigned(1 << (flags & 3))?;
    let prefix = cursor.at;
    let whole = size.saturating_add(prefix as u64 + 4);
    let mut blocks = Blocks::new(source, part, at, whole);
    let mut messages = Vec::new();
    let mut begin = prefix;
    while let Some((at, bytes)) = blocks.next()? {
        let mut sum = Cursor::new(source, part, &bytes);
        if begin == 4 {
            let found = sum.take(4)?;
            if found != b"OCHK" {
                let found = format!("'{}'", found.escape_ascii());
                return Err(source.malformed(part, found, "'OCHK', more of an object header"));
            }
        }
        sum.at = bytes.len().saturating_sub(4);
        sum.check_sum()?;
        let mut cursor = Cursor::new(source, part, &bytes[..bytes.len() - 4]);
        cursor.skip(begin)?;
        let order = if flags & 4 == 0 { 0 } else { 2 };
        // What is left may be a gap, smaller than a message.
        while cursor.left() >= 4 + order {
            let kind = cursor.u8()?.into();
            let size = cursor.u16()?;
            let flags = cursor.u8()?;
            cursor.skip(order)?;
            let place = at + cursor.at as u64;
            let data = cursor.take(size.into())?.to_vec();
            blocks.keep(&mut messages, Message { kind, shared: flags & 2 != 0, data, at: place })?;
        }
        begin = 4;
    }
    Ok(messages)
}
