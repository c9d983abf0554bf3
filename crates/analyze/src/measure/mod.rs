//! The size, place and shape of every object.
//!
//! A volume is read once, in blocks; of each object sums in whole numbers are kept: its voxels, their places and squared places,
//! the shares of its surface ([`SurfaceArea`]). All else follows from these. So the result is the same whatever the blocks.

mod axes;
mod exact;
mod summary;
mod sums;
mod table;

use deep3m_volume::{Block, Extent, Index, Place, Region, Volume, VolumeError, VolumeInfo, VoxelSize};
use rayon::prelude::*;

use crate::AnalyzeError;
use crate::ids::{Beyond, IdMap, cut, numbers};
use crate::neighbours::Neighbours;
use crate::surface::{REACH, SurfaceArea};
use crate::walk::{Part, Walk};
use axes::Axes;
use sums::{BlockSums, Borders, Sums};

pub use summary::MeasureSummary;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeasureConfig {
    /// The part that is looked at; `None` is all of it. Objects are cut at its border.
    pub region: Option<Region>,
    /// Objects of fewer voxels are left out.
    pub min_voxels: u64,
    /// Bytes that may be held.
    pub budget: u64,
}

impl Default for MeasureConfig {
    /// Everything, with as much memory as it takes.
    fn default() -> Self {
        Self { region: None, min_voxels: 1, budget: u64::MAX }
    }
}

/// The objects of a volume and what they measure. Lengths are in nm where the size of voxels is known, else in voxels.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The objects by their numbers.
    pub objects: Vec<MeasuredObject>,
    /// The size of a voxel, where it is known.
    pub voxel_size: Option<VoxelSize>,
    /// Voxels that were looked at.
    pub of_voxels: u64,
    /// Objects that were too small.
    pub left_out: u64,
    /// Voxels of objects whose grey value is no finite number; they are not in the mean.
    pub without_intensity: u64,
    /// Whether grey values were measured.
    pub with_intensity: bool,
}

/// What an object measures. Lengths are in nm where the size of voxels is known, else in voxels; areas in their squares.
#[derive(Clone, Debug, PartialEq)]
pub struct MeasuredObject {
    /// Its number.
    pub id: u32,
    /// How many voxels it has.
    pub voxels: u64,
    /// The smallest box around it, in voxels of the volume.
    pub bounds: Region,
    /// Whether it reaches the border of the volume, or of the part that was looked at.
    pub at_border: bool,
    /// The section that has most of its voxels; the first of several.
    pub largest_section: u64,
    /// How many it has there.
    pub largest_section_voxels: u64,
    /// Its volume, in cubed lengths.
    pub volume: f64,
    /// Its surface.
    pub surface: f64,
    /// Its middle (z, y, x); the middle of the volume's first voxel is 0, 0, 0.
    pub centroid: [f64; 3],
    /// Its principal axes from end to end, longest first: those of the ellipsoid with the same second moments.
    pub axes: [f64; 3],
    /// Their directions (z, y, x).
    pub directions: [[f64; 3]; 3],
    /// The mean of its grey values.
    pub mean_intensity: Option<f64>,
    /// The object whose middle is nearest to its own, and how far that is.
    pub nearest: Option<(u32, f64)>,
}

impl MeasuredObject {
    /// The diameter of a sphere of the same volume.
    pub fn equivalent_diameter(&self) -> f64 {
        (6.0 * self.volume / std::f64::consts::PI).cbrt()
    }

    /// The surface of a sphere of the same volume as a share of the object's (Wadell 1935).
    pub fn sphericity(&self) -> Option<f64> {
        let sphere = std::f64::consts::PI.cbrt() * (6.0 * self.volume).powf(2.0 / 3.0);
        (self.surface > 0.0).then_some(sphere / self.surface)
    }

    /// Longest by shortest principal axis; `None` for what is flat.
    pub fn elongation(&self) -> Option<f64> {
        (self.axes[2] > 0.0).then_some(self.axes[0] / self.axes[2])
    }
}

/// Measures all objects of a label volume (numbers, 0 is background), with their mean grey values in `intensity`.
///
/// Memory is some blocks per thread, and about 300 bytes for each object. `progress` hears the voxels of each block; with a
/// false it ends.
///
/// # Errors
/// [`AnalyzeError::NotLabels`], [`AnalyzeError::ShapeMismatch`], [`AnalyzeError::Memory`], [`AnalyzeError::Interrupted`]; a
/// region that sticks out; what reading met.
pub fn measure(
    labels: &dyn Volume,
    intensity: Option<&dyn Volume>,
    config: &MeasureConfig,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Measured, AnalyzeError> {
    let region = looked_at(labels.info(), config.region)?;
    if let Some(intensity) = intensity {
        same_size(labels.info(), intensity.info())?;
    }
    let grey = intensity.map_or(0, |volume| 2 * volume.info().voxel_type.bytes() as u64);
    // Labels as they are read, as numbers, and with a margin.
    let bytes = labels.info().voxel_type.bytes() as u64 + 8 + grey;
    let halo = Extent::new(REACH, REACH, REACH);
    let walk = Walk::fit(labels.info(), region, halo, bytes, 0, config.budget)?;
    measure_in(labels, intensity, config, &walk, progress)
}

/// The region to look at, of a volume of labels.
pub(crate) fn looked_at(info: &VolumeInfo, region: Option<Region>) -> Result<Region, AnalyzeError> {
    // Sums of squared places stay below 2¹²⁸, tables of sections in memory.
    const LONGEST: u64 = 1 << 32;
    if !info.voxel_type.is_unsigned() {
        return Err(AnalyzeError::NotLabels { path: info.path.clone(), found: info.voxel_type });
    }
    let region = region.unwrap_or(Region::whole(info.extent));
    if !region.fits(info.extent) {
        let place = Place::file(&info.path);
        return Err(VolumeError::OutOfBounds { place, region, extent: info.extent }.into());
    }
    if info.extent.to_array().iter().any(|&side| side > LONGEST) || region.extent.checked_voxels().is_none() {
        return Err(AnalyzeError::Setting {
            name: "the volume's size",
            found: format!("{} ({})", info.extent, info.path.display()),
            expected: format!("sides of up to {LONGEST} voxels"),
        });
    }
    Ok(region)
}

/// That two volumes have one size.
pub(crate) fn same_size(first: &VolumeInfo, second: &VolumeInfo) -> Result<(), AnalyzeError> {
    if first.extent == second.extent {
        return Ok(());
    }
    Err(AnalyzeError::ShapeMismatch {
        first: first.path.clone(),
        first_extent: first.extent,
        second: second.path.clone(),
        second_extent: second.extent,
    })
}

fn measure_in(
    labels: &dyn Volume,
    intensity: Option<&dyn Volume>,
    config: &MeasureConfig,
    walk: &Walk,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Measured, AnalyzeError> {
    let voxel_size = labels.info().voxel_size;
    let area = SurfaceArea::new(voxel_size.unwrap_or(VoxelSize { z_nm: 1.0, y_nm: 1.0, x_nm: 1.0 }));
    let work = |part: Part| {
        let block = numbers(labels.read(part.around)?.into_voxels());
        let grey = intensity.map(|volume| volume.read(part.core)).transpose()?;
        Ok(sums_of(&block, grey.as_ref(), part, walk.region, &area))
    };
    let mut all: IdMap<u32, Sums> = IdMap::default();
    let mut layer = Layer::default();
    walk.run(
        work,
        |part, sums| {
            if part.core.start.z != layer.first {
                layer.end(&mut all);
                layer.first = part.core.start.z;
            }
            for (label, block) in sums.into_objects() {
                all.entry(label).or_default().add(&block, part.core.start);
                layer.add(label, &block.sections);
            }
            Ok(())
        },
        progress,
    )?;
    layer.end(&mut all);
    Ok(Measured::of(all, voxel_size, &area, walk.region, config.min_voxels, intensity.is_some()))
}

fn sums_of(labels: &[u32], grey: Option<&Block>, part: Part, region: Region, area: &SurfaceArea) -> BlockSums {
    let mut sums = BlockSums::default();
    let borders = Borders::of(part.core, region);
    sums.add_voxels(labels, part.around.extent, part.inside(), borders, grey.map(Block::voxels));
    // At the border of what is looked at objects are closed, which gives shares to voxels outside.
    let reach = REACH as i64;
    let core = part.inside();
    let (start, size) = (core.start, core.extent.to_array());
    let (first, last) = (part.core.start, part.core.end());
    let more = |edge: bool| if edge { 2 * reach } else { reach };
    let before = [first.z == region.start.z, first.y == region.start.y, first.x == region.start.x].map(more);
    let end = region.end();
    let behind = [last.z == end.z, last.y == end.y, last.x == end.x].map(more);
    let from: [i64; 3] = std::array::from_fn(|i| [start.z, start.y, start.x][i] as i64 - before[i]);
    let wide: [u64; 3] = std::array::from_fn(|i| size[i] + (before[i] + behind[i]) as u64);
    let wide = Extent::new(wide[0], wide[1], wide[2]);
    let sections = core.extent.z;
    if labels.iter().any(|&label| label != 0) {
        let mut add = |label, _, share| sums.add_share(label, share, sections);
        if from == [0; 3] && wide == part.around.extent {
            area.shares(labels, wide, &mut add);
        } else {
            area.shares(&cut(labels, part.around.extent, from, wide, Beyond::Nothing), wide, &mut add);
        }
    }
    sums
}

/// The voxels of each object in each section of a layer of blocks.
#[derive(Default)]
struct Layer {
    /// Its first section.
    first: u64,
    voxels: IdMap<u32, Vec<u64>>,
}

impl Layer {
    fn add(&mut self, label: u32, sections: &[u64]) {
        let all = self.voxels.entry(label).or_insert_with(|| vec![0; sections.len()]);
        all.iter_mut().zip(sections).for_each(|(all, more)| *all += more);
    }

    /// Notes the section of each object that has most, when the layer is complete.
    fn end(&mut self, all: &mut IdMap<u32, Sums>) {
        for (label, sections) in self.voxels.drain() {
            let largest = &mut all.entry(label).or_default().largest_section;
            for (z, voxels) in (self.first..).zip(sections) {
                if voxels > largest.1 {
                    *largest = (z, voxels);
                }
            }
        }
    }
}

impl Measured {
    fn of(
        all: IdMap<u32, Sums>,
        voxel_size: Option<VoxelSize>,
        area: &SurfaceArea,
        region: Region,
        min_voxels: u64,
        with_intensity: bool,
    ) -> Self {
        let mut found: Vec<(u32, Sums)> = all.into_iter().collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        let before = found.len();
        found.retain(|(_, sums)| sums.voxels >= min_voxels.max(1));
        let pitch = voxel_size.map_or([1.0; 3], |size| [size.z_nm, size.y_nm, size.x_nm]);
        let without = |(_, sums): &(u32, Sums)| sums.intensity.as_ref().map_or(0, |sum| sum.left_out());
        let without_intensity = found.iter().map(without).sum();
        let mut objects: Vec<MeasuredObject> =
            found.par_iter().map(|(id, sums)| MeasuredObject::of(*id, sums, pitch, area)).collect();
        let middles: Vec<[f64; 3]> = objects.iter().map(|object| object.centroid).collect();
        let tree = Neighbours::new(&middles);
        let nearest: Vec<_> = (0..objects.len()).into_par_iter().map(|i| tree.of(i)).collect();
        for (i, nearest) in nearest.into_iter().enumerate() {
            objects[i].nearest = nearest.map(|(other, square)| (objects[other].id, square.sqrt()));
        }
        Self {
            left_out: (before - objects.len()) as u64,
            objects,
            voxel_size,
            of_voxels: region.extent.checked_voxels().unwrap_or(u64::MAX),
            without_intensity,
            with_intensity,
        }
    }
}

impl MeasuredObject {
    fn of(id: u32, sums: &Sums, pitch: [f64; 3], area: &SurfaceArea) -> Self {
        let [zz, yy, xx, zy, zx, yx] = sums.covariance();
        let [dz, dy, dx] = pitch;
        let Axes { lengths, directions } =
            Axes::of([zz * dz * dz, yy * dy * dy, xx * dx * dx, zy * dz * dy, zx * dz * dx, yx * dy * dx]);
        let centroid = sums.centroid();
        let ([z, y, x], [ez, ey, ex]) = (sums.low, sums.high);
        Self {
            id,
            voxels: sums.voxels,
            bounds: Region::new(Index::new(z, y, x), Extent::new(ez - z + 1, ey - y + 1, ex - x + 1)),
            at_border: sums.at_border,
            largest_section: sums.largest_section.0,
            largest_section_voxels: sums.largest_section.1,
            volume: sums.voxels as f64 * dz * dy * dx,
            surface: area.nm2(sums.shares),
            centroid: std::array::from_fn(|axis| centroid[axis] * pitch[axis]),
            axes: lengths,
            directions,
            mean_intensity: sums.intensity.as_ref().and_then(|sum| sum.mean()),
            nearest: None,
        }
    }
}

#[cfg(test)]
mod tests;
