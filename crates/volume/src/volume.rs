//! The two traits that every format implements: [`Volume`] reads any region, [`VolumeWriter`] takes blocks.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::{Extent, Format, Index, Region, VolumeError, VoxelSize, VoxelType, Voxels};

/// What a volume is, known from opening it, before a voxel is read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct VolumeInfo {
    /// Where it lies.
    pub path: PathBuf,
    /// How it is stored.
    pub format: Format,
    /// Its size in voxels.
    pub extent: Extent,
    /// Its voxels' type.
    pub voxel_type: VoxelType,
    /// The size of a voxel, where the file states it.
    pub voxel_size: Option<VoxelSize>,
    /// What is decoded at once: a Zarr chunk, a TIFF tile or strip, a whole PNG slice. Reads along it waste nothing.
    pub grain: Extent,
}

/// A volume that can be read region by region, from several threads.
pub trait Volume: Send + Sync {
    /// What the volume is.
    fn info(&self) -> &VolumeInfo;

    /// The voxels of a region.
    ///
    /// # Errors
    /// [`VolumeError::OutOfBounds`] where the region does not lie inside the volume; else what reading met, with the
    /// file and the section.
    fn read(&self, region: Region) -> Result<Block, VolumeError>;
}

/// What a new volume shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeSpec {
    /// Its size in voxels.
    pub extent: Extent,
    /// Its voxels' type.
    pub voxel_type: VoxelType,
    /// The size of a voxel, written into the file where known.
    pub voxel_size: Option<VoxelSize>,
    /// Wanted chunk size, for formats that have chunks; `None` lets the format choose.
    pub chunk: Option<Extent>,
    /// Text attributes (JSON) to keep with the volume: what made it, with what settings. Formats without a place for it
    /// ignore it.
    pub provenance: Option<serde_json::Value>,
}

/// Takes the blocks of a new volume.
///
/// A block covers whole [grains](Self::grain) (cut only by the volume's end), and each grain is written once. Where
/// [`Self::in_order`] holds, blocks come in the order of [`Region::tiles`].
pub trait VolumeWriter: Send + Sync {
    /// The smallest box that can be written by itself.
    fn grain(&self) -> Extent;

    /// Whether blocks must come in order (a TIFF stack) or may come in any (chunks, files of their own).
    fn in_order(&self) -> bool;

    /// Writes a block with its first voxel at `start`.
    ///
    /// # Errors
    /// [`VolumeError::Unaligned`] for a block that cuts a grain, [`VolumeError::OutOfBounds`] for one that sticks out,
    /// else what writing met. What is already written stays.
    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError>;

    /// Ends the volume; without it a file may lack its directory.
    fn finish(&self) -> Result<(), VolumeError>;
}

/// The voxels of a box, in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    extent: Extent,
    voxels: Voxels,
}

impl Block {
    /// A block from its voxels.
    ///
    /// # Panics
    /// If their number is not that of the extent.
    pub fn new(extent: Extent, voxels: Voxels) -> Self {
        assert_eq!(extent.checked_voxels(), Some(voxels.len() as u64), "voxels for a block of {extent}");
        Self { extent, voxels }
    }

    /// A block of zeros.
    pub fn zeros(extent: Extent, voxel_type: VoxelType) -> Self {
        Self { extent, voxels: Voxels::zeros(voxel_type, extent.len()) }
    }

    /// Its size.
    pub const fn extent(&self) -> Extent {
        self.extent
    }

    /// Its voxels, row-major.
    pub const fn voxels(&self) -> &Voxels {
        &self.voxels
    }

    /// Its voxels, row-major, to change.
    pub const fn voxels_mut(&mut self) -> &mut Voxels {
        &mut self.voxels
    }

    /// The voxels without the block.
    pub fn into_voxels(self) -> Voxels {
        self.voxels
    }

    /// A part of the block (`region` counted from the block's first voxel).
    ///
    /// # Panics
    /// If the region does not fit.
    #[must_use]
    pub fn crop(&self, region: Region) -> Self {
        let mut part = Self::zeros(region.extent, self.voxels.voxel_type());
        part.paste(Index::default(), self, region);
        part
    }

    /// Copies `region` of `source` to `to` in this block, row by row.
    ///
    /// # Panics
    /// If either box does not fit, or the voxel types differ.
    pub fn paste(&mut self, to: Index, source: &Self, region: Region) {
        assert!(region.fits(source.extent), "{region} of a block of {}", source.extent);
        assert!(Region::new(to, region.extent).fits(self.extent), "{} into a block of {}", region.extent, self.extent);
        if region.is_empty() {
            return;
        }
        for z in 0..region.extent.z {
            for y in 0..region.extent.y {
                let from = source.extent.offset(Index::new(region.start.z + z, region.start.y + y, region.start.x));
                let into = self.extent.offset(Index::new(to.z + z, to.y + y, to.x));
                self.voxels.copy_run(into, &source.voxels, from, region.extent.x as usize);
            }
        }
    }
}

/// Voxels that [`copy`] holds at once, in bytes, where a grain is not larger.
const COPY_BYTES: u64 = 128 << 20;

/// Copies a volume into a writer, in order, in blocks of about 128 MiB (or a grain of the writer, where that is larger).
///
/// `progress` hears the number of voxels after each block.
pub fn copy(source: &dyn Volume, target: &dyn VolumeWriter, progress: &mut dyn FnMut(u64)) -> Result<(), VolumeError> {
    let info = source.info();
    for tile in Region::whole(info.extent).tiles(copy_block(info, target.grain(), COPY_BYTES)) {
        target.write(tile.start, &source.read(tile)?)?;
        progress(tile.extent.len() as u64);
    }
    target.finish()
}

/// Whole grains of the target that cover, as far as they fit the budget, whole grains of the source, so that few of
/// these are decoded twice: a section of a PNG folder once for all chunks in it, not once for each.
fn copy_block(info: &VolumeInfo, grain: Extent, budget: u64) -> Extent {
    let Extent { mut z, mut y, mut x } = grain;
    let bytes = info.voxel_type.bytes() as u64;
    // How often the grain goes into the wanted size, as far as the budget reaches with the other two sizes as they are.
    let grow = |size: u64, grain: u64, wanted: u64, others: u64| {
        let room = budget / others.saturating_mul(bytes).saturating_mul(grain).max(1);
        size.max(grain.saturating_mul(wanted.div_ceil(grain).min(room)))
    };
    z = grow(z, grain.z, info.grain.z, y.saturating_mul(x));
    y = grow(y, grain.y, info.grain.y, z.saturating_mul(x));
    x = grow(x, grain.x, info.extent.x, z.saturating_mul(y));
    y = grow(y, grain.y, info.extent.y, z.saturating_mul(x));
    Extent::new(z, y, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VoxelType;
    use proptest::prelude::*;

    fn info(extent: Extent, grain: Extent) -> VolumeInfo {
        let voxel_type = VoxelType::U8;
        VolumeInfo { path: PathBuf::new(), format: Format::OmeZarr, extent, voxel_type, voxel_size: None, grain }
    }

    #[test]
    fn a_copy_decodes_sections_once() {
        let chunk = Extent::new(32, 128, 128);
        let slices = |side: u64| info(Extent::new(500, side, side), Extent::new(1, side, side));
        assert_eq!(copy_block(&slices(1000), chunk, COPY_BYTES), Extent::new(32, 1024, 1024), "all of 32 sections");
        assert_eq!(copy_block(&slices(4096), chunk, COPY_BYTES), Extent::new(32, 4096, 1024), "a part that fits");
        let chunks = info(Extent::new(500, 2048, 2048), Extent::new(64, 128, 128));
        let section = Extent::new(1, 2048, 2048);
        assert_eq!(
            copy_block(&chunks, section, COPY_BYTES),
            Extent::new(32, 2048, 2048),
            "sections of the same chunks"
        );
        assert_eq!(copy_block(&chunks, section, 0), section, "at least a grain");
    }

    proptest! {
        #[test]
        fn a_copy_takes_whole_grains_within_the_budget(
            source in (1_u64..99, 1_u64..99, 1_u64..99),
            grain in (1_u64..99, 1_u64..99, 1_u64..99),
            budget in 0_u64..2_000_000,
        ) {
            let grain = Extent::new(grain.0, grain.1, grain.2);
            let info = info(Extent::new(99, 99, 99), Extent::new(source.0, source.1, source.2));
            let block = copy_block(&info, grain, budget);
            for (b, g) in block.to_array().into_iter().zip(grain.to_array()) {
                prop_assert!(b.is_multiple_of(g) && b > 0);
            }
            prop_assert!(block == grain || block.len() as u64 <= budget, "{} of {}", block, budget);
        }
    }
}
