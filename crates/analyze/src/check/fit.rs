//! Whether labels lie where the images have borders.
//!
//! The border of a labelled structure is where the grey value changes. So the mean grey-value gradient along all label
//! borders is highest where labels lie right, and falls when they are moved.

use deep3m_volume::{Block, Region, Volume};
use rayon::prelude::*;

use super::finding::{Code, Finding};
use super::labels::Mixed;
use super::section::greys;
use crate::AnalyzeError;
use crate::labels::{Label, LabelRule};
use crate::tiles::Tiles;

/// Labels are moved by up to so many pixels.
const FARTHEST: i64 = 16;
const SIDE: usize = 2 * FARTHEST as usize + 1;
/// The gradient's stencil.
const STENCIL: u64 = 2;
/// Tiles that are looked at, evenly spaced among those with borders.
const TILES: usize = 64;
/// Pixels of borders in a tile that are looked at.
const PIXELS: usize = 4096;
/// Fewer pixels of borders say nothing.
const FEWEST: u64 = 1000;
/// A shift counts from so many pixels on.
const LEAST: f64 = 3.0;
/// The gradient at borders must be so much above the mean where labels fit best.
const CLEAR: f64 = 0.08;
/// And at most this share of that where they lie.
const WORSE: f64 = 0.75;

/// How well labels fit when they are moved.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Fit {
    /// Gradient along borders over the mean gradient, less 1, of each move: rows, then columns, from −16 to 16.
    moved: Vec<f64>,
    /// The same for labels where they are, in the sections before, at and behind.
    sections: [f64; 3],
    pixels: u64,
}

/// Measures it; `None` where there are too few borders.
pub(super) fn fit(
    images: &dyn Volume,
    labels: &dyn Volume,
    rule: LabelRule,
    mixed: &[Mixed],
    budget: u64,
) -> Result<Option<Fit>, AnalyzeError> {
    let tiles = Tiles::fit(images.info(), 24, 0, budget)?;
    let every = mixed.len().div_ceil(TILES).max(1);
    let chosen: Vec<Mixed> = mixed.iter().copied().step_by(every).collect();
    let (mut moved, mut sections, mut mean, mut pixels) = (vec![0.0; SIDE * SIDE], [0.0; 3], [0.0; 3], 0);
    for batch in chosen.chunks(rayon::current_num_threads().max(1)) {
        let parts: Vec<Option<Sums>> = batch
            .par_iter()
            .map(|mixed| look(images, labels, rule, &tiles, *mixed))
            .collect::<Result<_, AnalyzeError>>()?;
        for sums in parts.into_iter().flatten() {
            moved.iter_mut().zip(&sums.moved).for_each(|(all, v)| *all += v);
            for i in 0..3 {
                sections[i] += sums.sections[i];
                mean[i] += sums.means[i] * sums.pixels as f64;
            }
            pixels += sums.pixels;
        }
    }
    let enough = pixels >= FEWEST && mean.iter().all(|&m| m > 0.0);
    Ok(enough.then(|| Fit {
        moved: moved.iter().map(|v| v / mean[1] - 1.0).collect(),
        sections: std::array::from_fn(|i| sections[i] / mean[i] - 1.0),
        pixels,
    }))
}

/// Sums over the borders of a tile.
struct Sums {
    moved: Vec<f64>,
    sections: [f64; 3],
    /// Mean gradients of the three sections.
    means: [f64; 3],
    pixels: u64,
}

fn look(
    images: &dyn Volume,
    labels: &dyn Volume,
    rule: LabelRule,
    tiles: &Tiles,
    mixed: Mixed,
) -> Result<Option<Sums>, AnalyzeError> {
    let reach = FARTHEST as u64 + STENCIL;
    let depth = images.info().extent.z;
    let around = |z: u64| tiles.around(z, mixed.tile, reach);
    let part = around(mixed.z);
    let (height, width) = (part.extent.y as usize, part.extent.x as usize);
    let inside = Region::section(mixed.tile.extent, 0);
    let top = (mixed.tile.start.y - part.start.y) as usize;
    let left = (mixed.tile.start.x - part.start.x) as usize;
    let tile = Region::new(deep3m_volume::Index::new(mixed.z, mixed.tile.start.y, mixed.tile.start.x), inside.extent);
    let far = reach as usize;
    let mut borders: Vec<(usize, usize)> = borders(&labels.read(tile)?, rule)
        .into_iter()
        .map(|(y, x)| (y + top, x + left))
        // All moves must stay within what is read.
        .filter(|&(y, x)| y >= far && x >= far && y + far < height && x + far < width)
        .collect();
    let every = borders.len().div_ceil(PIXELS).max(1);
    borders = borders.into_iter().step_by(every).collect();
    if borders.is_empty() {
        return Ok(None);
    }
    let mut sums =
        Sums { moved: vec![0.0; SIDE * SIDE], sections: [0.0; 3], means: [0.0; 3], pixels: borders.len() as u64 };
    for (i, z) in [mixed.z.saturating_sub(1), mixed.z, (mixed.z + 1).min(depth - 1)].into_iter().enumerate() {
        let (gradient, mean) = gradient(&images.read(around(z))?, height, width);
        sums.means[i] = mean;
        sums.sections[i] = borders.iter().map(|&(y, x)| f64::from(gradient[y * width + x])).sum();
        if i == 1 {
            for (dy, row) in sums.moved.chunks_exact_mut(SIDE).enumerate() {
                for &(y, x) in &borders {
                    let from = (y + dy - FARTHEST as usize) * width + x - FARTHEST as usize;
                    row.iter_mut().zip(&gradient[from..from + SIDE]).for_each(|(s, g)| *s += f64::from(*g));
                }
            }
        }
    }
    Ok(Some(sums))
}

/// Pixels whose right or lower neighbour is of the other class.
fn borders(block: &Block, rule: LabelRule) -> Vec<(usize, usize)> {
    let width = block.extent().x as usize;
    let labels = rule.labels(block.voxels());
    let differs = |a: Label, b: Label| a != b && a != Label::Ignored && b != Label::Ignored;
    (0..labels.len())
        .filter(|&i| {
            let right = (i + 1) % width != 0 && differs(labels[i], labels[i + 1]);
            right || labels.get(i + width).is_some_and(|&below| differs(labels[i], below))
        })
        .map(|i| (i / width, i % width))
        .collect()
}

/// The size of the grey-value gradient of means of 3 × 3 pixels, and its mean.
fn gradient(block: &Block, height: usize, width: usize) -> (Vec<f32>, f64) {
    let mut grey = Vec::new();
    greys(block.voxels(), 0..block.voxels().len(), &mut grey);
    for value in grey.iter_mut().filter(|v| !v.is_finite()) {
        *value = 0.0;
    }
    let mut rows = grey.clone();
    for (row, out) in grey.chunks_exact(width).zip(rows.chunks_exact_mut(width)) {
        for (x, three) in row.windows(3).enumerate() {
            out[x + 1] = three[0] + three[1] + three[2];
        }
    }
    let (mut out, mut sum, mut n) = (vec![0.0; grey.len()], 0.0, 0_u64);
    let mean = |at: usize| rows[at - width] + rows[at] + rows[at + width];
    for y in 2..height.saturating_sub(2) {
        for x in 2..width.saturating_sub(2) {
            let at = y * width + x;
            let size = (mean(at + 1) - mean(at - 1)).hypot(mean(at + width) - mean(at - width));
            out[at] = size;
            sum += f64::from(size);
            n += 1;
        }
    }
    (out, sum / n.max(1) as f64)
}

impl Fit {
    /// The move of the labels that fits best: rows, columns.
    fn best(&self) -> (i64, i64, f64) {
        let (at, value) =
            self.moved.iter().enumerate().fold((0, f64::MIN), |best, (i, &v)| if v > best.1 { (i, v) } else { best });
        ((at / SIDE) as i64 - FARTHEST, (at % SIDE) as i64 - FARTHEST, value)
    }

    /// What is said of it.
    pub(super) fn finding(&self) -> Option<Finding> {
        let (y, x, best) = self.best();
        let here = self.moved[SIDE * SIDE / 2];
        let apart = (y as f64).hypot(x as f64);
        // Labels that leave a membrane out, or take it in, fit well when moved to any side: they are not shifted.
        let opposite = self.moved[((FARTHEST - y) * SIDE as i64 + FARTHEST - x) as usize];
        let one_sided = opposite < f64::midpoint(best, here);
        let (found, of) = (100.0 * here, 100.0 * best);
        if apart >= LEAST && best > CLEAR && here < WORSE * best && one_sided {
            let message = format!(
                "labels fit the images better when they are moved by {y} rows and {x} columns: at their borders grey values \
                 change {of:.0} % more than elsewhere, where they lie now {found:.0} %"
            );
            let fix =
                "look at them on top of each other; export images and labels again from the same program, uncropped";
            return Some(Finding::warning(Code::LabelsShifted, apart, "pixels", message, fix));
        }
        let [before, at, behind] = self.sections;
        let (other, word) = if before > behind { (before, "before") } else { (behind, "behind") };
        if other > CLEAR && at < WORSE * other {
            let message = format!(
                "labels fit the images of the section {word} better: at their borders grey values change {:.0} % more than \
                 elsewhere, in their own section {:.0} %",
                100.0 * other,
                100.0 * at
            );
            let fix = "is a file missing in one of the folders? Compare the first and last images with their labels";
            return Some(Finding::warning(Code::LabelsShifted, 1.0, "sections", message, fix));
        }
        None
    }

    /// The best move and how clear it is, for the summary.
    pub(super) fn figures(&self) -> FitFigures {
        let (y, x, best) = self.best();
        FitFigures {
            move_rows: y,
            move_columns: x,
            gradient_there: best,
            gradient: self.moved[SIDE * SIDE / 2],
            pixels: self.pixels,
        }
    }
}

/// Where labels fit best.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct FitFigures {
    /// By how many rows labels would have to be moved.
    pub move_rows: i64,
    /// By how many columns.
    pub move_columns: i64,
    /// Gradient of grey values along borders there, over the mean gradient, less 1.
    pub gradient_there: f64,
    /// The same where labels lie.
    pub gradient: f64,
    /// Pixels of borders that were looked at.
    pub pixels: u64,
}
