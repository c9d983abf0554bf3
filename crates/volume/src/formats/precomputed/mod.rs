//! Neuroglancer precomputed volumes: an `info` file, and for each resolution (scale) a folder of chunks.
//!
//! The specification: <https://github.com/google/neuroglancer/tree/master/src/datasource/precomputed>. Read: encodings
//! `raw` and `compressed_segmentation`, one file per chunk (also gzip-compressed, as CloudVolume writes them) or shards.
//! Written: one file per chunk, grey values as `raw`, 32-bit labels as `compressed_segmentation`; a chunk that was never
//! written reads as 0.
//!
//! Precomputed counts (x, y, z) with x fastest, which is our (z, y, x) row-major order.

mod chunks;
mod compressed_segmentation;
mod gzip;
mod info;
mod new;
mod read;
mod shards;
mod write;

use std::path::Path;
use std::sync::Arc;

use crate::VolumeError;
use crate::files::{self, Address, Files};

pub(crate) use info::Which;
pub(crate) use new::CHUNK;
pub(crate) use read::open;
pub(crate) use write::PrecomputedWriter;

/// The file that makes a folder a precomputed volume.
pub(crate) const INFO: &str = "info";

/// What Neuroglancer puts before the address of a precomputed volume.
const PREFIX: &str = "precomputed://";

/// The address without `precomputed://`; `None` where it does not begin so.
pub(crate) fn strip_prefix(path: &Path) -> Option<&Path> {
    path.to_str()?.strip_prefix(PREFIX).map(Path::new)
}

/// Whether a name directly below a volume belongs to it, as far as its `info` says (folders end in `/`).
pub(crate) fn belongs(files: &dyn Files, name: &str) -> bool {
    let folder = name.strip_suffix('/');
    name == INFO || folder.is_some_and(|folder| info::read(files).is_ok_and(|json| info::has_folder(&json, folder)))
}

/// A volume's files, and a scale.
type Found = (Arc<dyn Files>, Which);

/// The precomputed volume at an address and which of its scales is meant: the first of a folder with `info`, or the one
/// whose own folder the address is.
pub(crate) fn find(path: &Path) -> Result<Option<Found>, VolumeError> {
    let files = files::at(path)?;
    if files.size(INFO)?.is_some() {
        return Ok(Some((files, Which::Number(0))));
    }
    let (Some(folder), Some(key)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Ok(None);
    };
    // Above a bucket there is nothing.
    if Address::parse(path)?.is_some() && !matches!(Address::parse(folder), Ok(Some(_))) {
        return Ok(None);
    }
    let files = files::at(folder)?;
    let is_scale = files.size(INFO)?.is_some() && info::read(&*files).is_ok_and(|json| info::has_folder(&json, key));
    Ok(is_scale.then(|| (files, Which::Key(key.to_owned()))))
}
