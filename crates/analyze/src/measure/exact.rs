//! Sums that do not depend on the order of what is added.

/// The exact sum of whole and of floating-point numbers, and how many there were.
///
/// A 32-bit floating-point number is a whole number of 24 bits times a power of two. Numbers of like powers are added as whole
/// numbers, in nine groups of 32 powers each; only the mean is rounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExactSum {
    /// Group k counts in units of 2^(32 k − 160); group 5 in ones.
    groups: [i128; 9],
    count: u64,
    /// What is no finite number.
    left_out: u64,
}

const ONES: usize = 5;
const LOWEST: i32 = 160;

impl ExactSum {
    /// Adds the sum of so many whole numbers.
    pub(super) fn add_whole(&mut self, sum: i64, count: u64) {
        self.groups[ONES] += i128::from(sum);
        self.count += count;
    }

    pub(super) fn add_real(&mut self, value: f32) {
        let bits = value.to_bits();
        let power = (bits >> 23 & 0xff) as i32;
        if power == 0xff {
            self.left_out += 1;
            return;
        }
        let digits = i128::from(bits & 0x7f_ffff | if power > 0 { 0x80_0000 } else { 0 });
        let shift = power.max(1) - 150 + LOWEST;
        let part = digits << (shift % 32);
        self.groups[(shift / 32) as usize] += if value.is_sign_negative() { -part } else { part };
        self.count += 1;
    }

    pub(super) fn join(&mut self, other: &Self) {
        for (a, b) in self.groups.iter_mut().zip(other.groups) {
            *a += b;
        }
        self.count += other.count;
        self.left_out += other.left_out;
    }

    /// How many were no finite numbers.
    pub(super) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The mean; `None` of nothing.
    pub(super) fn mean(&self) -> Option<f64> {
        let mut groups = self.groups;
        // What a group has too much goes to the one above it, so that what is left has one sign.
        for k in 0..groups.len() - 1 {
            let over = groups[k] >> 32;
            groups[k] -= over << 32;
            groups[k + 1] += over;
        }
        let value = |(k, &digits): (usize, &i128)| digits as f64 * 2_f64.powi(32 * k as i32 - LOWEST);
        let sum: f64 = groups.iter().enumerate().rev().map(value).sum();
        (self.count > 0).then(|| sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(values: &[f32]) -> ExactSum {
        let mut sum = ExactSum::default();
        for &value in values {
            sum.add_real(value);
        }
        sum
    }

    proptest! {
        #[test]
        fn the_mean_is_exact_in_any_order(
            mut values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL, 1..40),
            split in 0_usize..40,
        ) {
            let mean = of(&values).mean();
            let split = split.min(values.len());
            let mut joined = of(&values[split..]);
            joined.join(&of(&values[..split]));
            prop_assert_eq!(joined.mean(), mean);
            values.reverse();
            prop_assert_eq!(of(&values).mean(), mean);
        }

        #[test]
        fn it_is_that_of_plain_arithmetic(values in prop::collection::vec(-1000_i32..1000, 1..40)) {
            let reals: Vec<f32> = values.iter().map(|&v| v as f32 / 64.0).collect();
            let expected = f64::from(values.iter().sum::<i32>()) / 64.0 / values.len() as f64;
            prop_assert_eq!(of(&reals).mean(), Some(expected));
            let mut whole = ExactSum::default();
            for &v in &values {
                whole.add_whole(v.into(), 1);
            }
            prop_assert!((whole.mean().unwrap() - 64.0 * expected).abs() < 1e-9);
        }
    }

    #[test]
    fn nothing_cancels_what_is_small() {
        assert_eq!(of(&[3e38, 1e-40, -3e38, f32::NAN]).mean(), Some(f64::from(1e-40_f32) / 3.0));
        assert_eq!(of(&[f32::INFINITY]).mean(), None);
        assert_eq!(of(&[f32::INFINITY, f32::NAN]).left_out(), 2);
    }
}
