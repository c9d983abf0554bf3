//! Voxels that lie in a file row after row, uncompressed.

use std::fs::File;

use super::checks;
use super::stored::Stored;
use crate::{Block, Extent, Index, Place, Region, VolumeError, fs};

/// Sections are read in pieces of about this many bytes.
const PIECE_BYTES: u64 = 1 << 20;

/// Where the voxels of a volume lie.
#[derive(Clone, Copy, Debug)]
pub(super) struct Linear {
    /// The place of the first voxel in the file.
    pub(super) offset: u64,
    pub(super) extent: Extent,
    pub(super) stored: Stored,
    pub(super) big_endian: bool,
}

impl Linear {
    /// How many bytes the voxels take; `None` beyond 2⁶⁴.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.extent.checked_voxels()?.checked_mul(self.stored.bytes() as u64)
    }

    /// What is read at once: some rows of a section.
    pub(super) fn grain(&self) -> Extent {
        let row = self.extent.x.saturating_mul(self.stored.bytes() as u64).max(1);
        Extent::new(1, (PIECE_BYTES / row).clamp(1, self.extent.y), self.extent.x)
    }

    /// The voxels of a region that lies inside. The file was checked to be long enough.
    pub(super) fn read(&self, file: &File, place: &Place, region: Region) -> Result<Block, VolumeError> {
        let mut block = checks::zeros(&place.path, region, self.stored.voxel_type())?;
        let Extent { z: depth, y: height, x: width } = region.extent;
        let size = self.stored.bytes() as u64;
        // Whole rows follow each other.
        let rows = if width == self.extent.x { (PIECE_BYTES / (width * size)).clamp(1, height) } else { 1 };
        let mut buffer = Vec::new();
        for z in 0..depth {
            for y in (0..height).step_by(rows as usize) {
                let rows = rows.min(height - y);
                for (x, run) in runs(width * rows, PIECE_BYTES / size) {
                    let first = ((region.start.z + z) * self.extent.y + region.start.y + y) * self.extent.x;
                    let at = self.offset + (first + region.start.x + x) * size;
                    buffer.resize((run * size) as usize, 0);
                    fs::read_at(file, at, &mut buffer).map_err(|source| VolumeError::Io {
                        place: place.clone(),
                        action: "read",
                        source,
                    })?;
                    let into = region.extent.offset(Index::new(z, y, 0)) + x as usize;
                    self.stored
                        .decode(block.voxels_mut(), into, &buffer, self.big_endian)
                        .map_err(|found| too_large_a_number(place, &found.0))?;
                }
            }
        }
        Ok(block)
    }
}

/// `len` voxels in runs of at most `most`: where each begins, and its length.
fn runs(len: u64, most: u64) -> impl Iterator<Item = (u64, u64)> {
    (0..len).step_by(most as usize).map(move |at| (at, most.min(len - at)))
}

/// A label beyond 32 bits.
pub(super) fn too_large_a_number(place: &Place, found: &str) -> VolumeError {
    VolumeError::Unsupported {
        place: place.clone(),
        found: format!("the value {found}"),
        expected: "labels from 0 to 4294967295".into(),
        hint: "Renumber the labels, for example with scikit-image's relabel_sequential.".into(),
    }
}
