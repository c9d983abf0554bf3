//! Places and sizes in a volume, always in (z, y, x) order.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A position in a volume, in voxels from its first voxel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Index {
    /// Section.
    pub z: u64,
    /// Row.
    pub y: u64,
    /// Column.
    pub x: u64,
}

/// A size in voxels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Extent {
    /// Number of sections.
    pub z: u64,
    /// Number of rows.
    pub y: u64,
    /// Number of columns.
    pub x: u64,
}

impl Index {
    /// The position (z, y, x).
    pub const fn new(z: u64, y: u64, x: u64) -> Self {
        Self { z, y, x }
    }
}

impl Extent {
    /// The size (z, y, x).
    pub const fn new(z: u64, y: u64, x: u64) -> Self {
        Self { z, y, x }
    }

    /// Number of voxels; `None` where it does not fit a `u64`.
    pub fn checked_voxels(self) -> Option<u64> {
        self.z.checked_mul(self.y)?.checked_mul(self.x)
    }

    /// Number of voxels as an index into memory.
    ///
    /// Only for extents that were checked to fit memory, such as those of a [`crate::Block`].
    pub fn len(self) -> usize {
        (self.z * self.y * self.x) as usize
    }

    /// Whether no voxel lies inside.
    pub const fn is_empty(self) -> bool {
        self.z == 0 || self.y == 0 || self.x == 0
    }

    /// The row-major offset of a position inside a block of this size.
    pub fn offset(self, at: Index) -> usize {
        debug_assert!(at.z < self.z && at.y < self.y && at.x < self.x);
        ((at.z * self.y + at.y) * self.x + at.x) as usize
    }

    /// The sizes as `[z, y, x]`, for libraries that want an array.
    pub const fn to_array(self) -> [u64; 3] {
        [self.z, self.y, self.x]
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {} × {} (z × y × x)", self.z, self.y, self.x)
    }
}

/// A half-open box of voxels: `start` is inside, `start + extent` is the first position outside.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Region {
    /// First voxel.
    pub start: Index,
    /// Size.
    pub extent: Extent,
}

impl Region {
    /// The box of the given size at `start`.
    pub const fn new(start: Index, extent: Extent) -> Self {
        Self { start, extent }
    }

    /// The whole of a volume of this size.
    pub const fn whole(extent: Extent) -> Self {
        Self { start: Index::new(0, 0, 0), extent }
    }

    /// One section of a volume of this size.
    pub const fn section(extent: Extent, z: u64) -> Self {
        Self { start: Index::new(z, 0, 0), extent: Extent::new(1, extent.y, extent.x) }
    }

    /// First position outside, per axis; saturates at the largest `u64`.
    pub fn end(&self) -> Index {
        Index::new(
            self.start.z.saturating_add(self.extent.z),
            self.start.y.saturating_add(self.extent.y),
            self.start.x.saturating_add(self.extent.x),
        )
    }

    /// Whether the box has no voxel.
    pub const fn is_empty(&self) -> bool {
        self.extent.is_empty()
    }

    /// Whether the box lies inside a volume of this size.
    pub fn fits(&self, extent: Extent) -> bool {
        let inside = |start: u64, size: u64, limit: u64| start.checked_add(size).is_some_and(|end| end <= limit);
        inside(self.start.z, self.extent.z, extent.z)
            && inside(self.start.y, self.extent.y, extent.y)
            && inside(self.start.x, self.extent.x, extent.x)
    }

    /// Whether a position lies inside.
    pub fn contains(&self, at: Index) -> bool {
        let end = self.end();
        (self.start.z..end.z).contains(&at.z)
            && (self.start.y..end.y).contains(&at.y)
            && (self.start.x..end.x).contains(&at.x)
    }

    /// The voxels in both boxes; `None` where they do not meet.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let (a, b) = (self.end(), other.end());
        let axis = |s: u64, t: u64, e: u64, f: u64| {
            let (start, end) = (s.max(t), e.min(f));
            (start < end).then(|| (start, end - start))
        };
        let (z, depth) = axis(self.start.z, other.start.z, a.z, b.z)?;
        let (y, height) = axis(self.start.y, other.start.y, a.y, b.y)?;
        let (x, width) = axis(self.start.x, other.start.x, a.x, b.x)?;
        Some(Self::new(Index::new(z, y, x), Extent::new(depth, height, width)))
    }

    /// The boxes of size `grain` (smaller at the far ends) that tile this box, counted from its start; x fastest.
    ///
    /// # Panics
    /// If `grain` has no voxel.
    pub fn tiles(&self, grain: Extent) -> impl Iterator<Item = Region> + use<> {
        assert!(!grain.is_empty(), "tiles need a grain of at least one voxel");
        let whole = *self;
        let steps = |size: u64, step: u64| (0..size.div_ceil(step)).map(move |i| (i * step, step.min(size - i * step)));
        steps(whole.extent.z, grain.z).flat_map(move |(z, depth)| {
            steps(whole.extent.y, grain.y).flat_map(move |(y, height)| {
                steps(whole.extent.x, grain.x).map(move |(x, width)| {
                    Region::new(
                        Index::new(whole.start.z + z, whole.start.y + y, whole.start.x + x),
                        Extent::new(depth, height, width),
                    )
                })
            })
        })
    }
}

impl fmt::Display for Region {
    /// As `z0:z1,y0:y1,x0:x1`, the form that `--region` takes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (s, e) = (self.start, self.end());
        write!(f, "{}:{},{}:{},{}:{}", s.z, e.z, s.y, e.y, s.x, e.x)
    }
}

/// Why a text is not a region.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not a region: {reason}; write z0:z1,y0:y1,x0:x1, for example 0:10,0:512,256:768 (ends are outside)"
)]
pub struct RegionParseError {
    text: String,
    reason: String,
}

impl FromStr for Region {
    type Err = RegionParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let fail = |reason: String| RegionParseError { text: text.to_owned(), reason };
        let mut axes = Vec::with_capacity(3);
        for part in text.split(',') {
            let (start, end) = part.split_once(':').ok_or_else(|| fail(format!("'{}' has no colon", part.trim())))?;
            let number =
                |t: &str| t.trim().parse::<u64>().map_err(|_| fail(format!("'{}' is not a whole number", t.trim())));
            let (start, end) = (number(start)?, number(end)?);
            if start >= end {
                return Err(fail(format!("{start}:{end} is empty")));
            }
            axes.push((start, end - start));
        }
        let &[(z, depth), (y, height), (x, width)] = axes.as_slice() else {
            return Err(fail(format!("{} axes given, 3 expected", axes.len())));
        };
        Ok(Self::new(Index::new(z, y, x), Extent::new(depth, height, width)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn region() -> impl Strategy<Value = Region> {
        let axis = || (0_u64..40, 1_u64..40);
        (axis(), axis(), axis())
            .prop_map(|(z, y, x)| Region::new(Index::new(z.0, y.0, x.0), Extent::new(z.1, y.1, x.1)))
    }

    proptest! {
        #[test]
        fn tiles_cover_every_voxel_once(r in region(), gz in 1_u64..9, gy in 1_u64..9, gx in 1_u64..9) {
            let mut seen = std::collections::HashSet::new();
            for tile in r.tiles(Extent::new(gz, gy, gx)) {
                prop_assert_eq!(r.intersect(&tile), Some(tile));
                for voxel in tile.tiles(Extent::new(1, 1, 1)) {
                    prop_assert!(seen.insert(voxel.start));
                }
            }
            prop_assert_eq!(seen.len(), r.extent.len());
        }

        #[test]
        fn intersection_holds_the_common_voxels(a in region(), b in region(), z in 0_u64..80, y in 0_u64..80, x in 0_u64..80) {
            let at = Index::new(z, y, x);
            let both = a.contains(at) && b.contains(at);
            prop_assert_eq!(a.intersect(&b).is_some_and(|r| r.contains(at)), both);
        }

        #[test]
        fn text_and_back(r in region()) {
            prop_assert_eq!(r.to_string().parse::<Region>(), Ok(r));
        }
    }

    #[test]
    fn refuses_what_is_no_region() {
        for (text, reason) in [
            ("1:2,3:4", "2 axes given, 3 expected"),
            ("1:2,3:4,5", "has no colon"),
            ("1:2,3:4,5:5", "5:5 is empty"),
            ("1:2,3:4,-5:5", "'-5' is not a whole number"),
            ("1:2,3:4,5:99999999999999999999", "is not a whole number"),
        ] {
            let error = text.parse::<Region>().unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn a_region_at_the_end_of_numbers_does_not_fit() {
        let r = Region::new(Index::new(u64::MAX, 0, 0), Extent::new(2, 1, 1));
        assert!(!r.fits(Extent::new(u64::MAX, 1, 1)));
    }
}
