//! The objects of a volume, told apart as the settings say.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use deep3m_volume::{Block, Region, Volume, Voxels};

use super::config::{Landscape, SegmentConfig, SegmentStep, Segmentation, Watershed, spacing};
use super::plan::Plan;
use crate::AnalyzeError;
use crate::objects::{Connectivity, Found, Grid, Mask, Size, Tally, find};
use crate::smooth::Gaussian;
use crate::watershed::{Around, Heights, Sheds, Unit, distances, smoothed};

/// Objects with their numbers.
pub(super) struct Numbered<'a> {
    grid: &'a Grid,
    mask: &'a dyn Mask,
    connectivity: Connectivity,
    found: By,
}

enum By {
    Components(Found<Size>),
    Watershed { heights: Heights, sheds: Sheds },
}

impl<'a> Numbered<'a> {
    /// Finds the objects of a mask of a part of a volume.
    pub(super) fn find(
        volume: &dyn Volume,
        region: Region,
        mask: &'a dyn Mask,
        config: &SegmentConfig,
        plan: &'a Plan,
        scratch: Option<&Path>,
        progress: &mut dyn FnMut(SegmentStep, u64) -> bool,
    ) -> Result<Self, AnalyzeError> {
        let (grid, connectivity) = (&plan.grid, config.connectivity);
        let keep = |size: &Size| (config.min_voxels..=config.max_voxels).contains(&size.voxels);
        let found = if let Some(Watershed { landscape, h }) = config.watershed {
            let mut go_on = |voxels| progress(SegmentStep::Heights, voxels);
            let (heights, unit) = match landscape {
                Landscape::Distance => {
                    let (spacing, flat) = (spacing(volume), connectivity.is_flat());
                    let heights = distances(mask, grid, spacing, flat, scratch, plan.room, &mut go_on)?;
                    (heights, Unit::of_distances(spacing))
                }
                Landscape::Probability { sigmas } => {
                    let one = volume.info().voxel_type.full_scale() as u32;
                    let of = Around { volume, start: region.start, one };
                    let gaussian = Gaussian::new(sigmas);
                    (smoothed(mask, grid, of, &gaussian, scratch, &mut go_on)?, Unit::OF_PROBABILITIES)
                }
            };
            let mut go_on = |voxels| progress(SegmentStep::Find, voxels);
            let path = mask.path();
            let sheds = crate::watershed::find(path, &heights, grid, connectivity, unit.steps(h), keep, &mut go_on)?;
            By::Watershed { heights, sheds: sheds.ok_or(AnalyzeError::Interrupted)? }
        } else {
            let mut go_on = |voxels| progress(SegmentStep::Find, voxels);
            By::Components(find(mask, grid, connectivity, keep, &mut go_on)?.ok_or(AnalyzeError::Interrupted)?)
        };
        Ok(Self { grid, mask, connectivity, found })
    }

    /// Counts the objects.
    pub(super) fn count(&self, into: &mut Segmentation) {
        self.for_objects(|size| into.add(size));
    }

    /// A number that is the same for the same objects: of their places and sizes.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.for_objects(|size| (size.first(), size.voxels).hash(&mut hasher));
        hasher.finish()
    }

    fn for_objects(&self, hear: impl FnMut(&Size)) {
        match &self.found {
            By::Components(found) => found.objects.iter().for_each(hear),
            By::Watershed { sheds, .. } => sheds.objects().for_each(hear),
        }
    }

    /// The numbers of the voxels of a block.
    pub(super) fn draw(&self, core: &Region) -> Result<Block, AnalyzeError> {
        let (mask, grid, connectivity) = (self.mask, self.grid, self.connectivity);
        let drawn = match &self.found {
            By::Components(found) => found.draw(mask, grid, connectivity, grid.widened(core), core.extent)?,
            By::Watershed { heights, sheds } => sheds.draw(mask.path(), heights, grid, connectivity, core)?,
        };
        Ok(Block::new(core.extent, Voxels::U32(drawn)))
    }
}
