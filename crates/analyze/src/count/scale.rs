//! The grid on which objects of a diameter are looked for.

use deep3m_volume::{Extent, VoxelSize};

use crate::AnalyzeError;

/// Voxels that an object of the given diameter is made to span at least, where voxels are averaged to make it quick.
const SPAN: f64 = 7.0;

/// Voxels of the volume, averaged in boxes so that an object spans some of them and not hundreds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Scale {
    /// The objects' diameter, in the unit of `size`.
    pub(super) diameter: f64,
    /// A voxel of the volume along z, y and x.
    pub(super) size: [f64; 3],
    /// How many of them are averaged.
    pub(super) bins: [u64; 3],
}

impl Scale {
    /// For a diameter, where a volume, or the part that is looked at, has this extent.
    ///
    /// # Errors
    /// A diameter that is less than two pixels or more than the volume's longest side.
    pub(super) fn new(diameter: f64, size: VoxelSize, extent: Extent) -> Result<Self, AnalyzeError> {
        let size = [size.z_nm, size.y_nm, size.x_nm];
        let least = 2.0 * size[1].max(size[2]);
        let sides = extent.to_array();
        let most = (0..3).map(|i| sides[i] as f64 * size[i]).fold(0.0, f64::max).max(least);
        if !(least..=most).contains(&diameter) {
            return Err(AnalyzeError::Setting {
                name: "diameter",
                found: format!("{diameter:.4} nm"),
                expected: format!("two pixels of a section ({least:.4} nm) to the longest side ({most:.4} nm)"),
            });
        }
        // Not more than the side: a box of voxels may be larger than a thin volume.
        let bins = [0, 1, 2].map(|i| ((diameter / (SPAN * size[i])) as u64).clamp(1, sides[i].max(1)));
        Ok(Self { diameter, size, bins })
    }

    /// The size of an averaged voxel.
    pub(super) fn pitch(&self) -> [f64; 3] {
        [0, 1, 2].map(|i| self.size[i] * self.bins[i] as f64)
    }

    pub(super) fn radius(&self) -> f64 {
        self.diameter / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_spans_some_voxels_and_not_hundreds() {
        let size = VoxelSize::new(30.0, 8.0, 8.0).unwrap();
        let extent = Extent::new(400, 4000, 4000);
        assert_eq!(Scale::new(40.0, size, extent).unwrap().bins, [1, 1, 1]);
        let large = Scale::new(5000.0, size, extent).unwrap();
        assert_eq!(large.bins, [23, 89, 89]);
        for wrong in [0.0, 15.0, 40_000.0, f64::NAN, f64::INFINITY] {
            let error = Scale::new(wrong, size, extent).unwrap_err().to_string();
            assert!(error.contains("two pixels of a section (16.0000 nm)"), "{error}");
        }
    }
}
