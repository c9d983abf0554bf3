//! What is counted of the voxels that lead to one peak, and which peaks are one object.

use deep3m_volume::Index;

use super::climb::Exit;
use super::passes::Pass;
use crate::objects::{Forest, Piece, Size, Tally, sum_up};

/// The voxels that lead to one peak.
#[derive(Clone, Copy, Debug)]
pub(super) struct Basin {
    pub(super) size: Size,
    /// The height of the peak.
    pub(super) peak: f32,
}

impl Tally for Basin {
    const NOTHING: Self = Self { size: Size::NOTHING, peak: 0.0 };

    fn add(&mut self, piece: Piece) {
        self.size.add(piece);
    }

    fn join(&mut self, other: &Self) {
        self.size.join(&other.size);
        self.peak = self.peak.max(other.peak);
    }

    fn voxels(&self) -> u64 {
        self.size.voxels
    }

    fn first(&self) -> Index {
        self.size.first()
    }
}

/// Joins flat pieces with what they lead to, so that what is left are peaks.
pub(super) fn lead_on(forest: &mut Forest, basins: &mut [Basin], mut exits: Vec<Exit>) {
    for exit in &mut exits {
        exit.from = forest.root(exit.from);
    }
    // A piece in several blocks has an exit in each; the first that is taken counts.
    exits.sort_unstable_by(|a, b| a.from.cmp(&b.from).then(b.height.total_cmp(&a.height)).then(a.at.cmp(&b.at)));
    exits.dedup_by_key(|exit| exit.from);
    for exit in exits {
        forest.join(exit.from, exit.to);
    }
    sum_up(forest, basins);
}

/// Leaves of the passes the highest between each two groups that are not joined.
pub(super) fn highest(forest: &mut Forest, passes: &mut Vec<Pass>) {
    for pass in &mut *passes {
        let (a, b) = (forest.root(pass.a), forest.root(pass.b));
        (pass.a, pass.b) = (a.min(b), a.max(b));
    }
    passes.retain(|pass| pass.a != pass.b);
    passes.sort_unstable_by(|p, q| (p.a, p.b).cmp(&(q.a, q.b)).then(q.height.total_cmp(&p.height)));
    passes.dedup_by_key(|pass| (pass.a, pass.b));
}

/// Joins basins, by the passes between them from the highest to the lowest: two become one where the lower of their peaks rises
/// less than `h` above the pass. Passes of one height come in the order of the basins' first voxels.
pub(super) fn merge(forest: &mut Forest, basins: &mut [Basin], mut passes: Vec<Pass>, h: f32) {
    highest(forest, &mut passes);
    for pass in &mut passes {
        if basins[pass.b as usize].first() < basins[pass.a as usize].first() {
            std::mem::swap(&mut pass.a, &mut pass.b);
        }
    }
    let first = |basin: u32| basins[basin as usize].first();
    passes.sort_unstable_by(|p, q| {
        q.height.total_cmp(&p.height).then_with(|| (first(p.a), first(p.b)).cmp(&(first(q.a), first(q.b))))
    });
    for pass in passes {
        let (a, b) = (forest.root(pass.a), forest.root(pass.b));
        let (peak_a, peak_b) = (basins[a as usize].peak, basins[b as usize].peak);
        if a != b && peak_a.min(peak_b) - pass.height < h {
            forest.join(a, b);
            basins[forest.root(a) as usize].peak = peak_a.max(peak_b);
        }
    }
    sum_up(forest, basins);
}
