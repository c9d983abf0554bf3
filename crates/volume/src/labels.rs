//! Labels and probabilities that a file keeps as another kind of number.

use std::sync::Arc;

use crate::{Block, Extent, Index, Place, Region, Volume, VolumeError, VolumeInfo, VoxelType, Voxels};

/// A volume of labels: volumes with sign or of floating point (as MRC and HDF5 files have them) read as unsigned ones,
/// with an error at the first voxel that is no whole number from 0 on. Others stay as they are.
pub fn as_labels(volume: Arc<dyn Volume>) -> Arc<dyn Volume> {
    match volume.info().voxel_type {
        VoxelType::I16 => {
            converted(volume, VoxelType::U16, "a label (a whole number from 0 on)", |v| (v >= 0.0).then_some(v as u32))
        }
        VoxelType::F32 => converted(volume, VoxelType::U32, "a label (a whole number from 0 on)", |v| {
            // Above 2²⁴ not every whole number is there in 32-bit floating point.
            (v.fract() == 0.0 && (0.0..=16_777_216.0).contains(&v)).then_some(v as u32)
        }),
        _ => volume,
    }
}

/// A volume of probabilities: floating-point ones from 0 to 1 read as 16 bits (1 is 65535), with an error at the first
/// voxel that is no probability. Others stay as they are.
pub fn as_probabilities(volume: Arc<dyn Volume>) -> Arc<dyn Volume> {
    match volume.info().voxel_type {
        VoxelType::F32 => converted(volume, VoxelType::U16, "a probability (0 to 1)", |v| {
            (0.0..=1.0).contains(&v).then_some((v * 65535.0).round() as u32)
        }),
        _ => volume,
    }
}

/// A volume with each value turned into an unsigned one.
struct Converted {
    volume: Arc<dyn Volume>,
    info: VolumeInfo,
    expected: &'static str,
    convert: fn(f64) -> Option<u32>,
}

fn converted(
    volume: Arc<dyn Volume>,
    voxel_type: VoxelType,
    expected: &'static str,
    convert: fn(f64) -> Option<u32>,
) -> Arc<dyn Volume> {
    let info = VolumeInfo { voxel_type, ..volume.info().clone() };
    Arc::new(Converted { volume, info, expected, convert })
}

impl Converted {
    fn convert<T: TryFrom<u32>>(&self, region: Region, voxels: &Voxels) -> Result<Vec<T>, VolumeError> {
        let mut values = Vec::with_capacity(voxels.len());
        for i in 0..voxels.len() {
            let value = (self.convert)(voxels.value(i)).and_then(|v| T::try_from(v).ok());
            values.push(value.ok_or_else(|| {
                let Extent { y, x, .. } = region.extent;
                let (i, start) = (i as u64, region.start);
                let at = Index::new(start.z + i / (y * x), start.y + i / x % y, start.x + i % x);
                let place = Place::part(&self.info.path, format!("voxel {},{},{} (z,y,x)", at.z, at.y, at.x));
                VolumeError::malformed(place, format!("value {}", voxels.value(i as usize)), self.expected)
            })?);
        }
        Ok(values)
    }
}

impl Volume for Converted {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let block = self.volume.read(region)?;
        let voxels = match self.info.voxel_type {
            VoxelType::U16 => Voxels::U16(self.convert(region, block.voxels())?),
            _ => Voxels::U32(self.convert(region, block.voxels())?),
        };
        Ok(Block::new(region.extent, voxels))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Format;

    struct Memory(VolumeInfo, Block);

    impl Volume for Memory {
        fn info(&self) -> &VolumeInfo {
            &self.0
        }

        fn read(&self, region: Region) -> Result<Block, VolumeError> {
            Ok(self.1.crop(region))
        }
    }

    fn memory(voxels: Voxels) -> Arc<dyn Volume> {
        let extent = Extent::new(2, 1, voxels.len() as u64 / 2);
        let info = VolumeInfo {
            path: "v".into(),
            format: Format::OmeZarr,
            extent,
            voxel_type: voxels.voxel_type(),
            voxel_size: None,
            grain: extent,
        };
        Arc::new(Memory(info, Block::new(extent, voxels)))
    }

    fn read(volume: &dyn Volume) -> Result<Voxels, String> {
        volume.read(Region::whole(volume.info().extent)).map(Block::into_voxels).map_err(|e| e.to_string())
    }

    #[test]
    fn labels_of_every_type() {
        let signed = as_labels(memory(Voxels::I16(vec![0, 1, 255, i16::MAX])));
        assert_eq!(signed.info().voxel_type, VoxelType::U16);
        assert_eq!(read(signed.as_ref()), Ok(Voxels::U16(vec![0, 1, 255, 32767])));
        let float = as_labels(memory(Voxels::F32(vec![0.0, 1.0, 70_000.0, -0.0])));
        assert_eq!(read(float.as_ref()), Ok(Voxels::U32(vec![0, 1, 70_000, 0])));
        let bytes = as_labels(memory(Voxels::U8(vec![3, 4])));
        assert_eq!(read(bytes.as_ref()), Ok(Voxels::U8(vec![3, 4])));
    }

    #[test]
    fn what_is_no_label_is_named_with_its_place() {
        for bad in [-1.0, 0.5, f32::NAN, 1e9] {
            let error = read(as_labels(memory(Voxels::F32(vec![0.0, 1.0, 2.0, bad]))).as_ref()).unwrap_err();
            assert!(error.contains("voxel 1,0,1") && error.contains(&format!("value {bad}")), "{error}");
        }
        assert!(read(as_labels(memory(Voxels::I16(vec![0, -1]))).as_ref()).unwrap_err().contains("value -1"));
    }

    #[test]
    fn probabilities_keep_their_scale() {
        let float = as_probabilities(memory(Voxels::F32(vec![0.0, 0.5, 1.0, 1e-6])));
        assert_eq!(read(float.as_ref()), Ok(Voxels::U16(vec![0, 32768, 65535, 0])));
        assert!(read(as_probabilities(memory(Voxels::F32(vec![0.0, 255.0]))).as_ref()).is_err());
    }
}
