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

/// The patches of one forward pass, one after another.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// The input's shape: patches, 1, frames, height, width.
    pub shape: [usize; 5],
    /// The grey values of all patches.
    pub image: Vec<f32>,
    /// The foreground of all patches: patches · height · width.
    pub target: Vec<f32>,
    /// Where the labels of all patches are known: patches · height · width.
    pub known: Vec<f32>,
}

impl Batch {
    /// A batch of patches, all of one size.
    ///
    /// # Panics
    /// If there is no patch.
    pub fn new(patches: &[Patch]) -> Self {
        let first = &patches[0];
        let collect = |part: fn(&Patch) -> &[f32]| patches.iter().flat_map(|p| part(p).iter().copied()).collect();
        Self {
            shape: [patches.len(), 1, first.frames, first.side, first.side],
            image: collect(|p| &p.image),
            target: collect(|p| &p.target),
            known: collect(|p| &p.known),
        }
    }
}
