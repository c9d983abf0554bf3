//! How often each pattern of votes occurs: all that a consensus and every score need.

use crate::Confusion;

/// What the prediction says of a voxel: 0 is no foreground at all, 1 is above 0 but below the threshold, 2 is at or above it. A mask
/// is only known for one when all is counted, and then 1 is foreground, too.
pub(super) const CLASSES: usize = 3;

/// For each pattern of votes (bit r: annotator r said foreground) and each class of the prediction the number of voxels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Patterns {
    raters: usize,
    counts: Vec<[u64; CLASSES]>,
}

impl Patterns {
    pub(super) fn new(raters: usize) -> Self {
        Self { raters, counts: vec![[0; CLASSES]; 1 << raters] }
    }

    pub(super) fn add(&mut self, pattern: u32, class: usize) {
        self.counts[pattern as usize][class] += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (a, b) in self.counts.iter_mut().zip(&other.counts) {
            (0..CLASSES).for_each(|class| a[class] += b[class]);
        }
    }

    pub(super) const fn raters(&self) -> usize {
        self.raters
    }

    /// Voxels of each pattern.
    pub(super) fn counts(&self) -> Vec<u64> {
        self.counts.iter().map(|classes| classes.iter().sum()).collect()
    }

    /// All voxels.
    pub(super) fn total(&self) -> u64 {
        self.counts.iter().flatten().sum()
    }

    /// Voxels of patterns for which something holds.
    pub(super) fn voxels(&self, holds: impl Fn(usize) -> bool) -> u64 {
        self.counts().iter().enumerate().filter(|(pattern, _)| holds(*pattern)).map(|(_, n)| n).sum()
    }

    /// Two opinions compared; each is asked for a pattern and a class.
    pub(super) fn confusion(
        &self,
        found: impl Fn(usize, usize) -> bool,
        truth: impl Fn(usize, usize) -> bool,
    ) -> Confusion {
        let mut confusion = Confusion::default();
        for (pattern, classes) in self.counts.iter().enumerate() {
            for (class, &voxels) in classes.iter().enumerate() {
                confusion.add_many(found(pattern, class), truth(pattern, class), voxels);
            }
        }
        confusion
    }
}
