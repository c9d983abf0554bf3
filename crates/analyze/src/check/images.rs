//! The images, gone through once: each section for itself, and against the one before.

use deep3m_volume::{Block, Extent, Region, Volume};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::picture::{Picture, step};
use super::section::{self, Sums, measure};
use super::shift::{Correlator, Shift};
use crate::AnalyzeError;
use crate::histogram::Histogram;
use crate::tiles::Tiles;

/// What was measured of a section.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SectionFigures {
    /// Its place, from the first section on.
    pub section: u64,
    /// Mean grey value.
    pub mean: f64,
    /// Standard deviation of the grey values.
    pub sd: f64,
    /// Darkest and brightest value.
    pub range: (f32, f32),
    /// Share of voxels with the darkest or the brightest value of the type.
    pub saturated: f64,
    /// Fine structure as a share of the contrast.
    pub sharpness: f64,
    /// Correlation with the section before.
    pub correlation: Option<f64>,
    /// The same when the section is moved back by its shift.
    pub aligned: Option<f64>,
    /// Shift in pixels against the section before: rows, columns.
    pub shift: Option<(f64, f64)>,
    /// How clear the shift is, from 0 to 1.
    pub clarity: Option<f64>,
}

/// What was measured of all sections.
pub(super) struct Measured {
    pub(super) figures: Vec<SectionFigures>,
    pub(super) sums: Vec<Sums>,
    /// Sums over all sections.
    pub(super) all: Sums,
    /// How often each value occurs, for whole numbers of up to 16 bits.
    pub(super) histogram: Option<Histogram>,
}

/// Bytes that a pixel costs while its tile is worked on: twice in floating point, and its share of small pictures.
const BYTES_PER_PIXEL: u64 = 16;

/// Goes through the images once.
pub(super) fn read(
    images: &dyn Volume,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Measured, AnalyzeError> {
    let info = images.info();
    let empty = Picture::new(info.extent);
    let picture_bytes = (empty.values.len() * size_of::<f32>()) as u64;
    // Each thread transforms a pair of pictures: four times eight bytes for each pixel of one.
    let transforms = 8 * picture_bytes * rayon::current_num_threads() as u64 / 16;
    let tiles = Tiles::fit(info, BYTES_PER_PIXEL, picture_bytes + transforms, budget)?;
    let correlator = Correlator::new(empty.height, empty.width);
    let mut histogram = Histogram::new(info.voxel_type);
    let (mut figures, mut all_sums, mut all) = (Vec::new(), Vec::new(), Sums::default());
    let mut last: Option<Picture> = None;
    for slab in tiles.slabs() {
        let sections = slab.extent.z as usize;
        let mut sums = vec![Sums::default(); sections];
        let mut pictures = vec![empty.clone(); sections];
        tiles.run(
            slab,
            section::REACH,
            |part| {
                let block = images.read(part.around)?;
                let counts = counted(&block, part.inside());
                Ok((measure(&block, part.around, part.core, info.extent), counts))
            },
            |part, (measured, counts)| {
                for (i, (tile, piece)) in measured.iter().enumerate() {
                    let z = (part.core.start.z - slab.start.z) as usize + i;
                    sums[z].add(tile);
                    pictures[z].add(piece);
                }
                if let (Some(all), Some(counts)) = (&mut histogram, &counts) {
                    all.merge(counts);
                }
                Ok(())
            },
            progress,
        )?;
        pictures.splice(0..0, last.take());
        let first_pair = pictures.len() - sections;
        let pairs: Vec<Pair> =
            pictures.par_windows(2).map(|two| compare(&two[0], &two[1], correlator.as_ref())).collect();
        for (i, sum) in sums.iter().enumerate() {
            // Without a section before the slab, its first one has no pair.
            let pair = (i + first_pair).checked_sub(1).and_then(|pair| pairs.get(pair));
            figures.push(figure(slab.start.z + i as u64, sum, pair, step(info.extent)));
            all.add(sum);
        }
        all_sums.append(&mut sums);
        last = pictures.pop();
    }
    Ok(Measured { figures, sums: all_sums, all, histogram })
}

/// How often each value occurs in a part of a block.
fn counted(block: &Block, inside: Region) -> Option<Histogram> {
    let mut counts = Histogram::new(block.voxels().voxel_type())?;
    for row in inside.tiles(Extent::new(1, 1, inside.extent.x.max(1))) {
        let from = block.extent().offset(row.start);
        counts.add(block.voxels(), from..from + row.extent.x as usize);
    }
    Some(counts)
}

/// Two sections in a row.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    correlation: Option<f64>,
    shift: Option<Shift>,
    /// The correlation when the second is moved back.
    aligned: Option<f64>,
}

fn compare(first: &Picture, second: &Picture, correlator: Option<&Correlator>) -> Pair {
    let correlation = first.correlation(second, 0, 0);
    let shift = correlator.and_then(|c| c.shift(&first.values, &second.values));
    let moved = shift.map(|s| (s.y.round() as i64, s.x.round() as i64)).filter(|&moved| moved != (0, 0));
    let aligned = moved.map_or(correlation, |(y, x)| first.correlation(second, y, x));
    Pair { correlation, shift, aligned }
}

fn figure(section: u64, sums: &Sums, pair: Option<&Pair>, step: u64) -> SectionFigures {
    let Pair { correlation, shift, aligned } = pair.copied().unwrap_or_default();
    let step = step as f64;
    SectionFigures {
        section,
        mean: sums.mean(),
        sd: sums.sd(),
        range: if sums.voxels == 0 { (0.0, 0.0) } else { (sums.min, sums.max) },
        saturated: (sums.black + sums.white) as f64 / (sums.voxels + sums.not_finite).max(1) as f64,
        sharpness: sums.sharpness(),
        correlation,
        aligned,
        shift: shift.map(|s| (s.y * step, s.x * step)),
        clarity: shift.map(|s| s.clarity),
    }
}
