//! How far the surfaces of a prediction and of the truth lie apart.
//!
//! The surface of a mask is its voxels with background at one of their six faces; beyond the border of what is compared there is
//! background. From the middle of each surface voxel the distance to the nearest surface voxel of the other mask is taken, both
//! ways. As in MONAI: the mean surface distance is the mean over all of them, the Hausdorff distance the larger of the two
//! ways' largest, and the 95 % Hausdorff distance the larger of the two ways' 95th percentiles (between two values linearly).
//!
//! Most surfaces are near each other: a block is read with a little around it, and whatever is nearer than that is exact. For the
//! rest, the volume is divided into bricks, of which those with surface are known by then, and searched from the nearest on.

mod distances;
mod edges;
mod far;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use deep3m_volume::{Extent, Index, Region, Volume, VoxelSize};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use crate::distance::squares_to;
use crate::inputs::{Allowance, must_be_labels, part_of, same_extent, together};
use crate::labels::LabelRule;
use crate::walk::{Part, Walk, surroundings};

use distances::Distances;
use edges::{EDGE_BYTES, Edges, Masks};
use far::{Bricks, Seeker};

/// How far around a block its surfaces are looked for at first, in pitches of the finest axis.
const NEAR: f64 = 16.0;
/// Bytes of a voxel while distances are taken, besides its values and surfaces: a square, and where one voxel in two is surface
/// that has no partner nearby, its place and the best so far.
const DISTANCE_BYTES: u64 = 8 + 16;
/// Whose surface: the marks of bricks.
const SIDES: [u8; 2] = [far::PREDICTION, far::TRUTH];

/// Which surfaces are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SurfaceConfig {
    /// The lowest value of the prediction that is foreground.
    pub level: u32,
    /// The part that is compared; `None` is all of it.
    pub region: Option<Region>,
    /// The label value that is foreground; `None`: every value but 0.
    pub foreground: Option<u32>,
    /// A label value whose voxels are background in both: not annotated.
    pub ignore: Option<u32>,
    /// The size of voxels; `None` measures in voxels.
    pub voxel_size: Option<VoxelSize>,
}

/// How far two surfaces lie apart. Without a surface on one side there is no distance: `None`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SurfaceDistances {
    /// What distances are in.
    pub unit: LengthUnit,
    /// The mean over all surface voxels of both.
    pub mean: Option<f64>,
    /// The larger of the two 95th percentiles.
    pub hausdorff_95: Option<f64>,
    /// The larger of the two largest.
    pub hausdorff: Option<f64>,
    /// From the prediction's surface to the nearest of the truth.
    pub prediction_to_truth: OneWay,
    /// From the truth's surface to the nearest of the prediction.
    pub truth_to_prediction: OneWay,
}

/// Distances from one surface to the other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OneWay {
    /// Surface voxels that distances are taken from.
    pub voxels: u64,
    /// Their mean distance.
    pub mean: Option<f64>,
    /// What 95 % of them do not exceed.
    pub percentile_95: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
}

/// What a length is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LengthUnit {
    /// Nanometres.
    Nm,
    /// Voxels, where their size is not known.
    Voxels,
}

impl fmt::Display for LengthUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nm => "nm",
            Self::Voxels => "voxels",
        })
    }
}

/// Measures how far the surfaces of a prediction and of the truth lie apart, exactly, whatever the blocks. Memory is some blocks
/// per thread, and a few bytes for each brick of 16 × 64 × 64 voxels with surface. `progress` hears the voxels of each block, which
/// are gone through twice ([`SurfaceDistances::PASSES`]); with a false it ends.
///
/// # Errors
/// [`AnalyzeError::ShapeMismatch`], a region that sticks out, [`AnalyzeError::NotLabels`]; [`AnalyzeError::Memory`];
/// [`AnalyzeError::Interrupted`] when told to stop; what reading met.
pub fn surface_distances(
    prediction: &dyn Volume,
    truth: &dyn Volume,
    config: &SurfaceConfig,
    memory: Allowance,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<SurfaceDistances, AnalyzeError> {
    let (p, t) = (prediction.info(), truth.info());
    same_extent(p, t)?;
    must_be_labels(p)?;
    must_be_labels(t)?;
    let region = part_of(p, config.region)?;
    let rule = LabelRule { foreground: config.foreground, ignore: config.ignore }.validate()?;
    let masks = Masks { prediction, truth, level: config.level, rule, region };
    let grid = Grid::new(config.voxel_size);
    let bytes = (p.voxel_type.bytes() + t.voxel_type.bytes()) as u64 + EDGE_BYTES + DISTANCE_BYTES;
    let kept = memory.held + 4 * distances::BYTES + far::bytes(region);
    let halo = grid.near.to_array().map(|n| n + 1);
    let info = together(&[p, t]);
    let walk = Walk::fit(&info, region, Extent::new(halo[0], halo[1], halo[2]), bytes, kept, memory.budget)?;
    compare(&masks, &walk, &grid, progress)
}

fn compare(
    masks: &Masks<'_>,
    walk: &Walk,
    grid: &Grid,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<SurfaceDistances, AnalyzeError> {
    let mut distances = [Distances::default(), Distances::default()];
    let mut bricks = Bricks::new(masks.region);
    // Surface voxels in all, and blocks with some that have no near partner.
    let (mut surface, mut open) = ([0_u64; 2], BTreeSet::new());
    walk.run(
        |part| near(masks, grid, part),
        |part, near| {
            for (side, (all, more)) in distances.iter_mut().zip(&near.distances).enumerate() {
                all.merge(more);
                surface[side] += near.surface[side];
            }
            bricks.merge(near.bricks);
            if near.open {
                open.insert(key(part.core.start));
            }
            Ok(())
        },
        progress,
    )?;
    if surface.contains(&0) {
        return Ok(grid.summary(surface, &[Distances::default(), Distances::default()]));
    }
    // Block by block: of each, all threads look for partners.
    for part in walk.parts() {
        if open.contains(&key(part.core.start)) {
            for (side, distances) in distances.iter_mut().enumerate() {
                let seeker = seek(masks, grid, part, side)?;
                far::search(masks, grid, &bricks, seeker, distances, progress)?;
            }
        }
        if !progress(part.core.extent.len() as u64) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    Ok(grid.summary(surface, &distances))
}

const fn key(at: Index) -> (u64, u64, u64) {
    (at.z, at.y, at.x)
}

/// What a block and a little around it say.
#[derive(Default)]
struct Near {
    distances: [Distances; 2],
    /// Surface voxels of the block.
    surface: [u64; 2],
    /// Where they lie.
    bricks: BTreeMap<u64, u8>,
    /// Whether some may have their nearest partner further away than was read.
    open: bool,
}

fn near(masks: &Masks<'_>, grid: &Grid, part: Part) -> Result<Near, AnalyzeError> {
    let look = Look::at(masks, grid, part)?;
    let (mut near, bricks) = (Near::default(), Bricks::new(masks.region));
    for (side, mark) in SIDES.into_iter().enumerate() {
        look.each(grid, side, |at, square| {
            near.surface[side] += 1;
            *near.bricks.entry(bricks.of(at)).or_default() |= mark;
            if square <= look.limit {
                near.distances[side].add(square);
            } else {
                near.open = true;
            }
        });
    }
    Ok(near)
}

/// The surface voxels of a block that have no certain partner.
fn seek(masks: &Masks<'_>, grid: &Grid, part: Part, side: usize) -> Result<Seeker, AnalyzeError> {
    let look = Look::at(masks, grid, part)?;
    let mut seeker = Seeker::new(SIDES[side]);
    look.each(grid, side, |at, square| {
        if square > look.limit {
            seeker.add(at, square);
        }
    });
    Ok(seeker)
}

/// The surfaces of a block and a little around it.
struct Look {
    edges: Edges,
    part: Part,
    /// The square up to which a distance is certain.
    limit: f64,
}

impl Look {
    fn at(masks: &Masks<'_>, grid: &Grid, part: Part) -> Result<Self, AnalyzeError> {
        // One voxel less than the walk allows for: the outermost only say whether their neighbours are surface.
        let around = surroundings(part.core, grid.near, masks.region);
        let limit = grid.limit(part.core, around, masks.region);
        Ok(Self { edges: masks.edges(around)?, part: Part { core: part.core, around }, limit })
    }

    /// Gives each surface voxel of one side with the squared distance to the nearest of the other that was read.
    fn each(&self, grid: &Grid, side: usize, mut give: impl FnMut(Index, f64)) {
        let (extent, origin, inside) = (self.edges.extent, self.part.around.start, self.part.inside());
        let (from, to) = if side == 0 {
            (&self.edges.prediction, &self.edges.truth)
        } else {
            (&self.edges.truth, &self.edges.prediction)
        };
        let (first, end) = (inside.start, inside.end());
        let rows = || (first.z..end.z).flat_map(move |z| (first.y..end.y).map(move |y| (z, y)));
        let places = || rows().flat_map(move |(z, y)| (first.x..end.x).map(move |x| Index::new(z, y, x)));
        let is_surface = |at: &Index| from[extent.offset(*at)] != 0;
        if !places().any(|at| is_surface(&at)) {
            return;
        }
        let squares: Vec<f64> = squares_to(to, extent, grid.pitch);
        for at in places().filter(is_surface) {
            give(Index::new(at.z + origin.z, at.y + origin.y, at.x + origin.x), squares[extent.offset(at)]);
        }
    }
}

/// Voxels in space.
struct Grid {
    /// Pitches as multiples of the one along x: squares of cubic voxels are whole numbers.
    pitch: VoxelSize,
    /// What a length of 1 is, in the unit.
    scale: f64,
    unit: LengthUnit,
    /// How far around a block is looked at first, in voxels.
    near: Extent,
}

impl Grid {
    fn new(size: Option<VoxelSize>) -> Self {
        let cube = VoxelSize { z_nm: 1.0, y_nm: 1.0, x_nm: 1.0 };
        let (pitch, scale, unit) = size.map_or((cube, 1.0, LengthUnit::Voxels), |size| {
            let pitch = VoxelSize { z_nm: size.z_nm / size.x_nm, y_nm: size.y_nm / size.x_nm, x_nm: 1.0 };
            (pitch, size.x_nm, LengthUnit::Nm)
        });
        let finest = pitch.z_nm.min(pitch.y_nm).min(pitch.x_nm);
        let voxels = |pitch: f64| (NEAR * finest / pitch).ceil() as u64;
        let near = Extent::new(voxels(pitch.z_nm), voxels(pitch.y_nm), voxels(pitch.x_nm));
        Self { pitch, scale, unit, near }
    }

    /// The square up to which what is found around a block is the nearest of all: what was not read is further away.
    fn limit(&self, core: Region, around: Region, all: Region) -> f64 {
        let along = |of: fn(Index) -> u64, pitch: f64| {
            let side = |core: Index, around: Index, all: Index| {
                let way = (of(around).abs_diff(of(core)) + 1) as f64 * pitch;
                if of(around) == of(all) { f64::INFINITY } else { way * way }
            };
            side(core.start, around.start, all.start).min(side(core.end(), around.end(), all.end()))
        };
        let Self { pitch, .. } = self;
        along(|at| at.z, pitch.z_nm).min(along(|at| at.y, pitch.y_nm)).min(along(|at| at.x, pitch.x_nm))
    }

    /// The squared distance between two voxels, added up in the order of [`squares_to`].
    fn square(&self, a: Index, b: Index) -> f64 {
        let way = |a: u64, b: u64, pitch: f64| {
            let way = a.abs_diff(b) as f64 * pitch;
            way * way
        };
        way(a.z, b.z, self.pitch.z_nm) + (way(a.y, b.y, self.pitch.y_nm) + way(a.x, b.x, self.pitch.x_nm))
    }

    fn summary(&self, surface: [u64; 2], [found, there]: &[Distances; 2]) -> SurfaceDistances {
        let one_way = |voxels: u64, distances: &Distances| OneWay {
            voxels,
            mean: (distances.len() > 0).then(|| self.scale * distances.sum() / distances.len() as f64),
            percentile_95: distances.quantile(0.95).map(|distance| distance * self.scale),
            max: distances.largest().map(|distance| distance * self.scale),
        };
        let (forth, back) = (one_way(surface[0], found), one_way(surface[1], there));
        let larger = |a: Option<f64>, b: Option<f64>| Some(a?.max(b?));
        let all = found.len() + there.len();
        SurfaceDistances {
            unit: self.unit,
            mean: (all > 0).then(|| self.scale * (found.sum() + there.sum()) / all as f64),
            hausdorff_95: larger(forth.percentile_95, back.percentile_95),
            hausdorff: larger(forth.max, back.max),
            prediction_to_truth: forth,
            truth_to_prediction: back,
        }
    }
}

impl SurfaceDistances {
    /// How often the voxels are gone through.
    pub const PASSES: u64 = 2;
}

impl fmt::Display for SurfaceDistances {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        let unit = self.unit;
        let title = format!("surface distances in {unit}");
        writeln!(f, "{title:<24} {:>9} {:>8} {:>9} {:>8}", "voxels", "mean", "95 %", "max")?;
        for (name, way) in
            [("prediction to truth", &self.prediction_to_truth), ("truth to prediction", &self.truth_to_prediction)]
        {
            let [mean, most, max] = [way.mean, way.percentile_95, way.max].map(number);
            writeln!(f, "  {name:<22} {:>9} {mean:>8} {most:>9} {max:>8}", way.voxels)?;
        }
        let [mean, most, max] = [self.mean, self.hausdorff_95, self.hausdorff].map(number);
        writeln!(f, "mean surface distance {mean}, Hausdorff 95 % {most}, Hausdorff {max} {unit}")
    }
}

#[cfg(test)]
mod tests;
