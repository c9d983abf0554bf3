//! Which voxels touch.

use serde::{Deserialize, Serialize};

/// Which voxels touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connectivity {
    /// Each section for itself: pixels that share an edge.
    #[serde(rename = "4")]
    SectionEdges,
    /// Each section for itself: pixels that share an edge or a corner.
    #[serde(rename = "8")]
    SectionCorners,
    /// Those that share a face.
    #[serde(rename = "6")]
    Faces,
    /// Those that share a face or an edge.
    #[serde(rename = "18")]
    Edges,
    /// Those that share a face, an edge or a corner.
    #[default]
    #[serde(rename = "26")]
    Corners,
}

/// Rows that lie before a row and touch it: so many sections up, so many rows up (or down, where negative), and whether
/// runs that meet at a corner only touch, too (1) or not (0).
pub(super) type Before = (usize, isize, u32);

impl Connectivity {
    /// All of them, by their number of neighbours.
    pub const ALL: [Self; 5] = [Self::SectionEdges, Self::SectionCorners, Self::Faces, Self::Edges, Self::Corners];

    /// How many neighbours a voxel has.
    pub const fn neighbours(self) -> u32 {
        match self {
            Self::SectionEdges => 4,
            Self::SectionCorners => 8,
            Self::Faces => 6,
            Self::Edges => 18,
            Self::Corners => 26,
        }
    }

    /// The one with so many neighbours.
    pub fn with_neighbours(neighbours: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|connectivity| connectivity.neighbours() == neighbours)
    }

    /// Whether sections are looked at each for itself.
    pub const fn is_flat(self) -> bool {
        matches!(self, Self::SectionEdges | Self::SectionCorners)
    }

    /// What the background has where the foreground has this, so that a closed surface separates inside from outside.
    #[must_use]
    pub const fn of_background(self) -> Self {
        match self {
            Self::SectionEdges => Self::SectionCorners,
            Self::SectionCorners => Self::SectionEdges,
            Self::Faces => Self::Corners,
            Self::Edges | Self::Corners => Self::Faces,
        }
    }

    /// How far the places of a voxel's neighbours lie from its own, in the order of places, in a block of this height and width.
    pub(crate) fn steps(self, [height, width]: [usize; 2]) -> Vec<isize> {
        let most = match self {
            Self::SectionEdges | Self::Faces => 1,
            Self::SectionCorners | Self::Edges => 2,
            Self::Corners => 3,
        };
        let near = || -1_isize..=1;
        let mut steps = Vec::with_capacity(self.neighbours() as usize);
        for (z, y, x) in near().flat_map(|z| near().flat_map(move |y| near().map(move |x| (z, y, x)))) {
            let apart = z.abs() + y.abs() + x.abs();
            if (1..=most).contains(&apart) && (z == 0 || !self.is_flat()) {
                steps.push((z * height as isize + y) * width as isize + x);
            }
        }
        steps
    }

    pub(super) const fn before(self) -> &'static [Before] {
        match self {
            Self::SectionEdges => &[(0, 1, 0)],
            Self::SectionCorners => &[(0, 1, 1)],
            Self::Faces => &[(0, 1, 0), (1, 0, 0)],
            Self::Edges => &[(0, 1, 1), (1, 1, 0), (1, 0, 1), (1, -1, 0)],
            Self::Corners => &[(0, 1, 1), (1, 1, 1), (1, 0, 1), (1, -1, 1)],
        }
    }
}
