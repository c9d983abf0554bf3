//! How many voxels each pair of objects of two label volumes shares.

use std::collections::HashMap;

use deep3m_volume::memory::{self, room};
use deep3m_volume::{Block, Extent, Region, Volume};

use crate::AnalyzeError;
use crate::inputs::{Allowance, together};
use crate::walk::Walk;

/// A pair of numbers, predicted and true, with the voxels that have both.
pub(super) type Pair = ((u32, u32), u64);

/// Bytes of a voxel while its block is counted, besides the two numbers: a pair, should each voxel be another.
const COUNTED_BYTES: u64 = 2 * size_of::<Pair>() as u64;
/// Bytes of a pair of objects at the most: in the table as it grows, in order, and in what is looked up by object.
const PAIR_BYTES: u64 = 192;
/// What the table may take in any case.
const LEAST_TABLE_BYTES: u64 = 32 << 20;

/// Voxels by their number in one volume and in another; 0 is background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contingency {
    /// Every pair that occurs once, in order: so sums of fractions are the same every time.
    pub(super) pairs: Vec<Pair>,
}

impl Contingency {
    /// Of a part of two volumes. `progress` hears the voxels of each block; with a false it ends.
    pub(super) fn of(
        prediction: &dyn Volume,
        truth: &dyn Volume,
        region: Region,
        memory: Allowance,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self, AnalyzeError> {
        let (a, b) = (prediction.info(), truth.info());
        let info = together(&[a, b]);
        let bytes = (a.voxel_type.bytes() + b.voxel_type.bytes()) as u64 + COUNTED_BYTES;
        let alone = Extent::new(0, 0, 0);
        let walk = Walk::fit(&info, region, alone, bytes, memory.held + LEAST_TABLE_BYTES, memory.budget)?;
        let left = room(memory.budget).saturating_sub(walk.peak(&info, bytes)).saturating_sub(memory.held);
        Self::counted(prediction, truth, &walk, (left / PAIR_BYTES, memory.budget), progress)
    }

    /// Counts in blocks; `most` pairs fit into the budget.
    pub(super) fn counted(
        prediction: &dyn Volume,
        truth: &dyn Volume,
        walk: &Walk,
        (most, budget): (u64, u64),
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Self, AnalyzeError> {
        let mut shared: HashMap<(u32, u32), u64> = HashMap::new();
        walk.run(
            |part| Ok(of_blocks(&prediction.read(part.core)?, &truth.read(part.core)?)),
            |_, pairs| {
                for (pair, voxels) in pairs {
                    *shared.entry(pair).or_default() += voxels;
                }
                if shared.len() as u64 > most {
                    let (what, found) = ("pairs of objects that share voxels", memory::text(budget));
                    return Err(AnalyzeError::TooMany { what, found, most });
                }
                Ok(())
            },
            progress,
        )?;
        Ok(Self::in_order(shared.into_iter().collect()))
    }

    /// Of pairs, each of which occurs once.
    pub(super) fn in_order(mut pairs: Vec<Pair>) -> Self {
        pairs.sort_unstable();
        Self { pairs }
    }
}

/// The pairs of one block, each once.
fn of_blocks(prediction: &Block, truth: &Block) -> Vec<Pair> {
    // What is put in order at a time.
    const PAIRS: usize = 1 << 16;
    let mut pairs: Vec<Pair> = Vec::new();
    let mut limit = PAIRS;
    for pair in prediction.voxels().iter().zip(truth.voxels().iter()) {
        // Neighbours mostly are the same pair.
        match pairs.last_mut() {
            Some((same, voxels)) if *same == pair => *voxels += 1,
            _ => {
                if pairs.len() >= limit {
                    merge(&mut pairs);
                    limit = PAIRS.max(2 * pairs.len());
                }
                pairs.push((pair, 1));
            }
        }
    }
    merge(&mut pairs);
    pairs
}

/// Adds up the voxels of equal pairs.
fn merge(pairs: &mut Vec<Pair>) {
    pairs.sort_unstable_by_key(|&(pair, _)| pair);
    pairs.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{InMemory, Voxels};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn every_voxel_counts_once_whatever_the_blocks(
            numbers in prop::collection::vec((prop::sample::select(vec![0_u32, 1, 2, u32::MAX]), 0_u8..4), 120),
            (bz, by, bx) in (1_u64..5, 1_u64..6, 1_u64..7),
        ) {
            let extent = Extent::new(4, 5, 6);
            let a = InMemory::new("a", extent, Voxels::U32(numbers.iter().map(|pair| pair.0).collect()));
            let b = InMemory::new("b", extent, Voxels::U8(numbers.iter().map(|pair| pair.1).collect()));
            let (region, block) = (Region::whole(extent), Extent::new(bz, by, bx));
            let walk = Walk { region, block, halo: Extent::new(0, 0, 0), at_once: 2 };
            let mut expected: BTreeMap<(u32, u32), u64> = BTreeMap::new();
            for &(p, t) in &numbers {
                *expected.entry((p, t.into())).or_default() += 1;
            }
            let found = Contingency::counted(&a, &b, &walk, (16, 0), &mut |_| true).unwrap();
            let expected: Vec<Pair> = expected.into_iter().collect();
            prop_assert_eq!(&found.pairs, &expected);
            let most = expected.len() as u64 - 1;
            let error = Contingency::counted(&a, &b, &walk, (most, 1 << 30), &mut |_| true).unwrap_err().to_string();
            prop_assert!(error.contains("--memory"), "{}", error);
        }
    }
}
