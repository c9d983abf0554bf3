//! The nearest of many points, by a k-d tree.

/// Points, sorted so that each half of each part lies on one side of its middle point.
pub(crate) struct Neighbours<'a> {
    points: &'a [[f64; 3]],
    order: Vec<u32>,
}

impl<'a> Neighbours<'a> {
    /// Of points without NaN, at most 2³².
    pub(crate) fn new(points: &'a [[f64; 3]]) -> Self {
        let mut order: Vec<u32> = (0..points.len() as u32).collect();
        sort(points, &mut order, 0);
        Self { points, order }
    }

    /// The point nearest to that of a number, and the squared distance; the one with the lowest number of several. `None`
    /// where there is no other.
    pub(crate) fn of(&self, number: usize) -> Option<(usize, f64)> {
        let mut best = None;
        self.search(&self.order, 0, number, &mut best);
        best.map(|(square, nearest)| (nearest as usize, square))
    }

    fn search(&self, part: &[u32], axis: usize, number: usize, best: &mut Option<(f64, u32)>) {
        let middle = part.len() / 2;
        let Some(&here) = part.get(middle) else { return };
        let (from, to) = (self.points[number], self.points[here as usize]);
        if here as usize != number {
            let square = (0..3).map(|i| (from[i] - to[i]) * (from[i] - to[i])).sum::<f64>();
            if best.is_none_or(|(least, nearest)| (square, here) < (least, nearest)) {
                *best = Some((square, here));
            }
        }
        let across = from[axis] - to[axis];
        let (before, behind) = (&part[..middle], &part[middle + 1..]);
        let (near, far) = if across < 0.0 { (before, behind) } else { (behind, before) };
        let next = (axis + 1) % 3;
        self.search(near, next, number, best);
        // Also where both are as far: the other side may hold a lower number.
        if best.is_none_or(|(least, _)| across * across <= least) {
            self.search(far, next, number, best);
        }
    }
}

fn sort(points: &[[f64; 3]], part: &mut [u32], axis: usize) {
    if part.len() < 2 {
        return;
    }
    let middle = part.len() / 2;
    let key = |number: &u32| points[*number as usize][axis];
    part.select_nth_unstable_by(middle, |a, b| key(a).total_cmp(&key(b)).then(a.cmp(b)));
    let (before, behind) = part.split_at_mut(middle);
    let next = (axis + 1) % 3;
    sort(points, before, next);
    sort(points, &mut behind[1..], next);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_nearest_is_that_of_looking_at_all(points in prop::collection::vec([0_u8..6, 0_u8..6, 0_u8..9], 0..60)) {
            let points: Vec<[f64; 3]> = points.into_iter().map(|p| p.map(f64::from)).collect();
            let tree = Neighbours::new(&points);
            for (i, a) in points.iter().enumerate() {
                let expected = points
                    .iter()
                    .enumerate()
                    .filter(|(j, _)| *j != i)
                    .map(|(j, b)| ((0..3).map(|k| (a[k] - b[k]).powi(2)).sum::<f64>(), j))
                    .min_by(|a, b| a.partial_cmp(b).unwrap())
                    .map(|(square, j)| (j, square));
                prop_assert_eq!(tree.of(i), expected);
            }
        }
    }
}
