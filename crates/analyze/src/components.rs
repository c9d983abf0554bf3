//! Connected components: how many objects there are, where, and how large.

use deep3m_volume::{Extent, Place, Region, Volume, VolumeError};
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use crate::objects::{Connectivity, Grid, Mask, Sums, find};
use crate::segment::Threshold;

/// Blocks that are looked at one by one.
const BLOCK: Extent = Extent::new(32, 256, 256);

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

/// Finds the objects of a volume, block by block.
///
/// `progress` hears the number of voxels of each block.
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
    let mask = Threshold { volume, start: region.start, level: config.level };
    found(&mask, region, BLOCK, config, progress)
}

/// The objects of a mask of the size of `region`, whose places count from the volume's first voxel.
fn found(
    mask: &dyn Mask,
    region: Region,
    block: Extent,
    config: &ComponentsConfig,
    progress: &mut dyn FnMut(u64),
) -> Result<Vec<Component>, AnalyzeError> {
    let grid = Grid::new(region.extent, block);
    let keep = |sums: &Sums| sums.voxels >= config.min_voxels;
    let mut go_on = |voxels| {
        progress(voxels);
        true
    };
    let found = find(mask, &grid, config.connectivity, keep, &mut go_on)?;
    let objects = found.map(|found| found.objects).unwrap_or_default();
    Ok((1..).zip(&objects).map(|(id, sums)| component(id, sums, region)).collect())
}

fn component(id: u64, s: &Sums, region: Region) -> Component {
    let mean = |sum: u128, start: u64| sum as f64 / s.voxels as f64 + start as f64;
    let size = |low: u64, high: u64| high - low + 1;
    let (from, mut low) = (region.start, s.low);
    (low.z, low.y, low.x) = (low.z + from.z, low.y + from.y, low.x + from.x);
    let extent = Extent::new(size(s.low.z, s.high.z), size(s.low.y, s.high.y), size(s.low.x, s.high.x));
    Component {
        id,
        size_voxels: s.voxels,
        z: mean(s.z, from.z),
        y: mean(s.y, from.y),
        x: mean(s.x, from.x),
        bounds: Region::new(low, extent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::Index;
    use proptest::prelude::*;
    use std::path::Path;

    /// A mask in memory.
    struct InMemory {
        mask: Vec<bool>,
        extent: Extent,
    }

    impl Mask for InMemory {
        fn path(&self) -> &Path {
            Path::new("mask")
        }

        fn read(&self, part: Region) -> Result<Vec<u8>, AnalyzeError> {
            let voxels = part.tiles(Extent::new(1, 1, 1)).map(|voxel| self.mask[self.extent.offset(voxel.start)]);
            Ok(voxels.map(u8::from).collect())
        }
    }

    fn objects(mask: &[bool], extent: Extent, connectivity: Connectivity, block: Extent) -> Vec<Component> {
        let config = ComponentsConfig { connectivity, ..ComponentsConfig::default() };
        let mask = InMemory { mask: mask.to_vec(), extent };
        let mut seen = 0;
        let found = found(&mask, Region::whole(extent), block, &config, &mut |voxels| seen += voxels).unwrap();
        assert_eq!(seen, extent.len() as u64);
        found
    }

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
                    let near = d.iter().all(|&d| d <= 1);
                    let touches = match connectivity {
                        Connectivity::SectionEdges => d[0] == 0 && d[1] + d[2] == 1,
                        Connectivity::SectionCorners => d[0] == 0 && near,
                        Connectivity::Faces => d.iter().sum::<u64>() == 1,
                        Connectivity::Edges => near && d.iter().sum::<u64>() <= 2,
                        Connectivity::Corners => near,
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
        fn objects_are_those_of_flooding_whatever_the_blocks(
            (extent, mask) in mask(),
            connectivity in prop::sample::select(Connectivity::ALL.to_vec()),
            (z, y, x) in (1_u64..7, 1_u64..8, 1_u64..9),
        ) {
            let found = objects(&mask, extent, connectivity, Extent::new(z, y, x));
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
        let mask = [true, false, true, true, true, true];
        for block in [Extent::new(9, 9, 9), Extent::new(1, 1, 1)] {
            assert_eq!(objects(&mask, Extent::new(2, 1, 3), Connectivity::Faces, block).len(), 1);
            assert_eq!(objects(&mask[..3], Extent::new(1, 1, 3), Connectivity::Faces, block).len(), 2);
            assert_eq!(objects(&mask, Extent::new(2, 1, 3), Connectivity::SectionEdges, block).len(), 3);
        }
    }

    #[test]
    fn no_voxels_and_no_objects_are_fine() {
        let all = Extent::new(8, 8, 8);
        assert!(objects(&[], Extent::new(0, 3, 3), Connectivity::Faces, all).is_empty());
        assert!(objects(&[false; 27], Extent::new(3, 3, 3), Connectivity::Faces, all).is_empty());
        let one = objects(&[true; 27], Extent::new(3, 3, 3), Connectivity::Faces, Extent::new(2, 2, 2));
        assert_eq!((one.len(), one[0].size_voxels), (1, 27));
    }
}
