//! Volumes in memory, for tests.

use std::sync::Arc;

use deep3m_volume::{Block, Extent, Format, Index, Region, Volume, VolumeError, VolumeInfo, VoxelType, Voxels};

use crate::LabelledVolume;

/// A volume in memory.
pub(crate) struct Memory {
    info: VolumeInfo,
    block: Block,
}

impl Volume for Memory {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        assert!(region.fits(self.info.extent), "{region} outside {}", self.info.extent);
        Ok(self.block.crop(region))
    }
}

/// A volume of the given size whose voxels are a function of their place.
pub(crate) fn volume(name: &str, extent: Extent, value: impl Fn(Index) -> u8) -> Arc<dyn Volume> {
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|r| value(r.start)).collect();
    let info = VolumeInfo {
        path: name.into(),
        format: Format::TiffStack,
        extent,
        voxel_type: VoxelType::U8,
        voxel_size: None,
        grain: Extent::new(1, extent.y, extent.x),
    };
    Arc::new(Memory { info, block: Block::new(extent, Voxels::U8(voxels)) })
}

/// Images and labels whose voxels are functions of their place.
pub(crate) fn labelled(extent: Extent, image: impl Fn(Index) -> u8, label: impl Fn(Index) -> u8) -> LabelledVolume {
    LabelledVolume { images: volume("images", extent, image), labels: volume("labels", extent, label) }
}

/// A few dark discs on a textured ground: something that a tiny network learns in seconds.
pub(crate) fn discs(extent: Extent, label: u8) -> LabelledVolume {
    let inside = |at: Index| {
        let (y, x) = (at.y as i64 % 48 - 24, at.x as i64 % 48 - 24);
        y * y + x * x < 14 * 14
    };
    let texture = |at: Index| ((at.z * 31 + at.y * 17 + at.x * 29) % 41) as u8;
    let image = move |at: Index| if inside(at) { 40 + texture(at) } else { 150 + texture(at) };
    labelled(extent, image, move |at| if inside(at) { label } else { 0 })
}
