//! What a phantom shall look like.

use deep3m_volume::{Extent, VoxelSize};
use serde::{Deserialize, Serialize};

use crate::PhantomError;

/// The settings of a phantom; the same settings make the same bytes on every machine.
///
/// Densities are the share of sites that are occupied, from 0 (none) to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PhantomConfig {
    /// Size in voxels. Default 64 × 512 × 512.
    pub shape: Extent,
    /// Another seed gives other tissue. Default 1.
    pub seed: u64,
    /// Size of a voxel. Default 30 × 8 × 8 nm, as in serial block-face electron microscopy.
    pub voxel_size: VoxelSize,
    /// Mean diameter of the cell processes in nm. Default 620.
    pub process_nm: f64,
    /// Mitochondria, 240–540 nm thick. Default 1: about a tenth of the volume.
    pub mitochondria: f64,
    /// Clusters of synaptic vesicles, 35–43 nm in diameter. Default 0.8.
    pub vesicles: f64,
    /// Nuclei, about 1.4 µm in diameter (small ones, so that a small phantom has some). Default 0.8.
    pub nuclei: f64,
    /// Layers of equal thickness along the rows (y), as of a cortex: in each this share of the nuclei. Default none, as
    /// many everywhere.
    pub layers: Vec<f64>,
    /// What is dark or striped and no mitochondrion: myelin, lysosomes, endoplasmic reticulum, dark processes.
    /// Default 0.7.
    pub distractors: f64,
    /// Largest shift of a section in y and x, in nm. Default 8.
    pub section_jitter_nm: f64,
    /// Largest change of a section's contrast, as a share; its brightness changes by half of it. Default 0.06.
    pub section_contrast: f64,
    /// Standard deviation of the noise in mid-grey, as a share of the grey range; the brighter, the noisier. Default 0.06.
    pub noise: f64,
    /// Standard deviation of the blur in the plane, in nm. Default 7.
    pub blur_nm: f64,
    /// Contrast of the tissue: its grey values' distance from mid-grey is multiplied by this. Default 1.
    pub contrast: f64,
    /// How many annotators draw the mitochondria, each in a way of their own. Default 0.
    pub annotators: u32,
}

impl Default for PhantomConfig {
    fn default() -> Self {
        Self {
            shape: Extent::new(64, 512, 512),
            seed: 1,
            voxel_size: VoxelSize { z_nm: 30.0, y_nm: 8.0, x_nm: 8.0 },
            process_nm: 620.0,
            mitochondria: 1.0,
            vesicles: 0.8,
            nuclei: 0.8,
            layers: vec![],
            distractors: 0.7,
            section_jitter_nm: 8.0,
            section_contrast: 0.06,
            noise: 0.06,
            blur_nm: 7.0,
            contrast: 1.0,
            annotators: 0,
        }
    }
}

impl PhantomConfig {
    /// Checks every setting against its range.
    ///
    /// # Errors
    /// [`PhantomError::Setting`] names the first that is out of range.
    pub fn validate(&self) -> Result<(), PhantomError> {
        let fail = |name: &'static str, found: String, expected: &'static str| {
            Err(PhantomError::Setting { name, found, expected })
        };
        if self.shape.is_empty() || self.shape.to_array().iter().any(|&n| n > MAX_SIDE) {
            return fail("shape", self.shape.to_string(), "1 to 1048576 voxels along each axis");
        }
        for (name, v, low, high, expected) in [
            ("voxel size z", self.voxel_size.z_nm, 1.0, 200.0, "1 to 200 nm"),
            ("voxel size y", self.voxel_size.y_nm, 1.0, 100.0, "1 to 100 nm"),
            ("voxel size x", self.voxel_size.x_nm, 1.0, 100.0, "1 to 100 nm"),
            ("process_nm", self.process_nm, 300.0, 5000.0, "300 to 5000 nm"),
            ("mitochondria", self.mitochondria, 0.0, 1.0, "0 (none) to 1"),
            ("vesicles", self.vesicles, 0.0, 1.0, "0 (none) to 1"),
            ("nuclei", self.nuclei, 0.0, 1.0, "0 (none) to 1"),
            ("distractors", self.distractors, 0.0, 1.0, "0 (none) to 1"),
            ("section_jitter_nm", self.section_jitter_nm, 0.0, 200.0, "0 to 200 nm"),
            ("section_contrast", self.section_contrast, 0.0, 0.5, "0 to 0.5"),
            ("noise", self.noise, 0.0, 0.5, "0 to 0.5"),
            ("blur_nm", self.blur_nm, 0.0, 100.0, "0 to 100 nm"),
            ("contrast", self.contrast, 0.1, 2.0, "0.1 to 2"),
            ("annotators", f64::from(self.annotators), 0.0, f64::from(MAX_ANNOTATORS), "0 to 9"),
        ] {
            // Not a number fails this too.
            if !(low..=high).contains(&v) {
                return fail(name, v.to_string(), expected);
            }
        }
        if let Some(share) = self.layers.iter().find(|v| !(0.0..=1.0).contains(*v)) {
            return fail("layers", share.to_string(), "0 (no nuclei) to 1 in each layer");
        }
        Ok(())
    }

    /// The chance that a site of a nucleus at `y_nm` is occupied. Above and below the phantom its outer layers go on.
    pub(crate) fn nuclei_at(&self, y_nm: f64) -> f64 {
        if self.layers.is_empty() {
            return self.nuclei;
        }
        let height = self.shape.y as f64 * self.voxel_size.y_nm;
        let layer = (y_nm / height * self.layers.len() as f64).max(0.0) as usize;
        self.nuclei * self.layers[layer.min(self.layers.len() - 1)]
    }
}

/// Each has a label volume; one digit names it.
const MAX_ANNOTATORS: u32 = 9;

/// Longest side of a phantom, so that no coordinate comes near the limits of its number.
const MAX_SIDE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid_and_bad_settings_are_named() {
        assert!(PhantomConfig::default().validate().is_ok());
        let bad = PhantomConfig { noise: f64::NAN, ..PhantomConfig::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("noise is NaN; expected 0 to 0.5"));
        let bad = PhantomConfig { shape: Extent::new(1, 0, 5), ..PhantomConfig::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("shape is 1 × 0 × 5"));
        let bad = PhantomConfig { layers: vec![1.0, 1.5], ..PhantomConfig::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("layers is 1.5"));
        let bad = PhantomConfig { annotators: 10, ..PhantomConfig::default() };
        assert!(bad.validate().unwrap_err().to_string().contains("annotators is 10"));
    }

    #[test]
    fn layers_lie_one_below_the_other() {
        let layers = vec![1.0, 0.25];
        let config = PhantomConfig { shape: Extent::new(5, 100, 50), nuclei: 0.8, layers, ..PhantomConfig::default() };
        for (y_nm, chance) in [(-900.0, 0.8), (0.0, 0.8), (399.0, 0.8), (401.0, 0.2), (799.0, 0.2), (5000.0, 0.2)] {
            assert_eq!(config.nuclei_at(y_nm), chance, "{y_nm}");
        }
    }

    #[test]
    fn settings_may_be_given_in_part() {
        let config: PhantomConfig = serde_json::from_str(r#"{"seed": 9}"#).unwrap();
        assert_eq!(config, PhantomConfig { seed: 9, ..PhantomConfig::default() });
        assert!(serde_json::from_str::<PhantomConfig>(r#"{"sed": 9}"#).is_err());
    }
}
