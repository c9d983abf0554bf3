//! What is foreground: voxels above a threshold, and holes in it.

use std::path::Path;

use deep3m_volume::{Index, Region, Volume, Voxels};

use crate::AnalyzeError;
use crate::objects::{Connectivity, Found, Grid, Mask, Size, find};

/// Voxels of a volume of at least a value, from `start` on.
pub(crate) struct Threshold<'a> {
    pub(crate) volume: &'a dyn Volume,
    pub(crate) start: Index,
    pub(crate) level: u32,
}

impl Mask for Threshold<'_> {
    fn path(&self) -> &Path {
        &self.volume.info().path
    }

    fn read(&self, part: Region) -> Result<Vec<u8>, AnalyzeError> {
        let (at, by) = (part.start, self.start);
        let start = Index::new(at.z + by.z, at.y + by.y, at.x + by.x);
        let block = self.volume.read(Region::new(start, part.extent))?;
        let level = self.level;
        Ok(match block.voxels() {
            Voxels::U8(voxels) => voxels.iter().map(|&v| u8::from(u32::from(v) >= level)).collect(),
            Voxels::U16(voxels) => voxels.iter().map(|&v| u8::from(u32::from(v) >= level)).collect(),
            other => other.iter().map(|v| u8::from(v >= level)).collect(),
        })
    }
}

/// The background of a mask.
struct Background<'a>(&'a dyn Mask);

impl Mask for Background<'_> {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn read(&self, part: Region) -> Result<Vec<u8>, AnalyzeError> {
        let mut mask = self.0.read(part)?;
        for voxel in &mut mask {
            *voxel ^= 1;
        }
        Ok(mask)
    }
}

/// A mask with its holes filled: background that the foreground encloses. It is read by the blocks of its grid
/// ([`Grid::widened`]).
pub(crate) struct Filled<'a> {
    mask: &'a dyn Mask,
    grid: &'a Grid,
    connectivity: Connectivity,
    holes: Found<Size>,
}

impl<'a> Filled<'a> {
    /// Finds the holes of up to `largest` voxels of a mask whose foreground has this connectivity. What reaches the
    /// volume's border is no hole.
    pub(crate) fn new(
        mask: &'a dyn Mask,
        grid: &'a Grid,
        foreground: Connectivity,
        largest: u64,
        progress: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Option<Self>, AnalyzeError> {
        let connectivity = foreground.of_background();
        let keep = |size: &Size| !size.at_border && size.voxels <= largest;
        let holes = find(&Background(mask), grid, connectivity, keep, progress)?;
        Ok(holes.map(|holes| Self { mask, grid, connectivity, holes }))
    }

    /// Holes, and their voxels.
    pub(crate) fn count(&self) -> (u64, u64) {
        (self.holes.objects.len() as u64, self.holes.objects.iter().map(|size| size.voxels).sum())
    }
}

impl Mask for Filled<'_> {
    fn path(&self) -> &Path {
        self.mask.path()
    }

    fn read(&self, part: Region) -> Result<Vec<u8>, AnalyzeError> {
        let mut mask = self.mask.read(part)?;
        if self.holes.objects.is_empty() {
            return Ok(mask);
        }
        let holes = self.holes.draw(&Background(self.mask), self.grid, self.connectivity, part, part.extent)?;
        for (voxel, hole) in mask.iter_mut().zip(holes) {
            *voxel |= u8::from(hole != 0);
        }
        Ok(mask)
    }
}
