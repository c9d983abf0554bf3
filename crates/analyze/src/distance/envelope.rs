//! The lower envelope of parabolas along a line of voxels.

use super::Square;

/// Room for one line, used again for the next.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// The parabolas of the envelope, from left to right: place and height of each lowest point.
    hills: Vec<(usize, f64)>,
    /// Where each takes over from the one before it.
    from: Vec<f64>,
}

impl Envelope {
    /// Replaces the squares of a line by the least, over the voxels of the line, of that voxel's square and the squared way
    /// to it.
    pub(super) fn replace<T: Square>(
        &mut self,
        squares: &mut [T],
        first: usize,
        stride: usize,
        len: usize,
        pitch_nm: f64,
    ) {
        self.hills.clear();
        self.from.clear();
        for i in 0..len {
            let height = squares[first + i * stride].to_f64();
            if height == f64::INFINITY {
                continue;
            }
            let place = i as f64 * pitch_nm;
            let mut start = f64::NEG_INFINITY;
            while let (Some(&(p, h)), Some(&from)) = (self.hills.last(), self.from.last()) {
                let p = p as f64 * pitch_nm;
                start = ((height - h) / (place - p) + place + p) / 2.0;
                if start > from {
                    break;
                }
                self.hills.pop();
                self.from.pop();
                start = f64::NEG_INFINITY;
            }
            self.hills.push((i, height));
            self.from.push(start);
        }
        if self.hills.is_empty() {
            return;
        }
        let mut hill = 0;
        for i in 0..len {
            let place = i as f64 * pitch_nm;
            while self.from.get(hill + 1).is_some_and(|&from| from <= place) {
                hill += 1;
            }
            let (p, h) = self.hills[hill];
            // Of the steps, not of places: the same wherever the line begins.
            let way = p.abs_diff(i) as f64 * pitch_nm;
            squares[first + i * stride] = T::of(way * way + h);
        }
    }
}
