//! How well a model does on sections that it never trained on, at the volume's own resolution.
//!
//! Sections are predicted whole, mirrored at their borders, once (no variations); sections larger than a tile are
//! predicted in tiles that overlap. It is a measure of progress; the score to publish is that of a prediction.

use std::sync::Arc;

use deep3m_analyze::Confusion;
use deep3m_net::{Inference, NetConfig};

use crate::TrainError;
use crate::augment::warp::Bounds;
use crate::check::Class;
use crate::metrics::Scores;
use crate::sampler::{Source, mirror};

/// Height and width of what is predicted at once, without its surroundings, in pixels as the network sees them.
const TILE: usize = 1024;
/// Pixels around a tile that are predicted with it and dropped.
const MARGIN: usize = 32;
/// Probabilities are held this far from 0 and 1 before their logarithm is taken.
const SMALLEST: f32 = 1e-7;

/// Sections to validate on.
pub struct Validation {
    /// Labelled volumes as the network sees them.
    sources: Arc<Vec<Source>>,
    /// Source and section, all of them.
    sections: Vec<(usize, u64)>,
}

impl Validation {
    /// The sections of these volumes.
    pub fn new(sources: Arc<Vec<Source>>) -> Self {
        let sections =
            sources.iter().enumerate().flat_map(|(i, source)| (0..source.depth()).map(move |z| (i, z))).collect();
        Self { sources, sections }
    }

    /// Whether there is nothing to validate on.
    pub fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// Number of sections.
    pub fn len(&self) -> usize {
        self.sections.len()
    }

    /// Pixels that the network sees for a section of mean size, its surroundings included.
    pub fn pixels_per_section(&self) -> f64 {
        let pixels = |&(source, _): &(usize, u64)| {
            let (height, width) = self.sources[source].size();
            ((height + 2 * MARGIN) * (width + 2 * MARGIN)) as f64
        };
        self.sections.iter().map(pixels).sum::<f64>() / self.len().max(1) as f64
    }

    /// At most `most` sections, evenly spaced over all: the middles of as many equal parts.
    fn chosen(&self, most: usize) -> impl Iterator<Item = (usize, u64)> {
        let (all, take) = (self.sections.len(), most.min(self.sections.len()));
        (0..take).map(move |i| self.sections[(2 * i + 1) * all / (2 * take)])
    }

    /// Scores of a model on at most `most` sections. `keep_going` is asked between sections; `None` where it says no.
    pub fn scores(
        &self,
        model: &Inference,
        most: usize,
        keep_going: &dyn Fn() -> bool,
    ) -> Result<Option<Scores>, TrainError> {
        let mut counts = Confusion::default();
        let mut loss = 0.0;
        for (source, z) in self.chosen(most) {
            if !keep_going() {
                return Ok(None);
            }
            let source = &self.sources[source];
            let probability = probability(source, z, model)?;
            loss += count(source, z, &probability, &mut counts)?;
        }
        let voxels = counts.total().max(1) as f64;
        Ok(Some(Scores::new(loss / voxels, &counts)))
    }
}

/// The probability of foreground of a section, as the network sees it (binned).
fn probability(source: &Source, z: u64, model: &Inference) -> Result<Vec<f32>, TrainError> {
    let (height, width) = source.size();
    let frames = model.config().frames().count();
    let mut whole = vec![0.0; height * width];
    for row in (0..height).step_by(TILE) {
        for column in (0..width).step_by(TILE) {
            let tile = Bounds { row, column, rows: TILE.min(height - row), columns: TILE.min(width - column) };
            let padded = |n: usize| (n + 2 * MARGIN).next_multiple_of(NetConfig::MULTIPLE);
            let (rows, columns) = (padded(tile.rows), padded(tile.columns));
            let input = surroundings(source, z, frames, &tile, rows, columns)?;
            let output = model.foreground(&input, 1, rows, columns)?;
            for y in 0..tile.rows {
                let from = &output[(y + MARGIN) * columns + MARGIN..][..tile.columns];
                whole[(row + y) * width + column..][..tile.columns].copy_from_slice(from);
            }
        }
    }
    Ok(whole)
}

/// The sections around a tile with [`MARGIN`] pixels before it and enough after it, mirrored at the volume's border.
fn surroundings(
    source: &Source,
    z: u64,
    frames: usize,
    tile: &Bounds,
    rows: usize,
    columns: usize,
) -> Result<Vec<f32>, TrainError> {
    let (height, width) = source.size();
    let axis = |first: usize, count: usize, size: usize| -> (usize, usize, Vec<usize>) {
        let at: Vec<usize> =
            (0..count).map(|i| mirror((first + i) as i64 - MARGIN as i64, size as u64) as usize).collect();
        let (low, high) = at.iter().fold((size, 0), |(l, h), &p| (l.min(p), h.max(p)));
        (low, high + 1 - low, at.into_iter().map(|p| p - low).collect())
    };
    let ((row, inner_rows, ys), (column, inner_columns, xs)) =
        (axis(tile.row, rows, height), axis(tile.column, columns, width));
    let bounds = Bounds { row, column, rows: inner_rows, columns: inner_columns };
    let mut input = Vec::with_capacity(frames * rows * columns);
    for section in source.sections(z, frames) {
        let plane = source.image(section, bounds)?;
        for &y in &ys {
            let line = &plane[y * inner_columns..][..inner_columns];
            input.extend(xs.iter().map(|&x| line[x]));
        }
    }
    Ok(input)
}

/// Counts a section's voxels right and wrong; the sum of their cross-entropies.
fn count(source: &Source, z: u64, probability: &[f32], counts: &mut Confusion) -> Result<f64, TrainError> {
    let (rows, columns) = source.size();
    let fine = source.binning().interpolate(probability, 1, rows, columns);
    let (height, width) = (rows * source.binning().y as usize, columns * source.binning().x as usize);
    let truth = source.truth(z)?;
    let truth_width = source.width();
    let mut loss = 0.0;
    for y in 0..height {
        for (p, class) in fine[y * width..][..width].iter().zip(&truth[y * truth_width..]) {
            let is_foreground = match class {
                Class::Unknown => continue,
                Class::Foreground => true,
                Class::Background => false,
            };
            counts.add(*p >= 0.5, is_foreground);
            let right = if is_foreground { *p } else { 1.0 - *p };
            loss -= f64::from(right.max(SMALLEST).ln());
        }
    }
    Ok(loss)
}
