//! Patches straight from the volumes: which place, how turned.

mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use source::{Border, Source};

use crate::augment::warp::{Footprint, Warp};
use crate::augment::{Augmentation, Geometry};
use crate::patch::Patch;
use crate::random::Stream;
use crate::{TrainError, random};

/// Draws are given up after so many refusals and the last patch is taken: labels so sparse that it happens are as good
/// as any.
const MOST_DRAWS: usize = 1000;

/// Which places are trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sampling {
    /// CDeep3M's: a place where the patch lies inside, uniformly; kept if the pixel in its middle is foreground, with the
    /// given probability if it is background; else drawn anew.
    Accept {
        /// Probability of keeping a patch whose middle is background.
        background: f64,
    },
    /// A share of the patches lies around a foreground voxel (uniform over all of them, up to a quarter of the patch off
    /// its middle), the others anywhere, borders as often as the middle.
    NearForeground {
        /// The share around foreground, 0 to 1.
        share: f64,
    },
}

/// The position `i` on an axis of `n` positions, mirrored at the first and last (which are not repeated): −1 becomes 1.
///
/// # Panics
/// If `n` is 0.
pub fn mirror(i: i64, n: u64) -> u64 {
    assert!(n > 0, "an axis without positions");
    if n == 1 {
        return 0;
    }
    let period = 2 * (n as i64 - 1);
    let folded = i.rem_euclid(period) as u64;
    folded.min(period as u64 - folded)
}

/// Where a patch lies: a section and the pixel (as the network sees them) in its middle.
struct Place<'a> {
    source: &'a Source,
    z: u64,
    y: f64,
    x: f64,
}

/// Draws patches from labelled volumes.
pub struct Sampler {
    sources: Arc<Vec<Source>>,
    /// Share of the draws up to and with each source.
    shares: Vec<f64>,
    sampling: Sampling,
    augmentation: Augmentation,
    frames: usize,
    side: usize,
}

impl Sampler {
    /// A sampler of patches of `frames` sections and `side` × `side` pixels as the network sees them.
    ///
    /// CDeep3M's sampling draws every volume equally often, the other by its number of labelled voxels.
    ///
    /// # Panics
    /// If there is no source.
    pub fn new(
        sources: Arc<Vec<Source>>,
        sampling: Sampling,
        augmentation: Augmentation,
        frames: usize,
        side: usize,
    ) -> Self {
        assert!(!sources.is_empty(), "a sampler needs a source");
        let weight = |source: &Source| match sampling {
            Sampling::Accept { .. } => 1.0,
            Sampling::NearForeground { .. } => source.labelled() as f64,
        };
        let total: f64 = sources.iter().map(weight).sum();
        let shares = sources
            .iter()
            .scan(0.0, |sum, source| {
                *sum += weight(source) / total;
                Some(*sum)
            })
            .collect();
        Self { sources, shares, sampling, augmentation, frames, side }
    }

    /// Draws a patch; the same stream gives the same patch.
    pub fn draw(&self, random: &mut Stream) -> Result<Patch, TrainError> {
        let mut patch = match self.sampling {
            Sampling::Accept { background } => self.accepted(background, random)?,
            Sampling::NearForeground { share } => self.near_foreground(share, random)?,
        };
        self.augmentation.apply(&mut patch, random);
        Ok(patch)
    }

    fn accepted(&self, background: f64, random: &mut Stream) -> Result<Patch, TrainError> {
        let mut draws = 0;
        loop {
            let footprint = self.footprint(random);
            let source = self.source(random);
            let place = match source.draw_known(random)? {
                Some((z, y, x)) => self.inside(source, footprint, z, y, x),
                None => self.anywhere_inside(source, footprint, random),
            };
            let patch = self.cut(&place, footprint, random)?;
            draws += 1;
            let kept = match patch.centre() {
                Some(true) => true,
                Some(false) => random.chance(background),
                None => false,
            };
            if kept || draws == MOST_DRAWS {
                return Ok(patch);
            }
        }
    }

    fn near_foreground(&self, share: f64, random: &mut Stream) -> Result<Patch, TrainError> {
        let mut draws = 0;
        loop {
            let footprint = self.footprint(random);
            let near = random.chance(share);
            let source = self.source(random);
            let quarter = self.side as f64 / 4.0;
            let (z, y, x) = match if near { source.draw_foreground(random)? } else { None } {
                Some((z, y, x)) => (z, y + random.around_zero(quarter), x + random.around_zero(quarter)),
                None => match source.draw_known(random)? {
                    Some((z, y, x)) => (z, y + random.around_zero(quarter), x + random.around_zero(quarter)),
                    None => source.draw_any(random),
                },
            };
            let patch = self.cut(&self.inside(source, footprint, z, y, x), footprint, random)?;
            draws += 1;
            if draws == MOST_DRAWS || patch.known.iter().any(|k| *k > 0.0) {
                return Ok(patch);
            }
        }
    }

    fn footprint(&self, random: &mut Stream) -> Footprint {
        match self.augmentation.geometry {
            Geometry::Variations => Footprint::draw((1.0, 1.0), random),
            Geometry::Warp { scale, .. } => Footprint::draw(scale, random),
        }
    }

    fn source(&self, random: &mut Stream) -> &Source {
        let at = random.unit();
        let found = self.shares.partition_point(|&share| share <= at);
        &self.sources[found.min(self.sources.len() - 1)]
    }

    /// A place such that the upright patch lies inside, uniformly; the middle where the section is smaller.
    fn anywhere_inside<'a>(&self, source: &'a Source, footprint: Footprint, random: &mut Stream) -> Place<'a> {
        let half = footprint.half(self.side);
        let axis = |size: usize, random: &mut Stream| {
            let room = size as f64 - 2.0 * half;
            if room < 0.0 {
                return (size as f64 - 1.0) / 2.0;
            }
            match self.augmentation.geometry {
                // Whole pixels: as many places as there are.
                Geometry::Variations => half - 0.5 + random.below(room as u64 + 1) as f64,
                Geometry::Warp { .. } => half - 0.5 + random.between(0.0, room),
            }
        };
        let (height, width) = source.size();
        let z = random.below(source.depth());
        Place { source, z, y: axis(height, random), x: axis(width, random) }
    }

    /// The nearest place such that the upright patch lies inside.
    fn inside<'a>(&self, source: &'a Source, footprint: Footprint, z: u64, y: f64, x: f64) -> Place<'a> {
        let half = footprint.half(self.side);
        let axis = |at: f64, size: usize| {
            let (low, high) = (half - 0.5, size as f64 - half - 0.5);
            if low > high { (size as f64 - 1.0) / 2.0 } else { at.clamp(low, high) }
        };
        let (height, width) = source.size();
        Place { source, z, y: axis(y, height), x: axis(x, width) }
    }

    fn cut(&self, place: &Place<'_>, footprint: Footprint, random: &mut Stream) -> Result<Patch, TrainError> {
        let Place { source, z, y, x } = *place;
        match self.augmentation.geometry {
            Geometry::Variations => {
                let variation = random::variation(random);
                // A place on a pixel gives the patch with that pixel at `side / 2`.
                let first = |at: f64| (at - (self.side as f64 - 1.0) / 2.0).floor() as i64;
                source.cut(variation, z, (first(y), first(x)), self.frames, self.side)
            }
            geometry @ Geometry::Warp { .. } => {
                let warp = Warp::draw(&geometry, footprint, (y, x), (self.side, self.frames), random);
                source.warped(warp, z, self.frames)
            }
        }
    }
}
