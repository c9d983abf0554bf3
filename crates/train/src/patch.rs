//! One training example.

/// Consecutive sections around one labelled section, cut to the size that the network sees.
#[derive(Clone, Debug, PartialEq)]
pub struct Patch {
    /// Number of sections.
    pub frames: usize,
    /// Height and width in pixels.
    pub side: usize,
    /// Grey values, section by section, row-major: frames · side · side.
    pub image: Vec<f32>,
    /// The share of foreground in each pixel of the middle section, 0 to 1: side · side.
    pub target: Vec<f32>,
    /// 1 where the label is known, 0 where it is to be ignored: side · side.
    pub known: Vec<f32>,
}

impl Patch {
    /// The sections, one after another.
    pub fn sections_mut(&mut self) -> std::slice::ChunksExactMut<'_, f32> {
        self.image.chunks_exact_mut(self.side * self.side)
    }

    /// Whether the pixel in the middle is labelled, and if so whether as foreground.
    pub fn centre(&self) -> Option<bool> {
        let at = self.side / 2 * self.side + self.side / 2;
        (self.known[at] > 0.0).then(|| self.target[at] >= 0.5)
    }
}

/// The patches of one forward pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The patches, all of one size.
    pub patches: Vec<Patch>,
}

impl Batch {
    /// Number of patches, sections per patch, and side: the input's shape is `[patches, 1, frames, side, side]`.
    ///
    /// # Panics
    /// If there is no patch.
    pub fn shape(&self) -> [usize; 5] {
        let first = &self.patches[0];
        [self.patches.len(), 1, first.frames, first.side, first.side]
    }

    fn collect(&self, part: impl Fn(&Patch) -> &[f32]) -> Vec<f32> {
        self.patches.iter().flat_map(|p| part(p).iter().copied()).collect()
    }

    /// The grey values of all patches.
    pub fn image(&self) -> Vec<f32> {
        self.collect(|p| &p.image)
    }

    /// The foreground of all patches.
    pub fn target(&self) -> Vec<f32> {
        self.collect(|p| &p.target)
    }

    /// Where the labels of all patches are known.
    pub fn known(&self) -> Vec<f32> {
        self.collect(|p| &p.known)
    }
}
