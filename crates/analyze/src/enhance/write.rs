//! The enhanced volume, written in blocks.

use deep3m_volume::memory::{self, PROGRAM_BYTES};
use deep3m_volume::{Extent, Region, Volume, VolumeWriter};

use super::EnhanceConfig;
use crate::AnalyzeError;
use crate::walk::Walk;

/// Sides of blocks to choose from, the largest first.
const SIDES: [Extent; 4] =
    [Extent::new(32, 512, 512), Extent::new(16, 256, 256), Extent::new(4, 128, 128), Extent::new(1, 64, 64)];
/// What a pixel of a section costs while it is worked on, and how far around a block is read at most.
const BYTES_PER_PIXEL: u64 = 64;
const REACH: u64 = 48;

/// Writes what [`enhance`](super::enhance) made, to a writer of its size and type.
///
/// `progress` hears the voxels of each block; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::Memory`] where the smallest blocks do not fit the budget (bytes), [`AnalyzeError::Interrupted`], and what reading
/// and writing met.
pub fn write_enhanced(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &EnhanceConfig,
    budget: u64,
    progress: &mut dyn FnMut(u64) -> bool,
) -> Result<(), AnalyzeError> {
    let walk = blocks(volume, writer.grain(), config.like_cdeep3m2, budget)?;
    walk.run(|part| Ok(volume.read(part.core)?), |part, block| Ok(writer.write(part.core.start, &block)?), progress)?;
    Ok(writer.finish()?)
}

/// Blocks of whole grains, as large and as many at a time as the budget allows.
fn blocks(volume: &dyn Volume, grain: Extent, whole_sections: bool, budget: u64) -> Result<Walk, AnalyzeError> {
    let info = volume.info();
    let room = memory::room(budget);
    let mut least = u64::MAX;
    let threads = rayon::current_num_threads().max(1);
    for at_once in std::iter::successors(Some(threads), |&n| (n > 1).then_some(n / 2)) {
        for side in SIDES {
            let along = |wanted: u64, grain: u64| (wanted / grain.max(1)).max(1).saturating_mul(grain.max(1));
            let (y, x) = if whole_sections { (info.extent.y, info.extent.x) } else { (side.y, side.x) };
            let up = |size: u64, grain: u64| {
                if whole_sections { size.max(1).next_multiple_of(grain.max(1)) } else { along(size, grain) }
            };
            let (y, x) = (up(y, grain.y), up(x, grain.x));
            // Where a grain is a whole section, fewer of them.
            let sections = (SIDES[0].len() as u64 / y.saturating_mul(x).max(1)).clamp(1, side.z);
            let block = Extent::new(along(sections, grain.z), y, x);
            let section = y.saturating_add(2 * REACH).saturating_mul(x.saturating_add(2 * REACH));
            let deep = block.z.min(info.extent.z).saturating_mul(4 * info.voxel_type.bytes() as u64 + 4);
            let each = section.saturating_mul(deep.saturating_add(BYTES_PER_PIXEL));
            let peak = PROGRAM_BYTES.saturating_add(each.saturating_mul(at_once as u64));
            if peak <= room {
                let region = Region::whole(info.extent);
                return Ok(Walk { region, block, halo: Extent::default(), at_once });
            }
            least = least.min(peak);
        }
    }
    let least = memory::budget_for(least);
    let (found, wanted) = (memory::text(budget), memory::at_least(least));
    Err(AnalyzeError::Memory { found, least: memory::text(least), wanted })
}
