//! Grey values to network inputs: stored with the model, so that prediction sees what training saw.

use serde::{Deserialize, Serialize};

/// How grey values are brought to the range that a network was trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Normalisation {
    /// As they are: the original network, and models imported from CDeep3M, see raw values 0–255.
    Raw,
    /// `low` becomes −1 and `high` becomes 1, in a straight line; what lies beyond is cut at −1.5 and 1.5, so that a
    /// few bright or dark pixels (dust, edges of the section) do not reach the network at full strength.
    Range {
        /// The grey value that becomes −1.
        low: f32,
        /// The grey value that becomes 1.
        high: f32,
    },
}

/// Grey values that give no range.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error(
    "normalisation: grey values from {low} to {high}; expected a lower and a higher number. Is the image of one grey value only?"
)]
pub struct NormalisationError {
    /// The lower end.
    pub low: f32,
    /// The upper end.
    pub high: f32,
}

impl Normalisation {
    /// Values beyond ± this are cut.
    pub const CUT: f32 = 1.5;

    /// The range from `low` to `high`.
    pub fn range(low: f32, high: f32) -> Result<Self, NormalisationError> {
        if low.is_finite() && high.is_finite() && low < high {
            Ok(Self::Range { low, high })
        } else {
            Err(NormalisationError { low, high })
        }
    }

    /// The range from one percentile of the grey values to another, where images have some contrast at all. Where both
    /// are one value, the range is one grey value wider on each side.
    pub fn between_percentiles([low, high]: [f32; 2]) -> Result<Self, NormalisationError> {
        if low == high { Self::range(low - 1.0, high + 1.0) } else { Self::range(low, high) }
    }

    /// Normalises grey values in place. In a range, what is no number (NaN, where a floating-point image has no data)
    /// becomes the darkest value.
    // `clamp` would keep NaN.
    #[allow(clippy::manual_clamp)]
    pub fn apply(&self, values: &mut [f32]) {
        if let Self::Range { low, high } = *self {
            let scale = 2.0 / (high - low);
            for value in values {
                *value = ((*value - low) * scale - 1.0).max(-Self::CUT).min(Self::CUT);
            }
        }
    }

    /// What the network sees beyond the volume's first and last section: the middle of the range, or black where grey
    /// values are raw, as CDeep3M has it.
    pub const fn outside(&self) -> f32 {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_becomes_minus_one_to_one() {
        let mut values = [100.0, 150.0, 200.0, 0.0, 255.0];
        Normalisation::range(100.0, 200.0).unwrap().apply(&mut values);
        assert_eq!(values, [-1.0, 0.0, 1.0, -1.5, 1.5]);
        let mut raw = [3.0];
        Normalisation::Raw.apply(&mut raw);
        assert_eq!(raw, [3.0]);
        assert!(Normalisation::range(2.0, 2.0).is_err());
        assert!(Normalisation::range(f32::NAN, 2.0).is_err());
    }

    #[test]
    fn what_is_no_number_is_dark() {
        let mut values = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        Normalisation::range(0.0, 1.0).unwrap().apply(&mut values);
        assert_eq!(values, [-1.5, 1.5, -1.5]);
    }

    #[test]
    fn one_percentile_twice_makes_a_narrow_range() {
        assert_eq!(Normalisation::between_percentiles([100.0, 200.0]), Normalisation::range(100.0, 200.0));
        assert_eq!(Normalisation::between_percentiles([2.0, 2.0]), Normalisation::range(1.0, 3.0));
        assert!(Normalisation::between_percentiles([f32::NAN, 1.0]).is_err());
    }

    #[test]
    fn it_is_kept_as_tagged_json() {
        let range = Normalisation::range(12.0, 240.5).unwrap();
        let text = serde_json::to_string(&range).unwrap();
        assert_eq!(text, r#"{"kind":"range","low":12.0,"high":240.5}"#);
        assert_eq!(serde_json::from_str::<Normalisation>(&text).unwrap(), range);
        assert_eq!(serde_json::to_string(&Normalisation::Raw).unwrap(), r#"{"kind":"raw"}"#);
    }
}
