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
<<<<<<< HEAD

/// Standard deviations (robust ones) from which a section stands out.
const FAR: f64 = 6.0;
/// A difference in brightness counts from this share of the usual contrast on.
const BRIGHTNESS: f64 = 0.4;
/// Less than this share of the neighbours' contrast is faint, and less than the second is blank.
const FAINT: f64 = 0.5;
const BLANK: f64 = 0.05;
/// Less than this share of the neighbours' sharpness is blurred.
const BLURRED: f64 = 0.75;
/// A shift counts from so many pixels on, and from this share of the shorter side on.
const SHIFT_PIXELS: f64 = 3.0;
const SHIFT_SHARE: f64 = 0.005;
/// Shifts that are less clear than this are not believed.
const CLARITY: f64 = 0.05;
/// Sections that correlate so well are the same, if others do so much less.
const SAME: f64 = 0.999;
/// More voxels than this share at the end of the scale are remarkable.
const SATURATED: f64 = 0.05;
/// A jump is from so many times the usual difference between neighbours on.
const JUMP: f64 = 1.5;
=======
>>>>>>> check

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
<<<<<<< HEAD

impl Measured {
    /// What stands out.
    pub(super) fn findings(&self, voxel_type: VoxelType, shorter_side: u64) -> Vec<Finding> {
        let mut found = Vec::new();
        self.not_finite(&mut found);
        let blank = self.blank(&mut found);
        self.brightness(&blank, &mut found);
        self.sharpness(&blank, &mut found);
        let twice = self.duplicates(&blank, &mut found);
        let shifted = self.shifts(&blank, shorter_side, &mut found);
        self.jumps(&blank, &twice, &shifted, &mut found);
        self.greys(voxel_type, &blank, &mut found);
        found
    }

    fn of(&self, value: impl Fn(&SectionFigures) -> f64) -> Vec<f64> {
        self.figures.iter().map(value).collect()
    }

    fn not_finite(&self, found: &mut Vec<Finding>) {
        if self.all.not_finite > 0 {
            let first = self.sums.iter().position(|s| s.not_finite > 0).unwrap_or(0) as u64;
            let last = self.sums.iter().rposition(|s| s.not_finite > 0).unwrap_or(0) as u64;
            let n = self.all.not_finite;
            let message = format!("{n} voxels are no numbers (NaN) or infinite");
            let fix = "replace them by grey values before anything else, in the program that made the volume";
            found.push(Finding::error(Code::NotFinite, n as f64, "voxels", message, fix).at(first, last));
        }
    }

    /// Sections without content; the others of a volume are judged without them.
    fn blank(&self, found: &mut Vec<Finding>) -> Vec<bool> {
        let usual = super::robust::median(self.of(|f| f.sd));
        let blank: Vec<bool> = self.figures.iter().map(|f| f.sd <= BLANK * usual && usual > 0.0).collect();
        runs(&blank, |first, last| {
            let sd = self.figures[first].sd;
            let message = format!("no structure: standard deviation {sd:.1} grey values, usual are {usual:.1}");
            let list = list(first, last);
            let fix = format!("deep3m enhance --repair {list} fills it in between its neighbours");
            let finding = Finding::warning(Code::Blank, sd, "grey values", message, fix);
            found.push(finding.at(first as u64, last as u64));
        });
        blank
    }

    fn brightness(&self, blank: &[bool], found: &mut Vec<Finding>) {
        let contrast = super::robust::median(self.of(|f| f.sd));
        let means = self.without(blank, &self.of(|f| f.mean));
        let Some(usual) = Usual::of(&means) else { return };
        for (code, sign, word) in [(Code::Dark, -1.0, "darker"), (Code::Bright, 1.0, "brighter")] {
            let far = |i: usize| sign * (means[i] - usual.around[i]);
            let bad: Vec<bool> = (0..means.len())
                .map(|i| !blank[i] && far(i) > (FAR * usual.spread).max(BRIGHTNESS * contrast))
                .collect();
            runs(&bad, |first, last| {
                let by = far(first);
                let message = format!("{by:.0} grey values {word} than its neighbours (contrast: {contrast:.0})");
                let fix = "deep3m enhance --even gives every section the brightness of its neighbours";
                let finding = Finding::warning(code, by, "grey values", message, fix);
                found.push(finding.at(first as u64, last as u64));
            });
        }
        let contrasts = self.without(blank, &self.of(|f| f.sd));
        self.low(&contrasts, blank, FAINT, |first, last, share| {
            let message = format!("{:.0} % of its neighbours' contrast", 100.0 * share);
            let fix = "deep3m enhance --even gives every section the contrast of its neighbours";
            let finding = Finding::warning(Code::Faint, share, "of the neighbours' contrast", message, fix);
            found.push(finding.at(first as u64, last as u64));
        });
    }

    fn sharpness(&self, blank: &[bool], found: &mut Vec<Finding>) {
        let sharpness = self.without(blank, &self.of(|f| f.sharpness));
        self.low(&sharpness, blank, BLURRED, |first, last, share| {
            let message = format!("{:.0} % as sharp as its neighbours", 100.0 * share);
            let list = list(first, last);
            let fix = format!("deep3m enhance --repair {list} fills it in between its neighbours, if it is of no use");
            let finding = Finding::warning(Code::Blurred, share, "of the neighbours' sharpness", message, fix);
            found.push(finding.at(first as u64, last as u64));
        });
    }

    /// Values of blank sections replaced by what is around them, so that they draw nothing.
    fn without(&self, blank: &[bool], values: &[f64]) -> Vec<f64> {
        let good: Vec<f64> = values.iter().zip(blank).filter(|(_, b)| !**b).map(|(v, _)| *v).collect();
        let middle = super::robust::median(good);
        let mut last = middle;
        values
            .iter()
            .zip(blank)
            .map(|(&v, &blank)| {
                last = if blank { last } else { v };
                last
            })
            .collect()
    }

    /// Runs of sections with a value that is low against its neighbours' as a share, and far from what is usual.
    fn low(&self, values: &[f64], blank: &[bool], share: f64, mut say: impl FnMut(usize, usize, f64)) {
        let logs: Vec<f64> = values.iter().map(|v| v.max(1e-9).ln()).collect();
        let Some(usual) = Usual::of(&logs) else { return };
        let under = |i: usize| logs[i] - usual.around[i];
        let bad: Vec<bool> =
            (0..values.len()).map(|i| !blank[i] && under(i) < share.ln().min(-FAR * usual.spread)).collect();
        runs(&bad, |first, last| say(first, last, under(first).exp()));
    }

    /// Sections that are there twice, next to each other or not.
    fn duplicates(&self, blank: &[bool], found: &mut Vec<Finding>) -> Vec<bool> {
        let mut twice = vec![false; self.sums.len()];
        let mut first_with: BTreeMap<u64, usize> = BTreeMap::new();
        let fix = |z: usize, other: usize| {
            format!(
                "if a section is missing, look for its file; deep3m enhance --repair {z} fills it in between its \
                 neighbours instead of repeating section {other}"
            )
        };
        for (z, sums) in self.sums.iter().enumerate().filter(|(z, _)| !blank[*z]) {
            let earlier = *first_with.entry(sums.hash).or_insert(z);
            if earlier != z {
                twice[z] = true;
                let message = format!("the same as section {earlier}, voxel for voxel");
                let finding = Finding::warning(Code::Duplicate, 1.0, "correlation", message, fix(z, earlier));
                found.push(finding.at(z as u64, z as u64));
            }
        }
        let differences = self.of(|f| f.correlation.map_or(f64::NAN, |r| 1.0 - r));
        let usual = super::robust::median(differences.clone());
        for (z, &difference) in differences.iter().enumerate() {
            if !twice[z] && difference <= (1.0 - SAME).min(0.1 * usual) {
                twice[z] = true;
                let (r, before) = (1.0 - difference, z - 1);
                let message = format!("almost the same as section {before} (correlation {r:.5})");
                let finding = Finding::warning(Code::Duplicate, r, "correlation", message, fix(z, before));
                found.push(finding.at(z as u64, z as u64));
            }
        }
        twice
    }

    fn shifts(&self, blank: &[bool], shorter_side: u64, found: &mut Vec<Finding>) -> Vec<bool> {
        // Moved back, a shifted section resembles its neighbour as sections do elsewhere; other tissue does not.
        let differences = self.of(|f| f.aligned.map_or(f64::NAN, |r| 1.0 - r));
        let usual = super::robust::median(differences);
        let believed = |f: &SectionFigures| {
            let (there, back) = (1.0 - f.correlation?, 1.0 - f.aligned?);
            let alike = back <= there && (back <= JUMP * usual || back < 0.5 * there);
            f.shift.filter(|_| alike && f.clarity.is_some_and(|c| c >= CLARITY))
        };
        let mut shifted = vec![false; self.figures.len()];
        // Places in `pairs` are those of the second section of a pair.
        let pairs: Vec<(usize, (f64, f64))> = (1..self.figures.len())
            .filter(|&z| !blank[z] && !blank[z - 1])
            .filter_map(|z| Some((z, believed(&self.figures[z])?)))
            .collect();
        let rows: Vec<f64> = pairs.iter().map(|(_, s)| s.0).collect();
        let columns: Vec<f64> = pairs.iter().map(|(_, s)| s.1).collect();
        let (Some(usual_y), Some(usual_x)) = (Usual::of(&rows), Usual::of(&columns)) else { return shifted };
        let least = SHIFT_PIXELS.max(SHIFT_SHARE * shorter_side as f64);
        let least = least.max(FAR * usual_y.spread.max(usual_x.spread));
        let jump = |i: usize| (rows[i] - usual_y.around[i], columns[i] - usual_x.around[i]);
        let mut i = 0;
        while i < pairs.len() {
            let (y, x) = jump(i);
            if y.hypot(x) < least {
                i += 1;
                continue;
            }
            let z = pairs[i].0;
            // Back again at the next section: it is this one that lies wrong.
            let back = (i + 1 < pairs.len() && pairs[i + 1].0 == z + 1).then(|| jump(i + 1));
            let alone = back.is_some_and(|(by, bx)| (y + by).hypot(x + bx) < 0.5 * y.hypot(x));
            let against = if alone { "both its neighbours" } else { "the section before" };
            let message = format!("shifted by {y:.0} rows and {x:.0} columns against {against}");
            let fix = "align the stack before training (Fiji: Plugins › Registration › Register Virtual Stack Slices), \
                       or give --region without these sections";
            shifted[z] = true;
            if alone {
                shifted[z + 1] = true;
            }
            found.push(Finding::warning(Code::Shifted, y.hypot(x), "pixels", message, fix).at(z as u64, z as u64));
            i += if alone { 2 } else { 1 };
        }
        shifted
    }

    fn jumps(&self, blank: &[bool], twice: &[bool], shifted: &[bool], found: &mut Vec<Finding>) {
        let explained = |z: usize| {
            let said = |list: &[bool]| list[z] || list[z - 1];
            let named = found.iter().filter_map(|f| f.sections).any(|(first, last)| {
                let z = z as u64;
                (first..=last).contains(&z) || (first..=last).contains(&(z - 1))
            });
            said(blank) || said(twice) || said(shifted) || named
        };
        let pairs: Vec<(usize, f64)> =
            (1..self.figures.len()).filter_map(|z| Some((z, 1.0 - self.figures[z].correlation?))).collect();
        let logs: Vec<f64> = pairs.iter().map(|(_, d)| d.max(1e-9).ln()).collect();
        let Some(usual) = Usual::of(&logs) else { return };
        let mut new = Vec::new();
        for (i, &(z, difference)) in pairs.iter().enumerate() {
            let over = logs[i] - usual.around[i];
            if over > JUMP.ln().max(FAR * usual.spread) && !explained(z) {
                let times = over.exp();
                let message = format!(
                    "differs from the section before {times:.1} times as much as neighbours do (correlation {:.2})",
                    1.0 - difference
                );
                let fix = "look whether sections are missing here; if so, train on the parts on either side (--region, \
                           or deep3m convert --region)";
                new.push(Finding::warning(Code::Jump, times, "times", message, fix).at(z as u64, z as u64));
            }
        }
        found.append(&mut new);
    }

    /// The grey values of the whole volume.
    fn greys(&self, voxel_type: VoxelType, blank: &[bool], found: &mut Vec<Finding>) {
        let all = &self.all;
        if all.voxels == 0 {
            return;
        }
        let distinct = self.histogram.as_ref().map(|h| h.values().count());
        if all.min == all.max {
            let message = format!("every voxel is {}: there is nothing to see", all.min);
            let fix = "look at the volume in a viewer; is it the right file?";
            found.push(Finding::error(Code::FewGreys, 1.0, "values", message, fix));
            return;
        }
        if distinct == Some(2) {
            let message = format!("two values only, {} and {}: a mask, not grey images", all.min, all.max);
            let fix = "are images and labels in the wrong order? Images come first";
            found.push(Finding::error(Code::FewGreys, 2.0, "values", message, fix));
            return;
        }
        let used = f64::from(all.max) - f64::from(all.min) + 1.0;
        let (few, bits) = if voxel_type == VoxelType::U8 { (32.0, 8) } else { (256.0, 16) };
        if voxel_type != VoxelType::F32 && used <= few {
            let message =
                format!("{bits} bits, but values only from {} to {}: {used:.0} steps of grey", all.min, all.max);
            let fix = "export the images again with their full range of grey values, if the microscope had more";
            found.push(Finding::warning(Code::NarrowRange, used, "grey values", message, fix));
        }
        let with = || self.sums.iter().zip(blank).filter(|(_, blank)| !**blank).map(|(sums, _)| sums);
        let voxels = with().map(|s| s.voxels).sum::<u64>().max(1);
        let of = [with().map(|s| s.black).sum::<u64>(), with().map(|s| s.white).sum()];
        for (n, word) in of.into_iter().zip(["black", "white"]) {
            let share = n as f64 / voxels as f64;
            if share > SATURATED {
                let message = format!("{:.1} % of the voxels are pure {word}", 100.0 * share);
                let fix = "an empty border: cut it off with --region; grey values cut off: export the images again with \
                           less contrast";
                found.push(Finding::warning(Code::Saturated, share, "of the voxels", message, fix));
            }
        }
    }
}

/// Calls with the first and the last of each run of places that are true.
pub(super) fn runs(bad: &[bool], mut say: impl FnMut(usize, usize)) {
    let mut first = None;
    for (i, &is_bad) in bad.iter().chain([&false]).enumerate() {
        match (first, is_bad) {
            (None, true) => first = Some(i),
            (Some(from), false) => {
                say(from, i - 1);
                first = None;
            }
            _ => {}
        }
    }
}

/// Sections as `--repair` takes them.
fn list(first: usize, last: usize) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
=======
>>>>>>> check
