//! How much of a conversion is held at a time, and what memory that takes.

use super::{Conversion, ConvertError, usual_chunk};
use crate::memory::{self, PROGRAM_BYTES};
use crate::volume::copy_block;
use crate::{Extent, OpenOptions, VolumeInfo};

/// What is held of a source whose pieces are small: enough to keep all threads busy, little enough for a laptop.
const USUAL_BYTES: u64 = 64 << 20;
/// A box is read while one is written, and what is written is encoded beside it; as much again for the gaps that threads
/// leave, which take from the heap in any order.
const BOXES: u64 = 4;
/// A codec's own tables, for each thread.
const CODEC_BYTES: u64 = 4 << 20;

/// How much of a conversion is held at a time. The output does not depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work {
    /// Bytes of a box that is read at once, where a chunk of the output does not need more.
    pub bytes: u64,
    /// What the source may keep decoded ([`OpenOptions::cache_bytes`]).
    pub cache_bytes: u64,
}

impl Work {
    /// Boxes that decode each piece of the source once, where that keeps the peak of the memory below `budget` bytes; else
    /// smaller ones.
    ///
    /// # Errors
    /// [`ConvertError::Memory`] where nothing fits, with the least that would.
    pub fn fit(info: &VolumeInfo, conversion: &Conversion, budget: u64) -> Result<Self, ConvertError> {
        let room = memory::room(budget);
        let usual = OpenOptions::default().cache_bytes as u64;
        let bare = Self { bytes: 0, cache_bytes: 0 };
        let least = bare.peak(info, conversion);
        let spare = room.checked_sub(least).ok_or_else(|| {
            let least = memory::budget_for(least);
            ConvertError::Memory {
                found: memory::text(budget),
                least: memory::text(least),
                wanted: memory::at_least(least),
            }
        })?;
        let pieces = whole_pieces(info, conversion);
        let bytes = pieces.extent_bytes.max(USUAL_BYTES).min(spare / BOXES);
        let boxes = Self { bytes, cache_bytes: 0 };
        // Boxes of whole pieces decode each once: nothing needs to be kept.
        let kept = if pieces.end_together && bytes >= pieces.extent_bytes { 0 } else { usual };
        let cache_bytes = kept.min(room.saturating_sub(boxes.peak(info, conversion)));
        Ok(Self { cache_bytes, ..boxes })
    }

    /// The bytes of the program at their peak.
    pub fn peak(&self, info: &VolumeInfo, conversion: &Conversion) -> u64 {
        let threads = rayon::current_num_threads().max(1) as u64;
        let voxel = info.voxel_type.bytes() as u64;
        let bytes = |extent: Extent| extent.checked_voxels().unwrap_or(u64::MAX).saturating_mul(voxel);
        let chunk = target_grain(info, conversion);
        let most = copy_block(info, chunk, self.bytes);
        let least = Extent::new(most.z.min(info.extent.z), most.y.min(info.extent.y), most.x.min(info.extent.x));
        // A coarser level reads the window of a chunk.
        let boxes = bytes(least).max(bytes(chunk).saturating_mul(8)).saturating_mul(BOXES);
        let each = bytes(info.grain).saturating_add(bytes(chunk)).saturating_add(CODEC_BYTES);
        PROGRAM_BYTES
            .saturating_add(boxes)
            .saturating_add(each.saturating_mul(threads))
            .saturating_add(self.cache_bytes)
    }
}

/// The smallest box that the output takes.
fn target_grain(info: &VolumeInfo, conversion: &Conversion) -> Extent {
    let Extent { z, y, x } = info.extent;
    if !conversion.format.has_levels() && conversion.format.is_folder() {
        return Extent::new(1, y, x);
    }
    let wanted = conversion.zarr.shard.or(conversion.chunk).unwrap_or_else(|| usual_chunk(conversion.format));
    Extent::new(wanted.z.min(z), wanted.y.min(y), wanted.x.min(x))
}

/// A box that holds whole pieces of the source and whole chunks of the output.
struct WholePieces {
    extent_bytes: u64,
    /// Whether no piece sticks out of the box.
    end_together: bool,
}

fn whole_pieces(info: &VolumeInfo, conversion: &Conversion) -> WholePieces {
    let chunk = target_grain(info, conversion);
    let axis = |size: u64, grain: u64, chunk: u64| grain.div_ceil(chunk).saturating_mul(chunk).min(size);
    let (size, grain) = (info.extent, info.grain);
    let whole =
        Extent::new(axis(size.z, grain.z, chunk.z), axis(size.y, grain.y, chunk.y), axis(size.x, grain.x, chunk.x));
    let ends = |box_size: u64, size: u64, grain: u64| box_size == size || box_size.is_multiple_of(grain.max(1));
    WholePieces {
        extent_bytes: whole.checked_voxels().unwrap_or(u64::MAX).saturating_mul(info.voxel_type.bytes() as u64),
        end_together: ends(whole.z, size.z, grain.z)
            && ends(whole.y, size.y, grain.y)
            && ends(whole.x, size.x, grain.x),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pyramid::Reduce;
    use crate::{Format, VoxelType, ZarrLayout};

    fn slices(extent: Extent) -> VolumeInfo {
        let grain = Extent { z: 1, ..extent };
        let (format, voxel_type) = (Format::PngFolder, VoxelType::U8);
        VolumeInfo { path: "v".into(), format, extent, voxel_type, voxel_size: None, grain }
    }

    #[test]
    fn slices_are_decoded_once_where_the_memory_is_there() {
        let info = slices(Extent::new(400, 12000, 16000));
        let zarr = Conversion {
            format: Format::OmeZarr,
            chunk: None,
            levels: None,
            reduce: Reduce::Mean,
            zarr: ZarrLayout::default(),
        };
        let sections = 32 * 12000 * 16000;
        assert_eq!(Work::fit(&info, &zarr, 64 << 30).unwrap(), Work { bytes: sections, cache_bytes: 0 });
        let little = Work::fit(&info, &zarr, 2 << 30).unwrap();
        assert!(little.bytes < sections && little.peak(&info, &zarr) <= memory::room(2 << 30), "{little:?}");
        assert!(little.cache_bytes > 0, "sections are decoded for several boxes");
        // Strips of 48 rows lie across the borders of chunks of 128.
        let strips = VolumeInfo { grain: Extent::new(1, 48, 16000), ..info.clone() };
        assert!(Work::fit(&strips, &zarr, 64 << 30).unwrap().cache_bytes > 0);
        let error = Work::fit(&info, &zarr, 100 << 20).unwrap_err().to_string();
        assert!(error.contains("--memory"), "{error}");
        let small = slices(Extent::new(4, 100, 100));
        assert_eq!(Work::fit(&small, &zarr, 1 << 30).unwrap().bytes, USUAL_BYTES);
    }
}
