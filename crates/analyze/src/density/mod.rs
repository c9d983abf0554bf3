//! How dense objects are along an axis: a window slid over the volume (Haberl et al. 2018 slide one of 20 µm over nuclei).
//!
//! A window is a slab of whole planes across an axis. An object counts where its centroid is; the volume that it is counted in, and
//! the share that objects fill, are those of the tissue in the slab, or of all of it without a mask. All is counted per plane, in
//! whole numbers.

mod planes;
mod show;
mod slide;

use deep3m_volume::{Extent, Index, Region, Volume, VoxelSize};

use crate::AnalyzeError;
use crate::ids::{IdMap, numbers};
use crate::measure::{looked_at, same_size};
use crate::points::Points;
use crate::walk::{Part, Walk};
use planes::{BlockPlanes, Middle, PerPlane};

pub use slide::{Axis, DensityWindow};

/// How density is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct DensityConfig {
    /// How thick the window is, in nm; rounded to whole planes.
    pub window_nm: f64,
    /// How far it is moved each time, in nm; rounded to whole planes. `None`: a quarter of the window.
    pub step_nm: Option<f64>,
    /// Along which axes it is moved.
    pub axes: Vec<Axis>,
    /// The part that is looked at; `None` is all of it.
    pub region: Option<Region>,
    /// Bytes that may be held.
    pub budget: u64,
}

/// Density along axes.
#[derive(Clone, Debug, PartialEq)]
pub struct Density {
    /// The windows of each axis, in the order of the axes and places.
    pub windows: Vec<DensityWindow>,
    /// Objects, or points, that were counted.
    pub objects: u64,
    /// Those in no tissue; they are not counted.
    pub outside_tissue: u64,
    /// Points outside the volume, or outside the part that was looked at; they are not counted.
    pub outside_volume: u64,
    /// The tissue, or all that was looked at, in mm³.
    pub volume_mm3: f64,
    /// Objects per mm³ of it.
    pub objects_per_mm3: Option<f64>,
    /// The share of it that objects fill; `None` of points.
    pub volume_fraction: Option<f64>,
    /// Axes that are shorter than the window, which is as long as they are there.
    pub short_axes: Vec<Axis>,
    /// The size of a voxel.
    pub voxel_size: VoxelSize,
}

/// The density of the objects of a label volume, in a tissue (a mask of the same size: 0 is outside) where there is one. The
/// volume must state the size of its voxels.
///
/// Memory is some blocks per thread, and about 100 bytes for each object. `progress` hears the voxels of each block; with a
/// false it ends. With a mask the blocks that have centroids are read twice.
///
/// # Errors
/// [`AnalyzeError::NotLabels`], [`AnalyzeError::ShapeMismatch`], [`AnalyzeError::NoVoxelSize`], [`AnalyzeError::Memory`],
/// [`AnalyzeError::Interrupted`]; a region that sticks out; what reading met.
pub fn density_of_objects(
    labels: &dyn Volume,
    mask: Option<&dyn Volume>,
    config: &DensityConfig,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Density, AnalyzeError> {
    let region = looked_at(labels.info(), config.region)?;
    let size = labels.info().voxel_size.ok_or_else(|| no_size(labels))?;
    let walk = walk(labels, mask, region, config)?;
    objects_in(labels, mask, config, size, &walk, progress)
}

/// The density of points in a volume of this size, in a tissue (a mask of the volume's size) where there is one.
///
/// # Errors
/// As [`density_of_objects`].
pub fn density_of_points(
    points: &Points,
    extent: Extent,
    voxel_size: VoxelSize,
    mask: Option<&dyn Volume>,
    config: &DensityConfig,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Density, AnalyzeError> {
    let whole = Region::whole(extent);
    let region = config.region.unwrap_or(whole);
    let planes = extent.to_array().iter().fold(0_u64, |sum, &side| sum.saturating_add(side));
    if !region.fits(extent) || region.is_empty() || extent.checked_voxels().is_none() || planes > config.budget / 64 {
        return Err(AnalyzeError::Setting {
            name: "the part of the volume",
            found: region.to_string(),
            expected: format!("one with voxels, inside of {extent}, whose planes can be counted in memory"),
        });
    }
    let pitch = [voxel_size.z_nm, voxel_size.y_nm, voxel_size.x_nm];
    let mut middles: Vec<Index> = Vec::with_capacity(points.len());
    for place in &points.positions_nm {
        // Below the first voxel a plane is negative, and outside.
        let [z, y, x]: [f64; 3] = std::array::from_fn(|axis| (place[axis] / pitch[axis] + 0.5).floor());
        if z >= 0.0 && y >= 0.0 && x >= 0.0 {
            let at = Index::new(z as u64, y as u64, x as u64);
            middles.extend(region.contains(at).then_some(at));
        }
    }
    let outside_volume = (points.len() - middles.len()) as u64;
    let mut found = Counted { middles, filled: None, tissue: None };
    if let Some(mask) = mask {
        let info = mask.info();
        if info.extent != extent {
            return Err(AnalyzeError::ShapeMismatch {
                first: info.path.clone(),
                first_extent: info.extent,
                second: "the volume of the points".into(),
                second_extent: extent,
            });
        }
        looked_at(info, config.region)?;
        let walk = walk(mask, None, region, config)?;
        found.tissue = count(None, Some(mask), &walk, progress)?.0.tissue;
        found.keep_in_tissue(mask, &walk, progress)?;
    }
    Ok(found.slide(config, region, voxel_size, points.len() as u64 - outside_volume, outside_volume))
}

fn no_size(volume: &dyn Volume) -> AnalyzeError {
    let what = "does not state the size of its voxels; a density in mm³ needs it";
    AnalyzeError::NoVoxelSize { path: volume.info().path.clone(), what }
}

fn walk(
    volume: &dyn Volume,
    mask: Option<&dyn Volume>,
    region: Region,
    config: &DensityConfig,
) -> Result<Walk, AnalyzeError> {
    if let Some(mask) = mask {
        same_size(volume.info(), mask.info())?;
        looked_at(mask.info(), config.region)?;
    }
    let bytes = |volume: &dyn Volume| volume.info().voxel_type.bytes() as u64 + 4;
    // Three numbers for each plane, and sums of them.
    let planes = region.extent.to_array().iter().sum::<u64>().saturating_mul(64);
    let (none, bytes) = (Extent::new(0, 0, 0), bytes(volume) + mask.map_or(0, bytes));
    Walk::fit(volume.info(), region, none, bytes, planes, config.budget)
}

fn objects_in(
    labels: &dyn Volume,
    mask: Option<&dyn Volume>,
    config: &DensityConfig,
    size: VoxelSize,
    walk: &Walk,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Density, AnalyzeError> {
    let (mut found, all) = count(Some(labels), mask, walk, progress)?;
    if let Some(mask) = mask {
        found.keep_in_tissue(mask, walk, progress)?;
    }
    Ok(found.slide(config, walk.region, size, all, 0))
}

/// What is counted of a volume.
struct Counted {
    /// The voxels that objects' centroids lie in.
    middles: Vec<Index>,
    /// Voxels of objects in each plane, in the tissue.
    filled: Option<PerPlane>,
    /// Voxels of tissue in each plane.
    tissue: Option<PerPlane>,
}

/// Counts objects and tissue of what is walked through, and says how many objects there are.
fn count(
    labels: Option<&dyn Volume>,
    mask: Option<&dyn Volume>,
    walk: &Walk,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(Counted, u64), AnalyzeError> {
    let start = walk.region.start;
    let read = |volume: &dyn Volume, core| Ok::<_, AnalyzeError>(numbers(volume.read(core)?.into_voxels()));
    let work = |part: Part| {
        let labels = labels.map(|labels| read(labels, part.core)).transpose()?;
        let tissue = mask.map(|mask| read(mask, part.core)).transpose()?;
        // Any number but 0 is tissue.
        let tissue = tissue.map(|tissue| tissue.into_iter().map(|v| u32::from(v != 0)).collect::<Vec<_>>());
        Ok(BlockPlanes::of(labels.as_deref(), tissue.as_deref(), part.core))
    };
    let (mut filled, mut tissue) = (PerPlane::zeros(walk.region.extent), PerPlane::zeros(walk.region.extent));
    let mut middles = IdMap::<u32, Middle>::default();
    walk.run(
        work,
        |part, block| {
            let first = part.core.start;
            let first = [first.z - start.z, first.y - start.y, first.x - start.x];
            filled.add(&block.filled, first);
            tissue.add(&block.tissue, first);
            block.middles.iter().for_each(|(&label, middle)| middles.entry(label).or_default().join(middle));
            Ok(())
        },
        progress,
    )?;
    let objects = middles.len() as u64;
    let middles = middles.values().map(Middle::voxel).collect();
    let (filled, tissue) = (labels.map(|_| filled), mask.map(|_| tissue));
    Ok((Counted { middles, filled, tissue }, objects))
}

impl Counted {
    /// Leaves out the centroids that lie in no tissue.
    fn keep_in_tissue(
        &mut self,
        mask: &dyn Volume,
        walk: &Walk,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(), AnalyzeError> {
        self.middles.sort_unstable();
        let all = std::mem::take(&mut self.middles);
        for part in walk.parts() {
            let (first, last) = (part.core.start.z, part.core.end().z);
            let layer = all.partition_point(|at| at.z < first)..all.partition_point(|at| at.z < last);
            let mut here = all[layer].iter().copied().filter(|&at| part.core.contains(at)).peekable();
            if here.peek().is_none() {
                continue;
            }
            if !progress(0) {
                return Err(AnalyzeError::Interrupted);
            }
            let tissue = mask.read(part.core)?;
            let start = part.core.start;
            self.middles.extend(here.filter(|at| {
                let inside = Index::new(at.z - start.z, at.y - start.y, at.x - start.x);
                tissue.voxels().get(part.core.extent.offset(inside)) != 0
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
