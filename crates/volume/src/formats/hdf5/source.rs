//! The bytes of a file, and the superblock that says where to begin.

use std::fs::File;
use std::path::{Path, PathBuf};

use super::checksum::lookup3;
use crate::{Place, VolumeError, fs};

/// No header, heap or node of a sound file is as large.
const MOST_METADATA: u64 = 16 << 20;

const SIGNATURE: &[u8; 8] = b"\x89HDF\r\n\x1a\n";

/// An open file.
#[derive(Debug)]
pub(super) struct Source {
    /// As the user gave it, with the dataset: for errors.
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) len: u64,
    /// Where addresses count from: behind the user block, where there is one.
    base: u64,
    pub(super) offset_size: usize,
    pub(super) length_size: usize,
    /// The header of the root group.
    pub(super) root: u64,
}

impl Source {
    /// Opens a file and reads its superblock.
    pub(super) fn open(file: &Path, address: &Path) -> Result<Self, VolumeError> {
        let mut source = Self {
            path: address.to_owned(),
            file: fs::open(file)?,
            len: fs::size(file)?,
            base: 0,
            offset_size: 8,
            length_size: 8,
            root: 0,
        };
        source.base = source.find_signature()?;
        source.read_superblock()?;
        Ok(source)
    }

    /// The signature lies at 0, or behind a user block of 512 bytes times a power of two.
    fn find_signature(&self) -> Result<u64, VolumeError> {
        let mut at = 0;
        while at + SIGNATURE.len() as u64 <= self.len {
            if self.raw("", at, 8)? == SIGNATURE {
                return Ok(at);
            }
            at = (2 * at).max(512);
        }
        Err(self.malformed("", "no HDF5 signature", "an HDF5 file"))
    }

    fn read_superblock(&mut self) -> Result<(), VolumeError> {
        const PART: &str = "superblock";
        let size = 100.min(self.len - self.base);
        let bytes = self.bytes(PART, 0, size)?;
        let mut cursor = Cursor::new(self, PART, &bytes);
        cursor.skip(8)?;
        let version = cursor.u8()?;
        if version > 3 {
            let expected = "0 to 3".to_owned();
            return Err(self.unsupported(PART, format!("version {version}"), expected, REPACK));
        }
        if version < 2 {
            cursor.skip(4)?;
        }
        let sizes = [cursor.u8()?, cursor.u8()?];
        if !sizes.iter().all(|size| [2, 4, 8].contains(size)) {
            return Err(self.malformed(PART, format!("offsets and lengths of {sizes:?} bytes"), "2, 4 or 8"));
        }
        cursor.skip(match version {
            0 => 9,
            1 => 13,
            _ => 1,
        })?;
        let at = cursor.at;
        (self.offset_size, self.length_size) = (sizes[0].into(), sizes[1].into());
        let mut cursor = Cursor { at, ..Cursor::new(self, PART, &bytes) };
        // Base address, then that of free space (or of the extension).
        cursor.skip(2 * self.offset_size)?;
        let end = cursor.unsigned(self.offset_size)?;
        // Driver information and the name of the root group stand before its header.
        cursor.skip(if version < 2 { 2 * self.offset_size } else { 0 })?;
        let root = cursor.unsigned(self.offset_size)?;
        if version >= 2 {
            cursor.check_sum()?;
        }
        if end > self.len {
            let found = format!("{} bytes", self.len);
            return Err(self.malformed("", found, format!("{end}; copy the file again if it was cut short")));
        }
        self.root = root;
        Ok(())
    }

    /// Bytes of metadata, if the file is that long; `at` as the file counts.
    pub(super) fn bytes(&self, part: &str, at: u64, size: u64) -> Result<Vec<u8>, VolumeError> {
        if size > MOST_METADATA {
            return Err(self.malformed(part, format!("{size} bytes"), format!("at most {MOST_METADATA}")));
        }
        let at = self.base.checked_add(at).ok_or_else(|| self.early_end(part))?;
        self.raw(part, at, size)
    }

    /// Bytes counted from the beginning of the file. The size must have been found to be sensible.
    pub(super) fn raw(&self, part: &str, at: u64, size: u64) -> Result<Vec<u8>, VolumeError> {
        if at.checked_add(size).is_none_or(|end| end > self.len) {
            return Err(self.early_end(part));
        }
        let mut bytes = vec![0; size as usize];
        fs::read_at(&self.file, at, &mut bytes).map_err(|source| VolumeError::Io {
            place: self.place(part),
            action: "read",
            source,
        })?;
        Ok(bytes)
    }

    /// Where an address lies in the file; an error if `size` bytes do not fit behind it.
    pub(super) fn absolute(&self, part: &str, at: u64, size: u64) -> Result<u64, VolumeError> {
        let at = self.base.checked_add(at);
        at.filter(|at| at.checked_add(size).is_some_and(|end| end <= self.len)).ok_or_else(|| self.early_end(part))
    }

    /// An address with all bits set is none.
    pub(super) fn defined(&self, address: u64) -> Option<u64> {
        (address != u64::MAX >> (64 - 8 * self.offset_size)).then_some(address)
    }

    pub(super) fn place(&self, part: &str) -> Place {
        Place::part(&self.path, part)
    }

    pub(super) fn malformed(&self, part: &str, found: impl Into<String>, expected: impl Into<String>) -> VolumeError {
        VolumeError::malformed(self.place(part), found, expected)
    }

    pub(super) fn unsupported(&self, part: &str, found: String, expected: String, hint: &str) -> VolumeError {
        VolumeError::Unsupported { place: self.place(part), found, expected, hint: hint.into() }
    }

    fn early_end(&self, part: &str) -> VolumeError {
        let found = format!("a place beyond the end of the file ({} bytes)", self.len);
        self.malformed(part, found, "a whole HDF5 file; copy it again if it was cut short")
    }
}

/// What to do about a variety that is not read.
pub(super) const REPACK: &str = "Write it again with h5py or h5repack, compressed with gzip or not at all.";

/// Reads numbers from some bytes, one after another.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    source: &'a Source,
    part: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) const fn new(source: &'a Source, part: &'a str, bytes: &'a [u8]) -> Self {
        Self { source, part, bytes, at: 0 }
    }

    pub(super) fn take(&mut self, size: usize) -> Result<&'a [u8], VolumeError> {
        let taken = self.at.checked_add(size).and_then(|end| self.bytes.get(self.at..end));
        let Some(taken) = taken else {
            let found = format!("{} bytes", self.bytes.len());
            return Err(self.source.malformed(self.part, found, format!("{size} more at byte {}", self.at)));
        };
        self.at += size;
        Ok(taken)
    }

    pub(super) fn skip(&mut self, size: usize) -> Result<(), VolumeError> {
        self.take(size).map(|_| ())
    }

    /// How many bytes are left.
    pub(super) const fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// A number of up to 8 bytes, least significant first.
    pub(super) fn unsigned(&mut self, size: usize) -> Result<u64, VolumeError> {
        Ok(self.take(size)?.iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    pub(super) fn u8(&mut self) -> Result<u8, VolumeError> {
        Ok(self.take(1)?[0])
    }

    pub(super) fn u16(&mut self) -> Result<u16, VolumeError> {
        Ok(self.unsigned(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Result<u32, VolumeError> {
        Ok(self.unsigned(4)? as u32)
    }

    /// An address in the file.
    pub(super) fn offset(&mut self) -> Result<u64, VolumeError> {
        self.unsigned(self.source.offset_size)
    }

    /// An address, `None` where there is nothing yet.
    pub(super) fn address(&mut self) -> Result<Option<u64>, VolumeError> {
        Ok(self.source.defined(self.offset()?))
    }

    /// A size.
    pub(super) fn length(&mut self) -> Result<u64, VolumeError> {
        self.unsigned(self.source.length_size)
    }

    /// Four letters that must stand here, and the version behind them.
    pub(super) fn signature(&mut self, letters: [u8; 4], version: u8) -> Result<(), VolumeError> {
        let found = self.take(4)?;
        if found != letters {
            let found = format!("'{}'", found.escape_ascii());
            return Err(self.source.malformed(self.part, found, format!("'{}'", letters.escape_ascii())));
        }
        match self.u8()? {
            v if v == version => Ok(()),
            v => Err(self.source.malformed(self.part, format!("version {v}"), format!("version {version}"))),
        }
    }

    /// Compares the checksum that stands here with that of all bytes before.
    pub(super) fn check_sum(&mut self) -> Result<(), VolumeError> {
        let sum = lookup3(&self.bytes[..self.at]);
        if self.u32()? == sum {
            Ok(())
        } else {
            Err(self.source.malformed(self.part, "another checksum", "that of its bytes: the file is damaged"))
        }
    }
}
