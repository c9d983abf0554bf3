//! From labelled volumes to what the network sees: checked, binned, normalised.

use std::sync::Arc;

use deep3m_net::{ModelDir, Normalisation};
use deep3m_volume::{Binning, VoxelSize, VoxelType};

use crate::check::{Checked, check, no_foreground};
use crate::sampler::Source;
use crate::{LabelledVolume, TrainConfig, TrainError, TrainingSet, grey};

/// Pixels per bin to choose from, the coarsest first.
const BINNINGS: [u32; 2] = [2, 1];
/// Pieces of foreground keep at least this typical width (in pixels as the network sees them) when binning is chosen.
const FINEST_PIECE: f64 = 12.0;

/// The data of a run, ready.
pub(crate) struct Prepared {
    /// Patches are drawn from these.
    pub(crate) training: Arc<Vec<Source>>,
    /// Progress is measured on these.
    pub(crate) validation: Arc<Vec<Source>>,
    /// How grey values are scaled.
    pub(crate) normalisation: Normalisation,
    /// Pixels averaged to one.
    pub(crate) binning: Binning,
    /// The images' type.
    pub(crate) voxel_type: VoxelType,
    /// The images' voxel size, where known.
    pub(crate) voxel_size: Option<VoxelSize>,
}

/// Checks everything and says what is remarkable.
pub(crate) fn prepare(
    set: &TrainingSet,
    config: &TrainConfig,
    from: Option<&ModelDir>,
    notice: &mut dyn FnMut(String),
) -> Result<Prepared, TrainError> {
    let first = set.training.first().ok_or(TrainError::NoVolumes)?.images.info();
    for volume in set.training.iter().chain(&set.validation) {
        let info = volume.images.info();
        if !info.voxel_type.is_grey() {
            return Err(TrainError::ImageType { path: info.path.clone(), found: info.voxel_type });
        }
        if info.voxel_type != first.voxel_type {
            return Err(TrainError::TypesDiffer {
                path: info.path.clone(),
                found: info.voxel_type,
                first: first.path.clone(),
                expected: first.voxel_type,
            });
        }
    }
    let checks = |volumes: &[LabelledVolume]| {
        volumes.iter().map(|v| check(v, config.foreground, config.ignore)).collect::<Result<Vec<_>, _>>()
    };
    let (training, validation) = (checks(&set.training)?, checks(&set.validation)?);
    if training.iter().all(|c| c.foreground == 0) {
        return Err(no_foreground(&set.training[0], training[0].meaning));
    }
    describe(set, &training, &validation, notice);

    let normalisation = match from.map(|model| model.manifest.normalisation) {
        Some(Normalisation::Raw) => Normalisation::Raw,
        _ if !config.normalise => Normalisation::Raw,
        _ => grey::estimate(&set.training)?,
    };
    let binning = match (config.binning, from) {
        (Some(binning), _) => binning,
        (None, Some(model)) => model.manifest.binning,
        (None, None) => choose_binning(set, &training, config.patch),
    };
    if !binning.is_none() {
        notice(format!("the network sees {} × {} pixels averaged to one", binning.y, binning.x));
    }
    let sources = |volumes: &[LabelledVolume], checks: Vec<Checked>| -> Result<Arc<Vec<Source>>, TrainError> {
        let sources: Vec<Source> = volumes
            .iter()
            .zip(checks)
            .map(|(v, checked)| Source::new(v.clone(), checked, binning, normalisation, config.border))
            .collect();
        for (source, volume) in sources.iter().zip(volumes) {
            let extent = volume.images.info().extent;
            if extent.is_empty() || source.size().0 == 0 || source.size().1 == 0 {
                return Err(TrainError::TooSmall { path: volume.images.info().path.clone(), extent, binning });
            }
        }
        Ok(Arc::new(sources))
    };
    let (training, validation) = (sources(&set.training, training)?, sources(&set.validation, validation)?);
    for (source, volume) in training.iter().zip(&set.training) {
        let (height, width) = source.size();
        if height.min(width) < config.patch as usize {
            notice(format!(
                "{}: slices of {height} × {width} pixels as the network sees them are smaller than a patch of {} × {}; \
                 they are padded by reflection",
                volume.images.info().path.display(),
                config.patch,
                config.patch
            ));
        }
    }
    Ok(Prepared {
        training,
        validation,
        normalisation,
        binning,
        voxel_type: first.voxel_type,
        voxel_size: first.voxel_size,
    })
}

/// Remarks on what the check found.
fn describe(set: &TrainingSet, training: &[Checked], validation: &[Checked], notice: &mut dyn FnMut(String)) {
    let all = set.training.iter().zip(training).chain(set.validation.iter().zip(validation));
    for (volume, checked) in all {
        let path = volume.labels.info().path.display();
        let known = checked.foreground + checked.background;
        if checked.foreground == 0 {
            notice(format!("{path}: no foreground in this volume"));
        } else if checked.background == 0 {
            notice(format!("{path}: no background in this volume"));
        }
        if checked.unknown > 0 {
            let share = 100.0 * known as f64 / (known + checked.unknown) as f64;
            notice(format!("{path}: {share:.1} % of the voxels are labelled; the others take no part"));
        }
    }
}

/// The coarsest of [`BINNINGS`] with which structures stay large enough to be told apart and the sections hold a patch.
///
/// A network that sees twice as far along each axis tells large structures from what resembles them, at a quarter of
/// the cost.
fn choose_binning(set: &TrainingSet, checks: &[Checked], patch: u32) -> Binning {
    let smallest = set.training.iter().map(|v| v.images.info().extent).map(|e| e.y.min(e.x)).min().unwrap_or(0);
    let finest = checks.iter().filter_map(|c| c.thickness).fold(f64::INFINITY, f64::min);
    let fits = |bin: u32| smallest >= u64::from(bin * patch) && finest / f64::from(bin) >= FINEST_PIECE;
    Binning::square(BINNINGS.into_iter().find(|&bin| fits(bin)).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::labelled;
    use deep3m_volume::Extent;

    fn chosen(side: u64, radius: i64) -> Binning {
        let label = move |i: deep3m_volume::Index| {
            let (y, x) = (i.y as i64 % 100 - 50, i.x as i64 % 100 - 50);
            u8::from(y * y + x * x <= radius * radius)
        };
        let set = TrainingSet {
            training: vec![labelled(Extent::new(1, side, side), |i| i.x as u8, label)],
            validation: Vec::new(),
        };
        let checks = [check(&set.training[0], None, None).unwrap()];
        choose_binning(&set, &checks, 128)
    }

    #[test]
    fn fine_structures_and_small_sections_are_not_binned() {
        assert_eq!(chosen(600, 20), Binning::square(2));
        assert_eq!(chosen(600, 5), Binning::NONE, "discs of 10 pixels");
        assert_eq!(chosen(200, 20), Binning::NONE, "sections smaller than two patches");
    }
}
