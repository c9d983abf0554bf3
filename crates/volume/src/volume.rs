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
#[derive(Clone, Debug, PartialEq, Eq)]
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

/// Copies a volume into a writer, grain by grain in order; memory is one grain (and what the reader holds).
///
/// `progress` hears the number of voxels after each grain.
pub fn copy(source: &dyn Volume, target: &dyn VolumeWriter, progress: &mut dyn FnMut(u64)) -> Result<(), VolumeError> {
    for tile in Region::whole(source.info().extent).tiles(target.grain()) {
        target.write(tile.start, &source.read(tile)?)?;
        progress(tile.extent.len() as u64);
    }
    target.finish()
}
