//! What becomes an object, and what was found.

use deep3m_volume::{Extent, Place, Region, Volume, VolumeError, VoxelSize};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use crate::objects::{Connectivity, Size};

/// What becomes an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// Voxels of at least this value are foreground. Default 128: a probability of one half in 8 bits.
    pub level: u32,
    /// Which voxels touch. Default 26.
    pub connectivity: Connectivity,
    /// Holes of up to so many voxels are filled: background that the foreground encloses (in each section, with a
    /// connectivity of sections) and that does not reach the volume's border. Default 0: none.
    pub fill_holes: u64,
    /// Smaller objects are left out. Default 1.
    pub min_voxels: u64,
    /// Larger objects are left out. Default: none.
    pub max_voxels: u64,
    /// The part that is looked at; `None` is all of it. The output has its size.
    pub region: Option<Region>,
    /// How objects that touch are told apart; `None`: not at all.
    pub watershed: Option<Watershed>,
}

/// How objects that touch are told apart: where the landscape of a foreground object has several peaks, each becomes an object
/// of its own if it rises at least h above the pass to a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watershed {
    /// What is high.
    pub landscape: Landscape,
    /// How far a peak rises at least: in nm for distances (in voxels, where the volume does not state their size), as a
    /// difference of probabilities for these.
    pub h: f64,
}

/// What is high where objects are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Landscape {
    /// The distance to the nearest background voxel: objects part at their necks. In each section, with a connectivity of
    /// sections.
    Distance,
    /// The probability, smoothed with a Gaussian: objects part where it dips.
    Probability {
        /// The Gaussian's standard deviations along z, y and x, in voxels; 0 leaves an axis as it is.
        sigmas: [f64; 3],
    },
}

/// The widest Gaussian, in voxels: what lies around a block is read for it.
const WIDEST: f64 = 32.0;

impl Default for SegmentConfig {
    fn default() -> Self {
        let (level, connectivity) = (128, Connectivity::default());
        let (min_voxels, max_voxels) = (1, u64::MAX);
        Self { level, connectivity, fill_holes: 0, min_voxels, max_voxels, region: None, watershed: None }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segmentation {
    /// Objects; they have the numbers from 1 to this.
    pub objects: u64,
    /// Voxels of all objects.
    pub voxels: u64,
    /// Voxels of the volume, or of the part that was looked at.
    pub of_voxels: u64,
    /// Voxels of the smallest object; 0 where there is none.
    pub smallest: u64,
    /// Voxels of the largest object.
    pub largest: u64,
    /// Objects at the volume's border, of which a part may be missing.
    pub at_border: u64,
    /// Holes that were filled.
    pub holes: u64,
    /// Voxels of these holes.
    pub hole_voxels: u64,
}

impl Segmentation {
    /// Counts an object.
    pub(super) fn add(&mut self, size: &Size) {
        self.objects += 1;
        self.voxels += size.voxels;
        self.largest = self.largest.max(size.voxels);
        self.smallest = if self.smallest == 0 { size.voxels } else { self.smallest.min(size.voxels) };
        self.at_border += u64::from(size.at_border);
    }
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentStep {
    /// Looking for holes.
    Holes,
    /// Measuring how deep voxels lie in their objects, or smoothing.
    Heights,
    /// Looking for objects.
    Find,
    /// Writing their numbers.
    Write,
}

impl SegmentConfig {
    /// The size of the output for a volume.
    ///
    /// # Errors
    /// A region that sticks out of the volume; settings that no object can meet.
    pub fn extent(&self, volume: &dyn Volume) -> Result<Extent, AnalyzeError> {
        Ok(self.part(volume)?.extent)
    }

    /// How often the volume is gone through.
    pub fn steps(&self) -> u64 {
        2 + u64::from(self.fill_holes > 0) + u64::from(self.watershed.is_some())
    }

    pub(super) fn part(&self, volume: &dyn Volume) -> Result<Region, AnalyzeError> {
        let info = volume.info();
        let region = self.region.unwrap_or(Region::whole(info.extent));
        if !region.fits(info.extent) {
            let place = Place::file(&info.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: info.extent }.into());
        }
        let wrong = |name, found: String, expected: &str| {
            Err(AnalyzeError::Setting { name, found, expected: expected.to_owned() })
        };
        if self.min_voxels > self.max_voxels {
            return Err(AnalyzeError::Setting {
                name: "smallest size",
                found: format!("{} voxels", self.min_voxels),
                expected: format!("at most the largest size, {} voxels", self.max_voxels),
            });
        }
        if self.level == 0 {
            return wrong("threshold", "0".into(), "more than 0: every voxel would be foreground");
        }
        if let Some(Watershed { landscape, h }) = self.watershed {
            if !h.is_finite() || h < 0.0 {
                return wrong("h", h.to_string(), "a number from 0 on");
            }
            if let Landscape::Probability { sigmas } = landscape
                && let Some(sigma) = sigmas.into_iter().find(|sigma| !(0.0..=WIDEST).contains(sigma))
            {
                return wrong("smoothing", format!("{sigma:.1} voxels"), "0 to 32 voxels along each axis");
            }
        }
        Ok(region)
    }
}

/// The size of a volume's voxels; where it states none, lengths are in voxels.
pub(super) fn spacing(volume: &dyn Volume) -> VoxelSize {
    volume.info().voxel_size.unwrap_or(VoxelSize { z_nm: 1.0, y_nm: 1.0, x_nm: 1.0 })
}
