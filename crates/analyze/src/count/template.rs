//! What a round object looks like on the grid, and what tells it from what is not one.
//!
//! A ball's voxels count for it and those of a shell around it against it, at a third of the weight. In thick sections a ball is one disc
//! or two, large or small as its centre lies in a section or between two: so there is a template for each of some places
//! of the centre between two sections. Two balls on top of each other make two large discs, one ball between two
//! sections two small ones; the shell tells them apart.

use deep3m_volume::Extent;

use super::scale::Scale;
use crate::smooth::Gaussian;

/// A template's ball in diameters: edges are blurred, objects are not all of one size, sections are not quite aligned, and
/// what of an object sticks out of its template would count against it. This and the next two are chosen on
/// phantoms, in sections of 30 nm, as a compromise: larger, or with less weight of the shell, loose and clustered objects are counted
/// better and those that touch worse.
const GROWN: f64 = 1.07;
/// Thickness of the shell, in the ball's diameters.
const SHELL: f64 = 0.15;
/// Weight of the shell's voxels.
const AGAINST: f32 = 0.35;
/// Places of the centre per diameter, along z.
const PLACES: f64 = 6.0;
/// Parts of a pixel, along each side, of which each is inside a disc or not.
const PARTS: u32 = 5;
/// Blur of the edge that a probability is expected to have, in pixels.
const BLUR: f64 = 1.0;

/// One voxel of a template.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Weight {
    /// Place from the centre's voxel: sections, rows, columns.
    pub(super) at: [i64; 3],
    /// Its weight in the response.
    pub(super) share: f32,
    /// What it adds to the response of a whole object.
    pub(super) whole: f32,
}

/// Templates for one place of the centre.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Template {
    /// How far behind the section's middle the centre lies, in sections.
    pub(super) offset: f64,
    /// Its voxels in the order in which they are added.
    pub(super) weights: Vec<Weight>,
    /// The response of a whole object.
    pub(super) whole: f32,
}

/// The templates of a scale.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Templates {
    /// One for each place of the centre.
    pub(super) all: Vec<Template>,
    /// How far they reach from the centre's voxel.
    pub(super) reach: [i64; 3],
}

impl Templates {
    pub(super) fn new(scale: &Scale) -> Self {
        let (pitch, radius) = (scale.pitch(), GROWN * scale.radius());
        let outer = radius * (1.0 + 2.0 * SHELL);
        let reach = [0, 1, 2].map(|i| (outer / pitch[i] + 0.5).ceil() as i64);
        let places = (PLACES * pitch[0] / scale.diameter).ceil().clamp(1.0, 64.0);
        let offsets = (0..places as u32).map(|i| (f64::from(i) - (places - 1.0) / 2.0) / places);
        // A section that the ball does not reach says nothing of it.
        let all = offsets
            .map(|offset| template(offset, radius, outer, pitch, reach))
            .filter(|template| template.whole > 0.0 && template.offset.abs() * pitch[0] < 0.8 * radius)
            .collect();
        Self { all, reach }
    }
}

fn template(offset: f64, radius: f64, outer: f64, pitch: [f64; 3], reach: [i64; 3]) -> Template {
    let disc = |z: i64, radius: f64| {
        let from_centre = (z as f64 - offset) * pitch[0];
        let square = radius * radius - from_centre * from_centre;
        covered(square, [pitch[1], pitch[2]], [reach[1], reach[2]])
    };
    let blur = Gaussian::new([0.0, BLUR, BLUR]);
    let (height, width) = (2 * reach[1] + 1, 2 * reach[2] + 1);
    let mut weights = Vec::new();
    for z in -reach[0]..=reach[0] {
        let (ball, around) = (disc(z, radius), disc(z, outer));
        let mut expected = ball.clone();
        blur.smooth(&mut expected, Extent::new(1, height as u64, width as u64));
        for (i, (&ball, &around)) in ball.iter().zip(&around).enumerate() {
            let weight = ball - AGAINST * (around - ball);
            if weight != 0.0 {
                let at = [z, i as i64 / width - reach[1], i as i64 % width - reach[2]];
                weights.push(Weight { at, share: weight, whole: weight * expected[i] });
            }
        }
    }
    let whole = weights.iter().fold(0.0, |sum, w| sum + w.whole);
    Template { offset, weights, whole }
}

/// The share of each pixel that lies in a disc around the middle pixel's centre.
fn covered(square: f64, pitch: [f64; 2], reach: [i64; 2]) -> Vec<f32> {
    let parts = |at: i64, pitch: f64| {
        let part = move |i: u32| (at as f64 + (f64::from(i) + 0.5) / f64::from(PARTS) - 0.5) * pitch;
        (0..PARTS).map(part).map(|nm| nm * nm)
    };
    let mut shares = Vec::new();
    for (y, x) in (-reach[0]..=reach[0]).flat_map(|y| (-reach[1]..=reach[1]).map(move |x| (y, x))) {
        let inside = parts(y, pitch[0])
            .flat_map(|y| parts(x, pitch[1]).map(move |x| y + x))
            .filter(|&distance| distance <= square)
            .count();
        shares.push(inside as f32 / (PARTS * PARTS) as f32);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::VoxelSize;

    fn templates(diameter: f64, z: f64, yx: f64) -> Templates {
        let scale = Scale::new(diameter, VoxelSize::new(z, yx, yx).unwrap(), Extent::new(500, 500, 500)).unwrap();
        Templates::new(&scale)
    }

    #[test]
    fn thick_sections_have_more_places_than_thin_ones() {
        let thick = templates(40.0, 30.0, 8.0);
        assert_eq!(thick.all.iter().map(|t| t.offset).collect::<Vec<_>>(), [-0.4, -0.2, 0.0, 0.2, 0.4]);
        assert_eq!(templates(40.0, 5.0, 5.0).all.len(), 1);
        // Sections thicker than an object: only places from which it is seen.
        let coarse = templates(40.0, 100.0, 8.0);
        assert!(!coarse.all.is_empty() && coarse.all.iter().all(|t| t.offset.abs() * 100.0 < 20.0));
    }

    #[test]
    fn a_ball_answers_as_one_and_a_filled_space_less_in_thin_sections() {
        // In thick sections an object is seen in its own section alone: little around it counts against it.
        let (thin, thick) = (templates(40.0, 5.0, 5.0).all, templates(40.0, 30.0, 8.0).all);
        for t in thin.iter().chain(&thick) {
            let ball: f32 = t.weights.iter().map(|w| w.share.max(0.0)).sum();
            assert!((0.5..1.0).contains(&(t.whole / ball)), "{} of {ball}", t.whole);
        }
        for t in &thin {
            let filled: f32 = t.weights.iter().map(|w| w.share).sum();
            assert!(filled < 0.9 * t.whole, "{filled} of {}", t.whole);
        }
    }
}
