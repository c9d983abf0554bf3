//! What the file states of itself.

use deep3m_volume::VoxelSize;

use super::finding::{Code, Finding};

/// How to state the size of a voxel.
const STATE_IT: &str = "give --voxel-size z,y,x in nm to each command, or once: deep3m convert --voxel-size";

/// Remarks on the size of a voxel.
pub(super) fn voxel_size(size: Option<VoxelSize>) -> Vec<Finding> {
    let Some(size) = size else {
        let message = "no voxel size: results will be in voxels, not in micrometres".to_owned();
        return vec![Finding::warning(Code::NoVoxelSize, 0.0, "nm", message, STATE_IT)];
    };
    let VoxelSize { z_nm, y_nm, x_nm } = size;
    let odd = |figure: f64, unit: &str, message: String| {
        vec![Finding::warning(Code::OddVoxelSize, figure, unit, format!("voxel size {size}: {message}"), STATE_IT)]
    };
    let longest = z_nm.max(y_nm).max(x_nm);
    // What programs write that were told nothing: 1 nm, 1 µm, or 1 pixel of some other unit.
    if z_nm == y_nm && y_nm == x_nm && [1.0, 1000.0, 1e6].contains(&z_nm) {
        return odd(z_nm, "nm", "looks like a program's default, not a measurement".into());
    }
    if !(0.1..=1e6).contains(&longest) {
        return odd(longest, "nm", "is it in another unit?".into());
    }
    if (y_nm / x_nm - 1.0).abs() > 0.01 {
        return odd(y_nm / x_nm, "y / x", "rows and columns differ; microscopes have square pixels".into());
    }
    let anisotropy = size.anisotropy();
    if !(0.5..=30.0).contains(&anisotropy) {
        return odd(anisotropy, "z / x", "is the order z,y,x?".into());
    }
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_sizes_are_silent_and_odd_ones_are_not() {
        let of = |z, y, x| voxel_size(VoxelSize::new(z, y, x));
        for (z, y, x) in [(30.0, 8.0, 8.0), (5.0, 5.0, 5.0), (284.0, 127.0, 127.0), (50.0, 4.6, 4.6)] {
            assert!(of(z, y, x).is_empty());
        }
        for (z, y, x) in [(1.0, 1.0, 1.0), (30.0, 8.0, 4.0), (8.0, 30.0, 30.0), (0.03, 0.008, 0.008)] {
            assert_eq!(of(z, y, x)[0].code, Code::OddVoxelSize, "{z} {y} {x}");
        }
        assert_eq!(voxel_size(None)[0].code, Code::NoVoxelSize);
    }
}
