//! Sums of squared distances to planes (Garland and Heckbert, 1997).

use super::super::vector::{Vector, dot, length, minus, normal, times};

/// The sum over planes of weight × squared distance: p·Ap − 2 b·p + c.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Quadric {
    /// xx, xy, xz, yy, yz, zz.
    a: [f64; 6],
    b: Vector,
    c: f64,
    /// The sum of the weights.
    weight: f64,
}

/// How strongly the best place is drawn to the middle of the edge, relative to the planes: decides where these do not.
const STIFFNESS: f64 = 1e-3;

impl Quadric {
    /// The plane of a triangle, weighted with its area.
    pub(super) fn of_triangle(triangle: [Vector; 3]) -> Self {
        let n = normal(triangle);
        let double_area = length(n);
        if double_area == 0.0 {
            return Self::default();
        }
        let (n, weight) = (times(n, 1.0 / double_area), double_area / 2.0);
        let d = dot(n, triangle[0]);
        Self {
            a: [n[0] * n[0], n[0] * n[1], n[0] * n[2], n[1] * n[1], n[1] * n[2], n[2] * n[2]].map(|v| v * weight),
            b: times(n, d * weight),
            c: d * d * weight,
            weight,
        }
    }

    /// Both sums in one.
    pub(super) fn plus(&self, other: &Self) -> Self {
        Self {
            a: std::array::from_fn(|i| self.a[i] + other.a[i]),
            b: std::array::from_fn(|i| self.b[i] + other.b[i]),
            c: self.c + other.c,
            weight: self.weight + other.weight,
        }
    }

    fn applied(&self, p: Vector) -> Vector {
        let [xx, xy, xz, yy, yz, zz] = self.a;
        [xx * p[0] + xy * p[1] + xz * p[2], xy * p[0] + yy * p[1] + yz * p[2], xz * p[0] + yz * p[1] + zz * p[2]]
    }

    /// The mean squared distance of a place to the planes.
    pub(super) fn mean(&self, p: Vector) -> f64 {
        let sum = dot(p, self.applied(p)) - 2.0 * dot(self.b, p) + self.c;
        if self.weight > 0.0 { (sum / self.weight).max(0.0) } else { 0.0 }
    }

    /// The place nearest to the planes; near `middle` where several are as near.
    pub(super) fn best(&self, middle: Vector) -> Vector {
        // (A + s) δ = b − A m for the way δ from the middle m.
        let stiffness = STIFFNESS * self.weight;
        let [xx, xy, xz, yy, yz, zz] = self.a;
        let (xx, yy, zz) = (xx + stiffness, yy + stiffness, zz + stiffness);
        let right = minus(self.b, self.applied(middle));
        let (c0, c1, c2) = (yy * zz - yz * yz, xz * yz - xy * zz, xy * yz - xz * yy);
        let determinant = xx * c0 + xy * c1 + xz * c2;
        if determinant <= 0.0 {
            return middle;
        }
        let (c3, c4, c5) = (xx * zz - xz * xz, xy * xz - xx * yz, xx * yy - xy * xy);
        let way = [dot([c0, c1, c2], right), dot([c1, c3, c4], right), dot([c2, c4, c5], right)];
        std::array::from_fn(|i| middle[i] + way[i] / determinant)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_planes_meet_in_the_best_place() {
        let corner = [3.0, -2.0, 5.0];
        let at = |x: f64, y: f64, z: f64| [corner[0] + x, corner[1] + y, corner[2] + z];
        let planes = [
            [corner, at(1.0, 0.0, 0.0), at(0.0, 1.0, 0.0)],
            [corner, at(0.0, 1.0, 0.0), at(0.0, 0.0, 1.0)],
            [corner, at(0.0, 0.0, 1.0), at(1.0, 0.0, 0.0)],
        ];
        let sum = planes.iter().fold(Quadric::default(), |sum, &t| sum.plus(&Quadric::of_triangle(t)));
        let best = sum.best(at(0.3, 0.2, 0.1));
        assert!(length(minus(best, corner)) < 0.01, "{best:?}");
        assert!(sum.mean(corner) < 1e-12);
        let off = sum.mean(at(0.0, 0.0, 0.3));
        assert!((off - 0.09 / 3.0).abs() < 1e-12, "{off}");
        // On one plane any place is as good: it stays where it is.
        let flat = Quadric::of_triangle(planes[0]);
        assert!(length(minus(flat.best(at(0.3, 0.2, 0.0)), at(0.3, 0.2, 0.0))) < 1e-9);
    }
}
