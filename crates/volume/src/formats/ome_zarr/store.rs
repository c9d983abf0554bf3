//! The files of an array, as `zarrs` wants to see them.
//!
//! In place of `zarrs_filesystem` and `zarrs_object_store`: the first keeps a lock for each chunk it ever met, so its
//! memory grows with the volume, and makes room for as many bytes as a shard's index asks for, however few the file has;
//! the second reads a body whole, however long it is.

use std::sync::Arc;

use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{Bytes, MaybeBytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

use crate::VolumeError;
use crate::files::{Files, below};

/// A folder of chunks, to read.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) files: Arc<dyn Files>,
    /// The key of the folder among the files.
    pub(super) key: String,
    /// How many bytes an encoded chunk, or a shard's index, takes at most: an index may ask for any number.
    pub(super) most: u64,
    /// Where chunks are compressed with Blosc: how many bytes one takes at most when decoded. Blosc makes room for what
    /// a chunk's header says.
    pub(super) blosc_limit: Option<u64>,
}

impl Store {
    fn at(&self, key: &StoreKey) -> String {
        below(&self.key, key.as_str())
    }

    fn checked(&self, bytes: Vec<u8>) -> Result<Bytes, StorageError> {
        if let (Some(limit), Some(decoded)) = (self.blosc_limit, blosc_size(&bytes))
            && decoded > limit
        {
            let words = format!("a chunk that says to take {decoded} bytes when decoded, where {limit} are the most");
            return Err(StorageError::Other(words));
        }
        Ok(bytes.into())
    }

    /// A part of a file that is there.
    fn part(&self, key: &str, (start, size): (u64, u64)) -> Result<Vec<u8>, StorageError> {
        if size > self.most {
            let words = format!("a chunk of {size} bytes, where {} are the most", self.most);
            return Err(StorageError::Other(words));
        }
        let part = self.files.get_range(key, start, size).map_err(storage_error)?;
        part.ok_or_else(|| StorageError::Other("a file that was there and is gone".into()))
    }
}

/// What a reader of chunks makes of an error: of the system, or of the file.
fn storage_error(error: VolumeError) -> StorageError {
    match error {
        VolumeError::Io { source, .. } => Arc::new(source).into(),
        VolumeError::Malformed { found, expected, .. } => StorageError::Other(format!("{found}; expected {expected}")),
        other => StorageError::Other(other.to_string()),
    }
}

impl ReadableStorageTraits for Store {
    fn get(&self, key: &StoreKey) -> Result<MaybeBytes, StorageError> {
        let bytes = self.files.get(&self.at(key), self.most).map_err(storage_error)?;
        bytes.map(|bytes| self.checked(bytes)).transpose()
    }

    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        byte_ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        let key = self.at(key);
        let ranges: Vec<ByteRange> = byte_ranges.collect();
        if let [ByteRange::FromStart(0, None)] = ranges[..] {
            let bytes = self.files.get(&key, self.most).map_err(storage_error)?;
            return Ok(bytes.map(|bytes| Box::new(std::iter::once(self.checked(bytes))) as _));
        }
        let Some(length) = self.files.size(&key).map_err(storage_error)? else { return Ok(None) };
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            let part = match range {
                ByteRange::FromStart(start, None) => length.checked_sub(start).map(|size| (start, size)),
                ByteRange::FromStart(start, Some(size)) => {
                    start.checked_add(size).filter(|&end| end <= length).map(|_| (start, size))
                }
                ByteRange::Suffix(size) => length.checked_sub(size).map(|start| (start, size)),
            };
            parts.push(part.ok_or_else(|| {
                let words = format!("the file ends after {length} bytes, before what its index or shape says");
                StorageError::Other(words)
            })?);
        }
        // The rows of an uncompressed chunk come as thousands of parts: what they span is read at once.
        let start = parts.iter().map(|part| part.0).min().unwrap_or(0);
        let end = parts.iter().map(|part| part.0 + part.1).max().unwrap_or(0);
        if parts.len() > 1 && end - start <= self.most {
            let span: Bytes = self.part(&key, (start, end - start))?.into();
            let cut =
                move |(from, size): (u64, u64)| Ok(span.slice((from - start) as usize..(from - start + size) as usize));
            return Ok(Some(Box::new(parts.into_iter().map(cut))));
        }
        Ok(Some(Box::new(parts.into_iter().map(move |part| self.checked(self.part(&key, part)?)))))
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        self.files.size(&self.at(key)).map_err(storage_error)
    }

    fn supports_get_partial(&self) -> bool {
        true
    }
}

/// The decoded size that a Blosc buffer's header states; `None` for bytes that are no whole Blosc buffer, such as a
/// shard's index. The header: version, codec's version, flags, type size, then decoded size, block size and encoded size,
/// of 32 bits each, little-endian.
fn blosc_size(bytes: &[u8]) -> Option<u64> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    (number(12)? as usize == bytes.len()).then_some(u64::from(number(4)?))
}
