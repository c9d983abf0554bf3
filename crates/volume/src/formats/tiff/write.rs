//! Writes TIFF as Fiji does: one page per section, the voxel size in ImageJ's description and the resolution tags.

use std::fmt::Write as _;
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tiff::TiffError;
use tiff::encoder::colortype::{ColorType, Gray8, Gray16, Gray32, Gray32Float, GrayI16};
use tiff::encoder::{
    Compression, DeflateLevel, Predictor, Rational, TiffEncoder, TiffKind, TiffKindBig, TiffKindStandard, TiffValue,
};
use tiff::tags::{ResolutionUnit, Tag};

use crate::formats::checks;
use crate::{
    Block, Extent, Index, Place, Region, VolumeError, VolumeSpec, VolumeWriter, VoxelSize, VoxelType, Voxels, fs,
};

/// Above this many bytes of voxels the file is BigTIFF: classic TIFF counts bytes in 32 bits. The rest is left for
/// directories and for sections that compression makes larger.
const CLASSIC_BYTES: u64 = 3_900_000_000;

/// Writes a TIFF stack, compressed with Deflate, section after section in order.
///
/// The file appears under its name when it is finished; until then it has a temporary one.
pub struct StackWriter {
    path: PathBuf,
    spec: VolumeSpec,
    state: Mutex<State>,
}

struct State {
    encoder: Option<Encoder>,
    file: SharedFile,
    next: u64,
}

enum Encoder {
    Classic(TiffEncoder<SharedFile, TiffKindStandard>),
    Big(TiffEncoder<SharedFile, TiffKindBig>),
}

/// The file, to be had again after the encoder, which does not give back what it writes to.
#[derive(Clone)]
struct SharedFile(Arc<Mutex<Option<fs::AtomicFile>>>);

impl SharedFile {
    fn with<T>(&self, act: impl FnOnce(&mut fs::AtomicFile) -> io::Result<T>) -> io::Result<T> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.as_mut().ok_or_else(|| io::Error::other("the file is already complete")).and_then(act)
    }
}

impl Write for SharedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.with(|file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.with(Write::flush)
    }
}

impl Seek for SharedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.with(|file| file.seek(to))
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        self.with(Seek::stream_position)
    }
}

impl StackWriter {
    /// Starts a stack; BigTIFF where it may grow beyond 4 GB.
    pub fn create(path: &Path, spec: &VolumeSpec) -> Result<Self, VolumeError> {
        let bytes = spec.extent.checked_voxels().and_then(|n| n.checked_mul(spec.voxel_type.bytes() as u64));
        Self::create_as(path, spec, bytes.is_none_or(|n| n > CLASSIC_BYTES))
    }

    fn create_as(path: &Path, spec: &VolumeSpec, big: bool) -> Result<Self, VolumeError> {
        checks::spec(path, spec)?;
        checks::section(path, spec)?;
        let file = SharedFile(Arc::new(Mutex::new(Some(fs::AtomicFile::create(path)?))));
        let encoder = if big {
            TiffEncoder::new_big(file.clone()).map(|e| Encoder::Big(compressed(e, spec.voxel_type)))
        } else {
            TiffEncoder::new(file.clone()).map(|e| Encoder::Classic(compressed(e, spec.voxel_type)))
        };
        let encoder = Some(encoder.map_err(|e| error(path, e))?);
        Ok(Self { path: path.to_owned(), spec: spec.clone(), state: Mutex::new(State { encoder, file, next: 0 }) })
    }
}

impl VolumeWriter for StackWriter {
    fn grain(&self) -> Extent {
        Extent { z: 1, ..self.spec.extent }
    }

    fn in_order(&self) -> bool {
        true
    }

    fn write(&self, start: Index, block: &Block) -> Result<(), VolumeError> {
        checks::block(&self.path, &self.spec, self.grain(), start, block)?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let out_of_order = || self.unaligned(Region::new(start, block.extent()));
        if state.next != start.z {
            return Err(out_of_order());
        }
        let State { encoder, next, .. } = &mut *state;
        for z in 0..block.extent().z {
            let section = block.crop(Region::section(block.extent(), z));
            let page = Page { images: self.spec.extent.z, voxel_size: self.spec.voxel_size, first: *next == 0 };
            match encoder {
                Some(Encoder::Classic(encoder)) => page.write(encoder, &section),
                Some(Encoder::Big(encoder)) => page.write(encoder, &section),
                None => return Err(out_of_order()),
            }
            .map_err(|e| error(&self.path, e))?;
            *next += 1;
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), VolumeError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.next != self.spec.extent.z {
            let rest = Extent { z: self.spec.extent.z - state.next, ..self.spec.extent };
            return Err(self.unaligned(Region::new(Index::new(state.next, 0, 0), rest)));
        }
        state.encoder = None;
        let file = state.file.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        file.map_or(Ok(()), fs::AtomicFile::commit)
    }
}

impl StackWriter {
    fn unaligned(&self, region: Region) -> VolumeError {
        VolumeError::Unaligned { place: Place::file(&self.path), region, grain: self.grain() }
    }
}

/// Differences from pixel to pixel compress better than pixels (the differences of floating-point numbers do not); the
/// fast level, as a prediction should not wait for it.
fn compressed<W: Write + Seek, K: TiffKind>(encoder: TiffEncoder<W, K>, of: VoxelType) -> TiffEncoder<W, K> {
    let predictor = if of == VoxelType::F32 { Predictor::None } else { Predictor::Horizontal };
    encoder.with_compression(Compression::Deflate(DeflateLevel::Fast)).with_predictor(predictor)
}

/// One section as a TIFF file.
pub(in crate::formats) fn encode_section(
    path: &Path,
    section: &Block,
    voxel_size: Option<VoxelSize>,
) -> Result<Vec<u8>, VolumeError> {
    let mut bytes = Cursor::new(Vec::new());
    let page = Page { images: 1, voxel_size, first: true };
    TiffEncoder::new(&mut bytes)
        .and_then(|encoder| page.write(&mut compressed(encoder, section.voxels().voxel_type()), section))
        .map_err(|e| error(path, e))?;
    Ok(bytes.into_inner())
}

/// What a page says beside its pixels.
struct Page {
    images: u64,
    voxel_size: Option<VoxelSize>,
    /// Only the first page of a stack is described.
    first: bool,
}

impl Page {
    fn write<W: Write + Seek, K: TiffKind>(
        &self,
        encoder: &mut TiffEncoder<W, K>,
        section: &Block,
    ) -> Result<(), TiffError> {
        let Extent { y, x, .. } = section.extent();
        let size = (u32::try_from(x)?, u32::try_from(y)?);
        match section.voxels() {
            Voxels::U8(v) => self.write_pixels::<Gray8, _, _>(encoder, size, v),
            Voxels::U16(v) => self.write_pixels::<Gray16, _, _>(encoder, size, v),
            Voxels::U32(v) => self.write_pixels::<Gray32, _, _>(encoder, size, v),
            Voxels::I16(v) => self.write_pixels::<GrayI16, _, _>(encoder, size, v),
            Voxels::F32(v) => self.write_pixels::<Gray32Float, _, _>(encoder, size, v),
        }
    }

    fn write_pixels<C: ColorType, W: Write + Seek, K: TiffKind>(
        &self,
        encoder: &mut TiffEncoder<W, K>,
        (width, height): (u32, u32),
        pixels: &[C::Inner],
    ) -> Result<(), TiffError>
    where
        [C::Inner]: TiffValue,
    {
        let mut image = encoder.new_image::<C>(width, height)?;
        let tags = image.encoder();
        if self.first {
            tags.write_tag(Tag::ImageDescription, self.description().as_str())?;
        }
        if let Some(size) = self.voxel_size {
            tags.write_tag(Tag::ResolutionUnit, ResolutionUnit::None.to_u16())?;
            tags.write_tag(Tag::XResolution, per_micrometre(size.x_nm))?;
            tags.write_tag(Tag::YResolution, per_micrometre(size.y_nm))?;
        }
        image.write_data(pixels)
    }

    /// ImageJ's lines; see `FileInfo` and `FileSaver.getDescriptionString` in ImageJ's source.
    fn description(&self) -> String {
        let mut text = String::from("ImageJ=1.54f\n");
        if self.images > 1 {
            let _ = write!(text, "images={0}\nslices={0}\n", self.images);
        }
        if let Some(size) = self.voxel_size {
            // Nanometres become micrometres by moving the point, so that 4.6 nm stays 4.6 nm.
            let _ = write!(text, "unit=micron\nspacing={}\n", size.z_nm / 1e3);
        }
        text.push_str("loop=false\n");
        text
    }
}

/// Pixels per micrometre as a fraction, exact for whole picometres where the number fits.
fn per_micrometre(nm: f64) -> Rational {
    let mut scale = 1e6;
    while nm * scale / 1e3 > f64::from(u32::MAX) && scale > 1.0 {
        scale /= 10.0;
    }
    Rational { n: scale as u32, d: ((nm * scale / 1e3).round() as u32).max(1) }
}

fn error(path: &Path, error: TiffError) -> VolumeError {
    let source = match error {
        TiffError::IoError(e) => e,
        other => std::io::Error::other(other),
    };
    VolumeError::io(path, "write", source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenOptions;

    #[test]
    fn bigtiff_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("big.tif");
        let spec = VolumeSpec {
            extent: Extent::new(3, 20, 30),
            voxel_type: VoxelType::U16,
            voxel_size: VoxelSize::new(50.0, 4.6, 1e7),
            chunk: None,
            provenance: None,
        };
        let writer = StackWriter::create_as(&path, &spec, true).unwrap();
        let block = Block::new(spec.extent, Voxels::U16((0..1800).map(|i| i * 31).collect()));
        writer.write(Index::default(), &block).unwrap();
        writer.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap()[..4], [b'I', b'I', 43, 0]);
        let volume = super::super::open_stack(&path, &OpenOptions::default()).unwrap();
        assert_eq!(volume.info().voxel_size, spec.voxel_size);
        assert_eq!(volume.read(Region::whole(spec.extent)).unwrap(), block);
    }

    #[test]
    fn more_than_4_gb_make_a_bigtiff() {
        let folder = tempfile::tempdir().unwrap();
        for (sections, version) in [(3, 42), (4000, 43)] {
            let path = folder.path().join(format!("{sections}.tif"));
            let spec = VolumeSpec {
                extent: Extent::new(sections, 1000, 1000),
                voxel_type: VoxelType::U8,
                voxel_size: None,
                chunk: None,
                provenance: None,
            };
            let writer = StackWriter::create(&path, &spec).unwrap();
            let big = matches!(writer.state.lock().unwrap().encoder, Some(Encoder::Big(_)));
            assert_eq!(big, version == 43);
        }
    }
}
