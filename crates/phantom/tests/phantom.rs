//! What a phantom promises: the same voxels whatever the blocks, and a truth that is exact.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use deep3m_phantom::{Census, Class, Phantom, PhantomBlock, PhantomConfig, PhantomError};
use deep3m_volume::{Block, Extent, Index, Region, VoxelSize, Voxels};
use proptest::prelude::*;

const SHAPE: Extent = Extent::new(12, 160, 176);

fn phantom(seed: u64) -> Phantom {
    let config =
        PhantomConfig { seed, shape: SHAPE, layers: vec![1.0, 0.3], annotators: 3, ..PhantomConfig::default() };
    Phantom::new(config).expect("valid settings")
}

/// A phantom rendered in one piece, shared by the tests.
fn whole() -> &'static (Phantom, PhantomBlock) {
    static WHOLE: OnceLock<(Phantom, PhantomBlock)> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let phantom = phantom(5);
        let block = phantom.render(Region::whole(SHAPE)).expect("the whole");
        (phantom, block)
    })
}

fn bytes(block: &Block) -> &[u8] {
    let Voxels::U8(voxels) = block.voxels() else { panic!("8 bits expected") };
    voxels
}

fn count(block: &Block) -> u64 {
    bytes(block).iter().map(|&v| u64::from(v == 255)).sum()
}

#[test]
fn blocks_of_any_size_make_the_whole() {
    let (phantom, whole) = whole();
    let mut census = Census::default();
    let mut images = Block::zeros(SHAPE, whole.images.voxels().voxel_type());
    let mut labels = Class::ALL.map(|_| images.clone());
    let mut drawn = whole.annotators.iter().map(|_| images.clone()).collect::<Vec<_>>();
    for region in Region::whole(SHAPE).tiles(Extent::new(7, 90, 100)) {
        let block = phantom.render(region).unwrap();
        images.paste(region.start, &block.images, Region::whole(region.extent));
        for (all, class) in labels.iter_mut().zip(Class::ALL) {
            all.paste(region.start, block.labels(class), Region::whole(region.extent));
        }
        for (all, mask) in drawn.iter_mut().zip(&block.annotators) {
            all.paste(region.start, mask, Region::whole(region.extent));
        }
        census.merge(&block.census);
    }
    assert!(drawn == whole.annotators, "annotators differ");
    assert!(images == whole.images, "images differ");
    for (all, class) in labels.iter().zip(Class::ALL) {
        assert!(all == whole.labels(class), "{} differ", class.volume_name());
    }
    assert_eq!(census, whole.census);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn a_region_is_a_part_of_the_whole(z in 0_u64..11, y in 0_u64..159, x in 0_u64..175, d in 1_u64..4, h in 1_u64..60, w in 1_u64..60) {
        let (phantom, whole) = whole();
        let region = Region::new(
            Index::new(z, y, x),
            Extent::new(d.min(SHAPE.z - z), h.min(SHAPE.y - y), w.min(SHAPE.x - x)),
        );
        let block = phantom.render(region).unwrap();
        prop_assert!(block.images == whole.images.crop(region));
        for class in Class::ALL {
            prop_assert!(*block.labels(class) == whole.labels(class).crop(region));
        }
    }
}

#[test]
fn threads_make_no_difference() {
    let (phantom, whole) = whole();
    let region = Region::new(Index::new(2, 30, 40), Extent::new(4, 50, 60));
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let block = alone.install(|| phantom.render(region).unwrap());
    assert!(block.images == whole.images.crop(region));
}

#[test]
fn the_truth_counts_the_voxels_of_the_labels() {
    let (phantom, block) = whole();
    let objects = phantom.objects(Region::whole(SHAPE)).unwrap();
    let mut sizes: BTreeMap<Class, u64> = BTreeMap::new();
    for (i, o) in objects.iter().enumerate() {
        assert_eq!(o.id, i as u64 + 1);
        *sizes.entry(o.class).or_default() += o.size_voxels;
        assert_eq!(o.volume_nm3, o.size_voxels as f64 * 30.0 * 8.0 * 8.0);
        let (low, high) = (o.bounds.start, o.bounds.end());
        assert!(o.centroid.z >= low.z as f64 && o.centroid.z < high.z as f64);
        assert!(o.centroid.y >= low.y as f64 && o.centroid.y < high.y as f64);
        assert!(o.centroid.x >= low.x as f64 && o.centroid.x < high.x as f64);
        assert!(o.bounds.fits(SHAPE));
        assert!(o.size_voxels <= o.bounds.extent.len() as u64);
    }
    for class in Class::ALL {
        assert_eq!(sizes.get(&class).copied().unwrap_or(0), count(block.labels(class)), "{}", class.volume_name());
    }
    // Every mitochondrion's box holds voxels of the label volume, on each of its faces' sections.
    for o in objects.iter().filter(|o| o.class == Class::Mitochondrion) {
        assert!(count(&block.mitochondria.crop(o.bounds)) >= o.size_voxels);
    }
}

#[test]
fn labels_are_0_or_255_and_no_voxel_has_two() {
    let (_, block) = whole();
    let labels = Class::ALL.map(|class| bytes(block.labels(class)));
    for i in 0..labels[0].len() {
        assert!(labels.iter().all(|l| l[i] == 0 || l[i] == 255));
        assert!(labels.iter().filter(|l| l[i] == 255).count() <= 1, "voxel {i} has two labels");
    }
}

/// Number of connected parts (26 neighbours) of a label volume.
fn parts(block: &Block) -> usize {
    let (voxels, extent) = (bytes(block), block.extent());
    let mut seen = vec![false; voxels.len()];
    let mut parts = 0;
    for start in 0..voxels.len() {
        if voxels[start] == 0 || seen[start] {
            continue;
        }
        parts += 1;
        seen[start] = true;
        let mut todo = vec![start as u64];
        while let Some(i) = todo.pop() {
            let (z, y, x) = (i / (extent.y * extent.x), i / extent.x % extent.y, i % extent.x);
            let near = |c: u64, n: u64| c.saturating_sub(1)..(c + 2).min(n);
            for (z, y, x) in near(z, extent.z)
                .flat_map(|z| near(y, extent.y).flat_map(move |y| near(x, extent.x).map(move |x| (z, y, x))))
            {
                let j = extent.offset(Index::new(z, y, x));
                if voxels[j] != 0 && !seen[j] {
                    seen[j] = true;
                    todo.push(j as u64);
                }
            }
        }
    }
    parts
}

#[test]
fn mitochondria_do_not_touch() {
    // One object is one connected part, but for those that the volume's border cuts into two.
    let (phantom, block) = whole();
    let objects = phantom.objects(Region::whole(SHAPE)).unwrap();
    let mitochondria = objects.iter().filter(|o| o.class == Class::Mitochondrion).count();
    let parts = parts(&block.mitochondria);
    assert!(mitochondria >= 3, "{mitochondria}");
    assert!(parts == mitochondria || parts == mitochondria + 1, "{parts} parts, {mitochondria} mitochondria");
}

#[test]
fn seeds_and_only_seeds_differ() {
    let region = Region::new(Index::default(), Extent::new(1, 64, 64));
    let image = |seed| phantom(seed).render(region).unwrap().images;
    assert!(image(1) == image(1));
    assert!(image(1) != image(2));
}

#[test]
fn densities_are_those_of_tissue() {
    // Coarse pixels: a wide field at small cost.
    let config = PhantomConfig {
        shape: Extent::new(20, 192, 192),
        voxel_size: VoxelSize::new(200.0, 32.0, 32.0).unwrap(),
        ..PhantomConfig::default()
    };
    let block = Phantom::new(config.clone()).unwrap().render(Region::whole(config.shape)).unwrap();
    let share = |class| count(block.labels(class)) as f64 / config.shape.len() as f64;
    for (class, range) in [
        (Class::Mitochondrion, 0.07..0.13),
        (Class::Membrane, 0.08..0.20),
        (Class::Vesicle, 0.001..0.02),
        (Class::Nucleus, 0.01..0.06),
    ] {
        let share = share(class);
        assert!(range.contains(&share), "{}: {share}", class.volume_name());
    }
}

#[test]
fn what_is_not_wanted_is_absent() {
    let config =
        PhantomConfig { mitochondria: 0.0, vesicles: 0.0, nuclei: 0.0, shape: SHAPE, ..PhantomConfig::default() };
    let block = Phantom::new(config).unwrap().render(Region::whole(Extent::new(2, 160, 176))).unwrap();
    assert_eq!(count(&block.mitochondria) + count(&block.vesicles) + count(&block.nuclei), 0);
    assert!(count(&block.membranes) > 0);
}

#[test]
fn annotators_agree_as_people_do() {
    let config = PhantomConfig { shape: Extent::new(16, 320, 320), seed: 2, annotators: 4, ..PhantomConfig::default() };
    let block = Phantom::new(config.clone()).unwrap().render(Region::whole(config.shape)).unwrap();
    let jaccard = |a: &Block, b: &Block| {
        let pairs = || bytes(a).iter().zip(bytes(b)).map(|(a, b)| (*a == 255, *b == 255));
        pairs().filter(|(a, b)| *a && *b).count() as f64 / pairs().filter(|(a, b)| *a || *b).count() as f64
    };
    assert_eq!(block.annotators.len(), 4);
    for (i, one) in block.annotators.iter().enumerate() {
        let with_truth = jaccard(one, &block.mitochondria);
        assert!((0.75..0.97).contains(&with_truth), "annotator {}: {with_truth}", i + 1);
        for other in &block.annotators[..i] {
            let with_other = jaccard(one, other);
            assert!((0.70..0.96).contains(&with_other), "annotator {}: {with_other}", i + 1);
        }
    }
}

#[test]
fn nuclei_lie_in_their_layers() {
    let config = PhantomConfig {
        shape: Extent::new(30, 240, 160),
        voxel_size: VoxelSize::new(200.0, 100.0, 100.0).unwrap(),
        // All else is left out: so wide a field would take minutes.
        mitochondria: 0.0,
        vesicles: 0.0,
        distractors: 0.0,
        nuclei: 1.0,
        layers: vec![1.0, 0.0],
        ..PhantomConfig::default()
    };
    let objects = Phantom::new(config.clone()).unwrap().objects(Region::whole(config.shape)).unwrap();
    let rows: Vec<f64> = objects.iter().filter(|o| o.class == Class::Nucleus).map(|o| o.centroid.y).collect();
    // One in 27 µm³, as far as the lattice fits in.
    assert!((30..60).contains(&rows.len()), "{}", rows.len());
    // A site lies in a layer with its middle; space is bent by up to 144 nm more.
    assert!(rows.iter().all(|y| *y < 122.0), "{rows:?}");
}

#[test]
fn contrast_moves_grey_values_apart() {
    let spread = |contrast| {
        let config = PhantomConfig { contrast, noise: 0.0, shape: SHAPE, ..PhantomConfig::default() };
        let image = Phantom::new(config).unwrap().render(Region::whole(Extent::new(1, 160, 176))).unwrap().images;
        let (low, high) = bytes(&image).iter().fold((255, 0), |(l, h), v| (l.min(*v), h.max(*v)));
        f64::from(high) - f64::from(low)
    };
    assert!((0.45..0.55).contains(&(spread(0.5) / spread(1.0))), "{} of {}", spread(0.5), spread(1.0));
}

#[test]
fn mitochondria_are_darker_than_cytoplasm() {
    let (_, block) = whole();
    let mean = |keep: &dyn Fn(usize) -> bool| {
        let image = bytes(&block.images);
        let kept: Vec<f64> = (0..image.len()).filter(|&i| keep(i)).map(|i| f64::from(image[i])).collect();
        kept.iter().sum::<f64>() / kept.len() as f64
    };
    let inside = mean(&|i| bytes(&block.mitochondria)[i] == 255);
    let outside = mean(&|i| Class::ALL.iter().all(|&c| bytes(block.labels(c))[i] == 0));
    assert!(inside + 35.0 < outside, "{inside} inside, {outside} outside");
}

#[test]
fn a_region_outside_is_refused() {
    let region = Region::new(Index::new(11, 0, 0), Extent::new(2, 5, 5));
    let error = whole().0.render(region).unwrap_err();
    assert!(matches!(error, PhantomError::OutOfBounds { .. }), "{error}");
    assert!(error.to_string().contains("11:13,0:5,0:5"));
}
