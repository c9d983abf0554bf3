//! What a model was trained on, so that it can be told later: a hash of all voxels.

use std::fmt::Write as _;

use deep3m_volume::{Region, Volume, Voxels};
use sha2::{Digest, Sha256};

use crate::TrainError;

/// SHA-256 of a volume's voxels in (z, y, x) order, 16- and 32-bit ones little-endian, in hexadecimal. It does not depend
/// on the format. Memory is that of a section.
pub(crate) fn sha256_of_voxels(volume: &dyn Volume) -> Result<String, TrainError> {
    let extent = volume.info().extent;
    let mut hash = Sha256::new();
    for z in 0..extent.z {
        match volume.read(Region::section(extent, z))?.voxels() {
            Voxels::U8(voxels) => hash.update(voxels),
            Voxels::U16(voxels) => voxels.iter().for_each(|v| hash.update(v.to_le_bytes())),
            Voxels::U32(voxels) => voxels.iter().for_each(|v| hash.update(v.to_le_bytes())),
            Voxels::I16(voxels) => voxels.iter().for_each(|v| hash.update(v.to_le_bytes())),
            Voxels::F32(voxels) => voxels.iter().for_each(|v| hash.update(v.to_le_bytes())),
            other => other.iter().for_each(|v| hash.update(v.to_le_bytes())),
        }
    }
    Ok(hash.finalize().iter().fold(String::with_capacity(64), |mut text, byte| {
        // Writing into a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Extent, Index};

    #[test]
    fn one_voxel_makes_the_difference() {
        let last = Index::new(1, 1, 2);
        let volume =
            |value: u8| crate::testing::volume("a", Extent::new(2, 2, 3), |at| if at == last { value } else { 7 });
        let hash = |value| sha256_of_voxels(volume(value).as_ref()).unwrap();
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
        assert_eq!(hash(1).len(), 64);
    }
}
