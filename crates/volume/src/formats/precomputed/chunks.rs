//! The bytes of a chunk, from a file of its own or from a shard.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use super::gzip;
use super::info::Scale;
use super::shards::Shards;
use crate::files::Files;
use crate::{Index, Place, Region, VolumeError};

/// Where a scale's chunks lie.
#[derive(Debug)]
pub(super) enum Chunks {
    /// Each in a file.
    Files(Separate),
    /// Many in a file.
    Shards(Shards),
}

impl Chunks {
    pub(super) fn new(files: Arc<dyn Files>, scale: &Scale) -> Self {
        match &scale.sharding {
            None => Self::Files(Separate { files, found: AtomicU8::new(NONE) }),
            Some(sharding) => Self::Shards(Shards::new(files, &scale.key, sharding.clone())),
        }
    }

    /// The bytes of a chunk, `most` at most; `None` where it was never written.
    pub(super) fn get(&self, scale: &Scale, chunk: Region, most: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        match self {
            Self::Files(files) => files.get(&scale.chunk_key(chunk), most),
            Self::Shards(shards) => shards.get(position(scale, chunk), most),
        }
    }

    /// Where errors of a chunk lie.
    pub(super) fn place(&self, scale: &Scale, chunk: Region) -> Place {
        match self {
            Self::Files(files) => Place::file(files.files.address(&scale.chunk_key(chunk))),
            Self::Shards(shards) => shards.place(position(scale, chunk)),
        }
    }
}

/// Where a chunk lies in the grid of chunks.
fn position(scale: &Scale, chunk: Region) -> Index {
    let (at, size) = (chunk.start, scale.chunk);
    Index::new(at.z / size.z, at.y / size.y, at.x / size.x)
}

/// No chunk was found yet.
const NONE: u8 = 0;
/// Chunks lie under their names.
const PLAIN: u8 = 1;
/// Chunks lie under their names with `.gz`.
const GZIP: u8 = 2;

/// Chunks that are files.
#[derive(Debug)]
pub(super) struct Separate {
    files: Arc<dyn Files>,
    /// How the last chunk was found: the next is first looked for in the same way.
    found: AtomicU8,
}

impl Separate {
    fn get(&self, key: &str, most: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let found = self.found.load(Ordering::Relaxed);
        let order = if found == GZIP { [GZIP, PLAIN] } else { [PLAIN, GZIP] };
        for way in order {
            if let Some(bytes) = self.get_as(way, key, most)? {
                self.found.store(way, Ordering::Relaxed);
                return Ok(Some(bytes));
            }
        }
        // An absent chunk is zeros; not so one that lies there in another compression.
        if found == NONE {
            for ending in ["br", "zst"] {
                let key = format!("{key}.{ending}");
                if self.files.size(&key)?.is_some() {
                    return Err(VolumeError::Unsupported {
                        place: Place::file(self.files.address(&key)),
                        found: format!("a chunk compressed as .{ending}"),
                        expected: "chunks without compression or as .gz".into(),
                        hint: "Copy the volume with CloudVolume, compress=False.".into(),
                    });
                }
            }
        }
        Ok(None)
    }

    fn get_as(&self, way: u8, key: &str, most: u64) -> Result<Option<Vec<u8>>, VolumeError> {
        let key = if way == GZIP { format!("{key}.gz") } else { key.to_owned() };
        // Gzip makes what cannot be compressed a little longer.
        let Some(bytes) = self.files.get(&key, most.saturating_add(most / 100).saturating_add(1024))? else {
            return Ok(None);
        };
        // Object stores hold gzip data under plain names, said to be so by a header only.
        if way == GZIP || gzip::is_gzip(&bytes) && bytes.len() as u64 != most {
            let wrong = |found| VolumeError::malformed(Place::file(self.files.address(&key)), found, "a whole chunk");
            return gzip::gunzip(&bytes, most).map(Some).map_err(wrong);
        }
        Ok(Some(bytes))
    }
}
