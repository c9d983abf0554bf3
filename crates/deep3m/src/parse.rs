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

/// A length, as it is typed: in nm, µm, or mm, or in voxels.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Length {
    /// In nanometres.
    Nm(f64),
    /// In voxels; in the plane, where sections are thicker than voxels are wide.
    Voxels(f64),
}

impl Length {
    /// In nanometres, where the size of voxels is known or not needed; `option` is what was given, for the message.
    pub(crate) fn nm(self, size: Option<VoxelSize>, option: &str) -> miette::Result<f64> {
        match (self, size) {
            (Self::Nm(nm), _) => Ok(nm),
            (Self::Voxels(voxels), Some(size)) => Ok(voxels * (size.y_nm + size.x_nm) / 2.0),
            (Self::Voxels(_), None) => miette::bail!("{option}: {NO_SIZE}"),
        }
    }

    /// In voxels of the plane.
    pub(crate) fn voxels(self, size: Option<VoxelSize>, option: &str) -> miette::Result<f64> {
        match (self, size) {
            (Self::Voxels(voxels), _) => Ok(voxels),
            (Self::Nm(nm), Some(size)) => Ok(nm * 2.0 / (size.y_nm + size.x_nm)),
            (Self::Nm(_), None) => miette::bail!("{option}: {NO_SIZE}"),
        }
    }
}

const NO_SIZE: &str =
    "a length needs the size of voxels, which the volume does not state. Give --voxel-size z,y,x in nm";

/// `40nm`, `20um`, `20µm`, `0.1mm` or `12vx`, above 0.
pub(crate) fn length(text: &str) -> Result<Length, String> {
    let fail =
        || format!("'{text}' found; expected a length above 0 with its unit: 40nm, 20um, 0.1mm, or 12vx (voxels)");
    let lower = text.trim().to_lowercase().replace(['µ', 'μ'], "u");
    let (number, unit): (&str, fn(f64) -> Length) = if let Some(number) = lower.strip_suffix("nm") {
        (number, Length::Nm)
    } else if let Some(number) = lower.strip_suffix("um") {
        (number, |v| Length::Nm(v * 1e3))
    } else if let Some(number) = lower.strip_suffix("mm") {
        (number, |v| Length::Nm(v * 1e6))
    } else if let Some(number) = lower.strip_suffix("vx") {
        (number, Length::Voxels)
    } else {
        return Err(fail());
    };
    positive(number.trim()).map(unit).map_err(|_| fail())
}

/// As [`length`]; also 0.
pub(crate) fn length_or_none(text: &str) -> Result<Length, String> {
    let number = text.trim().trim_end_matches(|letter: char| letter.is_alphabetic());
    match number.trim().parse::<f64>() {
        // Any length with its unit, to hear of a missing one.
        Ok(0.0) => length(&text.replacen(number, "1", 1)).map(|_| Length::Nm(0.0)),
        _ => length(text),
    }
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
    fn lengths_have_units() {
        assert_eq!(length("40nm"), Ok(Length::Nm(40.0)));
        assert_eq!(length(" 20 µm"), Ok(Length::Nm(20_000.0)));
        assert_eq!(length("0.5MM"), Ok(Length::Nm(500_000.0)));
        assert_eq!(length("12vx"), Ok(Length::Voxels(12.0)));
        for text in ["40", "nm", "-3nm", "3 km", "infnm"] {
            assert!(length(text).unwrap_err().contains("40nm"), "{text}");
        }
        assert_eq!(length_or_none("0nm"), Ok(Length::Nm(0.0)));
        assert_eq!(length_or_none("0.0 vx"), Ok(Length::Nm(0.0)));
        assert_eq!(length_or_none("30nm"), Ok(Length::Nm(30.0)));
        assert!(length_or_none("0").is_err() && length_or_none("-1nm").is_err() && length_or_none("nm").is_err());
        let size = VoxelSize::new(30.0, 8.0, 8.0);
        assert_eq!(Length::Voxels(5.0).nm(size, "--diameter").unwrap(), 40.0);
        assert_eq!(Length::Nm(40.0).voxels(size, "--diameter").unwrap(), 5.0);
        assert!(Length::Nm(40.0).voxels(None, "--diameter").unwrap_err().to_string().contains("--voxel-size"));
    }

    #[test]
    fn numbers() {
        assert_eq!(fraction("0.5"), Ok(0.5));
        assert!(fraction("1.5").is_err());
        assert!(positive("0").is_err());
        assert!(positive("inf").is_err());
    }
}
