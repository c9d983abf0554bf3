//! How a layer is painted.

use crate::{Picture, Rgb};

/// Colours of classes, that people with any kind of colour vision tell apart and that are seen on grey (after Okabe and Ito,
/// 2008).
pub const CLASS_COLOURS: [Rgb; 7] =
    [[86, 180, 233], [230, 97, 0], [240, 228, 66], [0, 158, 115], [204, 121, 167], [0, 114, 178], [255, 255, 255]];

/// Fill, contour, or both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OverlayStyle {
    /// The colour's share of a pixel inside: 0 leaves the image as it is.
    pub fill: f32,
    /// Whether the rim is drawn.
    pub contour: bool,
}

impl Default for OverlayStyle {
    fn default() -> Self {
        Self { fill: 0.4, contour: false }
    }
}

/// Paints values but 0 over a picture, each in its colour.
pub(super) fn over(picture: &mut Picture, values: &[u32], colour: impl Fn(u32) -> Rgb, style: OverlayStyle) {
    let (width, height) = (picture.width(), picture.height());
    let thick = if style.contour { (width.max(height) / 900).clamp(1, 3) } else { 0 };
    let pixels = picture.pixels_mut();
    for (i, &value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
        let colour = colour(value);
        let (y, x) = (i / width.max(1), i % width.max(1));
        let other = |y: usize, x: usize| values[y * width + x] != value;
        let rim = (1..=thick).any(|d| {
            (y >= d && other(y - d, x))
                || (y + d < height && other(y + d, x))
                || (x >= d && other(y, x - d))
                || (x + d < width && other(y, x + d))
        });
        let share = if rim { 1.0 } else { style.fill.clamp(0.0, 1.0) };
        for (p, c) in pixels[i].iter_mut().zip(colour) {
            *p = ((1.0 - share) * f32::from(*p) + share * f32::from(c)).round() as u8;
        }
    }
}
