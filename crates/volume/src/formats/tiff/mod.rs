//! TIFF (in work).
use crate::*;
use std::path::{Path, PathBuf};
#[derive(Debug)]
pub(super) struct Page {
    path: PathBuf,
}
fn no(path: &Path) -> VolumeError {
    VolumeError::Unsupported {
        place: Place::file(path),
        found: "TIFF".into(),
        expected: "PNG or OME-Zarr".into(),
        hint: String::new(),
    }
}
impl Page {
    pub(super) fn single(path: &Path) -> Result<Self, VolumeError> {
        Err(no(path))
    }
    pub(super) fn height(&self) -> u64 {
        1
    }
    pub(super) fn width(&self) -> u64 {
        1
    }
    pub(super) fn voxel_type(&self) -> VoxelType {
        VoxelType::U8
    }
    pub(super) fn voxel_size(&self) -> Option<VoxelSize> {
        None
    }
    pub(super) fn kind(&self) -> &'static str {
        "grey"
    }
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
    pub(super) fn read(&self, _r: Region) -> Result<Block, VolumeError> {
        Err(no(&self.path))
    }
}
pub(super) fn agree_on_palettes<'a>(_p: impl Iterator<Item = &'a mut Page>) {}
pub(super) fn encode_section(path: &Path, _s: &Block, _v: Option<VoxelSize>) -> Result<Vec<u8>, VolumeError> {
    Err(no(path))
}
pub(crate) fn open_stack(path: &Path, _o: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    Err(no(path))
}
/// Writes a stack.
#[derive(Debug)]
pub struct StackWriter;
impl StackWriter {
    /// Starts.
    pub fn create(path: &Path, _s: &VolumeSpec) -> Result<Self, VolumeError> {
        Err(no(path))
    }
}
impl VolumeWriter for StackWriter {
    fn grain(&self) -> Extent {
        Extent::new(1, 1, 1)
    }
    fn in_order(&self) -> bool {
        true
    }
    fn write(&self, _s: Index, _b: &Block) -> Result<(), VolumeError> {
        Ok(())
    }
    fn finish(&self) -> Result<(), VolumeError> {
        Ok(())
    }
}
