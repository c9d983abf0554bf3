//! The project's real volumes open as what they are.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use deep3m_volume::{Extent, Format, Index, Region, VoxelType, open};

fn shared(name: &str) -> Option<PathBuf> {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data")).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("SKIPPED: {} absent", path.display());
    None
}

/// How often each value occurs, in ascending order of the values that do.
struct Histogram(Vec<(u32, u64)>);

impl Histogram {
    fn values(&self) -> Vec<(u32, u64)> {
        self.0.clone()
    }

    fn range(&self) -> Option<(u32, u32)> {
        Some((self.0.first()?.0, self.0.last()?.0))
    }

    fn mean(&self) -> f64 {
        let total: u64 = self.0.iter().map(|(_, n)| n).sum();
        self.0.iter().map(|&(value, n)| f64::from(value) * n as f64).sum::<f64>() / total as f64
    }
}

/// Opens a volume and counts its values, section by section, if it is here.
fn histogram(name: &str, format: Format, extent: Extent, voxel_type: VoxelType) -> Option<Histogram> {
    let volume = open(&shared(name)?).unwrap();
    let info = volume.info();
    assert_eq!((info.format, info.extent, info.voxel_type), (format, extent, voxel_type), "{name}");
    let mut counts = vec![0_u64; 1 << 16];
    for z in 0..extent.z {
        volume.read(Region::section(extent, z)).unwrap().voxels().iter().for_each(|v| counts[v as usize] += 1);
    }
    assert_eq!(counts.iter().sum::<u64>(), extent.len() as u64);
    Some(Histogram((0_u32..).zip(counts).filter(|(_, n)| *n > 0).collect()))
}

// Sums and counts below are numpy's, from tifffile and Pillow.

#[test]
fn vnc() {
    let size = Extent::new(20, 1024, 1024);
    if let Some(h) = histogram("vnc/nine-classes.tif", Format::TiffStack, size, VoxelType::U8) {
        let values: Vec<u32> = h.values().into_iter().map(|(v, _)| v).collect();
        assert_eq!(values, [0, 32, 64, 96, 128, 159, 191, 223, 255]);
    }
    if let Some(path) = shared("vnc/images.tif") {
        let volume = open(&path).unwrap();
        let region = Region::new(Index::new(7, 250, 511), Extent::new(2, 9, 3));
        let sum: u32 = volume.read(region).unwrap().voxels().iter().sum();
        assert_eq!(sum, VNC_SUM);
    }
}

#[test]
fn lucchi() {
    let size = Extent::new(64, 768, 1024);
    if let Some(h) = histogram("lucchi-mito/labels.tif", Format::TiffStack, size, VoxelType::U8) {
        assert_eq!(h.values(), [(0, size.len() as u64 - LUCCHI_FOREGROUND), (255, LUCCHI_FOREGROUND)]);
    }
}

#[test]
fn epfl_and_isbi() {
    let size = Extent::new(20, 768, 1024);
    if let Some(h) = histogram("epfl-vesicles/vesicles.tif", Format::TiffStack, size, VoxelType::U8) {
        assert_eq!(h.values().len(), 2);
    }
    let size = Extent::new(20, 512, 512);
    if let Some(h) = histogram("isbi2012-membranes/images.tif", Format::TiffStack, size, VoxelType::U8) {
        assert!((h.mean() - ISBI_MEAN).abs() < 1e-9, "{:?}", h.mean());
    }
}

#[test]
fn nuclei() {
    let size = Extent::new(31, 61, 57);
    if let Some(h) = histogram("nuclei-3d/stardist-images.tif", Format::TiffStack, size, VoxelType::U16) {
        assert_eq!(h.range(), Some(STARDIST_RANGE));
        assert!((h.mean() - STARDIST_MEAN).abs() < 1e-6, "{:?}", h.mean());
    }
}

#[test]
fn mito_sbem_palette_labels() {
    let size = Extent::new(20, 1024, 1024);
    if let Some(h) = histogram("mito-sbem/train/labels", Format::PngFolder, size, VoxelType::U8) {
        assert_eq!(h.values(), [(0, size.len() as u64 - SBEM_FOREGROUND), (1, SBEM_FOREGROUND)]);
    }
    histogram("mito-sbem/test/images", Format::PngFolder, Extent::new(5, 1024, 1024), VoxelType::U8);
}

const VNC_SUM: u32 = 6028;
const LUCCHI_FOREGROUND: u64 = 4021647;
const ISBI_MEAN: f64 = 124.05154438018799;
const STARDIST_RANGE: (u32, u32) = (104, 375);
const STARDIST_MEAN: f64 = 198.00565003200757;
const SBEM_FOREGROUND: u64 = 1843694;
