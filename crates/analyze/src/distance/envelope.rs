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
    pub(super) fn replace<T: Square>(&mut self, squares: &mut [T], pitch_nm: f64) {
        // A zero shields what is behind it: each stretch between two zeros is looked at by itself.
        let mut at = 0;
        while let Some(first) = squares[at..].iter().position(|square| *square > T::ZERO).map(|i| at + i) {
            let end =
                squares[first..].iter().position(|square| *square == T::ZERO).map_or(squares.len(), |i| first + i);
            let behind = squares.len().min(end + 1);
            self.stretch(&mut squares[first.saturating_sub(1)..behind], pitch_nm);
            at = end;
        }
    }

    fn stretch<T: Square>(&mut self, squares: &mut [T], pitch_nm: f64) {
        self.hills.clear();
        self.from.clear();
        for (i, &square) in squares.iter().enumerate() {
            if square == T::NONE {
                continue;
            }
            let (place, height) = (i as f64 * pitch_nm, square.to_f64());
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
        let mut hills = self.hills.iter().zip(self.from.iter().skip(1).chain(&[f64::INFINITY]));
        let Some((&(mut p, mut h), mut until)) = hills.next() else { return };
        for (i, square) in squares.iter_mut().enumerate() {
            let place = i as f64 * pitch_nm;
            while *until <= place {
                let Some((&(next_p, next_h), next)) = hills.next() else { break };
                (p, h, until) = (next_p, next_h, next);
            }
            // Of the steps, not of places: the same wherever the line begins.
            let way = p.abs_diff(i) as f64 * pitch_nm;
            *square = T::of(way * way + h);
        }
    }
}
