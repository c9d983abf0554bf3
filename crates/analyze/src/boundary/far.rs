//! The nearest partner of surface voxels that have none nearby.

use std::collections::BTreeMap;

use deep3m_volume::{Extent, Index, Region};
use rayon::prelude::*;

use super::Grid;
use super::distances::Distances;
use super::edges::Masks;
use crate::AnalyzeError;

/// What the volume is divided into.
const BRICK: Extent = Extent::new(16, 64, 64);
/// Marks of a brick: it holds surface of the prediction, of the truth.
pub(super) const PREDICTION: u8 = 1;
pub(super) const TRUTH: u8 = 2;

/// Bytes for the bricks of a region at the most: their marks, and lists of them in the order of their distance.
pub(super) fn bytes(region: Region) -> u64 {
    let [z, y, x] = counts(region);
    z.saturating_mul(y).saturating_mul(x).saturating_mul(64)
}

fn counts(region: Region) -> [u64; 3] {
    let (all, one) = (region.extent.to_array(), BRICK.to_array());
    std::array::from_fn(|i| all[i].div_ceil(one[i]))
}

/// Which bricks of a region hold surface.
pub(super) struct Bricks {
    region: Region,
    counts: [u64; 3],
    marks: BTreeMap<u64, u8>,
}

impl Bricks {
    pub(super) fn new(region: Region) -> Self {
        Self { region, counts: counts(region), marks: BTreeMap::new() }
    }

    /// The number of the brick that a voxel lies in.
    pub(super) fn of(&self, at: Index) -> u64 {
        let first = self.region.start;
        let (z, y, x) = ((at.z - first.z) / BRICK.z, (at.y - first.y) / BRICK.y, (at.x - first.x) / BRICK.x);
        (z * self.counts[1] + y) * self.counts[2] + x
    }

    /// The voxels of a brick.
    fn part(&self, number: u64) -> Region {
        let [_, rows, columns] = self.counts;
        let (z, y, x) = (number / (rows * columns), number / columns % rows, number % columns);
        let (first, end) = (self.region.start, self.region.end());
        let start = Index::new(first.z + z * BRICK.z, first.y + y * BRICK.y, first.x + x * BRICK.x);
        let extent =
            Extent::new(BRICK.z.min(end.z - start.z), BRICK.y.min(end.y - start.y), BRICK.x.min(end.x - start.x));
        Region::new(start, extent)
    }

    /// Adds the marks of another part.
    pub(super) fn merge(&mut self, marks: BTreeMap<u64, u8>) {
        for (brick, mark) in marks {
            *self.marks.entry(brick).or_default() |= mark;
        }
    }
}

/// Surface voxels of one mask, with the square of the nearest partner that is known so far.
pub(super) struct Seeker {
    /// Whose surface it is.
    pub(super) of: u8,
    open: Vec<(Index, f64)>,
}

impl Seeker {
    pub(super) const fn new(of: u8) -> Self {
        Self { of, open: Vec::new() }
    }

    pub(super) fn add(&mut self, at: Index, square: f64) {
        self.open.push((at, square));
    }
}

/// Finds the nearest partner of each. `progress` is asked now and then whether to go on.
pub(super) fn search(
    masks: &Masks<'_>,
    grid: &Grid,
    bricks: &Bricks,
    mut seeker: Seeker,
    distances: &mut Distances,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    let Some(bounds) = bounds(seeker.open.iter().map(|(at, _)| *at)) else { return Ok(()) };
    let partner = if seeker.of == PREDICTION { TRUTH } else { PREDICTION };
    let marked = bricks.marks.iter().filter(|(_, mark)| *mark & partner != 0).map(|(&brick, _)| brick);
    let mut order: Vec<(f64, u64)> = marked.map(|brick| (between(grid, bounds, bricks.part(brick)), brick)).collect();
    order.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for (least, brick) in order {
        let worst = seeker.open.iter().map(|(_, square)| *square).fold(0.0, f64::max);
        if least >= worst {
            break;
        }
        let part = bricks.part(brick);
        let concerned = |part: Region, (at, square): (Index, f64)| between(grid, one(at), part) < square;
        if !seeker.open.iter().any(|&open| concerned(part, open)) {
            continue;
        }
        let edges = masks.edges(part)?;
        let rows = Rows::of(part, if partner == TRUTH { &edges.truth } else { &edges.prediction });
        seeker.open.par_iter_mut().with_min_len(256).for_each(|(at, square)| {
            if concerned(rows.bounds, (*at, *square)) {
                *square = rows.nearest(grid, *at, *square);
            }
        });
        if !progress(0) {
            return Err(AnalyzeError::Interrupted);
        }
    }
    for (_, square) in seeker.open {
        distances.add(square);
    }
    Ok(())
}

/// Section and row of surface voxels, with where its columns begin and end in the list.
type Row = (u64, u64, usize, usize);

/// The surface voxels of a brick by rows.
struct Rows {
    list: Vec<Row>,
    columns: Vec<u64>,
    /// The box around them.
    bounds: Region,
}

impl Rows {
    fn of(part: Region, surface: &[u8]) -> Self {
        let (mut list, mut columns): (Vec<Row>, Vec<u64>) = (Vec::new(), Vec::new());
        let row = Extent::new(1, 1, part.extent.x);
        for (place, marks) in part.tiles(row).zip(surface.chunks_exact(part.extent.x as usize)) {
            let begin = columns.len();
            columns.extend(marks.iter().zip(place.start.x..).filter_map(|(&mark, x)| (mark != 0).then_some(x)));
            if columns.len() > begin {
                list.push((place.start.z, place.start.y, begin, columns.len()));
            }
        }
        let places =
            list.iter().flat_map(|&(z, y, begin, end)| [columns[begin], columns[end - 1]].map(|x| Index::new(z, y, x)));
        let bounds = bounds(places).unwrap_or(part);
        Self { list, columns, bounds }
    }

    /// The least squared distance from a voxel, if it is less than what is known: in each row to the column before or behind.
    fn nearest(&self, grid: &Grid, from: Index, known: f64) -> f64 {
        let mut least = known;
        for &(z, y, begin, end) in &self.list {
            let columns = &self.columns[begin..end];
            let nearest = from.x.clamp(columns[0], columns[columns.len() - 1]);
            let square = grid.square(from, Index::new(z, y, nearest));
            if square >= least {
                continue;
            }
            if nearest != from.x {
                least = square;
                continue;
            }
            let behind = columns.partition_point(|&x| x < from.x);
            for &x in columns.iter().take(behind + 1).skip(behind.saturating_sub(1)) {
                least = least.min(grid.square(from, Index::new(z, y, x)));
            }
        }
        least
    }
}

/// The box around voxels.
fn bounds(mut places: impl Iterator<Item = Index>) -> Option<Region> {
    let first = places.next()?;
    let (low, high) = places.fold((first, first), |(low, high), at| {
        (
            Index::new(low.z.min(at.z), low.y.min(at.y), low.x.min(at.x)),
            Index::new(high.z.max(at.z), high.y.max(at.y), high.x.max(at.x)),
        )
    });
    Some(Region::new(low, Extent::new(high.z - low.z + 1, high.y - low.y + 1, high.x - low.x + 1)))
}

/// A voxel as a box.
const fn one(at: Index) -> Region {
    Region::new(at, Extent::new(1, 1, 1))
}

/// The least square between voxels of two boxes.
fn between(grid: &Grid, a: Region, b: Region) -> f64 {
    let gap = |a: u64, a_size: u64, b: u64, b_size: u64| {
        if a + a_size <= b {
            b - (a + a_size - 1)
        } else if b + b_size <= a {
            a - (b + b_size - 1)
        } else {
            0
        }
    };
    let gaps = Index::new(
        gap(a.start.z, a.extent.z, b.start.z, b.extent.z),
        gap(a.start.y, a.extent.y, b.start.y, b.extent.y),
        gap(a.start.x, a.extent.x, b.start.x, b.extent.x),
    );
    grid.square(gaps, Index::default())
}
