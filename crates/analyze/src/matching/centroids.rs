//! Where the objects of a label volume are.

use std::collections::BTreeMap;

use deep3m_volume::memory::{self, room};
use deep3m_volume::{Extent, Region, Volume};

use crate::AnalyzeError;
use crate::inputs::{Allowance, must_be_labels, part_of};
use crate::walk::Walk;

/// Bytes of an object, in a table and in the one of a block that is added to it.
const OBJECT_BYTES: u64 = 256;
/// What the table may take in any case.
const LEAST_TABLE_BYTES: u64 = 16 << 20;

/// Voxels of an object, and the sums of their places.
#[derive(Clone, Copy, Default)]
struct Sums {
    voxels: u64,
    places: [u128; 3],
}

/// The centroids of all objects of a label volume (numbers, 0 is background), or of a part of it, in voxels (z, y, x) by number:
/// the middle of the first voxel is at 0, 0, 0. Memory is some blocks per thread and a table of the objects. `progress` hears the
/// voxels of each block; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::NotLabels`], a region that sticks out; [`AnalyzeError::TooMany`] for objects that outgrow the memory;
/// [`AnalyzeError::Interrupted`] when told to stop; what reading met.
pub fn centroids(
    volume: &dyn Volume,
    region: Option<Region>,
    memory: Allowance,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<[f64; 3]>, AnalyzeError> {
    let info = volume.info();
    must_be_labels(info)?;
    let region = part_of(info, region)?;
    let bytes = info.voxel_type.bytes() as u64;
    let kept = memory.held + LEAST_TABLE_BYTES;
    let walk = Walk::fit(info, region, Extent::new(0, 0, 0), bytes, kept, memory.budget)?;
    let left = room(memory.budget).saturating_sub(walk.peak(info, bytes)).saturating_sub(memory.held);
    centroids_in(volume, &walk, left / OBJECT_BYTES, memory.budget, progress)
}

fn centroids_in(
    volume: &dyn Volume,
    walk: &Walk,
    most: u64,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Vec<[f64; 3]>, AnalyzeError> {
    let too_many = || AnalyzeError::TooMany { what: "objects", found: memory::text(budget), most };
    let mut all: BTreeMap<u32, Sums> = BTreeMap::new();
    walk.run(
        |part| {
            let block = volume.read(part.core)?;
            let mut sums: BTreeMap<u32, Sums> = BTreeMap::new();
            let mut values = block.voxels().iter();
            let (first, end) = (part.core.start, part.core.end());
            for (z, y) in (first.z..end.z).flat_map(|z| (first.y..end.y).map(move |y| (z, y))) {
                // Runs of one number along a row.
                let mut row = (first.x..end.x).zip(values.by_ref()).peekable();
                while let Some((x, number)) = row.next() {
                    let mut last = x;
                    while row.next_if(|(_, next)| *next == number).is_some() {
                        last += 1;
                    }
                    if number != 0 {
                        let voxels = last - x + 1;
                        let object = sums.entry(number).or_default();
                        object.voxels += voxels;
                        let along = u128::from(x + last) * u128::from(voxels) / 2;
                        let places = [u128::from(z) * u128::from(voxels), u128::from(y) * u128::from(voxels), along];
                        (0..3).for_each(|axis| object.places[axis] += places[axis]);
                        if sums.len() as u64 > most {
                            return Err(too_many());
                        }
                    }
                }
            }
            Ok(sums)
        },
        |_, sums| {
            for (number, more) in sums {
                let object = all.entry(number).or_default();
                object.voxels += more.voxels;
                (0..3).for_each(|axis| object.places[axis] += more.places[axis]);
            }
            if all.len() as u64 > most { Err(too_many()) } else { Ok(()) }
        },
        progress,
    )?;
    Ok(all.values().map(|object| object.places.map(|sum| sum as f64 / object.voxels as f64)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{InMemory, Index, Voxels};
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn they_are_the_means_of_all_voxels_whatever_the_blocks(
            numbers in prop::collection::vec(prop::sample::select(vec![0_u32, 0, 1, 7, u32::MAX]), 120),
            (bz, by, bx) in (1_u64..5, 1_u64..6, 1_u64..7),
        ) {
            let extent = Extent::new(4, 5, 6);
            let volume = InMemory::new("v", extent, Voxels::U32(numbers.clone()));
            let region = Region::whole(extent);
            let walk = Walk { region, block: Extent::new(bz, by, bx), halo: Extent::new(0, 0, 0), at_once: 2 };
            let found = centroids_in(&volume, &walk, 10, 0, &mut |_| true).unwrap();
            let expected: Vec<[f64; 3]> = [1, 7, u32::MAX]
                .iter()
                .filter_map(|number| {
                    let own: Vec<Index> = region
                        .tiles(Extent::new(1, 1, 1))
                        .map(|tile| tile.start)
                        .filter(|&at| numbers[extent.offset(at)] == *number)
                        .collect();
                    let mean = |of: fn(&Index) -> u64| own.iter().map(of).sum::<u64>() as f64 / own.len() as f64;
                    (!own.is_empty()).then(|| [mean(|at| at.z), mean(|at| at.y), mean(|at| at.x)])
                })
                .collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn more_objects_than_the_memory_holds_are_said() {
        let volume = InMemory::new("v", Extent::new(1, 1, 3), Voxels::U8(vec![1, 2, 3]));
        let region = Region::whole(volume.info().extent);
        let walk = Walk { region, block: region.extent, halo: Extent::new(0, 0, 0), at_once: 1 };
        let error = centroids_in(&volume, &walk, 2, 1 << 30, &mut |_| true).unwrap_err().to_string();
        assert!(error.contains("more than 2 objects") && error.contains("--memory"), "{error}");
        assert_eq!(centroids(&volume, None, Allowance::default(), &mut |_| true).unwrap().len(), 3);
    }
}
