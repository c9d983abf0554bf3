//! Bad sections replaced by what lies between their good neighbours.

use std::collections::BTreeMap;
use std::sync::Arc;

use deep3m_volume::{Block, Index, Region, Volume, VolumeError, VolumeInfo};

use super::layer::rounded;
use crate::AnalyzeError;
use crate::check::section::greys;

/// Sections in place of bad ones: the mean of the nearest good one on either side, the nearer weighing more; at the ends
/// of the volume the nearest good one.
pub(super) struct Repaired {
    below: Arc<dyn Volume>,
    /// For each bad section the good ones before and behind.
    bad: BTreeMap<u64, (Option<u64>, Option<u64>)>,
}

impl Repaired {
    /// With these sections replaced.
    ///
    /// # Errors
    /// Sections that are not there, or when none is left.
    pub(super) fn new(below: Arc<dyn Volume>, sections: &[u64]) -> Result<Self, AnalyzeError> {
        let depth = below.info().extent.z;
        let wrong =
            |found: String, expected: String| AnalyzeError::Setting { name: "sections to repair", found, expected };
        if let Some(z) = sections.iter().find(|z| **z >= depth) {
            return Err(wrong(format!("section {z}"), format!("sections from 0 to {}", depth.saturating_sub(1))));
        }
        let mut bad: BTreeMap<u64, (Option<u64>, Option<u64>)> = sections.iter().map(|&z| (z, (None, None))).collect();
        if !bad.is_empty() && bad.len() as u64 == depth {
            return Err(wrong(format!("all {depth} sections"), "at least one good section".into()));
        }
        let list: Vec<u64> = bad.keys().copied().collect();
        let mut before = None;
        for &z in &list {
            before = match z.checked_sub(1) {
                Some(z) if list.binary_search(&z).is_err() => Some(z),
                // After a bad one: what that one has; before the first section there is none.
                other => other.and(before),
            };
            bad.entry(z).and_modify(|pair| pair.0 = before);
        }
        let mut behind = None;
        for &z in list.iter().rev() {
            behind = if z + 1 >= depth {
                None
            } else if list.binary_search(&(z + 1)).is_err() {
                Some(z + 1)
            } else {
                behind
            };
            bad.entry(z).and_modify(|pair| pair.1 = behind);
        }
        Ok(Self { below, bad })
    }

    fn between(&self, z: u64, pair: (Option<u64>, Option<u64>), part: Region) -> Result<Block, VolumeError> {
        let at = |z| self.below.read(Region::new(Index::new(z, part.start.y, part.start.x), part.extent));
        match pair {
            (Some(before), Some(behind)) => {
                let (first, second) = (at(before)?, at(behind)?);
                let weight = (z - before) as f32 / (behind - before) as f32;
                let (mut a, mut b) = (Vec::new(), Vec::new());
                greys(first.voxels(), 0..first.voxels().len(), &mut a);
                greys(second.voxels(), 0..second.voxels().len(), &mut b);
                a.iter_mut().zip(&b).for_each(|(a, b)| *a += weight * (b - *a));
                Ok(Block::new(part.extent, rounded(&a, first.voxels().voxel_type())))
            }
            (Some(one), None) | (None, Some(one)) => at(one),
            (None, None) => at(z),
        }
    }
}

impl Volume for Repaired {
    fn info(&self) -> &VolumeInfo {
        self.below.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let (first, end) = (region.start.z, region.end().z);
        if self.bad.range(first..end).next().is_none() || !region.fits(self.info().extent) {
            return self.below.read(region);
        }
        // Bad sections themselves are not read: their files may be damaged.
        let mut block = Block::zeros(region.extent, self.info().voxel_type);
        let mut z = first;
        while z < end {
            let mut part = region;
            part.start.z = z;
            let sections = if let Some(&pair) = self.bad.get(&z) {
                part.extent.z = 1;
                self.between(z, pair, part)?
            } else {
                let next = self.bad.range(z..end).next().map_or(end, |(z, _)| *z);
                part.extent.z = next - z;
                self.below.read(part)?
            };
            block.paste(Index::new(z - first, 0, 0), &sections, Region::whole(sections.extent()));
            z += sections.extent().z;
        }
        Ok(block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, InMemory, Voxels};

    fn repaired(bad: &[u64]) -> Result<Vec<u8>, AnalyzeError> {
        let volume = InMemory::new("v", Extent::new(6, 1, 2), Voxels::U8((0..12).map(|i| i / 2 * 40).collect()));
        let layer = Repaired::new(Arc::new(volume), bad)?;
        let Voxels::U8(whole) = layer.read(Region::whole(Extent::new(6, 1, 2)))?.into_voxels() else { panic!("bytes") };
        for z in 0..6 {
            let one = layer.read(Region::new(Index::new(z, 0, 1), Extent::new(1, 1, 1)))?;
            assert_eq!(one.voxels(), &Voxels::U8(vec![whole[2 * z as usize]]), "a part is a cut of the whole");
        }
        Ok(whole.into_iter().step_by(2).collect())
    }

    #[test]
    fn bad_sections_lie_between_their_good_neighbours() {
        assert_eq!(repaired(&[]).unwrap(), [0, 40, 80, 120, 160, 200]);
        assert_eq!(repaired(&[2]).unwrap(), [0, 40, 80, 120, 160, 200]);
        assert_eq!(repaired(&[0, 5]).unwrap(), [40, 40, 80, 120, 160, 160]);
        assert_eq!(repaired(&[0, 1, 4, 5]).unwrap(), [80, 80, 80, 120, 120, 120]);
        assert_eq!(repaired(&[1, 2, 3, 4]).unwrap(), [0, 40, 80, 120, 160, 200]);
        assert!(repaired(&[6]).is_err() && repaired(&[0, 1, 2, 3, 4, 5]).is_err());
    }
}
