//! The lower envelope of parabolas along a line of voxels.

/// Room for one line, used again for the next.
#[derive(Debug, Default)]
pub(super) struct Envelope {
    /// The parabolas of the envelope, from left to right: place and height of each lowest point.
    hills: Vec<(f64, f64)>,
    /// Where each takes over from the one before it.
    from: Vec<f64>,
}

impl Envelope {
    /// Replaces the squares of a line by the least, over the voxels of the line, of that voxel's square and the squared way
    /// to it.
    pub(super) fn replace(&mut self, squares: &mut [f32], pitch_nm: f64) {
        // A zero shields what is behind it: each stretch between two zeros is looked at by itself.
        let mut at = 0;
        while let Some(first) = squares[at..].iter().position(|&square| square > 0.0).map(|i| at + i) {
            let end = squares[first..].iter().position(|&square| square == 0.0).map_or(squares.len(), |i| first + i);
            let behind = squares.len().min(end + 1);
            self.stretch(&mut squares[first.saturating_sub(1)..behind], pitch_nm);
            at = end;
        }
    }

    fn stretch(&mut self, squares: &mut [f32], pitch_nm: f64) {
        self.hills.clear();
        self.from.clear();
        for (i, &square) in squares.iter().enumerate() {
            if square == f32::INFINITY {
                continue;
            }
            let (place, height) = (i as f64 * pitch_nm, f64::from(square));
            let mut start = f64::NEG_INFINITY;
            while let (Some(&(p, h)), Some(&from)) = (self.hills.last(), self.from.last()) {
                start = ((height - h) / (place - p) + place + p) / 2.0;
                if start > from {
                    break;
                }
                self.hills.pop();
                self.from.pop();
                start = f64::NEG_INFINITY;
            }
            self.hills.push((place, height));
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
            *square = ((place - p) * (place - p) + h) as f32;
        }
    }
}
