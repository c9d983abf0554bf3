//! Measures segmentations: how well a prediction agrees with the truth, how many objects there are, and pictures that
//! show it.

mod confusion;
mod error;
mod evaluate;
mod labels;
mod scores;
mod table;
mod zones;

pub use confusion::Confusion;
pub use error::{AnalyzeError, ValueCounts};
pub use evaluate::{EvaluateConfig, Evaluation, ZoneCounts, evaluate};
pub use scores::VoxelScore;
