//! What lies within a distance of a voxel.

use deep3m_volume::{Extent, VoxelSize};

use crate::ids::runs;

/// Rows of voxels around a voxel that are near enough, and how far along each.
#[derive(Clone, Debug)]
pub(super) struct Window {
    rows: Vec<RowNear>,
    /// Squared gaps along x, by how many columns away.
    along_x: Vec<f64>,
    /// How far it reaches along each axis.
    pub(super) reach: [u64; 3],
}

#[derive(Clone, Copy, Debug)]
struct RowNear {
    z: i64,
    y: i64,
    /// The squared gap across.
    across: f64,
    /// Columns before and behind that are near enough.
    columns: usize,
}

impl Window {
    /// What is at most so far, between the nearest faces, edges or corners of voxels. `None` where that is more rows than can be
    /// looked at around each voxel.
    pub(super) fn new(distance_nm: f64, size: VoxelSize, within: Extent) -> Option<Self> {
        const ROWS: f64 = 262_144.0;
        // Lengths such as three times 0.1 are not what they seem.
        let limit = distance_nm * distance_nm * (1.0 + 1e-9);
        let pitch = [size.z_nm, size.y_nm, size.x_nm];
        let sides = within.to_array();
        let reach: [u64; 3] = std::array::from_fn(|axis| {
            let voxels = (limit.sqrt() / pitch[axis] + 1.0) as u64;
            voxels.min(sides[axis].saturating_sub(1))
        });
        if (2.0 * reach[0] as f64 + 1.0) * (2.0 * reach[1] as f64 + 1.0) > ROWS || reach[2] as f64 > ROWS {
            return None;
        }
        let gap = |voxels: u64, axis: usize| (voxels.saturating_sub(1) as f64 * pitch[axis]).powi(2);
        let along_x: Vec<f64> = (0..=reach[2]).map(|x| gap(x, 2)).collect();
        let mut rows = Vec::new();
        let [z, y] = [reach[0] as i64, reach[1] as i64];
        for (z, y) in (-z..=z).flat_map(|z| (-y..=y).map(move |y| (z, y))) {
            let across = gap(z.unsigned_abs(), 0) + gap(y.unsigned_abs(), 1);
            let columns = along_x.partition_point(|along| across + along <= limit);
            if let Some(columns) = columns.checked_sub(1) {
                rows.push(RowNear { z, y, across, columns });
            }
        }
        Some(Self { rows, along_x, reach })
    }

    /// The objects other than `own` that are near a voxel (z, y, x), by their numbers, with their squared distances.
    pub(super) fn near(&self, objects: &Rows, [z, y, x]: [usize; 3], own: Option<u32>, met: &mut Vec<(u32, f64)>) {
        met.clear();
        for row in &self.rows {
            let Some(runs) = objects.row(z as i64 + row.z, y as i64 + row.y) else { continue };
            let first = runs.partition_point(|run| run.to as usize + row.columns <= x);
            for run in &runs[first..] {
                let (from, last) = (run.from as usize, run.to as usize - 1);
                if from > x + row.columns {
                    break;
                }
                if own == Some(run.object) {
                    continue;
                }
                let columns = from.saturating_sub(x).max(x.saturating_sub(last));
                let square = row.across + self.along_x[columns];
                match met.iter_mut().find(|(object, _)| *object == run.object) {
                    Some((_, least)) => *least = least.min(square),
                    None => met.push((run.object, square)),
                }
            }
        }
        met.sort_unstable_by_key(|(object, _)| *object);
    }
}

/// The objects of a block, row by row.
pub(super) struct Rows {
    depth: i64,
    height: i64,
    starts: Vec<u32>,
    runs: Vec<Run>,
}

struct Run {
    from: u32,
    to: u32,
    object: u32,
}

impl Rows {
    pub(super) fn of(labels: &[u32], extent: Extent) -> Self {
        let [depth, height, width] = extent.to_array();
        let (mut starts, mut all) = (vec![0], Vec::new());
        for row in labels.chunks_exact(width.max(1) as usize) {
            runs(row, |object, from, to| all.push(Run { from: from as u32, to: to as u32, object }));
            starts.push(all.len() as u32);
        }
        Self { depth: depth as i64, height: height as i64, starts, runs: all }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn row(&self, z: i64, y: i64) -> Option<&[Run]> {
        if !(0..self.depth).contains(&z) || !(0..self.height).contains(&y) {
            return None;
        }
        let row = (z * self.height + y) as usize;
        Some(&self.runs[self.starts[row] as usize..self.starts[row + 1] as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const SIZE: VoxelSize = VoxelSize { z_nm: 30.0, y_nm: 8.0, x_nm: 7.0 };

    proptest! {
        #[test]
        fn what_is_near_is_that_of_looking_at_all(
            (extent, labels) in (1_u64..6, 1_u64..8, 1_u64..12).prop_flat_map(|(z, y, x)| {
                let voxels = prop::collection::vec(prop::sample::select(vec![0_u32, 0, 0, 1, 2, 3]), (z * y * x) as usize);
                (Just(Extent::new(z, y, x)), voxels)
            }),
            distance in prop::sample::select(vec![0.0, 7.0, 8.0, 16.0, 30.0, 34.0, 1000.0]),
        ) {
            let window = Window::new(distance, SIZE, extent).unwrap();
            let rows = Rows::of(&labels, extent);
            let at = |i: usize| [i / (extent.y * extent.x) as usize, i / extent.x as usize % extent.y as usize, i % extent.x as usize];
            let mut met = Vec::new();
            for i in 0..labels.len() {
                window.near(&rows, at(i), Some(2), &mut met);
                let mut expected = BTreeMap::new();
                for (j, &object) in labels.iter().enumerate().filter(|&(_, &object)| object != 0 && object != 2) {
                    let pitch = [30.0, 8.0, 7.0];
                    let square: f64 = (0..3).map(|k| (at(i)[k].abs_diff(at(j)[k]).saturating_sub(1) as f64 * pitch[k]).powi(2)).sum();
                    if square.sqrt() <= distance {
                        let least = expected.entry(object).or_insert(square);
                        *least = square.min(*least);
                    }
                }
                prop_assert_eq!(&met, &expected.into_iter().collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn a_window_that_is_too_large_is_none() {
        assert!(Window::new(1e9, SIZE, Extent::new(1 << 20, 1 << 20, 1 << 20)).is_none());
        assert_eq!(Window::new(1e9, SIZE, Extent::new(9, 9, 9)).unwrap().reach, [8, 8, 8]);
        assert!(Window::new(f64::MAX, SIZE, Extent::new(9, 9, 9)).is_some());
    }
}
