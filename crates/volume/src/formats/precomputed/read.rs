//! Reads regions of one scale.

use std::path::Path;
use std::sync::Arc;

use super::chunks::Chunks;
use super::compressed_segmentation as segmentation;
use super::info::{self, Encoding, Scale, Which};
use crate::files::{Address, Files};
use crate::formats::checks;
use crate::formats::pieces::{Cached, Pieces, far_pieces};
use crate::{Block, Extent, Format, Index, OpenOptions, Region, Volume, VolumeError, VolumeInfo, Voxels};

struct Precomputed {
    info: VolumeInfo,
    scale: Scale,
    chunks: Chunks,
    at_once: usize,
}

/// Opens a scale of the precomputed volume in a folder.
pub(crate) fn open(
    files: Arc<dyn Files>,
    path: &Path,
    which: &Which,
    options: &OpenOptions,
) -> Result<Box<dyn Volume>, VolumeError> {
    let scale = info::scale(&*files, &info::read(&*files)?, which)?;
    let info = VolumeInfo {
        path: path.to_owned(),
        format: Format::Precomputed,
        extent: scale.extent,
        voxel_type: scale.voxel_type,
        voxel_size: scale.voxel_size,
        grain: scale.chunk,
    };
    let chunks = Chunks::new(files, &scale);
    let bytes = (scale.chunk.len() as u64).saturating_mul(scale.stored_bytes());
    let at_once = if Address::parse(path)?.is_some() { far_pieces(bytes) } else { 1 };
    Ok(Box::new(Cached::new(Precomputed { info, scale, chunks, at_once }, options.cache_bytes)))
}

impl Pieces for Precomputed {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn at_once(&self) -> usize {
        self.at_once
    }

    fn decode(&self, region: Region) -> Result<Block, VolumeError> {
        let scale = &self.scale;
        let chunk = chunk_of(scale, region);
        let raw_bytes = chunk.extent.len() as u64 * scale.stored_bytes();
        let most = match scale.encoding {
            Encoding::Raw => raw_bytes,
            Encoding::CompressedSegmentation { block } => {
                segmentation::most_bytes(chunk.extent, block).unwrap_or(u64::MAX)
            }
        };
        let mut out = checks::zeros(&self.info.path, region, scale.voxel_type)?;
        let Some(bytes) = self.chunks.get(scale, chunk, most)? else { return Ok(out) };
        let (from, start) = (region.start, chunk.start);
        let at = Index::new(from.z - start.z, from.y - start.y, from.x - start.x);
        let inside = Region::new(at, region.extent);
        let malformed = |found: String| {
            VolumeError::malformed(self.chunks.place(scale, chunk), found, format!("a chunk of {}", chunk.extent))
        };
        match (scale.encoding, out.voxels_mut()) {
            (Encoding::CompressedSegmentation { block }, Voxels::U32(out)) => {
                segmentation::decode(&bytes, chunk.extent, block, scale.wide, inside, out).map_err(malformed)?;
            }
            _ if bytes.len() as u64 != raw_bytes => {
                return Err(malformed(format!("{} bytes, not {raw_bytes}", bytes.len())));
            }
            (_, out) => raw(&bytes, chunk.extent, inside, scale.wide, out).map_err(malformed)?,
        }
        Ok(out)
    }
}

/// The chunk that a region lies in.
fn chunk_of(scale: &Scale, region: Region) -> Region {
    let axis = |at: u64, size: u64, limit: u64| {
        let start = at / size * size;
        (start, size.min(limit - start))
    };
    let (z, depth) = axis(region.start.z, scale.chunk.z, scale.extent.z);
    let (y, height) = axis(region.start.y, scale.chunk.y, scale.extent.y);
    let (x, width) = axis(region.start.x, scale.chunk.x, scale.extent.x);
    Region::new(Index::new(z, y, x), Extent::new(depth, height, width))
}

/// Takes a part of a raw chunk, whose bytes are all there.
fn raw(bytes: &[u8], chunk: Extent, inside: Region, wide: bool, out: &mut Voxels) -> Result<(), String> {
    match out {
        Voxels::U8(out) => numbers(bytes, chunk, inside, out, |[b]: [u8; 1]| b),
        Voxels::U16(out) => numbers(bytes, chunk, inside, out, u16::from_le_bytes),
        Voxels::I16(out) => numbers(bytes, chunk, inside, out, i16::from_le_bytes),
        Voxels::F32(out) => numbers(bytes, chunk, inside, out, f32::from_le_bytes),
        Voxels::U32(out) if wide => {
            let mut too_wide = None;
            numbers(bytes, chunk, inside, out, |b| {
                let label = u64::from_le_bytes(b);
                u32::try_from(label).unwrap_or_else(|_| {
                    too_wide = Some(label);
                    0
                })
            });
            return too_wide.map_or(Ok(()), |label| Err(segmentation::too_wide(label)));
        }
        Voxels::U32(out) => numbers(bytes, chunk, inside, out, u32::from_le_bytes),
    }
    Ok(())
}

fn numbers<T, const N: usize>(
    bytes: &[u8],
    chunk: Extent,
    inside: Region,
    out: &mut [T],
    mut number: impl FnMut([u8; N]) -> T,
) {
    let width = inside.extent.x as usize;
    for (row, out) in out.chunks_exact_mut(width.max(1)).enumerate() {
        let (z, y) = (row as u64 / inside.extent.y, row as u64 % inside.extent.y);
        let from = chunk.offset(Index::new(inside.start.z + z, inside.start.y + y, inside.start.x)) * N;
        let (stored, _) = bytes[from..from + width * N].as_chunks::<N>();
        for (out, &stored) in out.iter_mut().zip(stored) {
            *out = number(stored);
        }
    }
}
