//! The grey values of the training images: their range, for a normalisation that fits every dose and detector.

use deep3m_net::Normalisation;
use deep3m_volume::{Region, VoxelType, Voxels};

use crate::{LabelledVolume, TrainError};

/// At most so many sections, evenly spaced over all volumes, are looked at.
const SECTIONS: u64 = 32;
/// Percentiles of the grey values between which normalised values lie in −1…1: dust and empty borders stay outside.
const PERCENTILES: (f64, f64) = (1.0, 99.0);

/// The normalisation that brings most grey values of these images into −1…1.
pub fn estimate(volumes: &[LabelledVolume]) -> Result<Normalisation, TrainError> {
    let mut counts = vec![0_u64; 1 << 16];
    let sections: u64 = volumes.iter().map(|v| v.images.info().extent.z).sum();
    let step = sections.div_ceil(SECTIONS).max(1);
    let mut before = 0_u64;
    for volume in volumes {
        let info = volume.images.info();
        if info.voxel_type == VoxelType::U32 {
            return Err(TrainError::ImageType { path: info.path.clone(), found: info.voxel_type });
        }
        let first = before.div_ceil(step) * step - before;
        for z in (first..info.extent.z).step_by(step as usize) {
            match volume.images.read(Region::section(info.extent, z))?.voxels() {
                Voxels::U8(voxels) => voxels.iter().for_each(|&v| counts[v as usize] += 1),
                Voxels::U16(voxels) => voxels.iter().for_each(|&v| counts[v as usize] += 1),
                other => other.iter().for_each(|v| counts[v.min(0xffff) as usize] += 1),
            }
        }
        before += info.extent.z;
    }
    let mut present = counts.iter().enumerate().filter(|(_, c)| **c > 0).map(|(v, _)| v as u32);
    if let (Some(value), None) = (present.next(), present.next()) {
        let path = volumes.first().map(|v| v.images.info().path.clone()).unwrap_or_default();
        return Err(TrainError::Flat { path, value });
    }
    Normalisation::from_percentiles(&counts, PERCENTILES.0, PERCENTILES.1).map_err(|_| TrainError::Flat {
        path: volumes.first().map(|v| v.images.info().path.clone()).unwrap_or_default(),
        value: 0,
    })
}
