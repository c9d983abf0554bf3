//! What can be chosen for a prediction.

use deep3m_net::Frames;
use deep3m_volume::{Binning, Extent, Region, Variation};
use serde::{Deserialize, Serialize};

use crate::plan::PlanSettings;
use crate::variations::in_turn;
use crate::{EarlyStop, PredictError, VariationCount, WorkerConfig};

/// The settings of a prediction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictConfig {
    /// Which models take part; `None`: all of the model directory.
    pub frames: Option<Vec<Frames>>,
    /// How many variations are averaged, at most.
    pub variations: VariationCount,
    /// When fewer will do; `None`: never.
    pub early_stop: Option<EarlyStop>,
    /// Whether to keep how much the passes disagree, too: in the output's folder, [`crate::DISAGREEMENT`].
    pub disagreement: bool,
    /// The part of the volume to predict; `None`: all of it. The output has the region's size, and the values that a
    /// prediction of the whole volume has there.
    pub region: Option<Region>,
    /// Whether an output of another run may be replaced.
    pub overwrite: bool,
    /// Rows and columns of a block without its context, in binned pixels; `None`: [`Self::TILE`]. Larger is faster,
    /// smaller takes less memory.
    pub tile: Option<u32>,
    /// Real context around a block, in binned pixels; `None`: [`Self::HALO`]. More makes seams fainter, and is slower.
    pub halo: Option<u32>,
    /// Mirrored context beyond the volume's border, in binned pixels; `None`: [`Self::MIRROR`].
    pub mirror: Option<u32>,
    /// Sections per block; `None`: [`Self::SLAB`].
    pub slab: Option<u32>,
    /// Sections that go through the network at once; `None`: 1. More keeps a GPU busier and takes more of its memory.
    pub batch: Option<u32>,
    /// How this process shares the output with others.
    pub workers: WorkerConfig,
    /// Blocks that are read ahead of the one in the network, 0 to 64; `None`: 1. More bridges longer waits for a slow disk.
    pub ahead: Option<u32>,
    /// Most bytes of the finished volume that are held while it is copied into another format, unless one section is
    /// more; `None`: [`Self::COPY_BYTES`].
    pub copy_bytes: Option<u64>,
    /// Whether to measure the seam when the volume is done ([`crate::measure_seam`]).
    pub seam: bool,
}

impl PredictConfig {
    /// Default size of a block in the plane, in binned pixels: as in the reference, what a network of full width does
    /// in 2 GB.
    pub const TILE: u32 = 1024;
    /// Default context, in binned pixels. The reference's 12 show seams.
    pub const HALO: u32 = 64;
    /// Default mirrored border, in binned pixels: there is nothing to learn from more of the same.
    pub const MIRROR: u32 = 16;
    /// Default number of sections per block.
    pub const SLAB: u32 = 16;
    /// Default of [`field@Self::ahead`].
    pub const AHEAD: u32 = 1;
    /// Default of [`field@Self::copy_bytes`].
    pub const COPY_BYTES: u64 = 256 << 20;
    /// Largest chunk of the output in the plane, in voxels.
    pub const CHUNK: u32 = 256;
    /// Nothing is gained by more.
    const MOST_AHEAD: u32 = 64;
    /// Above this a block's context would no longer be addressable with care for memory.
    const MOST: u32 = 1 << 16;

    /// The variations that a model of so many frames sees, at most, in their order.
    pub(crate) fn walked(&self, frames: Frames) -> Vec<Variation> {
        match self.early_stop {
            Some(_) => in_turn(frames),
            None => self.variations.for_frames(frames),
        }
    }

    /// Blocks that are read ahead.
    pub(crate) fn ahead(&self) -> u32 {
        self.ahead.unwrap_or(Self::AHEAD).min(Self::MOST_AHEAD)
    }

    /// Bytes that are held while the output is copied.
    pub(crate) fn copy_bytes(&self) -> u64 {
        self.copy_bytes.unwrap_or(Self::COPY_BYTES)
    }

    /// The block grid for a volume of this size.
    ///
    /// `margin` is the number of sections on either side that the widest model sees.
    ///
    /// # Errors
    /// [`PredictError::Setting`] for a size of zero or beyond sense.
    pub fn plan_settings(&self, extent: Extent, binning: Binning, margin: usize) -> Result<PlanSettings, PredictError> {
        let within = |name, value: Option<u32>, default: u32, least: u32| match value.unwrap_or(default) {
            value if value >= least && value <= Self::MOST => Ok(u64::from(value)),
            found => {
                Err(PredictError::Setting { name, found: found.into(), least: least.into(), most: Self::MOST.into() })
            }
        };
        within("batch", self.batch, 1, 1)?;
        if let Some(stop) = self.early_stop {
            stop.check()?;
        }
        match self.workers.lease_seconds {
            1..=WorkerConfig::LONGEST_LEASE => {}
            found => {
                let (least, most) = (1, WorkerConfig::LONGEST_LEASE.into());
                return Err(PredictError::Setting { name: "lease-seconds", found: found.into(), least, most });
            }
        }
        Ok(PlanSettings {
            extent,
            binning,
            margin: margin as u64,
            tile: within("tile", self.tile, Self::TILE, 1)?,
            halo: within("halo", self.halo, Self::HALO, 0)?,
            mirror: within("mirror", self.mirror, Self::MIRROR, 0)?,
            slab: within("slab", self.slab, Self::SLAB, 1)?,
            chunk: Self::CHUNK.into(),
        })
    }
}
