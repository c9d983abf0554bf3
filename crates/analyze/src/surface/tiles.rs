//! Surface shares of all objects of a block, in small tiles.
//!
//! A tile that shows one object only, or none, is passed over. In the others the kernels are applied one axis after another, for
//! each object that the tile shows, in rows of fixed length that compilers turn into vector instructions.

use deep3m_volume::Extent;

use super::{REACH, SurfaceArea};

/// Voxels of a tile whose shares are worked out at once.
const TILE: [usize; 3] = [8, 16, 32];
const MARGIN: usize = REACH as usize;
/// A row of a tile with what lies around it.
const WIDE: usize = TILE[2] + 2 * MARGIN;

type Row = [i16; TILE[2]];

/// Room for a tile, used again for the next.
struct Tile {
    /// Sections and rows of this tile: fewer at the block's end.
    depth: usize,
    height: usize,
    width: usize,
    labels: Vec<[u32; WIDE]>,
    smooth: Vec<Row>,
    slope: Vec<Row>,
    /// Smoothed along y and x; slope along y; slope along x.
    planes: [Vec<Row>; 3],
}

impl SurfaceArea {
    /// Calls `each` with object, place and share wherever an object's surface has a share, in a block of labels. Voxels nearer
    /// than [`REACH`] to the block's end are looked at, but have no shares themselves; places count from the first
    /// that has.
    pub(crate) fn shares(&self, labels: &[u32], extent: Extent, each: &mut impl FnMut(u32, [usize; 3], u64)) {
        let [depth, height, width] = extent.to_array().map(|n| (n as usize).saturating_sub(2 * MARGIN));
        let mut tile = Tile::new();
        // Most of most volumes is background: tiles of it are told by where each row has labels at all.
        let inside: Vec<(u32, u32)> = labels.chunks_exact((extent.x as usize).max(1)).map(labelled).collect();
        for z in (0..depth).step_by(TILE[0]) {
            for y in (0..height).step_by(TILE[1]) {
                for x in (0..width).step_by(TILE[2]) {
                    let start = [z, y, x];
                    let size = [depth - z, height - y, width - x];
                    if shows_any(&inside, extent, start) && tile.fill(labels, extent, start, size) {
                        tile.each_share(self, start, each);
                    }
                }
            }
        }
    }
}

/// From which to before which column a row has labels; an empty range where it has none.
fn labelled(row: &[u32]) -> (u32, u32) {
    let first = row.iter().position(|&label| label != 0).unwrap_or(row.len());
    let end = row.iter().rposition(|&label| label != 0).map_or(0, |last| last + 1);
    (first as u32, end as u32)
}

/// Whether a tile, with what lies around it, has labels.
fn shows_any(inside: &[(u32, u32)], extent: Extent, [z, y, x]: [usize; 3]) -> bool {
    let height = extent.y as usize;
    let rows = y..(y + TILE[1] + 2 * MARGIN).min(height);
    let mut sections = z..(z + TILE[0] + 2 * MARGIN).min(extent.z as usize);
    let (from, to) = (x as u32, (x + WIDE) as u32);
    sections.any(|z| inside[z * height + rows.start..z * height + rows.end].iter().any(|&(a, b)| a < to && from < b))
}

impl Tile {
    fn new() -> Self {
        let rows = (TILE[0] + 2 * MARGIN) * (TILE[1] + 2 * MARGIN);
        let plane = || vec![[0; TILE[2]]; (TILE[0] + 2 * MARGIN) * TILE[1]];
        Self {
            depth: 0,
            height: 0,
            width: 0,
            labels: vec![[0; WIDE]; rows],
            smooth: vec![[0; TILE[2]]; rows],
            slope: vec![[0; TILE[2]]; rows],
            planes: [plane(), plane(), plane()],
        }
    }

    /// Takes the labels of a tile; false where all are one.
    fn fill(&mut self, labels: &[u32], extent: Extent, start: [usize; 3], left: [usize; 3]) -> bool {
        [self.depth, self.height, self.width] = std::array::from_fn(|axis| left[axis].min(TILE[axis]));
        let (rows, columns) = (self.height + 2 * MARGIN, self.width + 2 * MARGIN);
        let mut differ = 0;
        for (i, row) in self.labels.iter_mut().take((self.depth + 2 * MARGIN) * rows).enumerate() {
            let (z, y) = (start[0] + i / rows, start[1] + i % rows);
            let at = (z * extent.y as usize + y) * extent.x as usize + start[2];
            row[..columns].copy_from_slice(&labels[at..at + columns]);
            row[columns..].fill(labels[at + columns - 1]);
            let first = row[0];
            differ |= row.iter().fold(0, |all, label| all | (label ^ first));
        }
        let first = self.labels[0][0];
        differ != 0 || self.labels[..(self.depth + 2 * MARGIN) * rows].iter().any(|row| row[0] != first)
    }

    fn each_share(&mut self, area: &SurfaceArea, start: [usize; 3], each: &mut impl FnMut(u32, [usize; 3], u64)) {
        for label in self.objects() {
            self.along_x(label);
            self.along_y();
            for z in 0..self.depth {
                for y in 0..self.height {
                    let [across_z, across_y, across_x] = self.gradient(z, y);
                    for x in 0..self.width {
                        let gradient = [across_z[x], across_y[x], across_x[x]];
                        if gradient != [0; 3] {
                            let share = area.of_gradient(gradient.map(i32::from));
                            each(label, [start[0] + z, start[1] + y, start[2] + x], share);
                        }
                    }
                }
            }
        }
    }

    /// The objects that the tile shows.
    fn objects(&self) -> Vec<u32> {
        let mut met = Vec::new();
        let mut last = 0;
        for row in &self.labels[..(self.depth + 2 * MARGIN) * (self.height + 2 * MARGIN)] {
            for &label in row {
                if label != last {
                    last = label;
                    met.push(label);
                }
            }
        }
        met.sort_unstable();
        met.dedup();
        met.retain(|&label| label != 0);
        met
    }

    fn along_x(&mut self, label: u32) {
        let rows = (self.depth + 2 * MARGIN) * (self.height + 2 * MARGIN);
        let out = self.smooth.iter_mut().zip(&mut self.slope);
        for (labels, (smooth, slope)) in self.labels[..rows].iter().zip(out) {
            let inside = labels.map(|other| i16::from(other == label));
            *smooth = std::array::from_fn(|x| weighted(std::array::from_fn(|k| inside[x + k])));
            *slope = std::array::from_fn(|x| sloped(std::array::from_fn(|k| inside[x + k])));
        }
    }

    fn along_y(&mut self) {
        let rows = self.height + 2 * MARGIN;
        let [both, across_y, across_x] = &mut self.planes;
        for z in 0..self.depth + 2 * MARGIN {
            for y in 0..self.height {
                let five: [&Row; 5] = std::array::from_fn(|k| &self.smooth[z * rows + y + k]);
                let slopes: [&Row; 5] = std::array::from_fn(|k| &self.slope[z * rows + y + k]);
                let to = z * self.height + y;
                both[to] = std::array::from_fn(|x| weighted(five.map(|row| row[x])));
                across_y[to] = std::array::from_fn(|x| sloped(five.map(|row| row[x])));
                across_x[to] = std::array::from_fn(|x| weighted(slopes.map(|row| row[x])));
            }
        }
    }

    /// Along z: a row of the gradient's components.
    fn gradient(&self, z: usize, y: usize) -> [Row; 3] {
        let five =
            |plane: usize| -> [&Row; 5] { std::array::from_fn(|k| &self.planes[plane][(z + k) * self.height + y]) };
        let [both, across_y, across_x] = [five(0), five(1), five(2)];
        [
            std::array::from_fn(|x| sloped(both.map(|row| row[x]))),
            std::array::from_fn(|x| weighted(across_y.map(|row| row[x]))),
            std::array::from_fn(|x| weighted(across_x.map(|row| row[x]))),
        ]
    }
}

/// The binomial weights 1, 4, 6, 4, 1.
#[inline]
fn weighted([a, b, c, d, e]: [i16; 5]) -> i16 {
    a + e + 4 * (b + d) + 6 * c
}

/// Those of its derivative, −1, −2, 0, 2, 1.
#[inline]
fn sloped([a, b, _, d, e]: [i16; 5]) -> i16 {
    e - a + 2 * (d - b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::VoxelSize;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]

        /// Tap by tap as the kernels are defined.
        #[test]
        fn tiles_give_what_the_kernels_give(
            (extent, labels) in (1_u64..14, 1_u64..24, 1_u64..70).prop_flat_map(|(z, y, x)| {
                let coarse = prop::collection::vec(prop::sample::select(vec![0_u32, 0, 1, 2, u32::MAX]), 60);
                let extent = Extent::new(z, y, x);
                (Just(extent), coarse.prop_map(move |coarse| {
                    let at = |i: u64| (i / (y * x) / 3) * 20 + (i / x % y / 5) * 4 + i % x / 9;
                    (0..extent.len() as u64).map(|i| coarse[at(i) as usize % 60]).collect::<Vec<_>>()
                }))
            }),
        ) {
            let area = SurfaceArea::new(VoxelSize::new(30.0, 8.0, 5.0).unwrap());
            let mut expected = BTreeMap::new();
            for z in 2..extent.z.saturating_sub(2) {
                for y in 2..extent.y.saturating_sub(2) {
                    for x in 2..extent.x.saturating_sub(2) {
                        for label in [1, 2, u32::MAX] {
                            let share = super::super::tests::share(&area, &labels, extent, [z, y, x], label);
                            if share > 0 {
                                let at = [z, y, x].map(|at| at as usize - 2);
                                expected.insert((label, at), share);
                            }
                        }
                    }
                }
            }
            let mut found = BTreeMap::new();
            area.shares(&labels, extent, &mut |label, at, share| {
                assert!(found.insert((label, at), share).is_none());
            });
            prop_assert_eq!(found, expected);
        }
    }
}
