//! How patches are changed before the network sees them, so that it learns what stays: shape and texture, not contrast,
//! orientation or the noise of one day at the microscope.
//!
//! Geometry ([`warp`]) acts on images and labels alike, in one interpolation; [`intensity`] and [`sections`] act on the
//! images alone. Every function depends on its arguments and the random stream only.

pub mod field;
pub mod intensity;
pub mod sections;
pub mod warp;

use serde::{Deserialize, Serialize};

use crate::patch::Patch;
use crate::random::Stream;

/// What is done to patches and how much. Grey values are normalised: most lie in −1…1, with a standard deviation near
/// 0.45.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Augmentation {
    /// How patches are turned and stretched.
    pub geometry: Geometry,
    /// Contrast is multiplied by exp(±this), uniformly.
    pub contrast: f64,
    /// Brightness is shifted by ± this.
    pub brightness: f64,
    /// Gamma is exp(± this).
    pub gamma: f64,
    /// Noise of a standard deviation up to this is added.
    pub noise: f64,
    /// Probability of blurring (standard deviation 0.3 to 1.2 pixels) or sharpening.
    pub blur: f64,
    /// Where blur strikes, half of the patches are sharpened instead, by up to this; 0: never.
    pub sharpen: f64,
    /// Strength of slow changes of brightness and contrast across the patch (half of the patches).
    pub shading: f64,
    /// Probability that one to three boxes are blanked out.
    pub cutout: f64,
    /// Each section by itself: brightness ± this, contrast exp(± half of this).
    pub section_jitter: f64,
    /// Probability that one section beside the labelled one is missing (its neighbour is seen instead).
    pub missing_section: f64,
    /// Labelled objects become brighter or darker against all else, by a slow field of about this standard deviation.
    #[serde(default)]
    pub object_tone: f64,
}

/// How patches are turned and stretched.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Geometry {
    /// One of the 16 variations (flips, quarter turns, sections reversed); no pixel is interpolated.
    Variations,
    /// Any rotation and flip, sections reversed or not, scaled, stretched and bent.
    Warp {
        /// Smallest and largest factor by which a patch's footprint in the volume is scaled (log-uniform).
        scale: (f64, f64),
        /// One axis is stretched, the other shrunk, by exp(± this).
        stretch: f64,
        /// Pixels are displaced smoothly by up to about this many (70 % of the patches).
        elastic: f64,
        /// Each section beside the labelled one is shifted by up to this many pixels.
        misalignment: f64,
    },
}

impl Augmentation {
    /// The 16 variations and nothing else: CDeep3M.
    pub const VARIATIONS: Self = Self {
        geometry: Geometry::Variations,
        contrast: 0.0,
        brightness: 0.0,
        gamma: 0.0,
        noise: 0.0,
        blur: 0.0,
        sharpen: 0.0,
        shading: 0.0,
        cutout: 0.0,
        section_jitter: 0.0,
        missing_section: 0.0,
        object_tone: 0.0,
    };

    /// Deep3M's choice.
    pub const fn deep3m() -> Self {
        Self {
            geometry: Geometry::Warp { scale: (0.7, 1.4), stretch: 0.1, elastic: 4.0, misalignment: 1.0 },
            contrast: 0.2,
            brightness: 0.1,
            gamma: 0.2,
            noise: 0.1,
            blur: 0.3,
            sharpen: 1.0,
            shading: 0.05,
            cutout: 0.0,
            section_jitter: 0.05,
            missing_section: 0.05,
            object_tone: 0.2,
        }
    }

    /// Changes the grey values of a patch in place; labels stay.
    pub fn apply(&self, patch: &mut Patch, random: &mut Stream) {
        let side = patch.side;
        if self.missing_section > 0.0 {
            sections::missing(patch, self.missing_section, random);
        }
        if self.section_jitter > 0.0 {
            sections::jitter(patch, self.section_jitter, random);
        }
        if self.object_tone > 0.0 {
            intensity::object_tone(patch, self.object_tone, random);
        }
        if self.contrast > 0.0 || self.brightness > 0.0 {
            let gain = random.around_zero(self.contrast).exp();
            intensity::linear(&mut patch.image, gain, random.around_zero(self.brightness));
        }
        if self.gamma > 0.0 {
            intensity::gamma(&mut patch.image, random.around_zero(self.gamma).exp());
        }
        if self.shading > 0.0 && random.chance(0.5) {
            intensity::shading(patch, self.shading, random);
        }
        if self.blur > 0.0 && random.chance(self.blur) {
            let sigma = random.between(0.3, 1.2);
            let sharpen = (self.sharpen > 0.0 && random.chance(0.5)).then(|| random.between(0.0, self.sharpen));
            for section in patch.sections_mut() {
                intensity::blur(section, side, sigma, sharpen);
            }
        }
        if self.noise > 0.0 {
            let sigma = random.between(0.0, self.noise);
            random.add_noise(&mut patch.image, sigma as f32);
        }
        if self.cutout > 0.0 && random.chance(self.cutout) {
            intensity::cutout(patch, random);
        }
    }
}
