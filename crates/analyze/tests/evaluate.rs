//! Scores against their definitions, voxel by voxel, whatever the blocks.

use deep3m_analyze::{AnalyzeError, Confusion, EvaluateConfig, Evaluation, evaluate};
use deep3m_volume::InMemory as Memory;
use deep3m_volume::{Extent, Index, Region, Voxels};
use proptest::prelude::*;

fn run(prediction: &Memory, truth: &Memory, config: &EvaluateConfig) -> Result<Evaluation, AnalyzeError> {
    evaluate(prediction, truth, config, &mut |_| true)
}

/// Patches of foreground and a prediction that follows them with errors; big enough for several blocks.
fn volumes(extent: Extent) -> (Vec<u8>, Vec<u8>) {
    let mut truth = Vec::new();
    let mut prediction = Vec::new();
    for i in 0..extent.len() as u64 {
        let (z, y, x) = (i / (extent.y * extent.x), i / extent.x % extent.y, i % extent.x);
        let inside = (y + 3 * z) % 29 < 11 && (x + z) % 41 < 17;
        let noise = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57;
        truth.push(if inside { 255 } else { 0 });
        prediction.push(if inside { 90 + noise as u8 } else { 60 + noise as u8 });
    }
    (prediction, truth)
}

/// The definition: for every voxel, look for the other class within `n` voxels.
fn by_definition(extent: Extent, p: &[u8], t: &[u8], region: Region, n: i64, three_d: bool, level: u8) -> Confusion {
    let mut counts = Confusion::default();
    for at in region.tiles(Extent::new(1, 1, 1)).map(|r| r.start) {
        let i = extent.offset(at);
        let near = |c: u64, size: u64, n: i64| (c as i64 - n).max(0) as u64..((c as i64 + n + 1) as u64).min(size);
        let zs = near(at.z, extent.z, if three_d { n } else { 0 });
        let excluded = zs.clone().any(|z| {
            near(at.y, extent.y, n).any(|y| {
                near(at.x, extent.x, n).any(|x| {
                    let d = [(z, at.z), (y, at.y), (x, at.x)].iter().map(|(a, b)| a.abs_diff(*b).pow(2)).sum::<u64>();
                    d <= (n * n) as u64 && t[extent.offset(Index::new(z, y, x))] != t[i]
                })
            })
        });
        if !excluded {
            counts.add(p[i] >= level, t[i] != 0);
        }
    }
    counts
}

#[test]
fn blocks_do_not_show_in_the_counts() {
    // More than one block along each axis.
    let extent = Extent::new(10, 20, 530);
    let (p, t) = volumes(extent);
    let (prediction, truth) =
        (Memory::new("p", extent, Voxels::U8(p.clone())), Memory::new("t", extent, Voxels::U8(t.clone())));
    let part = Region::new(Index::new(1, 2, 490), Extent::new(9, 17, 40));
    for region in [None, Some(part)] {
        for exclusion_3d in [false, true] {
            let config = EvaluateConfig { exclusion: vec![3, 0, 1], exclusion_3d, region, ..EvaluateConfig::default() };
            let found = run(&prediction, &truth, &config).unwrap();
            let region = region.unwrap_or(Region::whole(extent));
            let mut left_out = Vec::new();
            for (counts, score) in found.counts.iter().zip(&found.voxel) {
                let expected = by_definition(extent, &p, &t, region, i64::from(counts.exclusion), exclusion_3d, 128);
                assert_eq!(counts.confusion, expected, "zone {}, 3D {exclusion_3d}", counts.exclusion);
                assert_eq!(counts.compared + counts.left_out, region.extent.len() as u64);
                assert_eq!((score.exclusion, score.threshold), (counts.exclusion, 0.5));
                assert_eq!((score.jaccard, score.f1), (expected.jaccard(), expected.f1()));
                left_out.push((counts.exclusion, counts.left_out));
            }
            // In the order asked for; wider zones leave out more.
            assert_eq!(left_out.iter().map(|l| l.0).collect::<Vec<_>>(), [3, 0, 1]);
            assert_eq!(left_out[1].1, 0);
            assert!(left_out[0].1 > left_out[2].1 && left_out[2].1 > 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn sweep_and_threshold_agree(values in prop::collection::vec((any::<u8>(), any::<bool>()), 60), threshold in 0.0_f64..=1.0) {
        let extent = Extent::new(3, 4, 5);
        let p: Vec<u8> = values.iter().map(|v| v.0).collect();
        let t: Vec<u8> = values.iter().map(|v| u8::from(v.1)).collect();
        let (prediction, truth) = (Memory::new("p", extent, Voxels::U8(p.clone())), Memory::new("t", extent, Voxels::U8(t)));
        let count = |threshold: f64| {
            let mut c = Confusion::default();
            for v in &values {
                c.add(f64::from(v.0) / 255.0 >= threshold, v.1);
            }
            c
        };
        let config = EvaluateConfig { threshold, ..EvaluateConfig::default() };
        let found = run(&prediction, &truth, &config).unwrap();
        prop_assert_eq!(found.counts[0].confusion, count(threshold));
        prop_assert_eq!(found.sweep.len(), 19);
        for s in found.sweep.iter().chain(&found.best) {
            prop_assert_eq!(s.jaccard, count(s.threshold).jaccard());
        }
    }
}

#[test]
fn a_16_bit_prediction_has_its_own_scale() {
    let extent = Extent::new(1, 1, 4);
    let prediction = Memory::new("p", extent, Voxels::U16(vec![0, 30_000, 32_767, 32_768]));
    let truth = Memory::new("t", extent, Voxels::U8(vec![0, 0, 0, 1]));
    let found = run(&prediction, &truth, &EvaluateConfig::default()).unwrap();
    assert_eq!(found.counts[0].confusion, Confusion { tp: 1, fp: 0, fn_: 0, tn: 3 });
    assert!(!found.mask);
}

#[test]
fn masks_are_recognised() {
    let extent = Extent::new(1, 1, 4);
    let truth = Memory::new("t", extent, Voxels::U8(vec![0, 0, 255, 255]));
    let wanted = Confusion { tp: 1, fp: 1, fn_: 1, tn: 1 };
    for voxels in [
        Voxels::U8(vec![0, 1, 0, 1]),
        Voxels::U8(vec![0, 255, 0, 255]),
        Voxels::U16(vec![0, 255, 0, 255]),
        Voxels::U16(vec![0, 1, 0, 1]),
    ] {
        let found = run(&Memory::new("p", extent, voxels), &truth, &EvaluateConfig::default()).unwrap();
        assert!(found.mask);
        assert_eq!(found.counts[0].confusion, wanted);
        assert!(found.to_string().contains("the prediction is a mask"));
    }
}

#[test]
fn labels_of_several_values_are_listed_and_picked() {
    let extent = Extent::new(1, 2, 3);
    let truth = Memory::new("labels.tif", extent, Voxels::U8(vec![0, 7, 7, 9, 0, 255]));
    let prediction = Memory::new("p", extent, Voxels::U8(vec![0, 255, 0, 255, 0, 255]));
    let error = run(&prediction, &truth, &EvaluateConfig::default()).unwrap_err().to_string();
    for part in ["labels.tif", "0 (2 voxels), 7 (2 voxels), 9 (1 voxels), 255 (1 voxels)", "--foreground"] {
        assert!(error.contains(part), "{error}");
    }
    let picked = EvaluateConfig { foreground: Some(7), ignore: Some(255), ..EvaluateConfig::default() };
    let found = run(&prediction, &truth, &picked).unwrap();
    assert_eq!(found.ignored, 1);
    assert_eq!(found.counts[0].confusion, Confusion { tp: 1, fp: 1, fn_: 1, tn: 2 });
    // With the odd values ignored there is one left.
    let truth = Memory::new("t", extent, Voxels::U8(vec![0, 7, 7, 9, 0, 0]));
    let rest = EvaluateConfig { ignore: Some(9), ..EvaluateConfig::default() };
    assert_eq!(run(&prediction, &truth, &rest).unwrap().counts[0].confusion.total(), 5);
}

#[test]
fn what_cannot_be_compared_is_said() {
    let volume = |name: &str, n: u64| Memory::new(name, Extent::new(1, 1, n), Voxels::U8(vec![0; n as usize]));
    let (a, b) = (volume("prediction.zarr", 4), volume("truth.zarr", 5));
    let config = EvaluateConfig::default();
    let error = run(&a, &b, &config).unwrap_err().to_string();
    for part in ["prediction.zarr", "1 × 1 × 4", "truth.zarr", "1 × 1 × 5"] {
        assert!(error.contains(part), "{error}");
    }
    let outside = Region::new(Index::new(0, 0, 2), Extent::new(1, 1, 3));
    for bad in [
        EvaluateConfig { threshold: 1.5, ..config.clone() },
        EvaluateConfig { threshold: f64::NAN, ..config.clone() },
        EvaluateConfig { exclusion: vec![], ..config.clone() },
        EvaluateConfig { exclusion: vec![0, 65], ..config.clone() },
        EvaluateConfig { region: Some(outside), ..config.clone() },
        EvaluateConfig { foreground: Some(1), ignore: Some(1), ..config.clone() },
    ] {
        assert!(run(&a, &a, &bad).is_err(), "{bad:?}");
    }
    let objects = Memory::new("p", Extent::new(1, 1, 4), Voxels::U32(vec![0; 4]));
    assert!(matches!(run(&objects, &a, &config), Err(AnalyzeError::NotProbabilities { .. })));
}

#[test]
fn the_json_has_the_promised_keys() {
    let extent = Extent::new(1, 2, 2);
    let truth = Memory::new("t", extent, Voxels::U8(vec![0, 0, 0, 0]));
    let found = run(&truth, &truth, &EvaluateConfig { exclusion: vec![0, 1], ..EvaluateConfig::default() }).unwrap();
    let json = serde_json::to_value(&found).unwrap();
    let voxel = json["voxel"].as_array().unwrap();
    assert_eq!(voxel.len(), 2);
    let mut keys: Vec<&str> = voxel[0].as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["accuracy", "exclusion", "f1", "jaccard", "precision", "recall", "threshold"]);
    // Nothing there and nothing predicted: no score, and no best threshold.
    assert!(voxel[0]["jaccard"].is_null());
    assert_eq!(voxel[0]["accuracy"], 1.0);
    assert!(found.best.is_empty());
    let again: Evaluation = serde_json::from_value(json).unwrap();
    assert_eq!(again, found);
}
