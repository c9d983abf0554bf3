//! Grey values as the models know them.
//!
//! A volume of the type that the models were trained on is normalised exactly as in training. Another bit depth has
//! another scale: then the volume's own percentiles take the place of the training volumes'. They come from sections
//! spread evenly over the whole volume, whatever region is predicted.

use deep3m_net::{Normalisation, NormalisationError};
use deep3m_volume::{Extent, Greys, Index, Place, Region, Volume, VolumeError, VoxelType};
use serde_json::{Value, json};

use crate::PredictError;

/// Sections that percentiles are taken from.
const SECTIONS: u64 = 16;
/// Voxels read at once.
const STRIP: u64 = 1 << 25;
/// Percentiles that become the ends of the range: dust and empty borders are left out.
const PERCENT: [f64; 2] = [1.0, 99.0];

/// Changes grey values in place.
pub(crate) type Normalise = dyn Fn(&mut [f32]) + Send + Sync;

/// How a volume's grey values are brought to what the models were trained on.
pub(crate) struct Grey {
    /// In place, on binned grey values.
    pub(crate) apply: Box<Normalise>,
    /// What it is, to be written beside the output.
    pub(crate) description: Value,
    /// What the user should know about it.
    pub(crate) notice: Option<String>,
}

impl Grey {
    /// For a volume, given how training normalised and what type of voxels it saw.
    pub(crate) fn of(
        volume: &dyn Volume,
        training: Normalisation,
        trained_on: VoxelType,
    ) -> Result<Self, PredictError> {
        let info = volume.info();
        if info.voxel_type == trained_on {
            let apply = Box::new(move |values: &mut [f32]| training.apply(values));
            return Ok(Self { apply, description: json!(training), notice: None });
        }
        let failed = |source: NormalisationError| PredictError::Normalisation { path: info.path.clone(), source };
        let nothing = || failed(NormalisationError { low: f32::NAN, high: f32::NAN });
        let percentiles = greys(volume)?.percentiles(PERCENT).ok_or_else(nothing)?;
        let own = Normalisation::between_percentiles(percentiles).map_err(failed)?;
        let Normalisation::Range { low, high } = own else { return Err(nothing()) };
        let notice = format!(
            "{}: {} voxels, the model was trained on {}: normalised by the volume's own percentiles, \
             {low} to {high} (1 % to 99 %)",
            info.path.display(),
            info.voxel_type,
            trained_on
        );
        let apply: Box<Normalise> = match training {
            // A model of raw values knows the scale of its own bit depth.
            Normalisation::Raw => {
                let (full, scale) = (trained_on.full_scale(), trained_on.full_scale() / (high - low));
                // `clamp` would keep NaN.
                #[allow(clippy::manual_clamp)]
                let stretch = move |v: &mut f32| *v = ((*v - low) * scale).max(0.0).min(full);
                Box::new(move |values| values.iter_mut().for_each(stretch))
            }
            Normalisation::Range { .. } => Box::new(move |values| own.apply(values)),
        };
        let description = json!({ "training": training, "percentiles": own });
        Ok(Self { apply, description, notice: Some(notice) })
    }
}

/// The grey values of sections spread evenly over a volume.
fn greys(volume: &dyn Volume) -> Result<Greys, PredictError> {
    let info = volume.info();
    let extent = info.extent;
    let sections = extent.z.min(SECTIONS);
    let expected = sections.saturating_mul(extent.y).saturating_mul(extent.x);
    let mut greys = Greys::new(info.voxel_type, expected).ok_or_else(|| {
        PredictError::Volume(VolumeError::Unsupported {
            place: Place::file(&info.path),
            found: format!("{} voxels", info.voxel_type),
            expected: "a grey image: 8 or 16 bits, or floating point".to_owned(),
            hint: "Is this a label volume? Give the images.".to_owned(),
        })
    })?;
    let rows = (STRIP / extent.x.max(1)).clamp(1, extent.y.max(1));
    for i in 0..sections {
        // The middles of equal parts: 0 … z − 1 for as many sections as there are.
        let section = Region::section(extent, (2 * i + 1) * extent.z / (2 * sections));
        for strip in section.tiles(Extent::new(1, rows, extent.x)) {
            if !greys.add(volume.read(strip)?.voxels()) {
                return Err(wrong_type(volume, strip.start));
            }
        }
    }
    Ok(greys)
}

/// A volume whose blocks are not of the type that it says.
fn wrong_type(volume: &dyn Volume, at: Index) -> PredictError {
    let place = Place::part(&volume.info().path, format!("section {}", at.z));
    VolumeError::malformed(place, "voxels of another type", volume.info().voxel_type.to_string()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::MemoryVolume;
    use deep3m_volume::Voxels;

    /// Grey values 0 to 199 in each section, as 16-bit voxels from 1000 on.
    fn sixteen_bit() -> MemoryVolume {
        let extent = Extent::new(40, 10, 20);
        MemoryVolume::new(extent, Voxels::U16((0..extent.len()).map(|i| 1000 + (i % 200) as u16).collect()))
    }

    #[test]
    fn the_same_type_is_normalised_as_in_training() {
        let training = Normalisation::Range { low: 100.0, high: 200.0 };
        let grey = Grey::of(&MemoryVolume::ramp(Extent::new(1, 2, 3)), training, VoxelType::U8).unwrap();
        let mut values = [100.0, 200.0];
        (grey.apply)(&mut values);
        assert_eq!((values, grey.notice), ([-1.0, 1.0], None));
    }

    #[test]
    fn another_bit_depth_by_its_own_percentiles_and_said() {
        let volume = sixteen_bit();
        let training = Normalisation::Range { low: 100.0, high: 200.0 };
        let grey = Grey::of(&volume, training, VoxelType::U8).unwrap();
        let mut values = [1001.0, 1099.0, 1197.0];
        (grey.apply)(&mut values);
        assert_eq!(values, [-1.0, 0.0, 1.0]);
        let notice = grey.notice.unwrap();
        assert!(notice.contains("16-bit") && notice.contains("8-bit") && notice.contains("1001 to 1197"), "{notice}");
        // A model of raw 8-bit values gets 0 to 255.
        let grey = Grey::of(&volume, Normalisation::Raw, VoxelType::U8).unwrap();
        let mut values = [1001.0, 1099.0, 1197.0, 5000.0];
        (grey.apply)(&mut values);
        assert_eq!(values, [0.0, 127.5, 255.0, 255.0]);
    }

    #[test]
    fn labels_are_no_images() {
        let extent = Extent::new(1, 2, 2);
        let labels = MemoryVolume::new(extent, Voxels::U32(vec![7; 4]));
        let error = Grey::of(&labels, Normalisation::Raw, VoxelType::U8).err().unwrap().to_string();
        assert!(error.contains("32-bit") && error.contains("label"), "{error}");
    }

    #[test]
    fn every_section_of_a_short_volume_counts_once() {
        let volume = MemoryVolume::ramp(Extent::new(5, 1, 2));
        // Of the values 0 to 9 each tenth is one value.
        let tenths = greys(&volume).unwrap().percentiles([10.0, 20.0, 50.0, 90.0, 100.0]).unwrap();
        assert_eq!(tenths, [0.0, 1.0, 4.0, 8.0, 9.0]);
    }

    #[test]
    fn floating_point_and_signed_volumes_by_their_own_percentiles() {
        let extent = Extent::new(2, 10, 10);
        let training = Normalisation::Range { low: 100.0, high: 200.0 };
        for voxels in [
            Voxels::F32((0..200).map(|i| i as f32 / 100.0 - 1.0).collect()),
            Voxels::I16((0..200).map(|i| i - 100).collect()),
        ] {
            let scale = if matches!(voxels, Voxels::F32(_)) { 0.01 } else { 1.0 };
            let grey = Grey::of(&MemoryVolume::new(extent, voxels), training, VoxelType::U8).unwrap();
            let mut values = [-99.0 * scale, -0.5 * scale, 97.0 * scale, f32::NAN];
            (grey.apply)(&mut values);
            let expected = [-1.0, 0.005, 1.0, -1.5];
            assert!(values.iter().zip(expected).all(|(v, e)| (v - e).abs() < 0.01), "{values:?}");
        }
    }
}
