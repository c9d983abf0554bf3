//! From an address to a format.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

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
    /// An OME-Zarr 0.5 image (Zarr v3), its first resolution level.
    OmeZarr,
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
/// A folder with `zarr.json` (or Zarr v2's `.zattrs` or `.zarray`) is OME-Zarr, another folder its slices, a `.tif` or `.tiff` file a stack, a `.png` file a
/// volume of one section. `.h5`, `.hdf5` and `.hdf` files are HDF5: `vol.h5:/group/dataset` names a dataset, `vol.h5` stands
/// for the only one of three axes. `.mrc`, `.rec`, `.st`, `.map` and `.ali` files are MRC.
pub fn open(path: &Path) -> Result<Arc<dyn Volume>, VolumeError> {
    open_with(path, &OpenOptions::default())
}

/// As [`open`], with options.
pub fn open_with(path: &Path, options: &OpenOptions) -> Result<Arc<dyn Volume>, VolumeError> {
    if let Some(address) = hdf5::Address::of(path).filter(|address| !address.file.is_dir()) {
        return Ok(hdf5::open(path, &address, options)?.into());
    }
    let metadata = std::fs::metadata(path).map_err(|e| VolumeError::io(path, "open", e))?;
    let volume = if metadata.is_dir() {
        if ome_zarr::is_zarr(path) { ome_zarr::open(path, options)? } else { slices::open_folder(path, options)? }
    } else {
        match ending(path).as_deref() {
            Some("tif" | "tiff") => tiff::open_stack(path, options)?,
            Some("png") => slices::open_file(path, options)?,
            Some("mrc" | "rec" | "st" | "map" | "ali") => mrc::open(path, options)?,
            other => {
                return Err(VolumeError::Unsupported {
                    place: Place::file(path),
                    found: other.map_or("a file without ending".into(), |e| format!("a .{e} file")),
                    expected: "a .tif, .tiff, .png, .h5, .hdf5 or .mrc file, a folder of slices, or an OME-Zarr folder"
                        .into(),
                    hint: "Convert it, for example in Fiji with File > Save As > Tiff.".into(),
                });
            }
        }
    };
    Ok(volume.into())
}

fn ending(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

/// Starts a new volume; the name's ending says the format: `.zarr` OME-Zarr, `.tif` or `.tiff` a stack, `.h5` or `.hdf5`
/// HDF5 (`out.h5:/name` names the dataset), `.mrc` or `.rec` MRC, a name without one of these endings a folder of PNG slices. [`create_as`] makes any format under any name.
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
    /// The format in which [`create`] writes a volume of this name.
    pub fn of_output(path: &Path) -> Self {
        if hdf5::Address::of(path).is_some() {
            return Self::Hdf5;
        }
        match ending(path).as_deref() {
            Some("zarr") => Self::OmeZarr,
            Some("tif" | "tiff") => Self::TiffStack,
            Some("mrc" | "rec") => Self::Mrc,
            _ => Self::PngFolder,
        }
    }

    /// Whether a volume is one file that appears when it is complete.
    const fn is_file(self) -> bool {
        matches!(self, Self::TiffStack | Self::Hdf5 | Self::Mrc)
    }
}

/// As [`create`], in the given format whatever the name: the way to a folder of TIFF slices.
pub fn create_as(
    path: &Path,
    format: Format,
    spec: &VolumeSpec,
    overwrite: bool,
) -> Result<Box<dyn VolumeWriter>, VolumeError> {
    make_room(path, format, overwrite)?;
    Ok(match format {
        Format::OmeZarr => Box::new(ome_zarr::ZarrWriter::create(path, spec)?),
        Format::TiffStack => Box::new(tiff::StackWriter::create(path, spec)?),
        Format::Hdf5 => Box::new(hdf5::Hdf5Writer::create(path, spec)?),
        Format::Mrc => Box::new(mrc::MrcWriter::create(path, spec)?),
        Format::PngFolder => Box::new(slices::SliceWriter::png(path, spec)?),
        Format::TiffFolder => Box::new(slices::SliceWriter::tiff(path, spec)?),
    })
}

/// Goes on writing an OME-Zarr volume that [`create`] started: metadata and chunks stay, blocks add to or replace them.
pub fn reopen(path: &Path) -> Result<Box<dyn VolumeWriter>, VolumeError> {
    Ok(Box::new(ome_zarr::ZarrWriter::reopen(path)?))
}

/// Sees to it that nothing is in the way of a new volume.
fn make_room(path: &Path, format: Format, overwrite: bool) -> Result<(), VolumeError> {
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
    if metadata.is_dir() && fs::list(path)?.is_empty() && !format.is_file() {
        return Ok(());
    }
    if !overwrite {
        return Err(VolumeError::Exists { place: Place::file(path) });
    }
    if format.is_file() {
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
    let entries = fs::list(path)?;
    let belongs = |entry: &Path| match format {
        Format::OmeZarr => {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            name == "zarr.json" || name.starts_with('.') || entry.is_dir() && entry.join("zarr.json").is_file()
        }
        Format::TiffFolder => is_slice(entry, &["tif", "tiff"]),
        _ => is_slice(entry, &["png"]),
    };
    if let Some(foreign) = entries.iter().find(|entry| !belongs(entry)) {
        return refuse(format!("{}, which is no part of a volume", foreign.display()));
    }
    if format == Format::OmeZarr { fs::remove_dir(path) } else { entries.iter().try_for_each(|e| fs::remove_file(e)) }
}

/// Whether a file is a slice, or what an interrupted run left of one.
fn is_slice(entry: &Path, endings: &[&str]) -> bool {
    let name = entry.file_name().unwrap_or_default().to_string_lossy();
    let left = name.starts_with('.') && name.ends_with(".part");
    entry.is_file() && (left || ending(entry).is_some_and(|e| endings.contains(&e.as_str())))
}
