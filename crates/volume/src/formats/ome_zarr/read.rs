//! Reads chunks through `zarrs`.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use zarrs::array::{
    Array, ArrayError, ArrayMetadata, ArrayShardedReadableExt, ArrayShardedReadableExtCache, ArraySubset, CodecOptions,
    ElementOwned,
};
use zarrs::storage::StorageError;

use super::metadata::Meta;
use super::node::{self, Stored};
use super::store::Store;
use crate::formats::pieces::{Cached, Pieces};
use crate::{Block, Format, OpenOptions, Place, Region, Volume, VolumeError, VolumeInfo, VoxelType, Voxels};

/// Shard indexes kept in memory; a shard's index is small, but a volume has many shards.
const SHARD_INDEXES: usize = 256;

pub(super) type ZarrArray = Array<Store>;

struct OmeZarr {
    info: VolumeInfo,
    meta: Meta,
    array: ZarrArray,
    shards: ArrayShardedReadableExtCache,
}

/// Opens an OME-Zarr image or a plain Zarr v3 array.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    let meta = node::read(path)?;
    let array = open_array(&meta)?;
    let shards = ArrayShardedReadableExtCache::new(&array);
    let info = VolumeInfo {
        path: path.to_owned(),
        format: Format::OmeZarr,
        extent: meta.extent,
        voxel_type: meta.voxel_type,
        voxel_size: meta.voxel_size,
        grain: meta.grain,
    };
    Ok(Box::new(Cached::new(OmeZarr { info, meta, array, shards }, options.cache_bytes)))
}

pub(super) fn open_array(meta: &Meta) -> Result<ZarrArray, VolumeError> {
    let wrong = |found: String| VolumeError::Unsupported {
        place: Place::file(&meta.folder),
        found,
        expected: "a Zarr array with known codecs (blosc, crc32c, gzip, sharding, transpose, zstd)".into(),
        hint: "Convert it, for example with zarr-python.".into(),
    };
    // From the text that was checked, not from the file again.
    let (metadata, text) = match &meta.stored {
        Stored::V3(json) => (serde_json::from_value(json.clone()).map(ArrayMetadata::V3), json.to_string()),
        Stored::V2(json) => (serde_json::from_value(json.clone()).map(ArrayMetadata::V2), json.to_string()),
    };
    let metadata = metadata.map_err(|e| wrong(e.to_string()))?;
    // A checksum may come before Blosc.
    let blosc_limit = text.contains("blosc").then_some(meta.chunk_bytes.saturating_add(64));
    let store = Arc::new(Store { folder: meta.folder.clone(), blosc_limit });
    Array::new_with_metadata(store, "/", metadata).map_err(|e| wrong(e.to_string()))
}

impl OmeZarr {
    fn elements<T: ElementOwned>(&self, subset: &ArraySubset) -> Result<Vec<T>, ArrayError> {
        if !self.shards.array_is_sharded() {
            return self.array.retrieve_array_subset(subset);
        }
        if self.shards.len() > SHARD_INDEXES {
            self.shards.clear();
        }
        self.array.retrieve_array_subset_sharded_opt(&self.shards, subset, &CodecOptions::default())
    }
}

impl Pieces for OmeZarr {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn decode(&self, region: Region) -> Result<Block, VolumeError> {
        let (start, end) = (region.start, region.end());
        let ranges =
            std::iter::repeat_n(0..1, self.meta.leading).chain([start.z..end.z, start.y..end.y, start.x..end.x]);
        let subset = ArraySubset::new_with_ranges(&ranges.collect::<Vec<_>>());
        let voxels = match self.info.voxel_type {
            VoxelType::U8 => self.elements(&subset).map(Voxels::U8),
            VoxelType::U16 => self.elements(&subset).map(Voxels::U16),
            VoxelType::U32 => self.elements(&subset).map(Voxels::U32),
            VoxelType::I16 => self.elements(&subset).map(Voxels::I16),
            VoxelType::F32 => self.elements(&subset).map(Voxels::F32),
        };
        let chunk = || {
            let g = self.info.grain;
            Place::part(&self.meta.folder, format!("chunk {}/{}/{}", start.z / g.z, start.y / g.y, start.x / g.x))
        };
        let voxels = voxels.map_err(|e| match e {
            ArrayError::StorageError(StorageError::IOError(e)) if e.kind() != ErrorKind::UnexpectedEof => {
                VolumeError::Io { place: chunk(), action: "read", source: e.kind().into() }
            }
            other => VolumeError::malformed(chunk(), other.to_string(), "a whole chunk"),
        })?;
        if voxels.len() as u64 != region.extent.checked_voxels().unwrap_or(0) {
            return Err(VolumeError::malformed(chunk(), format!("{} voxels", voxels.len()), region.extent.to_string()));
        }
        Ok(Block::new(region.extent, voxels))
    }
}
