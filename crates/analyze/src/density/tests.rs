//! Gradients of known density, and blocks that change nothing.

use super::*;
use deep3m_volume::{InMemory, Voxels};
use proptest::prelude::*;

const SIZE: VoxelSize = VoxelSize { z_nm: 1000.0, y_nm: 500.0, x_nm: 250.0 };

fn config(window_nm: f64, step_nm: Option<f64>, axes: &[Axis]) -> DensityConfig {
    DensityConfig { window_nm, step_nm, axes: axes.to_vec(), region: None, budget: u64::MAX }
}

#[test]
fn the_profile_of_a_gradient_is_that_gradient() {
    // In section z there are z + 1 objects of two voxels each.
    let extent = Extent::new(12, 20, 30);
    let mut voxels = vec![0_u16; extent.len()];
    let mut id = 0;
    for z in 0..12 {
        for i in 0..=z {
            id += 1;
            let at = extent.offset(Index::new(z, i, 5 + i));
            (voxels[at], voxels[at + 1]) = (id, id);
        }
    }
    let labels = InMemory::new("l", extent, Voxels::U16(voxels)).sized(SIZE);
    let found = density_of_objects(&labels, None, &config(3000.0, Some(1000.0), &[Axis::Z]), &mut |_| true).unwrap();
    assert_eq!((found.objects, found.outside_tissue, found.windows.len()), (78, 0, 10));
    let mm3 = |voxels: f64| voxels * 1000.0 * 500.0 * 250.0 * 1e-18;
    for (i, window) in found.windows.iter().enumerate() {
        let objects = 3 * (i as u64 + 2);
        assert_eq!((window.objects, window.position_nm), (objects, 1000.0 * (i as f64 + 1.0)));
        assert_eq!(window.objects_per_mm3, Some(objects as f64 / mm3(1800.0)));
        assert_eq!(window.volume_fraction, Some(2.0 * objects as f64 / 1800.0));
    }
    assert_eq!(found.volume_fraction, Some(156.0 / 7200.0));
    // As points, in the same windows the same numbers.
    let table = crate::measure(&labels, None, &crate::MeasureConfig::default(), &mut |_| true).unwrap();
    let points = Points {
        positions_nm: table.objects.iter().map(|object| object.centroid).chain([[-501.0, 0.0, 0.0]]).collect(),
        ..Points::default()
    };
    let wide = config(3000.0, Some(1000.0), &Axis::ALL);
    let objects = density_of_objects(&labels, None, &wide, &mut |_| true).unwrap();
    let of_points = density_of_points(&points, extent, SIZE, None, &wide, &mut |_| true).unwrap();
    assert_eq!((of_points.objects, of_points.outside_volume, of_points.volume_fraction), (78, 1, None));
    assert_eq!(of_points.windows.len(), objects.windows.len());
    for (a, b) in objects.windows.iter().zip(&of_points.windows) {
        assert_eq!(
            (a.objects_per_mm3, a.position_nm, a.tissue_voxels),
            (b.objects_per_mm3, b.position_nm, b.tissue_voxels)
        );
    }
    let charts = found.charts();
    assert_eq!((charts.len(), charts[0].lines[0].points.len(), of_points.charts().len()), (2, 10, 1));
    let csv = found.table().to_csv();
    assert!(csv.starts_with("axis,position_um,first_plane,planes,objects,tissue_um3,objects_per_mm3,object_um3,volume_fraction\nz,1,0,3,6,"), "{csv}");
}

#[test]
fn only_tissue_counts() {
    // Tissue is the left half; one object is in it, one outside, one half in it with its middle outside.
    let extent = Extent::new(1, 1, 20);
    let mut voxels = vec![0_u8; 20];
    voxels[2] = 1;
    voxels[15] = 2;
    voxels[9..13].fill(3);
    let labels = InMemory::new("l", extent, Voxels::U8(voxels)).sized(SIZE);
    let mask = InMemory::new("m", extent, Voxels::U8((0..20).map(|x| if x < 10 { 255 } else { 0 }).collect()));
    let found =
        density_of_objects(&labels, Some(&mask), &config(1250.0, Some(1250.0), &[Axis::X]), &mut |_| true).unwrap();
    assert_eq!((found.objects, found.outside_tissue), (1, 2));
    let windows: Vec<_> = found.windows.iter().map(|w| (w.objects, w.tissue_voxels, w.object_voxels)).collect();
    assert_eq!(windows, [(1, 5, Some(1)), (0, 5, Some(1)), (0, 0, Some(0)), (0, 0, Some(0))]);
    assert_eq!((found.windows[2].objects_per_mm3, found.windows[2].volume_fraction), (None, None));
    assert_eq!(found.volume_fraction, Some(0.2));
    let points = Points { positions_nm: vec![[0.0, 0.0, 500.0], [0.0, 0.0, 4000.0]], ..Points::default() };
    let found =
        density_of_points(&points, extent, SIZE, Some(&mask), &config(1e9, None, &[Axis::X]), &mut |_| true).unwrap();
    assert_eq!((found.objects, found.outside_tissue, found.windows.len()), (1, 1, 1));
    assert_eq!((found.short_axes, found.windows[0].planes), (vec![Axis::X], 20));
}

#[test]
fn what_has_no_density_is_said() {
    let extent = Extent::new(2, 2, 2);
    let labels = InMemory::new("l.zarr", extent, Voxels::U8(vec![1; 8]));
    let plain = config(1000.0, None, &Axis::ALL);
    let error = density_of_objects(&labels, None, &plain, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("l.zarr") && error.contains("--voxel-size"), "{error}");
    let labels = labels.sized(SIZE);
    let mask = InMemory::new("m.zarr", Extent::new(2, 2, 3), Voxels::U8(vec![1; 12]));
    let error = density_of_objects(&labels, Some(&mask), &plain, &mut |_| true).unwrap_err().to_string();
    assert!(error.contains("m.zarr is 2 × 2 × 3"), "{error}");
    let points = Points::default();
    for extent in [Extent::new(u64::MAX, 1, 1), Extent::new(0, 1, 1)] {
        assert!(density_of_points(&points, extent, SIZE, None, &plain, &mut |_| true).is_err());
    }
    let none = density_of_points(&points, extent, SIZE, None, &plain, &mut |_| true).unwrap();
    assert_eq!((none.objects, none.objects_per_mm3), (0, Some(0.0)));
}

proptest! {
    #[test]
    fn blocks_change_nothing(
        (extent, values) in (1_u64..6, 1_u64..8, 1_u64..9).prop_flat_map(|(z, y, x)| {
            let voxels = prop::collection::vec((0_u8..4, 0_u8..2), (z * y * x) as usize);
            (Just(Extent::new(z, y, x)), voxels)
        }),
        block in (1_u64..7, 1_u64..9, 1_u64..10),
        (window, step, start) in (200.0..6000.0_f64, 200.0..3000.0_f64, 0_u64..2),
    ) {
        let (labels, mask): (Vec<u8>, Vec<u8>) = values.into_iter().unzip();
        let labels = InMemory::new("l", extent, Voxels::U8(labels)).sized(SIZE);
        let mask = InMemory::new("m", extent, Voxels::U8(mask));
        let from = Index::new(start.min(extent.z - 1), start.min(extent.y - 1), 0);
        let region = Region::new(from, Extent::new(extent.z - from.z, extent.y - from.y, extent.x));
        let config = config(window, Some(step), &Axis::ALL);
        let walk = |block, at_once| Walk { region, block, halo: Extent::new(0, 0, 0), at_once };
        let in_blocks = |walk: Walk| objects_in(&labels, Some(&mask), &config, SIZE, &walk, &mut |_| true).unwrap();
        let whole = in_blocks(walk(extent, 1));
        prop_assert_eq!(&in_blocks(walk(Extent::new(block.0, block.1, block.2), 3)), &whole);
        // Along z, voxel by voxel.
        let (numbers, tissue) = (labels.voxels(), mask.voxels());
        for window in whole.windows.iter().filter(|window| window.axis == Axis::Z) {
            let slab = Region::new(Index::new(window.first, from.y, 0), Extent::new(window.planes, region.extent.y, extent.x));
            let inside = slab.tiles(Extent::new(1, 1, 1)).map(|voxel| extent.offset(voxel.start));
            let (mut voxels, mut filled) = (0, 0);
            for i in inside.filter(|&i| tissue.get(i) != 0) {
                voxels += 1;
                filled += u64::from(numbers.get(i) != 0);
            }
            prop_assert_eq!((window.tissue_voxels, window.object_voxels), (voxels, Some(filled)));
        }
    }
}
