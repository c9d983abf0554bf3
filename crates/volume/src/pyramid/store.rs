//! Starts the levels of a volume, goes on with them, opens them.

use std::path::Path;
use std::sync::Arc;

use super::Level;
use crate::files;
use crate::formats::ome_zarr::{self, ZarrLayout, ZarrWriter};
use crate::formats::precomputed::{self, PrecomputedWriter, Which};
use crate::open::make_room;
use crate::{Format, OpenOptions, Place, Volume, VolumeError, VolumeSpec, VolumeWriter, create_as, open_with};

/// Starts a new volume with levels (from [`levels`](super::levels)); a writer for each, the finest first.
///
/// As [`create_as`] otherwise. `zarr` matters to OME-Zarr only. Levels that are not written yet read as 0.
///
/// # Errors
/// [`VolumeError::Unsupported`] for several levels in a format that has one, or a first level that is not the volume.
pub fn create_levels(
    path: &Path,
    format: Format,
    spec: &VolumeSpec,
    levels: &[Level],
    zarr: ZarrLayout,
    overwrite: bool,
) -> Result<Vec<Box<dyn VolumeWriter>>, VolumeError> {
    let unsupported = |found: String, expected: &str, hint: &str| VolumeError::Unsupported {
        place: Place::file(path),
        found,
        expected: expected.into(),
        hint: hint.into(),
    };
    if levels.first() != Some(&Level::first(spec.extent, spec.voxel_size)) {
        let found = format!("levels of another volume than one of {}", spec.extent);
        return Err(unsupported(found, "levels that begin with the volume", "Make them for its size and voxel size."));
    }
    let path = precomputed::strip_prefix(path).unwrap_or(path);
    match format {
        Format::OmeZarr => {
            make_room(path, format, overwrite)?;
            Ok(boxed(ZarrWriter::create_levels(path, spec, levels, zarr)?))
        }
        Format::Precomputed => {
            make_room(path, format, overwrite)?;
            Ok(boxed(PrecomputedWriter::create_levels(&files::at(path)?, path, spec, levels)?))
        }
        _ if levels.len() == 1 => Ok(vec![create_as(path, format, spec, overwrite)?]),
        _ => Err(unsupported(
            format!("{} levels", levels.len()),
            "one level in this format",
            "Write OME-Zarr (a name ending in .zarr) or precomputed (.precomputed).",
        )),
    }
}

/// Goes on writing the levels of a volume that [`create_levels`] started; a writer for each, the finest first.
pub fn reopen_levels(path: &Path) -> Result<Vec<Box<dyn VolumeWriter>>, VolumeError> {
    let path = precomputed::strip_prefix(path).unwrap_or(path);
    if let Some((files, Which::Number(_))) = precomputed::find(path)? {
        let scale = |number| PrecomputedWriter::reopen(&files, path, &Which::Number(number));
        return Ok(boxed((0..PrecomputedWriter::scales(&*files)?).map(scale).collect::<Result<Vec<_>, _>>()?));
    }
    let level = |level| ZarrWriter::reopen_level(path, level);
    Ok(boxed((0..ome_zarr::levels(path)?).map(level).collect::<Result<Vec<_>, _>>()?))
}

/// Opens a level of an OME-Zarr or precomputed volume, 0 the finest; other formats have that one only.
///
/// # Errors
/// As [`open_with`]; [`VolumeError::Malformed`] where there is no such level.
pub fn open_level(path: &Path, level: usize, options: &OpenOptions) -> Result<Arc<dyn Volume>, VolumeError> {
    let path = precomputed::strip_prefix(path).unwrap_or(path);
    if let Some((files, Which::Number(_))) = precomputed::find(path)? {
        return Ok(precomputed::open(files, path, &Which::Number(level), options)?.into());
    }
    if ome_zarr::is_zarr(&*files::at(path)?, "")? {
        return Ok(ome_zarr::open_level(path, level, options)?.into());
    }
    if level > 0 {
        let found = format!("no level {level}");
        return Err(VolumeError::malformed(Place::file(path), found, "a volume with levels (OME-Zarr, precomputed)"));
    }
    open_with(path, options)
}

fn boxed<W: VolumeWriter + 'static>(writers: Vec<W>) -> Vec<Box<dyn VolumeWriter>> {
    writers.into_iter().map(|writer| Box::new(writer) as Box<dyn VolumeWriter>).collect()
}
