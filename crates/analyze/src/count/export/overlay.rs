//! Circles on pictures of the sections.

use std::path::Path;

use deep3m_volume::{Region, Volume, VoxelSize, fs};

use crate::AnalyzeError;
use crate::count::{RoundObject, RoundObjects};
use crate::picture::{Picture, Rgb, Sources, Style, palette, read_section};

/// Longer sides are shrunk.
const MOST_PIXELS: usize = 4096;

/// Writes a picture of each section, `0000.png` for the first, with the objects on it: a circle where the section cuts an
/// object, a dot in the section that shows most of it. Blue ones count; orange ones touch the border; yellow ones the
/// counting frame leaves out.
///
/// # Errors
/// [`AnalyzeError::ShapeMismatch`] for images of another size than `like`; what reading and writing met.
pub fn write_overlay(
    found: &RoundObjects,
    images: &dyn Volume,
    like: &dyn Volume,
    folder: &Path,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    let (info, other) = (images.info(), like.info());
    if info.extent != other.extent {
        return Err(AnalyzeError::ShapeMismatch {
            first: info.path.clone(),
            first_extent: info.extent,
            second: other.path.clone(),
            second_extent: other.extent,
        });
    }
    fs::create_dir(folder)?;
    let size = found.voxel_size.unwrap_or(VoxelSize { z_nm: 1.0, y_nm: 1.0, x_nm: 1.0 });
    let sources = Sources { images, prediction: None, truth: None, threshold: 0.5 };
    let region = found.region;
    for z in region.start.z..region.end().z {
        let section = Region::section(info.extent, z);
        let part = section.intersect(&region).unwrap_or(section);
        let mut picture = read_section(&sources, part, MOST_PIXELS)?.draw(Style::Raw);
        let factor = part.extent.y.max(part.extent.x).div_ceil(MOST_PIXELS as u64) as f64;
        let place = |v: f64, start: u64| (v - start as f64 + 0.5) / factor - 0.5;
        for object in &found.objects {
            let from_centre = (z as f64 - object.z) * size.z_nm;
            let square = object.radius * object.radius - from_centre * from_centre;
            let centre = (place(object.y, region.start.y), place(object.x, region.start.x));
            if square > 0.0 {
                let radius = square.sqrt() / f64::midpoint(size.y_nm, size.x_nm) / factor;
                picture.circle(centre, radius, colour(object));
            }
            if object.plane == z {
                picture.circle(centre, 0.0, colour(object));
            }
        }
        picture.save(&folder.join(format!("{z:04}.png")))?;
        if !progress(part.extent.y * part.extent.x) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    Ok(())
}

fn colour(object: &RoundObject) -> Rgb {
    match (object.counted, object.touches_border) {
        (false, _) => palette::MISSED,
        (true, true) => palette::FALSE,
        (true, false) => palette::FOUND,
    }
}

impl Picture {
    /// Draws a circle's line around a centre (row, column), as far as it lies in the picture.
    fn circle(&mut self, centre: (f64, f64), radius: f64, colour: Rgb) {
        let steps = (2.0 * std::f64::consts::PI * radius * 1.5).ceil().clamp(1.0, 1e5) as u32;
        for i in 0..steps {
            let (sin, cos) = (2.0 * std::f64::consts::PI * f64::from(i) / f64::from(steps)).sin_cos();
            self.paint((centre.0 + radius * sin).round(), (centre.1 + radius * cos).round(), colour);
        }
    }
}
