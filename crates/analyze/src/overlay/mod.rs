//! Pictures of sections with several classes over them.

mod paint;
mod scale_bar;

use std::path::PathBuf;

use deep3m_volume::{Region, Volume, VoxelType};

use crate::picture::{grey_section, nearest};
use crate::{AnalyzeError, Picture, Rgb, lowest_value};

pub use paint::{CLASS_COLOURS, OverlayStyle};
pub use scale_bar::{ScaleBar, scale_bar};

/// What is drawn over the images.
pub struct Layer<'a> {
    /// A probability, a mask, or labels: of the images' size.
    pub volume: &'a dyn Volume,
    /// What its values mean.
    pub kind: LayerKind,
    /// The colour of a class; objects take turns through [`CLASS_COLOURS`].
    pub colour: Rgb,
}

/// What the values of a layer mean.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LayerKind {
    /// Inside where the probability is at least this; an 8 or 16-bit volume.
    Probability(f64),
    /// Inside where the value is not 0; all in one colour.
    Class,
    /// Each value but 0 is an object with a colour of its own.
    Objects,
}

impl Layer<'_> {
    /// The least value that is inside.
    fn level(&self) -> u32 {
        match self.kind {
            LayerKind::Probability(threshold) => lowest_value(threshold, self.one()),
            LayerKind::Class | LayerKind::Objects => 1,
        }
    }

    fn one(&self) -> u32 {
        if self.volume.info().voxel_type == VoxelType::U8 { 255 } else { 65535 }
    }
}

/// Draws one section (`region.extent.z` is 1) of the images with layers over it, the last on top, shrunk by a whole factor so that
/// no side is longer than `max_side` pixels. Where it is shrunk, grey values are averaged, and a pixel has the label of the voxel
/// at its middle.
///
/// Memory is that of the picture and of a piece of about 1024 × 1024 voxels, whatever the section's size.
///
/// # Errors
/// [`AnalyzeError::ShapeMismatch`] for a layer of another size; a region that is no part of one section; what reading met.
pub fn overlay_section(
    images: &dyn Volume,
    layers: &[Layer<'_>],
    region: Region,
    max_side: usize,
    style: OverlayStyle,
) -> Result<Picture, AnalyzeError> {
    let info = images.info();
    for layer in layers {
        let other = layer.volume.info();
        if other.extent != info.extent {
            return Err(AnalyzeError::ShapeMismatch {
                first: info.path.clone(),
                first_extent: info.extent,
                second: other.path.clone(),
                second_extent: other.extent,
            });
        }
        if !other.voxel_type.is_unsigned() {
            return Err(AnalyzeError::NotLabels { path: PathBuf::from(&other.path), found: other.voxel_type });
        }
    }
    let mut picture = grey_section(images, region, max_side)?;
    let factor = region.extent.y.max(region.extent.x).div_ceil(max_side as u64);
    for layer in layers {
        let level = layer.level();
        let mut values = nearest(layer.volume, region, factor)?;
        for value in &mut values {
            *value = match layer.kind {
                LayerKind::Objects => *value,
                _ => u32::from(*value >= level),
            };
        }
        let colour = |value: u32| match layer.kind {
            LayerKind::Objects => CLASS_COLOURS[(value as usize - 1) % CLASS_COLOURS.len()],
            _ => layer.colour,
        };
        paint::over(&mut picture, &values, colour, style);
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, InMemory, Voxels};

    const EXTENT: Extent = Extent::new(1, 4, 6);

    fn drawn(layers: &[Layer<'_>], style: OverlayStyle) -> Picture {
        let images = InMemory::new("images", EXTENT, Voxels::U8(vec![100; 24]));
        overlay_section(&images, layers, Region::whole(EXTENT), 100, style).unwrap()
    }

    #[test]
    fn layers_are_tinted_where_they_are_inside_and_the_last_is_on_top() {
        let mut half = vec![0; 24];
        half[..12].fill(128);
        let probability = InMemory::new("p", EXTENT, Voxels::U8(half));
        let mut object = vec![0; 24];
        object[0] = 9;
        let class = InMemory::new("c", EXTENT, Voxels::U32(object));
        let layers = [
            Layer { volume: &probability, kind: LayerKind::Probability(0.5), colour: [200, 0, 0] },
            Layer { volume: &class, kind: LayerKind::Class, colour: [0, 0, 200] },
        ];
        let picture = drawn(&layers, OverlayStyle { fill: 0.5, contour: false });
        assert_eq!(picture.pixels()[1], [150, 50, 50]);
        assert_eq!(picture.pixels()[0], [75, 25, 125], "the class over the probability");
        assert_eq!(picture.pixels()[12], [100; 3]);
    }

    #[test]
    fn a_contour_goes_between_objects_that_touch() {
        let labels: Vec<u32> = (0..24).map(|i| if i % 6 < 3 { 1 } else { u32::MAX }).collect();
        let volume = InMemory::new("o", EXTENT, Voxels::U32(labels));
        let layers = [Layer { volume: &volume, kind: LayerKind::Objects, colour: [0; 3] }];
        let picture = drawn(&layers, OverlayStyle { fill: 0.0, contour: true });
        let row: Vec<bool> = picture.pixels()[6..12].iter().map(|&p| p != [100; 3]).collect();
        assert_eq!(row, [false, false, true, true, false, false]);
        assert_ne!(picture.pixels()[8], picture.pixels()[9]);
    }

    #[test]
    fn what_does_not_fit_is_said() {
        let images = InMemory::new("images", EXTENT, Voxels::U8(vec![100; 24]));
        let other = InMemory::new("other", Extent::new(1, 4, 5), Voxels::U8(vec![0; 20]));
        let float = InMemory::new("float", EXTENT, Voxels::F32(vec![0.0; 24]));
        let style = OverlayStyle::default();
        for (volume, expected) in [(&other, "1 × 4 × 5"), (&float, "expected labels")] {
            let layers = [Layer { volume, kind: LayerKind::Class, colour: [0; 3] }];
            let error = overlay_section(&images, &layers, Region::whole(EXTENT), 100, style).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
