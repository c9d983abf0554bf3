//! Measures segmentations: how well a prediction agrees with the truth, how many objects there are, and pictures that
//! show it.

mod components;
mod confusion;
mod error;
mod evaluate;
mod labels;
mod picture;
mod scores;
mod table;
mod work;
mod zones;

pub use components::{Component, ComponentsConfig, Connectivity, components, components_of_mask};
pub use confusion::Confusion;
pub use error::{AnalyzeError, ValueCounts};
pub use evaluate::{EvaluateConfig, Evaluation, ZoneCounts, evaluate, evaluate_with};
pub use picture::{Picture, Rgb, SectionView, Sources, Style, palette, read_section};
pub use scores::VoxelScore;
pub use work::Work;
