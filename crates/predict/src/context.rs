//! Reading a block's context: the part that lies in the volume is read, what sticks out is mirrored at the volume's own
//! border, bins are averaged, grey values normalised.

use std::ops::Range;

use deep3m_volume::{Binning, Extent, Index, Region, Volume, VolumeError, Voxels};

use crate::plan::{Context, Span};

/// A block's context, ready for the network.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Prepared {
    /// Normalised grey values, row-major sections × rows × columns of bins.
    pub(crate) values: Vec<f32>,
    /// Rows of bins.
    pub(crate) rows: usize,
    /// Columns of bins.
    pub(crate) columns: usize,
}

impl Prepared {
    /// `count` sections from the context's section `first`.
    pub(crate) fn sections(&self, first: usize, count: usize) -> &[f32] {
        let section = self.rows * self.columns;
        &self.values[first * section..][..count * section]
    }
}

/// Reads a context, into a buffer whose room is used again. `normalise` is applied to each binned section.
pub(crate) fn prepare(
    volume: &dyn Volume,
    binning: Binning,
    context: &Context,
    normalise: &dyn Fn(&mut [f32]),
    buffer: &mut Vec<f32>,
) -> Result<Prepared, VolumeError> {
    let extent = volume.info().extent;
    let z = Axis::new(context.z, extent.z);
    let y = Axis::new(pixels(context.y, binning.y), extent.y);
    let x = Axis::new(pixels(context.x, binning.x), extent.x);
    let source = Region::new(Index::new(z.first, y.first, x.first), Extent::new(z.count, y.count, x.count));
    let block = volume.read(source)?;
    let (height, width) = (y.from.len(), x.from.len());
    let (rows, columns) = (context.y.len as usize, context.x.len as usize);
    let mut values = std::mem::take(buffer);
    values.clear();
    // Also when it is not used again, no more than is needed.
    values.reserve_exact(z.from.len() * rows * columns);
    let mut section = Vec::with_capacity(height * width);
    let mut made: Vec<(usize, usize)> = Vec::new();
    for &from in &z.from {
        // A mirrored section is a copy of one that is there already.
        if let Some(&(_, at)) = made.iter().find(|(source, _)| *source == from) {
            values.extend_from_within(at..at + rows * columns);
            continue;
        }
        made.push((from, values.len()));
        section.clear();
        match block.voxels() {
            Voxels::U8(voxels) => gather(voxels, from, source.extent, &y.from, &x.from, &mut section),
            Voxels::U16(voxels) => gather(voxels, from, source.extent, &y.from, &x.from, &mut section),
            other => gather(&other.to_f32(), from, source.extent, &y.from, &x.from, &mut section),
        }
        let start = values.len();
        if binning.is_none() {
            values.extend_from_slice(&section);
        } else {
            values.extend(binning.mean(&section, 1, height, width));
        }
        normalise(&mut values[start..]);
    }
    Ok(Prepared { values, rows, columns })
}

/// Bins as pixels.
fn pixels(span: Span, bin: u32) -> Span {
    Span { start: span.start * i64::from(bin), len: span.len * u64::from(bin) }
}

/// One section, row by row, from the rows and columns given.
fn gather<T: Copy + Into<f32>>(
    source: &[T],
    section: usize,
    extent: Extent,
    rows: &[usize],
    columns: &[usize],
    target: &mut Vec<f32>,
) {
    let width = extent.x as usize;
    let start = section * extent.y as usize * width;
    // Away from the volume's border columns lie one after another.
    let middle = one_after_another(columns);
    let (before, after) = (&columns[..middle.start], &columns[middle.end..]);
    let from = columns.get(middle.start).copied().unwrap_or(0);
    for &row in rows {
        let row = &source[start + row * width..][..width];
        target.extend(before.iter().map(|&column| row[column].into()));
        target.extend(row[from..from + middle.len()].iter().map(|&value| value.into()));
        target.extend(after.iter().map(|&column| row[column].into()));
    }
}

/// The longest stretch in which each position is the one after the one before it.
fn one_after_another(positions: &[usize]) -> Range<usize> {
    let (mut longest, mut start) = (0..0, 0);
    for end in 1..=positions.len() {
        if end == positions.len() || positions[end] != positions[end - 1] + 1 {
            if end - start > longest.len() {
                longest = start..end;
            }
            start = end;
        }
    }
    longest
}

/// How a span of an axis comes from the part of the volume that is read for it.
struct Axis {
    /// First position read.
    first: u64,
    /// Positions read.
    count: u64,
    /// For each position of the span where it is found, counted from `first`.
    from: Vec<usize>,
}

impl Axis {
    fn new(span: Span, size: u64) -> Self {
        let at: Vec<u64> = (span.start..span.end()).map(|p| reflect(p, size)).collect();
        let (first, last) = at.iter().fold((u64::MAX, 0), |(low, high), &p| (low.min(p), high.max(p)));
        Self { first, count: last - first + 1, from: at.iter().map(|&p| (p - first) as usize).collect() }
    }
}

/// The position inside an axis of `size` that a position beyond its ends shows: mirrored without repeating the border
/// (numpy's `reflect`: c b | a b c | b a), again and again where the axis is short; an axis of one position repeats.
pub(crate) fn reflect(position: i64, size: u64) -> u64 {
    if size <= 1 {
        return 0;
    }
    let period = 2 * (size as i64 - 1);
    let at = position.rem_euclid(period).unsigned_abs();
    at.min(period.unsigned_abs() - at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryVolume;

    #[test]
    fn reflects_as_numpy_does() {
        // np.pad([0, 1, 2, 3], 6, 'reflect')
        let padded: Vec<u64> = (-6..10).map(|p| reflect(p, 4)).collect();
        assert_eq!(padded, [0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3]);
        assert_eq!((-3..5).map(|p| reflect(p, 2)).collect::<Vec<_>>(), [1, 0, 1, 0, 1, 0, 1, 0]);
        assert!((-3..5).all(|p| reflect(p, 1) == 0));
    }

    #[test]
    fn a_context_is_mirrored_at_the_border_and_read_within() {
        let volume = MemoryVolume::ramp(Extent::new(3, 4, 5));
        let context =
            Context { z: Span { start: -1, len: 5 }, y: Span { start: -2, len: 6 }, x: Span { start: 1, len: 6 } };
        let prepared = prepare(&volume, Binning::NONE, &context, &|_| {}, &mut vec![7.0; 9]).unwrap();
        let mut expected = Vec::new();
        for z in [1, 0, 1, 2, 1] {
            for y in [2, 1, 0, 1, 2, 3] {
                for x in [1, 2, 3, 4, 3, 2] {
                    expected.push(((z * 4 + y) * 5 + x) as f32);
                }
            }
        }
        assert_eq!(prepared.values, expected);
    }

    #[test]
    fn bins_are_averaged_from_the_volume_s_first_voxel_and_mirrored_at_its_end() {
        let volume = MemoryVolume::ramp(Extent::new(1, 1, 5));
        let context =
            Context { z: Span { start: 0, len: 1 }, y: Span { start: 0, len: 1 }, x: Span { start: 1, len: 3 } };
        let prepared = prepare(&volume, Binning { y: 3, x: 2 }, &context, &|_| {}, &mut Vec::new()).unwrap();
        // Columns 2 3 | 4 3 | 2 1: the last bin of the volume holds one real column and its mirror image.
        assert_eq!(prepared.values, [2.5, 3.5, 1.5]);
    }
}
