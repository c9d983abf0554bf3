//! What a voxel is: its type and its physical size.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The number type of a volume's voxels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum VoxelType {
    /// 8-bit grey or labels.
    U8,
    /// 16-bit grey or labels.
    U16,
    /// 32-bit labels.
    U32,
    /// 16-bit grey with sign, as X-ray tomographs and MRC files have it.
    I16,
    /// Floating-point grey (reconstructions, denoised images) or probabilities.
    F32,
}

impl VoxelType {
    /// Every type.
    pub const ALL: [Self; 5] = [Self::U8, Self::U16, Self::U32, Self::I16, Self::F32];

    /// Bytes per voxel.
    pub const fn bytes(self) -> usize {
        match self {
            Self::U8 => 1,
            Self::U16 | Self::I16 => 2,
            Self::U32 | Self::F32 => 4,
        }
    }

    /// The value that stands for white, or for a probability of 1: the largest integer, 1 in floating point.
    pub const fn full_scale(self) -> f32 {
        match self {
            Self::U8 => u8::MAX as f32,
            Self::U16 => u16::MAX as f32,
            Self::U32 => u32::MAX as f32,
            Self::I16 => i16::MAX as f32,
            Self::F32 => 1.0,
        }
    }

    /// Whether all values are whole numbers from 0 on, as labels are. Others become labels through
    /// [`as_labels`](crate::as_labels).
    pub const fn is_unsigned(self) -> bool {
        matches!(self, Self::U8 | Self::U16 | Self::U32)
    }

    /// Whether voxels of this type can be grey values: all but 32-bit labels.
    pub const fn is_grey(self) -> bool {
        !matches!(self, Self::U32)
    }
}

impl fmt::Display for VoxelType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::U8 => "8-bit",
            Self::U16 => "16-bit",
            Self::U32 => "32-bit",
            Self::I16 => "16-bit signed",
            Self::F32 => "32-bit floating-point",
        })
    }
}

/// The size of one voxel, in nanometres.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct VoxelSize {
    /// Section thickness in nm.
    pub z_nm: f64,
    /// Row pitch in nm.
    pub y_nm: f64,
    /// Column pitch in nm.
    pub x_nm: f64,
}

impl VoxelSize {
    /// The size (z, y, x) in nm; `None` unless all three are finite and above zero.
    pub fn new(z_nm: f64, y_nm: f64, x_nm: f64) -> Option<Self> {
        [z_nm, y_nm, x_nm].iter().all(|v| v.is_finite() && *v > 0.0).then_some(Self { z_nm, y_nm, x_nm })
    }

    /// The size from a file's units, without the noise that converting them leaves (4.6000000000000005): rounded to
    /// 10⁻⁶ nm.
    pub(crate) fn converted(z_nm: f64, y_nm: f64, x_nm: f64) -> Option<Self> {
        let round = |nm: f64| (nm * 1e6).round() / 1e6;
        Self::new(round(z_nm), round(y_nm), round(x_nm))
    }

    /// Section thickness over the mean in-plane pitch: 1 for isotropic voxels.
    pub fn anisotropy(&self) -> f64 {
        2.0 * self.z_nm / (self.y_nm + self.x_nm)
    }
}

impl fmt::Display for VoxelSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {} × {} nm (z × y × x)", self.z_nm, self.y_nm, self.x_nm)
    }
}

/// Voxels in memory, row-major (z, y, x), x fastest.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Voxels {
    /// 8-bit voxels.
    U8(Vec<u8>),
    /// 16-bit voxels.
    U16(Vec<u16>),
    /// 32-bit voxels.
    U32(Vec<u32>),
    /// 16-bit voxels with sign.
    I16(Vec<i16>),
    /// Floating-point voxels.
    F32(Vec<f32>),
}

impl Voxels {
    /// `len` voxels of value 0.
    pub fn zeros(voxel_type: VoxelType, len: usize) -> Self {
        match voxel_type {
            VoxelType::U8 => Self::U8(vec![0; len]),
            VoxelType::U16 => Self::U16(vec![0; len]),
            VoxelType::U32 => Self::U32(vec![0; len]),
            VoxelType::I16 => Self::I16(vec![0; len]),
            VoxelType::F32 => Self::F32(vec![0.0; len]),
        }
    }

    /// Their type.
    pub const fn voxel_type(&self) -> VoxelType {
        match self {
            Self::U8(_) => VoxelType::U8,
            Self::U16(_) => VoxelType::U16,
            Self::U32(_) => VoxelType::U32,
            Self::I16(_) => VoxelType::I16,
            Self::F32(_) => VoxelType::F32,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::F32(v) => v.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The voxels as `f32`, unscaled (32-bit labels above 2²⁴ lose their last digits).
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::U8(v) => v.iter().map(|&x| f32::from(x)).collect(),
            Self::U16(v) => v.iter().map(|&x| f32::from(x)).collect(),
            Self::U32(v) => v.iter().map(|&x| x as f32).collect(),
            Self::I16(v) => v.iter().map(|&x| f32::from(x)).collect(),
            Self::F32(v) => v.clone(),
        }
    }

    /// The value of voxel `i`, exact for every type.
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`].
    pub fn value(&self, i: usize) -> f64 {
        match self {
            Self::U8(v) => v[i].into(),
            Self::U16(v) => v[i].into(),
            Self::U32(v) => v[i].into(),
            Self::I16(v) => v[i].into(),
            Self::F32(v) => v[i].into(),
        }
    }

    /// The value of voxel `i` as a label; what is no whole number from 0 on is cut to one (see [`crate::as_labels`]).
    ///
    /// # Panics
    /// If `i` is not below [`Self::len`].
    pub fn get(&self, i: usize) -> u32 {
        match self {
            Self::U8(v) => v[i].into(),
            Self::U16(v) => v[i].into(),
            Self::U32(v) => v[i],
            Self::I16(v) => u32::try_from(v[i]).unwrap_or(0),
            Self::F32(v) => v[i] as u32,
        }
    }

    /// All values in order, as labels: as [`Self::get`] gives them.
    pub fn iter(&self) -> Box<dyn Iterator<Item = u32> + '_> {
        match self {
            Self::U8(v) => Box::new(v.iter().map(|&x| u32::from(x))),
            Self::U16(v) => Box::new(v.iter().map(|&x| u32::from(x))),
            Self::U32(v) => Box::new(v.iter().copied()),
            Self::I16(v) => Box::new(v.iter().map(|&x| u32::try_from(x).unwrap_or(0))),
            Self::F32(v) => Box::new(v.iter().map(|&x| x as u32)),
        }
    }

    /// Copies `len` voxels from `source` at `from` to `self` at `to`.
    ///
    /// # Panics
    /// If the types differ or a range lies outside.
    pub fn copy_run(&mut self, to: usize, source: &Self, from: usize, len: usize) {
        match (self, source) {
            (Self::U8(a), Self::U8(b)) => a[to..to + len].copy_from_slice(&b[from..from + len]),
            (Self::U16(a), Self::U16(b)) => a[to..to + len].copy_from_slice(&b[from..from + len]),
            (Self::U32(a), Self::U32(b)) => a[to..to + len].copy_from_slice(&b[from..from + len]),
            (Self::I16(a), Self::I16(b)) => a[to..to + len].copy_from_slice(&b[from..from + len]),
            (Self::F32(a), Self::F32(b)) => a[to..to + len].copy_from_slice(&b[from..from + len]),
            (a, b) => panic!("copy of {} voxels into {} voxels", b.voxel_type(), a.voxel_type()),
        }
    }
}

impl<'a> IntoIterator for &'a Voxels {
    type Item = u32;
    type IntoIter = Box<dyn Iterator<Item = u32> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_voxel_size_is_finite_and_positive() {
        assert!(VoxelSize::new(30.0, 5.0, 5.0).is_some());
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(VoxelSize::new(30.0, bad, 5.0).is_none(), "{bad}");
        }
        assert_eq!(VoxelSize::new(30.0, 4.0, 6.0).unwrap().anisotropy(), 6.0);
    }
}
