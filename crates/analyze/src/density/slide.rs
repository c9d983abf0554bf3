//! From numbers per plane to numbers per window.

use std::fmt;
use std::str::FromStr;

use deep3m_volume::{Region, VoxelSize};
use serde::Serialize;

use super::planes::PerPlane;
use super::{Counted, Density, DensityConfig};

/// An axis of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Axis {
    /// Sections.
    Z,
    /// Rows.
    Y,
    /// Columns.
    X,
}

impl Axis {
    /// z, y and x.
    pub const ALL: [Self; 3] = [Self::Z, Self::Y, Self::X];

    const fn at(self) -> usize {
        match self {
            Self::Z => 0,
            Self::Y => 1,
            Self::X => 2,
        }
    }
}

impl fmt::Display for Axis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(["z", "y", "x"][self.at()])
    }
}

impl FromStr for Axis {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|axis| axis.to_string() == text.trim());
        found.ok_or_else(|| format!("'{text}' found; expected z, y or x"))
    }
}

/// A window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DensityWindow {
    /// The axis it is moved along.
    pub axis: Axis,
    /// Its middle along this axis, in nm from the middle of the volume's first voxel.
    pub position_nm: f64,
    /// Its first plane, in the volume.
    pub first: u64,
    /// How many planes it has.
    pub planes: u64,
    /// Objects whose centroids it holds.
    pub objects: u64,
    /// Its tissue, or all of it without a mask, in voxels.
    pub tissue_voxels: u128,
    /// Objects' voxels in it; `None` of points.
    pub object_voxels: Option<u64>,
    /// Objects per mm³ of tissue; `None` where there is none.
    pub objects_per_mm3: Option<f64>,
    /// The share of the tissue that objects fill; `None` of points, or where there is no tissue.
    pub volume_fraction: Option<f64>,
}

impl Counted {
    pub(super) fn slide(
        &self,
        config: &DensityConfig,
        region: Region,
        size: VoxelSize,
        met: u64,
        outside_volume: u64,
    ) -> Density {
        let start = [region.start.z, region.start.y, region.start.x];
        let mut centroids = PerPlane::zeros(region.extent);
        for at in &self.middles {
            for (axis, at) in [at.z, at.y, at.x].into_iter().enumerate() {
                centroids.0[axis][(at - start[axis]) as usize] += 1;
            }
        }
        let pitch = [size.z_nm, size.y_nm, size.x_nm];
        let voxel_mm3 = pitch.iter().product::<f64>() * 1e-18;
        let sides = region.extent.to_array();
        let whole: u128 = sides.iter().map(|&side| u128::from(side)).product();
        let (mut windows, mut short_axes) = (Vec::new(), Vec::new());
        for &axis in &config.axes {
            let (at, side) = (axis.at(), sides[axis.at()]);
            let planes = |nm: f64| (nm / pitch[at]).round().max(1.0) as u64;
            let wide = planes(config.window_nm);
            if wide > side {
                short_axes.push(axis);
            }
            let wide = wide.min(side);
            let step = config.step_nm.map_or((wide / 4).max(1), planes);
            let objects = up_to(&centroids.0[at]);
            let filled = self.filled.as_ref().map(|filled| up_to(&filled.0[at]));
            let tissue = self.tissue.as_ref().map(|tissue| up_to(&tissue.0[at]));
            for first in places(side, wide, step) {
                let of = |sums: &Vec<u64>| sums[(first + wide) as usize] - sums[first as usize];
                let tissue_voxels = tissue
                    .as_ref()
                    .map_or(whole / u128::from(side) * u128::from(wide), |tissue| u128::from(of(tissue)));
                let share = |count: u64, of: f64| (tissue_voxels > 0).then(|| count as f64 / of);
                let object_voxels = filled.as_ref().map(of);
                windows.push(DensityWindow {
                    axis,
                    position_nm: ((start[at] + first) as f64 + (wide - 1) as f64 / 2.0) * pitch[at],
                    first: start[at] + first,
                    planes: wide,
                    objects: of(&objects),
                    tissue_voxels,
                    object_voxels,
                    objects_per_mm3: share(of(&objects), tissue_voxels as f64 * voxel_mm3),
                    volume_fraction: object_voxels.and_then(|voxels| share(voxels, tissue_voxels as f64)),
                });
            }
        }
        let sum = |planes: &PerPlane| planes.0[0].iter().sum::<u64>();
        let tissue = self.tissue.as_ref().map_or(whole, |tissue| u128::from(sum(tissue)));
        let objects = self.middles.len() as u64;
        let share = |count: u64, of: f64| (tissue > 0).then(|| count as f64 / of);
        Density {
            windows,
            objects,
            outside_tissue: met - objects,
            outside_volume,
            volume_mm3: tissue as f64 * voxel_mm3,
            objects_per_mm3: share(objects, tissue as f64 * voxel_mm3),
            volume_fraction: self.filled.as_ref().and_then(|filled| share(sum(filled), tissue as f64)),
            short_axes,
            voxel_size: size,
        }
    }
}

/// The sum of what is before each plane, and of all.
fn up_to(planes: &[u64]) -> Vec<u64> {
    let mut sum = 0;
    let mut sums = vec![0];
    sums.extend(planes.iter().map(|n| {
        sum += n;
        sum
    }));
    sums
}

/// The first planes of windows of an axis; the last window ends where the axis does, so that every plane is in one.
fn places(side: u64, wide: u64, step: u64) -> impl Iterator<Item = u64> {
    let last = side - wide;
    let rest = (!last.is_multiple_of(step)).then_some(last);
    (0..=last / step).map(move |i| i * step).chain(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_reach_from_end_to_end() {
        let places = |side, wide, step| places(side, wide, step).collect::<Vec<_>>();
        assert_eq!(places(10, 4, 2), [0, 2, 4, 6]);
        assert_eq!(places(10, 4, 4), [0, 4, 6]);
        assert_eq!(places(10, 10, 3), [0]);
        assert_eq!(places(5, 2, 100), [0, 3]);
    }

    #[test]
    fn axes_have_names() {
        assert_eq!(" y".parse(), Ok(Axis::Y));
        assert!("xy".parse::<Axis>().unwrap_err().contains("z, y or x"));
    }
}
