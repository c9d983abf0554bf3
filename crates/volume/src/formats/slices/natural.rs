//! The order in which people number files: 2 before 10.

use std::cmp::Ordering;

/// Compares names with each run of digits as a number; numbers of equal value by their leading zeros, so that the order
/// is total.
pub(super) fn compare(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.as_bytes(), b.as_bytes());
    loop {
        match (left.first(), right.first()) {
            (None, None) => return a.cmp(b),
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(l), Some(r)) if l.is_ascii_digit() && r.is_ascii_digit() => {
                let (x, rest_left) = number(left);
                let (y, rest_right) = number(right);
                let order = x.len().cmp(&y.len()).then_with(|| x.cmp(y));
                if order.is_ne() {
                    return order;
                }
                (left, right) = (rest_left, rest_right);
            }
            (Some(l), Some(r)) => {
                if l != r {
                    return l.cmp(r);
                }
                (left, right) = (&left[1..], &right[1..]);
            }
        }
    }
}

/// The digits at the start without leading zeros, and what follows them.
fn number(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|c| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let zeros = digits.iter().take_while(|&&c| c == b'0').count();
    (&digits[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_count_as_numbers() {
        let mut names =
            ["s10.png", "s2.png", "s1.png", "s02.png", "s100.png", "s20b3.png", "s20b12.png", "s.png", "S3.png"];
        names.sort_by(|a, b| compare(a, b));
        assert_eq!(
            names,
            ["S3.png", "s.png", "s1.png", "s02.png", "s2.png", "s10.png", "s20b3.png", "s20b12.png", "s100.png"]
        );
    }

    #[test]
    fn numbers_longer_than_a_machine_word() {
        assert_eq!(compare("99999999999999999999998", "99999999999999999999999"), Ordering::Less);
    }

    proptest! {
        #[test]
        fn the_order_is_total(mut names in prop::collection::vec("[a0-9.]{0,6}", 1..12)) {
            names.sort_by(|a, b| compare(a, b));
            for (i, a) in names.iter().enumerate() {
                for b in &names[i..] {
                    prop_assert_ne!(compare(a, b), Ordering::Greater);
                    prop_assert_eq!(compare(a, b), compare(b, a).reverse());
                }
            }
        }
    }
}
