//! From a probability to objects, each with a number of its own.

mod mask;
mod otsu;

use deep3m_volume::{Block, Extent, Place, Region, Volume, VolumeError, VolumeWriter, Voxels};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::AnalyzeError;
use crate::objects::{Connectivity, Grid, Mask, Size, find};

use mask::Filled;
pub(crate) use mask::Threshold;
pub use otsu::otsu_level;

/// Voxels of a block that is looked at by itself, along each axis, where the output's chunks allow it.
const BLOCK: Extent = Extent::new(64, 256, 256);

/// What becomes an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SegmentConfig {
    /// Voxels of at least this value are foreground. Default 128: a probability of one half in 8 bits.
    pub level: u32,
    /// Which voxels touch. Default 26.
    pub connectivity: Connectivity,
    /// Holes of up to so many voxels are filled: background that the foreground encloses (in each section, with a
    /// connectivity of sections) and that does not reach the volume's border. Default 0: none.
    pub fill_holes: u64,
    /// Smaller objects are left out. Default 1.
    pub min_voxels: u64,
    /// Larger objects are left out. Default: none.
    pub max_voxels: u64,
    /// The part that is looked at; `None` is all of it. The output has its size.
    pub region: Option<Region>,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        let (level, connectivity) = (128, Connectivity::default());
        Self { level, connectivity, fill_holes: 0, min_voxels: 1, max_voxels: u64::MAX, region: None }
    }
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segmentation {
    /// Objects; they have the numbers from 1 to this.
    pub objects: u64,
    /// Voxels of all objects.
    pub voxels: u64,
    /// Voxels of the volume, or of the part that was looked at.
    pub of_voxels: u64,
    /// Voxels of the smallest object; 0 where there is none.
    pub smallest: u64,
    /// Voxels of the largest object.
    pub largest: u64,
    /// Objects at the volume's border, of which a part may be missing.
    pub at_border: u64,
    /// Holes that were filled.
    pub holes: u64,
    /// Voxels of these holes.
    pub hole_voxels: u64,
}

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentStep {
    /// Looking for holes.
    Holes,
    /// Looking for objects.
    Find,
    /// Writing their numbers.
    Write,
}

impl SegmentConfig {
    /// The size of the output for a volume.
    ///
    /// # Errors
    /// A region that sticks out of the volume; settings that no object can meet.
    pub fn extent(&self, volume: &dyn Volume) -> Result<Extent, AnalyzeError> {
        Ok(self.part(volume)?.extent)
    }

    fn part(&self, volume: &dyn Volume) -> Result<Region, AnalyzeError> {
        let info = volume.info();
        let region = self.region.unwrap_or(Region::whole(info.extent));
        if !region.fits(info.extent) {
            let place = Place::file(&info.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: info.extent }.into());
        }
        if self.min_voxels > self.max_voxels {
            return Err(AnalyzeError::Setting {
                name: "smallest size",
                found: format!("{} voxels", self.min_voxels),
                expected: format!("at most the largest size, {} voxels", self.max_voxels),
            });
        }
        if self.level == 0 {
            return Err(AnalyzeError::Setting {
                name: "threshold",
                found: "0".into(),
                expected: "more than 0: every voxel would be foreground".into(),
            });
        }
        Ok(region)
    }
}

/// Gives every connected object of a volume a number and writes the numbers as 32-bit labels, 0 for background, to a
/// writer of [`SegmentConfig::extent`]. Objects are numbered without gaps in the order of their first voxels (z, then y,
/// then x), whatever the chunks and threads.
///
/// Memory is some blocks per thread, and a few bytes for each object and each piece that block borders cut from one.
/// `progress` hears the voxels of each block of a step, which goes through the volume once; with a false it ends.
///
/// # Errors
/// [`AnalyzeError::Interrupted`] when told to stop; what reading and writing met.
pub fn segment(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &SegmentConfig,
    progress: &mut dyn FnMut(SegmentStep, u64) -> bool,
) -> Result<Segmentation, AnalyzeError> {
    segment_in_blocks(volume, writer, config, block(writer.grain()), progress)
}

/// As [`segment`], in blocks of this size, of whole grains of the writer.
fn segment_in_blocks(
    volume: &dyn Volume,
    writer: &dyn VolumeWriter,
    config: &SegmentConfig,
    block: Extent,
    progress: &mut dyn FnMut(SegmentStep, u64) -> bool,
) -> Result<Segmentation, AnalyzeError> {
    let region = config.part(volume)?;
    let grid = Grid::new(region.extent, block);
    let threshold = Threshold { volume, start: region.start, level: config.level };
    let mut result = Segmentation { of_voxels: region.extent.len() as u64, ..Segmentation::default() };
    let filled;
    let mut mask: &dyn Mask = &threshold;
    if config.fill_holes > 0 {
        let mut go_on = |voxels| progress(SegmentStep::Holes, voxels);
        filled = Filled::new(&threshold, &grid, config.connectivity, config.fill_holes, &mut go_on)?
            .ok_or(AnalyzeError::Interrupted)?;
        (result.holes, result.hole_voxels) = filled.count();
        mask = &filled;
    }
    let keep = |size: &Size| (config.min_voxels..=config.max_voxels).contains(&size.voxels);
    let mut go_on = |voxels| progress(SegmentStep::Find, voxels);
    let found = find(mask, &grid, config.connectivity, keep, &mut go_on)?.ok_or(AnalyzeError::Interrupted)?;
    for size in &found.objects {
        result.objects += 1;
        result.voxels += size.voxels;
        result.largest = result.largest.max(size.voxels);
        result.smallest = if result.smallest == 0 { size.voxels } else { result.smallest.min(size.voxels) };
        result.at_border += u64::from(size.at_border);
    }
    let blocks = grid.blocks();
    for batch in blocks.chunks(rayon::current_num_threads().max(1)) {
        let draw = |core: &Region| {
            let part = grid.widened(core);
            let drawn = found.draw(mask, &grid, config.connectivity, part)?;
            let whole = Block::new(part.extent, Voxels::U32(drawn));
            let inside = Region::whole(core.extent);
            Ok(if part == *core { whole } else { whole.crop(inside) })
        };
        let drawn: Vec<Block> = batch.par_iter().map(draw).collect::<Result<_, AnalyzeError>>()?;
        for (core, block) in batch.iter().zip(&drawn) {
            writer.write(core.start, block)?;
            if !progress(SegmentStep::Write, core.extent.len() as u64) {
                return Err(AnalyzeError::Interrupted);
            }
        }
    }
    writer.finish()?;
    Ok(result)
}

/// Blocks of whole grains of the output, about as large as [`BLOCK`].
fn block(grain: Extent) -> Extent {
    let along = |size: u64, grain: u64| (size / grain.max(1)).max(1).saturating_mul(grain.max(1));
    let (y, x) = (along(BLOCK.y, grain.y), along(BLOCK.x, grain.x));
    // Where a grain is a whole section, fewer of them.
    let sections = (BLOCK.len() as u64 / y.saturating_mul(x).max(1)).clamp(1, BLOCK.z);
    Extent::new(along(sections, grain.z), y, x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{InMemory, Index, VoxelType};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Numbers by flooding from each voxel, in the order of first voxels.
    fn flooded(mask: &[bool], extent: Extent, connectivity: Connectivity) -> Vec<u32> {
        let mut numbers = vec![0; mask.len()];
        let mut count = 0;
        let all: Vec<Index> = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|r| r.start).collect();
        for &start in &all {
            if !mask[extent.offset(start)] || numbers[extent.offset(start)] != 0 {
                continue;
            }
            count += 1;
            numbers[extent.offset(start)] = count;
            let mut todo = vec![start];
            while let Some(at) = todo.pop() {
                for &q in &all {
                    let d = [at.z.abs_diff(q.z), at.y.abs_diff(q.y), at.x.abs_diff(q.x)];
                    let (near, sum) = (d.iter().all(|&d| d <= 1), d.iter().sum::<u64>());
                    let most = match connectivity {
                        Connectivity::SectionEdges | Connectivity::Faces => 1,
                        Connectivity::SectionCorners | Connectivity::Edges => 2,
                        Connectivity::Corners => 3,
                    };
                    let touches = near && sum <= most && (d[0] == 0 || !connectivity.is_flat());
                    let i = extent.offset(q);
                    if touches && mask[i] && numbers[i] == 0 {
                        numbers[i] = count;
                        todo.push(q);
                    }
                }
            }
        }
        numbers
    }

    /// Numbers without those that are left out, without gaps.
    fn kept(numbers: &[u32], keep: impl Fn(u32) -> bool) -> Vec<u32> {
        let mut new: BTreeMap<u32, u32> = BTreeMap::new();
        for &number in numbers.iter().filter(|&&number| number != 0 && keep(number)) {
            let next = new.len() as u32 + 1;
            new.entry(number).or_insert(next);
        }
        numbers.iter().map(|number| new.get(number).copied().unwrap_or(0)).collect()
    }

    fn expected(mask: &[bool], extent: Extent, config: &SegmentConfig) -> Vec<u32> {
        let background: Vec<bool> = mask.iter().map(|&inside| !inside).collect();
        let outside = flooded(&background, extent, config.connectivity.of_background());
        let size = |numbers: &[u32], number: u32| numbers.iter().filter(|&&n| n == number).count() as u64;
        let open = |number: u32| {
            Region::whole(extent).tiles(Extent::new(1, 1, 1)).any(|voxel| {
                let at = voxel.start;
                let end = |v: u64, all: u64| v == 0 || v + 1 == all;
                let border = end(at.y, extent.y)
                    || end(at.x, extent.x)
                    || (!config.connectivity.is_flat() && end(at.z, extent.z));
                border && outside[extent.offset(at)] == number
            })
        };
        let is_hole = |&number: &u32| number != 0 && !open(number) && size(&outside, number) <= config.fill_holes;
        let filled: Vec<bool> = mask.iter().zip(&outside).map(|(&inside, hole)| inside || is_hole(hole)).collect();
        let numbers = flooded(&filled, extent, config.connectivity);
        kept(&numbers, |number| (config.min_voxels..=config.max_voxels).contains(&size(&numbers, number)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn objects_and_holes_are_those_of_flooding_whatever_the_blocks(
            (extent, values) in (1_u64..6, 1_u64..7, 1_u64..8).prop_flat_map(|(z, y, x)| {
                let voxels = prop::collection::vec(0_u8..4, (z * y * x) as usize);
                (Just(Extent::new(z, y, x)), voxels)
            }),
            connectivity in prop::sample::select(Connectivity::ALL.to_vec()),
            (level, min_voxels, more, fill_holes) in (1_u32..4, 1_u64..4, 0_u64..30, 0_u64..6),
            (z, y, x) in (1_u64..7, 1_u64..8, 1_u64..9),
        ) {
            let max_voxels = min_voxels + more;
            let config = SegmentConfig { level, connectivity, fill_holes, min_voxels, max_voxels, region: None };
            let mask: Vec<bool> = values.iter().map(|&v| u32::from(v) >= level).collect();
            let volume = InMemory::new("v", extent, Voxels::U8(values));
            let out = InMemory::new("v", extent, Voxels::zeros(VoxelType::U32, extent.len()));
            let found = segment_in_blocks(&volume, &out, &config, Extent::new(z, y, x), &mut |_, _| true).unwrap();
            let (numbers, expected) = (out.voxels().iter().collect::<Vec<_>>(), expected(&mask, extent, &config));
            prop_assert_eq!(&numbers, &expected);
            prop_assert_eq!(found.objects, u64::from(expected.iter().copied().max().unwrap_or(0)));
            prop_assert_eq!(found.voxels, expected.iter().filter(|&&n| n > 0).count() as u64);
        }
    }

    #[test]
    fn a_part_is_numbered_by_itself() {
        let extent = Extent::new(2, 3, 8);
        let mut values = vec![0_u8; extent.len()];
        for at in [Index::new(0, 0, 0), Index::new(0, 1, 4), Index::new(1, 2, 5), Index::new(1, 2, 7)] {
            values[extent.offset(at)] = 200;
        }
        let volume = InMemory::new("v", extent, Voxels::U8(values));
        let region = Region::new(Index::new(0, 1, 3), Extent::new(2, 2, 4));
        let config = SegmentConfig { region: Some(region), ..SegmentConfig::default() };
        let out = InMemory::new("v", region.extent, Voxels::zeros(VoxelType::U32, region.extent.len()));
        let found = segment(&volume, &out, &config, &mut |_, _| true).unwrap();
        assert_eq!((found.objects, found.voxels, found.of_voxels, found.at_border), (1, 2, 16, 1));
        assert_eq!(out.voxels().iter().collect::<Vec<_>>(), [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn settings_that_fit_nothing_are_said() {
        let volume = InMemory::new("v", Extent::new(1, 1, 1), Voxels::U8(vec![7]));
        let error = |config: SegmentConfig| config.extent(&volume).unwrap_err().to_string();
        assert!(error(SegmentConfig { level: 0, ..SegmentConfig::default() }).contains("threshold"));
        let sizes = SegmentConfig { min_voxels: 5, max_voxels: 4, ..SegmentConfig::default() };
        assert!(error(sizes).contains("smallest size is 5 voxels"));
        let region = "0:2,0:1,0:1".parse().ok();
        assert!(error(SegmentConfig { region, ..SegmentConfig::default() }).contains("0:2"));
    }

    #[test]
    fn blocks_are_whole_grains() {
        assert_eq!(block(Extent::new(32, 128, 128)), Extent::new(64, 256, 256));
        assert_eq!(block(Extent::new(1, 5000, 7000)), Extent::new(1, 5000, 7000));
        assert_eq!(block(Extent::new(1, 500, 700)), Extent::new(11, 500, 700));
        assert_eq!(block(Extent::new(100, 300, 7)), Extent::new(100, 300, 252));
    }
}
