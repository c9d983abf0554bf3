//! A volume in memory.

use deep3m_volume::{Block, Extent, Format, Place, Region, Volume, VolumeError, VolumeInfo, Voxels};

/// A volume in memory.
pub(crate) struct Memory {
    info: VolumeInfo,
    block: Block,
}

impl Memory {
    /// A volume of these voxels, under a name for messages.
    pub(crate) fn new(name: &str, extent: Extent, voxels: Voxels) -> Self {
        let block = Block::new(extent, voxels);
        let info = VolumeInfo {
            path: name.into(),
            format: Format::OmeZarr,
            extent,
            voxel_type: block.voxels().voxel_type(),
            voxel_size: None,
            grain: extent,
        };
        Self { info, block }
    }
}

impl Volume for Memory {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        if !region.fits(self.info.extent) {
            let place = Place::file(&self.info.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: self.info.extent });
        }
        Ok(self.block.crop(region))
    }
}
