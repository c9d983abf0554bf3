//! Meshes of whole runs: closed, right in size, the same whatever the blocks, within their error.

use deep3m_volume::{InMemory, Index, Voxels};
use proptest::prelude::*;

use super::*;

/// Holds what comes.
#[derive(Default)]
struct Collected {
    around: Option<Region>,
    objects: Vec<ObjectMesh>,
}

impl MeshSink for Collected {
    fn begin(&mut self, around: Region, _: usize) -> Result<(), AnalyzeError> {
        self.around = Some(around);
        Ok(())
    }

    fn take(&mut self, objects: Vec<ObjectMesh>) -> Result<(), AnalyzeError> {
        self.objects.extend(objects);
        Ok(())
    }
}

const MUCH: MeshMemory = MeshMemory { budget: u64::MAX, held: 0 };

fn cube() -> VoxelSize {
    VoxelSize::new(1.0, 1.0, 1.0).unwrap()
}

fn raw() -> MeshConfig {
    MeshConfig { smooth: 0, max_error_nm: 0.0, ..MeshConfig::for_voxels(cube()) }
}

fn made(extent: Extent, labels: &[u32], size: VoxelSize, config: &MeshConfig) -> Vec<ObjectMesh> {
    let volume = InMemory::new("v", extent, Voxels::U32(labels.to_vec()));
    let mut all = Collected::default();
    mesh(&volume, size, config, MUCH, &mut all, &mut |_, _| true).unwrap();
    all.objects.sort_by_key(|object| object.id);
    all.objects
}

/// As [`made`], in blocks of a size, with room for so many bytes of open surfaces.
fn in_blocks(
    extent: Extent,
    labels: &[u32],
    config: &MeshConfig,
    block: Extent,
    at_once: usize,
    room: u64,
) -> Vec<ObjectMesh> {
    let volume = InMemory::new("v", extent, Voxels::U32(labels.to_vec()));
    let walk = Walk { region: part(&volume, config).unwrap(), block, halo: HALO, at_once };
    let objects = survey_of(&volume, &walk, config, &mut |_, _| true).unwrap();
    let mut all = Collected::default();
    mesh_in_blocks(&volume, cube(), config, &walk, &objects, room, &mut all, &mut |_, _| true).unwrap();
    all.objects.sort_by_key(|object| object.id);
    all.objects
}

/// Every edge is in two triangles, once in each direction, and the triangles around each corner are one fan.
fn assert_closed(mesh: &Mesh) {
    let mut to: HashMap<(u32, u32), u32> = HashMap::new();
    for &[a, b, c] in &mesh.triangles {
        for (edge, third) in [((a, b), c), ((b, c), a), ((c, a), b)] {
            assert!(edge.0 != edge.1, "an edge without length");
            assert!(to.insert(edge, third).is_none(), "an edge twice in one direction");
        }
    }
    let mut spokes = vec![Vec::new(); mesh.places.len()];
    for &(a, b) in to.keys() {
        assert!(to.contains_key(&(b, a)), "an edge of one triangle");
        spokes[a as usize].push(b);
    }
    for (corner, spokes) in spokes.iter().enumerate() {
        let (mut at, mut met) = (spokes[0], 0);
        loop {
            at = to[&(corner as u32, at)];
            met += 1;
            if at == spokes[0] {
                break;
            }
        }
        assert_eq!(met, spokes.len(), "two fans at a corner");
    }
}

/// Corners − edges + triangles: 2 for each closed piece without handles.
fn euler(mesh: &Mesh) -> i64 {
    mesh.places.len() as i64 - mesh.triangles.len() as i64 / 2
}

fn volumes() -> impl Strategy<Value = (Extent, Vec<u32>)> {
    (1_u64..6, 1_u64..6, 1_u64..22).prop_flat_map(|(z, y, x)| {
        let label = prop_oneof![3 => Just(0), 3 => Just(1), 2 => Just(65), 1 => Just(u32::MAX)];
        (Just(Extent::new(z, y, x)), prop::collection::vec(label, (z * y * x) as usize))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn surfaces_of_any_labels_are_closed_and_face_outwards((extent, labels) in volumes()) {
        for config in [raw(), MeshConfig::for_voxels(cube()), MeshConfig { max_error_nm: 2.0, levels: 3, ..raw() }] {
            let objects = made(extent, &labels, cube(), &config);
            let mut ids = labels.clone();
            ids.sort_unstable();
            ids.dedup();
            ids.retain(|&id| id != 0);
            prop_assert_eq!(objects.iter().map(|object| object.id).collect::<Vec<_>>(), ids);
            for object in &objects {
                prop_assert_eq!(object.voxels, labels.iter().filter(|&&label| label == object.id).count() as u64);
                for level in &object.levels {
                    assert_closed(&level.mesh);
                    prop_assert!(level.volume_nm3 > 0.0 && level.error_nm <= config.max_error_nm * 4.0 + 1e-9);
                }
                let finest = &object.levels[0];
                prop_assert!(config.smooth > 0 || finest.volume_nm3 <= object.voxels as f64 * 1.01);
            }
        }
    }

    #[test]
    fn the_meshes_do_not_depend_on_blocks_or_memory(
        (extent, labels) in volumes(),
        (z, y, x) in (1_u64..6, 1_u64..6, 1_u64..22),
        at_once in 1_usize..4,
        room in prop::sample::select(vec![0, 50_000, u64::MAX]),
    ) {
        for config in [raw(), MeshConfig::for_voxels(cube())] {
            let whole = in_blocks(extent, &labels, &config, extent, 1, u64::MAX);
            prop_assert_eq!(&whole, &made(extent, &labels, cube(), &config));
            prop_assert_eq!(&whole, &in_blocks(extent, &labels, &config, Extent::new(z, y, x), at_once, room));
        }
    }
}

#[test]
fn one_voxel_is_an_octahedron_where_the_voxel_is() {
    let size = VoxelSize::new(30.0, 8.0, 4.0).unwrap();
    let mut labels = vec![0; 60];
    labels[Extent::new(3, 4, 5).offset(Index::new(2, 1, 3))] = 7;
    let object = &made(Extent::new(3, 4, 5), &labels, size, &raw())[0];
    let mut places = object.levels[0].mesh.places.clone();
    places.sort_by(|a, b| a.partial_cmp(b).unwrap());
    let expected = [
        [12.0, 12.0, 75.0],
        [14.0, 8.0, 75.0],
        [14.0, 12.0, 60.0],
        [14.0, 12.0, 90.0],
        [14.0, 16.0, 75.0],
        [16.0, 12.0, 75.0],
    ];
    assert_eq!(places, expected);
    assert!((object.levels[0].volume_nm3 - 960.0 / 6.0).abs() < 1e-9);
    // A part of the volume keeps its place in the whole.
    let region = Some(Region::new(Index::new(1, 1, 2), Extent::new(2, 2, 3)));
    let part = made(Extent::new(3, 4, 5), &labels, size, &MeshConfig { region, ..raw() });
    let mut places = part[0].levels[0].mesh.places.clone();
    places.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(places, expected);
}

#[test]
fn a_full_volume_is_a_closed_box_and_a_ring_has_a_hole() {
    let full = made(Extent::new(6, 7, 8), &[3; 336], cube(), &raw());
    assert_closed(&full[0].levels[0].mesh);
    // Without the bevels of its twelve edges.
    let lost = 336.0 - full[0].levels[0].volume_nm3;
    assert!((0.0..0.125 * 84.0).contains(&lost), "{lost}");
    let ring: Vec<u32> = (0..25).map(|i| u32::from(!(6..19).contains(&i) || i % 5 == 0 || i % 5 == 4)).collect();
    for config in [raw(), MeshConfig::for_voxels(cube())] {
        let object = &made(Extent::new(1, 5, 5), &ring, cube(), &config)[0];
        assert_eq!(euler(&object.levels[0].mesh), 0, "a torus");
    }
}

/// An ellipsoid of semi-axes (z, y, x) in nm, its middle off the grid.
fn ellipsoid(axes: [f64; 3], size: VoxelSize) -> (Extent, Vec<u32>) {
    let pitch = [size.z_nm, size.y_nm, size.x_nm];
    let half: [i64; 3] = std::array::from_fn(|i| (axes[i] / pitch[i]) as i64 + 3);
    let extent = Extent::new(2 * half[0] as u64 + 1, 2 * half[1] as u64 + 1, 2 * half[2] as u64 + 1);
    let all = Region::whole(extent).tiles(Extent::new(1, 1, 1));
    let labels = all.map(|voxel| {
        let at = [voxel.start.z, voxel.start.y, voxel.start.x];
        let middle = [0.31, 0.17, 0.43];
        let square = |i: usize| ((at[i] as f64 - half[i] as f64 - middle[i]) * pitch[i] / axes[i]).powi(2);
        u32::from(square(0) + square(1) + square(2) <= 1.0)
    });
    (extent, labels.collect())
}

/// Area of an ellipsoid of revolution with semi-axes c, a, a.
fn spheroid(c: f64, a: f64) -> f64 {
    let pi = std::f64::consts::PI;
    if c > a {
        let e = (1.0 - a * a / (c * c)).sqrt();
        2.0 * pi * a * a * (1.0 + c / (a * e) * e.asin())
    } else if c < a {
        let e = (1.0 - c * c / (a * a)).sqrt();
        2.0 * pi * a * a * (1.0 + (1.0 - e * e) / e * e.atanh())
    } else {
        4.0 * pi * a * a
    }
}

#[test]
fn spheres_and_ellipsoids_of_twenty_voxels_are_right_and_small() {
    let cube = VoxelSize::new(10.0, 10.0, 10.0).unwrap();
    let thick = VoxelSize::new(30.0, 10.0, 10.0).unwrap();
    for (c, a, size, within) in [
        (200.0, 200.0, cube, 0.01),
        (300.0, 200.0, cube, 0.01),
        (200.0, 300.0, cube, 0.01),
        (600.0, 200.0, thick, 0.01),
        (600.0, 600.0, thick, 0.015),
        (200.0, 200.0, thick, 0.02),
    ] {
        let (extent, labels) = ellipsoid([c, a, a], size);
        let level = &made(extent, &labels, size, &MeshConfig::for_voxels(size))[0].levels[0];
        let area = level.area_nm2 / spheroid(c, a) - 1.0;
        let volume = level.volume_nm3 / (4.0 / 3.0 * std::f64::consts::PI * c * a * a) - 1.0;
        println!(
            "{c}, {a}: area {:.2} %, volume {:.2} %, {} corners",
            100.0 * area,
            100.0 * volume,
            level.mesh.places.len()
        );
        assert!(area.abs() < within && volume.abs() < 0.01, "{c}, {a} at {size}: {area}, {volume}");
        assert_eq!(euler(&level.mesh), 2);
        let all = made(extent, &labels, size, &MeshConfig { max_error_nm: 0.0, ..MeshConfig::for_voxels(size) });
        assert!(level.mesh.places.len() * 12 < all[0].levels[0].mesh.places.len());
    }
}

/// The largest distance in nm of a corner of one mesh from another.
fn farthest(from: &Mesh, to: &Mesh) -> f64 {
    let of = |t: &[u32; 3]| t.map(|corner| to.places[corner as usize].map(f64::from));
    let distance = |p: &[f32; 3]| {
        to.triangles.iter().map(|t| simplify::squared(p.map(f64::from), of(t))).fold(f64::INFINITY, f64::min)
    };
    from.places.iter().map(distance).fold(0.0, f64::max).sqrt()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_corner_is_farther_than_is_said((extent, labels) in volumes(), error in 0.1_f64..3.0, smooth in 0_u32..20) {
        let config = MeshConfig { max_error_nm: error, smooth, levels: 1, ..raw() };
        let before = made(extent, &labels, cube(), &MeshConfig { max_error_nm: 0.0, ..config.clone() });
        for (before, after) in before.iter().zip(made(extent, &labels, cube(), &config)) {
            let level = &after.levels[0];
            let found = farthest(&before.levels[0].mesh, &level.mesh);
            prop_assert!(found <= level.error_nm + 1e-5 && level.error_nm <= error + 1e-9, "{found}, {}", level.error_nm);
        }
    }
}

#[test]
fn coarser_levels_have_twice_the_error_and_smoothing_has_a_bound() {
    let size = VoxelSize::new(20.0, 10.0, 10.0).unwrap();
    let (extent, labels) = ellipsoid([240.0, 180.0, 300.0], size);
    let config = MeshConfig { levels: 6, ..MeshConfig::for_voxels(size) };
    let before = made(extent, &labels, size, &MeshConfig { max_error_nm: 0.0, ..config.clone() });
    let object = &made(extent, &labels, size, &config)[0];
    assert!((2..6).contains(&object.levels.len()), "{} levels", object.levels.len());
    for (number, level) in object.levels.iter().enumerate() {
        let found = farthest(&before[0].levels[0].mesh, &level.mesh);
        assert!(found <= level.error_nm + 0.001, "level {number}: {found} instead of {}", level.error_nm);
        assert!(level.error_nm <= 2.5 * f64::from(1 << number), "level {number}: {}", level.error_nm);
        assert!(found > 0.2 * level.error_nm, "level {number}: {found}, said {}", level.error_nm);
        assert!((level.volume_nm3 / before[0].levels[0].volume_nm3 - 1.0).abs() < 1e-3, "the volume stays");
    }
    // Smoothing moves no corner by more than half a voxel.
    let steps = made(extent, &labels, size, &MeshConfig { smooth: 0, max_error_nm: 0.0, ..config });
    for (a, b) in before[0].levels[0].mesh.places.iter().zip(&steps[0].levels[0].mesh.places) {
        let moved: [f32; 3] = std::array::from_fn(|i| (a[i] - b[i]).abs());
        assert!(moved[0] <= 5.0 && moved[1] <= 5.0 && moved[2] <= 10.0, "{moved:?}");
    }
}

#[test]
fn only_what_is_asked_for_is_made() {
    let labels = [1, 1, 1, 0, 5, 5, 0, 9, 0, 4_000_000_000];
    let extent = Extent::new(1, 1, 10);
    let ids = |config: &MeshConfig| made(extent, &labels, cube(), config).iter().map(|o| o.id).collect::<Vec<_>>();
    assert_eq!(ids(&MeshConfig { min_voxels: 2, ..raw() }), [1, 5]);
    assert_eq!(ids(&MeshConfig { ids: Some([5, 7, 4_000_000_000].into()), ..raw() }), [5, 4_000_000_000]);
    assert_eq!(ids(&MeshConfig { region: "0:1,0:1,5:8".parse().ok(), ..raw() }), [5, 9]);
    let volume = InMemory::new("v", extent, Voxels::U32(labels.to_vec()));
    let mut all = Collected::default();
    mesh(&volume, cube(), &MeshConfig { min_voxels: 2, ..raw() }, MUCH, &mut all, &mut |_, _| true).unwrap();
    assert_eq!(all.around, "0:1,0:1,0:6".parse().ok());
    let none = mesh(&volume, cube(), &MeshConfig { min_voxels: 99, ..raw() }, MUCH, &mut all, &mut |_, _| true);
    assert!(none.is_ok() && all.around.unwrap().is_empty());
}

#[test]
fn what_cannot_be_done_is_said() {
    let volume = InMemory::new("v", Extent::new(2, 3, 4), Voxels::U8(vec![1; 24]));
    let run = |config: &MeshConfig, memory| {
        let mut steps = 2;
        let mut go_on = |_, _| {
            steps -= 1;
            steps > 0
        };
        mesh(&volume, cube(), config, memory, &mut Collected::default(), &mut go_on).unwrap_err().to_string()
    };
    assert!(run(&MeshConfig { region: "0:3,0:3,0:4".parse().ok(), ..raw() }, MUCH).contains("0:3"));
    assert!(run(&raw(), MeshMemory { budget: 1 << 20, held: 0 }).contains("--memory"));
    assert_eq!(run(&raw(), MUCH), "stopped");
    let probability = InMemory::new("p", Extent::new(1, 1, 1), Voxels::F32(vec![0.5]));
    let error = mesh(&probability, cube(), &raw(), MUCH, &mut Collected::default(), &mut |_, _| true).unwrap_err();
    assert!(error.to_string().contains("labels"), "{error}");
}
