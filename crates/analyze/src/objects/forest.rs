//! Union-find: which numbers belong together.

use crate::AnalyzeError;

/// Numbers from 0, each in one group; a group is known by its smallest number.
#[derive(Debug, Default)]
pub(crate) struct Forest {
    parent: Vec<u32>,
}

impl Forest {
    /// So many numbers, each alone.
    pub(crate) fn alone(count: u32) -> Self {
        Self { parent: (0..count).collect() }
    }

    pub(crate) fn len(&self) -> u32 {
        self.parent.len() as u32
    }

    /// Adds numbers, and says the first of them.
    ///
    /// # Errors
    /// Where they would not fit into 32 bits.
    pub(crate) fn grow(&mut self, count: u32) -> Result<u32, AnalyzeError> {
        let start = self.len();
        let Some(end) = start.checked_add(count).filter(|&end| end < u32::MAX) else {
            return Err(AnalyzeError::Setting {
                name: "objects",
                found: "more than four billion pieces of objects".into(),
                expected: "fewer: is the threshold far too low, or the volume all noise?".into(),
            });
        };
        self.parent.extend(start..end);
        Ok(start)
    }

    /// What it takes, in bytes, and the numbers that are given in the end.
    pub(crate) fn bytes(&self) -> usize {
        2 * size_of::<u32>() * self.parent.len()
    }

    pub(crate) fn root(&mut self, mut number: u32) -> u32 {
        loop {
            let parent = self.parent[number as usize];
            if parent == number {
                return number;
            }
            // Halves the way for the next time.
            let above = self.parent[parent as usize];
            self.parent[number as usize] = above;
            number = above;
        }
    }

    pub(crate) fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parent[a.max(b) as usize] = a.min(b);
        }
    }
}
