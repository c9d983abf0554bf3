//! Annotators in blocks against the definitions, voxel by voxel.

use deep3m_volume::{Extent, InMemory, Index, Region, Voxels};
use proptest::prelude::*;

use super::*;

fn volume(extent: Extent, voxels: Vec<u8>) -> InMemory {
    InMemory::new("v", extent, Voxels::U8(voxels))
}

fn compare(
    prediction: &InMemory,
    annotators: &[InMemory],
    config: &EvaluateConfig,
) -> Result<Annotators, AnalyzeError> {
    let annotators: Vec<&dyn Volume> = annotators.iter().map(|volume| volume as &dyn Volume).collect();
    compare_annotators(prediction, &annotators, config, Allowance::default(), &mut |_| true)
}

/// A few objects that annotators see a voxel larger or smaller.
fn drawn(extent: Extent, seed: u64) -> Vec<u8> {
    let edge = |i: u64| (i ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62;
    Region::whole(extent)
        .tiles(Extent::new(1, 1, 1))
        .map(|tile| {
            let Index { z, y, x } = tile.start;
            let r = y % 17 + edge(x / 20 + z) + seed % 2;
            u8::from(r < 8 && x % 20 < 11)
        })
        .collect()
}

#[test]
fn scores_are_those_of_comparing_with_a_written_consensus() {
    // Several blocks along an axis.
    let extent = Extent::new(3, 40, 300);
    let votes: Vec<Vec<u8>> = (1..=3).map(|seed| drawn(extent, seed)).collect();
    let annotators: Vec<InMemory> = votes.iter().map(|votes| volume(extent, votes.clone())).collect();
    let prediction =
        volume(extent, drawn(extent, 9).iter().enumerate().map(|(i, v)| 90 + 70 * v + (i % 60) as u8).collect());
    let region = Region::new(Index::new(0, 3, 10), Extent::new(3, 37, 285));
    let config = EvaluateConfig { exclusion: vec![1, 0, 3], region: Some(region), ..EvaluateConfig::default() };
    let found = compare(&prediction, &annotators, &config).unwrap();
    let majority: Vec<u8> = (0..extent.len()).map(|i| u8::from(votes.iter().map(|v| v[i]).sum::<u8>() >= 2)).collect();
    let voxels = |mask: &[u8]| mask.iter().map(|&v| u64::from(v)).sum::<u64>();
    let inside = volume(extent, majority.clone()).read(region).unwrap();
    assert_eq!(found.majority_voxels, inside.voxels().iter().map(u64::from).sum::<u64>());
    assert!(found.majority_voxels < voxels(&majority) && found.tied == 0);
    let truth = volume(extent, majority);
    for rater in 0..=3 {
        let volume = if rater == 0 { &prediction } else { &annotators[rater - 1] };
        let expected = crate::evaluate(volume, &truth, &config, &mut |_| true).unwrap();
        let rows =
            found.against_consensus.iter().filter(|row| (row.rater, row.consensus) == (rater, Consensus::Majority));
        let rows: Vec<_> = rows.map(|row| (row.exclusion, row.score.counts)).collect();
        let counts: Vec<_> = expected.counts.iter().map(|zone| (zone.exclusion, zone.confusion)).collect();
        assert_eq!(rows, counts, "rater {rater}");
    }
    for pair in &found.pairs {
        let volume = if pair.rater == 0 { &prediction } else { &annotators[pair.rater - 1] };
        let config = EvaluateConfig { exclusion: vec![0], ..config.clone() };
        let expected = crate::evaluate(volume, &annotators[pair.truth - 1], &config, &mut |_| true).unwrap();
        assert_eq!(pair.score.counts, expected.counts[0].confusion);
    }
    assert_eq!(found.pairs.len(), 6);
    let text = found.to_string();
    assert!(text.contains("against the majority") && text.contains("annotator 3"), "{text}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn blocks_do_not_show(
        votes in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![0_u8, 0, 5, 9]), 60), 2..5),
        values in prop::collection::vec(any::<u8>(), 60),
        (bz, by, bx) in (1_u64..4, 1_u64..5, 1_u64..6),
        mask: bool,
    ) {
        let extent = Extent::new(3, 4, 5);
        let annotators: Vec<InMemory> = votes.iter().map(|votes| volume(extent, votes.clone())).collect();
        let annotators: Vec<&dyn Volume> = annotators.iter().map(|volume| volume as &dyn Volume).collect();
        let values: Vec<u8> = values.into_iter().map(|v| if mask { v / 128 } else { v }).collect();
        let prediction = volume(extent, values.clone());
        let config = EvaluateConfig { ignore: Some(9), exclusion: vec![0, 1], ..EvaluateConfig::default() };
        let counter = check(&prediction, &annotators, &config).unwrap();
        let walk = |block| Walk { region: counter.region, block, halo: Extent::new(0, 1, 1), at_once: 2 };
        let zones = Zones::new(&config.exclusion, false);
        let (small, large) = (walk(Extent::new(bz, by, bx)), walk(extent));
        let (patterns, seen) = counter.patterns(&small, &mut |_| true).unwrap();
        prop_assert_eq!(&patterns, &counter.patterns(&large, &mut |_| true).unwrap().0);
        let ignored = (0..60).filter(|&i| votes.iter().any(|v| v[i] == 9)).count() as u64;
        prop_assert_eq!((seen.ignored, patterns.total()), (ignored, 60 - ignored));
        let agreed = [[false, true].repeat(1 << (votes.len() - 1)), vec![true; 1 << votes.len()]];
        prop_assert_eq!(
            counter.in_zones(&small, &zones, &agreed, &mut |_| true).unwrap(),
            counter.in_zones(&large, &zones, &agreed, &mut |_| true).unwrap()
        );
        let found = compare_annotators(&prediction, &annotators, &config, Allowance::default(), &mut |_| true).unwrap();
        let is = |i: usize| values[i] >= if found.mask { 1 } else { 128 };
        let tp = (0..60).filter(|&i| is(i) && votes.iter().all(|v| v[i] != 9) && votes[0][i] == 5).count() as u64;
        prop_assert_eq!(found.pairs[0].score.counts.tp, tp);
    }
}

#[test]
fn a_tie_is_background_and_what_makes_no_sense_is_said() {
    let extent = Extent::new(1, 1, 4);
    let (a, b) = (volume(extent, vec![0, 1, 1, 0]), volume(extent, vec![0, 1, 0, 0]));
    let found = compare(&a, &[volume(extent, vec![0, 1, 1, 0]), b], &EvaluateConfig::default()).unwrap();
    assert_eq!((found.tied, found.majority_voxels, found.mask), (1, 1, true));
    assert!(found.to_string().contains("1 more that half of them marked"));
    let several = volume(extent, vec![0, 2, 3, 0]);
    let error = compare(&a, &[volume(extent, vec![0; 4]), several], &EvaluateConfig::default()).unwrap_err();
    assert!(error.to_string().contains("--foreground"), "{error}");
    let error = compare(&a, &[volume(extent, vec![0; 4])], &EvaluateConfig::default()).unwrap_err().to_string();
    assert!(error.contains("2 to 16"), "{error}");
    let other = volume(Extent::new(1, 1, 5), vec![0; 5]);
    let error = compare(&a, &[volume(extent, vec![0; 4]), other], &EvaluateConfig::default()).unwrap_err().to_string();
    assert!(error.contains("1 × 1 × 5") && error.contains("--region"), "{error}");
}
