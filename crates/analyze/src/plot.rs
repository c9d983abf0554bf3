//! Line charts as SVG.

use plotters::prelude::*;

/// Colours of lines: distinct for colour-blind readers too (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// A line chart: what it shows, its axes with their units, its lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// What it shows.
    pub title: String,
    /// The horizontal axis, with its unit.
    pub x: String,
    /// The vertical axis, with its unit.
    pub y: String,
    /// The least range of the vertical axis; it grows with the values.
    pub y_range: (f64, f64),
    /// The lines.
    pub lines: Vec<Line>,
}

/// A line of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Line {
    /// Its name, for the legend; without one it has none.
    pub name: String,
    /// Its points from left to right; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Whether points are marked.
    pub dots: bool,
    /// Whether it is broken: a reference, not a measurement.
    pub dashed: bool,
}

impl Chart {
    /// The chart as SVG, so many pixels wide and high.
    ///
    /// # Errors
    /// What the drawing library met.
    pub fn svg(&self, width: u32, height: u32) -> Result<String, String> {
        let mut svg = String::new();
        self.draw(SVGBackend::with_string(&mut svg, (width, height))).map_err(|error| error.to_string())?;
        Ok(svg)
    }

    /// Charts one below the other as one SVG, each so many pixels wide and high.
    ///
    /// # Errors
    /// What the drawing library met.
    pub fn stacked(charts: &[Self], width: u32, height: u32) -> Result<String, String> {
        let all = height.saturating_mul(charts.len() as u32);
        let mut svg = format!("<svg width=\"{width}\" height=\"{all}\" xmlns=\"http://www.w3.org/2000/svg\">\n");
        for (i, chart) in charts.iter().enumerate() {
            let place = format!("<svg y=\"{}\" ", height.saturating_mul(i as u32));
            svg += &chart.svg(width, height)?.replacen("<svg ", &place, 1);
        }
        Ok(svg + "</svg>\n")
    }

    fn draw<B: DrawingBackend>(&self, backend: B) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
        let root = backend.into_drawing_area();
        root.fill(&WHITE)?;
        let points = || self.lines.iter().flat_map(|line| finite(&line.points));
        let (mut left, mut right) = points().fold((f64::MAX, f64::MIN), |(a, b), (x, _)| (a.min(x), b.max(x)));
        if left > right {
            (left, right) = (0.0, 1.0);
        } else if left == right {
            (left, right) = (left - 0.5, right + 0.5);
        }
        let (low, high) = points().fold(self.y_range, |(a, b), (_, y)| (a.min(y), b.max(y)));
        let high = if high > self.y_range.1 { high + 0.05 * (high - low) } else { high };
        let high = if high > low { high } else { low + 1.0 };
        let mut chart = ChartBuilder::on(&root)
            .caption(&self.title, ("sans-serif", 18))
            .margin(10)
            .margin_right(24)
            .x_label_area_size(42)
            .y_label_area_size(72)
            .build_cartesian_2d(left..right, low..high)?;
        chart
            .configure_mesh()
            .x_desc(&self.x)
            .y_desc(&self.y)
            .axis_desc_style(("sans-serif", 14))
            .label_style(("sans-serif", 12))
            .light_line_style(WHITE)
            .x_label_formatter(&|x| number(*x, right - left))
            .y_label_formatter(&|y| number(*y, high - low))
            .draw()?;
        for (line, colour) in self.lines.iter().zip(COLOURS.iter().cycle()) {
            let style = ShapeStyle { color: colour.to_rgba(), filled: true, stroke_width: 2 };
            let drawn = if line.dashed {
                chart.draw_series(DashedLineSeries::new(finite(&line.points), 6, 4, style))?
            } else {
                chart.draw_series(LineSeries::new(finite(&line.points), style))?
            };
            if !line.name.is_empty() {
                let mark = move |(x, y)| PathElement::new(vec![(x, y), (x + 24, y)], style);
                drawn.label(line.name.clone()).legend(mark);
            }
            if line.dots {
                chart.draw_series(finite(&line.points).map(|point| Circle::new(point, 3, style)))?;
            }
        }
        if self.lines.iter().any(|line| !line.name.is_empty()) {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.8))
                .border_style(BLACK.mix(0.2))
                .label_font(("sans-serif", 13))
                .draw()?;
        }
        root.present()
    }
}

fn finite(points: &[(f64, f64)]) -> impl Iterator<Item = (f64, f64)> + Clone + '_ {
    points.iter().copied().filter(|(x, y)| x.is_finite() && y.is_finite())
}

/// A label with as many digits as the axis needs.
fn number(value: f64, range: f64) -> String {
    let digits = (1.0 - range.abs().max(f64::MIN_POSITIVE).log10()).ceil().clamp(0.0, 9.0) as usize;
    if value.abs() >= 1e6 || (range < 1e-6 && value != 0.0) {
        format!("{value:.1e}")
    } else {
        format!("{value:.digits$}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chart_has_its_words_and_lines_and_bears_empty_and_odd_values() {
        let mut chart = Chart {
            title: "Density along z".into(),
            x: "position (µm)".into(),
            y: "objects per mm³".into(),
            ..Chart::default()
        };
        assert!(chart.svg(600, 300).unwrap().contains("objects per mm³"));
        for points in [vec![(1.0, 3.0)], vec![(f64::NAN, 1.0), (0.0, f64::INFINITY)], vec![(0.0, 1e9), (1.0, -2.0)]] {
            chart.lines.push(Line { name: "nuclei".into(), points, dots: true, ..Line::default() });
            assert!(chart.svg(600, 300).unwrap().contains("nuclei"));
        }
    }

    #[test]
    fn charts_are_stacked() {
        let chart = |y: &str| Chart { y: y.into(), ..Chart::default() };
        let svg = Chart::stacked(&[chart("number"), chart("share")], 400, 200).unwrap();
        assert!(svg.starts_with("<svg width=\"400\" height=\"400\"") && svg.contains("<svg y=\"200\""), "{svg}");
        assert!(svg.contains("number") && svg.contains("share") && svg.matches("</svg>").count() == 3);
    }

    #[test]
    fn labels_have_the_digits_that_tell_them_apart() {
        assert_eq!(number(0.25, 1.0), "0.2");
        assert_eq!(number(250.0, 1000.0), "250");
        assert_eq!(number(0.025, 0.1), "0.03");
        assert_eq!(number(2.5e8, 1e9), "2.5e8");
    }
}
