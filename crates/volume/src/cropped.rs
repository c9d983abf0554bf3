//! A part of a volume as a volume of its own.

use std::sync::Arc;

use crate::{Block, Extent, Index, Place, Region, Volume, VolumeError, VolumeInfo};

/// A box of another volume; positions count from the box's first voxel.
struct Cropped {
    whole: Arc<dyn Volume>,
    region: Region,
    info: VolumeInfo,
}

/// The part of `volume` inside `region`, as a volume. Nothing is read or copied.
///
/// # Errors
/// [`VolumeError::OutOfBounds`] where the region does not lie inside.
pub fn crop(volume: Arc<dyn Volume>, region: Region) -> Result<Arc<dyn Volume>, VolumeError> {
    let info = volume.info();
    if !region.fits(info.extent) || region.is_empty() {
        return Err(VolumeError::OutOfBounds { place: Place::file(&info.path), region, extent: info.extent });
    }
    let grain = Extent::new(
        info.grain.z.min(region.extent.z),
        info.grain.y.min(region.extent.y),
        info.grain.x.min(region.extent.x),
    );
    // A part is another volume than the whole and than other parts: what is made of it must not be taken for theirs.
    let path = format!("{}[{region}]", info.path.display()).into();
    let info = VolumeInfo { path, extent: region.extent, grain, ..info.clone() };
    Ok(Arc::new(Cropped { whole: volume, region, info }))
}

impl Volume for Cropped {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        if !region.fits(self.region.extent) {
            let place = Place::file(&self.info.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: self.region.extent });
        }
        let origin = self.region.start;
        let start = Index::new(origin.z + region.start.z, origin.y + region.start.y, origin.x + region.start.x);
        self.whole.read(Region::new(start, region.extent))
    }
}
