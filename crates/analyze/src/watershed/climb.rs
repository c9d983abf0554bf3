//! Which voxels of a block lead up to the same peak.
//!
//! A voxel leads to the highest of its neighbours, where one is higher than itself (to the first of several). A voxel without a
//! higher neighbour is *flat*; flat voxels that touch and lie equally high are one piece. A piece leads to a touching voxel of
//! its own height that leads higher: to the one whose next voxel is the highest (the first of several). A piece without such a
//! voxel is a *peak*.
//!
//! All of this is seen from a voxel and its neighbours, so a block that is read with one voxel around it knows of each of its
//! voxels where it leads, as every other block does that holds it.

use std::collections::HashMap;

use deep3m_volume::{Extent, Index, Region};

use super::Heights;
use crate::AnalyzeError;
use crate::objects::{Connectivity, Grid};

/// No voxel of the block: background, or around it.
const NOWHERE: u32 = u32::MAX;

/// A block, told apart into groups of voxels that lead to the same place.
///
/// Voxels are counted in the block with one voxel around it on each side.
pub(super) struct Climb {
    /// Size of the block.
    pub(super) extent: Extent,
    /// Height and width with one voxel around.
    stride: [usize; 2],
    pub(super) heights: Vec<f32>,
    /// Number from 1 of each voxel's group, in the order of their first voxels; 0 for background and around the block.
    pub(super) groups: Vec<u32>,
    /// The height of each group's peak, as far as it lies in the block; otherwise 0.
    pub(super) peaks: Vec<f32>,
    /// What is known of where pieces lead that other blocks hold, too.
    pub(super) exits: Vec<Exit>,
    /// Steps to the neighbours that come behind a voxel.
    pub(super) behind: Vec<usize>,
}

/// A way up from a flat piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exit {
    /// The group of the piece.
    pub(super) from: u32,
    /// The group that it leads to.
    pub(super) to: u32,
    /// The height of the voxel after the next.
    pub(super) height: f32,
    /// The next voxel, counted in the volume.
    pub(super) at: u64,
}

impl Exit {
    /// Whether a way is taken rather than another of the same piece.
    pub(super) fn goes_before(&self, other: &Self) -> bool {
        self.height > other.height || (self.height == other.height && self.at < other.at)
    }
}

impl Climb {
    /// Looks at a block of a grid, with what it holds of the next ones.
    pub(super) fn of(
        heights: &Heights,
        grid: &Grid,
        core: &Region,
        connectivity: Connectivity,
    ) -> Result<Self, AnalyzeError> {
        let part = grid.widened(core);
        let block = Padded::read(heights, part)?;
        let steps = connectivity.steps(block.stride);
        let mut up = block.uphill(&steps);
        block.join_flat(&mut up, &steps);
        let open = block.leave_flat(&mut up, &steps, part, &Shared::of(part, core), heights.extent());
        Ok(block.grouped(up, &open, &steps))
    }

    /// The place of the first voxel of a row of the block.
    pub(super) const fn row(&self, z: usize, y: usize) -> usize {
        ((z + 1) * self.stride[0] + y + 1) * self.stride[1] + 1
    }
}

/// The heights of a block with one voxel around; 0 outside of the volume.
struct Padded {
    extent: Extent,
    stride: [usize; 2],
    heights: Vec<f32>,
}

impl Padded {
    fn read(heights: &Heights, part: Region) -> Result<Self, AnalyzeError> {
        let all = heights.extent();
        let shape = Extent::new(part.extent.z + 2, part.extent.y + 2, part.extent.x + 2);
        let (first, end) = (part.start, part.end());
        let wide = Index::new(first.z.saturating_sub(1), first.y.saturating_sub(1), first.x.saturating_sub(1));
        let side = |end: u64, all: u64, start: u64| (end + 1).min(all) - start;
        let extent = Extent::new(side(end.z, all.z, wide.z), side(end.y, all.y, wide.y), side(end.x, all.x, wide.x));
        let around = Region::new(wide, extent);
        let at = Index::new(wide.z + 1 - first.z, wide.y + 1 - first.y, wide.x + 1 - first.x);
        let mut block = vec![0.0; shape.len()];
        heights.read(around, &mut block, shape, at)?;
        Ok(Self { extent: part.extent, stride: [shape.y as usize, shape.x as usize], heights: block })
    }

    const fn row(&self, z: usize, y: usize) -> usize {
        ((z + 1) * self.stride[0] + y + 1) * self.stride[1] + 1
    }

    /// The first voxels of the rows.
    fn rows(&self) -> impl Iterator<Item = usize> + use<> {
        let Extent { z, y, .. } = self.extent;
        let [height, width] = self.stride;
        (0..z as usize).flat_map(move |z| (0..y as usize).map(move |y| ((z + 1) * height + y + 1) * width + 1))
    }

    /// The voxels of the block that are not background.
    fn voxels(&self) -> impl Iterator<Item = usize> + '_ {
        let width = self.extent.x as usize;
        self.rows().flat_map(move |row| row..row + width).filter(|&voxel| self.heights[voxel] > 0.0)
    }

    /// Where each voxel leads by itself; a flat one to itself.
    fn uphill(&self, steps: &[isize]) -> Vec<u32> {
        let mut up = vec![NOWHERE; self.heights.len()];
        let width = self.extent.x as usize;
        let (mut highest, mut which) = (vec![0.0_f32; width], vec![0_u32; width]);
        for row in self.rows() {
            let mut at = row;
            let end = row + width;
            while let Some(from) = (at..end).find(|&voxel| self.heights[voxel] > 0.0) {
                at = (from..end).find(|&voxel| self.heights[voxel] == 0.0).unwrap_or(end);
                let len = at - from;
                highest[..len].copy_from_slice(&self.heights[from..at]);
                which[..len].fill(NOWHERE);
                for (number, &step) in (0_u32..).zip(steps) {
                    let near = from.wrapping_add_signed(step);
                    let near = &self.heights[near..near + len];
                    for ((highest, which), &near) in highest[..len].iter_mut().zip(&mut which[..len]).zip(near) {
                        let higher = near > *highest;
                        *highest = if higher { near } else { *highest };
                        *which = if higher { number } else { *which };
                    }
                }
                for (voxel, &which) in (from..at).zip(&which[..len]) {
                    let step = if which == NOWHERE { 0 } else { steps[which as usize] };
                    up[voxel] = voxel.wrapping_add_signed(step) as u32;
                }
            }
        }
        up
    }

    /// Whether a voxel has no higher neighbour: as long as only flat voxels were joined.
    fn is_flat(&self, up: &[u32], voxel: usize) -> bool {
        self.heights[up[voxel] as usize] == self.heights[voxel]
    }

    /// Joins flat voxels of one height that touch: each then leads to the first of its piece.
    fn join_flat(&self, up: &mut [u32], steps: &[isize]) {
        for voxel in self.voxels() {
            if !self.is_flat(up, voxel) {
                continue;
            }
            for &step in steps.iter().filter(|&&step| step > 0) {
                let near = voxel.wrapping_add_signed(step);
                if self.heights[near] == self.heights[voxel] && up[near] != NOWHERE && self.is_flat(up, near) {
                    let (a, b) = (root(up, voxel), root(up, near));
                    up[a.max(b)] = a.min(b) as u32;
                }
            }
        }
    }

    /// Lets the flat pieces that no other block knows of lead on. What is known of the ways of the others; `from` and `to` are
    /// voxels.
    fn leave_flat(&self, up: &mut [u32], steps: &[isize], part: Region, shared: &Shared, all: Extent) -> Vec<Exit> {
        let (mut pieces, mut exits) = (HashMap::<usize, Piece>::new(), Vec::new());
        for z in 0..self.extent.z as usize {
            for y in 0..self.extent.y as usize {
                let row = self.row(z, y);
                for x in 0..self.extent.x as usize {
                    let voxel = row + x;
                    if up[voxel] == NOWHERE || !self.is_flat(up, voxel) {
                        continue;
                    }
                    let first = root(up, voxel);
                    let piece = pieces.entry(first).or_default();
                    piece.open |= shared.holds([z, y, x]);
                    for &step in steps {
                        let near = voxel.wrapping_add_signed(step);
                        if self.heights[near] != self.heights[voxel] || up[near] == NOWHERE || self.is_flat(up, near) {
                            continue;
                        }
                        let (height, at) = (self.heights[up[near] as usize], near as u64);
                        let exit = Exit { from: first as u32, to: near as u32, height, at };
                        if piece.exit.is_none_or(|other| exit.goes_before(&other)) {
                            piece.exit = Some(exit);
                        }
                    }
                }
            }
        }
        for (&first, piece) in &pieces {
            match piece.exit {
                Some(exit) if piece.open => exits.push(exit),
                Some(exit) => up[first] = exit.to,
                None => {}
            }
        }
        let [height, width] = self.stride.map(|n| n as u64);
        for exit in &mut exits {
            let at = [exit.at / width / height, exit.at / width % height, exit.at % width];
            // Counted from the voxel before the part's first.
            let place = |at: u64, start: u64| at + start - 1;
            let [z, y, x] = [place(at[0], part.start.z), place(at[1], part.start.y), place(at[2], part.start.x)];
            exit.at = (z * all.y + y) * all.x + x;
        }
        // The order of a hash map must not show.
        exits.sort_unstable_by_key(|exit| exit.from);
        exits
    }

    /// Numbers the groups.
    fn grouped(self, mut up: Vec<u32>, open: &[Exit], steps: &[isize]) -> Climb {
        let (mut groups, mut peaks, mut around) = (vec![0; up.len()], Vec::new(), Vec::new());
        for voxel in self.voxels() {
            let root = root(&mut up, voxel);
            if groups[root] == 0 {
                let inside = up[root] != NOWHERE;
                peaks.push(if inside { self.heights[root] } else { 0.0 });
                groups[root] = peaks.len() as u32;
                if !inside {
                    around.push(root);
                }
            }
            groups[voxel] = groups[root];
        }
        // Voxels around the block are in none of its groups; they stood for those that lead there.
        for voxel in around {
            groups[voxel] = 0;
        }
        let of = |voxel: u32| groups[voxel as usize];
        let exits = open.iter().map(|exit| Exit { from: of(exit.from), to: of(exit.to), ..*exit }).collect();
        let behind = steps.iter().filter_map(|&step| usize::try_from(step).ok()).collect();
        Climb { extent: self.extent, stride: self.stride, heights: self.heights, groups, peaks, exits, behind }
    }
}

/// Where a voxel leads in the end: to the first voxel of a flat piece, or to a voxel around the block.
fn root(up: &mut [u32], mut voxel: usize) -> usize {
    loop {
        let next = up[voxel];
        if next as usize == voxel || next == NOWHERE {
            return voxel;
        }
        let after = up[next as usize];
        if after == NOWHERE {
            return next as usize;
        }
        // Halves the way for the next time.
        up[voxel] = after;
        voxel = after as usize;
    }
}

/// Which voxels of a block other blocks hold, too.
struct Shared {
    low: [bool; 3],
    high: [bool; 3],
    last: [usize; 3],
}

impl Shared {
    fn of(part: Region, core: &Region) -> Self {
        let (wide, own) = (part.extent.to_array(), core.extent.to_array());
        Self {
            low: [core.start.z, core.start.y, core.start.x].map(|at| at > 0),
            high: [0, 1, 2].map(|axis| wide[axis] > own[axis]),
            last: wide.map(|n| n as usize - 1),
        }
    }

    fn holds(&self, at: [usize; 3]) -> bool {
        (0..3).any(|axis| (self.low[axis] && at[axis] == 0) || (self.high[axis] && at[axis] == self.last[axis]))
    }
}

/// A flat piece.
#[derive(Default)]
struct Piece {
    /// Whether another block holds a voxel of it: then it may go on, or have other exits, there.
    open: bool,
    exit: Option<Exit>,
}
