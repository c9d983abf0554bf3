//! Objects of known size and shape, and blocks that change nothing.

use super::*;
use deep3m_volume::{InMemory, Voxels};
use proptest::prelude::*;

fn all(labels: &dyn Volume, intensity: Option<&dyn Volume>, config: &MeasureConfig) -> Measured {
    measure(labels, intensity, config, &mut |_| true).unwrap()
}

/// A volume with an ellipsoid, semi-axes and size of voxels in nm, of number 7.
fn ellipsoid(extent: Extent, centre_nm: [f64; 3], axes_nm: [f64; 3], size: VoxelSize) -> InMemory {
    let pitch = [size.z_nm, size.y_nm, size.x_nm];
    let inside = |at: Index| {
        let at = [at.z, at.y, at.x];
        let square: f64 = (0..3).map(|i| ((at[i] as f64 * pitch[i] - centre_nm[i]) / axes_nm[i]).powi(2)).sum();
        if square <= 1.0 { 7 } else { 0 }
    };
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| inside(voxel.start)).collect();
    InMemory::new("e.zarr", extent, Voxels::U8(voxels)).sized(size)
}

#[test]
fn spheres_and_ellipsoids_have_their_volume_area_place_and_axes() {
    let pi = std::f64::consts::PI;
    // Semi-axes, size of voxels, area: a sphere, an ellipsoid of revolution (oblate, e = 0.8), and on thick sections.
    let e = 0.8_f64;
    let oblate = 2.0 * pi * 40_000.0 * (1.0 + (1.0 - e * e) / e * e.atanh());
    for (axes, pitch, area) in [
        ([200.0, 200.0, 200.0], [10.0, 10.0, 10.0], 4.0 * pi * 40_000.0),
        ([120.0, 200.0, 200.0], [6.0, 10.0, 10.0], oblate),
        ([600.0, 600.0, 600.0], [30.0, 10.0, 10.0], 4.0 * pi * 360_000.0),
    ] {
        let size = VoxelSize::new(pitch[0], pitch[1], pitch[2]).unwrap();
        let extent: [u64; 3] = std::array::from_fn(|i| (2.0 * axes[i] / pitch[i]) as u64 + 8);
        let extent = Extent::new(extent[0], extent[1], extent[2]);
        let centre: [f64; 3] = std::array::from_fn(|i| axes[i] + (3.0 + [0.31, 0.17, 0.43][i]) * pitch[i]);
        let found = all(&ellipsoid(extent, centre, axes, size), None, &MeasureConfig::default());
        let object = &found.objects[0];
        let near = |found: f64, expected: f64, within: f64, what: &str| {
            assert!((found / expected - 1.0).abs() < within, "{axes:?}: {what} {found}, expected {expected}");
        };
        near(object.volume, 4.0 / 3.0 * pi * axes[0] * axes[1] * axes[2], 0.01, "volume");
        near(object.surface, area, if pitch[0] > 20.0 { 0.02 } else { 0.01 }, "area");
        near(object.axes[0], 2.0 * axes[2], 0.01, "major axis");
        near(object.axes[2], 2.0 * axes[0], 0.01, "minor axis");
        (0..3).for_each(|i| assert!((object.centroid[i] - centre[i]).abs() < 0.05 * pitch[i]));
        assert_eq!((found.objects.len(), object.id, object.at_border, object.nearest), (1, 7, false, None));
    }
}

#[test]
fn what_a_small_scene_measures() {
    // A bar of 1 × 2 × 4 voxels at the border, a single voxel, one that is too small is none of them.
    let extent = Extent::new(3, 5, 9);
    let mut voxels = vec![0_u32; extent.len()];
    for (y, x) in (1..3).flat_map(|y| (0..4).map(move |x| (y, x))) {
        voxels[extent.offset(Index::new(1, y, x))] = u32::MAX;
    }
    voxels[extent.offset(Index::new(1, 3, 7))] = 5;
    voxels[extent.offset(Index::new(1, 4, 8))] = 6;
    let grey: Vec<f32> = (0..extent.len()).map(|i| if i % 9 == 3 { f32::NAN } else { (i % 9) as f32 }).collect();
    let grey = InMemory::new("g.zarr", extent, Voxels::F32(grey));
    let size = VoxelSize::new(30.0, 10.0, 10.0).unwrap();
    let labels = InMemory::new("l.zarr", extent, Voxels::U32(voxels)).sized(size);
    let found = all(&labels, Some(&grey), &MeasureConfig::default());
    let bar = &found.objects[2];
    assert_eq!((bar.id, bar.voxels, bar.at_border), (u32::MAX, 8, true));
    assert_eq!(bar.bounds, "1:2,1:3,0:4".parse().unwrap());
    assert_eq!((bar.largest_section, bar.largest_section_voxels), (1, 8));
    assert_eq!(bar.centroid, [30.0, 15.0, 15.0]);
    assert_eq!(bar.mean_intensity, Some(1.0));
    assert_eq!(found.without_intensity, 2);
    assert_eq!((bar.directions[0], bar.axes[2], bar.elongation()), ([0.0, 0.0, 1.0], 0.0, None));
    // Columns 0 to 3: a variance of 15 / 12.
    assert!((bar.axes[0] - (20.0_f64 * 1.25 * 100.0).sqrt()).abs() < 1e-9);
    assert_eq!(bar.nearest, Some((5, (15.0_f64.powi(2) + 55.0_f64.powi(2)).sqrt())));
    assert_eq!(found.objects[0].nearest, Some((6, 200.0_f64.sqrt())));
    let table = found.table().to_csv();
    assert!(table.starts_with("id,voxels,volume_um3,surface_um2,centroid_z_nm,"), "{table}");
    assert!(table.lines().next().unwrap().ends_with(",touches_border,mean_intensity"), "{table}");
    let summary = found.summary();
    assert_eq!((summary.objects, summary.voxels, summary.at_border, summary.left_out), (3, 10, 2, 0));
    assert_eq!((summary.volume_fraction, summary.median_voxels), (10.0 / 135.0, Some(1.0)));
    assert!((summary.volume_um3.unwrap() - 10.0 * 3e-6).abs() < 1e-15);

    let region = "1:2,0:5,0:8".parse().ok();
    let found = all(&labels, None, &MeasureConfig { region, min_voxels: 2, ..MeasureConfig::default() });
    assert_eq!((found.objects.len(), found.left_out, found.of_voxels), (1, 1, 40));
    assert!(found.objects[0].at_border, "columns have a border, a single section has none");
    assert_eq!(found.objects[0].centroid, [30.0, 15.0, 15.0]);
    let labels = InMemory::new("l.zarr", extent, labels.voxels());
    let table = all(&labels, None, &MeasureConfig::default()).table().to_csv();
    assert!(table.starts_with("id,voxels,surface_vx2,centroid_z_vx,"), "{table}");
}

#[test]
fn what_cannot_be_measured_is_said() {
    let extent = Extent::new(2, 2, 2);
    let labels = InMemory::new("l.zarr", extent, Voxels::U8(vec![0; 8]));
    let error = |labels: &dyn Volume, grey: Option<&dyn Volume>, config: &MeasureConfig| {
        measure(labels, grey, config, &mut |_| true).unwrap_err().to_string()
    };
    let found = all(&labels, None, &MeasureConfig::default());
    assert_eq!((found.objects.len(), found.summary().median_voxels, found.table().rows()), (0, None, 0));
    let other = InMemory::new("g.zarr", Extent::new(2, 2, 3), Voxels::U8(vec![0; 12]));
    let text = error(&labels, Some(&other), &MeasureConfig::default());
    assert!(text.contains("l.zarr is 2 × 2 × 2") && text.contains("g.zarr is 2 × 2 × 3"), "{text}");
    let region = "0:2,0:2,1:3".parse().ok();
    assert!(error(&labels, None, &MeasureConfig { region, ..MeasureConfig::default() }).contains("1:3"));
    let floats = InMemory::new("f.zarr", extent, Voxels::F32(vec![0.5; 8]));
    assert!(error(&floats, None, &MeasureConfig::default()).contains("expected labels"));
    let config = MeasureConfig { budget: 1 << 20, ..MeasureConfig::default() };
    assert!(error(&labels, None, &config).contains("--memory"));
    assert!(measure(&labels, None, &MeasureConfig::default(), &mut |_| false).is_err());
    // One object everywhere: closed at the volume's border. Smoothing rounds the edges of a cube off.
    let full = InMemory::new("l.zarr", Extent::new(24, 24, 24), Voxels::U8(vec![1; 13824]));
    let object = &all(&full, None, &MeasureConfig::default()).objects[0];
    assert!((object.surface / 3456.0 - 1.0).abs() < 0.1, "{}", object.surface);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn blocks_change_nothing(
        (extent, values) in (1_u64..7, 1_u64..9, 1_u64..10).prop_flat_map(|(z, y, x)| {
            let voxels = prop::collection::vec(prop::sample::select(vec![0_u32, 0, 1, 2, u32::MAX]), (z * y * x) as usize);
            (Just(Extent::new(z, y, x)), voxels)
        }),
        block in (1_u64..8, 1_u64..10, 1_u64..11),
        at_once in 1_usize..4,
        start in 0_u64..2,
    ) {
        let grey: Vec<f32> = (0..values.len() as u32).map(|i| (i.wrapping_mul(2_654_435_761) as f32).sqrt()).collect();
        let size = VoxelSize::new(30.0, 8.0, 7.0).unwrap();
        let labels = InMemory::new("l", extent, Voxels::U32(values)).sized(size);
        let grey = InMemory::new("g", extent, Voxels::F32(grey));
        let from = Index::new(start.min(extent.z - 1), 0, start.min(extent.x - 1));
        let rest = Extent::new(extent.z - from.z, extent.y, extent.x - from.x);
        let region = Region::new(from, rest);
        let config = MeasureConfig { region: Some(region), ..MeasureConfig::default() };
        let halo = Extent::new(REACH, REACH, REACH);
        let walk = |block, at_once| Walk { region, block, halo, at_once };
        let whole = measure_in(&labels, Some(&grey), &config, &walk(rest, 1), &mut |_| true).unwrap();
        let walk = walk(Extent::new(block.0, block.1, block.2), at_once);
        let found = measure_in(&labels, Some(&grey), &config, &walk, &mut |_| true).unwrap();
        prop_assert_eq!(&found, &whole);
        // Against the voxels one by one.
        let Voxels::U32(numbers) = labels.voxels() else { unreachable!() };
        for object in &found.objects {
            let places: Vec<[f64; 3]> = region
                .tiles(Extent::new(1, 1, 1))
                .map(|voxel| voxel.start)
                .filter(|&at| numbers[extent.offset(at)] == object.id)
                .map(|at| [at.z as f64 * 30.0, at.y as f64 * 8.0, at.x as f64 * 7.0])
                .collect();
            let mut sections = std::collections::BTreeMap::<u64, u64>::new();
            for place in &places {
                *sections.entry((place[0] / 30.0) as u64).or_default() += 1;
            }
            let most = sections.values().copied().max();
            let first = sections.iter().find(|(_, n)| Some(**n) == most).map(|(z, n)| (*z, *n));
            prop_assert_eq!(Some((object.largest_section, object.largest_section_voxels)), first);
            let n = places.len() as f64;
            prop_assert_eq!(object.voxels, places.len() as u64);
            let mean = |f: &dyn Fn(&[f64; 3]) -> f64| places.iter().map(f).sum::<f64>() / n;
            let middle: [f64; 3] = std::array::from_fn(|i| mean(&|p| p[i]));
            (0..3).for_each(|i| assert!((object.centroid[i] - middle[i]).abs() < 1e-9));
            let spread: f64 = (0..3).map(|i| mean(&|p| (p[i] - middle[i]).powi(2))).sum();
            let axes: f64 = object.axes.iter().map(|l| l * l / 20.0).sum();
            prop_assert!((spread - axes).abs() < 1e-8 * spread.max(1.0), "{} instead of {}", axes, spread);
        }
    }
}
