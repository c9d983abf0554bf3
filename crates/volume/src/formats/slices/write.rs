//! Writes a folder of slices, one file per section, in any order.

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::{Kind, not_in_png, png};
use crate::formats::{checks, tiff};
use crate::{Block, Extent, Index, Region, VolumeError, VolumeSpec, VolumeWriter, VoxelType, fs};

/// Writes a folder of PNG or TIFF slices, named by their section: `0000.png`, `0001.png`, …
///
/// Sections may come in any order and from several threads; each file is whole or absent.
#[derive(Debug)]
pub struct SliceWriter {
    folder: PathBuf,
    spec: VolumeSpec,
    kind: Kind,
    /// What stands before the number in a file's name.
    prefix: String,
    /// The first section's number.
    first: u64,
}

impl SliceWriter {
    /// A folder of PNG slices; 8 or 16 bits.
    pub fn png(folder: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        if !matches!(spec.voxel_type, VoxelType::U8 | VoxelType::U16) {
            return Err(not_in_png(folder, spec.voxel_type));
        }
        Self::new(folder, spec, Kind::Png)
    }

    /// A folder of TIFF slices.
    pub fn tiff(folder: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        Self::new(folder, spec, Kind::Tiff)
    }

    fn new(folder: &Path, spec: &VolumeSpec, kind: Kind) -> Result<Self, VolumeError> {
        checks::spec(folder, spec)?;
        checks::section(folder, spec)?;
        fs::create_dir(folder)?;
        Ok(Self { folder: folder.to_owned(), spec: spec.clone(), kind, prefix: String::new(), first: 0 })
    }

    /// With other names: `prefix`, then numbers from `first` on (`Segmented_0001.png`, …).
    #[must_use]
    pub fn named(mut self, prefix: &str, first: u64) -> Self {
        prefix.clone_into(&mut self.prefix);
        self.first = first;
        self
    }

    /// The file of a section.
    pub fn path(&self, z: u64) -> PathBuf {
        // Wide enough for the last section, so that programs that sort by letters see the order too.
        let digits = (self.spec.extent.z - 1).saturating_add(self.first).to_string().len().max(4);
        let ending = if self.kind == Kind::Png { "png" } else { "tif" };
        let number = z.saturating_add(self.first);
        self.folder.join(format!("{}{number:0digits$}.{ending}", self.prefix))
    }
}

impl VolumeWriter for SliceWriter {
    fn grain(&self) -> Extent {
        Extent { z: 1, ..self.spec.extent }
    }

    fn in_order(&self) -> bool {
        false
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        checks::block(&self.folder, &self.spec, self.grain(), start, block)?;
        let sections: Vec<u64> = (0..block.extent().z).collect();
        // In batches, so that encoded sections do not pile up beside a large block.
        for batch in sections.chunks(16) {
            let encode = |&z: &u64| -> Result<(PathBuf, Vec<u8>), VolumeError> {
                let path = self.path(start.z + z);
                let section = block.crop(Region::section(block.extent(), z));
                let bytes = match self.kind {
                    Kind::Png => png::encode(&path, section.extent(), section.voxels(), self.spec.voxel_size)?,
                    Kind::Tiff => tiff::encode_section(&path, &section, self.spec.voxel_size)?,
                };
                Ok((path, bytes))
            };
            let encoded: Vec<_> = batch.par_iter().map(encode).collect();
            fs::write_pieces(&encoded.into_iter().collect::<Result<Vec<_>, _>>()?)?;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        fs::sync_dir(&self.folder)
    }
}
