//! Writes OME-Zarr, chunk by chunk, each chunk whole or absent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;
use zarrs::array::{ArrayBytes, ArrayToBytesCodecTraits, CodecOptions, Element, IntoArrayBytes};

use super::metadata::Meta;
use super::node::{self, Stored};
use super::read::{ZarrArray, open_array};
use super::{ZarrLayout, ZarrVersion, new};
use crate::files::{self, Files, below};
use crate::formats::checks;
use crate::pyramid::Level;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VolumeSpec, VolumeWriter, Voxels};

/// About half a megavoxel: small enough to look at a section without reading much, large enough for few files.
const CHUNK: Extent = Extent::new(32, 128, 128);

/// The most bytes of voxels in a chunk or shard that is written.
const LARGEST_WRITTEN: u64 = 16 << 30;

/// Writes a level of an OME-Zarr image, in any order and from several threads.
///
/// A chunk of zeros takes no file. Chunks appear by renaming, or in one request, so a half-written one is never seen.
pub struct ZarrWriter {
    path: PathBuf,
    spec: VolumeSpec,
    chunk: Extent,
    files: Arc<dyn Files>,
    /// The key of the array's folder among the files.
    key: String,
    array: ZarrArray,
}

impl ZarrWriter {
    /// Starts a new volume of one level in a folder that does not exist or is empty.
    pub fn create(path: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        let level = Level::first(spec.extent, spec.voxel_size);
        Self::write_metadata(path, spec, &[level], ZarrLayout::default())?;
        Self::new(path, spec.provenance.clone(), &node::read(path, 0)?)
    }

    /// Starts a new volume of several levels; a writer for each.
    pub(crate) fn create_levels(
        path: &Path,
        spec: &VolumeSpec,
        levels: &[Level],
        layout: ZarrLayout,
    ) -> Result<Vec<Self>, VolumeError> {
        Self::write_metadata(path, spec, levels, layout)?;
        (0..levels.len()).map(|level| Self::reopen_level(path, level)).collect()
    }

    fn write_metadata(path: &Path, spec: &VolumeSpec, levels: &[Level], layout: ZarrLayout) -> Result<(), VolumeError> {
        checks::spec(path, spec)?;
        if layout.version == ZarrVersion::V2 && layout.shard.is_some() {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: "a new volume of Zarr v2 with shards".into(),
                expected: "shards with Zarr v3 only".into(),
                hint: "Leave out the shards, or write OME-Zarr 0.5.".into(),
            });
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let files = files::at(path)?;
        for (key, value) in new::metadata(spec, &name, levels, spec.chunk.unwrap_or(CHUNK), layout) {
            files.put(&[(key, json(&value))])?;
        }
        Ok(())
    }

    /// Goes on with a volume that [`Self::create`] started: its metadata stay, chunks are added or replaced.
    pub fn reopen(path: &Path) -> Result<Self, VolumeError> {
        Self::reopen_level(path, 0)
    }

    /// As [`Self::reopen`], with a level.
    pub(crate) fn reopen_level(path: &Path, level: usize) -> Result<Self, VolumeError> {
        let meta = node::read(path, level)?;
        let fill = match &meta.stored {
            Stored::V3(json) | Stored::V2(json) => json["fill_value"].as_f64(),
        };
        // A chunk is filled up to its whole size to be written.
        let bytes = meta.written.checked_voxels().and_then(|n| n.checked_mul(meta.voxel_type.bytes() as u64));
        if meta.leading != 0 || fill != Some(0.0) || bytes.is_none_or(|bytes| bytes > LARGEST_WRITTEN) {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: "more than three axes, chunks of more than 16 GiB, or a fill value that is not 0".into(),
                expected: "a volume that Deep3M wrote".into(),
                hint: "Choose another output.".into(),
            });
        }
        Self::new(path, None, &meta)
    }

    fn new(path: &Path, provenance: Option<serde_json::Value>, meta: &Meta) -> Result<Self, VolumeError> {
        let spec = VolumeSpec {
            extent: meta.extent,
            voxel_type: meta.voxel_type,
            voxel_size: meta.voxel_size,
            chunk: Some(meta.written),
            provenance,
        };
        let array = open_array(meta)?;
        let (files, key) = (Arc::clone(&meta.files), meta.key.clone());
        Ok(Self { path: path.to_owned(), spec, chunk: meta.written, files, key, array })
    }

    /// Encodes one chunk, filled up with zeros where it sticks out of the volume.
    fn encode(&self, voxels: &Voxels) -> Result<Vec<u8>, String> {
        match voxels {
            Voxels::U8(v) => self.encode_elements(v),
            Voxels::U16(v) => self.encode_elements(v),
            Voxels::U32(v) => self.encode_elements(v),
            Voxels::I16(v) => self.encode_elements(v),
            Voxels::F32(v) => self.encode_elements(v),
        }
    }

    fn encode_elements<T: Element>(&self, elements: &[T]) -> Result<Vec<u8>, String> {
        let data_type = self.array.data_type();
        let bytes: ArrayBytes<'_> = elements.into_array_bytes(data_type).map_err(|e| e.to_string())?;
        let shape = self.array.chunk_shape(&[0, 0, 0]).map_err(|e| e.to_string())?;
        let options = CodecOptions::default();
        let encoded = self.array.codecs().encode(bytes, &shape, data_type, self.array.fill_value(), &options);
        Ok(encoded.map_err(|e| e.to_string())?.into_owned())
    }

    /// The key of a chunk's file and its encoded bytes; no bytes for a chunk of zeros.
    fn chunk(&self, start: Index, block: &Block, part: Region) -> Result<(String, Option<Vec<u8>>), VolumeError> {
        let at = [
            (start.z + part.start.z) / self.chunk.z,
            (start.y + part.start.y) / self.chunk.y,
            (start.x + part.start.x) / self.chunk.x,
        ];
        let key = below(&self.key, self.array.chunk_key(&at).as_str());
        let mut chunk = Block::zeros(self.chunk, self.spec.voxel_type);
        chunk.paste(Index::default(), block, part);
        if checks::is_zero(chunk.voxels()) {
            return Ok((key, None));
        }
        match self.encode(chunk.voxels()) {
            Ok(bytes) => Ok((key, Some(bytes))),
            Err(e) => Err(VolumeError::io(self.files.address(&key), "encode", std::io::Error::other(e))),
        }
    }
}

fn json(value: &serde_json::Value) -> Vec<u8> {
    // Printing a JSON value cannot fail: its keys are strings.
    format!("{value:#}\n").into_bytes()
}

impl VolumeWriter for ZarrWriter {
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
            let encoded: Vec<_> = batch.par_iter().map(|&part| self.chunk(start, block, part)).collect();
            let (mut full, mut zeros) = (Vec::with_capacity(encoded.len()), Vec::new());
            for result in encoded {
                match result? {
                    (key, Some(bytes)) => full.push((key, bytes)),
                    (key, None) => zeros.push(key),
                }
            }
            // They may have been written otherwise before.
            self.files.remove_many(&zeros)?;
            self.files.put(&full)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        Ok(())
    }
}
