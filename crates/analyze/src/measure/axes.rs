//! The principal axes of an object: eigenvalues and eigenvectors of a symmetric 3 × 3 matrix.

/// Lengths, longest first, and directions (z, y, x) of unit length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Axes {
    pub(super) lengths: [f64; 3],
    pub(super) directions: [[f64; 3]; 3],
}

impl Axes {
    /// From a covariance as zz, yy, xx, zy, zx, yx. An ellipsoid whose voxels have this covariance has axes of √(20 c) from end to
    /// end for each eigenvalue c.
    pub(super) fn of([zz, yy, xx, zy, zx, yx]: [f64; 6]) -> Self {
        let (values, vectors) = eigen([[zz, zy, zx], [zy, yy, yx], [zx, yx, xx]]);
        let mut order = [0, 1, 2];
        order.sort_by(|&a, &b| values[b].total_cmp(&values[a]));
        // Rounding leaves traces of a millionth of a millionth where an object is flat.
        let least = values[order[0]] * 1e-12;
        Self {
            lengths: order.map(|i| if values[i] > least { (20.0 * values[i]).sqrt() } else { 0.0 }),
            directions: order.map(|i| upright(vectors.map(|row| row[i]))),
        }
    }
}

/// Of the two directions of an axis the one whose largest component is positive.
fn upright(direction: [f64; 3]) -> [f64; 3] {
    let largest = direction.into_iter().fold(0.0, |a: f64, b| if b.abs() > a.abs() + 1e-9 { b } else { a });
    if largest < 0.0 { direction.map(|v| 0.0 - v) } else { direction }
}

/// Eigenvalues and, in columns, eigenvectors, by Jacobi's rotations (Golub and Van Loan, Matrix Computations, 8.5).
fn eigen(mut a: [[f64; 3]; 3]) -> ([f64; 3], [[f64; 3]; 3]) {
    let mut vectors = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
    // Each sweep squares the error; ten are more than a double can tell.
    for _ in 0..10 {
        for (p, q) in [(0, 1), (0, 2), (1, 2)] {
            if a[p][q] == 0.0 {
                continue;
            }
            let tau = (a[q][q] - a[p][p]) / (2.0 * a[p][q]);
            let t = tau.signum() / (tau.abs() + tau.hypot(1.0));
            let c = 1.0 / t.hypot(1.0);
            let s = t * c;
            let turned = |(p, q): (f64, f64)| (c * p - s * q, s * p + c * q);
            for row in &mut a {
                (row[p], row[q]) = turned((row[p], row[q]));
            }
            let pairs: [_; 3] = std::array::from_fn(|k| turned((a[p][k], a[q][k])));
            (a[p], a[q]) = (pairs.map(|(p, _)| p), pairs.map(|(_, q)| q));
            (a[p][q], a[q][p]) = (0.0, 0.0);
            for row in &mut vectors {
                (row[p], row[q]) = turned((row[p], row[q]));
            }
        }
    }
    ([a[0][0], a[1][1], a[2][2]], vectors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn eigenvectors_are_stretched_by_eigenvalues(m in prop::array::uniform6(-50.0..50.0_f64)) {
            let [zz, yy, xx, zy, zx, yx] = m;
            let a = [[zz, zy, zx], [zy, yy, yx], [zx, yx, xx]];
            let (values, vectors) = eigen(a);
            for i in 0..3 {
                let v = vectors.map(|row| row[i]);
                prop_assert!((v.iter().map(|c| c * c).sum::<f64>() - 1.0).abs() < 1e-12);
                for (row, component) in a.iter().zip(v) {
                    let stretched: f64 = row.iter().zip(v).map(|(a, b)| a * b).sum();
                    prop_assert!((stretched - values[i] * component).abs() < 1e-10);
                }
            }
        }
    }

    #[test]
    fn flat_and_round_ones() {
        let flat = Axes::of([0.0, 4.0, 16.0, 0.0, 0.0, 8.0]);
        assert_eq!((flat.lengths[1], flat.lengths[2]), (0.0, 0.0));
        assert!((flat.lengths[0] - 20.0).abs() < 1e-12);
        let along = flat.directions[0];
        assert!((along[2] - 0.8_f64.sqrt()).abs() < 1e-12 && along[1] > 0.0, "{along:?}");
        let point = Axes::of([0.0; 6]);
        assert_eq!(point.lengths, [0.0; 3]);
        assert!(Axes::of([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]).lengths.iter().all(|&l| l == 20.0_f64.sqrt()));
    }
}
