//! A phantom on disk is the phantom that was rendered, and its truth counts the voxels that lie there.

use std::fs;

use deep3m_phantom::{Class, Phantom, PhantomConfig, PhantomError, Truth, annotator_name, write};
use deep3m_volume::{Extent, Region, open};

#[test]
fn written_is_rendered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("phantom");
    let config = PhantomConfig { shape: Extent::new(5, 70, 60), seed: 3, annotators: 2, ..PhantomConfig::default() };
    let phantom = Phantom::new(config.clone()).unwrap();
    let mut voxels = 0;
    let truth = write(&phantom, &path, false, &mut |n| voxels += n).unwrap();
    assert_eq!(voxels, config.shape.len() as u64);

    let whole = Region::whole(config.shape);
    let rendered = phantom.render(whole).unwrap();
    let images = open(&path.join("images.zarr")).unwrap();
    assert_eq!(images.info().voxel_size, Some(config.voxel_size));
    assert!(images.read(whole).unwrap() == rendered.images);
    for (class, total) in Class::ALL.into_iter().zip(&truth.classes) {
        assert_eq!(total.class, class);
        let labels = open(&path.join(&total.volume)).unwrap().read(whole).unwrap();
        assert!(labels == *rendered.labels(class));
        assert_eq!(total.voxels, labels.voxels().iter().filter(|&v| v == 255).count() as u64);
    }
    for (drawn, number) in rendered.annotators.iter().zip(1..) {
        assert!(open(&path.join(annotator_name(number))).unwrap().read(whole).unwrap() == *drawn);
    }
    let on_disk: Truth = serde_json::from_str(&fs::read_to_string(path.join("truth.json")).unwrap()).unwrap();
    assert_eq!(on_disk, truth);
    assert_eq!(on_disk.config, config);

    let refused = write(&phantom, &path, false, &mut |_| ()).unwrap_err();
    assert!(matches!(refused, PhantomError::Exists { .. }), "{refused}");
    assert!(refused.to_string().contains("--overwrite"));
    assert_eq!(write(&phantom, &path, true, &mut |_| ()).unwrap(), truth);
}
