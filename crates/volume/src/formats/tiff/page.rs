//! One page of a TIFF file: how its pixels lie in the file, and reading a part of them.

use std::path::{Path, PathBuf};

use super::chunk;
use super::description::{Description, Resolution};
use super::directory::{Directory, Source, tag};
use crate::formats::checks;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VoxelSize, VoxelType, Voxels};

/// What a pixel's number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// A grey value.
    Grey,
    /// A grey value, 0 the brightest; it is turned round.
    WhiteIsZero,
    /// A place in a palette.
    Palette,
}

/// What kind of number a pixel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number {
    Unsigned,
    Signed,
    Float,
}

/// How the pixels of a page are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) height: u64,
    pub(super) width: u64,
    pub(super) bits: u64,
    pub(super) number: Number,
    pub(super) meaning: Meaning,
    pub(super) compression: u16,
    pub(super) predictor: u16,
    pub(super) tiled: bool,
    /// Rows and columns of a strip or tile.
    pub(super) chunk: Extent,
}

/// Where the pixels of a page lie in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    pub(super) offsets: Vec<u64>,
    pub(super) counts: Vec<u64>,
    /// The grey value of each place of a palette, where all its colours are grey.
    pub(super) greys: Option<Vec<u8>>,
}

/// A TIFF file of one page, closed between reads: a folder may have more slices than a process may have open files.
#[derive(Debug)]
pub(in crate::formats) struct Page {
    path: PathBuf,
    pub(super) layout: Layout,
    pub(super) chunks: Chunks,
    voxel_size: Option<VoxelSize>,
}

impl Layout {
    pub(super) const fn voxel_type(&self) -> VoxelType {
        match (self.bits, self.number) {
            (16, Number::Signed) => VoxelType::I16,
            (32, Number::Float) => VoxelType::F32,
            (16, _) => VoxelType::U16,
            (32, _) => VoxelType::U32,
            _ => VoxelType::U8,
        }
    }

    pub(super) const fn kind(&self) -> &'static str {
        match self.meaning {
            Meaning::Grey => "grey",
            Meaning::WhiteIsZero => "grey, 0 is white",
            Meaning::Palette => "palette",
        }
    }

    /// Whether two pages can be sections of one volume.
    pub(super) fn matches(&self, other: &Self) -> bool {
        (self.height, self.width, self.voxel_type(), self.meaning)
            == (other.height, other.width, other.voxel_type(), other.meaning)
    }

    /// Chunks side by side.
    pub(super) const fn across(&self) -> u64 {
        self.width.div_ceil(self.chunk.x)
    }

    /// Bytes of one row of a chunk, decoded.
    pub(super) const fn row_bytes(&self) -> u64 {
        (self.chunk.x * self.bits).div_ceil(8)
    }
}

/// Reads the layout and the places of a page from its tags.
pub(super) fn page(directory: &Directory<'_>, imagej: bool) -> Result<(Layout, Chunks), VolumeError> {
    let missing = |what: &str| VolumeError::malformed(directory.place(), format!("no {what}"), "a TIFF image");
    let size = |t: u16, what: &str| -> Result<u64, VolumeError> {
        directory.unsigned(t)?.filter(|&n| n > 0 && u32::try_from(n).is_ok()).ok_or_else(|| missing(what))
    };
    let (height, width) = (size(tag::HEIGHT, "height")?, size(tag::WIDTH, "width")?);
    let (bits, number, meaning) = pixels(directory, imagej)?;
    let compression = directory.unsigned(tag::COMPRESSION)?.unwrap_or(1);
    let predictor = directory.unsigned(tag::PREDICTOR)?.unwrap_or(1);
    let (compression, predictor) = chunk::supported(&directory.place(), compression, predictor)?;
    let tiled = directory.unsigned(tag::TILE_WIDTH)?.is_some();
    let (chunk, offsets, counts) = if tiled {
        let chunk = Extent::new(1, size(tag::TILE_LENGTH, "tile length")?, size(tag::TILE_WIDTH, "tile width")?);
        (chunk, tag::TILE_OFFSETS, tag::TILE_BYTE_COUNTS)
    } else {
        let rows = directory.unsigned(tag::ROWS_PER_STRIP)?.filter(|&n| n > 0).unwrap_or(height).min(height);
        (Extent::new(1, rows, width), tag::STRIP_OFFSETS, tag::STRIP_BYTE_COUNTS)
    };
    let offsets = directory.unsigned_list(offsets)?.ok_or_else(|| missing("pixels"))?;
    let layout = Layout { height, width, bits, number, meaning, compression, predictor, tiled, chunk };
    if chunk.y.checked_mul(layout.row_bytes()).is_none_or(|n| n > i64::MAX as u64) {
        return Err(VolumeError::malformed(
            directory.place(),
            format!("strips or tiles of {chunk}"),
            "less than 2⁶³ bytes",
        ));
    }
    let expected = height.div_ceil(chunk.y).checked_mul(layout.across());
    if expected != Some(offsets.len() as u64) {
        let found = format!("{} strips or tiles", offsets.len());
        let expected = format!("{} for {height} × {width} pixels", expected.unwrap_or(u64::MAX));
        return Err(VolumeError::malformed(directory.place(), found, expected));
    }
    let counts = match directory.unsigned_list(counts)? {
        Some(counts) if counts.len() == offsets.len() => counts,
        // Uncompressed pixels take what they take, whatever the file says of it.
        _ if compression == 1 => vec![0; offsets.len()],
        _ => return Err(missing("byte counts of its strips or tiles")),
    };
    let greys = match (meaning, bits) {
        (Meaning::Palette, ..=8) => directory.unsigned_list(tag::COLOR_MAP)?.and_then(|map| grey_values(&map)),
        _ => None,
    };
    Ok((layout, Chunks { offsets, counts, greys }))
}

/// Bits, number and meaning of a pixel, or why it cannot be read.
fn pixels(directory: &Directory<'_>, imagej: bool) -> Result<(u64, Number, Meaning), VolumeError> {
    let unsupported = |found: String, hint: &str| {
        VolumeError::Unsupported {
        place: directory.place(),
        found,
        expected: "one grey channel of 1, 2, 4, 8, 16 or 32 bits without sign, 16 bits with sign, 32-bit floating point, or a palette"
            .into(),
        hint: hint.into(),
    }
    };
    let photometric = directory.unsigned(tag::PHOTOMETRIC)?.unwrap_or(1);
    let samples = directory.unsigned(tag::SAMPLES_PER_PIXEL)?.unwrap_or(1);
    let bits = directory.unsigned(tag::BITS_PER_SAMPLE)?.unwrap_or(1);
    let format = directory.unsigned(tag::SAMPLE_FORMAT)?.unwrap_or(1);
    let meaning = match photometric {
        // Fiji stores a mask with inverted colours so and shows its values as they are in the file: labels stay labels.
        0 if imagej => Meaning::Grey,
        0 => Meaning::WhiteIsZero,
        1 => Meaning::Grey,
        3 => Meaning::Palette,
        2 | 5 | 6 | 8 => {
            return Err(unsupported(
                format!("a colour image ({samples} channels)"),
                "Convert it to grey, for example in Fiji with Image > Type > 8-bit.",
            ));
        }
        other => return Err(unsupported(format!("photometric interpretation {other}"), "Convert it to grey.")),
    };
    if samples != 1 {
        return Err(unsupported(format!("{samples} channels per pixel"), "Save one channel by itself."));
    }
    let number = match (format, bits) {
        (1 | 4, 1 | 2 | 4 | 8 | 16 | 32) => Number::Unsigned,
        (2, 16) => Number::Signed,
        (3, 32) => Number::Float,
        (3, _) => {
            return Err(unsupported(
                format!("{bits}-bit floating point"),
                "Convert it, for example in Fiji with Image > Type > 32-bit.",
            ));
        }
        (2, _) => {
            return Err(unsupported(format!("{bits}-bit with sign"), "Convert it to 16 bits, with or without sign."));
        }
        _ => return Err(unsupported(format!("{bits} bits per pixel"), "Convert it to 8 or 16 bits.")),
    };
    if number != Number::Unsigned && meaning == Meaning::WhiteIsZero {
        return Err(unsupported("inverted values with sign".into(), "Save it again with another program."));
    }
    if bits < 8 && directory.unsigned(tag::FILL_ORDER)?.unwrap_or(1) != 1 {
        return Err(unsupported("pixels in reversed bit order".into(), "Save it again with another program."));
    }
    Ok((bits, number, meaning))
}

/// A TIFF palette lists all reds, then all greens, then all blues, of 16 bits each.
fn grey_values(map: &[u64]) -> Option<Vec<u8>> {
    let n = map.len() / 3;
    (0..n).map(|i| (map[i] == map[n + i] && map[i] == map[2 * n + i]).then_some((map[i] >> 8) as u8)).collect()
}

/// Decodes a region of one page; `region` counts rows and columns of the page.
pub(super) fn read(
    source: &Source,
    layout: &Layout,
    chunks: &Chunks,
    part: &str,
    region: Region,
) -> Result<Block, VolumeError> {
    let mut target = checks::zeros(&source.path, region, layout.voxel_type())?;
    let (start, end) = (region.start, region.end());
    for i in start.y / layout.chunk.y..end.y.div_ceil(layout.chunk.y) {
        for j in start.x / layout.chunk.x..end.x.div_ceil(layout.chunk.x) {
            let at = Index::new(0, i * layout.chunk.y, j * layout.chunk.x);
            let rows = start.y.saturating_sub(at.y)..(end.y - at.y).min(layout.chunk.y);
            let number = (i * layout.across() + j) as usize;
            let block = chunk::decode(source, layout, chunks, part, number, rows.clone())?;
            let origin = Index::new(start.z, at.y + rows.start, at.x);
            let Some(common) = region.intersect(&Region::new(origin, block.extent())) else { continue };
            let to = Index::new(0, common.start.y - start.y, common.start.x - start.x);
            let from = Index::new(0, common.start.y - origin.y, common.start.x - origin.x);
            target.paste(to, &block, Region::new(from, common.extent));
        }
    }
    if let (Some(greys), Voxels::U8(values)) = (&chunks.greys, target.voxels_mut()) {
        for value in values {
            *value = greys.get(usize::from(*value)).copied().unwrap_or(*value);
        }
    }
    Ok(target)
}

/// A palette stands for grey values only if it does so on every page; else its places are labels.
pub(super) fn agree<'a>(chunks: impl Iterator<Item = &'a mut Chunks>) {
    let chunks: Vec<_> = chunks.collect();
    if !chunks.iter().all(|c| c.greys.is_some()) {
        for c in chunks {
            c.greys = None;
        }
    }
}

/// The description and resolution of a page.
pub(super) fn describe(directory: &Directory<'_>) -> Description {
    let resolution = Resolution {
        x: directory.rational(tag::X_RESOLUTION),
        y: directory.rational(tag::Y_RESOLUTION),
        unit: directory.unsigned(tag::RESOLUTION_UNIT).ok().flatten(),
    };
    Description::new(&directory.text(tag::DESCRIPTION).unwrap_or_default(), resolution)
}

impl Page {
    /// The only page of a file.
    pub(in crate::formats) fn single(path: &Path) -> Result<Self, VolumeError> {
        let (source, first) = Source::open(path)?;
        let directories = source.directories(first)?;
        let pages: Vec<_> = super::full_size(&directories)?;
        let [directory] = pages.as_slice() else {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: format!("{} pages in a slice of a folder", pages.len()),
                expected: "one page in each file".into(),
                hint: "Give the path of the file itself to open it as a stack.".into(),
            });
        };
        let description = describe(directory);
        let (layout, chunks) = page(directory, description.imagej)?;
        Ok(Self { path: path.to_owned(), layout, chunks, voxel_size: description.voxel_size() })
    }

    pub(in crate::formats) const fn height(&self) -> u64 {
        self.layout.height
    }

    pub(in crate::formats) const fn width(&self) -> u64 {
        self.layout.width
    }

    pub(in crate::formats) const fn voxel_type(&self) -> VoxelType {
        self.layout.voxel_type()
    }

    pub(in crate::formats) const fn voxel_size(&self) -> Option<VoxelSize> {
        self.voxel_size
    }

    pub(in crate::formats) const fn kind(&self) -> &'static str {
        self.layout.kind()
    }

    pub(in crate::formats) fn path(&self) -> &Path {
        &self.path
    }

    /// The voxels of a region of its section.
    pub(in crate::formats) fn read(&self, region: Region) -> Result<Block, VolumeError> {
        let (source, _) = Source::open(&self.path)?;
        read(&source, &self.layout, &self.chunks, "", region)
    }
}
