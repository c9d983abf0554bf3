//! Measures segmentations: how well a prediction agrees with the truth, how many objects there are and which
//! voxels are whose, and pictures that show it.

mod agreement;
mod annotators;
mod boundary;
mod calibration;
mod check;
mod columns;
mod combine;
mod components;
mod confusion;
mod contacts;
mod count;
mod density;
mod distance;
mod enhance;
mod error;
mod evaluate;
mod histogram;
mod ids;
mod inputs;
mod labels;
mod matching;
mod measure;
mod mesh;
mod neighbours;
mod objects;
mod overlay;
mod picture;
mod plot;
mod points;
mod scores;
mod scratch;
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
pub use annotators::{
    AgainstConsensus, Annotators, Consensus, MOST_ANNOTATORS, PairScore, Rater, Score, Skill, Staple, annotator_passes,
    compare_annotators,
};
pub use boundary::{LengthUnit, OneWay, SurfaceConfig, SurfaceDistances, surface_distances};
pub use calibration::{Calibration, Reliability, ReliabilityBin};
pub use check::{
    CheckConfig, Checkup, Code, Finding, FitFigures, ImageFigures, LabelFigures, SectionFigures, Severity, check,
};
pub use columns::{Columns, CsvTable, TableFormat, Values};
pub use combine::{Class, Combined, combine};
pub use components::{Component, ComponentsConfig, components};
pub use confusion::Confusion;
pub use contacts::{ContactPair, ContactSite, ContactSummary, Contacts, ContactsConfig, contacts};
pub use count::{
    CountConfig, CountingFrame, RoundObject, RoundObjects, count, count_labels, count_range, imod_points,
    learn_diameter, neuroglancer_state, write_overlay,
};
pub use density::{Axis, Density, DensityConfig, DensityWindow, density_of_objects, density_of_points};
pub use distance::squared_to as squared_distances_to;
pub use enhance::{Clahe, Denoise, EnhanceConfig, Enhancement, EvenTo, enhance, to_repair, write_enhanced};
pub use error::{AnalyzeError, ValueCounts};
pub use evaluate::{Curves, EvaluateConfig, Evaluation, ZoneCounts, evaluate, evaluate_with, lowest_value};
pub use inputs::Allowance;
pub use matching::{PointAgreement, centroids, match_points};
pub use measure::{MeasureConfig, MeasureSummary, Measured, MeasuredObject, measure};
pub use mesh::{
    FileOfMeshes, FolderOfMeshes, Level, Mesh, MeshConfig, MeshFormat, MeshMemory, MeshSink, MeshStep, ObjectMesh,
    Scene, mesh,
};
pub use objects::Connectivity;
pub use overlay::{CLASS_COLOURS, Layer, LayerKind, OverlayStyle, ScaleBar, overlay_section, scale_bar};
pub use picture::{Picture, Rgb, SectionView, Sources, Style, palette, read_section};
pub use plot::{Chart, Line};
pub use points::Points;
pub use scores::VoxelScore;
pub use segment::{
    Landscape, SegmentConfig, SegmentMeans, SegmentStep, Segmentation, Watershed, Written, otsu_level, segment,
    segment_with,
};
pub use work::Work;
