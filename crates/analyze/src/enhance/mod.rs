//! Images made even, clear and quiet, block by block.
//!
//! Steps are done in this order: repair, even, match, contrast, denoise, clahe. Each is a volume above the one before it, so
//! that any part can be read, and is the same however it is read.

mod cdeep3m2;
mod clahe;
mod denoise;
mod even;
mod grey_map;
mod layer;
mod nlm;
mod noise;
mod repair;
mod tv;
mod write;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use deep3m_volume::Volume;
use serde::{Deserialize, Serialize};

pub use clahe::Clahe;
pub use denoise::Denoise;
pub use even::EvenTo;
pub use write::write_enhanced;

use crate::{AnalyzeError, Checkup, Code};
use cdeep3m2::LikeCdeep3m2;
use clahe::Equalised;
use denoise::Denoised;
use even::Evened;
use grey_map::{Grey, Mapped};
use noise::noise_of;
use repair::Repaired;

/// What is done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnhanceConfig {
    /// Sections that are replaced by what lies between their good neighbours. Default: none.
    pub repair: Vec<u64>,
    /// Every section gets the brightness and contrast of others. Default: no.
    pub even: Option<EvenTo>,
    /// Percentiles of the volume's grey values that become black and white. Default: none.
    pub contrast: Option<(f64, f64)>,
    /// How noise is taken away. Default: it is not.
    pub denoise: Option<Denoise>,
    /// How much of it. Default 1.
    pub strength: f64,
    /// Adaptive histogram equalisation. Default: none.
    pub clahe: Option<Clahe>,
    /// All that CDeep3M2's `enhance_stack.py` does, after repairing and evening, in place of other steps. Default: no.
    pub like_cdeep3m2: bool,
}

impl Default for EnhanceConfig {
    fn default() -> Self {
        let (repair, even, contrast) = (Vec::new(), None, None);
        Self { repair, even, contrast, denoise: None, strength: 1.0, clahe: None, like_cdeep3m2: false }
    }
}

/// What was measured for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Enhancement {
    /// Sections that were replaced.
    pub repaired: Vec<u64>,
    /// The largest change of a section's mean by evening.
    pub largest_change: Option<f64>,
    /// Whether grey values were matched to those of another volume.
    pub matched: bool,
    /// Grey values that became black and white.
    pub contrast: Option<(f32, f32)>,
    /// Standard deviation of the noise before it was taken away, in grey values.
    pub noise: Option<f64>,
}

impl EnhanceConfig {
    /// How often the whole volume is gone through before it is written.
    pub fn passes(&self, matched: bool) -> u64 {
        u64::from(self.even.is_some())
            + u64::from(matched)
            + u64::from(self.contrast.is_some())
            + u64::from(self.clahe.is_some())
    }

    fn validate(&self, matched: bool) -> Result<(), AnalyzeError> {
        let fail = |name: &'static str, found: String, expected: &str| {
            Err(AnalyzeError::Setting { name, found, expected: expected.into() })
        };
        if let Some((low, high)) = self.contrast
            && !(low >= 0.0 && low < high && high <= 100.0)
        {
            return fail("contrast", format!("{low},{high}"), "two percentiles from 0 to 100, the lower first");
        }
        if !(self.strength > 0.0 && self.strength.is_finite()) {
            return fail("strength", self.strength.to_string(), "a number above 0; 1 is usual");
        }
        if let Some(Clahe { tiles, clip }) = self.clahe
            && !((1..=64).contains(&tiles) && clip > 0.0 && clip <= 1.0)
        {
            return fail("clahe", format!("{tiles} tiles, clip {clip}"), "1 to 64 tiles, a clip above 0 and up to 1");
        }
        let others = matched || self.contrast.is_some() || self.denoise.is_some() || self.clahe.is_some();
        if self.like_cdeep3m2 && others {
            let expected =
                "none of match, contrast, denoise and clahe beside it: it has contrast and denoising of its own";
            return fail("like cdeep3m2", "with other steps".into(), expected);
        }
        Ok(())
    }
}

/// The sections that a check found of no use: empty, blurred, there twice; and dark, bright and faint ones unless they are
/// evened out instead.
pub fn to_repair(checkup: &Checkup, evened: bool) -> Vec<u64> {
    let bad = |code: Code| match code {
        Code::Blank | Code::Blurred | Code::Duplicate => true,
        Code::Dark | Code::Bright | Code::Faint => !evened,
        _ => false,
    };
    let ranges = checkup.findings.iter().filter(|f| bad(f.code)).filter_map(|f| f.sections);
    let mut sections: Vec<u64> = ranges.flat_map(|(first, last)| first..=last).collect();
    sections.sort_unstable();
    sections.dedup();
    sections
}

/// A volume enhanced: nothing is written yet. `reference` is what grey values are matched to; the result has its type.
///
/// `progress` hears the voxels of each tile that is measured; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::Setting`] for settings out of their range, [`AnalyzeError::NotGrey`] for volumes of labels,
/// [`AnalyzeError::Memory`], [`AnalyzeError::Interrupted`], and what reading met.
pub fn enhance(
    volume: Arc<dyn Volume>,
    reference: Option<&dyn Volume>,
    config: &EnhanceConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(Arc<dyn Volume>, Enhancement), AnalyzeError> {
    config.validate(reference.is_some())?;
    for info in [Some(volume.info()), reference.map(Volume::info)].into_iter().flatten() {
        if !info.voxel_type.is_grey() {
            return Err(AnalyzeError::NotGrey { path: info.path.clone(), found: info.voxel_type });
        }
    }
    let path = volume.info().path.clone();
    let flat = |path: &std::path::Path| AnalyzeError::Setting {
        name: "grey values",
        found: format!("{}: fewer than two values", path.display()),
        expected: "a volume with structure".into(),
    };
    let mut report = Enhancement::default();
    let mut top = volume;
    if !config.repair.is_empty() {
        report.repaired.clone_from(&config.repair);
        top = Arc::new(Repaired::new(top, &config.repair)?);
    }
    if let Some(to) = config.even {
        let layer = Evened::new(top, to, budget, progress)?;
        report.largest_change = Some(layer.largest);
        top = Arc::new(layer);
    }
    if config.like_cdeep3m2 {
        return Ok((Arc::new(LikeCdeep3m2::new(top)), report));
    }
    if let Some(reference) = reference {
        let own = Grey::of(top.as_ref(), budget, progress)?;
        let wanted = Grey::of(reference, budget, progress)?;
        let to = reference.info().voxel_type;
        top = Arc::new(Mapped::matched(top, &own, &wanted, to).ok_or_else(|| flat(&reference.info().path))?);
        report.matched = true;
    }
    if let Some((low, high)) = config.contrast {
        let grey = Grey::of(top.as_ref(), budget, progress)?;
        let [low, high] = grey.percentiles([low, high]).filter(|[a, b]| a < b).ok_or_else(|| flat(&path))?;
        report.contrast = Some((low, high));
        top = Arc::new(Mapped::stretched(top, low, high));
    }
    if let Some(method) = config.denoise {
        let noise = noise_of(top.as_ref())?;
        report.noise = Some(noise);
        top = Arc::new(Denoised { below: top, method, noise, strength: config.strength });
    }
    if let Some(settings) = config.clahe {
        let grey = Grey::of(top.as_ref(), budget, progress)?;
        let [low, high] = grey.percentiles([0.0, 100.0]).filter(|[a, b]| a < b).ok_or_else(|| flat(&path))?;
        top = Arc::new(Equalised::new(top, settings, (low, high)));
    }
    Ok((top, report))
}
