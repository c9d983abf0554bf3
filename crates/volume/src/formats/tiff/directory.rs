//! The directories of a TIFF file: which page has which tags. Classic and BigTIFF, either byte order.
//!
//! TIFF 6.0, section 2; BigTIFF as in libtiff. Nothing is made of a size that the file's length does not back.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use crate::{Place, VolumeError, fs};

/// An open TIFF file.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) len: u64,
    pub(super) big_endian: bool,
    big_tiff: bool,
}

/// The tags of a page.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    source: &'a Source,
    entries: Vec<Entry>,
    /// In words, for errors.
    part: String,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: u16,
    kind: u16,
    count: u64,
    /// The value itself where it fits, else where it lies.
    value: [u8; 8],
}

pub(super) mod tag {
    pub(in super::super) const NEW_SUBFILE_TYPE: u16 = 254;
    pub(in super::super) const WIDTH: u16 = 256;
    pub(in super::super) const HEIGHT: u16 = 257;
    pub(in super::super) const BITS_PER_SAMPLE: u16 = 258;
    pub(in super::super) const COMPRESSION: u16 = 259;
    pub(in super::super) const PHOTOMETRIC: u16 = 262;
    pub(in super::super) const FILL_ORDER: u16 = 266;
    pub(in super::super) const DESCRIPTION: u16 = 270;
    pub(in super::super) const STRIP_OFFSETS: u16 = 273;
    pub(in super::super) const SAMPLES_PER_PIXEL: u16 = 277;
    pub(in super::super) const ROWS_PER_STRIP: u16 = 278;
    pub(in super::super) const STRIP_BYTE_COUNTS: u16 = 279;
    pub(in super::super) const X_RESOLUTION: u16 = 282;
    pub(in super::super) const Y_RESOLUTION: u16 = 283;
    pub(in super::super) const RESOLUTION_UNIT: u16 = 296;
    pub(in super::super) const PREDICTOR: u16 = 317;
    pub(in super::super) const COLOR_MAP: u16 = 320;
    pub(in super::super) const TILE_WIDTH: u16 = 322;
    pub(in super::super) const TILE_LENGTH: u16 = 323;
    pub(in super::super) const TILE_OFFSETS: u16 = 324;
    pub(in super::super) const TILE_BYTE_COUNTS: u16 = 325;
    pub(in super::super) const SAMPLE_FORMAT: u16 = 339;
}

impl Source {
    /// Opens a file and checks that it is a TIFF.
    pub(super) fn open(path: &Path) -> Result<(Self, u64), VolumeError> {
        let file = fs::open(path)?;
        let len = fs::size(path)?;
        let mut source = Self { path: path.to_owned(), file, len, big_endian: false, big_tiff: false };
        let start = source.bytes("", 0, 16.min(len))?;
        let no_tiff = || VolumeError::malformed(Place::file(path), "no TIFF signature", "a TIFF file");
        source.big_endian = match start.get(..2) {
            Some(b"II") => false,
            Some(b"MM") => true,
            _ => return Err(no_tiff()),
        };
        let number = |range: std::ops::Range<usize>| start.get(range).map(|b| source.number(b)).ok_or_else(no_tiff);
        let first = match number(2..4)? {
            42 => number(4..8)?,
            43 if number(4..6)? == 8 => {
                let first = number(8..16)?;
                source.big_tiff = true;
                first
            }
            _ => return Err(no_tiff()),
        };
        Ok((source, first))
    }

    /// The places of the directories, in order.
    pub(super) fn directories(&self, first: u64) -> Result<Vec<Directory<'_>>, VolumeError> {
        let mut seen = HashSet::new();
        let mut found = Vec::new();
        let mut next = first;
        while next != 0 {
            let part = format!("page {}", found.len());
            if !seen.insert(next) {
                return Err(VolumeError::malformed(
                    Place::part(&self.path, part),
                    "a directory that comes back to an earlier one",
                    "a chain of pages with an end",
                ));
            }
            let (directory, following) = self.directory(next, part)?;
            found.push(directory);
            next = following;
        }
        if found.is_empty() {
            return Err(VolumeError::malformed(Place::file(&self.path), "no pages", "a TIFF file with an image"));
        }
        Ok(found)
    }

    fn directory(&self, at: u64, part: String) -> Result<(Directory<'_>, u64), VolumeError> {
        let (count_size, entry_size, offset_size) = if self.big_tiff { (8, 20, 8) } else { (2, 12, 4) };
        let count = self.number(&self.bytes(&part, at, count_size)?);
        let size = count
            .checked_mul(entry_size)
            .and_then(|n| n.checked_add(offset_size))
            .ok_or_else(|| self.early_end(&part))?;
        let bytes = self.bytes(&part, at + count_size, size)?;
        let (table, next) = bytes.split_at((size - offset_size) as usize);
        let entries = table
            .chunks_exact(entry_size as usize)
            .map(|e| {
                let (count, inline) = e[4..].split_at(offset_size as usize);
                let mut value = [0; 8];
                value[..inline.len()].copy_from_slice(inline);
                Entry {
                    tag: self.number(&e[..2]) as u16,
                    kind: self.number(&e[2..4]) as u16,
                    count: self.number(count),
                    value,
                }
            })
            .collect();
        Ok((Directory { source: self, entries, part }, self.number(next)))
    }

    /// Bytes of the file, if it is that long.
    pub(super) fn bytes(&self, part: &str, offset: u64, size: u64) -> Result<Vec<u8>, VolumeError> {
        if offset.checked_add(size).is_none_or(|end| end > self.len) {
            return Err(self.early_end(part));
        }
        let mut bytes = vec![0; size as usize];
        fs::read_at(&self.file, offset, &mut bytes).map_err(|e| VolumeError::io(&self.path, "read", e))?;
        Ok(bytes)
    }

    pub(super) fn early_end(&self, part: &str) -> VolumeError {
        let found = format!("a place beyond the end of the file ({} bytes)", self.len);
        VolumeError::malformed(
            Place::part(&self.path, part),
            found,
            "a whole TIFF file; copy it again if it was cut short",
        )
    }

    fn number(&self, bytes: &[u8]) -> u64 {
        let digit = |n: u64, &b: &u8| n << 8 | u64::from(b);
        if self.big_endian { bytes.iter().fold(0, digit) } else { bytes.iter().rev().fold(0, digit) }
    }
}

impl Directory<'_> {
    /// For errors: the file and the page.
    pub(super) fn place(&self) -> Place {
        Place::part(&self.source.path, &self.part)
    }

    fn entry(&self, tag: u16) -> Option<&Entry> {
        self.entries.iter().find(|e| e.tag == tag && e.count > 0)
    }

    /// The bytes of a tag's values, and the size of one value.
    fn values(&self, entry: &Entry) -> Result<(Vec<u8>, usize), VolumeError> {
        let size: u64 = match entry.kind {
            1 | 2 | 6 | 7 => 1,
            3 | 8 => 2,
            4 | 9 | 11 | 13 => 4,
            5 | 10 | 12 | 16 | 17 | 18 => 8,
            other => {
                let place = Place::part(&self.source.path, format!("{}, tag {}", self.part, entry.tag));
                return Err(VolumeError::malformed(place, format!("values of type {other}"), "a TIFF type, 1 to 18"));
            }
        };
        let total = entry.count.checked_mul(size).ok_or_else(|| self.source.early_end(&self.part))?;
        let inline = if self.source.big_tiff { 8 } else { 4 };
        let bytes = if total <= inline {
            entry.value[..total as usize].to_vec()
        } else {
            self.source.bytes(&self.part, self.source.number(&entry.value[..inline as usize]), total)?
        };
        Ok((bytes, size as usize))
    }

    /// The first value of a tag of whole numbers.
    pub(super) fn unsigned(&self, tag: u16) -> Result<Option<u64>, VolumeError> {
        Ok(self.unsigned_list(tag)?.and_then(|list| list.first().copied()))
    }

    /// All values of a tag of whole numbers.
    pub(super) fn unsigned_list(&self, tag: u16) -> Result<Option<Vec<u64>>, VolumeError> {
        let Some(entry) = self.entry(tag) else { return Ok(None) };
        if !matches!(entry.kind, 1 | 3 | 4 | 13 | 16 | 18) {
            let place = Place::part(&self.source.path, format!("{}, tag {tag}", self.part));
            return Err(VolumeError::malformed(place, format!("values of type {}", entry.kind), "whole numbers"));
        }
        let (bytes, size) = self.values(entry)?;
        Ok(Some(bytes.chunks_exact(size).map(|b| self.source.number(b)).collect()))
    }

    /// A fraction, where the tag is one.
    pub(super) fn rational(&self, tag: u16) -> Option<f64> {
        let entry = self.entry(tag).filter(|e| e.kind == 5)?;
        let (bytes, _) = self.values(entry).ok()?;
        let (over, under) = bytes.split_at(4);
        Some(self.source.number(over) as f64 / self.source.number(under.get(..4)?) as f64)
    }

    /// A text, up to its first zero; UTF-8, or else Latin-1.
    pub(super) fn text(&self, tag: u16) -> Option<String> {
        let entry = self.entry(tag).filter(|e| matches!(e.kind, 1 | 2 | 7))?;
        let (bytes, _) = self.values(entry).ok()?;
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len());
        Some(match std::str::from_utf8(&bytes[..end]) {
            Ok(text) => text.to_owned(),
            Err(_) => bytes[..end].iter().map(|&b| char::from(b)).collect(),
        })
    }
}
