//! What is counted of the voxels that lead to one peak, and which peaks are one object.

use deep3m_volume::Index;

use super::climb::Exit;
use super::passes::Pass;
use crate::objects::{Forest, Piece, Records, Size, Tally};

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
pub(super) fn lead_on(forest: &mut Forest, basins: &mut Records<Basin>, mut exits: Vec<Exit>) {
    for exit in &mut exits {
        exit.from = forest.root(exit.from);
    }
    // A piece in several blocks has an exit in each; the first that is taken counts.
    exits.sort_unstable_by(|a, b| a.from.cmp(&b.from).then(b.height.total_cmp(&a.height)).then(a.at.cmp(&b.at)));
    exits.dedup_by_key(|exit| exit.from);
    for exit in exits {
        forest.join(exit.from, exit.to);
    }
    basins.sum_up(forest);
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
pub(super) fn merge(forest: &mut Forest, basins: &mut Records<Basin>, mut passes: Vec<Pass>, h: f32) {
    highest(forest, &mut passes);
    // From here on basins are known by their places.
    let first = |basin: u32| basins.all()[basin as usize].1.first();
    for pass in &mut passes {
        let (a, b) = (basins.place(pass.a) as u32, basins.place(pass.b) as u32);
        (pass.a, pass.b) = if first(b) < first(a) { (b, a) } else { (a, b) };
    }
    passes.sort_unstable_by(|p, q| {
        q.height.total_cmp(&p.height).then_with(|| (first(p.a), first(p.b)).cmp(&(first(q.a), first(q.b))))
    });
    let mut peaks: Vec<f32> = basins.all().iter().map(|(_, basin)| basin.peak).collect();
    let mut joined = Forest::alone(peaks.len() as u32);
    for pass in passes {
        let (a, b) = (joined.root(pass.a), joined.root(pass.b));
        let (peak_a, peak_b) = (peaks[a as usize], peaks[b as usize]);
        if a != b && peak_a.min(peak_b) - pass.height < h {
            joined.join(a, b);
            peaks[joined.root(a) as usize] = peak_a.max(peak_b);
        }
    }
    for (place, &(piece, _)) in (0..).zip(basins.all()) {
        let (with, _) = basins.all()[joined.root(place) as usize];
        forest.join(piece, with);
    }
    basins.sum_up(forest);
}
