//! One section with its prediction and truth, at the size of a screen.

use std::cell::Cell;

use deep3m_volume::{Extent, Index, Place, Region, Volume, VolumeError, VolumeInfo, VoxelType};

use super::Picture;
use super::draw::{Style, draw};
use crate::AnalyzeError;
use crate::labels::{Label, LabelRule};

/// What a picture is made of. All volumes have one size.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The images: grey, 8 or 16 bits.
    pub images: &'a dyn Volume,
    /// Probabilities (8 or 16 bits), or a mask of 0 and 1.
    pub prediction: Option<&'a dyn Volume>,
    /// Labels: every value but 0 is foreground.
    pub truth: Option<&'a dyn Volume>,
    /// The prediction is foreground where its probability is at least this.
    pub threshold: f64,
}

/// One section, ready to be drawn: grey values and shares of foreground, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct SectionView {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) grey: Vec<u8>,
    pub(super) probability: Option<Vec<f32>>,
    pub(super) prediction: Option<Vec<bool>>,
    pub(super) truth: Option<Vec<bool>>,
}

impl SectionView {
    /// Draws it.
    pub fn draw(&self, style: Style) -> Picture {
        draw(self, style)
    }

    /// Width in pixels, after shrinking.
    pub const fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels, after shrinking.
    pub const fn height(&self) -> usize {
        self.height
    }
}

/// Reads the part `region` of one section (`region.extent.z` is 1), shrunk by a whole factor so that no side is longer
/// than `max_side` pixels. Grey values are averaged; a shrunk pixel is foreground where at least half of its voxels are.
///
/// Memory is that of the picture and of a piece of about 1024 × 1024 voxels, whatever the section's size.
pub fn read_section(sources: &Sources<'_>, region: Region, max_side: usize) -> Result<SectionView, AnalyzeError> {
    let info = sources.images.info();
    check(info, region, max_side)?;
    for other in [sources.prediction, sources.truth].into_iter().flatten() {
        if other.info().extent != info.extent {
            return Err(AnalyzeError::ShapeMismatch {
                first: info.path.clone(),
                first_extent: info.extent,
                second: other.info().path.clone(),
                second_extent: other.info().extent,
            });
        }
    }
    let factor = region.extent.y.max(region.extent.x).div_ceil(max_side as u64);
    let shrink = |volume: &dyn Volume, f: &dyn Fn(f64) -> f32| shrunk(volume, region, factor, f);
    let grey = shrink(sources.images, &|v| v as f32)?;
    let at_least_half = |v: Vec<f32>| v.into_iter().map(|share| share >= 0.5).collect();
    let (mut probability, mut prediction) = (None, None);
    if let Some(volume) = sources.prediction {
        let highest = Cell::new(0.0_f64);
        let mut values = shrink(volume, &|v| {
            highest.set(highest.get().max(v));
            v as f32
        })?;
        // As in an evaluation, a picture of zeros and ones is a mask.
        let one = if highest.get() == 1.0 { 1.0 } else { volume.info().voxel_type.full_scale() };
        for v in &mut values {
            *v /= one;
        }
        let above = |v: f64| f32::from(v / f64::from(one) >= sources.threshold);
        probability = Some(values);
        prediction = Some(at_least_half(shrink(volume, &above)?));
    }
    let rule = LabelRule { foreground: None, ignore: None };
    let truth = match sources.truth {
        Some(volume) => Some(at_least_half(shrink(volume, &|v| f32::from(rule.label(v as u32) == Label::Foreground))?)),
        None => None,
    };
    Ok(SectionView {
        width: region.extent.x.div_ceil(factor) as usize,
        height: region.extent.y.div_ceil(factor) as usize,
        grey: to_8_bits(&grey, info.voxel_type),
        probability,
        prediction,
        truth,
    })
}

/// One section's images alone, as a picture; sizes as [`read_section`] has them.
pub(crate) fn grey_section(images: &dyn Volume, region: Region, max_side: usize) -> Result<Picture, AnalyzeError> {
    Ok(read_section(&Sources { images, prediction: None, truth: None, threshold: 0.5 }, region, max_side)?
        .draw(Style::Raw))
}

/// One section's labels: of each `factor` × `factor` voxels the one at their middle.
pub(crate) fn nearest(volume: &dyn Volume, region: Region, factor: u64) -> Result<Vec<u32>, AnalyzeError> {
    let (width, height) = (region.extent.x.div_ceil(factor), region.extent.y.div_ceil(factor));
    let mut labels = vec![0; (width * height) as usize];
    let middle = |at: u64, all: u64| (at * factor + factor / 2).min(all - 1);
    let piece = factor * (1024 / factor).max(1);
    for tile in region.tiles(Extent::new(1, piece, piece)) {
        let block = volume.read(tile)?;
        let (top, left) = (tile.start.y - region.start.y, tile.start.x - region.start.x);
        for row in top / factor..(top + tile.extent.y).div_ceil(factor) {
            let y = middle(row, region.extent.y) - top;
            for column in left / factor..(left + tile.extent.x).div_ceil(factor) {
                let x = middle(column, region.extent.x) - left;
                labels[(row * width + column) as usize] = block.voxels().get(tile.extent.offset(Index::new(0, y, x)));
            }
        }
    }
    Ok(labels)
}

/// Whether a part is one of a section, and can be drawn.
fn check(info: &VolumeInfo, region: Region, max_side: usize) -> Result<(), AnalyzeError> {
    if !region.fits(info.extent) || region.is_empty() {
        let place = Place::file(&info.path);
        return Err(VolumeError::OutOfBounds { place, region, extent: info.extent }.into());
    }
    if region.extent.z != 1 || max_side == 0 {
        return Err(AnalyzeError::Setting {
            name: "the part to draw",
            found: format!("{region} with at most {max_side} pixels a side"),
            expected: "one section, and at least one pixel".into(),
        });
    }
    Ok(())
}

/// Means of `factor` × `factor` voxels, of what `value` makes of each.
fn shrunk(
    volume: &dyn Volume,
    region: Region,
    factor: u64,
    value: &dyn Fn(f64) -> f32,
) -> Result<Vec<f32>, AnalyzeError> {
    let (width, height) = (region.extent.x.div_ceil(factor), region.extent.y.div_ceil(factor));
    let mut sums = vec![(0.0_f32, 0_u32); (width * height) as usize];
    let piece = factor * (1024 / factor).max(1);
    for tile in region.tiles(Extent::new(1, piece, piece)) {
        let block = volume.read(tile)?;
        let voxels = block.voxels();
        for y in 0..tile.extent.y {
            let row = (tile.start.y - region.start.y + y) / factor * width;
            let from = tile.extent.offset(Index::new(0, y, 0));
            for x in 0..tile.extent.x {
                let sum = &mut sums[(row + (tile.start.x - region.start.x + x) / factor) as usize];
                sum.0 += value(voxels.value(from + x as usize));
                sum.1 += 1;
            }
        }
    }
    Ok(sums.into_iter().map(|(sum, n)| sum / n as f32).collect())
}

/// 8-bit greys as they are; others stretched from their 0.2 to their 99.8 percentile.
fn to_8_bits(grey: &[f32], voxel_type: VoxelType) -> Vec<u8> {
    if voxel_type == VoxelType::U8 {
        return grey.iter().map(|v| v.round() as u8).collect();
    }
    let mut sorted = grey.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share).round() as usize];
    let (low, high) = (at(0.002), at(0.998));
    let scale = if high > low { 255.0 / (high - low) } else { 0.0 };
    grey.iter().map(|v| ((v - low) * scale).round().clamp(0.0, 255.0) as u8).collect()
}
