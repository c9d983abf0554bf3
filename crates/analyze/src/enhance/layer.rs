//! A step as a volume of its own: what it reads of the volume below, it gives changed.
//!
//! A voxel of a layer is a function of voxels of the volume below that lie within a fixed distance (or of its section), so
//! it is the same in whatever blocks it is read. Values are rounded to the volume's type after each step: several steps at
//! once give what the same steps give one after another.

use deep3m_volume::{Block, Extent, Index, Region, VoxelType, Voxels};

/// Grey values as voxels: rounded and cut to what the type holds.
pub(super) fn rounded(values: &[f32], voxel_type: VoxelType) -> Voxels {
    let whole = |low: f32, high: f32| values.iter().map(move |v| v.round().clamp(low, high));
    match voxel_type {
        VoxelType::U8 => Voxels::U8(whole(0.0, u8::MAX.into()).map(|v| v as u8).collect()),
        VoxelType::U16 => Voxels::U16(whole(0.0, u16::MAX.into()).map(|v| v as u16).collect()),
        VoxelType::I16 => Voxels::I16(whole(i16::MIN.into(), i16::MAX.into()).map(|v| v as i16).collect()),
        _ => Voxels::F32(values.to_vec()),
    }
}

/// A region with so many pixels around it within its sections, and where the region lies in that.
pub(super) fn widened(region: Region, reach: u64, whole: Extent) -> (Region, Region) {
    let (start, end) = (region.start, region.end());
    let (y, x) = (start.y.saturating_sub(reach), start.x.saturating_sub(reach));
    let extent = Extent::new(
        region.extent.z,
        end.y.saturating_add(reach).min(whole.y) - y,
        end.x.saturating_add(reach).min(whole.x) - x,
    );
    let inside = Region::new(Index::new(0, start.y - y, start.x - x), region.extent);
    (Region::new(Index::new(start.z, y, x), extent), inside)
}

/// Works on each section of a block by itself: from its grey values, its number in the block, its height and width to new
/// ones.
pub(super) fn by_section(
    block: &Block,
    voxel_type: VoxelType,
    mut work: impl FnMut(usize, &mut Vec<f32>, usize, usize),
) -> Block {
    let size = block.extent();
    let (height, width) = (size.y as usize, size.x as usize);
    let mut out = Block::zeros(size, voxel_type);
    let mut grey = Vec::new();
    for z in 0..size.z as usize {
        let section = z * height * width..(z + 1) * height * width;
        crate::check::section::greys(block.voxels(), section.clone(), &mut grey);
        work(z, &mut grey, height, width);
        out.voxels_mut().copy_run(section.start, &rounded(&grey, voxel_type), 0, section.len());
    }
    out
}
