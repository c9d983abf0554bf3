//! Numbers as files hold them, and the voxels that become of them.

use crate::{VoxelType, Voxels};

/// A number type of a file. Those that no voxel type has become the next one that holds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stored {
    U8,
    /// Read as 16 bits with sign.
    I8,
    U16,
    I16,
    U32,
    /// Labels: read as 32 bits without sign, a negative one is an error.
    I32,
    /// Labels: read as 32 bits, a larger one is an error.
    U64,
    /// Labels: read as 32 bits without sign, others are errors.
    I64,
    /// IEEE 754 binary16, read as 32 bits.
    F16,
    F32,
    /// Rounded to 32 bits.
    F64,
}

/// A number that its voxel type cannot hold, in words.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DoesNotFit(pub(super) String);

impl Stored {
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::U8 | Self::I8 => 1,
            Self::U16 | Self::I16 | Self::F16 => 2,
            Self::U32 | Self::I32 | Self::F32 => 4,
            Self::U64 | Self::I64 | Self::F64 => 8,
        }
    }

    /// The type of the voxels.
    pub(super) const fn voxel_type(self) -> VoxelType {
        match self {
            Self::U8 => VoxelType::U8,
            Self::U16 => VoxelType::U16,
            Self::I8 | Self::I16 => VoxelType::I16,
            Self::U32 | Self::I32 | Self::U64 | Self::I64 => VoxelType::U32,
            Self::F16 | Self::F32 | Self::F64 => VoxelType::F32,
        }
    }

    /// Turns bytes into the voxels from `at` on.
    ///
    /// # Panics
    /// If the voxels are of another type than [`Self::voxel_type`], or too few.
    pub(super) fn decode(self, voxels: &mut Voxels, at: usize, bytes: &[u8], big: bool) -> Result<(), DoesNotFit> {
        let len = bytes.len() / self.bytes();
        match (self, voxels) {
            (Self::U8, Voxels::U8(v)) => v[at..at + len].copy_from_slice(&bytes[..len]),
            (Self::I8, Voxels::I16(v)) => each(&mut v[at..at + len], bytes, big, |[b]: [u8; 1]| b.cast_signed().into()),
            (Self::U16, Voxels::U16(v)) => each(&mut v[at..at + len], bytes, big, u16::from_le_bytes),
            (Self::I16, Voxels::I16(v)) => each(&mut v[at..at + len], bytes, big, i16::from_le_bytes),
            (Self::U32, Voxels::U32(v)) => each(&mut v[at..at + len], bytes, big, u32::from_le_bytes),
            (Self::I32, Voxels::U32(v)) => return labels(&mut v[at..at + len], bytes, big, i32::from_le_bytes),
            (Self::U64, Voxels::U32(v)) => return labels(&mut v[at..at + len], bytes, big, u64::from_le_bytes),
            (Self::I64, Voxels::U32(v)) => return labels(&mut v[at..at + len], bytes, big, i64::from_le_bytes),
            (Self::F16, Voxels::F32(v)) => each(&mut v[at..at + len], bytes, big, |b| half(u16::from_le_bytes(b))),
            (Self::F32, Voxels::F32(v)) => each(&mut v[at..at + len], bytes, big, f32::from_le_bytes),
            (Self::F64, Voxels::F32(v)) => each(&mut v[at..at + len], bytes, big, |b| f64::from_le_bytes(b) as f32),
            (stored, voxels) => panic!("{stored:?} into {} voxels", voxels.voxel_type()),
        }
        Ok(())
    }
}

/// The bytes of one number, least significant first.
fn little<const N: usize>(bytes: &[u8], big: bool) -> [u8; N] {
    let mut number = [0; N];
    number.copy_from_slice(bytes);
    if big {
        number.reverse();
    }
    number
}

fn each<T, const N: usize>(voxels: &mut [T], bytes: &[u8], big: bool, number: impl Fn([u8; N]) -> T) {
    for (voxel, bytes) in voxels.iter_mut().zip(bytes.chunks_exact(N)) {
        *voxel = number(little(bytes, big));
    }
}

fn labels<T: TryInto<u32> + Copy + std::fmt::Display, const N: usize>(
    voxels: &mut [u32],
    bytes: &[u8],
    big: bool,
    number: impl Fn([u8; N]) -> T,
) -> Result<(), DoesNotFit> {
    for (voxel, bytes) in voxels.iter_mut().zip(bytes.chunks_exact(N)) {
        let label = number(little(bytes, big));
        *voxel = label.try_into().map_err(|_| DoesNotFit(label.to_string()))?;
    }
    Ok(())
}

/// IEEE 754 binary16.
fn half(bits: u16) -> f32 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let fraction = f32::from(bits & 0x3ff);
    sign * match bits >> 10 & 0x1f {
        0 => fraction * 2_f32.powi(-24),
        31 if fraction == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        exponent => (1024.0 + fraction) * 2_f32.powi(i32::from(exponent) - 25),
    }
}

/// Voxels as bytes, least significant first.
pub(super) fn to_bytes(voxels: &Voxels) -> Vec<u8> {
    match voxels {
        Voxels::U8(v) => v.clone(),
        Voxels::U16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Voxels::U32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Voxels::I16(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Voxels::F32(v) => v.iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(stored: Stored, bytes: &[u8], big: bool) -> Result<Voxels, DoesNotFit> {
        let mut voxels = Voxels::zeros(stored.voxel_type(), 1);
        stored.decode(&mut voxels, 0, bytes, big).map(|()| voxels)
    }

    #[test]
    fn numbers_keep_their_values() {
        assert_eq!(one(Stored::I8, &[0x80], false), Ok(Voxels::I16(vec![-128])));
        assert_eq!(one(Stored::U16, &[1, 2], true), Ok(Voxels::U16(vec![0x102])));
        assert_eq!(one(Stored::I16, &[0xfe, 0xff], false), Ok(Voxels::I16(vec![-2])));
        assert_eq!(one(Stored::F64, &1.5_f64.to_be_bytes(), true), Ok(Voxels::F32(vec![1.5])));
        assert_eq!(one(Stored::U64, &7_u64.to_le_bytes(), false), Ok(Voxels::U32(vec![7])));
        let beyond = (1_u64 << 32).to_le_bytes();
        assert_eq!(one(Stored::U64, &beyond, false), Err(DoesNotFit("4294967296".into())));
        assert_eq!(one(Stored::I32, &(-1_i32).to_le_bytes(), false), Err(DoesNotFit("-1".into())));
    }

    /// Values from IEEE 754's table of binary16.
    #[test]
    fn halves() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 2_f32.powi(-24)),
            (0x0400, 2_f32.powi(-14)),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
            (0x8000, 0.0),
        ] {
            assert_eq!(half(bits), value, "{bits:#x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
