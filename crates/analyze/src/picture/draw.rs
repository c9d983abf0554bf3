//! The looks of an overlay.

use super::section::SectionView;
use super::{Picture, Rgb};

/// How a section is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Style {
    /// The image alone.
    Raw,
    /// The prediction as a tint: 0.6 of the image and 0.4 of the segmentation's colour, as CDeep3M2 draws it.
    Tint,
    /// The prediction's outline.
    Outline,
    /// The truth's outline.
    Truth,
    /// The probability alone, black 0 to white 1.
    Probability,
    /// Where prediction and truth agree: found, false and missed voxels in three colours.
    Agreement,
    /// Both outlines, the truth's under the prediction's.
    Outlines,
}

/// Colours that people with any kind of colour vision tell apart (after Okabe and Ito, 2008).
pub mod palette {
    use super::Rgb;

    /// The segmentation; and voxels that are rightly found.
    pub const FOUND: Rgb = [86, 180, 233];
    /// Voxels that are found and not there.
    pub const FALSE: Rgb = [230, 97, 0];
    /// Voxels that are there and not found.
    pub const MISSED: Rgb = [240, 228, 66];
    /// The truth.
    pub const TRUTH: Rgb = [240, 228, 66];
    /// Objects beside each other: all colours of the set but black.
    pub const OBJECTS: [Rgb; 7] =
        [[86, 180, 233], [230, 159, 0], [0, 158, 115], [204, 121, 167], [240, 228, 66], [0, 114, 178], [213, 94, 0]];

    /// The colour of an object, by its number alone: the same in every picture and file.
    pub const fn of_object(id: u32) -> Rgb {
        OBJECTS[(id.wrapping_sub(1) % OBJECTS.len() as u32) as usize]
    }
}

/// The image's share of a pixel of the segmentation.
const RAW_SHARE: f32 = 0.6;
/// The image's share of a false or missed pixel: errors shall be seen.
const RAW_SHARE_OF_ERRORS: f32 = 0.4;

pub(super) fn draw(view: &SectionView, style: Style) -> Picture {
    let mut pixels: Vec<Rgb> = view.grey.iter().map(|&g| [g; 3]).collect();
    let prediction = view.prediction.as_deref();
    let truth = view.truth.as_deref();
    let thick = (view.width.max(view.height) / 450).clamp(1, 4);
    match style {
        Style::Raw => {}
        Style::Probability => {
            let shares = view.probability.as_deref().unwrap_or_default();
            for (pixel, p) in pixels.iter_mut().zip(shares) {
                *pixel = [(255.0 * p).round() as u8; 3];
            }
        }
        Style::Tint => fill(&mut pixels, prediction, palette::FOUND, RAW_SHARE),
        Style::Outline => outline(&mut pixels, view.width, prediction, palette::FOUND, thick),
        Style::Truth => outline(&mut pixels, view.width, truth, palette::TRUTH, thick),
        Style::Outlines => {
            outline(&mut pixels, view.width, truth, palette::TRUTH, thick);
            outline(&mut pixels, view.width, prediction, palette::FOUND, thick);
        }
        Style::Agreement => {
            if let (Some(p), Some(t)) = (prediction, truth) {
                let of_kind = |found: bool, there: bool| -> Vec<bool> {
                    p.iter().zip(t).map(|(&p, &t)| p == found && t == there).collect()
                };
                fill(&mut pixels, Some(&of_kind(true, true)), palette::FOUND, RAW_SHARE);
                fill(&mut pixels, Some(&of_kind(true, false)), palette::FALSE, RAW_SHARE_OF_ERRORS);
                fill(&mut pixels, Some(&of_kind(false, true)), palette::MISSED, RAW_SHARE_OF_ERRORS);
            } else {
                fill(&mut pixels, prediction, palette::FOUND, RAW_SHARE);
            }
        }
    }
    Picture::from_pixels(view.width, view.height, pixels)
}

fn fill(pixels: &mut [Rgb], mask: Option<&[bool]>, colour: Rgb, raw_share: f32) {
    for (pixel, _) in pixels.iter_mut().zip(mask.unwrap_or_default()).filter(|(_, inside)| **inside) {
        for (p, c) in pixel.iter_mut().zip(colour) {
            *p = (raw_share * f32::from(*p) + (1.0 - raw_share) * f32::from(c)).round() as u8;
        }
    }
}

/// Paints the rim of a mask, `thick` pixels wide and inside of it. The picture's border is no rim.
fn outline(pixels: &mut [Rgb], width: usize, mask: Option<&[bool]>, colour: Rgb, thick: usize) {
    let Some(mask) = mask else { return };
    let mut inner = mask.to_vec();
    for _ in 0..thick {
        inner = eroded(&inner, width);
    }
    for ((pixel, inside), deep) in pixels.iter_mut().zip(mask).zip(&inner) {
        if *inside && !deep {
            *pixel = colour;
        }
    }
}

/// The mask without the pixels that have a neighbour outside.
fn eroded(mask: &[bool], width: usize) -> Vec<bool> {
    let at = |i: usize, step: isize| i.checked_add_signed(step).and_then(|j| mask.get(j)).copied().unwrap_or(true);
    (0..mask.len())
        .map(|i| {
            let left = i % width == 0 || at(i, -1);
            let right = i % width == width - 1 || at(i, 1);
            mask[i] && left && right && at(i, -(width as isize)) && at(i, width as isize)
        })
        .collect()
}
