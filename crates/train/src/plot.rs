//! The curves of a run as a picture: loss, accuracy and overlap against weight updates.

use std::path::Path;

use deep3m_net::Frames;
use deep3m_volume::fs as files;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::TrainError;
use crate::metrics::{self, Record};

/// Width of the picture in pixels.
const WIDTH: u32 = 960;
/// Height of each of its parts.
const PART: u32 = 300;
/// Points of a training curve at most; more are averaged in runs.
const POINTS: usize = 400;
/// Colours of the models: distinct for colour-blind readers too (Okabe and Ito).
const COLOURS: [RGBColor; 3] = [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115)];

/// Draws a run's log into an SVG; nothing where the log is empty.
pub fn curves(log: &Path, picture: &Path) -> Result<(), TrainError> {
    let records = metrics::read(log)?;
    if records.is_empty() {
        return Ok(());
    }
    let svg = draw(&records).map_err(|reason| TrainError::Plot { path: picture.to_owned(), reason })?;
    Ok(files::write_atomic(picture, svg.as_bytes())?)
}

/// One curve.
struct Curve {
    name: String,
    colour: RGBColor,
    points: Vec<(f64, f64)>,
    style: Style,
}

#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// Many noisy points: a thin line.
    Thin,
    /// Few points: a line with dots.
    Dots,
    /// Few points: a line with open triangles.
    Triangles,
}

fn draw(records: &[Record]) -> Result<String, String> {
    let mut svg = String::new();
    {
        // Overlap with the labels is measured in validation alone.
        let validated = records.iter().any(|r| matches!(r, Record::Validation { .. }));
        let shown = if validated { 3 } else { 2 };
        let root = SVGBackend::with_string(&mut svg, (WIDTH, shown * PART)).into_drawing_area();
        root.fill(&WHITE).map_err(|e| e.to_string())?;
        let parts = root.split_evenly((shown as usize, 1));
        let models: Vec<Frames> = Frames::ALL.into_iter().filter(|f| records.iter().any(|r| r.at().0 == *f)).collect();
        let several = models.len() > 1;
        let mut panels: [Vec<Curve>; 3] = Default::default();
        for &frames in &models {
            let colour = COLOURS[frames.count() / 2];
            let name = |what: &str| if several { format!("{what}, {frames}") } else { what.to_owned() };
            let training = |value: fn(f64, f64) -> f64| Curve {
                name: name("training"),
                colour: lighter(colour),
                points: thinned(records.iter().filter_map(|r| match *r {
                    Record::Training { frames: f, iteration, loss, accuracy, .. } if f == frames => {
                        Some((iteration as f64, value(loss, accuracy)))
                    }
                    _ => None,
                })),
                style: Style::Thin,
            };
            let validation = |what: &str, style, value: fn(&metrics::Scores) -> Option<f64>| Curve {
                name: name(what),
                colour,
                points: records
                    .iter()
                    .filter_map(|r| match r {
                        Record::Validation { frames: f, iteration, scores, .. } if *f == frames => {
                            Some((*iteration as f64, value(scores)?))
                        }
                        _ => None,
                    })
                    .collect(),
                style,
            };
            panels[0].push(training(|loss, _| loss));
            panels[0].push(validation("validation", Style::Dots, |s| Some(s.loss)));
            panels[1].push(training(|_, accuracy| accuracy));
            panels[1].push(validation("validation", Style::Dots, |s| s.accuracy));
            panels[2].push(validation("validation, Jaccard", Style::Dots, |s| s.jaccard));
            panels[2].push(validation("validation, F1", Style::Triangles, |s| s.f1));
        }
        let titles = [
            ("Loss", "mean cross-entropy per pixel (nats)"),
            ("Accuracy", "share of pixels right"),
            ("Overlap with the labels", "score, 0 to 1"),
        ];
        let last = records.iter().map(|r| r.at().1).max().unwrap_or(1).max(2) as f64;
        for (index, ((curves, (title, axis)), part)) in panels.iter().zip(titles).zip(&parts).enumerate() {
            panel(part, title, axis, curves, last, range(curves, index)).map_err(|e| e.to_string())?;
        }
        root.present().map_err(|e| e.to_string())?;
    }
    Ok(svg)
}

/// The vertical range of a panel: loss from 0, accuracy as its values are, overlap 0 to 1.
fn range(curves: &[Curve], index: usize) -> (f64, f64) {
    let mut values: Vec<f64> =
        curves.iter().flat_map(|c| c.points.iter().map(|p| p.1)).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    let at =
        |share: f64| values.get(((values.len() as f64 * share) as usize).min(values.len().saturating_sub(1))).copied();
    match index {
        // The first few iterations may be far off: they are cut rather than the rest made flat.
        0 => (0.0, at(0.98).unwrap_or(1.0).max(1e-3) * 1.1),
        1 => ((at(0.02).unwrap_or(0.0) - 0.02).clamp(0.0, 0.95), 1.0),
        _ => (0.0, 1.0),
    }
}

type Drawn<'a> = Result<(), DrawingAreaErrorKind<<SVGBackend<'a> as DrawingBackend>::ErrorType>>;

fn panel<'a>(
    area: &DrawingArea<SVGBackend<'a>, Shift>,
    title: &str,
    axis: &str,
    curves: &[Curve],
    last: f64,
    (low, high): (f64, f64),
) -> Drawn<'a> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .margin_right(24)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..last, low..high)?;
    chart
        .configure_mesh()
        .x_desc("weight updates (iterations)")
        .y_desc(axis)
        .axis_desc_style(("sans-serif", 14))
        .label_style(("sans-serif", 12))
        .light_line_style(WHITE)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.2}"))
        .draw()?;
    for curve in curves.iter().filter(|c| !c.points.is_empty()) {
        let points = || curve.points.iter().map(|&(x, y)| (x, y.clamp(low, high)));
        let width = if curve.style == Style::Thin { 1 } else { 2 };
        let line = ShapeStyle { color: curve.colour.to_rgba(), filled: true, stroke_width: width };
        let drawn = chart.draw_series(LineSeries::new(points(), line))?.label(curve.name.clone());
        let style = curve.style;
        drawn.legend(move |(x, y)| {
            let mark: Vec<(i32, i32)> = match style {
                Style::Thin => Vec::new(),
                Style::Dots => (0..12).map(|i| ring(x + 12, y, 3.0, i, 12)).collect(),
                Style::Triangles => (0..3).map(|i| ring(x + 12, y, 5.0, i, 3)).collect(),
            };
            EmptyElement::at((0, 0)) + PathElement::new(vec![(x, y), (x + 24, y)], line) + Polygon::new(mark, line)
        });
        match style {
            Style::Thin => {}
            Style::Dots => {
                chart.draw_series(points().map(|p| Circle::new(p, 3, line)))?;
            }
            Style::Triangles => {
                chart.draw_series(points().map(|p| TriangleMarker::new(p, 5, line)))?;
            }
        }
    }
    chart
        .configure_series_labels()
        .position(if high > 1.0 || low == 0.0 && high < 1.0 {
            SeriesLabelPosition::UpperRight
        } else {
            SeriesLabelPosition::LowerRight
        })
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.2))
        .label_font(("sans-serif", 13))
        .draw()
}

/// A corner of a regular polygon of `corners` corners around a point, the first one at the top.
fn ring(x: i32, y: i32, radius: f64, corner: usize, corners: usize) -> (i32, i32) {
    let (sine, cosine) = (std::f64::consts::TAU * corner as f64 / corners as f64).sin_cos();
    (x + (radius * sine).round() as i32, y - (radius * cosine).round() as i32)
}

/// Half way to white.
const fn lighter(RGBColor(r, g, b): RGBColor) -> RGBColor {
    RGBColor(r / 2 + 127, g / 2 + 127, b / 2 + 127)
}

/// The means of runs of points, so that at most [`POINTS`] are left.
fn thinned(points: impl Iterator<Item = (f64, f64)>) -> Vec<(f64, f64)> {
    let points: Vec<(f64, f64)> = points.collect();
    let run = points.len().div_ceil(POINTS).max(1);
    let mean = |run: &[(f64, f64)]| {
        let n = run.len() as f64;
        (run.iter().map(|p| p.0).sum::<f64>() / n, run.iter().map(|p| p.1).sum::<f64>() / n)
    };
    points.chunks(run).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Scores;

    fn records() -> Vec<Record> {
        let mut all = Vec::new();
        for frames in [Frames::One, Frames::Five] {
            for iteration in 1..=800_u64 {
                let t = iteration as f64 / 800.0;
                let wobble = ((iteration * 37 % 19) as f64 - 9.0) / 300.0;
                let loss = 0.7 * (-4.0 * t).exp() + 0.12 + wobble + 0.01 * frames.count() as f64;
                let accuracy = 0.97 - 0.3 * (-5.0 * t).exp();
                all.push(Record::Training { frames, iteration, loss, accuracy, learning_rate: 0.01, seconds: t });
                if iteration % 100 == 0 {
                    let jaccard = 0.7 * t.sqrt();
                    let scores = Scores {
                        loss: loss + 0.05,
                        accuracy: Some(accuracy - 0.02),
                        precision: None,
                        recall: None,
                        f1: Some(2.0 * jaccard / (1.0 + jaccard)),
                        jaccard: Some(jaccard),
                        best_threshold: None,
                    };
                    all.push(Record::Validation { frames, iteration, seconds: t, best: true, scores });
                }
            }
        }
        all
    }

    #[test]
    fn every_part_has_its_title_axes_and_curves() {
        let svg = draw(&records()).unwrap();
        for text in [
            "Loss",
            "Accuracy",
            "Overlap with the labels",
            "weight updates (iterations)",
            "mean cross-entropy per pixel (nats)",
            "training, 1fm",
            "validation, Jaccard, 5fm",
        ] {
            assert!(svg.contains(text), "{text}");
        }
        if let Some(path) = std::env::var_os("DEEP3M_KEEP_PLOT") {
            std::fs::write(path, svg).unwrap();
        }
    }

    #[test]
    fn a_run_of_one_iteration_without_validation_is_drawn() {
        let record = Record::Training {
            frames: Frames::One,
            iteration: 1,
            loss: f64::NAN,
            accuracy: 0.0,
            learning_rate: 1.0,
            seconds: 0.0,
        };
        assert!(draw(&[record]).unwrap().starts_with("<svg"));
    }

    #[test]
    fn long_curves_are_thinned_to_their_means() {
        let thin = thinned((0..4000).map(|i| (f64::from(i), f64::from(i % 10))));
        assert_eq!(thin.len(), POINTS);
        assert!(thin.iter().all(|p| p.1 == 4.5));
    }
}
