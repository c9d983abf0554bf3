//! What every reader and writer checks first.

use std::path::Path;

use crate::{Block, Extent, Index, Place, Region, VolumeError, VolumeInfo, VolumeSpec, VoxelType, Voxels};

/// Whether a region can be read from a volume.
pub(super) fn region(info: &VolumeInfo, region: Region) -> Result<(), VolumeError> {
    if region.fits(info.extent) {
        Ok(())
    } else {
        Err(VolumeError::OutOfBounds { place: Place::file(&info.path), region, extent: info.extent })
    }
}

/// A block of zeros for a region, if the memory can be had.
pub(super) fn zeros(path: &Path, region: Region, voxel_type: VoxelType) -> Result<Block, VolumeError> {
    let too_large = || VolumeError::TooLarge { place: Place::file(path), region };
    let len = region.extent.checked_voxels().and_then(|n| usize::try_from(n).ok()).ok_or_else(too_large)?;
    let voxels = match voxel_type {
        VoxelType::U8 => vector(len).map(Voxels::U8),
        VoxelType::U16 => vector(len).map(Voxels::U16),
        VoxelType::U32 => vector(len).map(Voxels::U32),
        VoxelType::I16 => vector(len).map(Voxels::I16),
        VoxelType::F32 => vector(len).map(Voxels::F32),
    };
    Ok(Block::new(region.extent, voxels.ok_or_else(too_large)?))
}

/// `len` zeros, `None` instead of the end of the program where there is no memory for them.
fn vector<T: Copy + Default>(len: usize) -> Option<Vec<T>> {
    let mut vector = Vec::new();
    vector.try_reserve_exact(len).ok()?;
    vector.resize(len, T::default());
    Some(vector)
}

/// Whether a new volume can be at all: some voxels, no more than can be counted.
pub(super) fn spec(path: &Path, spec: &VolumeSpec) -> Result<(), VolumeError> {
    let bytes = spec.extent.checked_voxels().and_then(|n| n.checked_mul(spec.voxel_type.bytes() as u64));
    if spec.extent.is_empty() || bytes.is_none_or(|b| b > i64::MAX as u64) {
        return Err(VolumeError::Unsupported {
            place: Place::file(path),
            found: format!("a new volume of {}", spec.extent),
            expected: "at least one voxel and less than 2⁶³ bytes".into(),
            hint: "Check the size that was asked for.".into(),
        });
    }
    Ok(())
}

/// Whether a section fits the formats that count rows and columns in 31 bits.
pub(super) fn section(path: &Path, spec: &VolumeSpec) -> Result<(), VolumeError> {
    let limit = i32::MAX as u64;
    if spec.extent.y > limit || spec.extent.x > limit {
        return Err(VolumeError::Unsupported {
            place: Place::file(path),
            found: format!("sections of {} × {}", spec.extent.y, spec.extent.x),
            expected: "at most 2³¹ - 1 rows and columns".into(),
            hint: "Write OME-Zarr (a name ending in .zarr) instead.".into(),
        });
    }
    Ok(())
}

/// Whether a block can be written: right type, inside, and made of whole grains (cut only by the volume's end).
pub(super) fn block(
    path: &Path,
    spec: &VolumeSpec,
    grain: Extent,
    start: Index,
    block: &Block,
) -> Result<(), VolumeError> {
    let region = Region::new(start, block.extent());
    let place = || Place::file(path);
    let found = block.voxels().voxel_type();
    if found != spec.voxel_type {
        return Err(VolumeError::WrongType { place: place(), found, expected: spec.voxel_type });
    }
    if !region.fits(spec.extent) {
        return Err(VolumeError::OutOfBounds { place: place(), region, extent: spec.extent });
    }
    let end = region.end();
    let whole = |start: u64, end: u64, grain: u64, limit: u64| {
        start.is_multiple_of(grain) && (end.is_multiple_of(grain) || end == limit)
    };
    if region.is_empty()
        || !whole(start.z, end.z, grain.z, spec.extent.z)
        || !whole(start.y, end.y, grain.y, spec.extent.y)
        || !whole(start.x, end.x, grain.x, spec.extent.x)
    {
        return Err(VolumeError::Unaligned { place: place(), region, grain });
    }
    Ok(())
}
