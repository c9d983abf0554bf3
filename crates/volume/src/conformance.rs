//! What every format must do, as a suite that each runs.
//!
//! A new format calls [`check_format`] from its tests, a new place for notes [`check_notes`]; the suite panics with what
//! differs.

use std::path::{Path, PathBuf};

use crate::{
    Block, Extent, Index, OpenOptions, Region, VolumeError, VolumeSpec, VolumeWriter, VoxelSize, VoxelType, Voxels,
    open_with,
};

pub use crate::notes::conformance::check_notes;

/// Starts a volume at a path without ending, and returns it with the path where it will lie.
pub type Create<'a> = dyn Fn(&Path, &VolumeSpec) -> Result<(PathBuf, Box<dyn VolumeWriter>), VolumeError> + Sync + 'a;

/// A format to check.
pub struct Candidate<'a> {
    /// Starts a volume.
    pub create: &'a Create<'a>,
    /// The voxel types it stores.
    pub voxel_types: &'a [VoxelType],
    /// A scratch folder for the volumes.
    pub folder: &'a Path,
}

/// Runs every check on a format.
///
/// # Panics
/// Where the format does not do what [`crate::Volume`] and [`crate::VolumeWriter`] promise.
pub fn check_format(candidate: &Candidate<'_>) {
    let extents = [Extent::new(1, 1, 1), Extent::new(3, 1, 7), Extent::new(5, 33, 47), Extent::new(4, 32, 16)];
    for &voxel_type in candidate.voxel_types {
        for (number, extent) in extents.into_iter().enumerate() {
            let case = Case::new(candidate, voxel_type, extent, number as u64);
            for (turn, by_grains) in [false, true].into_iter().enumerate() {
                let path = case.write(&format!("{voxel_type}-{number}-{turn}"), by_grains);
                // With room for everything, for a few pieces, and for nothing.
                for cache_bytes in [1 << 30, 1500, 0] {
                    case.check_reading(&path, cache_bytes);
                }
            }
        }
        Case::new(candidate, voxel_type, Extent::new(4, 30, 20), 99).check_refusals();
    }
}

struct Case<'a> {
    candidate: &'a Candidate<'a>,
    spec: VolumeSpec,
    truth: Block,
    random: Random,
}

impl<'a> Case<'a> {
    fn new(candidate: &'a Candidate<'a>, voxel_type: VoxelType, extent: Extent, seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678);
        let spec = VolumeSpec {
            extent,
            voxel_type,
            voxel_size: VoxelSize::new(50.0, 4.6, 5.25),
            chunk: Some(Extent::new(2, 16, 16)),
            provenance: Some(serde_json::json!({"made by": "the conformance suite"})),
        };
        let truth = Block::new(extent, values(voxel_type, extent.len(), &mut random));
        Self { candidate, spec, truth, random }
    }

    fn create(&self, name: &str) -> (PathBuf, Box<dyn VolumeWriter>) {
        let path = self.candidate.folder.join(name);
        (self.candidate.create)(&path, &self.spec).unwrap_or_else(|e| panic!("create {name}: {e}"))
    }

    /// Writes the truth in blocks of several grains; or grain by grain, where the format allows last ones first and
    /// from two threads.
    fn write(&self, name: &str, by_grains: bool) -> PathBuf {
        let (path, writer) = self.create(name);
        let grain = writer.grain();
        let several = Extent::new(2 * grain.z, 2 * grain.y, grain.x);
        let size = if by_grains { grain } else { several };
        let mut tiles: Vec<Region> = Region::whole(self.spec.extent).tiles(size).collect();
        let write = |tile: &Region| {
            let block = self.truth.crop(*tile);
            writer.write(tile.start, &block).unwrap_or_else(|e| panic!("write {tile} of {name}: {e}"));
        };
        if by_grains && !writer.in_order() {
            tiles.reverse();
            let (one, other) = tiles.split_at(tiles.len() / 2);
            std::thread::scope(|scope| {
                scope.spawn(|| one.iter().for_each(write));
                other.iter().for_each(write);
            });
        } else {
            tiles.iter().for_each(write);
        }
        writer.finish().unwrap_or_else(|e| panic!("finish {name}: {e}"));
        path
    }

    fn check_reading(&self, path: &Path, cache_bytes: usize) {
        let options = OpenOptions::default().cache_bytes(cache_bytes);
        let volume = open_with(path, &options).unwrap_or_else(|e| panic!("open {}: {e}", path.display()));
        let info = volume.info();
        let extent = self.spec.extent;
        assert_eq!((info.extent, info.voxel_type), (extent, self.spec.voxel_type), "{}", path.display());
        assert_eq!(info.voxel_size, self.spec.voxel_size, "voxel size of {}", path.display());
        assert_eq!(info.path, path);
        assert!(!info.grain.is_empty(), "a grain has voxels");
        let read = |region: Region| volume.read(region).unwrap_or_else(|e| panic!("read {region}: {e}"));
        let whole = Region::whole(extent);
        assert_eq!(read(whole), self.truth, "{} read whole", path.display());
        let mut random = self.random.clone();
        let regions: Vec<Region> = (0..20).map(|_| random.region(extent)).chain(corners(extent)).collect();
        let check =
            |region: &Region| assert_eq!(read(*region), self.truth.crop(*region), "{region} of {}", path.display());
        regions.iter().for_each(check);
        std::thread::scope(|scope| {
            for offset in 0..3 {
                let turned = regions.iter().cycle().skip(offset * 7).take(regions.len());
                scope.spawn(move || turned.for_each(check));
            }
        });
        for empty in [Extent::default(), Extent::new(0, extent.y, extent.x), Extent::new(1, 0, 1)] {
            let block = read(Region::new(Index::default(), empty));
            assert_eq!((block.extent(), block.voxels().len()), (empty, 0), "an empty region is no error");
            assert_eq!(block.voxels().voxel_type(), self.spec.voxel_type);
        }
        let end = Index::new(extent.z, extent.y, extent.x);
        for outside in [
            Region::new(Index::new(0, 0, 1), extent),
            Region::new(end, Extent::new(1, 1, 1)),
            Region::new(Index::new(u64::MAX, 0, 0), Extent::new(2, 1, 1)),
            Region::new(Index::default(), Extent::new(u64::MAX, u64::MAX, u64::MAX)),
        ] {
            let result = volume.read(outside);
            assert!(matches!(result, Err(VolumeError::OutOfBounds { .. })), "{outside}: {result:?}");
        }
    }

    fn check_refusals(&self) {
        let (_, writer) = self.create(&format!("{}-refusals", self.spec.voxel_type));
        let grain = writer.grain();
        let extent = self.spec.extent;
        let block = |extent: Extent| Block::zeros(extent, self.spec.voxel_type);
        let first = Region::whole(extent).tiles(grain).next().map_or(extent, |tile| tile.extent);
        let wrong = if self.spec.voxel_type == VoxelType::U8 { VoxelType::U16 } else { VoxelType::U8 };
        let result = writer.write(Index::default(), &Block::zeros(first, wrong));
        assert!(matches!(result, Err(VolumeError::WrongType { .. })), "wrong type: {result:?}");
        let result = writer.write(Index::default(), &block(Extent { x: extent.x + 1, ..extent }));
        assert!(matches!(result, Err(VolumeError::OutOfBounds { .. })), "sticks out: {result:?}");
        let cut = [
            (Index::default(), Extent { x: first.x - 1, ..first }),
            (Index::default(), Extent { y: first.y - 1, ..first }),
            (Index::new(0, 0, 1), Extent { x: first.x - 1, ..first }),
            (Index::default(), Extent { z: 0, ..first }),
        ];
        for (start, extent) in cut {
            let result = writer.write(start, &block(extent));
            assert!(matches!(result, Err(VolumeError::Unaligned { .. })), "{extent} at {start:?}: {result:?}");
        }
        if writer.in_order() {
            let result = writer.write(Index::new(1, 0, 0), &block(first));
            assert!(matches!(result, Err(VolumeError::Unaligned { .. })), "out of order: {result:?}");
            assert!(writer.finish().is_err(), "sections are missing");
        }
        let nothing = VolumeSpec { extent: Extent::new(3, 0, 4), ..self.spec.clone() };
        let result = (self.candidate.create)(&self.candidate.folder.join("nothing"), &nothing);
        assert!(result.is_err(), "a volume without voxels");
    }
}

/// The first and last voxel, the last row, column and section.
fn corners(extent: Extent) -> [Region; 5] {
    let last = Index::new(extent.z - 1, extent.y - 1, extent.x - 1);
    [
        Region::new(Index::default(), Extent::new(1, 1, 1)),
        Region::new(last, Extent::new(1, 1, 1)),
        Region::new(Index::new(0, last.y, 0), Extent { y: 1, ..extent }),
        Region::new(Index::new(0, 0, last.x), Extent { x: 1, ..extent }),
        Region::section(extent, last.z),
    ]
}

/// Values over the whole range, with runs and zeros: what compressions and empty chunks treat apart.
fn values(voxel_type: VoxelType, len: usize, random: &mut Random) -> Voxels {
    let mut current = 0_u32;
    let mut next = || {
        match random.below(4) {
            0 => current = random.below(1 << 32) as u32,
            1 => current = 0,
            _ => {}
        }
        current
    };
    match voxel_type {
        VoxelType::U8 => Voxels::U8((0..len).map(|_| next() as u8).collect()),
        VoxelType::U16 => Voxels::U16((0..len).map(|_| next() as u16).collect()),
        VoxelType::U32 => Voxels::U32((0..len).map(|_| next()).collect()),
        VoxelType::I16 => Voxels::I16((0..len).map(|_| next() as i16).collect()),
        // Numbers of every size and sign; no NaN, which equals nothing.
        VoxelType::F32 => Voxels::F32(
            (0..len).map(|_| f32::from_bits(next())).map(|v| if v.is_finite() { v } else { -1.5 }).collect(),
        ),
    }
}

/// `SplitMix64` (Steele, Lea, Flood 2014): the suite needs no more than reproducible variety.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % limit
    }

    fn region(&mut self, extent: Extent) -> Region {
        let mut axis = |size: u64| {
            let start = self.below(size);
            (start, 1 + self.below(size - start))
        };
        let ((z, depth), (y, height), (x, width)) = (axis(extent.z), axis(extent.y), axis(extent.x));
        Region::new(Index::new(z, y, x), Extent::new(depth, height, width))
    }
}
