//! Rotation, scale, stretch, bending and misaligned sections, as one map from the pixels of a patch to places in a
//! section, and the one bilinear interpolation that follows.

use std::f64::consts::TAU;

use crate::augment::{Geometry, field};
use crate::random::Stream;

/// Where each pixel of a patch lies in the sections, in pixels as the network sees them (binned), pixel centres at whole
/// numbers, row and column.
#[derive(Clone, Debug, PartialEq)]
pub struct Warp {
    side: usize,
    at: Vec<(f32, f32)>,
    /// Shift of each section (rows, columns); zero for the labelled one.
    shifts: Vec<(f32, f32)>,
    /// Whether the sections are seen in reversed order.
    pub reversed: bool,
}

/// How far a patch reaches, before its place is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Footprint {
    scale: f64,
}

impl Footprint {
    /// Draws the scale.
    ///
    /// A patch's scale is drawn before its place, so that its place can be chosen such that it lies inside.
    pub fn draw(scale: (f64, f64), random: &mut Stream) -> Self {
        Self { scale: random.between(scale.0.ln(), scale.1.ln()).exp() }
    }

    /// Half of the side of the unturned patch, in pixels of the section.
    pub fn half(&self, side: usize) -> f64 {
        self.scale * side as f64 / 2.0
    }
}

impl Warp {
    /// Draws a map for a patch of `side` pixels and `frames` sections around the place (`y`, `x`).
    ///
    /// [`Geometry::Variations`] is not a warp and gives the upright patch.
    pub fn draw(
        geometry: &Geometry,
        footprint: Footprint,
        (y, x): (f64, f64),
        (side, frames): (usize, usize),
        random: &mut Stream,
    ) -> Self {
        let (stretch, elastic, misalignment) = match *geometry {
            Geometry::Variations => return Self::upright((y, x), (side, frames)),
            Geometry::Warp { stretch, elastic, misalignment, .. } => (stretch, elastic, misalignment),
        };
        let (sine, cosine) = (TAU * random.unit()).sin_cos();
        let flip = if random.chance(0.5) { -1.0 } else { 1.0 };
        let longer = random.around_zero(stretch).exp();
        let (down, across) = (footprint.scale * longer, footprint.scale / longer * flip);
        let middle = (side as f64 - 1.0) / 2.0;
        let mut at = Vec::with_capacity(side * side);
        for r in 0..side {
            let u = (r as f64 - middle) * down;
            for c in 0..side {
                let v = (c as f64 - middle) * across;
                at.push(((y + cosine * u - sine * v) as f32, (x + sine * u + cosine * v) as f32));
            }
        }
        if elastic > 0.0 && random.chance(0.7) {
            let knots = 3 + random.below(5) as usize;
            let strength = random.between(0.0, elastic) as f32;
            let (rows, columns) = (field::smooth(side, knots, random), field::smooth(side, knots, random));
            for ((place, dy), dx) in at.iter_mut().zip(&rows).zip(&columns) {
                *place = (place.0 + strength * dy, place.1 + strength * dx);
            }
        }
        let mut shifts = vec![(0.0, 0.0); frames];
        if misalignment > 0.0 {
            for (z, shift) in shifts.iter_mut().enumerate() {
                if z != frames / 2 {
                    *shift = (random.around_zero(misalignment) as f32, random.around_zero(misalignment) as f32);
                }
            }
        }
        Self { side, at, shifts, reversed: frames > 1 && random.chance(0.5) }
    }

    /// The patch as it lies in the volume.
    pub fn upright((y, x): (f64, f64), (side, frames): (usize, usize)) -> Self {
        let middle = (side as f64 - 1.0) / 2.0;
        let at = (0..side * side)
            .map(|i| ((y + (i / side) as f64 - middle) as f32, (x + (i % side) as f64 - middle) as f32))
            .collect();
        Self { side, at, shifts: vec![(0.0, 0.0); frames], reversed: false }
    }

    /// Mirrors places outside a section of `height` × `width` pixels back inside: the border pixel's edge is the mirror.
    pub fn mirror_into(&mut self, height: usize, width: usize) {
        for place in &mut self.at {
            *place = (mirror_place(place.0, height), mirror_place(place.1, width));
        }
    }

    /// The first row and column and the number of rows and columns of the box that the places need, inside a section
    /// of `height` × `width`; places must have been [mirrored](Self::mirror_into).
    pub fn bounds(&self, height: usize, width: usize) -> Bounds {
        let reach = self.shifts.iter().map(|s| s.0.abs().max(s.1.abs())).fold(0.0, f32::max);
        let axis = |of: fn(&(f32, f32)) -> f32, size: usize| {
            let (low, high) = self.at.iter().map(of).fold((f32::MAX, f32::MIN), |(l, h), v| (l.min(v), h.max(v)));
            let first = (low - reach).floor().max(0.0) as usize;
            let last = ((high + reach).floor() as usize + 1).min(size - 1);
            (first.min(last), last + 1 - first.min(last))
        };
        let ((row, rows), (column, columns)) = (axis(|p| p.0, height), axis(|p| p.1, width));
        Bounds { row, column, rows, columns }
    }

    /// Samples one plane (`bounds` of section `frame`) at every pixel, bilinearly.
    ///
    /// # Panics
    /// If `plane` is not of the size of `bounds`.
    pub fn sample(&self, plane: &[f32], bounds: &Bounds, frame: usize) -> Vec<f32> {
        assert_eq!(plane.len(), bounds.rows * bounds.columns, "pixels of a plane to warp");
        let shift = self.shifts[frame];
        let axis = |place: f32, first: usize, count: usize| {
            let at = (place - first as f32).clamp(0.0, (count - 1) as f32);
            let low = (at as usize).min(count.saturating_sub(2));
            (low, (low + 1).min(count - 1), at - low as f32)
        };
        self.at
            .iter()
            .map(|&(y, x)| {
                let (r0, r1, fy) = axis(y + shift.0, bounds.row, bounds.rows);
                let (c0, c1, fx) = axis(x + shift.1, bounds.column, bounds.columns);
                let (upper, lower) = (&plane[r0 * bounds.columns..], &plane[r1 * bounds.columns..]);
                let top = upper[c0] + (upper[c1] - upper[c0]) * fx;
                let bottom = lower[c0] + (lower[c1] - lower[c0]) * fx;
                top + (bottom - top) * fy
            })
            .collect()
    }

    /// Height and width of the patch.
    pub const fn side(&self) -> usize {
        self.side
    }
}

/// A box of a section, in pixels as the network sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// First row.
    pub row: usize,
    /// First column.
    pub column: usize,
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
}

/// A place on an axis of `size` pixels (0 to `size` − 1 at their centres), mirrored at −½ and `size` − ½, and held
/// between the outermost centres.
fn mirror_place(place: f32, size: usize) -> f32 {
    let size = size as f32;
    let period = 2.0 * size;
    let folded = (place + 0.5).rem_euclid(period);
    let inside = if folded < size { folded } else { period - folded };
    (inside - 0.5).clamp(0.0, size - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const STRONG: Geometry = Geometry::Warp { scale: (0.5, 2.0), stretch: 0.3, elastic: 5.0, misalignment: 3.0 };

    fn drawn(seed: u64, side: usize, size: usize) -> Warp {
        let mut random = Stream::of(&[seed]);
        let footprint = Footprint::draw((0.5, 2.0), &mut random);
        let at = (random.between(0.0, size as f64), random.between(0.0, size as f64));
        let mut warp = Warp::draw(&STRONG, footprint, at, (side, 3), &mut random);
        warp.mirror_into(size, size + 7);
        warp
    }

    proptest! {
        #[test]
        fn bounds_hold_every_place_and_fit_the_section(seed in 0_u64..500, size in 1_usize..90) {
            let warp = drawn(seed, 24, size);
            let b = warp.bounds(size, size + 7);
            prop_assert!(b.rows > 0 && b.columns > 0 && b.row + b.rows <= size && b.column + b.columns <= size + 7);
            for &(y, x) in &warp.at {
                prop_assert!(y >= b.row as f32 && y <= (b.row + b.rows - 1) as f32);
                prop_assert!(x >= b.column as f32 && x <= (b.column + b.columns - 1) as f32);
            }
        }

        #[test]
        fn a_ramp_is_sampled_exactly(seed in 0_u64..200) {
            // Bilinear interpolation is exact on a plane, so the sampled values are the places themselves.
            let (h, w) = (80, 87);
            let warp = drawn(seed, 16, h);
            let b = warp.bounds(h, w);
            let ramp: Vec<f32> = (0..b.rows * b.columns)
                .map(|i| 2.0 * (b.row + i / b.columns) as f32 - 3.0 * (b.column + i % b.columns) as f32)
                .collect();
            for (value, &(y, x)) in warp.sample(&ramp, &b, 1).iter().zip(&warp.at) {
                prop_assert!((value - (2.0 * y - 3.0 * x)).abs() < 1e-2);
            }
        }

        #[test]
        fn mirrored_places_lie_inside(place in -500_f32..500.0, size in 1_usize..50) {
            let at = mirror_place(place, size);
            prop_assert!(at >= 0.0 && at <= (size - 1) as f32);
            if place >= 0.0 && place <= (size - 1) as f32 {
                prop_assert!((at - place).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn an_upright_patch_is_a_copy() {
        let plane: Vec<f32> = (0..64).map(|i| i as f32).collect();
        let mut warp = Warp::upright((3.5, 4.5), (4, 1));
        warp.mirror_into(8, 8);
        let b = warp.bounds(8, 8);
        let cut: Vec<f32> =
            (0..b.rows * b.columns).map(|i| plane[(b.row + i / b.columns) * 8 + b.column + i % b.columns]).collect();
        let sampled = warp.sample(&cut, &b, 0);
        let expected: Vec<f32> = (2..6).flat_map(|y| (3..7).map(move |x| (y * 8 + x) as f32)).collect();
        assert_eq!(sampled, expected);
    }
}
