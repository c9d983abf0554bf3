//! From an address to a format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::convert::is_state;
#[cfg(feature = "cloud")]
use crate::files::object::ObjectFiles;
use crate::files::{self, Address, Files, LocalFiles};
use crate::formats::precomputed::{self, PrecomputedWriter};
use crate::formats::{hdf5, mrc, ome_zarr, slices, tiff};
use crate::{Place, Volume, VolumeError, VolumeSpec, VolumeWriter, fs};

/// How a volume is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Format {
    /// A folder of PNG slices, in natural order of their names.
    PngFolder,
    /// A folder of TIFF slices, in natural order of their names.
    TiffFolder,
    /// One TIFF file with a page per section.
    TiffStack,
    /// An OME-Zarr image, its first resolution level; written as 0.5 (Zarr v3) unless 0.4 is asked for.
    OmeZarr,
    /// A Neuroglancer precomputed volume, its first scale.
    Precomputed,
    /// One dataset of an HDF5 file.
    Hdf5,
    /// An MRC file, as IMOD and electron tomography have them.
    Mrc,
}

/// How to open a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenOptions {
    /// How many bytes of decoded voxels the volume may keep, for all threads together. Beyond that it holds no more
    /// than one piece (section, strip, tile or chunk) per reading thread.
    pub cache_bytes: usize,
}

impl Default for OpenOptions {
    /// 256 MiB of decoded voxels.
    fn default() -> Self {
        Self { cache_bytes: 256 << 20 }
    }
}

impl OpenOptions {
    /// Keeps at most `bytes` of decoded voxels; 0 keeps nothing.
    #[must_use]
    pub const fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }
}

/// Opens the volume at an address, with the default [`OpenOptions`].
///
/// An address is a path, or one of object storage or a web server for OME-Zarr and precomputed volumes: `s3://bucket/vol.zarr`,
/// `gs://`, `az://`, `abfs://`, `https://`. Credentials come from the environment (`AWS_ACCESS_KEY_ID` and the like).
///
/// A folder with `zarr.json` (or Zarr v2's `.zattrs` or `.zarray`) is OME-Zarr, one with `info` (or a scale's folder in it) a
/// precomputed volume, which may also be given as `precomputed://PATH`; another folder is its slices, a `.tif` or `.tiff`
/// file a stack, a `.png` file a volume of one section. `.h5`, `.hdf5` and `.hdf` files are HDF5: `vol.h5:/group/dataset` names a dataset, `vol.h5` stands
/// for the only one of three axes. `.mrc`, `.rec`, `.st`, `.map` and `.ali` files are MRC.
pub fn open(path: &Path) -> Result<Arc<dyn Volume>, VolumeError> {
    open_with(path, &OpenOptions::default())
}

/// As [`open`], with options.
pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Arc<dyn Volume>, VolumeError> {
    if let Some(folder) = precomputed::strip_prefix(path) {
        let (files, which) = match precomputed::find(folder)? {
            Some(found) => found,
            None => (files::at(folder)?, precomputed::Which::Number(0)),
        };
        return Ok(precomputed::open(files, folder, &which, options)?.into());
    }
    if let Some(files) = files::remote(path)? {
        return Ok(open_remote(path, &*files, options)?.into());
    }
    if let Some(address) = hdf5::Address::of(path).filter(|address| !address.file.is_dir()) {
        return Ok(hdf5::open(path, &address, options)?.into());
    }
    let metadata = std::fs::metadata(path).map_err(|e| VolumeError::io(path, "open", e))?;
    let volume = if metadata.is_dir() {
        if ome_zarr::is_zarr(&LocalFiles { folder: path.to_owned() }, "")? {
            ome_zarr::open(path, options)?
        } else if let Some((files, which)) = precomputed::find(path)? {
            precomputed::open(files, path, &which, options)?
        } else {
            slices::open_folder(path, options)?
        }
    } else {
        match ending(path).as_deref() {
            Some("tif" | "tiff") => tiff::open_stack(path, options)?,
            Some("png") => slices::open_file(path, options)?,
            Some("mrc" | "rec" | "st" | "map" | "ali") => mrc::open(path, options)?,
            other => {
                return Err(VolumeError::Unsupported {
                    place: Place::file(path),
                    found: other.map_or("a file without ending".into(), |e| format!("a .{e} file")),
                    expected: "a .tif, .tiff, .png, .h5, .hdf5 or .mrc file, or a folder of slices, OME-Zarr or \
                               precomputed"
                        .into(),
                    hint: "Convert it, for example in Fiji with File > Save As > Tiff.".into(),
                });
            }
        }
    };
    Ok(volume.into())
}

/// Whether an address leads to object storage or a web server (`s3://…`), and is no path on this machine.
pub fn is_remote(path: &Path) -> bool {
    Address::parse(precomputed::strip_prefix(path).unwrap_or(path)).is_ok_and(|address| address.is_some())
}

/// Opens a volume in object storage or on a web server.
fn open_remote(path: &Path, files: &dyn Files, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    if ome_zarr::is_zarr(files, "")? {
        return ome_zarr::open(path, options);
    }
    if let Some((files, which)) = precomputed::find(path)? {
        return precomputed::open(files, path, &which, options);
    }
    Err(VolumeError::Unsupported {
        place: Place::file(path),
        found: "neither zarr.json (or .zattrs, .zarray) nor info".into(),
        expected: "an OME-Zarr or a precomputed volume: others are not read from object storage".into(),
        hint: "Check the address; copy TIFF and PNG to this machine first.".into(),
    })
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Starts a new volume; the name's ending says the format: `.zarr` OME-Zarr, `.precomputed` Neuroglancer precomputed, `.tif`
/// or `.tiff` a stack, `.h5` or `.hdf5` HDF5 (`out.h5:/name` names the dataset), `.mrc` or `.rec` MRC, a name without one of
/// these endings a folder of PNG slices. [`create_as`] makes any format under any name.
///
/// OME-Zarr and precomputed volumes may also be made in object storage (`s3://bucket/vol.zarr`, `gs://`, `az://`, `abfs://`).
///
/// With `overwrite`, what is there is removed first if it is a volume of the same format; a folder with anything else in
/// it is left alone. A file is replaced only when the new one is complete, and an HDF5 file with other datasets not at all.
///
/// # Errors
/// [`VolumeError::Exists`] where something is there and `overwrite` is not set.
pub fn create(path: &Path, spec: &VolumeSpec, overwrite: bool) -> Result<Box<dyn VolumeWriter>, VolumeError> {
    create_as(path, Format::of_output(path), spec, overwrite)
}

impl Format {
    /// Whether a volume may have resolution levels.
    pub const fn has_levels(self) -> bool {
        matches!(self, Self::OmeZarr | Self::Precomputed)
    }

    /// Whether a volume is a folder of files, each written by itself.
    pub const fn is_folder(self) -> bool {
        matches!(self, Self::OmeZarr | Self::Precomputed | Self::PngFolder | Self::TiffFolder)
    }

    /// The format in which [`create`] writes a volume of this name.
    pub fn of_output(path: &Path) -> Self {
        if hdf5::Address::of(path).is_some() {
            return Self::Hdf5;
        }
        match ending(path).as_deref() {
            _ if precomputed::strip_prefix(path).is_some() => Self::Precomputed,
            Some("zarr") => Self::OmeZarr,
            Some("precomputed") => Self::Precomputed,
            Some("tif" | "tiff") => Self::TiffStack,
            Some("mrc" | "rec") => Self::Mrc,
            _ => Self::PngFolder,
        }
    }
}

/// As [`create`], in the given format whatever the name: the way to a folder of TIFF slices.
pub fn create_as(
    path: &Path,
    format: Format,
    spec: &VolumeSpec,
    overwrite: bool,
) -> Result<Box<dyn VolumeWriter>, VolumeError> {
    let path = precomputed::strip_prefix(path).unwrap_or(path);
    make_room(path, format, overwrite)?;
    Ok(match format {
        Format::Precomputed => Box::new(PrecomputedWriter::create(&files::at(path)?, path, spec)?),
        Format::OmeZarr => Box::new(ome_zarr::ZarrWriter::create(path, spec)?),
        Format::TiffStack => Box::new(tiff::StackWriter::create(path, spec)?),
        Format::Hdf5 => Box::new(hdf5::Hdf5Writer::create(path, spec)?),
        Format::Mrc => Box::new(mrc::MrcWriter::create(path, spec)?),
        Format::PngFolder => Box::new(slices::SliceWriter::png(path, spec)?),
        Format::TiffFolder => Box::new(slices::SliceWriter::tiff(path, spec)?),
    })
}

/// Goes on writing an OME-Zarr or precomputed volume that [`create`] started: metadata and chunks stay, blocks add to or
/// replace them.
pub fn reopen(path: &Path) -> Result<Box<dyn VolumeWriter>, VolumeError> {
    let path = precomputed::strip_prefix(path).unwrap_or(path);
    if let Some((files, which)) = precomputed::find(path)? {
        return Ok(Box::new(PrecomputedWriter::reopen(&files, path, &which)?));
    }
    Ok(Box::new(ome_zarr::ZarrWriter::reopen(path)?))
}

/// Removes a volume that is a folder or lies in object storage, if it is there; in object storage what says that it is one
/// goes last.
///
/// # Errors
/// [`VolumeError::Unsupported`] where something lies there that is no part of a volume of this format, or a volume of one
/// file; then nothing is removed.
pub fn remove_folder_volume(path: &Path, format: Format) -> Result<(), VolumeError> {
    if !format.is_folder() {
        return Err(VolumeError::Unsupported {
            place: Place::file(path),
            found: "a format of one file".into(),
            expected: "a folder".into(),
            hint: "A file is replaced by the new one.".into(),
        });
    }
    make_room(path, format, true)
}

/// Sees to it that nothing is in the way of a new volume.
pub(crate) fn make_room(path: &Path, format: Format, overwrite: bool) -> Result<(), VolumeError> {
    if let Some(address) = Address::parse(path)? {
        return make_remote_room(path, &address, format, overwrite);
    }
    let address = hdf5::Address::of(path).filter(|_| format == Format::Hdf5);
    let file: PathBuf = address.as_ref().map_or_else(|| path.to_owned(), |address| address.file.clone());
    let Ok(metadata) = std::fs::symlink_metadata(file) else { return Ok(()) };
    let refuse = |found: String| {
        Err(VolumeError::Unsupported {
            place: Place::file(path),
            found,
            expected: "a volume of the same format, to replace it".into(),
            hint: "Remove it yourself, or choose another name.".into(),
        })
    };
    let mut entries = if metadata.is_dir() { fs::list(path)? } else { Vec::new() };
    if !overwrite {
        // What a conversion notes of itself before it begins is not in its way, nor what a killed one left of that.
        entries.retain(|entry| {
            let name = entry.file_name().unwrap_or_default();
            !is_state(&name.to_string_lossy()) && !fs::is_temporary(name)
        });
    }
    if metadata.is_dir() && entries.is_empty() && format.is_folder() {
        return Ok(());
    }
    if !overwrite {
        return Err(VolumeError::Exists { place: Place::file(path) });
    }
    if !format.is_folder() {
        let others = address.as_ref().filter(|_| metadata.is_file()).and_then(hdf5::holds_others);
        return match others {
            Some(others) => refuse(others),
            None if metadata.is_file() => Ok(()),
            None => refuse("something that is no file".into()),
        };
    }
    if !metadata.is_dir() {
        return refuse("something that is no folder".into());
    }
    let files = LocalFiles { folder: path.to_owned() };
    let belongs = |entry: &Path| match format {
        _ if is_state(&entry.file_name().unwrap_or_default().to_string_lossy()) => true,
        Format::OmeZarr | Format::Precomputed => {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            let name = if entry.is_dir() { format!("{name}/") } else { name.into_owned() };
            is_part(&files, format, &name)
        }
        Format::TiffFolder => is_slice(entry, &["tif", "tiff"]),
        _ => is_slice(entry, &["png"]),
    };
    if let Some(foreign) = entries.iter().find(|entry| !belongs(entry)) {
        return refuse(format!("{}, which is no part of a volume", foreign.display()));
    }
    let folders = matches!(format, Format::OmeZarr | Format::Precomputed);
    if folders { fs::remove_dir(path) } else { entries.iter().try_for_each(|e| fs::remove_file(e)) }
}

/// Whether a name directly below a chunked volume belongs to it (folders end in `/`).
fn is_part(files: &dyn Files, format: Format, name: &str) -> bool {
    // What a prediction says of itself.
    if is_state(name) || name == "deep3m-run.json" {
        return true;
    }
    if format == Format::Precomputed {
        return precomputed::belongs(files, name);
    }
    let is_level = |folder: &str| {
        let has = |file| files.size(&format!("{folder}/{file}")).is_ok_and(|size| size.is_some());
        has("zarr.json") || has(".zarray")
    };
    name == "zarr.json" || name.starts_with('.') || name.strip_suffix('/').is_some_and(is_level)
}

/// As [`make_room`], in object storage.
#[cfg(feature = "cloud")]
fn make_remote_room(path: &Path, address: &Address, format: Format, overwrite: bool) -> Result<(), VolumeError> {
    let refuse = |found: String, expected: &str, hint: &str| {
        let (place, expected, hint) = (Place::file(path), expected.into(), hint.into());
        Err(VolumeError::Unsupported { place, found, expected, hint })
    };
    if !matches!(format, Format::OmeZarr | Format::Precomputed) {
        return refuse(
            "a new volume of files in object storage".into(),
            "one of chunks: OME-Zarr (a name ending in .zarr) or precomputed (.precomputed)",
            "Choose another name, or write to this machine.",
        );
    }
    let files = ObjectFiles::open(address)?;
    let mut names = files.list("")?;
    if !overwrite {
        names.retain(|name| !is_state(name));
    }
    if names.is_empty() {
        return Ok(());
    }
    if !overwrite {
        return Err(VolumeError::Exists { place: Place::file(path) });
    }
    if let Some(foreign) = names.iter().find(|name| !is_part(&files, format, name)) {
        return refuse(
            format!("{}, which is no part of a volume", files.address(foreign).display()),
            "a volume of the same format, to replace it",
            "Remove it yourself, or choose another name.",
        );
    }
    files.clear("", &["zarr.json", ".zarray", ".zattrs", ".zgroup", precomputed::INFO])
}

/// As [`make_room`], in object storage, of which this program knows nothing.
#[cfg(not(feature = "cloud"))]
fn make_remote_room(_: &Path, address: &Address, _: Format, _: bool) -> Result<(), VolumeError> {
    Err(address.without_cloud())
}

/// Whether a file is a slice, or what an interrupted run left of one.
fn is_slice(entry: &Path, endings: &[&str]) -> bool {
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    let left = name.starts_with('.') && name.ends_with(".part");
    entry.is_file() && (left || ending(entry).is_some_and(|e| endings.contains(&e.as_str())))
}
