//! Surfaces of volumes in blocks against the definition.

use deep3m_volume::{Extent, InMemory, Index, Region, VoxelSize, Voxels};
use proptest::prelude::*;

use super::*;

/// The definition: every pair of surface voxels.
fn by_definition(extent: Extent, masks: [&[u8]; 2], size: VoxelSize) -> [Vec<f64>; 2] {
    let places: Vec<Index> = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|tile| tile.start).collect();
    let surface = |mask: &[u8]| -> Vec<Index> {
        let is = |z: i64, y: i64, x: i64| {
            let inside = |at: i64, size: u64| at >= 0 && at < size as i64;
            inside(z, extent.z)
                && inside(y, extent.y)
                && inside(x, extent.x)
                && mask[extent.offset(Index::new(z as u64, y as u64, x as u64))] != 0
        };
        let open = |at: &&Index| {
            let (z, y, x) = (at.z as i64, at.y as i64, at.x as i64);
            is(z, y, x)
                && !(is(z - 1, y, x)
                    && is(z + 1, y, x)
                    && is(z, y - 1, x)
                    && is(z, y + 1, x)
                    && is(z, y, x - 1)
                    && is(z, y, x + 1))
        };
        places.iter().filter(open).copied().collect()
    };
    let [a, b] = masks.map(surface);
    let distance = |a: &Index, b: &Index| {
        let way = |a: u64, b: u64, pitch: f64| (a.abs_diff(b) as f64 * pitch).powi(2);
        (way(a.z, b.z, size.z_nm) + way(a.y, b.y, size.y_nm) + way(a.x, b.x, size.x_nm)).sqrt()
    };
    let nearest = |from: &[Index], to: &[Index]| {
        let mut all: Vec<f64> =
            from.iter().map(|a| to.iter().map(|b| distance(a, b)).fold(f64::INFINITY, f64::min)).collect();
        all.sort_by(f64::total_cmp);
        all
    };
    [nearest(&a, &b), nearest(&b, &a)]
}

fn in_blocks(extent: Extent, masks: [&[u8]; 2], size: VoxelSize, block: Extent, near: u64) -> SurfaceDistances {
    let [prediction, truth] = masks.map(|mask| InMemory::new("v", extent, Voxels::U8(mask.to_vec())));
    let (region, rule) = (Region::whole(extent), LabelRule { foreground: None, ignore: None });
    let masks = Masks { prediction: &prediction, truth: &truth, level: 1, rule, region };
    let grid = Grid { near: Extent::new(near, near, near), ..Grid::new(Some(size)) };
    let walk = Walk { region, block, halo: Extent::new(near + 1, near + 1, near + 1), at_once: 2 };
    compare(&masks, &walk, &grid, &mut |_| true).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn whatever_the_blocks_and_however_far(
        (extent, prediction, truth) in (1_u64..20, 1_u64..9, 1_u64..70).prop_flat_map(|(z, y, x)| {
            let mask = |rare: u32| prop::collection::vec(
                prop_oneof![rare => Just(0_u8), 1 => Just(1_u8)], (z * y * x) as usize);
            (Just(Extent::new(z, y, x)), prop_oneof![mask(1), mask(300)], prop_oneof![mask(1), mask(600)])
        }),
        (bz, by, bx) in (1_u64..8, 1_u64..6, 1_u64..30),
        near in 0_u64..6,
        size in prop::sample::select(vec![(1.0, 1.0, 1.0), (30.0, 8.0, 8.0), (4.6, 0.7, 1.1)]),
    ) {
        let size = VoxelSize::new(size.0, size.1, size.2).unwrap();
        let masks = [prediction.as_slice(), truth.as_slice()];
        let found = in_blocks(extent, masks, size, Extent::new(bz, by, bx), near);
        let expected = by_definition(extent, masks, size);
        prop_assert_eq!(found.prediction_to_truth.voxels, expected[0].len() as u64);
        prop_assert_eq!(found.truth_to_prediction.voxels, expected[1].len() as u64);
        if expected.iter().any(Vec::is_empty) {
            prop_assert_eq!((found.mean, found.hausdorff_95, found.hausdorff), (None, None, None));
            prop_assert_eq!(found.prediction_to_truth.mean, None);
        } else {
            let same = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() <= 1e-10 * expected.max(1.0);
            for (way, all) in [&found.prediction_to_truth, &found.truth_to_prediction].into_iter().zip(&expected) {
                prop_assert!(same(way.max, all[all.len() - 1]), "{:?}", way);
                prop_assert!(same(way.mean, all.iter().sum::<f64>() / all.len() as f64), "{:?}", way);
                let place = 0.95 * (all.len() - 1) as f64;
                let (low, high) = (all[place.floor() as usize], all[place.ceil() as usize]);
                prop_assert!(same(way.percentile_95, low + (high - low) * place.fract()), "{:?}", way);
            }
            let whole = in_blocks(extent, masks, size, extent, 100);
            if size.x_nm == 1.0 || size.x_nm == 8.0 {
                prop_assert_eq!(whole, found);
            }
        }
    }
}

#[test]
fn what_is_not_annotated_has_no_surface_and_lengths_have_their_unit() {
    let extent = Extent::new(1, 1, 12);
    let volume = |voxels: Vec<u8>| InMemory::new("v", extent, Voxels::U8(voxels));
    let prediction = volume(vec![0, 200, 0, 0, 0, 0, 0, 0, 0, 0, 200, 0]);
    let truth = volume(vec![0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 9, 0]);
    let config = SurfaceConfig { level: 128, region: None, foreground: Some(7), ignore: Some(9), voxel_size: None };
    let measure =
        |config| surface_distances(&prediction, &truth, &config, Allowance::default(), &mut |_| true).unwrap();
    let found = measure(config);
    assert_eq!((found.unit, found.hausdorff, found.prediction_to_truth.voxels), (LengthUnit::Voxels, Some(3.0), 1));
    let sized = measure(SurfaceConfig { voxel_size: VoxelSize::new(30.0, 8.0, 8.0), ..config });
    assert_eq!((sized.unit, sized.hausdorff), (LengthUnit::Nm, Some(24.0)));
    assert!(sized.to_string().contains("Hausdorff 24.00 nm"), "{sized}");
    let part = Region::new(Index::new(0, 0, 2), Extent::new(1, 1, 10));
    let none = measure(SurfaceConfig { region: Some(part), ..config });
    assert_eq!((none.hausdorff, none.truth_to_prediction.voxels), (None, 1));
    assert!(none.to_string().contains("Hausdorff –"), "{none}");
}
