//! What is usual, and what stands out, whatever a few outliers do.

/// Sections on either side that a section is compared with.
const REACH: usize = 5;
/// Fewer sections than this say nothing about what is usual.
pub(crate) const FEWEST: usize = 5;
/// From a median absolute deviation to the standard deviation of a normal distribution.
const MAD_TO_SD: f64 = 1.4826;

/// The median; the mean of the two middle values of an even number. 0 of none.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.retain(|v| v.is_finite());
    values.sort_unstable_by(f64::total_cmp);
    let n = values.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => values[n / 2],
        _ => f64::midpoint(values[n / 2 - 1], values[n / 2]),
    }
}

/// The neighbours of each place, itself left out: as many as [`REACH`] on either side, and at the ends as many more on the
/// side that is there.
fn neighbours(at: usize, len: usize) -> impl Iterator<Item = usize> {
    let wide = (2 * REACH + 1).min(len);
    let first = at.saturating_sub(REACH).min(len - wide);
    (first..first + wide).filter(move |&i| i != at)
}

/// For each value the median of its neighbours.
pub(crate) fn surroundings(values: &[f64]) -> Vec<f64> {
    (0..values.len()).map(|at| median(neighbours(at, values.len()).map(|i| values[i]).collect())).collect()
}

/// What is usual around each value, and how far values usually are from it.
pub(super) struct Usual {
    /// The median of each value's neighbours.
    pub(super) around: Vec<f64>,
    /// The usual distance from it: a robust standard deviation of all differences.
    pub(super) spread: f64,
}

impl Usual {
    /// `None` for too few values.
    pub(super) fn of(values: &[f64]) -> Option<Self> {
        if values.len() < FEWEST {
            return None;
        }
        let around = surroundings(values);
        let apart = values.iter().zip(&around).map(|(v, u)| (v - u).abs()).collect();
        Some(Self { around, spread: MAD_TO_SD * median(apart) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_bear_outliers_and_what_is_no_number() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 1e9]), 3.0);
        assert_eq!(median(vec![4.0, f64::NAN, 1.0]), 2.5);
    }

    #[test]
    fn each_value_is_compared_with_ten_others_where_there_are_so_many() {
        assert!(neighbours(0, 20).eq(1..11));
        assert!(neighbours(19, 20).eq(9..19));
        assert!(neighbours(7, 20).eq([2, 3, 4, 5, 6, 8, 9, 10, 11, 12]));
        assert!(neighbours(1, 3).eq([0, 2]));
        assert_eq!(neighbours(0, 1).count(), 0);
    }

    #[test]
    fn an_outlier_is_far_from_what_is_usual_and_a_drift_is_not() {
        let mut values: Vec<f64> = (0..30).map(|i| f64::from(i) + f64::from(i % 3)).collect();
        values[12] += 40.0;
        let usual = Usual::of(&values).unwrap();
        let far = |i: usize| (values[i] - usual.around[i]).abs() / usual.spread;
        assert!(far(12) > 15.0, "{}", far(12));
        assert!((5..25).filter(|&i| i != 12).all(|i| far(i) < 3.0));
        assert!(Usual::of(&values[..4]).is_none());
    }
}
