//! Smooth noise: random values on a lattice, interpolated. A function of the seed and the place alone.

use crate::hash;
use crate::vector::Vec3;

/// Noise in [-1, 1] whose blobs are about `scale` nm in size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    seed: u64,
    per_nm: f64,
}

/// Where the columns of a row lie: column `first + i` at `(first + i) * pitch + offset` nm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    pub(crate) first: i64,
    pub(crate) pitch: f64,
    pub(crate) offset: f64,
}

impl Columns {
    pub(crate) fn x(&self, i: usize) -> f64 {
        (self.first + i as i64) as f64 * self.pitch + self.offset
    }
}

/// The largest whole number not above `v`, and what remains. (`f64::floor` is a call where the processor may lack it.)
fn split(v: f64) -> (i64, f64) {
    let truncated = v as i64;
    let whole = truncated - i64::from(v < truncated as f64);
    (whole, v - whole as f64)
}

/// Cubic easing: no kinks at the lattice's planes.
fn ease(t: f64) -> f32 {
    let t = t as f32;
    t * t * (3.0 - 2.0 * t)
}

fn mixed(a: f32, b: f32, t: f32) -> f32 {
    a + (b - a) * t
}

impl Noise {
    pub(crate) fn new(seed: u64, purpose: u64, scale_nm: f64) -> Self {
        Self { seed: hash::stream(seed, purpose), per_nm: 1.0 / scale_nm }
    }

    fn knot(&self, z: i64, y: i64, x: i64) -> f32 {
        let h = hash::at(self.seed, z, y, x);
        (h >> 40) as f32 * (2.0 / 16_777_216.0) - 1.0
    }

    /// The four knots of lattice column `x`, interpolated in z and y.
    fn column(&self, z: i64, y: i64, x: i64, tz: f32, ty: f32) -> f32 {
        mixed(
            mixed(self.knot(z, y, x), self.knot(z, y + 1, x), ty),
            mixed(self.knot(z + 1, y, x), self.knot(z + 1, y + 1, x), ty),
            tz,
        )
    }

    /// The value at a place.
    pub(crate) fn value(&self, p: Vec3) -> f32 {
        let (z, y, x) = (p.z * self.per_nm, p.y * self.per_nm, p.x * self.per_nm);
        let ((iz, tz), (iy, ty), (ix, tx)) = (split(z), split(y), split(x));
        let (tz, ty) = (ease(tz), ease(ty));
        mixed(self.column(iz, iy, ix, tz, ty), self.column(iz, iy, ix + 1, tz, ty), ease(tx))
    }

    /// Adds `amplitude` times the values along a row.
    pub(crate) fn add_row(&self, z_nm: f64, y_nm: f64, columns: Columns, amplitude: f32, out: &mut [f32]) {
        let (z, y) = (z_nm * self.per_nm, y_nm * self.per_nm);
        let ((iz, tz), (iy, ty)) = (split(z), split(y));
        let (tz, ty) = (ease(tz), ease(ty));
        let lattice = |i: usize| split(columns.x(i) * self.per_nm).0;
        let mut begin = 0;
        let mut right = None;
        while begin < out.len() {
            // All pixels between two planes of the lattice at once: the end is guessed, then put right.
            let ix = lattice(begin);
            let left = right.unwrap_or_else(|| self.column(iz, iy, ix, tz, ty));
            let new_right = self.column(iz, iy, ix + 1, tz, ty);
            let guess = ((ix + 1) as f64 / self.per_nm - columns.offset) / columns.pitch - columns.first as f64;
            let mut end = (guess as usize).clamp(begin + 1, out.len());
            while end < out.len() && lattice(end) == ix {
                end += 1;
            }
            while end > begin + 1 && lattice(end - 1) > ix {
                end -= 1;
            }
            let base = ix as f64;
            for (i, v) in (begin..end).zip(&mut out[begin..end]) {
                *v += amplitude * mixed(left, new_right, ease(columns.x(i) * self.per_nm - base));
            }
            // Where pixels are wider than the lattice, planes are skipped.
            right = (end < out.len() && lattice(end) == ix + 1).then_some(new_right);
            begin = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_the_values_of_its_places_wherever_it_starts() {
        let noise = Noise::new(3, 1, 37.0);
        for (first, pitch) in [(-70, 8.0), (-3, 3.7), (0, 8.0), (5, 37.0), (-9, 90.0)] {
            let columns = Columns { first, pitch, offset: 2.5 };
            let mut row = vec![0.0; 60];
            noise.add_row(-12.0, 99.0, columns, 2.0, &mut row);
            for (i, v) in row.iter().enumerate() {
                let p = Vec3::new(-12.0, 99.0, columns.x(i));
                assert_eq!(*v, 2.0 * noise.value(p));
                assert!(v.abs() <= 2.0);
            }
        }
    }
}
