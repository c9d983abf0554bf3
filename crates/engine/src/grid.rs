//! How a blob lies in memory: row by row; in a row its blocks of channels; in a block its pixels; at a pixel the block's
//! channels. Around it are zeros, as far as any convolution that reads it reaches.
//!
//! Blocks have eight channels: one register. The network's input and the heads' results have few channels; their blocks
//! have one ("planes").

use std::ops::Range;

use crate::simd::Eight;

/// Channels of a block.
pub(crate) const BLOCK: usize = 8;

/// The extent of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    /// Blocks of channels.
    pub blocks: usize,
    /// Channels of a block: [`BLOCK`] or 1.
    pub lanes: usize,
    /// Rows and columns.
    pub size: [usize; 2],
    /// Zeros above and below, left and right.
    pub pad: [usize; 2],
}

impl Grid {
    /// Pixels of a row with its zeros.
    pub(crate) const fn columns(&self) -> usize {
        self.size[1] + 2 * self.pad[1]
    }

    /// Numbers of a row, all blocks together.
    pub(crate) const fn row(&self) -> usize {
        self.blocks * self.columns() * self.lanes
    }

    /// Numbers of the whole, zeros included.
    pub(crate) const fn len(&self) -> usize {
        (self.size[0] + 2 * self.pad[0]) * self.row()
    }
}

/// A blob to read: some blocks of a buffer.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub data: &'a [f32],
    pub grid: Grid,
    /// Its first block in the buffer.
    pub first: usize,
    /// Its blocks.
    pub blocks: usize,
}

impl<'a> View<'a> {
    /// From a pixel of the blob's first block on; row and column count from the first zero.
    pub(crate) fn from(&self, row: usize, column: usize) -> &'a [f32] {
        &self.data[row * self.grid.row() + (self.first * self.grid.columns() + column) * self.grid.lanes..]
    }

    /// As [`Self::from`], in blocks of eight.
    pub(crate) fn eights_from(&self, row: usize, column: usize) -> &'a [Eight] {
        self.from(row, column).as_chunks().0
    }

    /// The pixels of a block in a row, without zeros.
    pub(crate) fn inside(&self, row: usize, block: usize) -> &'a [f32] {
        let Grid { size, pad, lanes, .. } = self.grid;
        &self.from(row + pad[0], block * self.grid.columns() + pad[1])[..size[1] * lanes]
    }
}

/// A blob to write.
pub(crate) struct ViewMut<'a> {
    pub data: &'a mut [f32],
    pub grid: Grid,
    /// Its first block in the buffer.
    pub first: usize,
    /// Its blocks.
    pub blocks: usize,
}

/// A part of a blob that one task writes: some rows of some blocks.
pub(crate) struct Part<'a> {
    /// The blob's extent.
    pub grid: Grid,
    pub rows: Range<usize>,
    /// Which of the caller's groups of blocks.
    pub group: usize,
    /// For each row the group's blocks, zeros included.
    pub slices: Vec<&'a mut [f32]>,
}

impl<'a> ViewMut<'a> {
    /// The blob in parts of at most `band` rows and of groups of blocks that end at `ends`; the zeros above and below are
    /// written here, those left and right by [`Part::zero_sides`].
    pub(crate) fn parts(self, band: usize, ends: &[usize]) -> Vec<Part<'a>> {
        let Self { data, grid, first, blocks } = self;
        let unit = grid.columns() * grid.lanes;
        let [height, above] = [grid.size[0], grid.pad[0]];
        let mut parts: Vec<Part<'a>> = Vec::new();
        for (row, slice) in data.chunks_exact_mut(grid.row()).enumerate() {
            let slice = &mut slice[first * unit..(first + blocks) * unit];
            let Some(row) = row.checked_sub(above).filter(|&row| row < height) else {
                slice.fill(0.0);
                continue;
            };
            if row % band == 0 {
                let rows = row..(row + band).min(height);
                let part = |group| Part { grid, rows: rows.clone(), group, slices: Vec::with_capacity(band) };
                parts.extend((0..ends.len()).map(part));
            }
            let newest = parts.len() - ends.len();
            let mut rest = slice;
            let mut start = 0;
            for (part, &end) in parts[newest..].iter_mut().zip(ends) {
                let (group, after) = rest.split_at_mut((end - start) * unit);
                part.slices.push(group);
                (rest, start) = (after, end);
            }
        }
        parts
    }

    /// The blob in bands of rows.
    pub(crate) fn bands(self, band: usize) -> Vec<Part<'a>> {
        let blocks = self.blocks;
        self.parts(band, &[blocks])
    }
}

impl Part<'_> {
    /// Writes the zeros left and right.
    pub(crate) fn zero_sides(&mut self) {
        let side = self.grid.pad[1] * self.grid.lanes;
        if side == 0 {
            return;
        }
        let unit = self.grid.columns() * self.grid.lanes;
        for block in self.slices.iter_mut().flat_map(|slice| slice.chunks_exact_mut(unit)) {
            block[..side].fill(0.0);
            block[unit - side..].fill(0.0);
        }
    }
}
