//! Reads an MRC file, some rows at a time.

use std::fs::File;
use std::path::Path;

use super::header::{self, HEADER};
use crate::formats::linear::Linear;
use crate::formats::pieces::{Cached, Pieces};
use crate::{Block, Format, OpenOptions, Place, Region, Volume, VolumeError, VolumeInfo, fs};

struct Mrc {
    info: VolumeInfo,
    file: File,
    linear: Linear,
}

/// Opens an MRC file. Its header is read, and its length compared with it.
pub(crate) fn open(path: &Path, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    let place = Place::file(path);
    let file = fs::open(path)?;
    let bytes = fs::size(path)?;
    if bytes < HEADER as u64 {
        let found = format!("{bytes} bytes");
        return Err(VolumeError::malformed(place, found, "an MRC file: a header of 1024 bytes, then voxels"));
    }
    let mut header = [0; HEADER];
    fs::read_at(&file, 0, &mut header).map_err(|e| VolumeError::io(path, "read", e))?;
    let (linear, voxel_size) = header::parse(&place, &header, bytes)?;
    let info = VolumeInfo {
        path: path.to_owned(),
        format: Format::Mrc,
        extent: linear.extent,
        voxel_type: linear.stored.voxel_type(),
        voxel_size,
        grain: linear.grain(),
    };
    Ok(Box::new(Cached::new(Mrc { info, file, linear }, options.cache_bytes)))
}

impl Pieces for Mrc {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn decode(&self, region: Region) -> Result<Block, VolumeError> {
        let part = format!("section {}", region.start.z);
        self.linear.read(&self.file, &Place::part(&self.info.path, part), region)
    }
}
