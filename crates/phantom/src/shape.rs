//! Distances to the shapes of objects: a curved tube with round ends, an ellipsoid.

use crate::vector::Vec3;

/// Points along the middle of a tube, with its radius at each.
#[derive(Clone, Debug)]
pub(crate) struct Spine {
    points: [Vec3; Self::POINTS],
    radii: [f64; Self::POINTS],
    centre: Vec3,
    reach: f64,
}

impl Spine {
    pub(crate) const POINTS: usize = 5;

    /// A tube along the quadratic Bézier curve from `centre - half` to `centre + half`, pulled sideways by `bend`.
    pub(crate) fn curve(centre: Vec3, half: Vec3, bend: Vec3, radii: [f64; Self::POINTS]) -> Self {
        let points = std::array::from_fn(|i| {
            let t = i as f64 / (Self::POINTS - 1) as f64 * 2.0 - 1.0;
            centre + half * t + bend * (0.5 - t * t)
        });
        let reach = points.iter().zip(&radii).map(|(p, r)| p.distance(centre) + r).fold(0.0, f64::max);
        Self { points, radii, centre, reach }
    }

    pub(crate) const fn centre(&self) -> Vec3 {
        self.centre
    }

    /// Radius of the ball around the centre that holds the tube.
    pub(crate) const fn reach(&self) -> f64 {
        self.reach
    }

    /// Distance from the tube's surface in nm, negative inside. Its slope is at most 1.25: the radii change slowly.
    pub(crate) fn distance(&self, p: Vec3) -> f64 {
        let mut best = f64::INFINITY;
        for i in 0..Self::POINTS - 1 {
            let (a, b) = (self.points[i], self.points[i + 1]);
            let (ab, ap) = (b - a, p - a);
            let t = (ap.dot(ab) / ab.dot(ab).max(1e-9)).clamp(0.0, 1.0);
            let d = (ap - ab * t).norm() - (self.radii[i] + (self.radii[i + 1] - self.radii[i]) * t);
            best = best.min(d);
        }
        best
    }

    /// Points along the middle, half-way ones too, with the radius there.
    pub(crate) fn samples(&self) -> impl Iterator<Item = (Vec3, f64)> + '_ {
        (0..2 * Self::POINTS - 1).map(|i| {
            let (j, k) = (i / 2, i.div_ceil(2));
            ((self.points[j] + self.points[k]) * 0.5, 0.5 * (self.radii[j] + self.radii[k]))
        })
    }

    /// Whether two tubes come closer than `gap`, judged at their [samples](Self::samples).
    pub(crate) fn closer_than(&self, other: &Self, gap: f64) -> bool {
        if self.centre.distance(other.centre) > self.reach + other.reach + gap {
            return false;
        }
        let touches = |a: &Self, b: &Self| {
            a.samples().any(|(p, r)| b.centre.distance(p) < b.reach + r + gap && b.distance(p) < r + gap)
        };
        touches(self, other) || touches(other, self)
    }
}

/// An ellipsoid with axes along z, y, x (the warp of space makes it irregular).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ellipsoid {
    pub(crate) centre: Vec3,
    pub(crate) radii: Vec3,
}

impl Ellipsoid {
    pub(crate) fn reach(&self) -> f64 {
        self.radii.z.max(self.radii.y).max(self.radii.x)
    }

    /// Distance from the surface in nm to first order, negative inside: exact at the surface, monotone outwards.
    pub(crate) fn distance(&self, p: Vec3) -> f64 {
        let v = p - self.centre;
        let scaled = Vec3::new(v.z / self.radii.z, v.y / self.radii.y, v.x / self.radii.x);
        let slope = Vec3::new(scaled.z / self.radii.z, scaled.y / self.radii.y, scaled.x / self.radii.x);
        let (k, g) = (scaled.norm(), slope.norm());
        if g < 1e-12 { -self.reach() } else { k * (k - 1.0) / g }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_straight_tube_is_a_capsule() {
        let half = Vec3::new(0.0, 0.0, 100.0);
        let tube = Spine::curve(Vec3::default(), half, Vec3::default(), [30.0; 5]);
        assert_eq!(tube.reach(), 130.0);
        for (p, d) in [((0.0, 50.0, 0.0), 20.0), ((0.0, 0.0, 140.0), 10.0), ((10.0, 0.0, 70.0), -20.0)] {
            assert!((tube.distance(Vec3::new(p.0, p.1, p.2)) - d).abs() < 1e-9);
        }
    }

    #[test]
    fn a_sphere_is_exact() {
        let ball = Ellipsoid { centre: Vec3::new(1.0, 2.0, 3.0), radii: Vec3::new(50.0, 50.0, 50.0) };
        assert!((ball.distance(Vec3::new(1.0, 2.0, 83.0)) - 30.0).abs() < 1e-9);
        assert!((ball.distance(Vec3::new(1.0, 22.0, 3.0)) + 30.0).abs() < 1e-9);
        assert_eq!(ball.distance(ball.centre), -50.0);
    }
}
