//! How many consecutive sections the network sees.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The number of consecutive sections (frames) that a network sees; it labels the middle one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Frames {
    /// The section alone: CDeep3M's `1fm`.
    #[serde(rename = "1fm")]
    One,
    /// The section and one neighbour on each side: `3fm`.
    #[serde(rename = "3fm")]
    Three,
    /// The section and two neighbours on each side: `5fm`.
    #[serde(rename = "5fm")]
    Five,
}

/// Text that names no number of frames.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("frames: found \"{found}\"; expected 1, 3 or 5 (or 1fm, 3fm, 5fm)")]
pub struct FramesParseError {
    /// What was written.
    pub found: String,
}

impl Frames {
    /// All three, from the fewest frames on.
    pub const ALL: [Self; 3] = [Self::One, Self::Three, Self::Five];

    /// How many sections: 1, 3 or 5.
    pub const fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Three => 3,
            Self::Five => 5,
        }
    }

    /// How many of them lie on each side of the labelled one: 0, 1 or 2.
    pub const fn margin(self) -> usize {
        self.count() / 2
    }

    /// CDeep3M's name: `1fm`, `3fm` or `5fm`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::One => "1fm",
            Self::Three => "3fm",
            Self::Five => "5fm",
        }
    }

    /// The extent of the first two convolutions' kernels along z. Together they bring the frames down to one plane.
    pub(crate) const fn kernel_depths(self) -> [usize; 2] {
        match self {
            Self::One => [1, 1],
            Self::Three => [3, 2],
            Self::Five => [3, 3],
        }
    }

    /// The frames that the first convolution looks at, for each of its planes: it goes in steps of two frames and
    /// begins one frame before the first (`None`: beyond the frames, zero).
    pub(crate) fn first_windows(self) -> Vec<Vec<Option<usize>>> {
        if self == Self::One {
            return vec![vec![Some(0)]];
        }
        let inside = |z: usize| z.checked_sub(1).filter(|&z| z < self.count());
        (0..=self.margin()).map(|plane| (0..3).map(|k| inside(2 * plane + k)).collect()).collect()
    }
}

impl fmt::Display for Frames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Frames {
    type Err = FramesParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.trim() {
            "1" | "1fm" => Ok(Self::One),
            "3" | "3fm" => Ok(Self::Three),
            "5" | "5fm" => Ok(Self::Five),
            other => Err(FramesParseError { found: other.to_owned() }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_back() {
        for frames in Frames::ALL {
            assert_eq!(frames.name().parse(), Ok(frames));
            assert_eq!(frames.count().to_string().parse(), Ok(frames));
            assert_eq!(serde_json::to_string(&frames).unwrap(), format!("\"{frames}\""));
        }
        assert!("2".parse::<Frames>().unwrap_err().to_string().contains("1, 3 or 5"));
    }

    #[test]
    fn the_second_convolution_spans_every_plane_of_the_first() {
        for frames in Frames::ALL {
            let windows = frames.first_windows();
            assert_eq!(windows.len(), frames.kernel_depths()[1], "{frames}");
            assert!(windows.iter().all(|w| w.len() == frames.kernel_depths()[0]), "{frames}");
            let seen: std::collections::BTreeSet<_> = windows.iter().flatten().flatten().copied().collect();
            assert_eq!(seen.len(), frames.count(), "{frames}");
        }
        assert_eq!(Frames::Three.first_windows(), [[None, Some(0), Some(1)], [Some(1), Some(2), None]]);
    }
}
