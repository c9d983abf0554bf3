//! Measures segmentations: how well a prediction agrees with the truth, how many objects there are and which
//! voxels are whose, and pictures that show it.

mod agreement;
mod check;
mod columns;
mod components;
mod confusion;
mod distance;
mod enhance;
mod error;
mod evaluate;
mod histogram;
mod labels;
mod objects;
mod picture;
mod plot;
mod scores;
mod segment;
mod smooth;
mod surface;
mod table;
mod tiles;
mod walk;
mod watershed;
mod work;
mod zones;

pub use agreement::{Agreement, Matches, agreement};
pub use check::{
    CheckConfig, Checkup, Code, Finding, FitFigures, ImageFigures, LabelFigures, SectionFigures, Severity, check,
};
pub use columns::{Columns, TableFormat, Values};
pub use components::{Component, ComponentsConfig, components};
pub use confusion::Confusion;
pub use enhance::{Clahe, Denoise, EnhanceConfig, Enhancement, EvenTo, enhance, to_repair, write_enhanced};
pub use error::{AnalyzeError, ValueCounts};
pub use evaluate::{EvaluateConfig, Evaluation, ZoneCounts, evaluate, evaluate_with, lowest_value};
pub use objects::Connectivity;
pub use picture::{Picture, Rgb, SectionView, Sources, Style, palette, read_section};
pub use plot::{Chart, Line};
pub use scores::VoxelScore;
pub use segment::{
    Landscape, SegmentConfig, SegmentMeans, SegmentStep, Segmentation, Watershed, Written, otsu_level, segment, segment_with,
};
pub use work::Work;
