//! What is in a phantom, exactly: every object with its class, place and size, counted while the voxels are made.

use std::collections::BTreeMap;

use deep3m_volume::{Extent, Index, Region, VoxelSize};
use serde::{Deserialize, Serialize};

use crate::grid::Cell;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Class {
    /// A mitochondrion, outer membrane included.
    Mitochondrion,
    /// The plasma membranes: one connected network, one object.
    Membrane,
    /// A synaptic vesicle, membrane included.
    Vesicle,
    /// A nucleus, envelope included.
    Nucleus,
}

impl Class {
    /// All classes, in the order of object numbers.
    pub const ALL: [Self; 4] = [Self::Mitochondrion, Self::Membrane, Self::Vesicle, Self::Nucleus];

    /// The name of the label volume: `mitochondria`, `membranes`, `vesicles`, `nuclei`.
    pub const fn volume_name(self) -> &'static str {
        match self {
            Self::Mitochondrion => "mitochondria",
            Self::Membrane => "membranes",
            Self::Vesicle => "vesicles",
            Self::Nucleus => "nuclei",
        }
    }
}

/// A point in a volume, in voxels from its first voxel's centre.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Section.
    pub z: f64,
    /// Row.
    pub y: f64,
    /// Column.
    pub x: f64,
}

/// One object of a phantom, as far as it lies inside the region that was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrueObject {
    /// Number from 1, by class and place; the same for the same phantom and region.
    pub id: u64,
    /// What it is.
    pub class: Class,
    /// Mean position of its voxels, in voxels of the whole phantom.
    pub centroid: Point,
    /// Number of its voxels: exactly those of the label volume.
    pub size_voxels: u64,
    /// Their volume in nm³.
    pub volume_nm3: f64,
    /// The smallest box that holds them.
    pub bounds: Region,
}

/// An object's name, whatever block it is met in: the lattice cell that it was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    pub(crate) class: Class,
    cell: Cell,
    number: u32,
}

impl ObjectKey {
    pub(crate) const fn new(class: Class, cell: Cell, number: u32) -> Self {
        Self { class, cell, number }
    }

    /// The network of plasma membranes.
    pub(crate) const MEMBRANES: Self = Self::new(Class::Membrane, Cell { z: 0, y: 0, x: 0 }, 0);
}

/// Voxels of one object: whole numbers only, so that the order of adding does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tally {
    voxels: u64,
    z: u128,
    y: u128,
    x: u128,
    low: Index,
    high: Index,
}

/// The objects met so far, with their voxels.
///
/// Tallies of several blocks [merge](Self::merge) into that of all, in any order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Census {
    tallies: BTreeMap<ObjectKey, Tally>,
}

impl Census {
    /// Counts a run of voxels along a row.
    pub(crate) fn add_run(&mut self, key: ObjectKey, start: Index, len: u64) {
        let (first, last) = (start.x, start.x + len - 1);
        let run = Tally {
            voxels: len,
            z: u128::from(start.z) * u128::from(len),
            y: u128::from(start.y) * u128::from(len),
            x: u128::from(first + last) * u128::from(len) / 2,
            low: start,
            high: Index::new(start.z, start.y, last),
        };
        self.tallies.entry(key).and_modify(|t| t.merge(&run)).or_insert(run);
    }

    /// Adds what was counted in another block.
    pub fn merge(&mut self, other: &Self) {
        for (key, tally) in &other.tallies {
            self.tallies.entry(*key).and_modify(|t| t.merge(tally)).or_insert(*tally);
        }
    }

    /// The objects, numbered from 1 by class and place.
    pub fn objects(&self, voxel_size: VoxelSize) -> Vec<TrueObject> {
        let voxel_nm3 = voxel_size.z_nm * voxel_size.y_nm * voxel_size.x_nm;
        let object = |(i, (key, t)): (usize, (&ObjectKey, &Tally))| {
            let mean = |sum: u128| sum as f64 / t.voxels as f64;
            TrueObject {
                id: i as u64 + 1,
                class: key.class,
                centroid: Point { z: mean(t.z), y: mean(t.y), x: mean(t.x) },
                size_voxels: t.voxels,
                volume_nm3: t.voxels as f64 * voxel_nm3,
                bounds: Region::new(
                    t.low,
                    Extent::new(t.high.z - t.low.z + 1, t.high.y - t.low.y + 1, t.high.x - t.low.x + 1),
                ),
            }
        };
        self.tallies.iter().enumerate().map(object).collect()
    }
}

impl Tally {
    fn merge(&mut self, o: &Self) {
        self.voxels += o.voxels;
        self.z += o.z;
        self.y += o.y;
        self.x += o.x;
        self.low = Index::new(self.low.z.min(o.low.z), self.low.y.min(o.low.y), self.low.x.min(o.low.x));
        self.high = Index::new(self.high.z.max(o.high.z), self.high.y.max(o.high.y), self.high.x.max(o.high.x));
    }
}
