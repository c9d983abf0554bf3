//! How well a model does on fields that it never trained on, at the volume's own resolution.
//!
//! A field is a section, or a tile of it where sections are large, so that memory does not grow with the volume. It is
//! predicted once (no variations), with its surroundings, mirrored at the section's border. That is a measure of
//! progress; the score to publish is that of a prediction.

use std::sync::Arc;

use deep3m_analyze::Confusion;
use deep3m_net::{Inference, NetConfig};

use crate::TrainError;
use crate::augment::warp::Bounds;
use crate::check::Class;
use crate::metrics::Scores;
use crate::sampler::{Source, mirror};

/// Height and width of the largest field, in pixels as the network sees them.
pub(crate) const FIELD: usize = 1024;
/// Pixels around a field that are predicted with it and dropped.
const MARGIN: usize = 32;
/// Probabilities are held this far from 0 and 1 before their logarithm is taken.
const SMALLEST: f32 = 1e-7;

/// Fields to validate on.
pub struct Validation {
    /// Labelled volumes as the network sees them.
    sources: Arc<Vec<Source>>,
    /// All fields.
    fields: Vec<Field>,
}

/// A part of a section, in pixels as the network sees them.
#[derive(Clone, Copy)]
struct Field {
    source: usize,
    z: u64,
    bounds: Bounds,
}

impl Validation {
    /// The fields of these volumes.
    pub fn new(sources: Arc<Vec<Source>>) -> Self {
        let mut fields = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let (height, width) = source.size();
            // Equal parts, none larger than a field.
            let parts = |size: usize| {
                let count = size.div_ceil(FIELD);
                (0..count).map(move |i| (i * size / count, (i + 1) * size / count - i * size / count))
            };
            for z in 0..source.depth() {
                for (row, rows) in parts(height) {
                    let of_row = parts(width).map(|(column, columns)| Bounds { row, column, rows, columns });
                    fields.extend(of_row.map(|bounds| Field { source: index, z, bounds }));
                }
            }
        }
        Self { sources, fields }
    }

    /// Whether there is nothing to validate on.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Pixels that the network sees for a field of mean size, its surroundings included.
    pub fn pixels_per_field(&self) -> f64 {
        let pixels = |f: &Field| (padded(f.bounds.rows) * padded(f.bounds.columns)) as f64;
        self.fields.iter().map(pixels).sum::<f64>() / self.len().max(1) as f64
    }

    /// At most `most` fields, evenly spaced over all: the middles of as many equal parts.
    fn chosen(&self, most: usize) -> impl Iterator<Item = Field> {
        let (all, take) = (self.fields.len(), most.min(self.fields.len()));
        (0..take).map(move |i| self.fields[(2 * i + 1) * all / (2 * take)])
    }

    /// Scores of a model on at most `most` fields. `keep_going` is asked between them; `None` where it says no.
    pub fn scores(
        &self,
        model: &Inference,
        most: usize,
        keep_going: &dyn Fn() -> bool,
    ) -> Result<Option<Scores>, TrainError> {
        let mut counts = Counts::default();
        let mut loss = 0.0;
        for field in self.chosen(most) {
            if !keep_going() {
                return Ok(None);
            }
            let source = &self.sources[field.source];
            let probability = probability(source, &field, model)?;
            loss += count(source, &field, &probability, &mut counts)?;
        }
        let voxels = counts.at_half.total().max(1) as f64;
        Ok(Some(Scores::new(loss / voxels, &counts.at_half, counts.best_threshold())))
    }
}

/// Voxels by what they are and how probable they were found.
#[derive(Default)]
struct Counts {
    /// At the threshold ½.
    at_half: Confusion,
    /// Background and foreground, by the probability as a prediction writes it: in 8 bits.
    by_value: Vec<[u64; 2]>,
}

impl Counts {
    fn add(&mut self, p: f32, is_foreground: bool) {
        self.at_half.add(p >= 0.5, is_foreground);
        self.by_value.resize(256, [0; 2]);
        self.by_value[(p * 255.0).round().clamp(0.0, 255.0) as usize][usize::from(is_foreground)] += 1;
    }

    /// The threshold with the largest Jaccard index; of several, the middle one. `None` where nothing is there or found.
    fn best_threshold(&self) -> Option<f64> {
        let there: u64 = self.by_value.iter().map(|[_, foreground]| foreground).sum();
        let (mut found, mut right) = (0, 0);
        let mut jaccards = Vec::new();
        for (value, [background, foreground]) in self.by_value.iter().enumerate().skip(1).rev() {
            (found, right) = (found + background + foreground, right + foreground);
            jaccards.push((value, right as f64 / (there + found - right).max(1) as f64));
        }
        let best = jaccards.iter().map(|&(_, jaccard)| jaccard).fold(0.0, f64::max);
        let equal: Vec<usize> =
            jaccards.iter().filter(|&&(_, jaccard)| jaccard == best).map(|&(value, _)| value).collect();
        (best > 0.0).then(|| equal[equal.len() / 2] as f64 / 255.0)
    }
}

/// The size at which `pixels` with their surroundings are predicted.
pub(crate) const fn padded(pixels: usize) -> usize {
    (pixels + 2 * MARGIN).next_multiple_of(NetConfig::MULTIPLE)
}

/// The probability of foreground of a field, as the network sees it (binned).
fn probability(source: &Source, field: &Field, model: &Inference) -> Result<Vec<f32>, TrainError> {
    let frames = model.config().frames().count();
    let Bounds { rows, columns, .. } = field.bounds;
    let (height, width) = (padded(rows), padded(columns));
    let input = surroundings(source, field.z, frames, &field.bounds, height, width)?;
    let output = model.foreground(&input, 1, height, width)?;
    let inner = output.chunks_exact(width).skip(MARGIN).take(rows);
    Ok(inner.flat_map(|line| &line[MARGIN..MARGIN + columns]).copied().collect())
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

/// Counts a field's voxels right and wrong; the sum of their cross-entropies.
fn count(source: &Source, field: &Field, probability: &[f32], counts: &mut Counts) -> Result<f64, TrainError> {
    let fine = source.binning().interpolate(probability, 1, field.bounds.rows, field.bounds.columns);
    let mut loss = 0.0;
    for (p, class) in fine.into_iter().zip(source.truth(field.z, field.bounds)?) {
        let is_foreground = match class {
            Class::Unknown => continue,
            Class::Foreground => true,
            Class::Background => false,
        };
        counts.add(p, is_foreground);
        let right = if is_foreground { p } else { 1.0 - p };
        loss -= f64::from(right.max(SMALLEST).ln());
    }
    Ok(loss)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::check;
    use crate::sampler::Border;
    use crate::testing::labelled;
    use deep3m_net::{DeviceChoice, Frames, Normalisation};
    use deep3m_volume::{Binning, Extent};

    fn sources(extent: Extent, binning: Binning) -> Arc<Vec<Source>> {
        let volume = labelled(extent, |i| (i.x * 3 + i.y) as u8, |i| u8::from(i.x < 20));
        let checked = check(&volume, None, None).unwrap();
        Arc::new(vec![Source::new(volume, checked, binning, Normalisation::Raw, Border::Mirror)])
    }

    #[test]
    fn fields_cover_every_section_once() {
        let validation = Validation::new(sources(Extent::new(2, 30, 2500), Binning::NONE));
        assert_eq!(validation.len(), 2 * 3);
        let columns: usize = validation.fields.iter().map(|f| f.bounds.columns).sum();
        assert_eq!(columns, 2 * 2500);
        assert!(validation.fields.iter().all(|f| f.bounds.columns <= FIELD && f.bounds.rows == 30));
        let three: Vec<u64> = validation.chosen(3).map(|f| f.z).collect();
        assert_eq!(three, [0, 1, 1]);
    }

    #[test]
    fn the_best_threshold_parts_the_classes() {
        let mut counts = Counts::default();
        assert_eq!(counts.best_threshold(), None);
        for (p, is_foreground) in [(0.1, false), (0.3, false), (0.4, true), (0.9, true)] {
            counts.add(p, is_foreground);
        }
        let best = counts.best_threshold().unwrap();
        assert!(best > 0.3 && best <= 0.4, "{best}");
    }

    #[test]
    fn every_voxel_is_counted_once() {
        let device = DeviceChoice::Cpu.open().unwrap();
        let mut net = NetConfig::with_width(Frames::Three, 0.01).unwrap().init(&device, 3);
        // Without scales and shifts every logit is zero, every probability one half.
        net.map_parameters(|_, _, values| values.mul_scalar(0.0));
        let model = Inference::new(&net, &device).unwrap();
        let validation = Validation::new(sources(Extent::new(2, 52, 61), Binning::square(2)));
        let scores = validation.scores(&model, 9, &|| true).unwrap().unwrap();
        assert!((scores.loss - 2_f64.ln()).abs() < 1e-4, "{scores:?}");
        assert_eq!(scores.recall, Some(1.0));
        assert!((scores.precision.unwrap() - 20.0 / 60.0).abs() < 1e-9, "61 columns are 30 bins");
        assert_eq!(validation.scores(&model, 9, &|| false).unwrap(), None);
    }
}
