//! Counts round objects that lie close together: vesicles, nuclei.
//!
//! Every voxel is asked how well a ball of the objects' diameter fits there ([`template`], [`response`]); the places that fit
//! better than those around them are candidates ([`candidate`]), and of those that lie too near each other the best stays
//! ([`choose()`]). Responses depend on a bounded neighbourhood and candidates are compared by a strict order, so neither blocks
//! nor threads change a result.

mod candidate;
mod choose;
mod export;
mod field;
mod frame;
mod labels;
mod learn;
mod object;
mod response;
mod scale;
mod solid;
mod template;
mod uncertain;

use deep3m_volume::{Extent, Place, Region, Volume, VolumeError, VoxelSize, VoxelType};

use crate::AnalyzeError;
use crate::walk::{Part, Walk};

use candidate::{Around, Candidate, candidates};
use choose::choose;
pub use export::{imod_points, neuroglancer_state, write_overlay};
use field::Field;
pub use frame::CountingFrame;
use frame::Span;
pub use labels::count_labels;
pub use learn::learn_diameter;
pub use object::{RoundObject, RoundObjects};
use response::Position;
use scale::Scale;
use template::Templates;
pub use uncertain::count_range;

/// What is counted.
#[derive(Clone, Debug, PartialEq)]
pub struct CountConfig {
    /// The objects' diameter in nm; in voxels, where the volume states no voxel size.
    pub diameter: f64,
    /// Objects of a lower confidence are left out. Default 0.4.
    pub min_confidence: f64,
    /// Count as stereology does, in a frame that lies so far inside on all sides, in the diameter's unit. Default: count all.
    pub guard: Option<f64>,
    /// The part that is looked at; `None` is all of it.
    pub region: Option<Region>,
}

impl CountConfig {
    /// The usual settings for a diameter.
    pub const fn of_diameter(diameter: f64) -> Self {
        Self { diameter, min_confidence: 0.4, guard: None, region: None }
    }
}

/// The part of a volume that is looked at.
fn part_of(volume: &dyn Volume, region: Option<Region>) -> Result<Region, AnalyzeError> {
    let info = volume.info();
    let region = region.unwrap_or(Region::whole(info.extent));
    if !region.fits(info.extent) || region.is_empty() {
        let place = Place::file(&info.path);
        return Err(VolumeError::OutOfBounds { place, region, extent: info.extent }.into());
    }
    Ok(region)
}

/// The volume's voxels, or cubes of side 1 where it states no size.
fn size_of(volume: &dyn Volume) -> VoxelSize {
    volume.info().voxel_size.unwrap_or(VoxelSize { z_nm: 1.0, y_nm: 1.0, x_nm: 1.0 })
}

/// The value that is a probability of 1.
fn one_of(volume: &dyn Volume) -> Result<u32, AnalyzeError> {
    let info = volume.info();
    match info.voxel_type {
        VoxelType::U8 | VoxelType::U16 => Ok(info.voxel_type.full_scale() as u32),
        found => Err(AnalyzeError::NotProbabilities { path: info.path.clone(), found }),
    }
}

/// The frame that a guard leaves of a region.
fn frame_in(region: Region, guard: Option<f64>, size: VoxelSize) -> Result<Option<CountingFrame>, AnalyzeError> {
    let Some(guard) = guard else { return Ok(None) };
    let voxels = [guard / size.z_nm, guard / size.y_nm, guard / size.x_nm];
    match CountingFrame::inside(region, voxels) {
        Some(frame) if guard >= 0.0 => Ok(Some(frame)),
        _ => Err(AnalyzeError::Setting {
            name: "guard",
            found: format!("{guard:.4} nm"),
            expected: format!("a length that leaves some of {} on all sides", region.extent),
        }),
    }
}

/// Finds the round objects of a probability (8 or 16 bits), or of a mask of 0 and 1.
///
/// Memory is some blocks, at most `budget` bytes, and about 100 bytes per candidate. `progress` hears the voxels of each
/// block; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::NotProbabilities`] for another type; settings out of their range; [`AnalyzeError::Interrupted`] when told to
/// stop; what reading met.
pub fn count(
    volume: &dyn Volume,
    config: &CountConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<RoundObjects, AnalyzeError> {
    let (region, size) = (part_of(volume, config.region)?, size_of(volume));
    let frame = frame_in(region, config.guard, size)?;
    if !(config.min_confidence > 0.0 && config.min_confidence <= 1.0) {
        return Err(AnalyzeError::Setting {
            name: "least confidence",
            found: config.min_confidence.to_string(),
            expected: "more than 0, up to 1".into(),
        });
    }
    let search = Search::new(volume, config, region, size)?;
    let walk = search.walk(volume, budget)?;
    let mut one = one_of(volume)?;
    let (mut found, highest) = search.run(volume, &walk, one, progress)?;
    // As in an evaluation, a volume of zeros and ones is a mask.
    if highest == 1 {
        one = 1;
        (found, _) = search.run(volume, &walk, one, progress)?;
    }
    let kept = choose(found, &search.scale);
    let objects = kept.iter().zip(1..).map(|(candidate, id)| search.object(id, candidate, frame.as_ref())).collect();
    Ok(RoundObjects { objects, region, voxel_size: volume.info().voxel_size, frame, diameter: Some(config.diameter) })
}

/// What does not change from block to block.
struct Search {
    region: Region,
    scale: Scale,
    templates: Templates,
    around: Around,
    least: f32,
}

impl Search {
    fn new(volume: &dyn Volume, config: &CountConfig, region: Region, size: VoxelSize) -> Result<Self, AnalyzeError> {
        one_of(volume)?;
        let scale = Scale::new(config.diameter, size, region.extent)?;
        let templates = Templates::new(&scale);
        let around = Around::new(&scale, &templates);
        Ok(Self { region, scale, templates, around, least: config.min_confidence as f32 })
    }

    /// Blocks of whole boxes of averaged voxels.
    fn walk(&self, volume: &dyn Volume, budget: u64) -> Result<Walk, AnalyzeError> {
        /// Probability, gain, share, template; sums of a section.
        const BYTES: u64 = 4 + 4 + 4 + 1 + 8;
        let bins = self.scale.bins;
        let halo = |i: usize| (self.around.halo[i] as u64).saturating_mul(bins[i]);
        let halo = Extent::new(halo(0), halo(1), halo(2));
        // Rounded to whole boxes, a block can grow by one of them on each axis.
        let grown = |i: u64, by: u64| i.saturating_add(by - 1);
        let room = Extent::new(grown(halo.z, bins[0]), grown(halo.y, bins[1]), grown(halo.x, bins[2]));
        let bytes = volume.info().voxel_type.bytes() as u64 + BYTES;
        let mut walk = Walk::fit(volume.info(), self.region, room, bytes, 0, budget)?;
        let side = |block: u64, bin: u64| block.div_ceil(bin) * bin;
        walk.block = Extent::new(side(walk.block.z, bins[0]), side(walk.block.y, bins[1]), side(walk.block.x, bins[2]));
        walk.halo = halo;
        Ok(walk)
    }

    /// All candidates, and the highest value.
    fn run(
        &self,
        volume: &dyn Volume,
        walk: &Walk,
        one: u32,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<(Vec<Candidate>, u32), AnalyzeError> {
        let (mut all, mut highest) = (Vec::new(), 0);
        let take = |_, (found, high): (Vec<Candidate>, u32)| {
            all.extend(found);
            highest = highest.max(high);
            Ok(())
        };
        walk.run(|part| self.block(volume, part, one), take, progress)?;
        Ok((all, highest))
    }

    fn block(&self, volume: &dyn Volume, part: Part, one: u32) -> Result<(Vec<Candidate>, u32), AnalyzeError> {
        let bins = self.scale.bins;
        let field = Field::read(volume, part.around, bins, one)?;
        let boxes = |v: [u64; 3]| [0, 1, 2].map(|i| v[i].div_ceil(bins[i]) as usize);
        let (first, start, inside) = (self.region.start, part.around.start, part.inside());
        let position = Position {
            start: boxes([start.z - first.z, start.y - first.y, start.x - first.x]),
            all: boxes(self.region.extent.to_array()),
        };
        let core = (boxes([inside.start.z, inside.start.y, inside.start.x]), boxes(inside.extent.to_array()));
        let found = candidates(&field, position, &self.scale, &self.templates, &self.around, core, self.least);
        Ok((found, field.highest))
    }

    fn object(&self, id: u64, candidate: &Candidate, frame: Option<&CountingFrame>) -> RoundObject {
        let (bins, size, start) = (self.scale.bins, self.scale.size, self.region.start);
        let (first, all) = ([start.z, start.y, start.x], self.region.extent.to_array());
        // The box at the end may be cut: its middle is not beyond the last voxel.
        let voxel = |i: usize, boxes: f64| {
            first[i] as f64 + ((boxes + 0.5) * bins[i] as f64 - 0.5).clamp(-0.5, all[i] as f64 - 0.5)
        };
        let centre = [0, 1, 2].map(|i| voxel(i, candidate.centre[i]));
        let span = Span::ball(centre, size.map(|side| candidate.radius / side));
        let plane = voxel(0, candidate.section as f64).floor().max(0.0) as u64;
        RoundObject {
            id,
            z: centre[0],
            y: centre[1],
            x: centre[2],
            radius: candidate.radius,
            plane: plane.min(self.region.end().z - 1),
            confidence: Some(f64::from(candidate.share)),
            touches_border: span.touches(self.region),
            counted: frame.is_none_or(|frame| frame.counts(&span)),
        }
    }
}

#[cfg(test)]
mod tests;
