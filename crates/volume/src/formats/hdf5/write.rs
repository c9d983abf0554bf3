//! Writes a file with one dataset, chunk by chunk in any order, as HDF5 1.0 and all later versions read it.
//!
//! Chunks are appended as they come. The B-tree that finds them, the dataset's header, its groups, and at last the
//! superblock at the beginning of the file are written at the end.

use std::collections::BTreeMap;
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use flate2::Compression;
use flate2::write::ZlibEncoder;
use rayon::prelude::*;

use super::address::Address;
use super::encode::{self, Chunk};
use super::filters::shuffle;
use crate::formats::checks;
use crate::formats::stored;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VolumeSpec, VolumeWriter, fs};

/// As for OME-Zarr: about half a megavoxel.
const CHUNK: Extent = Extent::new(32, 128, 128);

/// A chunk's size is kept in 32 bits.
const MOST_CHUNK_BYTES: u64 = 1 << 30;

/// Where chunks begin: behind the superblock.
const FIRST: u64 = 96;

/// Writes an HDF5 file of one dataset, in any order and from several threads.
///
/// The file appears under its name when it is finished; until then it has a temporary one. Chunks of zeros take no room.
pub struct Hdf5Writer {
    path: PathBuf,
    names: Vec<String>,
    spec: VolumeSpec,
    chunk: Extent,
    state: Mutex<State>,
}

struct State {
    file: Option<fs::AtomicFile>,
    end: u64,
    /// What is written, by the chunk's number; `None` for zeros.
    chunks: BTreeMap<u64, Option<Chunk>>,
}

impl Hdf5Writer {
    /// Starts a file: `out.h5` gets a dataset `/volume`, `out.h5:/a/b` the dataset `/a/b`.
    pub fn create(path: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        checks::spec(path, spec)?;
        let address = Address::of(path).unwrap_or(Address { file: path.to_owned(), dataset: None });
        let names = address.names().map_or_else(|| vec!["volume".to_owned()], <[String]>::to_vec);
        let unsupported = |found: String, expected: &str| VolumeError::Unsupported {
            place: Place::file(path),
            found,
            expected: expected.into(),
            hint: "Choose another name or chunk size.".into(),
        };
        if let Some(name) = names.iter().find(|name| name.len() > 255 || name.as_str() == "." || name.contains('\0')) {
            return Err(unsupported(format!("the name '{name}'"), "names of at most 255 bytes, not '.'"));
        }
        let wanted = spec.chunk.unwrap_or(CHUNK);
        let size = |wanted: u64, limit: u64| wanted.clamp(1, limit);
        let chunk =
            Extent::new(size(wanted.z, spec.extent.z), size(wanted.y, spec.extent.y), size(wanted.x, spec.extent.x));
        let bytes = chunk.checked_voxels().and_then(|n| n.checked_mul(spec.voxel_type.bytes() as u64));
        if bytes.is_none_or(|bytes| bytes > MOST_CHUNK_BYTES) {
            return Err(unsupported(format!("chunks of {chunk}"), "at most 1 GiB"));
        }
        let io = |e| VolumeError::io(path, "write", e);
        let mut file = fs::AtomicFile::create(&address.file)?;
        file.write_all(&[0; FIRST as usize]).map_err(io)?;
        let state = Mutex::new(State { file: Some(file), end: FIRST, chunks: BTreeMap::new() });
        Ok(Self { path: path.to_owned(), names, spec: spec.clone(), chunk, state })
    }

    /// Chunks along each axis.
    fn counts(&self) -> Extent {
        let Extent { z, y, x } = self.spec.extent;
        Extent::new(z.div_ceil(self.chunk.z), y.div_ceil(self.chunk.y), x.div_ceil(self.chunk.x))
    }

    /// The number of a chunk, and its bytes; none for zeros.
    fn encode(&self, start: Index, block: &Block, part: Region) -> Result<(u64, Option<Vec<u8>>), VolumeError> {
        let counts = self.counts();
        let at = |start: u64, part: u64, chunk: u64| (start + part) / chunk;
        let z = at(start.z, part.start.z, self.chunk.z);
        let y = at(start.y, part.start.y, self.chunk.y);
        let x = at(start.x, part.start.x, self.chunk.x);
        let number = (z * counts.y + y) * counts.x + x;
        let mut chunk = Block::zeros(self.chunk, self.spec.voxel_type);
        chunk.paste(Index::default(), block, part);
        let bytes = stored::to_bytes(chunk.voxels());
        if bytes.iter().all(|&byte| byte == 0) {
            return Ok((number, None));
        }
        let size = self.spec.voxel_type.bytes();
        let bytes = if size > 1 { shuffle(&bytes, size) } else { bytes };
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        let written = encoder.write_all(&bytes).and_then(|()| encoder.finish());
        Ok((number, Some(written.map_err(|e| VolumeError::io(&self.path, "encode", e))?)))
    }

    fn unaligned(&self, region: Region) -> VolumeError {
        VolumeError::Unaligned { place: Place::file(&self.path), region, grain: self.chunk }
    }

    /// The first chunk that was not written.
    fn missing(&self, chunks: &BTreeMap<u64, Option<Chunk>>) -> Option<Region> {
        let count = self.counts().checked_voxels().unwrap_or(u64::MAX);
        let gap = (0..).zip(chunks.keys()).find(|(i, key)| i != *key).map(|(i, _)| i);
        let number = gap.or_else(|| (chunks.len() as u64).lt(&count).then_some(chunks.len() as u64))?;
        let first = encode::first_voxel(number, self.counts(), self.chunk);
        Some(Region::new(Index::new(first[0], first[1], first[2]), self.chunk))
    }
}

impl VolumeWriter for Hdf5Writer {
    fn grain(&self) -> Extent {
        self.chunk
    }

    fn in_order(&self) -> bool {
        false
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        checks::block(&self.path, &self.spec, self.chunk, start, block)?;
        let parts: Vec<Region> = Region::whole(block.extent()).tiles(self.chunk).collect();
        // In batches, so that encoded chunks do not pile up beside a large block.
        for batch in parts.chunks(128) {
            let encoded: Vec<_> = batch.par_iter().map(|&part| self.encode(start, block, part)).collect();
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let State { file, end, chunks } = &mut *state;
            let Some(file) = file else {
                return Err(self.unaligned(Region::new(start, block.extent())));
            };
            for result in encoded {
                let (number, bytes) = result?;
                let chunk = bytes.as_ref().map(|bytes| Chunk { address: *end, size: bytes.len() as u32 });
                if let Some(bytes) = bytes {
                    file.write_all(&bytes).map_err(|e| VolumeError::io(&self.path, "write", e))?;
                    *end += bytes.len() as u64;
                }
                chunks.insert(number, chunk);
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.file.is_none() {
            return Ok(());
        }
        if let Some(region) = self.missing(&state.chunks) {
            return Err(self.unaligned(region));
        }
        let Some(mut file) = state.file.take() else { return Ok(()) };
        let written: Vec<(u64, Chunk)> =
            std::mem::take(&mut state.chunks).into_iter().filter_map(|(i, chunk)| Some((i, chunk?))).collect();
        let io = |e: io::Error| VolumeError::io(&self.path, "write", e);
        let metadata = encode::Metadata {
            spec: &self.spec,
            names: &self.names,
            chunk: self.chunk,
            counts: self.counts(),
            at: state.end,
        };
        let superblock = metadata.write(&written, &mut file).map_err(io)?;
        file.seek(SeekFrom::Start(0)).map_err(io)?;
        file.write_all(&superblock).map_err(io)?;
        file.commit()
    }
}
