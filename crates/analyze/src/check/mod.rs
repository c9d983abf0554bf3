//! The data doctor: what is wrong with images and labels, section by section, before anything is trained on them.

mod facts;
mod finding;
mod fit;
mod images;
mod labels;
mod names;
mod picture;
pub(crate) mod robust;
pub(crate) mod section;
mod sections;
mod shift;

#[cfg(test)]
mod tests;

use deep3m_volume::{Extent, Volume, VolumeError, VoxelSize, VoxelType};
use serde::{Deserialize, Serialize};

pub use finding::{Code, Finding, Severity};
pub use fit::FitFigures;
pub use images::SectionFigures;
pub use labels::LabelFigures;

use crate::AnalyzeError;
use crate::labels::LabelRule;
use names::Numbers;

/// How labels are read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CheckConfig {
    /// The value that is foreground, where labels have more than two.
    pub foreground: Option<u32>,
    /// The value of voxels that nobody labelled.
    pub ignore: Option<u32>,
}

/// What the images are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageFigures {
    /// Their size in voxels.
    pub extent: Extent,
    /// Their type.
    pub voxel_type: VoxelType,
    /// The size of a voxel, where it is stated.
    pub voxel_size: Option<VoxelSize>,
    /// Darkest and brightest value.
    pub range: (f32, f32),
    /// Mean grey value.
    pub mean: f64,
    /// Standard deviation of the grey values.
    pub sd: f64,
    /// Each section.
    pub sections: Vec<SectionFigures>,
}

/// What the check found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Checkup {
    /// The images.
    pub images: ImageFigures,
    /// The labels, where there are some that can be compared.
    pub labels: Option<LabelFigures>,
    /// Where labels fit the images best, where they have borders.
    pub fit: Option<FitFigures>,
    /// Errors first, then warnings; the whole volume first, then by section.
    pub findings: Vec<Finding>,
}

impl Checkup {
    /// How many findings are so bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|f| f.severity == severity).count()
    }
}

/// Checks images, and labels where they are given, in bounded memory.
///
/// `progress` hears the voxels of each tile, first of the images, then of the labels; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::Interrupted`] when told to stop, [`AnalyzeError::Memory`] where a tile does not fit the budget (bytes), and
/// what reading met. What is wrong with the data is no error but a [`Finding`].
pub fn check(
    images: &dyn Volume,
    labels: Option<&dyn Volume>,
    config: &CheckConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<Checkup, AnalyzeError> {
    LabelRule { foreground: config.foreground, ignore: config.ignore }.validate()?;
    let info = images.info();
    let measured = images::read(images, budget, progress)?;
    let mut findings = facts::voxel_size(info.voxel_size);
    if !info.voxel_type.is_grey() {
        let message = format!("{} voxels: labels, not grey images", info.voxel_type);
        let fix = "are images and labels in the wrong order? Images come first";
        findings.push(Finding::error(Code::NotGrey, 32.0, "bits", message, fix));
    }
    findings.append(&mut measured.findings(info.voxel_type, info.extent.y.min(info.extent.x)));
    let numbers = Numbers::of(info);
    findings.extend(numbers.iter().flat_map(Numbers::gaps));
    let (mut label_figures, mut fit_figures) = (None, None);
    if let Some(labels) = labels {
        if let (Some(images), Some(labels)) = (&numbers, Numbers::of(labels.info())) {
            findings.extend(images.compare(&labels));
        }
        let with = check_labels(images, labels, config, budget, progress, &mut findings)?;
        (label_figures, fit_figures) = with.map_or((None, None), |(figures, fit)| (Some(figures), fit));
    }
    findings.sort_by_key(|f| (f.severity, f.sections));
    let all = &measured.all;
    let images = ImageFigures {
        extent: info.extent,
        voxel_type: info.voxel_type,
        voxel_size: info.voxel_size,
        range: if all.voxels == 0 { (0.0, 0.0) } else { (all.min, all.max) },
        mean: all.mean(),
        sd: all.sd(),
        sections: measured.figures,
    };
    Ok(Checkup { images, labels: label_figures, fit: fit_figures, findings })
}

/// `None` for labels that cannot be read as such: that is a finding.
fn check_labels(
    images: &dyn Volume,
    labels: &dyn Volume,
    config: &CheckConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
    findings: &mut Vec<Finding>,
) -> Result<Option<(LabelFigures, Option<FitFigures>)>, AnalyzeError> {
    let (size, expected) = (labels.info().extent, images.info().extent);
    if size != expected {
        let message = format!("images are {expected}, labels are {size}");
        let fix = "each image needs labels of its own size; cut the larger with deep3m convert --region";
        findings.push(Finding::error(Code::SizesDiffer, 0.0, "voxels", message, fix));
        return Ok(None);
    }
    let read = match labels::read(labels, budget, progress) {
        Ok(read) => read,
        Err(AnalyzeError::Volume(error)) => match *error {
            VolumeError::Malformed { place, found, expected }
                if !place.part.is_empty() && expected.contains("label") =>
            {
                let message = format!("{}: {found} is no label; expected {expected}", place.part);
                let fix = "are images and labels in the wrong order? Labels come second, and are whole numbers";
                findings.push(Finding::error(Code::LabelValues, 0.0, "values", message, fix));
                return Ok(None);
            }
            other => return Err(other.into()),
        },
        Err(error) => return Err(error),
    };
    let rule = match read.rule(config.foreground, config.ignore) {
        Ok(rule) => Some(rule),
        Err(finding) => {
            findings.push(*finding);
            None
        }
    };
    let (figures, mut found) = read.judge(rule, config.ignore);
    findings.append(&mut found);
    // Borders of all structures together, where it is not clear which one is meant.
    let rule = rule.unwrap_or(LabelRule { foreground: None, ignore: config.ignore });
    let fit = fit::fit(images, labels, rule, &read.mixed, budget)?;
    findings.extend(fit.as_ref().and_then(fit::Fit::finding));
    Ok(Some((figures, fit.map(|fit| fit.figures()))))
}
