//! How much blocks can be seen: the difference at their borders against a prediction in one piece.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use deep3m_volume::{Extent, Index, Region, Volume};
use serde::{Deserialize, Serialize};

use crate::context::prepare;
use crate::forward::Outcome;
use crate::parts::Parts;
use crate::plan::{Plan, PlannedBlock};
use crate::run::plan;
use crate::{Ensemble, PredictConfig, PredictError};

/// Voxels at most this far from a border count as near it.
const NEAR: u64 = 16;
/// Half the window's size, in binned pixels.
const HALF: u64 = 96;
/// Context of the piece, in binned pixels beyond the window: more than the halo of blocks.
const CONTEXT: u64 = 192;
/// Sections looked at.
const SECTIONS: u64 = 3;

/// The difference between a prediction in blocks and one in one piece, in units of probability (0 to 1), on a window
/// around a place where blocks meet.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Seam {
    /// The middle of the window.
    pub at: Index,
    /// Voxels within 16 of a border.
    pub near_voxels: u64,
    /// Mean absolute difference there.
    pub near_mean: f64,
    /// Largest absolute difference there.
    pub near_max: f64,
    /// Voxels of the window farther from a border.
    pub away_voxels: u64,
    /// Mean absolute difference there: what changes when the network sees other surroundings at all.
    pub away_mean: f64,
    /// Largest absolute difference there.
    pub away_max: f64,
}

impl fmt::Display for Seam {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "mean difference to a prediction in one piece {:.4} at block borders, {:.4} away from them (largest {:.2}, {:.2})",
            self.near_mean, self.away_mean, self.near_max, self.away_max
        )
    }
}

/// Predicts a window in which blocks meet in one piece, and compares it with what blocks gave.
///
/// `prediction` is what [`crate::predict()`] wrote with these settings. `None` where no two blocks meet in the plane.
/// It costs three sections of the size of a small tile.
///
/// # Errors
/// As [`crate::predict()`].
pub fn measure_seam(
    ensemble: &Ensemble,
    volume: &dyn Volume,
    prediction: &dyn Volume,
    config: &PredictConfig,
) -> Result<Option<Seam>, PredictError> {
    let plan = plan(ensemble, volume, config)?;
    let region = config.region.unwrap_or(Region::whole(plan.settings().extent));
    let Some(at) = meeting(&plan, region) else { return Ok(None) };
    let (binning, extent) = (plan.settings().binning, prediction.info().extent);
    if extent != region.extent {
        let path = PathBuf::from(&prediction.info().path);
        return Err(PredictError::Region { path, region, extent });
    }
    let grey = ensemble.grey(volume)?;
    let forward = ensemble.forward(&PredictConfig { disagreement: false, ..config.clone() });
    let half = |bin: u32| HALF * u64::from(bin);
    let start = Index::new(at.z, at.y.saturating_sub(half(binning.y)), at.x.saturating_sub(half(binning.x)));
    let wanted = Extent::new(SECTIONS, at.y + half(binning.y) - start.y, at.x + half(binning.x) - start.x);
    let Some(window) = Region::new(start, wanted).intersect(&region) else { return Ok(None) };
    let halo = CONTEXT.max(2 * plan.settings().halo);
    let piece = PlannedBlock { number: 0, core: window, context: plan.context_with(window, halo) };
    let context = prepare(volume, binning, &piece.context, &*grey.apply, &mut Vec::new())?;
    let sections = window.start.z..window.end().z;
    let outcome = forward.block(&piece, &context, sections, &Parts::none(), &mut Duration::default(), &mut |_| true)?;
    let Outcome::Done(whole) = outcome else { return Err(PredictError::NotFinite { block: window }) };
    let origin = region.start;
    let local = Index::new(window.start.z - origin.z, window.start.y - origin.y, window.start.x - origin.x);
    let blocks = prediction.read(Region::new(local, window.extent))?;
    let borders = plan.borders(window);
    let mut near = Sum::default();
    let mut away = Sum::default();
    let differences = whole.probability.voxels().iter().zip(blocks.voxels().iter()).map(|(a, b)| a.abs_diff(b));
    for (voxel, difference) in window.tiles(Extent::new(1, 1, 1)).zip(differences) {
        let is_near = borders.distance(voxel.start).is_some_and(|distance| distance < NEAR);
        if is_near { &mut near } else { &mut away }.add(difference);
    }
    Ok(Some(Seam {
        at,
        near_voxels: near.count,
        near_mean: near.mean(),
        near_max: near.max(),
        away_voxels: away.count,
        away_mean: away.mean(),
        away_max: away.max(),
    }))
}

/// The place in a region where blocks meet that is nearest to its middle: a corner, else a border.
fn meeting(plan: &Plan, region: Region) -> Option<Index> {
    let borders = plan.borders(region);
    if borders.y.is_empty() && borders.x.is_empty() {
        return None;
    }
    let nearest = |borders: &[u64], start: u64, size: u64| {
        let middle = start + size / 2;
        borders.iter().copied().min_by_key(|border| border.abs_diff(middle)).unwrap_or(middle)
    };
    let (start, extent) = (region.start, region.extent);
    Some(Index::new(
        start.z + extent.z / 2,
        nearest(&borders.y, start.y, extent.y),
        nearest(&borders.x, start.x, extent.x),
    ))
}

/// Differences of bytes, counted.
#[derive(Default)]
struct Sum {
    count: u64,
    total: u64,
    largest: u32,
}

impl Sum {
    fn add(&mut self, difference: u32) {
        self.count += 1;
        self.total += u64::from(difference);
        self.largest = self.largest.max(difference);
    }

    fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.total as f64 / self.count as f64 / 255.0 }
    }

    fn max(&self) -> f64 {
        f64::from(self.largest) / 255.0
    }
}
