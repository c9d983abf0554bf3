//! The files of an array, as `zarrs` wants to see them.
//!
//! In place of `zarrs_filesystem`: that one keeps a lock for each chunk it ever met, so its memory grows with the volume,
//! and makes room for as many bytes as a shard's index asks for, however few the file has.

use std::fs::File;
use std::io::{Error, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use zarrs::storage::byte_range::{ByteRange, ByteRangeIterator};
use zarrs::storage::{Bytes, MaybeBytesIterator, ReadableStorageTraits, StorageError, StoreKey};

use crate::fs;

/// A folder of chunks, to read.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) folder: PathBuf,
    /// Where chunks are compressed with Blosc: how many bytes one takes at most when decoded. Blosc makes room for what
    /// a chunk's header says.
    pub(super) blosc_limit: Option<u64>,
}

impl Store {
    /// The file of a key and its length; `None` where it is absent, which is a chunk of the fill value.
    fn open(&self, key: &StoreKey) -> Result<Option<(File, u64)>, StorageError> {
        match File::open(self.folder.join(key.as_str())) {
            Ok(file) => {
                let length = file.metadata().map_err(Arc::new)?.len();
                Ok(Some((file, length)))
            }
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Arc::new(e).into()),
        }
    }
}

impl ReadableStorageTraits for Store {
    fn get_partial_many<'a>(
        &'a self,
        key: &StoreKey,
        byte_ranges: ByteRangeIterator<'a>,
    ) -> Result<MaybeBytesIterator<'a>, StorageError> {
        let Some((file, length)) = self.open(key)? else { return Ok(None) };
        let bytes = byte_ranges.map(move |range| -> Result<Bytes, StorageError> {
            let part = match range {
                ByteRange::FromStart(start, None) => length.checked_sub(start).map(|size| (start, size)),
                ByteRange::FromStart(start, Some(size)) => {
                    start.checked_add(size).filter(|&end| end <= length).map(|_| (start, size))
                }
                ByteRange::Suffix(size) => length.checked_sub(size).map(|start| (start, size)),
            };
            let Some((start, size)) = part else {
                let words = format!("the file ends after {length} bytes, before what its index or shape says");
                return Err(Arc::new(Error::new(ErrorKind::UnexpectedEof, words)).into());
            };
            let mut bytes = vec![0; size as usize];
            fs::read_at(&file, start, &mut bytes).map_err(Arc::new)?;
            if let (Some(limit), Some(decoded)) = (self.blosc_limit, blosc_size(&bytes))
                && decoded > limit
            {
                let words =
                    format!("a chunk that says to take {decoded} bytes when decoded, where {limit} are the most");
                return Err(StorageError::Other(words));
            }
            Ok(bytes.into())
        });
        Ok(Some(Box::new(bytes)))
    }

    fn size_key(&self, key: &StoreKey) -> Result<Option<u64>, StorageError> {
        Ok(self.open(key)?.map(|(_, length)| length))
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
