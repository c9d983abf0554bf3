//! Objects in blocks against flooding from each voxel.

use std::collections::BTreeMap;

use deep3m_volume::{Extent, InMemory, Index, VoxelSize, VoxelType, Voxels};
use proptest::prelude::*;

use super::*;
use crate::objects::Connectivity;

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
            let border =
                end(at.y, extent.y) || end(at.x, extent.x) || (!config.connectivity.is_flat() && end(at.z, extent.z));
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
        (tz, ty, tx) in (1_u64..7, 1_u64..8, 1_u64..9),
    ) {
        let max_voxels = min_voxels + more;
        let config = SegmentConfig { level, connectivity, fill_holes, min_voxels, max_voxels, region: None, watershed: None };
        let mask: Vec<bool> = values.iter().map(|&v| u32::from(v) >= level).collect();
        let volume = InMemory::new("v", extent, Voxels::U8(values));
        let out = InMemory::new("v", extent, Voxels::zeros(VoxelType::U32, extent.len()));
        let found = segment_in_blocks(&volume, &out, &config, Extent::new(z, y, x), Extent::new(tz, ty, tx)).unwrap();
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

fn watersheds() -> impl Strategy<Value = Watershed> {
    let sigmas = prop::sample::select(vec![[0.0; 3], [0.4, 0.8, 0.8]]);
    let probability = (sigmas, 0.0..0.3).prop_map(|(sigmas, h)| (Landscape::Probability { sigmas }, h));
    let distance = (0.0..20.0).prop_map(|h| (Landscape::Distance, h));
    prop_oneof![probability, distance].prop_map(|(landscape, h)| Watershed { landscape, h })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_watershed_is_the_same_whatever_the_blocks_and_the_place_of_heights(
        (extent, values) in (1_u64..6, 1_u64..9, 1_u64..10).prop_flat_map(|(z, y, x)| {
            let voxels = prop::collection::vec(any::<u8>(), (z * y * x) as usize);
            (Just(Extent::new(z, y, x)), voxels)
        }),
        connectivity in prop::sample::select(Connectivity::ALL.to_vec()),
        (level, min_voxels, fill_holes) in (1_u32..200, 1_u64..4, 0_u64..6),
        watershed in watersheds(),
        (z, y, x) in (1_u64..7, 1_u64..8, 1_u64..9),
        (tz, ty, tx) in (1_u64..7, 1_u64..8, 1_u64..9),
        waits: bool,
    ) {
        let watershed = Some(watershed);
        let config = SegmentConfig { level, connectivity, fill_holes, min_voxels, watershed, ..SegmentConfig::default() };
        let size = VoxelSize::new(30.0, 8.0, 8.0).unwrap();
        let volume = InMemory::new("v", extent, Voxels::U8(values)).sized(size);
        let out = || InMemory::new("o", extent, Voxels::zeros(VoxelType::U32, extent.len()));
        let (whole, in_blocks, with_file) = (out(), out(), out());
        let found = segment(&volume, &whole, &config, &mut |_, _| true).unwrap();
        let (block, tile) = (Extent::new(z, y, x), Extent::new(tz, ty, tx));
        prop_assert_eq!(found, segment_in_blocks(&volume, &in_blocks, &config, block, tile).unwrap());
        prop_assert_eq!(whole.voxels(), in_blocks.voxels());
        let folder = tempfile::tempdir().unwrap();
        let grid = crate::objects::Grid::new(extent, block);
        let plan = Plan { grid, tile, tiles_at_once: 1, in_memory: false, waits, room: 100 };
        let means = SegmentMeans { scratch: Some(folder.path().join("heights")), ..SegmentMeans::default() };
        let again = segment_as_planned(&volume, &with_file, &config, &plan, means, &mut |_, _| true).unwrap();
        prop_assert_eq!(found, again);
        prop_assert_eq!(whole.voxels(), with_file.voxels());
        prop_assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "no file stays");
    }
}

#[test]
fn what_is_written_is_not_written_again() {
    struct Log(Vec<Region>);
    impl Written for Log {
        fn begin(&mut self, _: u64) -> Result<(), AnalyzeError> {
            Ok(())
        }

        fn holds(&self, part: Region) -> bool {
            self.0.contains(&part)
        }

        fn add(&mut self, part: Region) -> Result<(), AnalyzeError> {
            self.0.push(part);
            Ok(())
        }
    }
    let extent = Extent::new(2, 2, 600);
    let volume = InMemory::new("v", extent, Voxels::U8(vec![200; extent.len()]));
    let out = InMemory::new("o", extent, Voxels::zeros(VoxelType::U32, extent.len()));
    let first = Region::whole(Extent::new(2, 2, 256));
    let mut log = Log(vec![first]);
    let means = SegmentMeans { written: Some(&mut log), ..SegmentMeans::default() };
    let mut heard = 0;
    let config = SegmentConfig::default();
    segment_with(&volume, &out, &config, means, &mut |step, voxels| {
        heard += if step == SegmentStep::Write { voxels } else { 0 };
        true
    })
    .unwrap();
    assert_eq!((heard, log.0.len()), (extent.len() as u64, 3), "{:?}", log.0);
    let numbers: Vec<u32> = out.voxels().iter().collect();
    assert!(numbers.iter().enumerate().all(|(i, &number)| number == u32::from(i % 600 >= 256)));
}

#[test]
fn a_watershed_that_cannot_be_is_said() {
    let volume = InMemory::new("v", Extent::new(1, 1, 1), Voxels::U8(vec![7]));
    for (landscape, h, expected) in [
        (Landscape::Distance, f64::NAN, "h is NaN"),
        (Landscape::Distance, -1.0, "h is -1"),
        (Landscape::Probability { sigmas: [0.0, 1e9, 0.0] }, 0.0, "32 voxels"),
        (Landscape::Probability { sigmas: [f64::NAN, 1.0, 0.0] }, 0.0, "32 voxels"),
    ] {
        let config = SegmentConfig { watershed: Some(Watershed { landscape, h }), ..SegmentConfig::default() };
        let error = config.extent(&volume).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Nothing but memory for the heights, and too little of it.
    let volume = InMemory::new("v", Extent::new(200, 500, 500), Voxels::U8(vec![0; 50_000_000]));
    let out = InMemory::new("o", Extent::new(1, 1, 1), Voxels::U32(vec![0]));
    let watershed = Some(Watershed { landscape: Landscape::Distance, h: 1.0 });
    let config = SegmentConfig { watershed, ..SegmentConfig::default() };
    let means = SegmentMeans { memory: Some(150 << 20), ..SegmentMeans::default() };
    let error = segment_with(&volume, &out, &config, means, &mut |_, _| true).unwrap_err().to_string();
    assert!(error.contains("--memory"), "{error}");
}
