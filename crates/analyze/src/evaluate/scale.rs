//! From the values of a prediction to probabilities, and back.

/// How values become probabilities.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The value that is p = 1.
    pub(crate) one: u32,
    /// Whether there is no value but 0 and `one`.
    pub(crate) mask: bool,
}

impl Scale {
    /// Of a prediction with values up to `max`, of which those above 0 occur.
    pub(crate) fn of(mut values_above_0: impl Iterator<Item = u32>, max: u32) -> Self {
        match (values_above_0.next(), values_above_0.next()) {
            (Some(v), None) if v == 1 || v == 255 || v == max => Self { one: v, mask: true },
            _ => Self { one: max, mask: false },
        }
    }

    /// What a value is worth.
    pub(crate) fn probability(self, level: u32) -> f64 {
        (f64::from(level) / f64::from(self.one)).min(1.0)
    }

    /// The lowest value whose probability is at least `threshold`.
    pub(crate) fn level(self, threshold: f64) -> u32 {
        lowest_value(threshold, self.one)
    }
}

/// The lowest value whose probability, value / `one`, is at least `threshold` (0 to 1); at most `one`.
pub fn lowest_value(threshold: f64, one: u32) -> u32 {
    let guess = (threshold * f64::from(one)).floor() as u32;
    (guess.saturating_sub(1)..=one).find(|&v| f64::from(v) / f64::from(one) >= threshold).unwrap_or(one)
}
