//! Positions and directions in nanometres.

use std::ops::{Add, Mul, Sub};

/// A position or direction in nm.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Vec3 {
    pub(crate) z: f64,
    pub(crate) y: f64,
    pub(crate) x: f64,
}

impl Vec3 {
    pub(crate) const fn new(z: f64, y: f64, x: f64) -> Self {
        Self { z, y, x }
    }

    pub(crate) fn dot(self, o: Self) -> f64 {
        self.z * o.z + self.y * o.y + self.x * o.x
    }

    pub(crate) fn norm(self) -> f64 {
        self.dot(self).sqrt()
    }

    /// The unit vector of this direction; along x where it has none.
    pub(crate) fn unit(self) -> Self {
        let n = self.norm();
        if n > 1e-9 { self * (1.0 / n) } else { Self::new(0.0, 0.0, 1.0) }
    }

    pub(crate) fn cross(self, o: Self) -> Self {
        Self::new(self.x * o.y - self.y * o.x, self.z * o.x - self.x * o.z, self.y * o.z - self.z * o.y)
    }

    pub(crate) fn distance(self, o: Self) -> f64 {
        (self - o).norm()
    }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, o: Self) -> Self {
        Self::new(self.z + o.z, self.y + o.y, self.x + o.x)
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, o: Self) -> Self {
        Self::new(self.z - o.z, self.y - o.y, self.x - o.x)
    }
}

impl Mul<f64> for Vec3 {
    type Output = Self;
    fn mul(self, k: f64) -> Self {
        Self::new(self.z * k, self.y * k, self.x * k)
    }
}

/// A box in nm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) low: Vec3,
    pub(crate) high: Vec3,
}

impl Bounds {
    /// The box that is larger by `margin` nm on every side.
    pub(crate) fn grown(self, margin: f64) -> Self {
        let m = Vec3::new(margin, margin, margin);
        Self { low: self.low - m, high: self.high + m }
    }

    /// Whether a ball meets the box.
    pub(crate) fn meets(&self, centre: Vec3, radius: f64) -> bool {
        let axis = |c: f64, low: f64, high: f64| (low - c).max(c - high).max(0.0);
        let d = Vec3::new(
            axis(centre.z, self.low.z, self.high.z),
            axis(centre.y, self.low.y, self.high.y),
            axis(centre.x, self.low.x, self.high.x),
        );
        d.dot(d) <= radius * radius
    }

    pub(crate) fn centre(&self) -> Vec3 {
        (self.low + self.high) * 0.5
    }

    /// Half of the diagonal.
    pub(crate) fn radius(&self) -> f64 {
        0.5 * (self.high - self.low).norm()
    }
}
