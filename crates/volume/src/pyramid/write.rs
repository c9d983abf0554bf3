//! Makes a level from the one before it.

use std::sync::mpsc::sync_channel;

use super::reduce::{Reduce, reduce};
use crate::volume::copy_block;
use crate::{Block, Extent, Index, Region, Volume, VolumeError, VolumeInfo, VolumeWriter};

/// How [`write_boxes`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every box is written.
    Written,
    /// It was asked to stop.
    Stopped,
}

/// Writes a level: each voxel is made of a window of the source's.
///
/// The source is read in boxes of about `bytes` bytes, or what a grain of the target needs, where that is more; the next
/// box is read and reduced while one is written, so that twice this is held. The voxels do not depend on `bytes`.
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
    let grain = target.grain();
    write_boxes(source, target, window, by, bytes, done, &mut |tile| {
        tile.tiles(grain).for_each(&mut *progress);
        Ok(true)
    })
    .map(|_| ())
}

/// As [`write_level`], box by box: `written` hears of each box of whole grains when it is on the disk, and says whether to
/// go on.
pub(crate) fn write_boxes(
    source: &dyn Volume,
    target: &dyn VolumeWriter,
    window: Extent,
    by: Reduce,
    bytes: u64,
    done: &dyn Fn(Region) -> bool,
    written: &mut dyn FnMut(Region) -> Result<bool, VolumeError>,
) -> Result<Outcome, VolumeError> {
    assert!(!window.is_empty(), "a window has voxels");
    let info = source.info();
    let grain = target.grain();
    let extent = per_window(info.extent, window);
    let as_target = VolumeInfo { extent, grain: per_window(info.grain, window), ..info.clone() };
    let budget = bytes / window.checked_voxels().unwrap_or(u64::MAX);
    let size = copy_block(&as_target, grain, budget);
    let read = |tile: Region| -> Result<Block, VolumeError> {
        let start = Index::new(tile.start.z * window.z, tile.start.y * window.y, tile.start.x * window.x);
        let end = tile.end();
        let size = Extent::new(
            (end.z * window.z).min(info.extent.z) - start.z,
            (end.y * window.y).min(info.extent.y) - start.y,
            (end.x * window.x).min(info.extent.x) - start.x,
        );
        let block = source.read(Region::new(start, size))?;
        Ok(if window == Extent::new(1, 1, 1) { block } else { reduce(&block, window, by) })
    };
    std::thread::scope(|scope| {
        let (send_tile, tiles) = sync_channel::<Region>(1);
        let (send_block, blocks) = sync_channel::<(Region, Result<Block, VolumeError>)>(0);
        scope.spawn(move || {
            for tile in tiles {
                // The other side is gone where writing failed or was stopped.
                if send_block.send((tile, read(tile))).is_err() {
                    return;
                }
            }
        });
        let mut missing = Region::whole(extent).tiles(size).filter(|tile| !tile.tiles(grain).all(done));
        // One box is asked for ahead of the one that is written.
        let mut ask = || missing.next().is_some_and(|tile| send_tile.send(tile).is_ok());
        let mut asked = usize::from(ask());
        while asked > 0 {
            asked += usize::from(ask());
            let Ok((tile, block)) = blocks.recv() else { break };
            asked -= 1;
            target.write(tile.start, &block?)?;
            if !written(tile)? {
                return Ok(Outcome::Stopped);
            }
        }
        Ok(Outcome::Written)
    })
}

/// A size counted in windows.
fn per_window(size: Extent, window: Extent) -> Extent {
    Extent::new(size.z.div_ceil(window.z), size.y.div_ceil(window.y), size.x.div_ceil(window.x))
}
