//! The volume of an object, as it is typed.

use std::str::FromStr;

use deep3m_volume::VoxelSize;
use miette::Result;

use crate::parse;

/// A volume of an object.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Size {
    Voxels(u64),
    CubicMicrometres(f64),
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fail = || format!("'{text}' found; expected a number of voxels (200) or a volume (0.001um3)");
        let lower = text.trim().to_lowercase().replace('µ', "u").replace('³', "3");
        match lower.strip_suffix("um3") {
            Some(number) => Ok(Self::CubicMicrometres(parse::positive(number.trim()).map_err(|_| fail())?)),
            None => lower.parse().map(Self::Voxels).map_err(|_| fail()),
        }
    }
}

impl Size {
    /// In voxels; `round` says which way a part of one counts.
    pub(crate) fn voxels(self, size: Option<VoxelSize>, round: fn(f64) -> f64) -> Result<u64> {
        match (self, size) {
            (Self::Voxels(voxels), _) => Ok(voxels),
            (Self::CubicMicrometres(volume), Some(size)) => Ok(round(volume / voxel_um3(size)) as u64),
            (Self::CubicMicrometres(_), None) => {
                miette::bail!(
                    "a size in µm³: the volume does not state how large its voxels are. Give --voxel-size z,y,x in nm, or \
                     a number of voxels"
                )
            }
        }
    }
}

/// The volume of a voxel in µm³.
pub(crate) fn voxel_um3(size: VoxelSize) -> f64 {
    size.z_nm * size.y_nm * size.x_nm / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_voxels_or_volumes() {
        let size = VoxelSize::new(30.0, 10.0, 10.0);
        assert_eq!("200".parse(), Ok(Size::Voxels(200)));
        for text in ["0.003um3", "0.003 µm³", "3e-3UM3"] {
            let volume: Size = text.parse().unwrap();
            assert_eq!(volume.voxels(size, f64::ceil).unwrap(), 1000, "{text}");
        }
        assert!(
            "0.003um3"
                .parse::<Size>()
                .unwrap()
                .voxels(None, f64::ceil)
                .unwrap_err()
                .to_string()
                .contains("--voxel-size")
        );
        for text in ["", "um3", "-3um3", "1.5", "3nm"] {
            assert!(text.parse::<Size>().unwrap_err().contains("0.001um3"), "{text}");
        }
    }
}
