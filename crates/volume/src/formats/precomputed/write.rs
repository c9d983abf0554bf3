//! Writes a scale chunk by chunk, each chunk whole or absent.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::compressed_segmentation as segmentation;
use super::info::{self, Encoding, Scale, Which};
use super::{INFO, new};
use crate::files::Files;
use crate::formats::checks;
use crate::pyramid::Level;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VolumeSpec, VolumeWriter, Voxels};

/// Writes one scale of a precomputed volume, in any order and from several threads.
///
/// A chunk of zeros takes no file.
pub(crate) struct PrecomputedWriter {
    path: PathBuf,
    spec: VolumeSpec,
    scale: Scale,
    block: Option<Extent>,
    files: Arc<dyn Files>,
}

impl PrecomputedWriter {
    /// Starts a new volume of one scale where there is none.
    pub(crate) fn create(files: &Arc<dyn Files>, path: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        Self::write_info(files, path, spec, &[Level::first(spec.extent, spec.voxel_size)])?;
        Self::reopen(files, path, &Which::Number(0))
    }

    /// Starts a new volume of several levels; a writer for each.
    pub(crate) fn create_levels(
        files: &Arc<dyn Files>,
        path: &Path,
        spec: &VolumeSpec,
        levels: &[Level],
    ) -> Result<Vec<Self>, VolumeError> {
        Self::write_info(files, path, spec, levels)?;
        (0..levels.len()).map(|number| Self::reopen(files, path, &Which::Number(number))).collect()
    }

    fn write_info(files: &Arc<dyn Files>, path: &Path, spec: &VolumeSpec, levels: &[Level]) -> Result<(), VolumeError> {
        checks::spec(path, spec)?;
        let info = new::info(path, spec, levels)?;
        files.put(&[(INFO.to_owned(), format!("{info:#}\n").into_bytes())])
    }

    /// Goes on with a scale: metadata and chunks stay, chunks are added or replaced.
    pub(crate) fn reopen(files: &Arc<dyn Files>, path: &Path, which: &Which) -> Result<Self, VolumeError> {
        let scale = info::scale(&**files, &info::read(&**files)?, which)?;
        let block = match scale.encoding {
            Encoding::Raw => None,
            Encoding::CompressedSegmentation { block } => Some(block),
        };
        let encodes = block.is_none_or(|block| segmentation::encodes(scale.chunk, block));
        if scale.sharding.is_some() || scale.wide || !encodes {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: "shards, 64-bit labels, or very large chunks of labels".into(),
                expected: "a volume that Deep3M wrote".into(),
                hint: "Choose another output.".into(),
            });
        }
        let spec = VolumeSpec {
            extent: scale.extent,
            voxel_type: scale.voxel_type,
            voxel_size: scale.voxel_size,
            chunk: Some(scale.chunk),
            provenance: None,
        };
        Ok(Self { path: path.to_owned(), spec, scale, block, files: Arc::clone(files) })
    }

    /// How many scales a volume has.
    pub(crate) fn scales(files: &dyn Files) -> Result<usize, VolumeError> {
        Ok(info::read(files)?["scales"].as_array().map_or(0, Vec::len))
    }

    /// The key of a chunk's file and its bytes; no bytes for a chunk of zeros.
    fn chunk(&self, start: Index, block: &Block, part: Region) -> (String, Option<Vec<u8>>) {
        let at = Index::new(start.z + part.start.z, start.y + part.start.y, start.x + part.start.x);
        let key = self.scale.chunk_key(Region::new(at, part.extent));
        let chunk = block.crop(part);
        if checks::is_zero(chunk.voxels()) {
            return (key, None);
        }
        let bytes = match (self.block, chunk.voxels()) {
            (Some(block), Voxels::U32(labels)) => segmentation::encode(labels, part.extent, block),
            (_, voxels) => raw(voxels),
        };
        (key, Some(bytes))
    }
}

/// Voxels as they are, little-endian.
fn raw(voxels: &Voxels) -> Vec<u8> {
    match voxels {
        Voxels::U8(v) => v.clone(),
        Voxels::U16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Voxels::I16(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Voxels::U32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
        Voxels::F32(v) => v.iter().flat_map(|v| v.to_le_bytes()).collect(),
    }
}

impl VolumeWriter for PrecomputedWriter {
    fn grain(&self) -> Extent {
        self.scale.chunk
    }

    fn in_order(&self) -> bool {
        false
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        checks::block(&self.path, &self.spec, self.scale.chunk, start, block)?;
        let parts: Vec<Region> = Region::whole(block.extent()).tiles(self.scale.chunk).collect();
        // In batches, so that encoded chunks do not pile up beside a large block.
        for batch in parts.chunks(128) {
            let encoded: Vec<_> = batch.par_iter().map(|&part| self.chunk(start, block, part)).collect();
            let (mut full, mut zeros) = (Vec::with_capacity(encoded.len()), Vec::new());
            for (key, bytes) in encoded {
                match bytes {
                    Some(bytes) => full.push((key, bytes)),
                    None => zeros.push(key),
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
