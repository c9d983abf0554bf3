//! The 16 variations of a block: the 8 flips and rotations of its sections, each with the sections in order or reversed.
//!
//! Training draws patches from them, prediction averages over them. The numbers are CDeep3M's. An isotropic network
//! would answer all of them alike; averaging removes what depends on the orientation.

use std::fmt;

/// One of the 16 variations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Variation(u8);

/// What a variation does in the plane, as `source = f(target)` on (row, column): first an optional transposition, then
/// optional reversals of the source's rows and columns.
#[derive(Clone, Copy)]
struct InPlane {
    transpose: bool,
    reverse_rows: bool,
    reverse_columns: bool,
}

impl Variation {
    /// The block as it is.
    pub const IDENTITY: Self = Self(1);

    /// All 16 in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=16).map(Self)
    }

    /// The variation with CDeep3M's number, 1 to 16.
    pub const fn from_number(number: u8) -> Option<Self> {
        if number >= 1 && number <= 16 { Some(Self(number)) } else { None }
    }

    /// CDeep3M's number, 1 to 16.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether the sections come in reversed order (9 to 16).
    pub const fn reverses_z(self) -> bool {
        self.0 > 8
    }

    /// Whether rows and columns change places: a block of h × w becomes one of w × h.
    pub const fn swaps_axes(self) -> bool {
        self.in_plane().transpose
    }

    const fn in_plane(self) -> InPlane {
        let (transpose, reverse_rows, reverse_columns) = match (self.0 - 1) % 8 + 1 {
            1 => (false, false, false),
            2 => (false, true, false), // flip rows
            3 => (false, false, true), // flip columns
            4 => (true, false, true),  // rotate 90° counter-clockwise: t[r, c] = s[c, w-1-r]
            5 => (true, true, false),  // rotate 90° clockwise: t[r, c] = s[h-1-c, r]
            6 => (true, true, true),   // rotate 90° counter-clockwise of flipped rows
            7 => (true, false, false), // rotate 90° counter-clockwise of flipped columns
            _ => (false, true, true),  // rotate 180°
        };
        InPlane { transpose, reverse_rows, reverse_columns }
    }

    /// The block (row-major, `depth` sections of `height` × `width`) after this variation. Where
    /// [`Self::swaps_axes`], its sections are `width` × `height`.
    ///
    /// # Panics
    /// If `source` is not of that size.
    pub fn apply<T: Copy>(self, source: &[T], depth: usize, height: usize, width: usize) -> Vec<T> {
        assert_eq!(source.len(), depth * height * width, "voxels of a block to vary");
        let InPlane { transpose, reverse_rows, reverse_columns } = self.in_plane();
        let (rows, columns) = if transpose { (width, height) } else { (height, width) };
        let mut target = Vec::with_capacity(source.len());
        for z in 0..depth {
            let plane = if self.reverses_z() { depth - 1 - z } else { z } * height * width;
            for r in 0..rows {
                for c in 0..columns {
                    let (mut y, mut x) = if transpose { (c, r) } else { (r, c) };
                    if reverse_rows {
                        y = height - 1 - y;
                    }
                    if reverse_columns {
                        x = width - 1 - x;
                    }
                    target.push(source[plane + y * width + x]);
                }
            }
        }
        target
    }

    /// The variation that undoes this one.
    #[must_use]
    pub const fn inverse(self) -> Self {
        match self.0 {
            4 => Self(5),
            5 => Self(4),
            12 => Self(13),
            13 => Self(12),
            _ => self,
        }
    }
}

impl fmt::Display for Variation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apply(number: u8, source: &[u8], depth: usize, height: usize, width: usize) -> Vec<u8> {
        Variation::from_number(number).unwrap().apply(source, depth, height, width)
    }

    #[test]
    fn the_numbers_mean_what_cdeep3m_means() {
        // 1 2 3
        // 4 5 6
        let s = [1, 2, 3, 4, 5, 6];
        assert_eq!(apply(1, &s, 1, 2, 3), s);
        assert_eq!(apply(2, &s, 1, 2, 3), [4, 5, 6, 1, 2, 3]);
        assert_eq!(apply(3, &s, 1, 2, 3), [3, 2, 1, 6, 5, 4]);
        assert_eq!(apply(4, &s, 1, 2, 3), [3, 6, 2, 5, 1, 4], "counter-clockwise");
        assert_eq!(apply(5, &s, 1, 2, 3), [4, 1, 5, 2, 6, 3], "clockwise");
        assert_eq!(apply(6, &s, 1, 2, 3), apply(4, &apply(2, &s, 1, 2, 3), 1, 2, 3));
        assert_eq!(apply(7, &s, 1, 2, 3), apply(4, &apply(3, &s, 1, 2, 3), 1, 2, 3));
        assert_eq!(apply(8, &s, 1, 2, 3), [6, 5, 4, 3, 2, 1]);
        assert_eq!(apply(9, &s, 2, 1, 3), [4, 5, 6, 1, 2, 3], "sections reversed");
    }

    proptest! {
        #[test]
        fn every_variation_is_undone(depth in 1_usize..4, height in 1_usize..6, width in 1_usize..6) {
            let source: Vec<usize> = (0..depth * height * width).collect();
            for v in Variation::all() {
                let there = v.apply(&source, depth, height, width);
                let (h, w) = if v.swaps_axes() { (width, height) } else { (height, width) };
                prop_assert_eq!(v.inverse().apply(&there, depth, h, w), source.clone(), "{}", v);
            }
        }
    }

    #[test]
    fn the_variations_differ() {
        let source: Vec<u8> = (0..18).collect();
        let all: std::collections::HashSet<_> = Variation::all().map(|v| v.apply(&source, 2, 3, 3)).collect();
        assert_eq!(all.len(), 16);
    }
}
