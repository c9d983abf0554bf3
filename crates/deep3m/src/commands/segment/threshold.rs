//! From which probability on a voxel is foreground.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::atomic::Ordering;

use deep3m_analyze::{AnalyzeError, lowest_value, otsu_level};
use deep3m_net::ModelDir;
use deep3m_predict::ModelIdentity;
use deep3m_volume::{Region, Volume, fs};
use miette::{IntoDiagnostic, Result};
use serde_json::Value;

use crate::console::{Progress, Unit, notice};
use crate::interrupt::{self, Interrupted};
use crate::parse;

/// From which value on a voxel is foreground.
#[derive(Clone, Copy, Debug)]
pub(super) enum Threshold {
    Auto,
    Probability(f64),
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        match parse::fraction(text) {
            Ok(value) if value > 0.0 => Ok(Self::Probability(value)),
            Ok(_) => Err("0 found; every voxel would be foreground: expected more than 0, up to 1, or auto".to_owned()),
            Err(_) => Err(format!("'{text}' found; expected a number above 0 and up to 1, or auto")),
        }
    }
}

impl Threshold {
    /// The lowest value that is foreground, of a volume whose probability 1 is `one`.
    pub(super) fn level(self, volume: &dyn Volume, region: Region, one: u32) -> Result<u32> {
        let path = &volume.info().path;
        match self {
            Self::Probability(probability) => Ok(lowest_value(probability, one)),
            Self::Auto => match of_model(path) {
                Ok((threshold, model)) => {
                    let model = model.display();
                    notice(&format!("--threshold auto: {threshold:.3}, the best of the validation of {model}"));
                    Ok(lowest_value(threshold, one))
                }
                Err(why) => {
                    let level = otsu(volume, region)?;
                    let found = f64::from(level) / f64::from(one);
                    notice(&format!("--threshold auto: {found:.3}, from the volume's own values (Otsu): {why}"));
                    Ok(level)
                }
            },
        }
    }
}

/// The best threshold of the validation of the model that made a prediction, and where the model lies; or why there is none. Of
/// several networks, whose probabilities are averaged, the mean.
fn of_model(prediction: &Path) -> Result<(f64, PathBuf), String> {
    let made_by = provenance(prediction).and_then(|model| serde_json::from_value::<ModelIdentity>(model).ok());
    let ModelIdentity { path, weights } = made_by.ok_or("it does not say which model made it")?;
    let model = ModelDir::open(&path).map_err(|_| format!("its model is not in {}", path.display()))?;
    for (frames, entry) in &model.manifest.networks {
        if weights.get(&frames.to_string()).is_some_and(|sha256| *sha256 != entry.sha256) {
            return Err(format!("{} has been trained on since", path.display()));
        }
    }
    match model.manifest.best_threshold(|frames| weights.contains_key(&frames.to_string())) {
        Some(best) => Ok((best, path)),
        None => Err(format!("the validation of {} says nothing of a threshold", path.display())),
    }
}

/// The model that made a prediction, as it says itself.
fn provenance(volume: &Path) -> Option<Value> {
    let json = |name: &str| {
        let text = fs::read_to_string(&volume.join(name)).ok()?;
        serde_json::from_str::<Value>(&text).ok()
    };
    let mut found = json("zarr.json").map(|mut json| json["attributes"]["deep3m"].take());
    found = found.or_else(|| json(".zattrs").map(|mut json| json["deep3m"].take()));
    found = found.or_else(|| json("info").map(|mut json| json["deep3m"].take()));
    found.map(|mut found| found["run"]["model"].take())
}

fn otsu(volume: &dyn Volume, region: Region) -> Result<u32> {
    let progress = Progress::new("threshold", region.extent.checked_voxels().unwrap_or(0), Unit::Voxels);
    let level = otsu_level(volume, region, &mut |voxels| {
        progress.advance(voxels);
        !interrupt::stop().load(Ordering::Relaxed)
    });
    progress.finish();
    match level {
        Err(AnalyzeError::Interrupted) => Err(Interrupted.into()),
        Err(error) => Err(error).into_diagnostic(),
        Ok(Some(level)) => Ok(level),
        Ok(None) => miette::bail!(
            "{}: --threshold auto: all voxels have one value; expected at least two. Give a number from 0 to 1",
            volume.info().path.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_is_the_lowest_value_that_reaches_it() {
        for one in [255, 65535] {
            for threshold in [0.001, 0.25, 0.5, 0.6, 0.999, 1.0] {
                let (level, scale) = (lowest_value(threshold, one), f64::from(one));
                assert!(f64::from(level) / scale >= threshold);
                assert!(level == 1 || f64::from(level - 1) / scale < threshold, "{threshold} of {scale}: {level}");
            }
        }
        assert!("0".parse::<Threshold>().is_err() && "2".parse::<Threshold>().is_err());
        assert!(matches!("auto".parse(), Ok(Threshold::Auto)));
    }
}
