//! Which levels a volume gets.

use crate::{Extent, VoxelSize};

/// A level of a volume, made from the level before it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Its size in voxels.
    pub extent: Extent,
    /// The size of its voxels, where known.
    pub voxel_size: Option<VoxelSize>,
    /// How many voxels of the level before become one of this; 1 × 1 × 1 for the first.
    pub window: Extent,
    /// How many voxels of the first level become one of this.
    pub factor: Extent,
}

impl Level {
    /// A volume's first level: itself.
    pub const fn first(extent: Extent, voxel_size: Option<VoxelSize>) -> Self {
        let one = Extent::new(1, 1, 1);
        Self { extent, voxel_size, window: one, factor: one }
    }

    /// The level after this one.
    ///
    /// The axes with the finest voxels are halved: one, two or all, whichever brings the voxels nearest to cubes (more, where
    /// it is the same). An axis of one voxel is left as it is. `None` where no axis is left.
    fn next(&self) -> Option<Self> {
        let sizes = self.extent.to_array();
        // Without a voxel size the voxels of the first level are taken for cubes.
        let factor = self.factor.to_array();
        let pitch = self.voxel_size.map_or(factor.map(|f| f as f64), |v| [v.z_nm, v.y_nm, v.x_nm]);
        let mut axes: Vec<usize> = (0..3).filter(|&axis| sizes[axis] > 1).collect();
        axes.sort_by(|&a, &b| pitch[a].total_cmp(&pitch[b]));
        // The longest edge over the shortest, when the first `halved` axes are.
        let ratio = |halved: usize| {
            let edges = axes.iter().enumerate().map(|(i, &a)| if i < halved { 2.0 * pitch[a] } else { pitch[a] });
            let (short, long) = edges.fold((f64::MAX, 0.0_f64), |(short, long), e| (short.min(e), long.max(e)));
            long / short
        };
        let halved = (1..=axes.len()).rev().min_by(|&a, &b| ratio(a).total_cmp(&ratio(b)))?;
        let window = std::array::from_fn(|axis| if axes[..halved].contains(&axis) { 2 } else { 1 });
        let [z, y, x]: [u64; 3] = window;
        let [fz, fy, fx] = factor;
        let [sz, sy, sx] = sizes;
        Some(Self {
            extent: Extent::new(sz.div_ceil(z), sy.div_ceil(y), sx.div_ceil(x)),
            voxel_size: match self.voxel_size {
                Some(size) => Some(VoxelSize::new(size.z_nm * z as f64, size.y_nm * y as f64, size.x_nm * x as f64)?),
                None => None,
            },
            window: Extent::new(z, y, x),
            factor: Extent::new(fz * z, fy * y, fx * x),
        })
    }
}

/// The levels of a volume, the volume itself first, down to one that fits a chunk.
///
/// Each level halves the axes with the finest voxels, so that voxels become cubes and stay near it: rows and columns of
/// thick sections first, then all three. Sizes are rounded up. A volume of 400 × 16000 × 12000 voxels of 30 × 5 × 5 nm gets a
/// level of 30 × 10 × 10 nm, one of 30 × 20 × 20, one of 30 × 40 × 40, then of 60 × 80 × 80 nm.
pub fn levels(extent: Extent, voxel_size: Option<VoxelSize>, chunk: Extent) -> Vec<Level> {
    let mut levels = vec![Level::first(extent, voxel_size)];
    let fits = |e: Extent| e.z <= chunk.z && e.y <= chunk.y && e.x <= chunk.x;
    while let Some(last) = levels.last()
        && !fits(last.extent)
        && let Some(next) = last.next()
    {
        levels.push(next);
    }
    levels
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn thick_sections_are_halved_last() {
        let size = VoxelSize::new(30.0, 5.0, 5.0);
        let levels = levels(Extent::new(400, 16000, 12000), size, Extent::new(32, 128, 128));
        let windows: Vec<_> = levels.iter().map(|level| level.window.to_array()).collect();
        assert_eq!(windows[..4], [[1, 1, 1], [1, 2, 2], [1, 2, 2], [1, 2, 2]]);
        assert!(windows[4..].iter().all(|&w| w == [2, 2, 2]), "{windows:?}");
        assert_eq!(levels[3].voxel_size, VoxelSize::new(30.0, 40.0, 40.0));
        let last = levels.last().unwrap();
        assert_eq!((last.extent, last.factor), (Extent::new(25, 125, 94), Extent::new(16, 128, 128)));
    }

    #[test]
    fn a_picture_stays_one_section() {
        let levels = levels(Extent::new(1, 1000, 700), VoxelSize::new(1.0, 9.0, 9.0), Extent::new(1, 128, 128));
        assert!(levels.iter().all(|level| level.extent.z == 1 && level.factor.z == 1));
        assert_eq!(levels.last().unwrap().extent, Extent::new(1, 125, 88));
    }

    proptest! {
        #[test]
        fn voxels_become_cubes_and_stay_near(
            extent in (1_u64..5000, 1_u64..5000, 1_u64..5000),
            size in (0.1..99.0, 0.1..99.0, 0.1..99.0),
            chunk in (1_u64..200, 1_u64..200, 1_u64..200),
        ) {
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let levels = levels(extent, VoxelSize::new(size.0, size.1, size.2), Extent::new(chunk.0, chunk.1, chunk.2));
            let last = levels.last().unwrap().extent;
            prop_assert!(last.z <= chunk.0 && last.y <= chunk.1 && last.x <= chunk.2);
            let ratio = |level: &Level| {
                let v = level.voxel_size.unwrap();
                let pitch = [(v.z_nm, level.extent.z), (v.y_nm, level.extent.y), (v.x_nm, level.extent.x)];
                let of = |f: fn(f64, f64) -> f64| pitch.iter().filter(|p| p.1 > 1).map(|p| p.0).reduce(f).unwrap_or(1.0);
                of(f64::max) / of(f64::min)
            };
            for pair in levels.windows(2) {
                prop_assert!(ratio(&pair[1]) <= ratio(&pair[0]) * 1.000_001, "{:?}", pair);
                let cover = |a: u64, w: u64| a.div_ceil(w);
                prop_assert_eq!(pair[1].extent.z, cover(pair[0].extent.z, pair[1].window.z));
                prop_assert_eq!(pair[1].extent.x, cover(extent.x, pair[1].factor.x));
                prop_assert_eq!(pair[1].factor.y, pair[0].factor.y * pair[1].window.y);
                prop_assert!(pair[1].extent != pair[0].extent);
            }
        }
    }
}
