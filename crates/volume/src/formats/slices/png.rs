//! One PNG slice: what its header says, its pixels, writing it.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use png::{BitDepth, ColorType, DecodingError, Transformations};

use super::SliceHeader;
use crate::formats::checks;
use crate::{Block, Extent, Index, Place, Region, VolumeError, VoxelSize, VoxelType, Voxels, fs};

/// The text chunk in which Deep3M keeps the voxel size, "z y x" in nm: PNG itself knows no section thickness.
const VOXEL_SIZE_KEYWORD: &str = "deep3m:voxel-size-nm";

/// How a PNG stores its pixels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pixels {
    /// Values as they are, of 1 to 16 bits.
    Grey,
    /// Values with an alpha channel each.
    GreyAlpha,
    /// Places in a palette; with the grey value of each place if all colours of the palette are grey.
    Palette(Option<Vec<u8>>),
}

/// Reads the chunks before the pixels.
pub(super) fn header(path: &Path) -> Result<(SliceHeader, Pixels), VolumeError> {
    let reader = reader(path)?;
    let info = reader.info();
    let pixels = match info.color_type {
        ColorType::Grayscale => Pixels::Grey,
        ColorType::GrayscaleAlpha => Pixels::GreyAlpha,
        ColorType::Indexed => Pixels::Palette(info.palette.as_deref().and_then(grey_values)),
        colour @ (ColorType::Rgb | ColorType::Rgba) => {
            return Err(VolumeError::Unsupported {
                place: Place::file(path),
                found: format!("a colour image ({colour:?})"),
                expected: "one grey channel of 8 or 16 bits, or a palette".into(),
                hint: "Convert it to grey, for example in Fiji with Image > Type > 8-bit, or: magick mogrify -colorspace Gray *.png".into(),
            });
        }
    };
    let voxel_type = if info.bit_depth == BitDepth::Sixteen { VoxelType::U16 } else { VoxelType::U8 };
    let voxel_size = info
        .uncompressed_latin1_text
        .iter()
        .find(|chunk| chunk.keyword == VOXEL_SIZE_KEYWORD)
        .and_then(|chunk| parse_voxel_size(&chunk.text));
    let header = SliceHeader { height: info.height.into(), width: info.width.into(), voxel_type, voxel_size };
    // Deflate cannot shrink by more than 1032; a header that claims more lies, and nothing of that size is made.
    let claimed = header.height * info.raw_row_length() as u64;
    let bytes = fs::size(path)?;
    if claimed / 1032 > bytes {
        return Err(VolumeError::malformed(
            Place::file(path),
            format!("a file of {bytes} bytes"),
            format!("{} × {} pixels, as its header says", header.height, header.width),
        ));
    }
    Ok((header, pixels))
}

fn grey_values(palette: &[u8]) -> Option<Vec<u8>> {
    palette.chunks_exact(3).map(|c| (c[0] == c[1] && c[1] == c[2]).then_some(c[0])).collect()
}

fn parse_voxel_size(text: &str) -> Option<VoxelSize> {
    let sizes: Vec<f64> = text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let &[z, y, x] = sizes.as_slice() else { return None };
    VoxelSize::new(z, y, x)
}

/// Decodes `region` (of one section, rows and columns as in the file), row by row: memory is the region and some rows.
///
/// `greys`: the value of each palette place, where the palette stands for grey values.
pub(super) fn decode(
    path: &Path,
    header: &SliceHeader,
    greys: Option<&[u8]>,
    region: Region,
) -> Result<Block, VolumeError> {
    let mut reader = reader(path)?;
    let info = reader.info();
    let (height, width) = (u64::from(info.height), u64::from(info.width));
    let sixteen = info.bit_depth == BitDepth::Sixteen;
    if (height, width) != (header.height, header.width) || sixteen != (header.voxel_type == VoxelType::U16) {
        return Err(VolumeError::malformed(
            Place::file(path),
            format!("{height} × {width} pixels"),
            format!("{} × {}, as when the volume was opened", header.height, header.width),
        ));
    }
    let layout = Layout {
        bits: info.bit_depth as usize,
        channels: info.color_type.samples(),
        start: region.start.x as usize,
        greys,
    };
    let mut block = checks::zeros(path, Region { start: Index::default(), ..region }, header.voxel_type)?;
    let columns = region.extent.x as usize;
    let mut put = |y: u64, row: &[u8]| -> Result<(), VolumeError> {
        if y < region.start.y || y >= region.end().y {
            return Ok(());
        }
        let at = (y - region.start.y) as usize * columns;
        let opaque = match block.voxels_mut() {
            Voxels::U8(v) => layout.expand_u8(row, &mut v[at..at + columns]),
            Voxels::U16(v) => layout.expand_u16(row, &mut v[at..at + columns]),
            Voxels::U32(_) | Voxels::I16(_) | Voxels::F32(_) => true,
        };
        if opaque { Ok(()) } else { Err(transparent(path)) }
    };
    if info.interlaced {
        let whole = reader.output_buffer_size().unwrap_or(usize::MAX);
        let mut frame = Vec::new();
        frame.try_reserve_exact(whole).map_err(|_| VolumeError::TooLarge { place: Place::file(path), region })?;
        frame.resize(whole, 0);
        let line = reader.next_frame(&mut frame).map_err(|e| error(path, e))?.line_size;
        for (y, row) in frame.chunks_exact(line.max(1)).enumerate() {
            put(y as u64, row)?;
        }
    } else {
        for y in 0..region.end().y {
            let Some(row) = reader.next_row().map_err(|e| error(path, e))? else {
                return Err(VolumeError::malformed(
                    Place::file(path),
                    format!("{y} rows"),
                    format!("{height}, as its header says"),
                ));
            };
            put(y, row.data())?;
        }
    }
    Ok(block)
}

/// Where the wanted columns lie in a row of bytes.
struct Layout<'a> {
    bits: usize,
    channels: usize,
    start: usize,
    greys: Option<&'a [u8]>,
}

impl Layout<'_> {
    /// Fills `target`; `false` if a pixel is transparent.
    fn expand_u8(&self, row: &[u8], target: &mut [u8]) -> bool {
        let mut opaque = true;
        match (self.bits, self.channels) {
            (8, 1) => target.copy_from_slice(&row[self.start..self.start + target.len()]),
            (8, _) => {
                for (value, pixel) in
                    target.iter_mut().zip(row[self.start * self.channels..].chunks_exact(self.channels))
                {
                    *value = pixel[0];
                    opaque &= pixel[self.channels - 1] == u8::MAX;
                }
            }
            (bits, _) => {
                // Pixels of fewer than 8 bits lie from the high bit down; the value stays as it is, unscaled.
                let mask = ((1_u16 << bits) - 1) as u8;
                for (i, value) in target.iter_mut().enumerate() {
                    let bit = (self.start + i) * bits;
                    *value = row[bit / 8] >> (8 - bits - bit % 8) & mask;
                }
            }
        }
        if let Some(greys) = self.greys {
            for value in target {
                *value = greys.get(usize::from(*value)).copied().unwrap_or(*value);
            }
        }
        opaque
    }

    /// Fills `target` from big-endian pairs; `false` if a pixel is transparent.
    fn expand_u16(&self, row: &[u8], target: &mut [u16]) -> bool {
        let step = 2 * self.channels;
        let mut opaque = true;
        for (value, pixel) in target.iter_mut().zip(row[self.start * step..].chunks_exact(step)) {
            *value = u16::from_be_bytes([pixel[0], pixel[1]]);
            opaque &= self.channels == 1 || pixel[step - 2..] == [u8::MAX; 2];
        }
        opaque
    }
}

fn transparent(path: &Path) -> VolumeError {
    VolumeError::Unsupported {
        place: Place::file(path),
        found: "transparent pixels".into(),
        expected: "an opaque grey image".into(),
        hint: "Remove the alpha channel, for example: magick mogrify -alpha off *.png".into(),
    }
}

fn reader(path: &Path) -> Result<png::Reader<BufReader<File>>, VolumeError> {
    let mut decoder = png::Decoder::new(BufReader::new(fs::open(path)?));
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_ignore_iccp_chunk(true);
    decoder.read_info().map_err(|e| error(path, e))
}

fn error(path: &Path, error: DecodingError) -> VolumeError {
    match error {
        DecodingError::IoError(e) if e.kind() != std::io::ErrorKind::UnexpectedEof => VolumeError::io(path, "read", e),
        DecodingError::IoError(_) => {
            VolumeError::malformed(Place::file(path), "the end of the file", "a whole PNG image")
        }
        other => VolumeError::malformed(Place::file(path), other.to_string(), "a PNG image"),
    }
}

/// One section as a PNG file.
pub(super) fn encode(
    path: &Path,
    extent: Extent,
    voxels: &Voxels,
    voxel_size: Option<VoxelSize>,
) -> Result<Vec<u8>, VolumeError> {
    let too_large = |_| VolumeError::Unsupported {
        place: Place::file(path),
        found: format!("sections of {} × {}", extent.y, extent.x),
        expected: "at most 2³¹ - 1 rows and columns, as PNG allows".into(),
        hint: "Write OME-Zarr (a name ending in .zarr) instead.".into(),
    };
    let width = u32::try_from(extent.x).map_err(too_large)?;
    let height = u32::try_from(extent.y).map_err(too_large)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(ColorType::Grayscale);
    encoder.set_compression(png::Compression::Fast);
    let wrong = |e: png::EncodingError| VolumeError::io(path, "encode", std::io::Error::other(e));
    if let Some(VoxelSize { z_nm, y_nm, x_nm }) = voxel_size {
        encoder.add_text_chunk(VOXEL_SIZE_KEYWORD.to_owned(), format!("{z_nm} {y_nm} {x_nm}")).map_err(wrong)?;
    }
    let big_endian;
    let data: &[u8] = match voxels {
        Voxels::U8(v) => {
            encoder.set_depth(BitDepth::Eight);
            v
        }
        Voxels::U16(v) => {
            encoder.set_depth(BitDepth::Sixteen);
            big_endian = v.iter().flat_map(|x| x.to_be_bytes()).collect::<Vec<_>>();
            &big_endian
        }
        other => return Err(super::not_in_png(path, other.voxel_type())),
    };
    let mut writer = encoder.write_header().map_err(wrong)?;
    writer.write_image_data(data).map_err(wrong)?;
    writer.finish().map_err(wrong)?;
    Ok(bytes)
}
