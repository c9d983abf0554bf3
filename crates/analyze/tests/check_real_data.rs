//! The check does not cry wolf: on the real annotated volumes of `../shared/data`, where they are there, it finds what is
//! known of them and no more.

use std::path::Path;

use deep3m_analyze::{CheckConfig, Code, Severity, check};
use deep3m_volume::{VoxelSize, as_labels, open, with_voxel_size};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");

#[test]
fn good_data_are_found_good() {
    let data = Path::new(DATA);
    if !data.is_dir() {
        eprintln!("SKIPPED: {DATA} absent");
        return;
    }
    let size = VoxelSize::new(30.0, 8.0, 8.0).unwrap();
    let usual = CheckConfig::default();
    let mitochondrion = CheckConfig { foreground: Some(191), ..usual };
    let ids = Some((Severity::Error, Code::LabelValues));
    for (images, labels, config, expected) in [
        ("mito-sbem/train/images", "mito-sbem/train/labels", usual, None),
        ("mito-sbem/validation/images", "mito-sbem/validation/labels", usual, None),
        ("lucchi-mito/images.tif", "lucchi-mito/labels.tif", usual, None),
        // The larger value, which is taken for foreground, is the inside of cells.
        (
            "isbi2012-membranes/images.tif",
            "isbi2012-membranes/labels.tif",
            usual,
            Some((Severity::Warning, Code::Imbalance)),
        ),
        ("epfl-vesicles/images.tif", "epfl-vesicles/vesicles.tif", usual, None),
        ("epfl-vesicles/images.tif", "epfl-vesicles/membranes.tif", usual, None),
        ("epfl-vesicles/images.tif", "epfl-vesicles/psd.tif", usual, None),
        ("vnc/images.tif", "vnc/membranes.tif", usual, None),
        ("vnc/images.tif", "vnc/nine-classes.tif", mitochondrion, None),
        // Numbers of objects: no training knows which of them is foreground.
        ("vnc/images.tif", "vnc/synapse-ids.tif", usual, ids),
        ("nuclei-3d/ovule-1135-images.tif", "nuclei-3d/ovule-1135-ids.tif", usual, ids),
        ("nuclei-3d/stardist-images.tif", "nuclei-3d/stardist-ids.tif", usual, ids),
    ] {
        let volume = with_voxel_size(open(&data.join(images)).unwrap(), size);
        let labelled = as_labels(open(&data.join(labels)).unwrap());
        let found = check(volume.as_ref(), Some(labelled.as_ref()), &config, u64::MAX, &mut |_| true).unwrap();
        let codes: Vec<_> = found.findings.iter().map(|f| (f.severity, f.code)).collect();
        assert_eq!(codes, expected.into_iter().collect::<Vec<_>>(), "{labels}: {:?}", found.findings);
    }
}
