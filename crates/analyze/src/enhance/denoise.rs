//! A volume without noise, section by section.

use std::sync::Arc;

use deep3m_volume::{Block, Region, Volume, VolumeError, VolumeInfo};
use serde::{Deserialize, Serialize};

use super::layer::{by_section, widened};
use super::tv::Stop;
use super::{nlm, tv};

/// How noise is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Denoise {
    /// Total variation: fast, flat areas with sharp edges.
    Tv,
    /// Non-local means: slower, keeps fine texture.
    Nlm,
}

/// Steps of total variation; after so many, further ones change little, and a pixel depends on no others than these.
const STEPS: u32 = 40;
/// Non-local means: differences of so much of the noise still count, as scikit-image's guide recommends.
const NLM_SHARE: f64 = 0.8;

/// The volume below without its noise.
pub(super) struct Denoised {
    pub(super) below: Arc<dyn Volume>,
    pub(super) method: Denoise,
    /// Standard deviation of the noise, in grey values.
    pub(super) noise: f64,
    /// 1 is usual.
    pub(super) strength: f64,
}

impl Volume for Denoised {
    fn info(&self) -> &VolumeInfo {
        self.below.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let reach = match self.method {
            Denoise::Tv => u64::from(STEPS) + 1,
            Denoise::Nlm => nlm::REACH,
        };
        let (around, inside) = widened(region, reach, self.info().extent);
        let block = self.below.read(around)?;
        let strength = self.strength * self.noise;
        let done = by_section(&block, self.info().voxel_type, |_, grey, height, width| match self.method {
            Denoise::Tv => tv::denoise(grey, height, width, strength, Stop::After(STEPS)),
            Denoise::Nlm => nlm::denoise(grey, height, width, self.noise, NLM_SHARE * strength),
        });
        Ok(if around == region { done } else { done.crop(inside) })
    }
}
