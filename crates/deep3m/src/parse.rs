//! What is typed into what it means.

use std::str::FromStr;

use deep3m_volume::{Extent, VoxelSize};

/// `z,y,x` as a size in voxels, each at least 1.
pub(crate) fn extent(text: &str) -> Result<Extent, String> {
    let [z, y, x] = three::<u64>(text)?;
    if z == 0 || y == 0 || x == 0 {
        return Err(format!("{text} has no voxels; each of z,y,x must be at least 1"));
    }
    Ok(Extent::new(z, y, x))
}

/// `z,y,x` as a voxel size in nanometres.
pub(crate) fn voxel_size(text: &str) -> Result<VoxelSize, String> {
    let [z, y, x] = three::<f64>(text)?;
    VoxelSize::new(z, y, x).ok_or_else(|| format!("{text} is no voxel size; give three lengths above 0, in nm"))
}

fn three<T: FromStr>(text: &str) -> Result<[T; 3], String> {
    let fail = || format!("'{text}' found; expected three numbers z,y,x, for example 30,8,8");
    let parts: Vec<T> = text.split(',').map(|p| p.trim().parse().map_err(|_| fail())).collect::<Result<_, _>>()?;
    parts.try_into().map_err(|_| fail())
}

/// A number from 0 to 1.
pub(crate) fn fraction(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&value) => Ok(value),
        _ => Err(format!("'{text}' found; expected a number from 0 to 1")),
    }
}

/// A number above 0.
pub(crate) fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("'{text}' found; expected a number above 0")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(extent("2, 3,4"), Ok(Extent::new(2, 3, 4)));
        assert!(extent("2,3").is_err());
        assert!(extent("2,0,4").is_err());
        assert!(extent("a,3,4").is_err());
        assert!(voxel_size("30,8,8").is_ok());
        assert!(voxel_size("30,8,nan").is_err());
    }

    #[test]
    fn numbers() {
        assert_eq!(fraction("0.5"), Ok(0.5));
        assert!(fraction("1.5").is_err());
        assert!(positive("0").is_err());
        assert!(positive("inf").is_err());
    }
}
