//! The grey values of the training images: their range, for a normalisation that fits every dose and detector.

use deep3m_net::Normalisation;
use deep3m_volume::{Greys, Region, VolumeInfo};

use crate::{LabelledVolume, TrainError};

/// At most so many sections, evenly spaced over all volumes, are looked at.
const SECTIONS: u64 = 32;
/// Percentiles of the grey values between which normalised values lie in −1…1: dust and empty borders stay outside.
const PERCENTILES: [f64; 2] = [1.0, 99.0];

/// The normalisation that brings most grey values of these images into −1…1. All images are of one type.
pub fn estimate(volumes: &[LabelledVolume]) -> Result<Normalisation, TrainError> {
    let first = volumes.first().ok_or(TrainError::NoVolumes)?.images.info();
    let sections: u64 = volumes.iter().map(|v| v.images.info().extent.z).sum();
    let step = sections.div_ceil(SECTIONS).max(1);
    let expected = volumes.iter().map(|v| v.images.info().extent).map(|e| e.z.div_ceil(step) * e.y * e.x).sum();
    let not_grey = |info: &VolumeInfo| TrainError::ImageType { path: info.path.clone(), found: info.voxel_type };
    let mut greys = Greys::new(first.voxel_type, expected).ok_or_else(|| not_grey(first))?;
    let mut before = 0_u64;
    for volume in volumes {
        let info = volume.images.info();
        let start = before.div_ceil(step) * step - before;
        for z in (start..info.extent.z).step_by(step as usize) {
            if !greys.add(volume.images.read(Region::section(info.extent, z))?.voxels()) {
                return Err(not_grey(info));
            }
        }
        before += info.extent.z;
    }
    let flat = |value: f32| TrainError::Flat { path: first.path.clone(), value };
    let [darkest, brightest] = greys.percentiles([0.0, 100.0]).ok_or_else(|| flat(f32::NAN))?;
    if darkest == brightest {
        return Err(flat(darkest));
    }
    let percentiles = greys.percentiles(PERCENTILES).ok_or_else(|| flat(f32::NAN))?;
    Normalisation::between_percentiles(percentiles).map_err(|_| flat(percentiles[0]))
}
