//! Measures segmentations: how well a prediction agrees with the truth, how many objects there are and which
//! voxels are whose, and pictures that show it.

mod agreement;
mod columns;
mod components;
mod confusion;
mod distance;
mod error;
mod evaluate;
mod labels;
mod mesh;
mod objects;
mod picture;
mod plot;
mod scores;
mod segment;
mod smooth;
mod surface;
mod table;
mod walk;
mod work;
mod zones;

pub use agreement::{Agreement, Matches, agreement};
pub use columns::{Columns, TableFormat, Values};
pub use components::{Component, ComponentsConfig, components};
pub use confusion::Confusion;
pub use error::{AnalyzeError, ValueCounts};
pub use evaluate::{EvaluateConfig, Evaluation, ZoneCounts, evaluate, evaluate_with, lowest_value};
pub use mesh::{
    FileOfMeshes, FolderOfMeshes, Level, Mesh, MeshConfig, MeshFormat, MeshMemory, MeshSink, MeshStep, ObjectMesh, Scene, mesh,
};
pub use objects::Connectivity;
pub use picture::{Picture, Rgb, SectionView, Sources, Style, palette, read_section};
pub use plot::{Chart, Line};
pub use scores::VoxelScore;
pub use segment::{SegmentConfig, SegmentStep, Segmentation, otsu_level, segment};
pub use work::Work;
