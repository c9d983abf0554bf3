//! A voxel size from the user, for files that do not state one.

use std::sync::Arc;

use crate::{Block, Region, Volume, VolumeError, VolumeInfo, VoxelSize};

/// A volume with another voxel size than its file states, or with one where it states none.
struct Sized {
    volume: Arc<dyn Volume>,
    info: VolumeInfo,
}

/// The same voxels, with this size.
pub fn with_voxel_size(volume: Arc<dyn Volume>, size: VoxelSize) -> Arc<dyn Volume> {
    let info = VolumeInfo { voxel_size: Some(size), ..volume.info().clone() };
    Arc::new(Sized { volume, info })
}

impl Volume for Sized {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        self.volume.read(region)
    }
}
