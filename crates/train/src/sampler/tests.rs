//! What the sampler must always do.

use std::sync::Arc;

use deep3m_net::Normalisation;
use deep3m_volume::{Binning, Extent};
use proptest::prelude::*;

use super::*;
use crate::augment::Augmentation;
use crate::check::check;
use crate::random::Stream;
use crate::testing::labelled;

fn source(volume: crate::LabelledVolume, ignore: Option<u32>, binning: Binning, border: Border) -> Arc<Vec<Source>> {
    let checked = check(&volume, Some(1), ignore).unwrap();
    Arc::new(vec![Source::new(volume, checked, binning, Normalisation::Raw, border)])
}

/// Images that equal their labels: 0 and 1.
fn mirror_of_labels(extent: Extent) -> crate::LabelledVolume {
    let label = |i: deep3m_volume::Index| u8::from((i.y / 5 + i.x / 7 + i.z).is_multiple_of(3));
    labelled(extent, label, label)
}

const STRONG: Geometry = Geometry::Warp { scale: (0.6, 1.7), stretch: 0.2, elastic: 4.0, misalignment: 0.0 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn images_and_labels_stay_aligned(seed in 0_u64..10_000, bin in 1_u32..3, near in any::<bool>(), small in any::<bool>()) {
        let extent = if small { Extent::new(1, 20, 33) } else { Extent::new(4, 90, 70) };
        for geometry in [Geometry::Variations, STRONG] {
            let augmentation = Augmentation { geometry, ..Augmentation::VARIATIONS };
            let sampling = if near { Sampling::NearForeground { share: 0.5 } } else { Sampling::Accept { background: 0.25 } };
            let sources = source(mirror_of_labels(extent), None, Binning::square(bin), Border::Mirror);
            let sampler = Sampler::new(sources, sampling, augmentation, 3, 32);
            let patch = sampler.draw(&mut Stream::of(&[seed])).unwrap();
            prop_assert_eq!(patch.image.len(), 3 * 32 * 32);
            let middle = &patch.image[32 * 32..2 * 32 * 32];
            for (image, label) in middle.iter().zip(&patch.target) {
                prop_assert!((image - label).abs() < 1e-5);
            }
            prop_assert!(patch.known.iter().all(|k| *k == 1.0));
        }
    }

    #[test]
    fn the_same_stream_gives_the_same_patch(seed in 0_u64..1000) {
        let sources = source(mirror_of_labels(Extent::new(4, 90, 70)), None, Binning::NONE, Border::Mirror);
        let sampler = Sampler::new(sources, Sampling::NearForeground { share: 0.5 }, Augmentation::deep3m(), 3, 32);
        let draw = |seed| sampler.draw(&mut Stream::of(&[seed])).unwrap();
        prop_assert_eq!(draw(seed), draw(seed));
        prop_assert_ne!(draw(seed), draw(seed + 1));
    }
}

/// Patches of CDeep3M's sampling show where they come from: the image is the column, the section is in the label.
#[test]
fn patches_lie_inside_and_reach_every_place() {
    let extent = Extent::new(5, 40, 37);
    let volume = labelled(extent, |i| i.x as u8, |i| u8::from(i.y < 40));
    let sampler = Sampler::new(
        source(volume, None, Binning::NONE, Border::Zero),
        Sampling::Accept { background: 0.25 },
        Augmentation::VARIATIONS,
        1,
        32,
    );
    let mut firsts = std::collections::BTreeSet::new();
    for seed in 0..300 {
        let patch = sampler.draw(&mut Stream::of(&[seed])).unwrap();
        let (low, high) = patch.image.iter().fold((f32::MAX, 0.0_f32), |(l, h), &v| (l.min(v), h.max(v)));
        assert_eq!(high - low, 31.0, "32 different columns: nothing is mirrored");
        firsts.insert(low as u32);
    }
    assert_eq!(firsts, (0..=5).collect(), "every place is drawn");
}

#[test]
fn background_is_accepted_a_quarter_of_the_time() {
    // Half of the pixels are foreground: of accepted patches, 1 / (1 + 1/4) have it in their middle.
    let extent = Extent::new(1, 64, 64);
    let volume = labelled(extent, |i| i.x as u8, |i| (i.x % 2) as u8);
    let sampler = Sampler::new(
        source(volume, None, Binning::NONE, Border::Zero),
        Sampling::Accept { background: 0.25 },
        Augmentation::VARIATIONS,
        1,
        16,
    );
    let n = 2000;
    let foreground =
        (0..n).filter(|&seed| sampler.draw(&mut Stream::of(&[seed])).unwrap().centre() == Some(true)).count();
    let share = foreground as f64 / n as f64;
    assert!((share - 0.8).abs() < 0.04, "{share}");
}

#[test]
fn sections_beyond_the_ends_are_zero_or_mirrored() {
    let volume = || labelled(Extent::new(3, 16, 16), |i| 10 + i.z as u8, |_| 1);
    let sections = |border, z| -> Vec<f32> {
        let sources = source(volume(), None, Binning::NONE, border);
        let patch = sources[0].cut(deep3m_volume::Variation::IDENTITY, z, (0, 0), 5, 16).unwrap();
        patch.image.chunks(256).map(|s| s[0]).collect()
    };
    assert_eq!(sections(Border::Zero, 0), [0.0, 0.0, 10.0, 11.0, 12.0]);
    assert_eq!(sections(Border::Mirror, 0), [12.0, 11.0, 10.0, 11.0, 12.0]);
    assert_eq!(sections(Border::Mirror, 2), [10.0, 11.0, 12.0, 11.0, 10.0]);
}

#[test]
fn foreground_is_near_the_middle_as_often_as_asked() {
    // One voxel of foreground in a wide field: a patch shows it only if it was asked for.
    let extent = Extent::new(1, 400, 400);
    let volume = || labelled(extent, |i| i.x as u8, |i| u8::from(i.y == 200 && i.x == 210));
    let sampler = |share| {
        let sampling = Sampling::NearForeground { share };
        Sampler::new(source(volume(), None, Binning::NONE, Border::Zero), sampling, Augmentation::VARIATIONS, 1, 32)
    };
    let shown = |sampler: &Sampler| {
        (0..200).filter(|&s| sampler.draw(&mut Stream::of(&[s])).unwrap().target.contains(&1.0)).count()
    };
    assert_eq!(shown(&sampler(1.0)), 200);
    assert!((70..=130).contains(&shown(&sampler(0.5))));
}

#[test]
fn unlabelled_voxels_are_never_trained_on() {
    // Only a small corner is labelled, as users do who paint a few cells.
    let extent = Extent::new(2, 200, 200);
    let label = |i: deep3m_volume::Index| if i.z == 1 && i.y < 20 && i.x < 20 { u8::from(i.x < 10) } else { 9 };
    for sampling in [Sampling::Accept { background: 0.25 }, Sampling::NearForeground { share: 0.5 }] {
        for geometry in [Geometry::Variations, STRONG] {
            let volume = labelled(extent, |i| i.x as u8, label);
            let augmentation = Augmentation { geometry, ..Augmentation::VARIATIONS };
            let sampler =
                Sampler::new(source(volume, Some(9), Binning::NONE, Border::Mirror), sampling, augmentation, 1, 32);
            for seed in 0..30 {
                let patch = sampler.draw(&mut Stream::of(&[seed])).unwrap();
                assert!(patch.known.contains(&1.0) && patch.known.contains(&0.0));
                let unknown = patch.target.iter().zip(&patch.known).filter(|(_, k)| **k == 0.0);
                if geometry == Geometry::Variations {
                    assert!(unknown.clone().all(|(t, _)| *t == 0.0));
                }
            }
        }
    }
}

#[test]
fn the_edge_is_mirrored_as_prediction_does() {
    let at = |i| mirror(i, 4);
    assert_eq!([-5, -2, -1, 0, 3, 4, 5, 7].map(at), [1, 2, 1, 0, 3, 2, 1, 1]);
    assert_eq!(mirror(-7, 1), 0);
}

/// Time per patch on real sections: `cargo test -p deep3m-train --release -- --ignored patches_are_cheap --nocapture`.
#[test]
#[ignore = "a measurement"]
fn patches_are_cheap() {
    let data = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mito-sbem/train"));
    if !data.exists() {
        eprintln!("SKIPPED: {} absent", data.display());
        return;
    }
    let open = |name: &str| deep3m_volume::open(&data.join(name)).unwrap();
    let volume = crate::LabelledVolume { images: open("images"), labels: open("labels") };
    let begun = std::time::Instant::now();
    let checked = check(&volume, None, None).unwrap();
    eprintln!(
        "check: {:.2} s, {} voxels of foreground, typical width {:?} px",
        begun.elapsed().as_secs_f64(),
        checked.foreground,
        checked.thickness
    );
    let config = crate::TrainConfig::deep3m();
    let normalisation = crate::grey::estimate(std::slice::from_ref(&volume)).unwrap();
    let sources = Arc::new(vec![Source::new(volume, checked, Binning::square(2), normalisation, Border::Mirror)]);
    for frames in [1, 3, 5] {
        let sampler = Sampler::new(Arc::clone(&sources), config.sampling, config.augmentation, frames, 256);
        let draw = |n| (0..n).for_each(|s| drop(sampler.draw(&mut Stream::of(&[s])).unwrap()));
        draw(20);
        let begun = std::time::Instant::now();
        draw(40);
        eprintln!("{frames} sections, 256², binning 2: {:.1} ms a patch", 1e3 * begun.elapsed().as_secs_f64() / 40.0);
    }
}
