//! Every section with the brightness and contrast of its neighbours, or of the volume.

use std::sync::Arc;

use deep3m_volume::{Block, Region, Volume, VolumeError, VolumeInfo};
use serde::{Deserialize, Serialize};

use super::layer::by_section;
use crate::AnalyzeError;
use crate::check::robust::{median, surroundings};
use crate::check::section::{Sums, sums};
use crate::tiles::Tiles;

/// What a section's brightness and contrast become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EvenTo {
    /// The median of its neighbours', five on either side: a slow change stays.
    Neighbours,
    /// The median of all sections'.
    Volume,
}

/// Grey values g become `gain` · g + `offset`, section by section.
pub(super) struct Evened {
    below: Arc<dyn Volume>,
    gains: Vec<(f32, f32)>,
    /// The largest change of a section's mean.
    pub(super) largest: f64,
}

impl Evened {
    pub(super) fn new(
        below: Arc<dyn Volume>,
        to: EvenTo,
        budget: u64,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self, AnalyzeError> {
        let info = below.info();
        let tiles = Tiles::fit(info, 8, 0, budget)?;
        let mut all = vec![Sums::default(); info.extent.z as usize];
        for slab in tiles.slabs() {
            tiles.run(
                slab,
                0,
                |part| Ok(sums(&below.read(part.core)?, part.core, info.extent)),
                |part, measured| {
                    let sections = &mut all[part.core.start.z as usize..];
                    sections.iter_mut().zip(&measured).for_each(|(section, tile)| section.add(tile));
                    Ok(())
                },
                progress,
            )?;
        }
        let means: Vec<f64> = all.iter().map(Sums::mean).collect();
        let sds: Vec<f64> = all.iter().map(Sums::sd).collect();
        let wanted = |values: &[f64]| match to {
            EvenTo::Neighbours if values.len() > 1 => surroundings(values),
            _ => vec![median(values.to_vec()); values.len()],
        };
        let (to_mean, to_sd) = (wanted(&means), wanted(&sds));
        let mut largest: f64 = 0.0;
        let gain = |z: usize| {
            // A section of one value has no contrast to raise.
            if sds[z] <= 0.0 || to_sd[z] <= 0.0 {
                return (1.0, 0.0);
            }
            largest = largest.max((to_mean[z] - means[z]).abs());
            let gain = to_sd[z] / sds[z];
            (gain as f32, (to_mean[z] - gain * means[z]) as f32)
        };
        let gains = (0..all.len()).map(gain).collect();
        Ok(Self { below, gains, largest })
    }
}

impl Volume for Evened {
    fn info(&self) -> &VolumeInfo {
        self.below.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let block = self.below.read(region)?;
        Ok(by_section(&block, self.info().voxel_type, |z, grey, _, _| {
            let (gain, offset) = self.gains[region.start.z as usize + z];
            if (gain, offset) != (1.0, 0.0) {
                for value in grey {
                    *value = gain * *value + offset;
                }
            }
        }))
    }
}
