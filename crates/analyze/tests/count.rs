//! Counting against exact truth: vesicles of the phantom, and balls as dense as they fall.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::collections::HashMap;

use deep3m_analyze::{CountConfig, RoundObjects, count, learn_diameter};
use deep3m_phantom::{Class, Phantom, PhantomConfig};
use deep3m_volume::{Extent, InMemory, Region, VoxelSize, Voxels};

/// Random numbers: splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to 1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Of mean 0 and standard deviation 1 (Box and Muller).
    fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().max(1e-300).ln()).sqrt() * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }
}

/// A probability as a network gives it: the indicator, blurred by a pixel in the plane, with noise.
fn probability(indicator: &[f32], extent: Extent, noise: f64, seed: u64) -> Voxels {
    const KERNEL: [f32; 7] = [0.004, 0.054, 0.242, 0.4, 0.242, 0.054, 0.004];
    let mut random = Random(seed);
    let (height, width) = (extent.y as i64, extent.x as i64);
    let mut values = Vec::with_capacity(indicator.len());
    for section in indicator.chunks_exact((height * width) as usize) {
        let along = |from: &[f32], step: (i64, i64)| -> Vec<f32> {
            let at = |y: i64, x: i64| from[(y.clamp(0, height - 1) * width + x.clamp(0, width - 1)) as usize];
            let pixel = |i: i64| {
                let taps = (-3_i64..=3).zip(KERNEL);
                taps.map(|(k, w)| w * at(i / width + k * step.0, i % width + k * step.1)).sum()
            };
            (0..height * width).map(pixel).collect()
        };
        let blurred = along(&along(section, (1, 0)), (0, 1));
        values.extend(
            blurred.iter().map(|&v| ((f64::from(v) + noise * random.normal()) * 255.0).round().clamp(0.0, 255.0) as u8),
        );
    }
    Voxels::U8(values)
}

/// Centres of balls (nm from the first voxel's centre) thrown into a box until hardly any fits: none nearer than `apart`.
fn packed(extent: Extent, size: VoxelSize, apart: f64, tries: u32, random: &mut Random) -> Vec<[f64; 3]> {
    let sides = [extent.z as f64 * size.z_nm, extent.y as f64 * size.y_nm, extent.x as f64 * size.x_nm];
    let mut cells: HashMap<[i64; 3], Vec<[f64; 3]>> = HashMap::new();
    let mut all = Vec::new();
    for _ in 0..tries {
        let at = sides.map(|side| side * random.unit());
        let cell = at.map(|v| (v / apart) as i64);
        let clear = (0..27).all(|i| {
            let near = [cell[0] + i / 9 - 1, cell[1] + i / 3 % 3 - 1, cell[2] + i % 3 - 1];
            cells.get(&near).is_none_or(|others| others.iter().all(|o| distance(*o, at) >= apart))
        });
        if clear {
            cells.entry(cell).or_default().push(at);
            all.push(at);
        }
    }
    all
}

fn distance(a: [f64; 3], b: [f64; 3]) -> f64 {
    (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f64>().sqrt()
}

/// The share of each voxel of a section that lies in a ball.
fn drawn(extent: Extent, size: VoxelSize, balls: &[([f64; 3], f64)]) -> Vec<f32> {
    const PARTS: i64 = 3;
    let mut indicator = vec![0.0_f32; extent.len()];
    let pitch = [size.z_nm, size.y_nm, size.x_nm];
    let sides = extent.to_array().map(|n| n as i64);
    for (centre, radius) in balls {
        let range = |i: usize| {
            let low = ((centre[i] - radius) / pitch[i]).floor() as i64;
            let high = ((centre[i] + radius) / pitch[i]).ceil() as i64;
            low.max(0)..(high + 1).min(sides[i])
        };
        for (z, y) in range(0).flat_map(|z| range(1).map(move |y| (z, y))) {
            for x in range(2) {
                let part = |v: i64, i: i64| v as f64 + (i as f64 + 0.5) / PARTS as f64 - 0.5;
                let inside = (0..PARTS * PARTS)
                    .filter(|i| {
                        let at = [z as f64 * pitch[0], part(y, i / PARTS) * pitch[1], part(x, i % PARTS) * pitch[2]];
                        distance(at, *centre) <= *radius
                    })
                    .count();
                let voxel = &mut indicator[((z * sides[1] + y) * sides[2] + x) as usize];
                *voxel = (*voxel + inside as f32 / (PARTS * PARTS) as f32).min(1.0);
            }
        }
    }
    indicator
}

/// How well what was found agrees with the truth, away from the border, where parts of objects are missing.
struct Score {
    f1: f64,
    /// What was found of what there is.
    ratio: f64,
    /// Mean distance in the plane, in voxels.
    in_plane: f64,
    /// Mean distance across sections, in sections.
    across: f64,
}

/// Each found object has at most one true one, no further than `reach`; the nearest pairs first.
fn score(found: &RoundObjects, truth: &[[f64; 3]], size: VoxelSize, margin: f64, reach: f64) -> Score {
    let pitch = [size.z_nm, size.y_nm, size.x_nm];
    let places: Vec<[f64; 3]> =
        found.objects.iter().map(|o| [o.z * pitch[0], o.y * pitch[1], o.x * pitch[2]]).collect();
    let cell = |at: [f64; 3]| at.map(|v| (v / reach).floor() as i64);
    let mut cells: HashMap<[i64; 3], Vec<usize>> = HashMap::new();
    for (i, at) in truth.iter().enumerate() {
        cells.entry(cell(*at)).or_default().push(i);
    }
    let mut pairs = Vec::new();
    for (i, at) in places.iter().enumerate() {
        let middle = cell(*at);
        for n in 0..27 {
            let near = [middle[0] + n / 9 - 1, middle[1] + n / 3 % 3 - 1, middle[2] + n % 3 - 1];
            for &j in cells.get(&near).into_iter().flatten() {
                pairs.push((distance(*at, truth[j]), i, j));
            }
        }
    }
    pairs.retain(|pair| pair.0 <= reach);
    pairs.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut partner, mut taken) = (vec![None; truth.len()], vec![false; places.len()]);
    for (_, i, j) in pairs {
        if partner[j].is_none() && !taken[i] {
            (partner[j], taken[i]) = (Some(i), true);
        }
    }
    let region = found.region.extent.to_array();
    let inner = |at: &[f64; 3]| (0..3).all(|i| (margin..(region[i] - 1) as f64 * pitch[i] - margin).contains(&at[i]));
    let true_inside: Vec<usize> = (0..truth.len()).filter(|&j| inner(&truth[j])).collect();
    let found_inside: Vec<usize> = (0..places.len()).filter(|&i| inner(&places[i])).collect();
    let recall = true_inside.iter().filter(|&&j| partner[j].is_some()).count() as f64 / true_inside.len() as f64;
    let precision = found_inside.iter().filter(|&&i| taken[i]).count() as f64 / found_inside.len() as f64;
    let (mut in_plane, mut across, mut pairs) = (0.0, 0.0, 0.0);
    for (at, other) in true_inside.iter().filter_map(|&j| partner[j].map(|i| (truth[j], places[i]))) {
        in_plane += ((at[1] - other[1]) / pitch[1]).hypot((at[2] - other[2]) / pitch[2]);
        across += ((at[0] - other[0]) / pitch[0]).abs();
        pairs += 1.0;
    }
    let score = Score {
        f1: 2.0 * precision * recall / (precision + recall),
        ratio: found_inside.len() as f64 / true_inside.len() as f64,
        in_plane: in_plane / pairs,
        across: across / pairs,
    };
    eprintln!(
        "{} true, {} found inside: F1 {:.4}, precision {precision:.4}, recall {recall:.4}, off by {:.2} voxels in the plane, {:.2} sections",
        true_inside.len(),
        found_inside.len(),
        score.f1,
        score.in_plane,
        score.across
    );
    score
}

fn counted(volume: &InMemory, diameter: f64) -> RoundObjects {
    count(volume, &CountConfig::of_diameter(diameter), u64::MAX, &mut |_| true).unwrap()
}

fn check(score: &Score) {
    assert!(score.f1 >= 0.97, "F1 {}", score.f1);
    assert!((score.ratio - 1.0).abs() <= 0.02, "counted {} of 1", score.ratio);
    assert!(score.in_plane < 0.5, "{} voxels", score.in_plane);
    assert!(score.across < 0.5, "{} sections", score.across);
}

#[test]
fn vesicles_of_the_phantom_are_counted_in_thick_sections_and_in_thin_ones() {
    for (size, shape) in [((30.0, 8.0, 8.0), Extent::new(40, 300, 300)), ((5.0, 5.0, 5.0), Extent::new(120, 260, 260))]
    {
        let size = VoxelSize::new(size.0, size.1, size.2).unwrap();
        let config = PhantomConfig { shape, voxel_size: size, vesicles: 1.0, ..PhantomConfig::default() };
        let phantom = Phantom::new(config).unwrap();
        let block = phantom.render(Region::whole(shape)).unwrap();
        let truth: Vec<[f64; 3]> = block
            .census
            .objects(size)
            .iter()
            .filter(|o| o.class == Class::Vesicle)
            .map(|o| [o.centroid.z * size.z_nm, o.centroid.y * size.y_nm, o.centroid.x * size.x_nm])
            .collect();
        assert!(truth.len() > 100, "{}", truth.len());
        let labels: Vec<f32> =
            block.vesicles.voxels().iter().map(|v| (v > 0).into()).map(|v: u8| f32::from(v)).collect();
        for noise in [0.0, 0.12] {
            let volume = InMemory::new("p", shape, probability(&labels, shape, noise, 5)).sized(size);
            let found = counted(&volume, 39.0);
            check(&score(&found, &truth, size, 45.0, 25.0));
            if noise > 0.0 {
                let learned = learn_diameter(&volume, None, &mut |_| true).unwrap().unwrap();
                eprintln!("learned {learned:.1} nm, measured {:?}", found.diameters());
                assert!((learned / 39.0 - 1.0).abs() < 0.1, "{learned}");
            }
            let (mean, _) = found.diameters().unwrap();
            assert!((mean / 39.0 - 1.0).abs() < 0.1, "{mean}");
        }
    }
}

/// Balls thrown into a box, none nearer than `apart`, drawn with noise; and what was found of them.
fn thrown(size: VoxelSize, shape: Extent, apart: f64, radii: (f64, f64), noise: f64) -> (InMemory, Score) {
    let mut random = Random(11);
    let truth = packed(shape, size, apart, 40_000, &mut random);
    let balls: Vec<_> = truth.iter().map(|&at| (at, radii.0 + (radii.1 - radii.0) * random.unit())).collect();
    let volume = InMemory::new("p", shape, probability(&drawn(shape, size, &balls), shape, noise, 7)).sized(size);
    let found = counted(&volume, radii.0 + radii.1);
    let score = score(&found, &truth, size, 45.0, 25.0);
    (volume, score)
}

#[test]
fn packed_vesicles_are_counted() {
    let thick = (VoxelSize::new(30.0, 8.0, 8.0).unwrap(), Extent::new(24, 130, 130));
    let thin = (VoxelSize::new(5.0, 5.0, 5.0).unwrap(), Extent::new(90, 90, 90));
    for noise in [0.1, 0.15] {
        // As large and as near as the phantom's, and as many as fit.
        check(&thrown(thick.0, thick.1, 48.0, (17.5, 21.5), noise).1);
        check(&thrown(thin.0, thin.1, 48.0, (17.5, 21.5), noise).1);
        // They touch, and fill a third of the space.
        check(&thrown(thin.0, thin.1, 41.0, (20.0, 20.0), noise).1);
    }
    // In thick sections of balls that touch, not all can be told apart: of some only one small disc is seen.
    let (volume, score) = thrown(thick.0, thick.1, 41.0, (20.0, 20.0), 0.12);
    assert!(score.f1 >= 0.965 && (score.ratio - 1.0).abs() < 0.05, "F1 {}, counted {} of 1", score.f1, score.ratio);
    let learned = learn_diameter(&volume, None, &mut |_| true).unwrap().unwrap();
    eprintln!("learned {learned:.1} nm");
    assert!((learned / 40.0 - 1.0).abs() < 0.1, "{learned}");
}
