//! Contact voxels joined to sites, within a block and across blocks.

use deep3m_volume::{Index, Region};

use crate::ids::IdMap;
use crate::objects::Forest;

/// A voxel of object `a` that is near object `b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Touch {
    /// Its place in the volume.
    pub(super) at: Index,
    pub(super) a: u32,
    pub(super) b: u32,
    /// Its part of a's surface.
    pub(super) shares: u64,
    /// How far b is, squared, in nm².
    pub(super) square_nm2: f64,
}

/// Contact voxels of a pair that touch each other, also at corners.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct SiteSums {
    pub(super) a: u32,
    pub(super) b: u32,
    /// The first voxel (z, then y, then x).
    pub(super) first: Index,
    pub(super) voxels: u64,
    /// Sums of the voxels' places.
    places: [u128; 3],
    pub(super) shares: u64,
    pub(super) square_nm2: f64,
}

impl SiteSums {
    fn of(touch: &Touch) -> Self {
        let Touch { at, a, b, shares, square_nm2 } = *touch;
        let places = [at.z, at.y, at.x].map(u128::from);
        Self { a, b, first: at, voxels: 1, places, shares, square_nm2 }
    }

    fn join(&mut self, other: &Self) {
        self.first = self.first.min(other.first);
        self.voxels += other.voxels;
        self.places.iter_mut().zip(other.places).for_each(|(a, b)| *a += b);
        self.shares += other.shares;
        self.square_nm2 = self.square_nm2.min(other.square_nm2);
    }

    /// The middle (z, y, x) in voxels.
    pub(super) fn centroid(&self) -> [f64; 3] {
        self.places.map(|sum| sum as f64 / self.voxels as f64)
    }
}

/// A contact voxel's place and the other object: with the voxel's own object they say whose contact it is.
type Key = (Index, u32);

/// The sites of a block.
pub(super) struct BlockSites {
    sites: Vec<SiteSums>,
    /// Contact voxels on the block's sides, with their sites.
    sides: Vec<(Key, u32)>,
}

impl BlockSites {
    /// Joins the contact voxels of a block.
    pub(super) fn of(touches: &[Touch], core: Region) -> Self {
        let mut forest = Forest::alone(touches.len() as u32);
        let mut here = IdMap::<Key, u32>::default();
        for (i, touch) in touches.iter().enumerate() {
            for at in around(touch.at) {
                if let Some(&other) = here.get(&(at, touch.b)).filter(|&&other| touches[other as usize].a == touch.a) {
                    forest.join(i as u32, other);
                }
            }
            here.insert((touch.at, touch.b), i as u32);
        }
        let (mut sites, mut sides): (Vec<SiteSums>, _) = (Vec::new(), Vec::new());
        let mut numbers = vec![0; touches.len()];
        let end = core.end();
        for (i, touch) in touches.iter().enumerate() {
            let root = forest.root(i as u32) as usize;
            if root == i {
                numbers[i] = sites.len() as u32;
                sites.push(SiteSums::of(touch));
            } else {
                sites[numbers[root] as usize].join(&SiteSums::of(touch));
            }
            let on_side = |at: u64, first: u64, end: u64| at == first || at + 1 == end;
            let (at, first) = (touch.at, core.start);
            if on_side(at.z, first.z, end.z) || on_side(at.y, first.y, end.y) || on_side(at.x, first.x, end.x) {
                sides.push(((at, touch.b), numbers[root]));
            }
        }
        Self { sites, sides }
    }
}

/// The sites of all blocks so far, which come in order.
#[derive(Default)]
pub(super) struct Sites {
    sums: Vec<SiteSums>,
    forest: Forest,
    /// Contact voxels on the sides of blocks that others may join.
    open: IdMap<Key, u32>,
    /// The first section of the last block.
    layer: u64,
}

impl Sites {
    /// Adds a block's; false where there are too many sites to number.
    pub(super) fn add(&mut self, block: BlockSites, core: Region) -> bool {
        if core.start.z != self.layer {
            self.layer = core.start.z;
            let layer = self.layer;
            self.open.retain(|(at, _), _| at.z + 1 >= layer);
        }
        let base = self.forest.len();
        if u32::try_from(block.sites.len()).ok().is_none_or(|count| self.forest.grow(count).is_err()) {
            return false;
        }
        self.sums.extend(&block.sites);
        for ((at, b), site) in block.sides {
            let site = base + site;
            for next in around(at) {
                if let Some(&other) = self.open.get(&(next, b))
                    && self.sums[other as usize].a == self.sums[site as usize].a
                {
                    self.forest.join(site, other);
                }
            }
            self.open.insert((at, b), site);
        }
        true
    }

    /// The sites by pair and first voxel.
    pub(super) fn finish(mut self) -> Vec<SiteSums> {
        let mut found: Vec<SiteSums> = Vec::new();
        let mut numbers = vec![0; self.sums.len()];
        for (i, site) in self.sums.iter().enumerate() {
            let root = self.forest.root(i as u32) as usize;
            if root == i {
                numbers[i] = found.len();
                found.push(*site);
            } else {
                found[numbers[root]].join(site);
            }
        }
        found.sort_unstable_by_key(|site| (site.a, site.b, site.first));
        found
    }
}

/// The 26 voxels around one, as far as there are any.
fn around(at: Index) -> impl Iterator<Item = Index> {
    let near = |at: u64| at.saturating_sub(1)..=at.saturating_add(1);
    near(at.z)
        .flat_map(move |z| near(at.y).flat_map(move |y| near(at.x).map(move |x| Index::new(z, y, x))))
        .filter(move |&other| other != at)
}
