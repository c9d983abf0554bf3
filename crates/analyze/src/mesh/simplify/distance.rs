//! How far a point is from a triangle.

use super::super::vector::{Vector, add, dot, minus, times};

/// The squared distance (Ericson, Real-Time Collision Detection, 2005, 5.1.5: which corner, edge or inside is nearest).
#[inline]
pub(in crate::mesh) fn squared(p: Vector, [a, b, c]: [Vector; 3]) -> f64 {
    let (ab, ac, ap) = (minus(b, a), minus(c, a), minus(p, a));
    let (d1, d2) = (dot(ab, ap), dot(ac, ap));
    let from = |q: Vector| {
        let way = minus(p, q);
        dot(way, way)
    };
    if d1 <= 0.0 && d2 <= 0.0 {
        return from(a);
    }
    let bp = minus(p, b);
    let (d3, d4) = (dot(ab, bp), dot(ac, bp));
    if d3 >= 0.0 && d4 <= d3 {
        return from(b);
    }
    let vc = d1 * d4 - d3 * d2;
    if vc <= 0.0 && d1 >= 0.0 && d3 <= 0.0 {
        return from(add(a, times(ab, d1 / (d1 - d3))));
    }
    let cp = minus(p, c);
    let (d5, d6) = (dot(ab, cp), dot(ac, cp));
    if d6 >= 0.0 && d5 <= d6 {
        return from(c);
    }
    let vb = d5 * d2 - d1 * d6;
    if vb <= 0.0 && d2 >= 0.0 && d6 <= 0.0 {
        return from(add(a, times(ac, d2 / (d2 - d6))));
    }
    let va = d3 * d6 - d5 * d4;
    if va <= 0.0 && d4 - d3 >= 0.0 && d5 - d6 >= 0.0 {
        let share = (d4 - d3) / ((d4 - d3) + (d5 - d6));
        return from(add(b, times(minus(c, b), share)));
    }
    let sum = va + vb + vc;
    from(add(a, add(times(ab, vb / sum), times(ac, vc / sum))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_of_many_points_of_the_triangle() {
        let triangle = [[0.0, 0.0, 0.0], [4.0, 0.0, 1.0], [1.0, 3.0, -1.0]];
        let [a, b, c] = triangle;
        for i in 0..1000_u32 {
            let of = |k: u32| f64::from(i.wrapping_mul(k).wrapping_add(k) % 997) / 100.0 - 4.0;
            let p = [of(7919), of(104_729), of(1_299_709)];
            let mut nearest = f64::INFINITY;
            for (u, v) in (0..=100).flat_map(|u| (0..=100 - u).map(move |v| (u, v))) {
                let (u, v) = (f64::from(u) / 100.0, f64::from(v) / 100.0);
                let way = minus(p, add(a, add(times(minus(b, a), u), times(minus(c, a), v))));
                nearest = nearest.min(dot(way, way));
            }
            let found = squared(p, triangle).sqrt();
            assert!(found <= nearest.sqrt() + 1e-12 && found > nearest.sqrt() - 0.05, "{p:?}: {found} and {nearest}");
        }
    }
}
