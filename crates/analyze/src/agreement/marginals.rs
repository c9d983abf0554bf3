//! How large each object is, from the table of pairs.

use std::collections::HashMap;

use super::contingency::Pair;

/// A predicted object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Predicted {
    /// All its voxels.
    pub(super) voxels: u64,
    /// Those where the truth is no background.
    pub(super) inside: u64,
}

/// Sizes in voxels by number.
#[derive(Debug, Default)]
pub(super) struct Marginals {
    pub(super) predicted: HashMap<u32, Predicted>,
    pub(super) truth: HashMap<u32, u64>,
    /// Voxels of true objects where nothing was predicted.
    missed: u64,
}

impl Marginals {
    /// Of all pairs, gone through once.
    pub(super) fn of(pairs: &[Pair]) -> Self {
        let mut sizes = Self::default();
        for &((p, t), voxels) in pairs {
            let inside = if t == 0 { 0 } else { voxels };
            if p == 0 {
                sizes.missed += inside;
            } else {
                let object = sizes.predicted.entry(p).or_default();
                object.voxels += voxels;
                object.inside += inside;
            }
            if t != 0 {
                *sizes.truth.entry(t).or_default() += voxels;
            }
        }
        sizes
    }

    /// For each number of the prediction, background too, its voxels where the truth is no background; in no order.
    pub(super) fn inside(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.predicted.iter().map(|(&p, object)| (p, object.inside)).chain([(0, self.missed)])
    }

    /// The voxels with a number of the prediction where the truth is no background.
    pub(super) fn inside_of(&self, p: u32) -> u64 {
        if p == 0 { self.missed } else { self.predicted.get(&p).map_or(0, |object| object.inside) }
    }
}
