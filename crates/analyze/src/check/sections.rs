//! What stands out among the sections of a volume.

use std::collections::BTreeMap;

use deep3m_volume::VoxelType;

use super::finding::{Code, Finding};
use super::images::{Measured, SectionFigures};
use super::robust::{Usual, median};

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
        let usual = median(self.of(|f| f.sd));
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
        let contrast = median(self.of(|f| f.sd));
        let means = without(blank, &self.of(|f| f.mean));
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
        let contrasts = without(blank, &self.of(|f| f.sd));
        low(&contrasts, blank, FAINT, |first, last, share| {
            let message = format!("{:.0} % of its neighbours' contrast", 100.0 * share);
            let fix = "deep3m enhance --even gives every section the contrast of its neighbours";
            let finding = Finding::warning(Code::Faint, share, "of the neighbours' contrast", message, fix);
            found.push(finding.at(first as u64, last as u64));
        });
    }

    fn sharpness(&self, blank: &[bool], found: &mut Vec<Finding>) {
        let sharpness = without(blank, &self.of(|f| f.sharpness));
        low(&sharpness, blank, BLURRED, |first, last, share| {
            let message = format!("{:.0} % as sharp as its neighbours", 100.0 * share);
            let list = list(first, last);
            let fix = format!("deep3m enhance --repair {list} fills it in between its neighbours, if it is of no use");
            let finding = Finding::warning(Code::Blurred, share, "of the neighbours' sharpness", message, fix);
            found.push(finding.at(first as u64, last as u64));
        });
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
        let usual = median(differences.clone());
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
        let usual = median(differences);
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
        let mut back_at = None;
        for (i, &(z, (y, x))) in pairs.iter().enumerate() {
            let drift = (usual_y.around[i], usual_x.around[i]);
            let (y, x) = (y - drift.0, x - drift.1);
            let far = y.hypot(x);
            if far < least || back_at == Some(z) {
                continue;
            }
            // Away and back again: it is the section between that lies wrong.
            let is_opposite = |z: usize| {
                let shift = self.figures.get(z).and_then(|f| f.shift);
                shift.is_some_and(|(by, bx)| (y + by - drift.0).hypot(x + bx - drift.1) < 0.5 * far)
            };
            let (at, against, sign) = if is_opposite(z + 1) {
                back_at = Some(z + 1);
                (z, "both its neighbours", 1.0)
            } else if is_opposite(z - 1) {
                (z - 1, "both its neighbours", -1.0)
            } else {
                (z, "the section before", 1.0)
            };
            shifted[at] = true;
            let message = format!("shifted by {:.0} rows and {:.0} columns against {against}", sign * y, sign * x);
            let fix = "align the stack before training (Fiji: Plugins › Registration › Register Virtual Stack Slices), \
                       or train on the parts on either side (deep3m convert --region cuts them out)";
            found.push(Finding::warning(Code::Shifted, far, "pixels", message, fix).at(at as u64, at as u64));
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
                let fix = "look whether sections are missing here; if so, train on the parts on either side \
                           (deep3m convert --region cuts them out)";
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
                let fix = "an empty border: cut it off with deep3m convert --region; grey values cut off: export the \
                           images again with less contrast";
                found.push(Finding::warning(Code::Saturated, share, "of the voxels", message, fix));
            }
        }
    }
}

/// Values of blank sections replaced by what is around them, so that they draw nothing.
fn without(blank: &[bool], values: &[f64]) -> Vec<f64> {
    let good: Vec<f64> = values.iter().zip(blank).filter(|(_, b)| !**b).map(|(v, _)| *v).collect();
    let middle = median(good);
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
fn low(values: &[f64], blank: &[bool], share: f64, mut say: impl FnMut(usize, usize, f64)) {
    let logs: Vec<f64> = values.iter().map(|v| v.max(1e-9).ln()).collect();
    let Some(usual) = Usual::of(&logs) else { return };
    let under = |i: usize| logs[i] - usual.around[i];
    let bad: Vec<bool> =
        (0..values.len()).map(|i| !blank[i] && under(i) < share.ln().min(-FAR * usual.spread)).collect();
    runs(&bad, |first, last| say(first, last, under(first).exp()));
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
