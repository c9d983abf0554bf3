//! Plates and points whose contacts are known, and blocks that change nothing.

use super::*;
use deep3m_volume::{InMemory, Voxels};
use proptest::prelude::*;

const SIZE: VoxelSize = VoxelSize { z_nm: 30.0, y_nm: 8.0, x_nm: 8.0 };

fn drawn(extent: Extent, number: impl Fn(u64, u64, u64) -> u32) -> InMemory {
    let voxels = Region::whole(extent).tiles(Extent::new(1, 1, 1)).map(|voxel| voxel.start);
    let voxels = voxels.map(|at| number(at.z, at.y, at.x)).collect();
    InMemory::new("l.zarr", extent, Voxels::U32(voxels)).sized(SIZE)
}

fn within(distance_nm: f64) -> ContactsConfig {
    ContactsConfig { distance_nm, region: None, budget: u64::MAX }
}

fn found(a: &InMemory, b: Option<&InMemory>, distance_nm: f64) -> Contacts {
    contacts(a, b.map(|b| b as &dyn Volume), &within(distance_nm), &mut |_| true).unwrap()
}

#[test]
fn parallel_plates_touch_with_their_whole_area() {
    // Sections 0 to 7 and 10 to 17, all rows and columns: two sections between them, 60 nm.
    let extent = Extent::new(18, 20, 30);
    let first = drawn(extent, |z, _, _| u32::from(z < 8));
    let second = drawn(extent, |z, _, _| if z >= 10 { 9 } else { 0 });
    assert!(found(&first, Some(&second), 59.0).pairs.is_empty());
    let area = 20.0 * 30.0 * 64.0;
    for distance in [60.0, 75.0, 89.0] {
        let found = found(&first, Some(&second), distance);
        let [pair] = found.pairs[..] else { panic!("{:?}", found.pairs) };
        assert_eq!((pair.a, pair.b, pair.sites, pair.distance_nm), (1, 9, 1, 60.0));
        assert!((pair.area_a_nm2 / area - 1.0).abs() < 1e-4, "{} instead of {area}", pair.area_a_nm2);
        assert!((pair.area_b_nm2 / area - 1.0).abs() < 1e-4);
        let site = found.sites[0];
        assert_eq!((site.site, site.voxels, site.centroid_nm), (1, 600, [210.0, 76.0, 116.0]));
        assert_eq!(site.area_nm2, pair.area_a_nm2);
    }
    // In one volume, touching: the same area with a distance of nothing.
    let both = drawn(extent, |z, _, _| if z < 8 { 5 } else { 3 });
    let touching = found(&both, None, 0.0);
    let [pair] = touching.pairs[..] else { panic!("{:?}", touching.pairs) };
    assert_eq!((pair.a, pair.b, pair.sites, pair.distance_nm), (3, 5, 1, 0.0));
    assert!((pair.area_a_nm2 / area - 1.0).abs() < 1e-4 && (pair.area_b_nm2 / area - 1.0).abs() < 1e-4);
    assert_eq!(touching.sites[0].centroid_nm[0], 240.0, "on the side of the lower number");
}

#[test]
fn each_place_is_a_site() {
    // A plate with two feet towards another, and one towards a third.
    let extent = Extent::new(24, 40, 60);
    let plate = drawn(extent, |z, y, x| {
        let foot = |x0: u64| z < 16 && (15..25).contains(&y) && (x0..x0 + 10).contains(&x);
        u32::from(z < 8 || foot(5) || foot(25) || foot(45))
    });
    let others = drawn(extent, |z, _, x| if z < 17 { 0 } else { 1 + u32::from(x >= 40) });
    let found = found(&plate, Some(&others), 40.0);
    let sites: Vec<_> = found.pairs.iter().map(|pair| (pair.a, pair.b, pair.sites, pair.distance_nm)).collect();
    assert_eq!(sites, [(1, 1, 2, 30.0), (1, 2, 1, 30.0)]);
    let places: Vec<_> = found.sites.iter().map(|site| (site.b, site.site, site.centroid_nm[2])).collect();
    assert_eq!(places, [(1, 1, 76.0), (1, 2, 236.0), (2, 1, 396.0)]);
    let summary = found.summary(40.0, false);
    assert_eq!((summary.pairs, summary.sites, summary.objects_a, summary.objects_b), (2, 3, 1, 2));
    assert!(found.pairs_table().to_csv().starts_with("a_id,b_id,area_a_um2,area_b_um2,sites,distance_nm\n1,1,"));
    assert_eq!(found.sites_table().rows(), 3);
}

#[test]
fn what_lies_inside_touches_with_all_of_its_surface() {
    let extent = Extent::new(20, 30, 30);
    let cell = drawn(extent, |_, _, _| 4);
    let ball = drawn(extent, |z, y, x| {
        let square =
            (z as f64 * 30.0 - 290.0).powi(2) + (y as f64 * 8.0 - 115.0).powi(2) + (x as f64 * 8.0 - 114.0).powi(2);
        if square < 80.0 * 80.0 { 2 } else { 0 }
    });
    let inside = found(&ball, Some(&cell), 0.0);
    let whole =
        crate::measure(&ball, None, &crate::MeasureConfig::default(), &mut |_| true).unwrap().objects[0].surface;
    assert!((inside.pairs[0].area_a_nm2 / whole - 1.0).abs() < 1e-9);
    assert_eq!((inside.pairs[0].area_b_nm2, inside.pairs[0].distance_nm), (0.0, 0.0));
    let outside = found(&cell, Some(&ball), 0.0);
    assert_eq!((outside.pairs[0].sites, outside.pairs[0].area_b_nm2), (0, inside.pairs[0].area_a_nm2));
}

#[test]
fn what_has_no_contacts_is_said() {
    let extent = Extent::new(2, 2, 2);
    let labels = drawn(extent, |_, _, _| 0);
    assert!(found(&labels, None, 30.0).pairs.is_empty());
    let error = |a: &InMemory, b: Option<&InMemory>, config: &ContactsConfig| {
        contacts(a, b.map(|b| b as &dyn Volume), config, &mut |_| true).unwrap_err().to_string()
    };
    let bare = InMemory::new("bare.zarr", extent, Voxels::U8(vec![1; 8]));
    let text = error(&bare, None, &within(30.0));
    assert!(text.contains("bare.zarr") && text.contains("--voxel-size"), "{text}");
    let other = drawn(Extent::new(2, 2, 3), |_, _, _| 1);
    assert!(error(&labels, Some(&other), &within(30.0)).contains("2 × 2 × 3"));
    let long = drawn(Extent::new(1, 1, 300_000), |_, _, _| 0);
    assert!(error(&long, None, &within(1e9)).contains("contacts are near"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn blocks_change_nothing(
        (extent, values) in (1_u64..8, 1_u64..10, 1_u64..12).prop_flat_map(|(z, y, x)| {
            let number = prop::sample::select(vec![0_u32, 0, 0, 1, 1, 2, u32::MAX]);
            let voxels = prop::collection::vec((number.clone(), number), (z * y * x) as usize);
            (Just(Extent::new(z, y, x)), voxels)
        }),
        block in (1_u64..9, 1_u64..11, 1_u64..13),
        at_once in 1_usize..4,
        one in proptest::bool::ANY,
        start in 0_u64..2,
        distance in prop::sample::select(vec![0.0, 8.0, 20.0, 31.0]),
    ) {
        let (a, b): (Vec<u32>, Vec<u32>) = values.into_iter().unzip();
        let a = InMemory::new("a", extent, Voxels::U32(a)).sized(SIZE);
        let b = InMemory::new("b", extent, Voxels::U32(b));
        let b = (!one).then_some(&b as &dyn Volume);
        let from = Index::new(start.min(extent.z - 1), 0, start.min(extent.x - 1));
        let region = Region::new(from, Extent::new(extent.z - from.z, extent.y, extent.x - from.x));
        let window = Window::new(distance, SIZE, region.extent).unwrap();
        let [z, y, x] = window.reach.map(|reach| reach.max(AROUND));
        let walk = |block, at_once| Walk { region, block, halo: Extent::new(z, y, x), at_once };
        let run = |walk: Walk| contacts_in(&a, b, &window, SIZE, &walk, &mut |_| true).unwrap();
        let whole = run(walk(extent, 1));
        prop_assert_eq!(&run(walk(Extent::new(block.0, block.1, block.2), at_once)), &whole);
        for pair in &whole.pairs {
            prop_assert!(pair.distance_nm <= distance);
            let area: f64 = whole.sites.iter().filter(|s| (s.a, s.b) == (pair.a, pair.b)).map(|s| s.area_nm2).sum();
            prop_assert!((area - pair.area_a_nm2).abs() <= 1e-9 * area);
        }
    }
}
