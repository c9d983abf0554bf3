//! A TIFF file with a page per section.

use std::path::Path;

use super::directory::{Directory, Source, tag};
use super::page::{self, Chunks, Layout};
use crate::formats::pieces::{Cached, Pieces};
use crate::{Block, Extent, Format, OpenOptions, Place, Region, Volume, VolumeError, VolumeInfo};

/// Strips are decoded in groups of at least this many bytes: some programs write a strip per row.
const PIECE_BYTES: u64 = 128 << 10;

struct Stack {
    info: VolumeInfo,
    source: Source,
    pages: Vec<(Layout, Chunks)>,
}

/// Opens a TIFF file as a volume. All directories are read, no pixels.
pub(crate) fn open_stack(path: &Path, options: &OpenOptions) -> Result<Box<dyn Volume>, VolumeError> {
    let (source, first) = Source::open(path)?;
    let directories = source.directories(first)?;
    let directories = full_size(&directories)?;
    let description = page::describe(directories[0]);
    description.check_sections(Place::file(path))?;
    let mut pages = Vec::with_capacity(directories.len());
    for directory in &directories {
        let (layout, chunks) = page::page(directory, description.imagej)?;
        let words = |l: &Layout| format!("{} × {}, {} {}", l.height, l.width, l.voxel_type(), l.kind());
        if let Some((expected, _)) = pages.first()
            && !layout.matches(expected)
        {
            return Err(VolumeError::SliceDiffers {
                place: directory.place(),
                found: words(&layout),
                expected: words(expected),
                first: directories[0].place(),
            });
        }
        pages.push((layout, chunks));
    }
    if let (Some(images), [_]) = (description.images.filter(|&n| n > 1), pages.as_slice()) {
        pages = follow_on(&source, &pages[0], images)?;
    }
    if description.slices.max(description.frames) > pages.len() as u64 {
        return Err(VolumeError::Unsupported {
            place: Place::file(path),
            found: format!("{} pages of {} sections", pages.len(), description.slices.max(description.frames)),
            expected: "all sections in this file".into(),
            hint: "Its other sections may lie in files beside it: save them as one file, or open the folder.".into(),
        });
    }
    page::agree(pages.iter_mut().map(|(_, chunks)| chunks));
    let layout = &pages[0].0;
    let extent = Extent::new(pages.len() as u64, layout.height, layout.width);
    let info = VolumeInfo {
        path: path.to_owned(),
        format: Format::TiffStack,
        extent,
        voxel_type: layout.voxel_type(),
        voxel_size: description.voxel_size(),
        grain: grain(&pages),
    };
    drop(directories);
    Ok(Box::new(Cached::new(Stack { info, source, pages }, options.cache_bytes)))
}

/// The pages that are images of their own, without thumbnails and levels of a pyramid.
pub(super) fn full_size<'a>(directories: &'a [Directory<'a>]) -> Result<Vec<&'a Directory<'a>>, VolumeError> {
    let mut pages = Vec::with_capacity(directories.len());
    for directory in directories {
        if directory.unsigned(tag::NEW_SUBFILE_TYPE)?.unwrap_or(0) & 1 == 0 {
            pages.push(directory);
        }
    }
    match directories.first() {
        Some(first) if pages.is_empty() => Err(VolumeError::malformed(first.place(), "only thumbnails", "an image")),
        _ => Ok(pages),
    }
}

/// ImageJ writes stacks beyond 4 GB with one directory; the other sections' pixels follow the first's, uncompressed.
fn follow_on(
    source: &Source,
    (layout, chunks): &(Layout, Chunks),
    images: u64,
) -> Result<Vec<(Layout, Chunks)>, VolumeError> {
    let layout = Layout { chunk: Extent::new(1, layout.height, layout.width), ..layout.clone() };
    let start = chunks.offsets[0];
    let section = layout.height.checked_mul(layout.row_bytes());
    let end = section.and_then(|n| n.checked_mul(images)).and_then(|n| n.checked_add(start));
    let (Some(section), true) = (section, end.is_some_and(|end| end <= source.len)) else {
        return Err(VolumeError::malformed(
            Place::file(&source.path),
            format!("a file of {} bytes", source.len),
            format!("{images} images of {} × {}, as its description says", layout.height, layout.width),
        ));
    };
    if layout.compression != 1 || layout.tiled {
        return Err(VolumeError::malformed(
            Place::file(&source.path),
            "1 page",
            format!("{images}, as its description says"),
        ));
    }
    let at = |i: u64| Chunks { offsets: vec![start + i * section], counts: vec![section], greys: chunks.greys.clone() };
    Ok((0..images).map(|i| (layout.clone(), at(i))).collect())
}

/// What is decoded at once: a tile, some strips, or a section where pages differ.
fn grain(pages: &[(Layout, Chunks)]) -> Extent {
    let layout = &pages[0].0;
    let whole = Extent::new(1, layout.height, layout.width);
    if !pages.iter().all(|(l, _)| (l.chunk, l.tiled) == (layout.chunk, layout.tiled)) {
        return whole;
    }
    let strips = if layout.tiled { 1 } else { PIECE_BYTES.div_ceil((layout.chunk.y * layout.row_bytes()).max(1)) };
    Extent::new(1, (layout.chunk.y * strips).min(whole.y), layout.chunk.x.min(whole.x))
}

impl Pieces for Stack {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn decode(&self, region: Region) -> Result<Block, VolumeError> {
        let (layout, chunks) = &self.pages[region.start.z as usize];
        page::read(&self.source, layout, chunks, &format!("page {}", region.start.z), region)
    }
}
