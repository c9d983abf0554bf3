//! Each step does what it says, and gives the same however it is read.

use std::sync::Arc;

use deep3m_volume::{Block, Extent, InMemory, Region, Voxels};
use proptest::prelude::*;

use super::*;

fn random(i: u64) -> f64 {
    let v = (i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((v ^ (v >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / f64::from(1 << 24)
}

/// Cells of two grey values, brighter from section to section.
fn cells(extent: Extent, noise: f64) -> Vec<f64> {
    let value = |i: u64| {
        let (z, y, x) = (i / (extent.y * extent.x), i / extent.x % extent.y, i % extent.x);
        let inside = ((y as f64 / 9.0).sin() + (x as f64 / 7.0 + z as f64 / 5.0).sin()) > 0.3;
        let normal = (0..12).map(|k| random(12 * i + k)).sum::<f64>() - 6.0;
        if inside { 150.0 + noise * normal } else { 70.0 + noise * normal }
    };
    (0..extent.len() as u64).map(value).collect()
}

fn bytes(values: &[f64]) -> Voxels {
    Voxels::U8(values.iter().map(|v| v.round().clamp(0.0, 255.0) as u8).collect())
}

fn volume(extent: Extent, voxels: Voxels) -> Arc<dyn Volume> {
    Arc::new(InMemory::new("v", extent, voxels))
}

fn done(volume: Arc<dyn Volume>, config: &EnhanceConfig) -> (Block, Enhancement) {
    let extent = volume.info().extent;
    let (layer, report) = enhance(volume, None, config, u64::MAX, &mut |_| true).unwrap();
    (layer.read(Region::whole(extent)).unwrap(), report)
}

/// The peak signal-to-noise ratio in decibels.
fn psnr(found: &Block, truth: &[f64]) -> f64 {
    let square = |i: usize| (found.voxels().value(i) - truth[i]).powi(2);
    let mean = (0..truth.len()).map(square).sum::<f64>() / truth.len() as f64;
    10.0 * (255.0 * 255.0 / mean).log10()
}

#[test]
fn denoising_brings_an_image_nearer_to_what_it_was_and_keeps_its_edges() {
    let extent = Extent::new(2, 120, 130);
    let truth = cells(extent, 0.0);
    let noisy = volume(extent, bytes(&cells(extent, 15.0)));
    let before = psnr(&noisy.read(Region::whole(extent)).unwrap(), &truth);
    for (method, gain) in [(Denoise::Tv, 5.0), (Denoise::Nlm, 7.0)] {
        let config = EnhanceConfig { denoise: Some(method), ..EnhanceConfig::default() };
        let (found, report) = done(Arc::clone(&noisy), &config);
        assert!((report.noise.unwrap() / 15.0 - 1.0).abs() < 0.1, "{report:?}");
        let after = psnr(&found, &truth);
        assert!(after > before + gain, "{method:?}: {before} dB before, {after} dB after");
        // Across edges of 80 grey values most of the step is left.
        let (mut step, mut edges) = (0.0, 0.0);
        for i in (0..truth.len() - 1).filter(|&i| (truth[i] - truth[i + 1]).abs() > 50.0) {
            step += (found.voxels().value(i) - found.voxels().value(i + 1)).abs();
            edges += 1.0;
        }
        assert!(step / edges > 45.0, "{method:?}: {}", step / edges);
    }
}

#[test]
fn contrast_goes_from_percentile_to_percentile() {
    let extent = Extent::new(1, 10, 100);
    // 1000 values from 0 to 999.
    let ramp = volume(extent, Voxels::U16((0..1000).collect()));
    let config = EnhanceConfig { contrast: Some((10.0, 90.0)), ..EnhanceConfig::default() };
    let (found, report) = done(ramp, &config);
    assert_eq!(report.contrast, Some((99.0, 899.0)), "by nearest rank");
    for (i, expected) in [(0, 0.0), (99, 0.0), (499, 32767.5), (899, 65535.0), (999, 65535.0)] {
        assert!((found.voxels().value(i) - expected).abs() <= 0.5, "{i}: {}", found.voxels().value(i));
    }
}

#[test]
fn a_matched_volume_has_the_others_histogram_and_type() {
    let extent = Extent::new(3, 40, 50);
    let own = cells(extent, 20.0);
    let other: Vec<f64> = own.iter().map(|v| 20.0 + 0.5 * v).collect();
    let deep = Voxels::U16(own.iter().map(|v| (v * 200.0).max(0.0) as u16).collect());
    let reference = volume(extent, bytes(&other));
    let config = EnhanceConfig::default();
    let float = Voxels::F32(own.iter().map(|&v| v as f32 / 255.0).collect());
    for source in [bytes(&own), deep, float] {
        let name = source.voxel_type();
        let (layer, report) =
            enhance(volume(extent, source), Some(reference.as_ref()), &config, u64::MAX, &mut |_| true).unwrap();
        assert!(report.matched);
        let found = layer.read(Region::whole(extent)).unwrap();
        assert_eq!(found.voxels().voxel_type(), reference.info().voxel_type);
        let worst = (0..extent.len()).map(|i| (found.voxels().value(i) - other[i]).abs()).fold(0.0, f64::max);
        assert!(worst < 3.0, "{name}: {worst}");
    }
}

#[test]
fn an_evened_volume_has_sections_of_one_brightness() {
    let extent = Extent::new(12, 30, 40);
    let mut uneven = cells(extent, 5.0);
    for (i, v) in uneven.iter_mut().enumerate() {
        let z = i / 1200;
        *v = if z == 4 { 0.5 * *v } else { *v + (z % 3) as f64 * 6.0 };
    }
    for to in [EvenTo::Neighbours, EvenTo::Volume] {
        let config = EnhanceConfig { even: Some(to), ..EnhanceConfig::default() };
        let (found, report) = done(volume(extent, bytes(&uneven)), &config);
        let mean = |z: usize| (0..1200).map(|i| found.voxels().value(z * 1200 + i)).sum::<f64>() / 1200.0;
        let means: Vec<f64> = (0..12).map(mean).collect();
        let sd = |z: usize| {
            let squares = (0..1200).map(|i| (found.voxels().value(z * 1200 + i) - mean(z)).powi(2));
            (squares.sum::<f64>() / 1200.0).sqrt()
        };
        assert!((sd(4) / sd(5) - 1.0).abs() < 0.1, "{to:?}: {} and {}", sd(4), sd(5));
        let (low, high) = means.iter().fold((f64::MAX, f64::MIN), |(a, b), &m| (a.min(m), b.max(m)));
        assert!(high - low < 9.0, "{to:?}: {means:?}");
        assert!(report.largest_change.unwrap() > 40.0);
    }
}

#[test]
fn equalisation_raises_faint_contrast() {
    let extent = Extent::new(1, 128, 128);
    let faint: Vec<f64> = cells(extent, 3.0).iter().map(|v| 100.0 + 0.2 * v).collect();
    let config = EnhanceConfig { clahe: Some(Clahe { tiles: 4, clip: 0.03 }), ..EnhanceConfig::default() };
    let (found, _) = done(volume(extent, bytes(&faint)), &config);
    let sd = |values: &dyn Fn(usize) -> f64| {
        let mean = (0..extent.len()).map(values).sum::<f64>() / extent.len() as f64;
        ((0..extent.len()).map(|i| (values(i) - mean).powi(2)).sum::<f64>() / extent.len() as f64).sqrt()
    };
    let (before, after) = (sd(&|i| faint[i]), sd(&|i| found.voxels().value(i)));
    assert!(after > 2.0 * before, "{before} to {after}");
}

#[test]
fn settings_out_of_range_and_labels_are_refused() {
    let extent = Extent::new(2, 8, 8);
    let grey = || volume(extent, Voxels::U8((0..128).collect()));
    let refused = |volume, config: &EnhanceConfig| {
        enhance(volume, None, config, u64::MAX, &mut |_| true).map(|_| ()).unwrap_err().to_string()
    };
    let usual = EnhanceConfig::default;
    for config in [
        EnhanceConfig { contrast: Some((50.0, 50.0)), ..usual() },
        EnhanceConfig { contrast: Some((f64::NAN, 50.0)), ..usual() },
        EnhanceConfig { strength: 0.0, ..usual() },
        EnhanceConfig { clahe: Some(Clahe { tiles: 0, clip: 0.1 }), ..usual() },
        EnhanceConfig { like_cdeep3m2: true, clahe: Some(Clahe::default()), ..usual() },
        EnhanceConfig { repair: vec![2], ..usual() },
    ] {
        let error = refused(grey(), &config);
        assert!(error.contains("expected"), "{error}");
    }
    assert!(refused(volume(extent, Voxels::U32(vec![0; 128])), &usual()).contains("32-bit"));
    let one = EnhanceConfig { contrast: Some((1.0, 99.0)), ..usual() };
    assert!(refused(volume(extent, Voxels::U8(vec![9; 128])), &one).contains("fewer than two values"));
    let stopped = enhance(grey(), None, &one, u64::MAX, &mut |_| false).map(|_| ());
    assert!(matches!(stopped, Err(AnalyzeError::Interrupted)));
}

fn config() -> impl Strategy<Value = EnhanceConfig> {
    let even = prop::option::of(prop::sample::select(vec![EvenTo::Neighbours, EvenTo::Volume]));
    let denoise = prop::option::of(prop::sample::select(vec![Denoise::Tv, Denoise::Nlm]));
    let repair = prop::collection::btree_set(0_u64..4, 0..3);
    (repair, even, any::<bool>(), denoise, any::<bool>(), any::<bool>()).prop_map(
        |(repair, even, contrast, denoise, clahe, like)| EnhanceConfig {
            repair: repair.into_iter().collect(),
            even,
            contrast: (contrast && !like).then_some((2.0, 98.0)),
            denoise: denoise.filter(|_| !like),
            strength: 1.0,
            clahe: (clahe && !like).then_some(Clahe { tiles: 3, clip: 0.05 }),
            like_cdeep3m2: like,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn any_part_is_the_cut_of_the_whole(
        config in config(),
        (y, x) in (8_u64..70, 8_u64..70),
        tile in (1_u64..4, 9_u64..50, 9_u64..50),
    ) {
        let extent = Extent::new(4, y, x);
        let source = volume(extent, bytes(&cells(extent, 12.0)));
        let (layer, _) = enhance(source, None, &config, u64::MAX, &mut |_| true).unwrap();
        let whole = layer.read(Region::whole(extent)).unwrap();
        for part in Region::whole(extent).tiles(Extent::new(tile.0, tile.1, tile.2)) {
            prop_assert_eq!(layer.read(part).unwrap(), whole.crop(part), "{}", part);
        }
        let written = InMemory::new("out", extent, Voxels::zeros(layer.info().voxel_type, extent.len()));
        let mut met = 0;
        let mut hear = |voxels| { met += voxels; true };
        write_enhanced(layer.as_ref(), &written, &config, u64::MAX, &mut hear).unwrap();
        prop_assert_eq!(met, extent.len() as u64);
        prop_assert_eq!(&written.voxels(), whole.voxels());
    }
}

#[test]
fn too_little_memory_is_said_with_what_is_enough() {
    let extent = Extent::new(4, 2000, 2000);
    let large = InMemory::new("v", extent, Voxels::U8(vec![0; extent.len()]));
    let config = EnhanceConfig { like_cdeep3m2: true, ..EnhanceConfig::default() };
    let said = write_enhanced(&large, &large, &config, 64 << 20, &mut |_| true).unwrap_err().to_string();
    assert!(said.contains("--memory"), "{said}");
}
