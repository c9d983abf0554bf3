//! `--plot`: the result as curves.

use std::path::Path;

use deep3m_analyze::{Agreement, Chart, Curves, Line, VoxelScore};
use deep3m_volume::fs;
use miette::{IntoDiagnostic, Result};

/// Width and height of a plot in pixels.
const SIZE: (u32, u32) = (640, 440);

/// The calibration curve, precision against recall, and scores at all thresholds.
pub(super) fn of_voxels(folder: &Path, curves: &Curves) -> Result<()> {
    let bins = curves.reliability().bins;
    let points = bins.iter().filter_map(|bin| bin.mean_probability.zip(bin.foreground)).collect();
    let calibration = Chart {
        title: "Calibration".into(),
        x: "predicted probability".into(),
        y: "share of foreground in the truth".into(),
        y_range: (0.0, 1.0),
        lines: vec![
            Line { name: "prediction".into(), points, dots: true, dashed: false },
            Line { name: "perfect".into(), points: vec![(0.0, 0.0), (1.0, 1.0)], dots: false, dashed: true },
        ],
    };
    let scores = curves.scores();
    let points = scores.iter().filter_map(|score| score.recall.zip(score.precision)).collect();
    let precision_recall = Chart {
        title: "Precision and recall at all thresholds".into(),
        x: "recall".into(),
        y: "precision".into(),
        y_range: (0.0, 1.0),
        lines: vec![Line { points, ..Line::default() }],
    };
    let line = |name: &str, of: fn(&VoxelScore) -> Option<f64>| Line {
        name: name.into(),
        points: scores.iter().filter_map(|score| Some((score.threshold, of(score)?))).collect(),
        ..Line::default()
    };
    let thresholds = Chart {
        title: "Scores by threshold".into(),
        x: "threshold (probability)".into(),
        y: "score".into(),
        y_range: (0.0, 1.0),
        lines: vec![
            line("F1", |score| score.f1),
            line("Jaccard", |score| score.jaccard),
            line("precision", |score| score.precision),
            line("recall", |score| score.recall),
        ],
    };
    write(folder, &[("calibration", calibration), ("precision-recall", precision_recall), ("thresholds", thresholds)])
}

/// Scores of objects by the overlap that a match needs.
pub(super) fn of_objects(folder: &Path, objects: &Agreement) -> Result<()> {
    let line = |name: &str, of: fn(&deep3m_analyze::Matches) -> f64| Line {
        name: name.into(),
        points: objects.matches.iter().map(|step| (step.iou, of(step))).collect(),
        dots: true,
        dashed: false,
    };
    let chart = Chart {
        title: "Objects found".into(),
        x: "least intersection over union of a match".into(),
        y: "score".into(),
        y_range: (0.0, 1.0),
        lines: vec![
            line("F1", |step| step.f1),
            line("precision", |step| step.precision),
            line("recall", |step| step.recall),
            line("panoptic quality", |step| step.panoptic_quality),
        ],
    };
    write(folder, &[("objects", chart)])
}

fn write(folder: &Path, charts: &[(&str, Chart)]) -> Result<()> {
    fs::create_dir(folder).into_diagnostic()?;
    for (name, chart) in charts {
        let path = folder.join(format!("{name}.svg"));
        let svg = chart.svg(SIZE.0, SIZE.1);
        let svg = svg.map_err(|reason| miette::miette!("{}: the plot could not be drawn: {reason}", path.display()))?;
        fs::write_atomic(&path, svg.as_bytes()).into_diagnostic()?;
    }
    Ok(())
}
