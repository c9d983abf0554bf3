//! Writes OME-Zarr, chunk by chunk, each chunk whole or absent.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use zarrs::array::{ArrayBytes, ArrayToBytesCodecTraits, CodecOptions, Element, IntoArrayBytes};

use super::metadata::Meta;
use super::new;
use super::node::{self, Stored};
use super::read::{ZarrArray, open_array};
use crate::formats::checks;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VolumeSpec, VolumeWriter, Voxels, fs};

/// About half a megavoxel: small enough to look at a section without reading much, large enough for few files.
const CHUNK: Extent = Extent::new(32, 128, 128);

/// Writes an OME-Zarr image of one level, in any order and from several threads.
///
/// A chunk of zeros takes no file. Chunks appear by renaming, so a half-written one is never seen.
pub struct ZarrWriter {
    path: PathBuf,
    spec: VolumeSpec,
    chunk: Extent,
    array_folder: PathBuf,
    array: ZarrArray,
}

impl ZarrWriter {
    /// Starts a new volume in a folder that does not exist or is empty.
    pub fn create(path: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        checks::spec(path, spec)?;
        let wanted = spec.chunk.unwrap_or(CHUNK);
        let size = |wanted: u64, limit: u64| wanted.clamp(1, limit);
        let chunk =
            Extent::new(size(wanted.z, spec.extent.z), size(wanted.y, spec.extent.y), size(wanted.x, spec.extent.x));
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let array = json(&new::array(spec, chunk));
        fs::write_atomic(&path.join("0/zarr.json"), &array)?;
        // The group comes last: with it the volume exists.
        fs::write_atomic(&path.join("zarr.json"), &json(&new::group(spec, &name)))?;
        Self::new(path, spec.provenance.clone(), &node::read(path)?)
    }

    /// Goes on with a volume that [`Self::create`] started: its metadata stay, chunks are added or replaced.
    pub fn reopen(path: &Path) -> Result<Self, VolumeError> {
        let meta = node::read(path)?;
        let as_written = match &meta.stored {
            Stored::V3(json) => {
                let chunk = &json["chunk_grid"]["configuration"]["chunk_shape"];
                *chunk == serde_json::json!(meta.grain.to_array()) && json["fill_value"].as_f64() == Some(0.0)
            }
            Stored::V2(_) => false,
        };
        if meta.leading != 0 || !as_written {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: "Zarr v2, shards, more than three axes, or a fill value that is not 0".into(),
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
            chunk: Some(meta.grain),
            provenance,
        };
        let array = open_array(meta)?;
        Ok(Self { path: path.to_owned(), spec, chunk: meta.grain, array_folder: meta.folder.clone(), array })
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

    /// The file of a chunk and its encoded bytes; no bytes for a chunk of zeros.
    fn chunk(&self, start: Index, block: &Block, part: Region) -> Result<(PathBuf, Option<Vec<u8>>), VolumeError> {
        let at = [
            (start.z + part.start.z) / self.chunk.z,
            (start.y + part.start.y) / self.chunk.y,
            (start.x + part.start.x) / self.chunk.x,
        ];
        let path = self.array_folder.join(self.array.chunk_key(&at).as_str());
        let mut chunk = Block::zeros(self.chunk, self.spec.voxel_type);
        chunk.paste(Index::default(), block, part);
        if is_zero(chunk.voxels()) {
            return Ok((path, None));
        }
        match self.encode(chunk.voxels()) {
            Ok(bytes) => Ok((path, Some(bytes))),
            Err(e) => Err(VolumeError::io(path, "encode", std::io::Error::other(e))),
        }
    }
}

fn is_zero(voxels: &Voxels) -> bool {
    match voxels {
        Voxels::U8(v) => v.iter().all(|&x| x == 0),
        Voxels::U16(v) => v.iter().all(|&x| x == 0),
        Voxels::U32(v) => v.iter().all(|&x| x == 0),
        Voxels::I16(v) => v.iter().all(|&x| x == 0),
        // −0 is not 0 here: what is read is what was written, bit for bit.
        Voxels::F32(v) => v.iter().all(|x| x.to_bits() == 0),
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
            let mut pieces = Vec::with_capacity(encoded.len());
            for result in encoded {
                match result? {
                    (path, Some(bytes)) => pieces.push((path, bytes)),
                    // It may have been written otherwise before.
                    (path, None) => fs::remove_file(&path)?,
                }
            }
            fs::write_pieces(&pieces)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        fs::sync_dir(&self.path)
    }
}
