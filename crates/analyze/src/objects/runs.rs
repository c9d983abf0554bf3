//! The objects of a block in memory, as runs of voxels along its rows.

use deep3m_volume::Extent;

use super::connectivity::Connectivity;
use super::forest::Forest;

/// Voxels `from..to` of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from: u32,
    pub(super) to: u32,
    /// Which of the block's objects it belongs to, from 0.
    pub(super) object: u32,
}

/// The foreground of a block, told apart into objects, which are numbered in the order of their first voxels.
#[derive(Debug)]
pub(super) struct Labelled {
    height: usize,
    width: usize,
    /// Where the runs of each row begin, with the end of the last.
    starts: Vec<u32>,
    runs: Vec<Run>,
    objects: u32,
}

impl Labelled {
    /// Tells the objects of a mask apart: a byte of 0 or 1 per voxel, row-major.
    pub(super) fn of(mask: &[u8], extent: Extent, connectivity: Connectivity) -> Self {
        let [depth, height, width] = extent.to_array().map(|size| size as usize);
        let (mut starts, mut runs) = (Vec::with_capacity(depth * height + 1), Vec::new());
        starts.push(0);
        for row in mask.chunks_exact(width.max(1)) {
            add_runs(row, &mut runs);
            starts.push(runs.len() as u32);
        }
        let mut forest = Forest::alone(runs.len() as u32);
        let range = |row: usize| starts[row] as usize..starts[row + 1] as usize;
        for z in 0..depth {
            for y in 0..height {
                let here = range(z * height + y);
                if here.is_empty() {
                    continue;
                }
                for &(sections, rows, slack) in connectivity.before() {
                    let Some(section) = z.checked_sub(sections) else { continue };
                    let Some(row) = y.checked_add_signed(-rows).filter(|&row| row < height) else { continue };
                    join_rows(&runs, here.clone(), range(section * height + row), slack, &mut forest);
                }
            }
        }
        let mut objects = 0;
        for i in 0..runs.len() {
            let root = forest.root(i as u32) as usize;
            runs[i].object = if root == i { objects } else { runs[root].object };
            objects += u32::from(root == i);
        }
        runs.shrink_to_fit();
        Self { height, width, starts, runs, objects }
    }

    /// What it takes, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.starts.len() * size_of::<u32>() + self.runs.len() * size_of::<Run>()
    }

    /// How many objects there are.
    pub(super) const fn objects(&self) -> u32 {
        self.objects
    }

    pub(super) fn row(&self, z: usize, y: usize) -> &[Run] {
        let row = z * self.height + y;
        &self.runs[self.starts[row] as usize..self.starts[row + 1] as usize]
    }

    /// The objects of the runs of a section, one after another.
    pub(super) fn section(&self, z: usize) -> impl Iterator<Item = u32> + '_ {
        (0..self.height).flat_map(move |y| self.row(z, y)).map(|run| run.object)
    }

    /// The objects of the runs of a row in all sections.
    pub(super) fn rows(&self, y: usize) -> impl Iterator<Item = u32> + '_ {
        (0..self.depth()).flat_map(move |z| self.row(z, y)).map(|run| run.object)
    }

    /// The objects of a column in all rows and sections, where it is foreground.
    pub(super) fn column(&self, x: u32) -> impl Iterator<Item = u32> + '_ {
        let all = (0..self.depth()).flat_map(move |z| (0..self.height).map(move |y| self.row(z, y)));
        all.filter_map(move |row| {
            let at = row.partition_point(|run| run.to <= x);
            row.get(at).filter(|run| run.from <= x).map(|run| run.object)
        })
    }

    pub(super) fn depth(&self) -> usize {
        (self.starts.len() - 1) / self.height.max(1)
    }

    pub(super) const fn height(&self) -> usize {
        self.height
    }

    pub(super) const fn width(&self) -> usize {
        self.width
    }
}

/// Adds the runs of a row.
fn add_runs(row: &[u8], runs: &mut Vec<Run>) {
    let mut at = 0;
    loop {
        at = next(row, at, 0);
        if at == row.len() {
            return;
        }
        let end = next(row, at, 1);
        runs.push(Run { from: at as u32, to: end as u32, object: 0 });
        at = end;
    }
}

/// The first voxel from `at` on that is not `value`; eight at a time.
fn next(row: &[u8], mut at: usize, value: u8) -> usize {
    let same = u64::from_le_bytes([value; 8]);
    while let Some(eight) = row.get(at..at + 8).and_then(|eight| eight.try_into().ok()) {
        let differs = u64::from_le_bytes(eight) ^ same;
        if differs != 0 {
            return at + differs.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while at < row.len() && row[at] == value {
        at += 1;
    }
    at
}

/// Joins the runs of two rows that touch; with `slack` 1 also where they meet at a corner only.
fn join_rows(
    runs: &[Run],
    here: std::ops::Range<usize>,
    before: std::ops::Range<usize>,
    slack: u32,
    forest: &mut Forest,
) {
    let (mut i, mut j) = (here.start, before.start);
    while i < here.end && j < before.end {
        let (a, b) = (runs[i], runs[j]);
        if b.to + slack <= a.from {
            j += 1;
        } else if a.to + slack <= b.from {
            i += 1;
        } else {
            forest.join(i as u32, j as u32);
            // The one that ends first touches nothing more: the next run of the other row begins behind a gap.
            if a.to < b.to {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
}
