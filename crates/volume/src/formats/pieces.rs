//! Reading any region of a volume that is stored in pieces of one size.

use std::sync::{Arc, OnceLock};

use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use super::checks;
use crate::cache::Cache;
use crate::{Block, Extent, Index, Region, Volume, VolumeError, VolumeInfo};

/// A volume as its format sees it: pieces on a grid of [`VolumeInfo::grain`], counted from the first voxel.
pub(super) trait Pieces: Send + Sync {
    /// What the volume is.
    fn info(&self) -> &VolumeInfo;

    /// Decodes a region that lies in one piece.
    fn decode(&self, region: Region) -> Result<Block, VolumeError>;

    /// How many pieces are worth decoding at once, where more than there are threads: those of a store far away spend
    /// their time waiting.
    fn at_once(&self) -> usize {
        1
    }
}

/// Threads that wait for far pieces, for all volumes together.
const WAITING: usize = 16;

/// Decoded bytes of far pieces at once.
const WAITING_BYTES: u64 = 256 << 20;

/// How many pieces of `bytes` are waited for at once.
pub(super) fn far_pieces(bytes: u64) -> usize {
    (WAITING_BYTES / bytes.max(1)).clamp(1, WAITING as u64) as usize
}

/// The threads that wait for far pieces; none where the system gives none.
fn waiting() -> Option<&'static ThreadPool> {
    static POOL: OnceLock<Option<ThreadPool>> = OnceLock::new();
    let build = || ThreadPoolBuilder::new().num_threads(WAITING).thread_name(|i| format!("far-{i}")).build().ok();
    POOL.get_or_init(build).as_ref()
}

/// A volume over pieces with a cache of decoded ones.
///
/// Pieces larger than the whole cache are not kept; of those only the asked part is decoded where the format can.
pub(super) struct Cached<P> {
    pieces: P,
    cache: Cache,
}

impl<P: Pieces> Cached<P> {
    pub(super) fn new(pieces: P, cache_bytes: usize) -> Self {
        Self { pieces, cache: Cache::new(cache_bytes) }
    }

    /// The pieces of the grid that a region meets, each with its number, cut at the volume's end.
    fn meeting(&self, region: Region) -> Vec<(u64, Region)> {
        let VolumeInfo { extent, grain, .. } = *self.pieces.info();
        if region.is_empty() {
            return Vec::new();
        }
        let (rows, columns) = (extent.y.div_ceil(grain.y), extent.x.div_ceil(grain.x));
        let end = region.end();
        let span = |start: u64, end: u64, grain: u64| start / grain..end.div_ceil(grain);
        let cut = |i: u64, grain: u64, limit: u64| (i * grain, grain.min(limit - i * grain));
        let mut pieces = Vec::new();
        for i in span(region.start.z, end.z, grain.z) {
            for j in span(region.start.y, end.y, grain.y) {
                for k in span(region.start.x, end.x, grain.x) {
                    let (z, depth) = cut(i, grain.z, extent.z);
                    let (y, height) = cut(j, grain.y, extent.y);
                    let (x, width) = cut(k, grain.x, extent.x);
                    let piece = Region::new(Index::new(z, y, x), Extent::new(depth, height, width));
                    pieces.push(((i * rows + j) * columns + k, piece));
                }
            }
        }
        pieces
    }
}

/// The position of `at` as seen from `origin`, which lies before it.
fn from(origin: Index, at: Index) -> Index {
    Index::new(at.z - origin.z, at.y - origin.y, at.x - origin.x)
}

/// Copies what `piece`, whose first voxel is at `origin`, and the wanted region have in common.
fn paste(target: &mut Block, wanted: Region, piece: &Block, origin: Index) {
    if let Some(common) = wanted.intersect(&Region::new(origin, piece.extent())) {
        let inside = Region::new(from(origin, common.start), common.extent);
        target.paste(from(wanted.start, common.start), piece, inside);
    }
}

impl<P: Pieces> Volume for Cached<P> {
    fn info(&self) -> &VolumeInfo {
        self.pieces.info()
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let info = self.pieces.info();
        checks::region(info, region)?;
        let mut target = checks::zeros(&info.path, region, info.voxel_type)?;
        let mut missing = Vec::new();
        for (number, piece) in self.meeting(region) {
            match self.cache.get(number) {
                Some(block) => paste(&mut target, region, &block, piece.start),
                None => missing.push((number, piece)),
            }
        }
        // In batches of one piece per thread: what is decoded at once does not grow with the region.
        let threads = rayon::current_num_threads().max(1);
        let at_once = self.pieces.at_once().max(threads);
        for batch in missing.chunks(at_once) {
            let decode = |&(number, piece): &(u64, Region)| {
                let bytes = piece.extent.checked_voxels().and_then(|n| n.checked_mul(info.voxel_type.bytes() as u64));
                if bytes.is_some_and(|bytes| self.cache.takes(bytes)) {
                    let block = Arc::new(self.pieces.decode(piece)?);
                    self.cache.put(number, &block);
                    Ok((block, piece.start))
                } else {
                    let part = piece.intersect(&region).unwrap_or(piece);
                    Ok((Arc::new(self.pieces.decode(part)?), part.start))
                }
            };
            let decoded: Result<Vec<_>, VolumeError> = match batch {
                [one] => decode(one).map(|block| vec![block]),
                many => {
                    let decode = || many.par_iter().map(decode).collect::<Vec<_>>();
                    let pool = if at_once > threads { waiting() } else { None };
                    pool.map_or_else(decode, |pool| pool.install(decode)).into_iter().collect()
                }
            };
            for (block, origin) in decoded? {
                paste(&mut target, region, &block, origin);
            }
        }
        Ok(target)
    }
}
