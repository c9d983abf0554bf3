//! What CDeep3M2's `enhance_stack.py` does, section by section: contrast from the 1st to the 99th percentile, total
//! variation with half the noise as weight, contrast from the 2nd to the 98th, 8 bits.

use std::sync::Arc;

use deep3m_volume::{Block, Region, Volume, VolumeError, VolumeInfo, VoxelType};

use super::layer::by_section;
use super::noise::noise;
use super::tv::{self, Stop};

/// Percentiles that become black and white, before and after denoising.
const BEFORE: [f64; 2] = [1.0, 99.0];
const AFTER: [f64; 2] = [2.0, 98.0];
/// As scikit-image has them where nothing is said.
const STOP: Stop = Stop::Converged { share: 2e-4, steps: 200 };

/// The volume below as CDeep3M2 prepares it. Whole sections are read.
pub(super) struct LikeCdeep3m2 {
    below: Arc<dyn Volume>,
    info: VolumeInfo,
}

impl LikeCdeep3m2 {
    pub(super) fn new(below: Arc<dyn Volume>) -> Self {
        let info = VolumeInfo { voxel_type: VoxelType::U8, ..below.info().clone() };
        Self { below, info }
    }
}

/// Grey values at these percentiles become 0 and 1; between ranks they are interpolated, as numpy does.
fn stretch(grey: &mut [f32], percent: [f64; 2]) {
    let mut sorted = grey.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |percent: f64| {
        let place = percent / 100.0 * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
        f64::from(low) + place.fract() * (f64::from(high) - f64::from(low))
    };
    if sorted.is_empty() {
        return;
    }
    let (low, high) = (at(percent[0]), at(percent[1]));
    let width = high - low;
    for value in grey {
        // A section of one value stays black.
        let share = if width > 0.0 { (f64::from(*value) - low) / width } else { 0.0 };
        *value = share.clamp(0.0, 1.0) as f32;
    }
}

/// One section.
fn enhance(grey: &mut Vec<f32>, height: usize, width: usize) {
    stretch(grey, BEFORE);
    let weight = noise(grey, height, width) / 2.0;
    tv::denoise(grey, height, width, weight, STOP);
    stretch(grey, AFTER);
    for value in grey {
        *value *= 255.0;
    }
}

impl Volume for LikeCdeep3m2 {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let extent = self.info.extent;
        let mut whole = region;
        (whole.start.y, whole.start.x) = (0, 0);
        (whole.extent.y, whole.extent.x) = (extent.y, extent.x);
        let block = self.below.read(whole)?;
        let done = by_section(&block, VoxelType::U8, |_, grey, height, width| enhance(grey, height, width));
        let mut inside = region;
        inside.start.z = 0;
        Ok(if whole == region { done } else { done.crop(inside) })
    }
}
