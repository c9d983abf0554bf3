//! A volume that lies in memory: small results, and tests of what reads and writes volumes.

use std::path::PathBuf;
use std::sync::{PoisonError, RwLock, RwLockReadGuard};

use crate::{
    Block, Extent, Format, Index, Place, Region, Volume, VolumeError, VolumeInfo, VolumeWriter, VoxelSize, Voxels,
};

/// A volume in memory. As a writer it takes blocks of any size, in any order.
#[derive(Debug)]
pub struct InMemory {
    info: VolumeInfo,
    block: RwLock<Block>,
}

impl InMemory {
    /// A volume of these voxels, under a name for messages.
    ///
    /// # Panics
    /// If the number of voxels is not that of the extent.
    pub fn new(name: impl Into<PathBuf>, extent: Extent, voxels: Voxels) -> Self {
        let info = VolumeInfo {
            path: name.into(),
            format: Format::OmeZarr,
            extent,
            voxel_type: voxels.voxel_type(),
            voxel_size: None,
            grain: extent,
        };
        Self { info, block: RwLock::new(Block::new(extent, voxels)) }
    }

    /// The same with a voxel size.
    #[must_use]
    pub const fn sized(mut self, size: VoxelSize) -> Self {
        self.info.voxel_size = Some(size);
        self
    }

    /// A copy of its voxels.
    pub fn voxels(&self) -> Voxels {
        self.block().voxels().clone()
    }

    // A panic elsewhere leaves whole voxels behind.
    fn block(&self) -> RwLockReadGuard<'_, Block> {
        self.block.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, region: Region) -> Result<(), VolumeError> {
        let (place, extent) = (Place::file(&self.info.path), self.info.extent);
        if region.fits(extent) { Ok(()) } else { Err(VolumeError::OutOfBounds { place, region, extent }) }
    }
}

impl Volume for InMemory {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        self.check(region)?;
        Ok(self.block().crop(region))
    }
}

impl VolumeWriter for InMemory {
    fn grain(&self) -> Extent {
        Extent::new(1, 1, 1)
    }

    fn in_order(&self) -> bool {
        false
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        self.check(Region::new(start, block.extent()))?;
        let whole = Region::whole(block.extent());
        self.block.write().unwrap_or_else(PoisonError::into_inner).paste(start, block, whole);
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_what_sticks_out_is_said() {
        let volume = InMemory::new("v", Extent::new(1, 2, 3), Voxels::U16(vec![1, 2, 3, 4, 5, 6]));
        let part = Region::new(Index::new(0, 1, 1), Extent::new(1, 1, 2));
        assert_eq!(volume.read(part).unwrap().voxels(), &Voxels::U16(vec![5, 6]));
        volume.write(part.start, &Block::new(Extent::new(1, 1, 1), Voxels::U16(vec![9]))).unwrap();
        assert_eq!(volume.voxels(), Voxels::U16(vec![1, 2, 3, 4, 9, 6]));
        assert!(volume.read(Region::new(Index::new(0, 1, 2), part.extent)).is_err());
    }
}
