//! Connected components: how many objects there are, where, and how large.
//!
//! Sections come one after another. A section's foreground is runs of voxels along its rows; runs that touch are joined
//! (union-find), with each other and with those of the section before. An object that does not reach the latest section
//! is done. Memory is the runs of two sections and the objects found.

use deep3m_volume::{Extent, Index, Place, Region, Volume, VolumeError};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;

/// Which voxels touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Connectivity {
    /// Those that share a face.
    #[serde(rename = "6")]
    Faces,
    /// Those that share a face, an edge or a corner.
    #[default]
    #[serde(rename = "26")]
    Corners,
}

/// What counts as an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ComponentsConfig {
    /// Which voxels touch. Default 26.
    pub connectivity: Connectivity,
    /// Voxels of at least this value are foreground. Default 128: a probability of one half in 8 bits.
    pub level: u32,
    /// Smaller objects are left out. Default 1.
    pub min_voxels: u64,
    /// The part that is looked at; `None` is all of it.
    pub region: Option<Region>,
}

impl Default for ComponentsConfig {
    fn default() -> Self {
        Self { connectivity: Connectivity::default(), level: 128, min_voxels: 1, region: None }
    }
}

/// A connected object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Component {
    /// Number from 1, in the order of the objects' first voxels (z, then y, then x).
    pub id: u64,
    /// Number of voxels.
    pub size_voxels: u64,
    /// Mean of its voxels' sections, from the volume's first.
    pub z: f64,
    /// Mean of their rows.
    pub y: f64,
    /// Mean of their columns.
    pub x: f64,
    /// The smallest box that holds it.
    pub bounds: Region,
}

/// Finds the objects of a volume, section by section.
///
/// `progress` hears the number of voxels after each section.
pub fn components(
    volume: &dyn Volume,
    config: &ComponentsConfig,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Component>, AnalyzeError> {
    let info = volume.info();
    let region = config.region.unwrap_or(Region::whole(info.extent));
    if !region.fits(info.extent) {
        let place = Place::file(&info.path);
        return Err(VolumeError::OutOfBounds { place, region, extent: info.extent }.into());
    }
    let mut joiner = Joiner::new(config.connectivity);
    for z in region.start.z..region.end().z {
        // Rows at a time, so that a section need not fit into memory.
        let section = Region::new(
            Index::new(z, region.start.y, region.start.x),
            Extent::new(1, region.extent.y, region.extent.x),
        );
        for rows in section.tiles(Extent::new(1, 256, region.extent.x.max(1))) {
            let block = volume.read(rows)?;
            let width = rows.extent.x as usize;
            for y in 0..rows.extent.y {
                let from = y as usize * width;
                let row = (from..from + width).map(|i| block.voxels().get(i) >= config.level);
                joiner.add_row(Index::new(z, rows.start.y + y, rows.start.x), row);
            }
        }
        joiner.end_section();
        progress(section.extent.len() as u64);
    }
    Ok(joiner.finish(config.min_voxels))
}

/// Finds the objects of a mask in memory, row-major; positions count from its first voxel.
///
/// # Panics
/// If the mask does not have the extent's number of voxels.
pub fn components_of_mask(mask: &[bool], extent: Extent, connectivity: Connectivity) -> Vec<Component> {
    assert_eq!(mask.len() as u64, extent.z * extent.y * extent.x, "a mask of {extent}");
    let mut joiner = Joiner::new(connectivity);
    let mut rows = mask.chunks_exact(extent.x.max(1) as usize);
    for z in 0..extent.z {
        for y in 0..extent.y {
            let row = rows.next().unwrap_or_default();
            joiner.add_row(Index::new(z, y, 0), row.iter().copied());
        }
        joiner.end_section();
    }
    joiner.finish(1)
}

/// Sums over an object's voxels: whole numbers, so that the order of joining does not matter.
#[derive(Clone, Copy, Debug)]
struct Sums {
    voxels: u64,
    z: u128,
    y: u128,
    x: u128,
    low: Index,
    high: Index,
    first: Index,
}

impl Sums {
    fn join(&mut self, o: &Self) {
        self.voxels += o.voxels;
        self.z += o.z;
        self.y += o.y;
        self.x += o.x;
        self.low = Index::new(self.low.z.min(o.low.z), self.low.y.min(o.low.y), self.low.x.min(o.low.x));
        self.high = Index::new(self.high.z.max(o.high.z), self.high.y.max(o.high.y), self.high.x.max(o.high.x));
        self.first = self.first.min(o.first);
    }
}

/// Foreground voxels `from..to` of row `y`.
#[derive(Clone, Copy, Debug)]
struct Run {
    y: u64,
    from: u64,
    to: u64,
    node: usize,
}

struct Joiner {
    /// How far apart two runs may be and touch: 0 or 1.
    slack: u64,
    parent: Vec<usize>,
    sums: Vec<Sums>,
    above: Vec<Run>,
    section: Vec<Run>,
    done: Vec<Sums>,
}

impl Joiner {
    fn new(connectivity: Connectivity) -> Self {
        let slack = match connectivity {
            Connectivity::Faces => 0,
            Connectivity::Corners => 1,
        };
        Self { slack, parent: vec![], sums: vec![], above: vec![], section: vec![], done: vec![] }
    }

    fn add_row(&mut self, start: Index, row: impl Iterator<Item = bool>) {
        let mut open: Option<u64> = None;
        let mut x = start.x;
        for inside in row {
            match (inside, open) {
                (true, None) => open = Some(x),
                (false, Some(from)) => {
                    self.add_run(start.z, start.y, from, x);
                    open = None;
                }
                _ => {}
            }
            x += 1;
        }
        if let Some(from) = open {
            self.add_run(start.z, start.y, from, x);
        }
    }

    fn add_run(&mut self, z: u64, y: u64, from: u64, to: u64) {
        let node = self.parent.len();
        let (voxels, sum) = (to - from, |v: u64| u128::from(v) * u128::from(to - from));
        self.parent.push(node);
        self.sums.push(Sums {
            voxels,
            z: sum(z),
            y: sum(y),
            x: u128::from(from + to - 1) * u128::from(voxels) / 2,
            low: Index::new(z, y, from),
            high: Index::new(z, y, to - 1),
            first: Index::new(z, y, from),
        });
        self.section.push(Run { y, from, to, node });
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            let (low, high) = (a.min(b), a.max(b));
            self.parent[high] = low;
            let sums = self.sums[high];
            self.sums[low].join(&sums);
        }
    }

    /// Joins the runs of rows `y` of one list with those of rows `y + shift` of another; both are in order.
    fn join_rows(&mut self, runs: &[Run], others: &[Run], shift: i64) {
        let (slack, mut first) = (self.slack, 0);
        for run in runs {
            let Some(y) = run.y.checked_add_signed(shift) else { continue };
            // Others that end before this run, in its row or an earlier one, end before the next ones too.
            while first < others.len()
                && (others[first].y < y || (others[first].y == y && others[first].to + slack <= run.from))
            {
                first += 1;
            }
            for other in others[first..].iter().take_while(|o| o.y == y && o.from < run.to + slack) {
                self.join(run.node, other.node);
            }
        }
    }

    /// Joins what touches, and lets go of the objects that cannot grow any more.
    fn end_section(&mut self) {
        let section = std::mem::take(&mut self.section);
        let above = std::mem::take(&mut self.above);
        self.join_rows(&section, &section, -1);
        for shift in if self.slack == 0 { 0..=0 } else { -1..=1 } {
            self.join_rows(&section, &above, shift);
        }
        // The objects of this section, numbered anew.
        let mut names = vec![usize::MAX; self.parent.len()];
        let mut sums = Vec::new();
        self.above = Vec::with_capacity(section.len());
        for run in section {
            let root = self.root(run.node);
            if names[root] == usize::MAX {
                names[root] = sums.len();
                sums.push(self.sums[root]);
            }
            self.above.push(Run { node: names[root], ..run });
        }
        for (node, (&parent, &name)) in self.parent.iter().zip(&names).enumerate() {
            if parent == node && name == usize::MAX {
                self.done.push(self.sums[node]);
            }
        }
        self.parent = (0..sums.len()).collect();
        self.sums = sums;
    }

    fn finish(mut self, min_voxels: u64) -> Vec<Component> {
        self.section.clear();
        self.end_section();
        self.done.retain(|s| s.voxels >= min_voxels);
        self.done.sort_unstable_by_key(|s| s.first);
        let component = |(i, s): (usize, &Sums)| {
            let mean = |sum: u128| sum as f64 / s.voxels as f64;
            let size = |low: u64, high: u64| high - low + 1;
            Component {
                id: i as u64 + 1,
                size_voxels: s.voxels,
                z: mean(s.z),
                y: mean(s.y),
                x: mean(s.x),
                bounds: Region::new(
                    s.low,
                    Extent::new(size(s.low.z, s.high.z), size(s.low.y, s.high.y), size(s.low.x, s.high.x)),
                ),
            }
        };
        self.done.iter().enumerate().map(component).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// By flooding from each voxel.
    fn flooded(mask: &[bool], extent: Extent, connectivity: Connectivity) -> Vec<Component> {
        let mut seen = vec![false; mask.len()];
        let mut found = Vec::new();
        for start in Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|r| r.start) {
            if !mask[extent.offset(start)] || seen[extent.offset(start)] {
                continue;
            }
            seen[extent.offset(start)] = true;
            let (mut todo, mut voxels) = (vec![start], Vec::new());
            while let Some(at) = todo.pop() {
                voxels.push(at);
                for q in Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|r| r.start) {
                    let d = [at.z.abs_diff(q.z), at.y.abs_diff(q.y), at.x.abs_diff(q.x)];
                    let touches = match connectivity {
                        Connectivity::Faces => d.iter().sum::<u64>() == 1,
                        Connectivity::Corners => d.iter().all(|&d| d <= 1),
                    };
                    let i = extent.offset(q);
                    if touches && mask[i] && !seen[i] {
                        seen[i] = true;
                        todo.push(q);
                    }
                }
            }
            let n = voxels.len() as f64;
            let mean = |f: fn(&Index) -> u64| voxels.iter().map(|v| f(v) as f64).sum::<f64>() / n;
            let low = |f: fn(&Index) -> u64| voxels.iter().map(f).min().unwrap();
            let size = |f: fn(&Index) -> u64| voxels.iter().map(f).max().unwrap() - low(f) + 1;
            found.push(Component {
                id: found.len() as u64 + 1,
                size_voxels: voxels.len() as u64,
                z: mean(|v| v.z),
                y: mean(|v| v.y),
                x: mean(|v| v.x),
                bounds: Region::new(
                    Index::new(low(|v| v.z), low(|v| v.y), low(|v| v.x)),
                    Extent::new(size(|v| v.z), size(|v| v.y), size(|v| v.x)),
                ),
            });
        }
        found
    }

    fn mask() -> impl Strategy<Value = (Extent, Vec<bool>)> {
        (1_u64..6, 1_u64..7, 1_u64..8, 0.1_f64..0.7).prop_flat_map(|(z, y, x, share)| {
            let voxel = prop::bool::weighted(share);
            (Just(Extent::new(z, y, x)), prop::collection::vec(voxel, (z * y * x) as usize))
        })
    }

    proptest! {
        #[test]
        fn objects_are_those_of_flooding((extent, mask) in mask(), faces: bool) {
            let connectivity = if faces { Connectivity::Faces } else { Connectivity::Corners };
            let found = components_of_mask(&mask, extent, connectivity);
            let expected = flooded(&mask, extent, connectivity);
            prop_assert_eq!(found.len(), expected.len());
            for (f, e) in found.iter().zip(&expected) {
                prop_assert_eq!((f.id, f.size_voxels, f.bounds), (e.id, e.size_voxels, e.bounds));
                prop_assert!((f.z - e.z).abs() + (f.y - e.y).abs() + (f.x - e.x).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn a_bridge_in_the_last_section_makes_one_object() {
        let extent = Extent::new(2, 1, 3);
        let mask = [true, false, true, true, true, true];
        assert_eq!(components_of_mask(&mask, extent, Connectivity::Faces).len(), 1);
        assert_eq!(components_of_mask(&mask[..3], Extent::new(1, 1, 3), Connectivity::Faces).len(), 2);
    }
}
