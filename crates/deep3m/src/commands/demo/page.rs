//! The demo's pictures and its report page.

use std::path::{Path, PathBuf};

use deep3m_analyze::{Component, ComponentsConfig, Sources, Style, VoxelScore, components, read_section};
use deep3m_volume::{Region, Volume, fs};
use miette::{IntoDiagnostic, Result};

use super::{Results, TRAINING};
use crate::report::{Figure, Part, Picture, Report};

/// Longest side of a picture in pixels.
const PICTURE_SIDE: usize = 768;
/// Objects smaller than this, found or true, are not counted: specks of noise, and what the volume's border cuts off. A whole
/// mitochondrion has many thousand voxels.
const SMALLEST_OBJECT: u64 = 1000;

/// Writes the pictures and the page into the demo's folder; the page's path.
pub(super) fn write(out: &Path, results: &Results) -> Result<PathBuf> {
    let extent = results.images.info().extent;
    let middle = extent.z / 2;
    let pictures = pictures(out, results, middle)?;
    let curves = fs::read_to_string(&out.join("model/curves.svg")).into_diagnostic()?;
    let score = results.evaluation.voxel.first();
    let found = objects(results.prediction.as_ref())?;
    let true_objects = objects(results.labels.as_ref())?;
    let report = Report {
        title: "Deep3M demo: mitochondria in a synthetic electron-microscopy volume".to_owned(),
        lead: format!(
            "A volume of {} was made, {} sections of it were learned from, and {} sections that the network never saw \
             were segmented. All of it took {:.1} minutes.",
            results.truth.config.shape, TRAINING, extent.z, results.minutes
        ),
        figures: vec![
            figure("Jaccard", score.and_then(|s| s.jaccard)),
            figure("F1", score.and_then(|s| s.f1)),
            figure("Precision", score.and_then(|s| s.precision)),
            figure("Recall", score.and_then(|s| s.recall)),
            Figure { name: "Objects found".to_owned(), value: found.len().to_string() },
            Figure { name: "Objects there".to_owned(), value: true_objects.len().to_string() },
        ],
        parts: vec![
            Part::Pictures { heading: "A section that the network never saw".to_owned(), pictures },
            scores_table(&results.evaluation.voxel),
            Part::Drawing {
                heading: "Learning".to_owned(),
                caption: "Loss, accuracy and scores over the iterations, on the sections learned from and on sections between \
                          these and the unseen ones."
                    .to_owned(),
                svg: curves,
            },
            run_table(results),
            Part::Commands {
                heading: "The same with your data".to_owned(),
                caption: "Images and labels are folders of slices, TIFF stacks, HDF5, MRC, OME-Zarr or precomputed volumes.".to_owned(),
                lines: vec![
                    "deep3m train images/ labels/ -o model --minutes 30".to_owned(),
                    "deep3m predict model volume.tif -o result.zarr".to_owned(),
                    "deep3m evaluate result.zarr truth/ --exclusion 0,1,2".to_owned(),
                ],
            },
        ],
    };
    let path = out.join("report.html");
    fs::write_atomic(&path, report.to_html().as_bytes()).into_diagnostic()?;
    Ok(path)
}

/// Draws a section in several styles; each picture also lies in the folder `pictures`.
fn pictures(out: &Path, results: &Results, z: u64) -> Result<Vec<Picture>> {
    let sources = Sources {
        images: results.images.as_ref(),
        prediction: Some(results.prediction.as_ref()),
        truth: Some(results.labels.as_ref()),
        threshold: 0.5,
    };
    let region = Region::section(results.images.info().extent, z);
    let view = read_section(&sources, region, PICTURE_SIDE).into_diagnostic()?;
    let styles = [
        ("image", Style::Raw, "The image."),
        ("segmentation", Style::Tint, "What was found, as a tint."),
        ("truth", Style::Truth, "The truth, outlined."),
        (
            "agreement",
            Style::Agreement,
            "Blue: rightly found. Orange: found, but not there. Yellow: missed. The outline is the truth.",
        ),
    ];
    let mut pictures = Vec::new();
    for (name, style, caption) in styles {
        let png = view.draw(style).to_png().into_diagnostic()?;
        fs::write_atomic(&out.join("pictures").join(format!("{name}.png")), &png).into_diagnostic()?;
        pictures.push(Picture { png, caption: caption.to_owned() });
    }
    Ok(pictures)
}

fn objects(volume: &dyn Volume) -> Result<Vec<Component>> {
    let config = ComponentsConfig { min_voxels: SMALLEST_OBJECT, ..ComponentsConfig::default() };
    components(volume, &config, &mut |_| {}).into_diagnostic()
}

fn figure(name: &str, value: Option<f64>) -> Figure {
    Figure { name: name.to_owned(), value: number(value) }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"))
}

fn scores_table(scores: &[VoxelScore]) -> Part {
    let rows = scores.iter().map(|s| {
        let shares = [s.precision, s.recall, s.f1, s.jaccard, s.accuracy].map(number);
        std::iter::once(format!("{} voxels", s.exclusion)).chain(shares).collect()
    });
    Part::Table {
        heading: "Scores, voxel by voxel".to_owned(),
        caption: "An exclusion zone leaves out the voxels within so many voxels of the true objects' borders."
            .to_owned(),
        columns: ["Exclusion zone", "Precision", "Recall", "F1", "Jaccard", "Accuracy"].map(str::to_owned).to_vec(),
        rows: rows.collect(),
    }
}

/// What was run, so that it can be run again.
fn run_table(results: &Results) -> Part {
    let mut rows = vec![
        vec!["Volume".to_owned(), format!("{}, seed {}", results.truth.config.shape, results.truth.config.seed)],
        vec!["Voxel size".to_owned(), results.truth.config.voxel_size.to_string()],
    ];
    for model in &results.training.models {
        let text = format!("{} iterations in {:.1} min", model.iterations, model.seconds / 60.0);
        rows.push(vec![format!("Training of {}", model.frames), text]);
    }
    rows.push(vec!["Prediction".to_owned(), format!("{} voxels in {:.1} s", results.run.voxels, results.run.seconds)]);
    rows.push(vec!["Program".to_owned(), format!("Deep3M {}", env!("CARGO_PKG_VERSION"))]);
    Part::Table {
        heading: "What was run".to_owned(),
        caption: "Every setting is also in model/model.json and in the prediction's attributes.".to_owned(),
        columns: vec![String::new(), String::new()],
        rows,
    }
}
