//! What is counted of objects while blocks are joined: a record for each object, not for each of its pieces.

use super::forest::Forest;
use super::tally::Tally;

/// Records by the pieces that they are of. Those of pieces that were joined are taken together from time to time.
#[derive(Debug)]
pub(crate) struct Records<T> {
    /// In the order of the pieces.
    of: Vec<(u32, T)>,
    /// How many there may be until they are taken together again.
    most: usize,
}

/// So few records are not worth being looked through; tests have few.
const FEW: usize = if cfg!(test) { 4 } else { 1 << 14 };

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self { of: Vec::new(), most: FEW }
    }
}

impl<T: Tally> Records<T> {
    /// Adds those of the pieces from `base` on.
    pub(crate) fn add(&mut self, base: u32, tallies: Vec<T>) {
        self.of.extend((base..).zip(tallies));
    }

    /// Takes records together where they have become many.
    pub(crate) fn tidy(&mut self, forest: &mut Forest) {
        if self.of.len() > self.most {
            self.sum_up(forest);
            self.most = FEW.max(2 * self.of.len());
        }
    }

    /// Takes the records of each object together, under the first of its pieces.
    pub(crate) fn sum_up(&mut self, forest: &mut Forest) {
        let mut kept = 0;
        for i in 0..self.of.len() {
            let (piece, tally) = self.of[i];
            let root = forest.root(piece);
            if root == piece {
                self.of[kept] = (piece, tally);
                kept += 1;
            } else {
                // The first piece comes before the others.
                let place = self.of[..kept].partition_point(|&(piece, _)| piece < root);
                self.of[place].1.join(&tally);
            }
        }
        self.of.truncate(kept);
    }

    /// All of them, with their pieces.
    pub(crate) fn all(&self) -> &[(u32, T)] {
        &self.of
    }

    /// The place among [`Self::all`] of the record of an object, by its first piece; once they are summed up.
    pub(crate) fn place(&self, root: u32) -> usize {
        self.of.partition_point(|&(piece, _)| piece < root)
    }

    /// What they take, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.of.len() * size_of::<(u32, T)>()
    }
}
