//! What is measured in a section, tile by tile.

use deep3m_volume::{Block, Extent, Region, VoxelType, Voxels};

use super::picture::{Piece, step};

/// How far around a tile is read: the stencil of [`Sums::detail`].
pub(super) const REACH: u64 = 3;
/// What a tile, or a whole section, adds up to.
#[derive(Clone, Debug)]
pub(crate) struct Sums {
    /// Voxels that are numbers.
    pub(super) voxels: u64,
    /// Voxels that are none, or infinite.
    pub(super) not_finite: u64,
    pub(super) sum: f64,
    pub(super) squares: f64,
    pub(super) min: f32,
    pub(super) max: f32,
    /// Voxels of the darkest value that the type can hold.
    pub(super) black: u64,
    /// Voxels of the brightest one.
    pub(super) white: u64,
    /// Squares of the Laplacian of sums of 3 × 3 pixels, which blur lowers much and noise raises little.
    pub(super) detail: f64,
    /// How many there are.
    pub(super) details: u64,
    /// The same for the same voxels only, whatever the tiles.
    pub(super) hash: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self {
            voxels: 0,
            not_finite: 0,
            sum: 0.0,
            squares: 0.0,
            min: f32::INFINITY,
            max: f32::NEG_INFINITY,
            black: 0,
            white: 0,
            detail: 0.0,
            details: 0,
            hash: 0,
        }
    }
}

impl Sums {
    /// Adds another part of the section.
    pub(crate) fn add(&mut self, other: &Self) {
        self.voxels += other.voxels;
        self.not_finite += other.not_finite;
        self.sum += other.sum;
        self.squares += other.squares;
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
        self.black += other.black;
        self.white += other.white;
        self.detail += other.detail;
        self.details += other.details;
        self.hash = self.hash.wrapping_add(other.hash);
    }

    pub(crate) fn mean(&self) -> f64 {
        if self.voxels == 0 { 0.0 } else { self.sum / self.voxels as f64 }
    }

    /// Standard deviation.
    pub(crate) fn sd(&self) -> f64 {
        let mean = self.mean();
        if self.voxels == 0 { 0.0 } else { (self.squares / self.voxels as f64 - mean * mean).max(0.0).sqrt() }
    }

    /// Detail as a share of the contrast: a section of half the contrast is as sharp.
    pub(super) fn sharpness(&self) -> f64 {
        let variance = self.sd().powi(2);
        if self.details == 0 || variance <= 0.0 {
            0.0
        } else {
            (self.detail / self.details as f64 / variance).sqrt() / 9.0
        }
    }
}

/// The sections of a tile: `block` holds `around`, of which `core` counts.
pub(super) fn measure(block: &Block, around: Region, core: Region, whole: Extent) -> Vec<(Sums, Piece)> {
    let size = block.extent();
    let (height, width) = (size.y as usize, size.x as usize);
    let mut grey = Vec::new();
    (0..size.z as usize)
        .map(|z| {
            greys(block.voxels(), z * height * width..(z + 1) * height * width, &mut grey);
            let tile = Tile { grey: &grey, height, width, around, core };
            let mut sums = tile.sums(block.voxels().voxel_type(), whole);
            tile.detail(&mut sums);
            (sums, tile.piece(step(whole) as usize))
        })
        .collect()
}

/// The sums of each section of a tile, without its detail.
pub(crate) fn sums(block: &Block, core: Region, whole: Extent) -> Vec<Sums> {
    let size = block.extent();
    let (height, width) = (size.y as usize, size.x as usize);
    let mut grey = Vec::new();
    (0..size.z as usize)
        .map(|z| {
            greys(block.voxels(), z * height * width..(z + 1) * height * width, &mut grey);
            let tile = Tile { grey: &grey, height, width, around: core, core };
            tile.sums(block.voxels().voxel_type(), whole)
        })
        .collect()
}

/// Some voxels as floating point.
pub(crate) fn greys(voxels: &Voxels, range: std::ops::Range<usize>, out: &mut Vec<f32>) {
    out.clear();
    match voxels {
        Voxels::U8(v) => out.extend(v[range].iter().map(|&v| f32::from(v))),
        Voxels::U16(v) => out.extend(v[range].iter().map(|&v| f32::from(v))),
        Voxels::I16(v) => out.extend(v[range].iter().map(|&v| f32::from(v))),
        Voxels::F32(v) => out.extend_from_slice(&v[range]),
        other => out.extend(range.map(|i| other.value(i) as f32)),
    }
}

/// A number that is as good as random for each place.
fn scattered(place: u64) -> u64 {
    let mut v = place.wrapping_add(0x9E37_79B9_7F4A_7C15);
    v = (v ^ (v >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    v = (v ^ (v >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (v ^ (v >> 31)) | 1
}

/// What a voxel adds to the hash of its section.
pub(super) fn hashed(place: u64, bits: u32) -> u64 {
    scattered(place).wrapping_mul(u64::from(bits) + 1)
}

struct Tile<'a> {
    grey: &'a [f32],
    height: usize,
    width: usize,
    around: Region,
    core: Region,
}

impl Tile<'_> {
    fn sums(&self, voxel_type: VoxelType, whole: Extent) -> Sums {
        let (black, white) = match voxel_type {
            VoxelType::U8 => (0.0, f32::from(u8::MAX)),
            VoxelType::U16 => (0.0, f32::from(u16::MAX)),
            VoxelType::I16 => (f32::from(i16::MIN), f32::from(i16::MAX)),
            _ => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let mut all = Sums::default();
        for y in 0..self.core.extent.y {
            let row = self.core.start.y + y;
            let from = (row - self.around.start.y) as usize * self.width;
            let from = from + (self.core.start.x - self.around.start.x) as usize;
            let place = row * whole.x + self.core.start.x;
            for (i, &value) in (place..).zip(&self.grey[from..from + self.core.extent.x as usize]) {
                all.hash = all.hash.wrapping_add(hashed(i, value.to_bits()));
                if value.is_finite() {
                    all.voxels += 1;
                    all.sum += f64::from(value);
                    all.squares += f64::from(value) * f64::from(value);
                    all.min = all.min.min(value);
                    all.max = all.max.max(value);
                    all.black += u64::from(value == black);
                    all.white += u64::from(value == white);
                } else {
                    all.not_finite += 1;
                }
            }
        }
        all
    }

    fn detail(&self, sums: &mut Sums) {
        let (reach, width) = (REACH as usize, self.width);
        if self.height <= 2 * reach || width <= 2 * reach {
            return;
        }
        // Sums of 3 × 3 pixels.
        let mut boxes = vec![0.0_f32; self.grey.len()];
        let mut columns = vec![0.0_f32; width];
        for y in 1..self.height - 1 {
            let rows = [y - 1, y, y + 1].map(|y| &self.grey[y * width..(y + 1) * width]);
            for (x, column) in columns.iter_mut().enumerate() {
                *column = rows[0][x] + rows[1][x] + rows[2][x];
            }
            let out = &mut boxes[y * width..(y + 1) * width];
            for (x, three) in columns.windows(3).enumerate() {
                out[x + 1] = three[0] + three[1] + three[2];
            }
        }
        let first = |core: u64, around: u64| ((core - around) as usize).max(reach);
        let end = |core: u64, around: u64, n: usize| ((core - around) as usize).min(n - reach);
        let (core, start) = (self.core, self.around.start);
        let columns = first(core.start.x, start.x)..end(core.end().x, start.x, width);
        for y in first(core.start.y, start.y)..end(core.end().y, start.y, self.height) {
            for x in columns.clone() {
                let at = y * width + x;
                let beside = boxes[at - 2] + boxes[at + 2] + boxes[at - 2 * width] + boxes[at + 2 * width];
                let bend = 4.0 * boxes[at] - beside;
                if bend.is_finite() {
                    sums.detail += f64::from(bend) * f64::from(bend);
                    sums.details += 1;
                }
            }
        }
    }

    fn piece(&self, step: usize) -> Piece {
        let (start, end) = (self.core.start, self.core.end());
        let first = [start.y, start.x].map(|v| v as usize / step);
        let last = [end.y, end.x].map(|v| (v as usize).div_ceil(step));
        let (top, left, width) = (first[0], first[1], last[1] - first[1]);
        let mut sums = vec![0.0; (last[0] - top) * width];
        let away = [self.around.start.y as usize, self.around.start.x as usize];
        for y in start.y as usize..end.y as usize {
            let row = &self.grey[(y - away[0]) * self.width..][..self.width];
            let out = &mut sums[(y / step - top) * width..][..width];
            for x in start.x as usize..end.x as usize {
                let value = row[x - away[1]];
                out[x / step - left] += if value.is_finite() { value } else { 0.0 };
            }
        }
        Piece { top, left, width, sums }
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::Picture;
    use super::*;
    use deep3m_volume::Index;
    use proptest::prelude::*;

    fn section(height: u64, width: u64) -> Block {
        let values = (0..height * width).map(|i| (scattered(i) >> 50) as u16).collect();
        Block::new(Extent::new(1, height, width), Voxels::U16(values))
    }

    proptest! {
        #[test]
        fn a_section_is_the_same_in_any_tiles(
            (height, width) in (1_u64..40, 1_u64..60),
            (tall, wide) in (1_u64..50, 1_u64..50),
        ) {
            let block = section(height, width);
            let whole = Region::whole(block.extent());
            let one = measure(&block, whole, whole, block.extent()).remove(0);
            let (mut sums, mut picture) = (Sums::default(), Picture::new(block.extent()));
            for core in whole.tiles(Extent::new(1, tall, wide)) {
                let low = |at: u64| at.saturating_sub(REACH);
                let start = Index::new(0, low(core.start.y), low(core.start.x));
                let high = |at: u64, size: u64, start: u64| (at + REACH).min(size) - start;
                let (y, x) = (high(core.end().y, height, start.y), high(core.end().x, width, start.x));
                let around = Region::new(start, Extent::new(1, y, x));
                let (part, piece) = measure(&block.crop(around), around, core, block.extent()).remove(0);
                sums.add(&part);
                picture.add(&piece);
            }
            prop_assert_eq!(format!("{:?}", sums), format!("{:?}", one.0));
            let mut expected = Picture::new(block.extent());
            expected.add(&one.1);
            prop_assert_eq!(picture.values, expected.values);
        }
    }

    #[test]
    fn figures_are_those_of_the_voxels() {
        let values = vec![0_u8, 255, 10, 20, 30, 40];
        let block = Block::new(Extent::new(1, 2, 3), Voxels::U8(values));
        let whole = Region::whole(block.extent());
        let (sums, _) = measure(&block, whole, whole, block.extent()).remove(0);
        assert_eq!((sums.voxels, sums.black, sums.white, sums.min, sums.max), (6, 1, 1, 0.0, 255.0));
        assert!((sums.mean() - 355.0 / 6.0).abs() < 1e-9);
        assert!((sums.sd() - 88.526).abs() < 0.01, "{}", sums.sd());
        let bad = Block::new(Extent::new(1, 1, 3), Voxels::F32(vec![f32::NAN, 1.0, f32::INFINITY]));
        let whole = Region::whole(bad.extent());
        assert_eq!(measure(&bad, whole, whole, bad.extent())[0].0.not_finite, 2);
    }
}
