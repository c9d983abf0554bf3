//! How many voxels each pair of objects of two label volumes shares.

use std::collections::HashMap;

use deep3m_volume::{Block, Extent, Region, Volume};
use rayon::prelude::*;

use crate::AnalyzeError;

/// What is compared at once.
const BLOCK: Extent = Extent::new(32, 256, 256);

/// Voxels by their number in one volume and in another; 0 is background.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Contingency {
    /// (prediction, truth) → voxels.
    pub(super) shared: HashMap<(u32, u32), u64>,
}

impl Contingency {
    /// Of two volumes of one size, or of a part of both. `progress` hears the voxels of each batch of blocks.
    pub(super) fn of(
        prediction: &dyn Volume,
        truth: &dyn Volume,
        region: Region,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Self, AnalyzeError> {
        let mut all = Self::default();
        let blocks: Vec<Region> = region.tiles(BLOCK).collect();
        for batch in blocks.chunks(rayon::current_num_threads().max(1)) {
            let count = |&block: &Region| Ok(Self::of_blocks(&prediction.read(block)?, &truth.read(block)?));
            let parts: Vec<Self> = batch.par_iter().map(count).collect::<Result<_, AnalyzeError>>()?;
            for (pair, voxels) in parts.into_iter().flat_map(|part| part.shared) {
                *all.shared.entry(pair).or_default() += voxels;
            }
            progress(batch.iter().map(|block| block.extent.len() as u64).sum());
        }
        Ok(all)
    }

    fn of_blocks(prediction: &Block, truth: &Block) -> Self {
        let mut shared = HashMap::new();
        // Neighbours mostly are the same pair: counted before they are looked up.
        let mut run: Option<((u32, u32), u64)> = None;
        for pair in prediction.voxels().iter().zip(truth.voxels().iter()) {
            run = match run {
                Some((same, voxels)) if same == pair => Some((same, voxels + 1)),
                before => {
                    if let Some((pair, voxels)) = before {
                        *shared.entry(pair).or_default() += voxels;
                    }
                    Some((pair, 1))
                }
            };
        }
        if let Some((pair, voxels)) = run {
            *shared.entry(pair).or_default() += voxels;
        }
        Self { shared }
    }

    /// The pairs in order, so that sums of fractions are the same every time.
    pub(super) fn pairs(&self) -> Vec<((u32, u32), u64)> {
        let mut pairs: Vec<_> = self.shared.iter().map(|(&pair, &voxels)| (pair, voxels)).collect();
        pairs.sort_unstable();
        pairs
    }
}
