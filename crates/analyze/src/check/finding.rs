//! What the check found: where, how much, and what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Training or prediction would be wrong or could not start.
    Error,
    /// The data can be used; look whether it is meant.
    Warning,
}

/// What kind of finding it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// Images and labels differ in size.
    SizesDiffer,
    /// Images of a type that holds no grey values.
    NotGrey,
    /// Voxels that are no numbers, or infinite.
    NotFinite,
    /// The whole volume has one value or two.
    FewGreys,
    /// Values use a small part of what the type can hold.
    NarrowRange,
    /// Many voxels at the darkest or brightest value that the type can hold.
    Saturated,
    /// No voxel size is stated.
    NoVoxelSize,
    /// A voxel size that is unusual.
    OddVoxelSize,
    /// Numbers are missing in the names of slices.
    MissingFiles,
    /// A section with one value, or almost.
    Blank,
    /// A section much darker than its neighbours.
    Dark,
    /// A section much brighter than its neighbours.
    Bright,
    /// A section with much less contrast than its neighbours.
    Faint,
    /// A section less sharp than its neighbours.
    Blurred,
    /// A section that is there twice.
    Duplicate,
    /// A section that is shifted against its neighbours.
    Shifted,
    /// Sections that resemble each other much less than neighbours do elsewhere.
    Jump,
    /// Labels whose values have no clear meaning.
    LabelValues,
    /// Labels without foreground or without background.
    OneClass,
    /// Foreground is rare, or is the most.
    Imbalance,
    /// Sections without foreground between others that have it.
    Unlabelled,
    /// Labels of a section repeated in the next one.
    RepeatedLabels,
    /// Labels that fit the images better when they are moved.
    LabelsShifted,
    /// Images and labels are numbered differently.
    NumbersDiffer,
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What kind it is.
    pub code: Code,
    /// The first and last section it is about; `None`: the whole volume.
    pub sections: Option<(u64, u64)>,
    /// The figure behind it.
    pub figure: f64,
    /// The figure's unit.
    pub unit: String,
    /// What was found.
    pub message: String,
    /// What to do.
    pub fix: String,
}

impl Finding {
    pub(super) fn error(code: Code, figure: f64, unit: &str, message: String, fix: impl Into<String>) -> Self {
        let (severity, unit, fix) = (Severity::Error, unit.to_owned(), fix.into());
        Self { severity, code, sections: None, figure, unit, message, fix }
    }

    pub(super) fn warning(code: Code, figure: f64, unit: &str, message: String, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, figure, unit, message, fix) }
    }

    /// The same, about sections.
    pub(super) fn at(self, first: u64, last: u64) -> Self {
        Self { sections: Some((first, last)), ..self }
    }
}

impl fmt::Display for Finding {
    /// In one line, without the advice.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sections {
            Some((first, last)) if first == last => write!(f, "section {first}: {}", self.message),
            Some((first, last)) => write!(f, "sections {first} to {last}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}
