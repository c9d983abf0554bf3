//! On the real annotated volume of `../shared/data`, where it is there.

use std::path::Path;

use deep3m_analyze::{ComponentsConfig, EvaluateConfig, Sources, Style, components, evaluate, read_section};
use deep3m_volume::{Extent, Index, Region, open};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data/mito-sbem/train");

#[test]
fn the_truth_agrees_with_itself_and_labels_lie_on_mitochondria() {
    let data = Path::new(DATA);
    if !data.is_dir() {
        eprintln!("SKIPPED: {DATA} absent");
        return;
    }
    let images = open(&data.join("images")).unwrap();
    let labels = open(&data.join("labels")).unwrap();
    let region = Region::new(Index::new(3, 0, 0), Extent::new(2, 1024, 1024));
    let config = EvaluateConfig { exclusion: vec![0, 1, 2], region: Some(region), ..EvaluateConfig::default() };
    let found = evaluate(labels.as_ref(), labels.as_ref(), &config, &mut |_| true).unwrap();
    // The labels are a palette image of 0 and 1.
    assert!(found.mask);
    assert!(found.voxel.iter().all(|s| s.jaccard == Some(1.0) && s.accuracy == Some(1.0)));
    let share = found.counts[0].confusion.tp as f64 / found.counts[0].compared as f64;
    assert!((0.06..0.12).contains(&share), "{share}");
    assert!(found.counts[1].left_out > 10_000 && found.counts[2].left_out > found.counts[1].left_out);

    let objects = components(
        labels.as_ref(),
        &ComponentsConfig { level: 1, min_voxels: 50, region: Some(region), ..ComponentsConfig::default() },
        &mut |_| (),
    )
    .unwrap();
    assert!((30..150).contains(&objects.len()), "{}", objects.len());
    let voxels: u64 = objects.iter().map(|o| o.size_voxels).sum();
    assert!(voxels <= found.counts[0].confusion.tp && voxels * 100 > found.counts[0].confusion.tp * 98);

    let sources = Sources { images: images.as_ref(), prediction: None, truth: Some(labels.as_ref()), threshold: 0.5 };
    let view = read_section(&sources, Region::section(images.info().extent, 3), 512).unwrap();
    assert_eq!((view.width(), view.height()), (512, 512));
    assert!(view.draw(Style::Truth) != view.draw(Style::Raw));
}
