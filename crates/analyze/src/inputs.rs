//! What volumes must be to be compared.

use deep3m_volume::{Place, Region, VolumeError, VolumeInfo, VoxelType};

use crate::AnalyzeError;

/// How much memory a measurement may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The budget of the whole program, in bytes.
    pub budget: u64,
    /// What of it is taken already: what the volumes may keep decoded.
    pub held: u64,
}

impl Default for Allowance {
    /// No limit.
    fn default() -> Self {
        Self { budget: u64::MAX, held: 0 }
    }
}

/// Stands for several volumes that are read one after another by each thread: the largest grain, the widest type.
pub(crate) fn together(infos: &[&VolumeInfo]) -> VolumeInfo {
    let mut all = infos[0].clone();
    for info in infos {
        all.grain.z = all.grain.z.max(info.grain.z);
        all.grain.y = all.grain.y.max(info.grain.y);
        all.grain.x = all.grain.x.max(info.grain.x);
        if info.voxel_type.bytes() > all.voxel_type.bytes() {
            all.voxel_type = info.voxel_type;
        }
    }
    all
}

/// Both have the same size in voxels.
pub(crate) fn same_extent(first: &VolumeInfo, second: &VolumeInfo) -> Result<(), AnalyzeError> {
    if first.extent == second.extent {
        return Ok(());
    }
    Err(AnalyzeError::ShapeMismatch {
        first: first.path.clone(),
        first_extent: first.extent,
        second: second.path.clone(),
        second_extent: second.extent,
    })
}

/// The largest value of a volume of probabilities, which is p = 1.
pub(crate) fn largest_probability(info: &VolumeInfo) -> Result<u32, AnalyzeError> {
    match info.voxel_type {
        VoxelType::U8 => Ok(u8::MAX.into()),
        VoxelType::U16 => Ok(u16::MAX.into()),
        found => Err(AnalyzeError::NotProbabilities { path: info.path.clone(), found }),
    }
}

/// Whole numbers from 0 on.
pub(crate) fn must_be_labels(info: &VolumeInfo) -> Result<(), AnalyzeError> {
    if info.voxel_type.is_unsigned() {
        return Ok(());
    }
    Err(AnalyzeError::NotLabels { path: info.path.clone(), found: info.voxel_type })
}

/// The part that is asked for, or all.
pub(crate) fn part_of(info: &VolumeInfo, region: Option<Region>) -> Result<Region, AnalyzeError> {
    let region = region.unwrap_or(Region::whole(info.extent));
    if region.fits(info.extent) {
        return Ok(region);
    }
    Err(VolumeError::OutOfBounds { place: Place::file(&info.path), region, extent: info.extent }.into())
}
