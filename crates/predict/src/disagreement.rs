//! How much the passes through the networks disagree about a voxel.

/// Where a prediction keeps the disagreement: a volume of this name in the output's folder.
pub const DISAGREEMENT: &str = "disagreement";

/// For each section of a group what all passes have said: the standard deviation over variations and models,
/// √(Σp² / n − (Σp / n)²).
pub(crate) struct Disagreement {
    sections: Vec<Passes>,
}

struct Passes {
    made: u32,
    sum: Vec<f32>,
    squares: Vec<f32>,
}

impl Disagreement {
    /// Of so many sections of so many pixels.
    pub(crate) fn new(sections: usize, pixels: usize) -> Self {
        let none = || Passes { made: 0, sum: vec![0.0; pixels], squares: vec![0.0; pixels] };
        Self { sections: std::iter::repeat_with(none).take(sections).collect() }
    }

    /// Adds a pass's probabilities of a section of the group.
    pub(crate) fn add(&mut self, section: usize, probability: &[f32]) {
        let passes = &mut self.sections[section];
        passes.made += 1;
        for ((sum, square), p) in passes.sum.iter_mut().zip(&mut passes.squares).zip(probability) {
            *sum += p;
            *square += p * p;
        }
    }

    /// The standard deviations, section by section; 0 after one pass.
    pub(crate) fn deviations(&self) -> impl Iterator<Item = Vec<f32>> {
        self.sections.iter().map(|passes| {
            let share = 1.0 / passes.made.max(1) as f32;
            let deviation = |(sum, square): (&f32, &f32)| {
                let mean = sum * share;
                (square * share - mean * mean).max(0.0).sqrt()
            };
            passes.sum.iter().zip(&passes.squares).map(deviation).collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_standard_deviation_of_all_passes() {
        let mut passes = Disagreement::new(2, 3);
        for answer in [[0.0, 0.5, 0.2], [1.0, 0.5, 0.4], [1.0, 0.5, 0.6], [0.0, 0.5, 0.8]] {
            passes.add(0, &answer);
        }
        passes.add(1, &[0.1, 0.9, 1.0]);
        let found: Vec<_> = passes.deviations().collect();
        for (found, expected) in found[0].iter().zip([0.5, 0.0, 0.05_f32.sqrt()]) {
            assert!((found - expected).abs() < 1e-3, "{found} {expected}");
        }
        assert!(found[1].iter().all(|deviation| *deviation < 1e-3), "one pass agrees with itself");
    }
}
