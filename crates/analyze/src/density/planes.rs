//! What is counted in each plane across each axis, in whole numbers.

use deep3m_volume::{Extent, Index, Region};

use crate::ids::{IdMap, runs};

/// Numbers per plane, along z, y and x, from the first plane of what is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PerPlane(pub(super) [Vec<u64>; 3]);

impl PerPlane {
    pub(super) fn zeros(extent: Extent) -> Self {
        Self(extent.to_array().map(|planes| vec![0; planes as usize]))
    }

    /// Adds what a part has, whose first plane is `start`.
    pub(super) fn add(&mut self, part: &Self, start: [u64; 3]) {
        for (axis, (all, part)) in self.0.iter_mut().zip(&part.0).enumerate() {
            for (all, more) in all[start[axis] as usize..].iter_mut().zip(part) {
                *all += more;
            }
        }
    }

    fn add_run(&mut self, z: usize, y: usize, from: usize, to: usize) {
        let [along_z, along_y, along_x] = &mut self.0;
        along_z[z] += (to - from) as u64;
        along_y[y] += (to - from) as u64;
        along_x[from..to].iter_mut().for_each(|n| *n += 1);
    }
}

/// What a block has.
pub(super) struct BlockPlanes {
    /// Voxels of objects inside the tissue.
    pub(super) filled: PerPlane,
    /// Voxels of tissue.
    pub(super) tissue: PerPlane,
    /// Voxels and sums of places of each object, inside the tissue or not; places are the volume's.
    pub(super) middles: IdMap<u32, Middle>,
}

/// Voxels of an object and the sums of their places.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Middle {
    voxels: u64,
    places: [u128; 3],
}

impl Middle {
    pub(super) fn join(&mut self, other: &Self) {
        self.voxels += other.voxels;
        self.places.iter_mut().zip(other.places).for_each(|(a, b)| *a += b);
    }

    /// The voxel that the centroid lies in.
    pub(super) fn voxel(&self) -> Index {
        let n = u128::from(self.voxels).max(1);
        let [z, y, x] = self.places.map(|sum| ((2 * sum + n) / (2 * n)) as u64);
        Index::new(z, y, x)
    }
}

impl BlockPlanes {
    /// Counts a block of labels, and of a mask.
    pub(super) fn of(labels: Option<&[u32]>, mask: Option<&[u32]>, core: Region) -> Self {
        let (extent, start) = (core.extent, core.start);
        let (mut filled, mut tissue) = (PerPlane::zeros(extent), PerPlane::zeros(extent));
        let mut middles = IdMap::<u32, Middle>::default();
        let (height, width) = (extent.y as usize, extent.x as usize);
        for row in 0..extent.z as usize * height {
            let (z, y, part) = (row / height, row % height, row * width..(row + 1) * width);
            let mask = mask.map(|mask| &mask[part.clone()]);
            let mut inside = Vec::new();
            if let Some(mask) = mask {
                runs(mask, |_, from, to| {
                    tissue.add_run(z, y, from, to);
                    inside.push((from, to));
                });
            } else {
                inside.push((0, width));
            }
            let Some(labels) = labels else { continue };
            runs(&labels[part], |label, from, to| {
                let middle = middles.entry(label).or_default();
                let n = (to - from) as u128;
                let place = |first: u64, at: usize| u128::from(first) + at as u128;
                middle.join(&Middle {
                    voxels: (to - from) as u64,
                    places: [n * place(start.z, z), n * place(start.y, y), n * (2 * place(start.x, from) + n - 1) / 2],
                });
                for &(a, b) in &inside {
                    if a.max(from) < b.min(to) {
                        filled.add_run(z, y, a.max(from), b.min(to));
                    }
                }
            });
        }
        Self { filled, tissue, middles }
    }
}
