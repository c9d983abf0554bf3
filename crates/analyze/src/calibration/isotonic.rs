//! Isotonic regression: of all curves that never fall, the one nearest to the data by least squares.

use crate::scores::Levels;

/// Values in a row that share a level: their voxels, and those of them that are foreground.
#[derive(Clone, Copy)]
struct Pool {
    first: usize,
    last: usize,
    foreground: u64,
    all: u64,
}

impl Pool {
    fn share(&self) -> f64 {
        self.foreground as f64 / self.all as f64
    }

    /// Whether it is as high as the next, or higher; exact, as fractions.
    fn reaches(&self, next: &Self) -> bool {
        u128::from(self.foreground) * u128::from(next.all) >= u128::from(next.foreground) * u128::from(self.all)
    }
}

/// The share of foreground for each value, never falling: neighbours that fall are pooled (Ayer et al., Annals of Mathematical
/// Statistics 26, 1955). Values that no voxel has lie on the line between their neighbours, or at the height of the only one.
/// `None` without a voxel.
pub(super) fn fit(levels: &Levels) -> Option<Vec<f64>> {
    let mut pools: Vec<Pool> = Vec::new();
    for (value, (background, foreground)) in levels.by_value().enumerate() {
        if background + foreground == 0 {
            continue;
        }
        let mut pool = Pool { first: value, last: value, foreground, all: background + foreground };
        while let Some(before) = pools.last().copied().filter(|before| before.reaches(&pool)) {
            pools.pop();
            pool = Pool {
                first: before.first,
                last: pool.last,
                foreground: before.foreground + pool.foreground,
                all: before.all + pool.all,
            };
        }
        pools.push(pool);
    }
    let (lowest, highest) = (pools.first()?.share(), pools.last()?.share());
    let mut curve = vec![lowest; pools.first()?.first];
    for (i, pool) in pools.iter().enumerate() {
        curve.resize(pool.last + 1, pool.share());
        if let Some(next) = pools.get(i + 1) {
            let width = (next.first - pool.last) as f64;
            let (from, to) = (pool.share(), next.share());
            let between = (pool.last + 1..next.first).map(|value| (value - pool.last) as f64 / width);
            curve.extend(between.map(|part| from + (to - from) * part));
        }
    }
    curve.resize(levels.by_value().len(), highest);
    Some(curve)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(counts: &[(u64, u64)]) -> Levels {
        let mut levels = Levels::new(counts.len() as u32 - 1);
        for (value, &(background, foreground)) in counts.iter().enumerate() {
            (0..background).for_each(|_| levels.add(value as u32, false));
            (0..foreground).for_each(|_| levels.add(value as u32, true));
        }
        levels
    }

    #[test]
    fn falling_neighbours_are_pooled_and_gaps_are_bridged() {
        // Shares –, 0, –, 1/2, 1/4, –, –, 1, –.
        let curve = fit(&of(&[(0, 0), (2, 0), (0, 0), (1, 1), (3, 1), (0, 0), (0, 0), (0, 2), (0, 0)])).unwrap();
        let third = 1.0 / 3.0;
        let expected = [0.0, 0.0, third / 2.0, third, third, third + 2.0 / 9.0, third + 4.0 / 9.0, 1.0, 1.0];
        for (found, expected) in curve.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{curve:?}");
        }
        assert_eq!(curve.len(), 9);
        assert!(fit(&of(&[(0, 0), (0, 0)])).is_none());
        assert_eq!(fit(&of(&[(0, 0), (1, 3)])).unwrap(), [0.75, 0.75]);
    }

    proptest! {
        /// The min-max formula: at each value the least, over ends at or behind it, of the largest mean over starts before it.
        #[test]
        fn it_is_the_curve_of_the_min_max_formula(counts in prop::collection::vec((1_u64..5, 0_u64..5), 1..12)) {
            let curve = fit(&of(&counts)).unwrap();
            prop_assert!(curve.is_sorted());
            let mean = |from: usize, to: usize| {
                let (background, foreground) =
                    counts[from..=to].iter().fold((0, 0), |(b, f), (x, y)| (b + x, f + y));
                foreground as f64 / (background + foreground) as f64
            };
            for (at, found) in curve.iter().enumerate() {
                let expected = (0..=at)
                    .map(|from| (at..counts.len()).map(|to| mean(from, to)).fold(f64::INFINITY, f64::min))
                    .fold(f64::NEG_INFINITY, f64::max);
                prop_assert!((found - expected).abs() < 1e-12, "{} at {}: {}", found, at, expected);
            }
        }
    }
}
