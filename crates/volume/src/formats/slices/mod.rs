//! A folder of slices, one section each: PNG or TIFF, in natural order of their names.

mod natural;
mod png;
mod write;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use write::SliceWriter;

use super::pieces::{Cached, Pieces};
use super::tiff;
use crate::{
    Block, Extent, Format, OpenOptions, Place, Region, Volume, VolumeError, VolumeInfo, VoxelSize, VoxelType, fs,
};

/// What is known of a slice before its pixels are read.
#[derive(Clone, Debug, PartialEq)]
struct SliceHeader {
    height: u64,
    width: u64,
    voxel_type: VoxelType,
    voxel_size: Option<VoxelSize>,
}

/// The kinds of slices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Png,
    Tiff,
}

impl Kind {
    /// By the ending of the name, in any case; hidden files are never slices.
    fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if name.starts_with('.') {
            return None;
        }
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "png" => Some(Self::Png),
            "tif" | "tiff" => Some(Self::Tiff),
            _ => None,
        }
    }

    const fn format(self) -> Format {
        match self {
            Self::Png => Format::PngFolder,
            Self::Tiff => Format::TiffFolder,
        }
    }
}

/// One slice: its file, and what was learned from its header.
#[derive(Debug)]
enum Slice {
    Png { path: PathBuf, greys: Option<Vec<u8>> },
    Tiff(Box<tiff::Page>),
}

struct Slices {
    info: VolumeInfo,
    header: SliceHeader,
    sections: Vec<Slice>,
}

/// Opens a folder of slices. All headers are read and compared, no pixels.
pub(crate) fn open_folder(folder: &Path, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    let mut files: Vec<PathBuf> =
        fs::list(folder)?.into_iter().filter(|p| Kind::of(p).is_some() && p.is_file()).collect();
    let name = |p: &PathBuf| p.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.sort_by(|a, b| natural::compare(&name(a), &name(b)));
    open_files(folder, files, options)
}

/// Opens one PNG as a volume of one section.
pub(crate) fn open_file(path: &Path, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    open_files(path, vec![path.to_owned()], options)
}

fn open_files(path: &Path, files: Vec<PathBuf>, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    let no_slices = || VolumeError::NoSlices { place: Place::file(path) };
    let kind = files.first().and_then(|p| Kind::of(p)).ok_or_else(no_slices)?;
    if let Some(other) = files.iter().find(|p| Kind::of(p) != Some(kind)) {
        return Err(VolumeError::Unsupported {
            place: Place::file(path),
            found: format!("both PNG and TIFF slices ({} and {})", files[0].display(), other.display()),
            expected: "slices of one kind".into(),
            hint: "Put them in folders of their own.".into(),
        });
    }
    let read: Vec<Result<(SliceHeader, Slice, String), VolumeError>> =
        files.into_par_iter().map(|p| header(kind, p)).collect();
    let mut slices = Vec::with_capacity(read.len());
    let mut first: Option<(SliceHeader, String, PathBuf)> = None;
    for result in read {
        let (header, slice, words) = result?;
        match &first {
            None => first = Some((header, words, slice.path().to_owned())),
            Some((expected, expected_words, first_path)) => {
                let same = (header.height, header.width, header.voxel_type)
                    == (expected.height, expected.width, expected.voxel_type);
                if !same || words != *expected_words {
                    return Err(VolumeError::SliceDiffers {
                        place: Place::file(slice.path()),
                        found: words,
                        expected: expected_words.clone(),
                        first: Place::file(first_path),
                    });
                }
            }
        }
        slices.push(slice);
    }
    // A palette stands for grey values only if it does so in every slice; else its places are labels.
    if !slices.iter().all(|s| matches!(s, Slice::Png { greys: Some(_), .. })) {
        for slice in &mut slices {
            if let Slice::Png { greys, .. } = slice {
                *greys = None;
            }
        }
    }
    tiff::agree_on_palettes(
        slices.iter_mut().filter_map(|s| if let Slice::Tiff(page) = s { Some(&mut **page) } else { None }),
    );
    let (header, ..) = first.ok_or_else(no_slices)?;
    let info = VolumeInfo {
        path: path.to_owned(),
        format: kind.format(),
        extent: Extent::new(slices.len() as u64, header.height, header.width),
        voxel_type: header.voxel_type,
        voxel_size: header.voxel_size,
        grain: Extent::new(1, header.height, header.width),
    };
    Ok(Box::new(Cached::new(Slices { info, header, sections: slices }, options.cache_bytes)))
}

/// A slice's header, and its size and type in words.
fn header(kind: Kind, path: PathBuf) -> Result<(SliceHeader, Slice, String), VolumeError> {
    let (header, slice, pixels) = match kind {
        Kind::Png => {
            let (header, pixels) = png::header(&path)?;
            let (words, greys) = match pixels {
                png::Pixels::Grey => ("grey", None),
                png::Pixels::GreyAlpha => ("grey with alpha", None),
                png::Pixels::Palette(greys) => ("palette", greys),
            };
            (header, Slice::Png { path, greys }, words)
        }
        Kind::Tiff => {
            let page = tiff::Page::single(&path)?;
            let header = SliceHeader {
                height: page.height(),
                width: page.width(),
                voxel_type: page.voxel_type(),
                voxel_size: page.voxel_size(),
            };
            let words = page.kind();
            (header, Slice::Tiff(Box::new(page)), words)
        }
    };
    let words = format!("{} × {}, {} {pixels}", header.height, header.width, header.voxel_type);
    Ok((header, slice, words))
}

impl Slice {
    fn path(&self) -> &Path {
        match self {
            Self::Png { path, .. } => path,
            Self::Tiff(page) => page.path(),
        }
    }
}

impl Pieces for Slices {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn decode(&self, region: Region) -> Result<Block, VolumeError> {
        match &self.sections[region.start.z as usize] {
            Slice::Png { path, greys } => png::decode(path, &self.header, greys.as_deref(), region),
            Slice::Tiff(page) => page.read(region),
        }
    }
}

fn not_in_png(path: &Path, voxel_type: VoxelType) -> VolumeError {
    VolumeError::Unsupported {
        place: Place::file(path),
        found: format!("{voxel_type} voxels"),
        expected: "8 or 16 bits without sign in PNG".into(),
        hint: "Write OME-Zarr (a name ending in .zarr) or TIFF (.tif) instead.".into(),
    }
}
