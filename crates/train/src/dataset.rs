//! What is trained on: pairs of images and labels.

use std::sync::Arc;

use deep3m_volume::Volume;

/// Images with the label of every voxel.
#[derive(Clone)]
pub struct LabelledVolume {
    /// Grey images.
    pub images: Arc<dyn Volume>,
    /// Labels of the same size.
    pub labels: Arc<dyn Volume>,
}

impl std::fmt::Debug for LabelledVolume {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LabelledVolume")
            .field("images", &self.images.info().path)
            .field("labels", &self.labels.info().path)
            .finish()
    }
}

/// Everything a run sees.
#[derive(Clone, Debug, Default)]
pub struct TrainingSet {
    /// Patches are drawn from these.
    pub training: Vec<LabelledVolume>,
    /// Progress is measured on these, which are never trained on; may be empty.
    pub validation: Vec<LabelledVolume>,
}
