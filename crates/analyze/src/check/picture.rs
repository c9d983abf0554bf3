//! A section in small, in which shifts are found and neighbours compared.

use deep3m_volume::Extent;

/// Longest side of the small picture of a section that shifts are found in.
const PICTURE: u64 = 512;

/// Pixels per side that are averaged to one of a small picture.
pub(super) fn step(extent: Extent) -> u64 {
    extent.y.max(extent.x).div_ceil(PICTURE).max(1)
}

/// A part of a section's small picture: sums of grey values.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) top: usize,
    pub(super) left: usize,
    pub(super) width: usize,
    pub(super) sums: Vec<f32>,
}

/// The small picture of a section.
#[derive(Clone, Debug)]
pub(super) struct Picture {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) values: Vec<f32>,
}

impl Picture {
    /// Of a section of this size; columns and rows that do not fill a pixel are left out.
    pub(super) fn new(extent: Extent) -> Self {
        let step = step(extent);
        let (height, width) = ((extent.y / step) as usize, (extent.x / step) as usize);
        Self { height, width, values: vec![0.0; height * width] }
    }

    pub(super) fn add(&mut self, piece: &Piece) {
        for (y, row) in piece.sums.chunks_exact(piece.width.max(1)).enumerate() {
            let y = piece.top + y;
            if y < self.height && piece.left < self.width {
                let wide = piece.width.min(self.width - piece.left);
                let out = &mut self.values[y * self.width + piece.left..][..wide];
                out.iter_mut().zip(row).for_each(|(value, sum)| *value += sum);
            }
        }
    }

    /// Pearson's correlation with another picture that is moved back by so many rows and columns, where both are; `None`
    /// where that is nothing, or has one value.
    pub(super) fn correlation(&self, other: &Self, rows: i64, columns: i64) -> Option<f64> {
        // The part of one picture that the other one covers, from 0 on.
        let range = |by: i64, n: usize| (-by).max(0) as usize..(n as i64 - by.max(0)).max(0) as usize;
        let (down, across) = (range(rows, self.height), range(columns, self.width));
        if down.is_empty() || across.is_empty() {
            return None;
        }
        let pairs = |y: usize| {
            let row = (y as i64 + rows) as usize * self.width;
            let there = row + (across.start as i64 + columns) as usize;
            let here = &self.values[y * self.width..][across.clone()];
            here.iter().zip(&other.values[there..there + across.len()])
        };
        let n = (down.len() * across.len()) as f64;
        let add = |(a, b): (f64, f64), (x, y): (&f32, &f32)| (a + f64::from(*x), b + f64::from(*y));
        let (a, b) = down.clone().flat_map(pairs).fold((0.0, 0.0), add);
        let (a, b) = (a / n, b / n);
        let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
        for (x, y) in down.flat_map(pairs) {
            let (x, y) = (f64::from(*x) - a, f64::from(*y) - b);
            aa += x * x;
            bb += y * y;
            ab += x * y;
        }
        (aa > 0.0 && bb > 0.0).then(|| ab / (aa * bb).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use super::super::section::hashed;
    use super::*;

    #[test]
    fn a_moved_picture_correlates_where_it_was_moved_to() {
        let whole = Picture { height: 9, width: 8, values: (0..72).map(|i| (hashed(i, 0) >> 40) as f32).collect() };
        let mut moved = whole.clone();
        moved.values.rotate_right(2 * 8 + 3);
        assert!(whole.correlation(&moved, 2, 3).unwrap() > 0.9999);
        assert!(moved.correlation(&whole, -2, -3).unwrap() > 0.9999);
        assert!(whole.correlation(&moved, 0, 0).unwrap() < 0.5);
        assert_eq!(whole.correlation(&moved, 9, 0), None);
        assert_eq!(whole.correlation(&moved, 0, -90), None);
    }

    #[test]
    fn large_sections_have_pictures_of_at_most_512_pixels() {
        let picture = Picture::new(Extent::new(1, 1030, 5000));
        assert_eq!((step(Extent::new(1, 1030, 5000)), picture.height, picture.width), (10, 103, 500));
    }
}
