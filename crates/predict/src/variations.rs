//! Which of the 16 variations a prediction averages.
//!
//! The network answers a turned or mirrored section a little differently; the mean over the variations removes what
//! depends on the orientation, and costs one pass through the network each. The subsets for fewer passes are the
//! reference's (CDeep3M `--augspeed`), which takes other orientations for each model so that together they see more.

use std::fmt;
use std::str::FromStr;

use deep3m_net::Frames;
use deep3m_volume::Variation;
use serde::{Deserialize, Serialize};

/// How many variations are averaged, as `--variations` takes it.
///
/// | setting | 1fm | 3fm | 5fm | reference |
/// |---|---|---|---|---|
/// | 16 | 1–8 | 1–16 | 1–16 | `augspeed 1` |
/// | 8 | 1, 3, 6, 7 | 1–4, 13–16 | 5–12 | `augspeed 2` |
/// | 4 | 2, 3, 6, 7 | 7, 8, 10, 12 | 1, 6, 11, 15 | `augspeed 4` |
/// | 2 | 1, 8 | 1, 16 | 1, 16 | – |
/// | 1 | 1 | 1 | 1 | `augspeed 10` |
///
/// Numbers above 8 reverse the order of the sections, which a model of one frame cannot see: for it the reference's
/// {1, 6, 11, 15} is {1, 6, 3, 7}, and 16 variations are 8 passes. Two are the section as it is and turned by 180°
/// (in 3D: also seen from below), the pair with the most different orientation of the same size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum VariationCount {
    /// Every orientation: the best prediction.
    #[default]
    Sixteen,
    /// Half of them.
    Eight,
    /// A quarter.
    Four,
    /// As it is, and turned by 180°.
    Two,
    /// As it is.
    One,
}

/// A number of variations that is not one of 16, 8, 4, 2 and 1.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' variations: expected 16, 8, 4, 2 or 1")]
pub struct VariationCountError {
    found: String,
}

impl VariationCount {
    /// Every setting, from the slowest to the fastest.
    pub const ALL: [Self; 5] = [Self::Sixteen, Self::Eight, Self::Four, Self::Two, Self::One];

    /// The setting as a number.
    pub const fn get(self) -> u8 {
        match self {
            Self::Sixteen => 16,
            Self::Eight => 8,
            Self::Four => 4,
            Self::Two => 2,
            Self::One => 1,
        }
    }

    /// The variations that a model of this many frames averages, in the order of their numbers, none twice.
    pub fn for_frames(self, frames: Frames) -> Vec<Variation> {
        let numbers: &[u8] = match (self, frames) {
            (Self::Sixteen, Frames::One) => &[1, 2, 3, 4, 5, 6, 7, 8],
            (Self::Sixteen, _) => &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
            (Self::Eight, Frames::One) => &[1, 3, 6, 7],
            (Self::Eight, Frames::Three) => &[1, 2, 3, 4, 13, 14, 15, 16],
            (Self::Eight, Frames::Five) => &[5, 6, 7, 8, 9, 10, 11, 12],
            (Self::Four, Frames::One) => &[2, 3, 6, 7],
            (Self::Four, Frames::Three) => &[7, 8, 10, 12],
            (Self::Four, Frames::Five) => &[1, 6, 11, 15],
            (Self::Two, Frames::One) => &[1, 8],
            (Self::Two, _) => &[1, 16],
            (Self::One, _) => &[1],
        };
        numbers.iter().filter_map(|&number| Variation::from_number(number)).collect()
    }
}

/// All variations of a model in the order in which a prediction that may stop early walks them: neighbours differ as much
/// as they can, and models that run side by side see different orientations.
pub(crate) fn in_turn(frames: Frames) -> Vec<Variation> {
    let numbers: &[u8] = match frames {
        Frames::One => &[1, 5, 8, 4, 2, 6, 3, 7],
        Frames::Three => &[10, 6, 11, 7, 1, 13, 8, 12, 2, 14, 3, 15, 9, 5, 16, 4],
        Frames::Five => &[4, 16, 5, 9, 7, 11, 6, 10, 12, 8, 13, 1, 15, 3, 14, 2],
    };
    numbers.iter().filter_map(|&number| Variation::from_number(number)).collect()
}

/// What a prediction walks: as many variations as are told, or as many as it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// All, unless a section is settled before ([`crate::EarlyStop`]).
    Auto,
    /// So many.
    Count(VariationCount),
}

/// Neither `auto` nor a number of variations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' variations: expected auto, 16, 8, 4, 2 or 1")]
pub struct PassesError {
    found: String,
}

impl FromStr for Passes {
    type Err = PassesError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "auto" => Ok(Self::Auto),
            number => number.parse().map(Self::Count).map_err(|_| PassesError { found: text.to_owned() }),
        }
    }
}

impl fmt::Display for Passes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Count(count) => count.fmt(f),
        }
    }
}

impl TryFrom<u8> for VariationCount {
    type Error = VariationCountError;

    fn try_from(number: u8) -> Result<Self, Self::Error> {
        let known = Self::ALL.into_iter().find(|count| count.get() == number);
        known.ok_or_else(|| VariationCountError { found: number.to_string() })
    }
}

impl From<VariationCount> for u8 {
    fn from(count: VariationCount) -> Self {
        count.get()
    }
}

impl FromStr for VariationCount {
    type Err = VariationCountError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = text.trim().parse::<u8>().map_err(|_| VariationCountError { found: text.to_owned() })?;
        Self::try_from(number).map_err(|_| VariationCountError { found: text.to_owned() })
    }
}

impl fmt::Display for VariationCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.get().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const FRAMES: [Frames; 3] = [Frames::One, Frames::Three, Frames::Five];

    #[test]
    fn no_pass_is_made_twice() {
        for count in VariationCount::ALL {
            for frames in FRAMES {
                let depth = if frames == Frames::One { 1 } else { 3 };
                let source: Vec<u8> = (0..depth * 12).collect();
                let passes = count.for_frames(frames);
                let different: HashSet<_> = passes.iter().map(|v| v.apply(&source, depth.into(), 3, 4)).collect();
                assert_eq!(different.len(), passes.len(), "{count} for {frames:?}");
                assert!(passes.len() <= count.get().into());
            }
        }
    }

    #[test]
    fn in_turn_all_are_walked_and_neighbours_differ() {
        for frames in FRAMES {
            let order = in_turn(frames);
            let all: HashSet<u8> = VariationCount::Sixteen.for_frames(frames).iter().map(|v| v.number()).collect();
            assert_eq!(order.iter().map(|v| v.number()).collect::<HashSet<_>>(), all);
            assert_eq!(order.len(), all.len());
            assert!(order.windows(2).all(|pair| pair[0].swaps_axes() != pair[1].swaps_axes()), "{order:?}");
        }
        let first = FRAMES.map(|frames| (in_turn(frames)[0].number() - 1) % 8);
        assert_eq!(first.iter().collect::<HashSet<_>>().len(), 3, "models see different orientations");
    }

    #[test]
    fn passes_from_text_and_back() {
        for text in ["auto", "16", "1"] {
            assert_eq!(text.parse::<Passes>().unwrap().to_string(), text);
        }
        let error = "3".parse::<Passes>().unwrap_err().to_string();
        assert_eq!(error, "'3' variations: expected auto, 16, 8, 4, 2 or 1");
    }

    #[test]
    fn the_reference_s_subsets() {
        let numbers = |count: VariationCount, frames| -> Vec<u8> {
            count.for_frames(frames).iter().map(|v| v.number()).collect()
        };
        // augspeed 2 and 4 as the reference numbers them; for 1fm without the reversal of the sections.
        let one: HashSet<u8> = [1, 6, 11, 15].map(|n: u8| (n - 1) % 8 + 1).into();
        assert_eq!(numbers(VariationCount::Eight, Frames::One).into_iter().collect::<HashSet<_>>(), one);
        assert_eq!(numbers(VariationCount::Eight, Frames::Three), [1, 2, 3, 4, 13, 14, 15, 16]);
        assert_eq!(numbers(VariationCount::Eight, Frames::Five), [5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(numbers(VariationCount::Four, Frames::Five), [1, 6, 11, 15]);
        assert_eq!(numbers(VariationCount::Sixteen, Frames::One).len(), 8);
        assert_eq!(numbers(VariationCount::Sixteen, Frames::Five).len(), 16);
    }

    #[test]
    fn text_and_back() {
        for count in VariationCount::ALL {
            assert_eq!(count.to_string().parse(), Ok(count));
            assert_eq!(serde_json::from_str::<VariationCount>(&serde_json::to_string(&count).unwrap()).unwrap(), count);
        }
        for bad in ["0", "3", "17", "all", "-1", "400"] {
            let error = bad.parse::<VariationCount>().unwrap_err().to_string();
            assert_eq!(error, format!("'{bad}' variations: expected 16, 8, 4, 2 or 1"));
        }
    }
}
