//! Groups: from names to objects.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use super::address::Address;
use super::btree1;
use super::btree2::Tree;
use super::heap::{FractalHeap, LocalHeap};
use super::messages;
use super::object::{Object, kind};
use super::source::{Cursor, Source};
use crate::VolumeError;

/// How many links may be followed by name, so that two that name each other come to an end.
const MOST_SOFT_LINKS: usize = 32;

/// How many objects are looked at for a volume; in a file of more the dataset must be named.
const MOST_OBJECTS: usize = 10_000;

/// Bytes of names kept of them.
const MOST_NAMES: usize = 1 << 20;

/// What a link leads to.
enum Target {
    Object(u64),
    /// Another path in this file.
    Soft(String),
    /// Another file.
    External,
}

type Visit<'a> = dyn FnMut(Cow<'_, str>, Target) -> Result<(), VolumeError> + 'a;

/// Visits the links of a group, however it keeps them.
fn links(source: &Source, object: &Object, visit: &mut Visit<'_>) -> Result<(), VolumeError> {
    let part = &object.part;
    if let Some(message) = object.get(source, kind::SYMBOL_TABLE)? {
        let mut cursor = Cursor::new(source, part, &message.data);
        let (tree, heap) = (cursor.offset()?, cursor.offset()?);
        let heap = LocalHeap::open(source, part, heap)?;
        let mut seen = HashSet::new();
        btree1::group_leaves(source, part, tree, &mut |leaf| {
            if seen.insert(leaf) { symbols(source, part, &heap, leaf, visit) } else { Ok(()) }
        })?;
    }
    for message in object.messages.iter().filter(|m| m.kind == kind::LINK && !m.shared) {
        link(source, part, &message.data, visit)?;
    }
    if let Some(message) = object.get(source, kind::LINK_INFO)? {
        let mut cursor = Cursor::new(source, part, &message.data);
        cursor.skip(1)?;
        let flags = cursor.u8()?;
        cursor.skip(if flags & 1 == 0 { 0 } else { 8 })?;
        if let (Some(heap), Some(tree)) = (cursor.address()?, cursor.address()?) {
            let heap = FractalHeap::open(source, part, heap)?;
            let tree = Tree::open(source, part, tree)?;
            tree.each(source, part, &mut |record| {
                // A hash of the name, then the place in the heap.
                let id = record.get(4..).unwrap_or_default();
                match heap.object(source, part, id)? {
                    Some(bytes) => link(source, part, &bytes, visit),
                    None => Ok(()),
                }
            })?;
        }
    }
    Ok(())
}

/// The entries of a symbol table node.
fn symbols(source: &Source, part: &str, heap: &LocalHeap, at: u64, visit: &mut Visit<'_>) -> Result<(), VolumeError> {
    let start = source.bytes(part, at, 8)?;
    let mut cursor = Cursor::new(source, part, &start);
    cursor.signature(*b"SNOD", 1)?;
    cursor.skip(1)?;
    let count = usize::from(cursor.u16()?);
    let size = 2 * source.offset_size + 24;
    let bytes = source.bytes(part, at.saturating_add(8), (count * size) as u64)?;
    let mut cursor = Cursor::new(source, part, &bytes);
    for _ in 0..count {
        let name = cursor.offset()?;
        let address = cursor.offset()?;
        let cached = cursor.u32()?;
        cursor.skip(4)?;
        let text = cursor.unsigned(4)?;
        cursor.skip(12)?;
        let name = String::from_utf8_lossy(heap.text(source, part, name)?);
        // Kind 2 is a soft link; its text lies in the heap.
        let target = if cached == 2 {
            Target::Soft(String::from_utf8_lossy(heap.text(source, part, text)?).into_owned())
        } else {
            Target::Object(address)
        };
        visit(name, target)?;
    }
    Ok(())
}

/// One link message.
fn link(source: &Source, part: &str, bytes: &[u8], visit: &mut Visit<'_>) -> Result<(), VolumeError> {
    let mut cursor = Cursor::new(source, part, bytes);
    let version = cursor.u8()?;
    if version != 1 {
        return Err(source.malformed(part, format!("a link of version {version}"), "version 1"));
    }
    let flags = cursor.u8()?;
    let link_kind = if flags & 8 == 0 { 0 } else { cursor.u8()? };
    cursor.skip(if flags & 4 == 0 { 0 } else { 8 })?;
    cursor.skip(usize::from(flags & 0x10 != 0))?;
    let length = cursor.unsigned(1 << (flags & 3))?;
    let name = cursor.take(usize::try_from(length).unwrap_or(usize::MAX))?;
    let target = match link_kind {
        0 => Target::Object(cursor.offset()?),
        1 => {
            let length = cursor.u16()?.into();
            Target::Soft(String::from_utf8_lossy(cursor.take(length)?).into_owned())
        }
        _ => Target::External,
    };
    visit(String::from_utf8_lossy(name), target)
}

/// The object at the end of a path.
pub(super) fn find(source: &Source, names: &[String]) -> Result<Object, VolumeError> {
    let mut pending: Vec<String> = names.iter().rev().cloned().collect();
    let (mut at, mut part) = (source.root, String::from("/"));
    let mut soft_links = 0;
    while let Some(name) = pending.pop() {
        if name.is_empty() || name == "." {
            continue;
        }
        let group = Object::read(source, at, part.clone())?;
        let mut target = None;
        let mut others = Vec::new();
        if group.is_group() {
            links(source, &group, &mut |found, to| {
                if found == name.as_str() {
                    target = Some(to);
                } else if others.len() < 20 {
                    others.push(shortened(&found));
                }
                Ok(())
            })?;
        }
        match target {
            Some(Target::Object(address)) => {
                at = address;
                if !part.ends_with('/') {
                    part.push('/');
                }
                part.push_str(&shortened(&name));
            }
            Some(Target::Soft(path)) => {
                soft_links += 1;
                if soft_links > MOST_SOFT_LINKS {
                    let found = format!("more than {MOST_SOFT_LINKS} links that lead to links");
                    return Err(source.malformed(&part, found, "a dataset at the end"));
                }
                if path.starts_with('/') {
                    (at, part) = (source.root, "/".into());
                }
                pending.extend(path.split('/').rev().map(str::to_owned));
            }
            Some(Target::External) => {
                return Err(source.unsupported(
                    &part,
                    format!("'{}', a link into another file", shortened(&name)),
                    "a dataset in this file".into(),
                    "Open the other file.",
                ));
            }
            None => {
                let inside = if others.is_empty() { "nothing".into() } else { others.join(", ") };
                let found = format!("no '{}'; there is {inside}", shortened(&name));
                return Err(source.malformed(&part, found, "the name of a group or dataset"));
            }
        }
    }
    Object::read(source, at, part)
}

/// A name as errors show it.
fn shortened(name: &str) -> String {
    if name.chars().count() <= 100 { name.to_owned() } else { name.chars().take(100).chain(['…']).collect() }
}

/// A dataset and the sizes of its axes.
pub(super) struct Listed {
    pub(super) path: Vec<String>,
    pub(super) shape: Vec<u64>,
    /// Whether its values are numbers that can be read.
    pub(super) numbers: bool,
}

impl Listed {
    /// As an address takes it.
    pub(super) fn name(&self) -> String {
        format!("/{}", self.path.iter().map(|name| shortened(name)).collect::<Vec<_>>().join("/"))
    }
}

/// The datasets of a file, each once; whether these are all.
pub(super) fn datasets(source: &Source) -> Result<(Vec<Listed>, bool), VolumeError> {
    let mut found = Vec::new();
    let mut seen = HashSet::from([source.root]);
    let mut queue: Vec<(u64, Vec<String>)> = vec![(source.root, Vec::new())];
    let mut names = 0;
    let mut complete = true;
    while let Some((at, path)) = queue.pop() {
        let words = shortened(&format!("/{}", path.join("/")));
        let object = Object::read(source, at, words)?;
        if object.is_dataset() {
            let shape = messages::dataspace(source, &object)?.dims;
            let numbers = messages::datatype_of(source, &object).is_ok();
            found.push(Listed { path, shape, numbers });
        } else if object.is_group() {
            links(source, &object, &mut |name, target| {
                let Target::Object(address) = target else { return Ok(()) };
                let size = path.iter().map(String::len).sum::<usize>() + name.len() + 24 * (path.len() + 1);
                if seen.len() >= MOST_OBJECTS || names + size > MOST_NAMES {
                    complete = false;
                } else if seen.insert(address) {
                    names += size;
                    queue.push((address, path.iter().cloned().chain([name.into_owned()]).collect()));
                }
                Ok(())
            })?;
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((found, complete))
}

/// What else than the dataset of an address an HDF5 file holds, in words; `None` for nothing, and for a file that is not
/// HDF5.
pub(crate) fn holds_others(address: &Address) -> Option<String> {
    let source = match Source::open(&address.file, &address.file) {
        Ok(source) => source,
        Err(error) => return if signed(&address.file) { Some(error.to_string()) } else { None },
    };
    let (all, complete) = match datasets(&source) {
        Ok(all) => all,
        Err(error) => return Some(error.to_string()),
    };
    let own = |listed: &&Listed| address.names().is_none_or(|names| listed.path != names);
    match all.iter().find(own) {
        _ if all.len() == 1 && address.names().is_none() => None,
        Some(other) => Some(format!("the dataset {}", other.name())),
        None if !complete => Some("other datasets".into()),
        None => None,
    }
}

/// Whether a file begins as HDF5 does.
fn signed(file: &Path) -> bool {
    let mut start = [0; 8];
    crate::fs::open(file).is_ok_and(|file| crate::fs::read_at(&file, 0, &mut start).is_ok()) && &start[1..4] == b"HDF"
}
