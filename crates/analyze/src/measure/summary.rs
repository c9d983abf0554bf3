//! All objects together.

use deep3m_volume::VoxelSize;
use serde::Serialize;

use super::{Measured, MeasuredObject};

/// All objects together. What needs the size of voxels is `None` without it; so is what has no meaning without objects.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MeasureSummary {
    /// Objects that were measured.
    pub objects: u64,
    /// Objects that were too small.
    pub left_out: u64,
    /// Objects at the border, of which a part may be missing.
    pub at_border: u64,
    /// Voxels of all objects.
    pub voxels: u64,
    /// Voxels that were looked at.
    pub of_voxels: u64,
    /// The objects' share of what was looked at.
    pub volume_fraction: f64,
    /// The size of a voxel.
    pub voxel_size: Option<VoxelSize>,
    /// The volume of all objects.
    pub volume_um3: Option<f64>,
    /// The surface of all objects.
    pub surface_um2: Option<f64>,
    /// The mean number of voxels.
    pub mean_voxels: Option<f64>,
    /// The median number of voxels.
    pub median_voxels: Option<f64>,
    /// The mean volume.
    pub mean_volume_um3: Option<f64>,
    /// The median volume.
    pub median_volume_um3: Option<f64>,
    /// The median diameter of spheres of the objects' volumes.
    pub median_diameter_nm: Option<f64>,
    /// The median sphericity.
    pub median_sphericity: Option<f64>,
    /// The median distance from an object's middle to the nearest other.
    pub median_nearest_nm: Option<f64>,
    /// Voxels of objects whose grey value is no finite number.
    pub without_intensity: u64,
}

impl Measured {
    /// All objects together.
    pub fn summary(&self) -> MeasureSummary {
        let objects = &self.objects;
        let voxels = objects.iter().map(|object| object.voxels).sum::<u64>();
        let median = |value: &dyn Fn(&MeasuredObject) -> Option<f64>| median(objects.iter().filter_map(value));
        let voxel_um3 = self.voxel_size.map(|size| size.z_nm * size.y_nm * size.x_nm / 1e9);
        let sized = |value: Option<f64>| value.filter(|_| self.voxel_size.is_some());
        let mean_voxels = (!objects.is_empty()).then(|| voxels as f64 / objects.len() as f64);
        let median_voxels = median(&|o| Some(o.voxels as f64));
        MeasureSummary {
            objects: objects.len() as u64,
            left_out: self.left_out,
            at_border: objects.iter().filter(|object| object.at_border).count() as u64,
            voxels,
            of_voxels: self.of_voxels,
            volume_fraction: voxels as f64 / self.of_voxels.max(1) as f64,
            voxel_size: self.voxel_size,
            volume_um3: voxel_um3.map(|volume| volume * voxels as f64),
            surface_um2: sized(Some(objects.iter().map(|object| object.surface * 1e-6).sum())),
            mean_voxels,
            median_voxels,
            mean_volume_um3: voxel_um3.and_then(|volume| Some(volume * mean_voxels?)),
            median_volume_um3: voxel_um3.and_then(|volume| Some(volume * median_voxels?)),
            median_diameter_nm: sized(median(&|o| Some(o.equivalent_diameter()))),
            median_sphericity: median(&MeasuredObject::sphericity),
            median_nearest_nm: sized(median(&|o| o.nearest.map(|(_, distance)| distance))),
            without_intensity: self.without_intensity,
        }
    }
}

/// The middle value, or the mean of the two in the middle.
fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        n if n % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(super::median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(super::median([4.0, 1.0, 2.0, 3.0].into_iter()), Some(2.5));
        assert_eq!(super::median(std::iter::empty()), None);
    }
}
