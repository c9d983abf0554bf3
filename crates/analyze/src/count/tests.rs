//! Blocks change nothing, labels are counted as they are, and odd volumes are no obstacle.

use super::*;
use deep3m_volume::{InMemory, Index, Voxels};
use proptest::prelude::*;

/// Balls (z, y, x in nm from the first voxel's centre, radius) with blurred edges, and noise of a seed.
fn balls(extent: Extent, size: VoxelSize, all: &[([f64; 3], f64)], noise: u32, seed: u64) -> InMemory {
    let pitch = [size.z_nm, size.y_nm, size.x_nm];
    let mut state = seed | 1;
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| {
        let at = [voxel.start.z, voxel.start.y, voxel.start.x];
        let inside = |(centre, radius): &([f64; 3], f64)| {
            let square: f64 = (0..3).map(|i| (at[i] as f64 * pitch[i] - centre[i]).powi(2)).sum();
            ((radius - square.sqrt()) / size.y_nm + 0.5).clamp(0.0, 1.0)
        };
        let value = all.iter().map(inside).fold(0.0, f64::max);
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let noise = (state >> 33) as u32 % (2 * noise + 1);
        (value * 200.0 + f64::from(noise)).round().clamp(0.0, 255.0) as u8
    });
    InMemory::new("p", extent, Voxels::U8(voxels.collect())).sized(size)
}

fn thick() -> VoxelSize {
    VoxelSize::new(30.0, 8.0, 8.0).unwrap()
}

fn found(volume: &dyn Volume, config: &CountConfig) -> RoundObjects {
    count(volume, config, u64::MAX, &mut |_| true).unwrap()
}

/// As [`count`], in blocks of so many boxes.
fn in_blocks(volume: &dyn Volume, config: &CountConfig, boxes: [u64; 3], at_once: usize) -> Vec<Candidate> {
    let region = part_of(volume, config.region).unwrap();
    let search = Search::new(volume, config, region, size_of(volume)).unwrap();
    let mut walk = search.walk(volume, u64::MAX).unwrap();
    let bins = search.scale.bins;
    walk.block = Extent::new(boxes[0] * bins[0], boxes[1] * bins[1], boxes[2] * bins[2]);
    walk.at_once = at_once;
    choose(search.run(volume, &walk, 255, &mut |_| true).unwrap().0, &search.scale)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn blocks_and_threads_change_nothing(
        (z, y, x) in (1_u64..7, 10_u64..40, 10_u64..50),
        centres in prop::collection::vec(prop::array::uniform3(0.0_f64..1.0), 0..12),
        boxes in prop::array::uniform3(1_u64..20),
        at_once in 1_usize..5,
        seed in any::<u64>(),
        diameter in prop::sample::select(vec![30.0, 40.0, 130.0]),
        shrink in prop::array::uniform3(0_u64..3),
    ) {
        let extent = Extent::new(z, y, x);
        let at = |c: [f64; 3]| ([c[0] * 30.0 * z as f64, c[1] * 8.0 * y as f64, c[2] * 8.0 * x as f64], diameter / 2.0);
        let all: Vec<_> = centres.into_iter().map(at).collect();
        let volume = balls(extent, thick(), &all, 50, seed);
        let start = Index::new(shrink[0].min(z - 1), shrink[1], shrink[2]);
        let region = Region::new(start, Extent::new(z - start.z, y - start.y, x - start.x));
        let config = CountConfig { region: Some(region), ..CountConfig::of_diameter(diameter) };
        if Scale::new(diameter, thick(), region.extent).is_ok() {
            let whole = in_blocks(&volume, &config, [50, 50, 50], 1);
            prop_assert_eq!(in_blocks(&volume, &config, boxes, at_once), whole);
        }
    }

    #[test]
    fn labels_are_counted_as_one_by_one(
        (extent, voxels) in (1_u64..5, 1_u64..5, 1_u64..6).prop_flat_map(|(z, y, x)| {
            let label = prop::sample::select(vec![0, 0, 1, 7, u32::MAX]);
            (Just(Extent::new(z, y, x)), prop::collection::vec(label, (z * y * x) as usize))
        }),
    ) {
        let volume = InMemory::new("l", extent, Voxels::U32(voxels.clone())).sized(thick());
        let result = count_labels(&volume, &CountConfig::of_diameter(40.0), u64::MAX, &mut |_| true).unwrap();
        let mut ids: Vec<u32> = voxels.iter().copied().filter(|&v| v > 0).collect();
        ids.sort_unstable();
        ids.dedup();
        prop_assert_eq!(result.objects.iter().map(|o| o.id).collect::<Vec<_>>(), ids.iter().map(|&v| u64::from(v)).collect::<Vec<_>>());
        for object in &result.objects {
            let at: Vec<[u64; 3]> = (0..voxels.len() as u64)
                .filter(|&i| u64::from(voxels[i as usize]) == object.id)
                .map(|i| [i / (extent.y * extent.x), i / extent.x % extent.y, i % extent.x])
                .collect();
            let mean = |axis: usize| at.iter().map(|p| p[axis] as f64).sum::<f64>() / at.len() as f64;
            prop_assert!((object.z - mean(0)).abs() + (object.y - mean(1)).abs() + (object.x - mean(2)).abs() < 1e-9);
            let in_section = |z: u64| at.iter().filter(|p| p[0] == z).count();
            let most = (0..extent.z).max_by_key(|&z| (in_section(z), std::cmp::Reverse(z))).unwrap();
            prop_assert_eq!(object.plane, most);
            let ball = 4.0 / 3.0 * std::f64::consts::PI * object.radius.powi(3);
            prop_assert!((ball / (at.len() as f64 * 1920.0) - 1.0).abs() < 1e-9);
            let end = |p: &[u64; 3]| (0..3).any(|i| p[i] == 0 || p[i] + 1 == extent.to_array()[i]);
            prop_assert_eq!(object.touches_border, at.iter().any(end));
        }
    }
}

#[test]
fn two_on_top_of_each_other_are_two_and_one_between_sections_is_one() {
    let extent = Extent::new(7, 30, 60);
    // One between sections 2 and 3; one in section 2; two 46 nm apart; two side by side that touch.
    let all = [
        [75.0, 60.0, 60.0],
        [60.0, 60.0, 160.0],
        [62.0, 60.0, 260.0],
        [108.0, 60.0, 260.0],
        [90.0, 60.0, 360.0],
        [90.0, 100.0, 360.0],
    ];
    let volume = balls(extent, thick(), &all.map(|c| (c, 20.0)), 0, 1);
    let found = found(&volume, &CountConfig::of_diameter(40.0));
    assert_eq!(found.count(), 6, "{:?}", found.objects);
    for centre in all {
        let near = found.objects.iter().any(|o| {
            (o.z * 30.0 - centre[0]).abs() < 20.0
                && (o.y * 8.0 - centre[1]).abs() < 4.0
                && (o.x * 8.0 - centre[2]).abs() < 4.0
        });
        assert!(near, "{centre:?}: {:?}", found.objects);
    }
    let single = found.objects.iter().find(|o| (o.x * 8.0 - 160.0).abs() < 4.0).unwrap();
    assert_eq!(single.plane, 2);
}

#[test]
fn foreground_far_larger_than_an_object_is_none() {
    for size in [thick(), VoxelSize::new(8.0, 8.0, 8.0).unwrap()] {
        let extent = Extent::new(15, 60, 90);
        let middle = 7.0 * size.z_nm;
        // A ball of four diameters' radius, cut by the border, and two objects beside it.
        let all = [([middle, 200.0, 150.0], 160.0), ([middle, 240.0, 500.0], 20.0), ([middle, 282.0, 500.0], 20.0)];
        let volume = balls(extent, size, &all, 20, 3);
        let found = found(&volume, &CountConfig::of_diameter(40.0));
        // Of the large one's top and bottom little may be seen as objects; nothing of its inside or rim.
        let beside: Vec<_> = found.objects.iter().filter(|o| o.x * 8.0 > 440.0).collect();
        assert_eq!(beside.len(), 2, "{:?}", found.objects);
        assert!(found.count() <= 4, "{size:?}: {} counted: {:?}", found.count(), found.objects);
    }
    let filled = InMemory::new("f", Extent::new(5, 60, 60), Voxels::U8(vec![255; 18_000])).sized(thick());
    let corners = found(&filled, &CountConfig::of_diameter(40.0));
    assert_eq!(corners.count(), 0, "{:?}", corners.objects);
}

#[test]
fn large_objects_are_found_on_averaged_voxels() {
    let size = VoxelSize::new(100.0, 50.0, 50.0).unwrap();
    let all = [[2400.0, 2000.0, 2100.0], [2300.0, 2100.0, 4200.0], [2500.0, 4300.0, 3000.0]];
    let volume = balls(Extent::new(50, 130, 130), size, &all.map(|c| (c, 1000.0)), 20, 1);
    let config = CountConfig::of_diameter(2000.0);
    let found = found(&volume, &config);
    assert_eq!(found.count(), 3, "{:?}", found.objects);
    for (object, nm) in all.iter().map(|c| {
        let distance = |o: &&RoundObject| {
            ((o.z * 100.0 - c[0]).powi(2) + (o.y * 50.0 - c[1]).powi(2) + (o.x * 50.0 - c[2]).powi(2)).sqrt()
        };
        found.objects.iter().map(|o| (o, distance(&o))).min_by(|a, b| a.1.total_cmp(&b.1)).unwrap()
    }) {
        assert!(nm < 60.0, "{nm}");
        assert!((object.radius - 1000.0).abs() < 60.0, "{}", object.radius);
        assert!(!object.touches_border && object.confidence > Some(0.7));
    }
    let learned = learn_diameter(&volume, None, &mut |_| true).unwrap().unwrap();
    assert!((learned / 2000.0 - 1.0).abs() < 0.1, "{learned}");
}

#[test]
fn a_mask_of_ones_is_a_mask_and_nothing_is_nothing() {
    let extent = Extent::new(5, 30, 30);
    let volume = balls(extent, thick(), &[([60.0, 120.0, 120.0], 20.0)], 0, 1);
    let Voxels::U8(voxels) = volume.voxels() else { panic!() };
    let mask =
        InMemory::new("m", extent, Voxels::U8(voxels.iter().map(|&v| u8::from(v > 100)).collect())).sized(thick());
    let config = CountConfig::of_diameter(40.0);
    assert_eq!(found(&mask, &config).count(), 1);
    assert!(learn_diameter(&mask, None, &mut |_| true).unwrap().is_some());
    for value in [0, 1, 255] {
        let flat = InMemory::new("f", extent, Voxels::U8(vec![value; extent.len()])).sized(thick());
        let objects = found(&flat, &config);
        assert!(value > 0 || objects.count() == 0);
        let _ = learn_diameter(&flat, None, &mut |_| true).unwrap();
    }
    let one = InMemory::new("one", Extent::new(1, 1, 1), Voxels::U8(vec![9]));
    assert!(learn_diameter(&one, None, &mut |_| true).unwrap().is_none());
    let labels = InMemory::new("l", extent, Voxels::U32(vec![0; extent.len()]));
    assert!(matches!(count(&labels, &config, u64::MAX, &mut |_| true), Err(AnalyzeError::NotProbabilities { .. })));
    assert!(matches!(count(&mask, &config, u64::MAX, &mut |_| false), Err(AnalyzeError::Interrupted)));
    let tight = CountConfig { guard: Some(1e6), ..config };
    assert!(count(&mask, &tight, u64::MAX, &mut |_| true).unwrap_err().to_string().contains("guard"));
}

#[test]
fn less_sure_models_widen_the_range() {
    let extent = Extent::new(5, 30, 60);
    let all = [([60.0, 120.0, 120.0], 20.0), ([60.0, 120.0, 300.0], 20.0)];
    let volume = balls(extent, thick(), &all, 0, 1);
    // The models disagree about the right half only.
    let deviation = (0..extent.len()).map(|i| if i % 60 > 30 { 140 } else { 0 }).collect();
    let deviation = InMemory::new("d", extent, Voxels::U8(deviation)).sized(thick());
    let config = CountConfig::of_diameter(40.0);
    let (low, high) = count_range(&volume, &deviation, &config, u64::MAX, &mut |_| true).unwrap();
    assert_eq!((low, found(&volume, &config).count()), (1, 2));
    assert!(high >= 2);
    let other = InMemory::new("o", Extent::new(1, 2, 3), Voxels::U8(vec![0; 6]));
    let error = count_range(&volume, &other, &config, u64::MAX, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("1 × 2 × 3"), "{error}");
}
