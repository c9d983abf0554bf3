//! Whether a probability of 0.8 is right eight times in ten, and how to make it so.

mod isotonic;
mod reliability;

use std::path::Path;

use deep3m_volume::fs;
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use crate::scores::Levels;

pub use reliability::{Reliability, ReliabilityBin};

/// The longest file there is, in bytes: 65536 numbers of 24 digits.
const LARGEST: u64 = 4 << 20;
/// The one version of the file.
const VERSION: u32 = 1;

/// From the values of a model's prediction to the share of voxels of that value that are foreground: never falling, by isotonic
/// regression (pool adjacent violators), so that the order of voxels by probability stays.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// 1.
    version: u32,
    kind: Kind,
    /// The value of the prediction that is p = 1: 255 or 65535.
    input_full_scale: u32,
    /// For each value from 0 to the full scale the share of foreground, 0 to 1.
    probability: Vec<f64>,
}

/// What a file is, so that another kind is not taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Calibration,
}

impl Calibration {
    /// Of counted values; `None` without a voxel.
    pub(crate) fn of(levels: &Levels) -> Option<Self> {
        let probability = isotonic::fit(levels)?;
        let input_full_scale = probability.len() as u32 - 1;
        Some(Self { version: VERSION, kind: Kind::Calibration, input_full_scale, probability })
    }

    /// The value that is p = 1: 255 for predictions of 8 bits, 65535 for 16.
    pub const fn full_scale(&self) -> u32 {
        self.input_full_scale
    }

    /// The share of foreground for each value from 0 to the full scale.
    pub fn probabilities(&self) -> &[f64] {
        &self.probability
    }

    /// Reads a file, and checks that it is what it says.
    ///
    /// # Errors
    /// [`AnalyzeError::Calibration`] with what is wrong; what reading met.
    pub fn read(path: &Path) -> Result<Self, AnalyzeError> {
        let wrong = |reason: String| AnalyzeError::Calibration { path: path.to_owned(), reason };
        let bytes = fs::size(path)?;
        if bytes > LARGEST {
            return Err(wrong(format!("found {bytes} bytes; expected at most {LARGEST}")));
        }
        let read: Self = serde_json::from_slice(&fs::read(path)?).map_err(|error| wrong(error.to_string()))?;
        if read.version != VERSION {
            return Err(wrong(format!("found version {}; expected {VERSION}", read.version)));
        }
        if ![255, 65535].contains(&read.input_full_scale) {
            return Err(wrong(format!("found a full scale of {}; expected 255 or 65535", read.input_full_scale)));
        }
        let expected = read.input_full_scale as usize + 1;
        if read.probability.len() != expected {
            return Err(wrong(format!("found {} probabilities; expected {expected}", read.probability.len())));
        }
        if !read.probability.iter().all(|p| (0.0..=1.0).contains(p)) || !read.probability.is_sorted() {
            return Err(wrong("found probabilities that fall, or lie outside of 0 to 1".into()));
        }
        Ok(read)
    }

    /// Writes a file, whole or not at all.
    ///
    /// # Errors
    /// What writing met.
    pub fn write(&self, path: &Path) -> Result<(), AnalyzeError> {
        let wrong =
            |error: serde_json::Error| AnalyzeError::Calibration { path: path.into(), reason: error.to_string() };
        let mut text = serde_json::to_string(self).map_err(wrong)?;
        text.push('\n');
        Ok(fs::write_atomic(path, text.as_bytes())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Result<Calibration, AnalyzeError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        std::fs::write(&path, text).unwrap();
        Calibration::read(&path)
    }

    #[test]
    fn a_file_reads_back_and_others_are_refused() {
        let mut levels = Levels::new(255);
        levels.add(3, false);
        levels.add(200, true);
        let calibration = Calibration::of(&levels).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.json");
        calibration.write(&path).unwrap();
        assert_eq!(Calibration::read(&path).unwrap(), calibration);
        let text = std::fs::read_to_string(&path).unwrap();
        let start = r#"{"version":1,"kind":"calibration","input_full_scale":255,"probability":[0.0,"#;
        assert!(text.starts_with(start), "{text}");
        for (from, to, says) in [
            ("\"version\":1", "\"version\":2", "version 2"),
            ("\"calibration\"", "\"table\"", "table"),
            ("255", "256", "full scale of 256"),
            ("255", "65535", "256 probabilities; expected 65536"),
            ("[0.0,", "[1.0,", "fall"),
            ("[0.0,", "[-1.0,", "outside"),
            ("[0.0,", "[null,", "null"),
        ] {
            let error = written(&text.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(error.contains("c.json") && error.contains(says), "{error}");
        }
    }
}
