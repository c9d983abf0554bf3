//! How large the objects are and where they lie: what must be known before their surfaces are made.

use std::collections::{BTreeMap, BTreeSet};

use deep3m_volume::{Extent, Region, Volume};

use super::extract::Met;
use super::lattice::Lattice;
use crate::AnalyzeError;
use crate::walk::Walk;

/// An object, before its surface is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) voxels: u64,
    /// Corners of its surface on the lattice.
    pub(super) corners: u64,
    /// The first and the last voxel along z, y, x, counted from the region's first.
    pub(super) low: [u64; 3],
    pub(super) high: [u64; 3],
}

impl Found {
    const NONE: Self = Self { voxels: 0, corners: 0, low: [u64::MAX; 3], high: [0; 3] };

    fn join(&mut self, other: &Self) {
        self.voxels += other.voxels;
        self.corners += other.corners;
        for i in 0..3 {
            self.low[i] = self.low[i].min(other.low[i]);
            self.high[i] = self.high[i].max(other.high[i]);
        }
    }
}

/// One voxel around each block.
pub(super) const HALO: Extent = Extent::new(1, 1, 1);
/// Bytes for each voxel of a block: as it is read, converted, and as points of the lattice, with the layers of corners.
pub(super) const VOXEL_BYTES: u64 = 24;

/// All objects by number. `progress` hears the voxels of each block.
pub(super) fn survey(
    volume: &dyn Volume,
    walk: &Walk,
    wanted: Option<&BTreeSet<u32>>,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<BTreeMap<u32, Found>, AnalyzeError> {
    let mut all: BTreeMap<u32, Found> = BTreeMap::new();
    walk.run(
        |part| Ok(count(&Lattice::new(walk.region, part, &volume.read(part.around)?), wanted)),
        |_, found| {
            for (id, found) in found {
                all.entry(id).or_insert(Found::NONE).join(&found);
            }
            Ok(())
        },
        progress,
    )?;
    Ok(all)
}

/// The objects of a block.
fn count(lattice: &Lattice, wanted: Option<&BTreeSet<u32>>) -> Vec<(u32, Found)> {
    let mut met = Met::new(wanted);
    let mut found: Vec<Found> = Vec::new();
    let [cells_z, cells_y, cells_x] = lattice.cells();
    for z in 0..cells_z {
        for y in 0..cells_y {
            let row = &lattice.row(z, y)[..cells_x];
            let mut x = 0;
            while x < cells_x {
                let label = row[x];
                let run = row[x..].iter().take_while(|&&other| other == label).count();
                if let Some(place) = met.place(label) {
                    if place == found.len() {
                        found.push(Found::NONE);
                    }
                    // Point n of the lattice is voxel n − 1.
                    let low = std::array::from_fn(|i| lattice.origin[i] + [z, y, x][i] as u64 - 1);
                    let high = [low[0], low[1], low[2] + run as u64 - 1];
                    found[place].join(&Found { voxels: run as u64, corners: 0, low, high });
                }
                x += run;
            }
        }
    }
    lattice.mixed_cells(|z, y, x| {
        let corners = lattice.corners(z, y, x);
        for neighbour in [1, 2, 4].map(|i| corners[i]).into_iter().filter(|&label| label != corners[0]) {
            for label in [corners[0], neighbour] {
                if let Some(place) = met.place(label) {
                    // Its voxels may all be in the next block.
                    if place == found.len() {
                        found.push(Found::NONE);
                    }
                    found[place].corners += 1;
                }
            }
        }
    });
    met.labels.into_iter().zip(found).collect()
}

/// The part of a region that objects fill, in its own voxels; `None` without objects.
pub(super) fn extent<'a>(objects: impl Iterator<Item = &'a Found>) -> Option<Region> {
    let mut all = Found::NONE;
    objects.for_each(|found| all.join(found));
    (all.voxels > 0).then(|| {
        let ([z, y, x], size): (_, [u64; 3]) = (all.low, std::array::from_fn(|i| all.high[i] - all.low[i] + 1));
        Region::new(deep3m_volume::Index::new(z, y, x), Extent::new(size[0], size[1], size[2]))
    })
}
