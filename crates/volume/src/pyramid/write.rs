//! Makes a level from the one before it.

use super::reduce::{Reduce, reduce};
use crate::volume::copy_block;
use crate::{Extent, Index, Region, Volume, VolumeError, VolumeInfo, VolumeWriter};

/// Writes a level: each voxel is made of a window of the source's.
///
/// The source is read in boxes of about `bytes` bytes, or what a grain of the target needs, where that is more; with the
/// target's voxels of a box, that is what is held. The voxels do not depend on `bytes`.
///
/// `done` is asked for each grain of the target (cut at its end) whether an earlier run has written it; `progress` hears
/// of each that is written. A box with a grain that is missing is written whole. Where the target wants its blocks in
/// order, nothing may be done already. The target is not finished.
///
/// # Errors
/// What reading and writing meet; what is written stays.
///
/// # Panics
/// If the window has no voxel.
pub fn write_level(
    source: &dyn Volume,
    target: &dyn VolumeWriter,
    window: Extent,
    by: Reduce,
    bytes: u64,
    done: &dyn Fn(Region) -> bool,
    progress: &mut dyn FnMut(Region),
) -> Result<(), VolumeError> {
    assert!(!window.is_empty(), "a window has voxels");
    let info = source.info();
    let grain = target.grain();
    let extent = per_window(info.extent, window);
    let as_target = VolumeInfo { extent, grain: per_window(info.grain, window), ..info.clone() };
    let budget = bytes / window.checked_voxels().unwrap_or(u64::MAX);
    for tile in Region::whole(extent).tiles(copy_block(&as_target, grain, budget)) {
        if tile.tiles(grain).all(done) {
            continue;
        }
        let box_of_source = Region::new(
            Index::new(tile.start.z * window.z, tile.start.y * window.y, tile.start.x * window.x),
            Extent::new(
                (tile.extent.z * window.z).min(info.extent.z - tile.start.z * window.z),
                (tile.extent.y * window.y).min(info.extent.y - tile.start.y * window.y),
                (tile.extent.x * window.x).min(info.extent.x - tile.start.x * window.x),
            ),
        );
        let reduced = reduce(&source.read(box_of_source)?, window, by);
        target.write(tile.start, &reduced)?;
        tile.tiles(grain).for_each(&mut *progress);
    }
    Ok(())
}

/// A size counted in windows.
fn per_window(size: Extent, window: Extent) -> Extent {
    Extent::new(size.z.div_ceil(window.z), size.y.div_ceil(window.y), size.x.div_ceil(window.x))
}
