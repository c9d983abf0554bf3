//! Conversions end in the same bytes, however often they are stopped.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use deep3m_volume::convert::{Conversion, ConvertError, ConvertEvent, ConvertSummary, Work, convert};
use deep3m_volume::pyramid::Reduce;
use deep3m_volume::{
    Block, Extent, Format, Index, Region, Volume, VolumeSpec, VoxelSize, VoxelType, Voxels, ZarrLayout, create, open,
};

const EXTENT: Extent = Extent::new(7, 90, 70);

fn source(folder: &Path) -> PathBuf {
    let path = folder.join("in.tif");
    let spec = VolumeSpec {
        extent: EXTENT,
        voxel_type: VoxelType::U16,
        voxel_size: VoxelSize::new(40.0, 10.0, 10.0),
        chunk: None,
        provenance: None,
    };
    let writer = create(&path, &spec, false).unwrap();
    let values = (0..EXTENT.len()).map(|i| (i.wrapping_mul(2654435761) >> 20) as u16).collect();
    writer.write(Index::default(), &Block::new(EXTENT, Voxels::U16(values))).unwrap();
    writer.finish().unwrap();
    path
}

fn conversion(format: Format) -> Conversion {
    Conversion {
        format,
        chunk: Some(Extent::new(2, 32, 32)),
        levels: None,
        reduce: Reduce::Mean,
        zarr: ZarrLayout::default(),
    }
}

const fn work(bytes: u64) -> Work {
    Work { bytes, cache_bytes: 1 << 20 }
}

/// Converts, and stops after `boxes` boxes.
fn run(source: &Path, out: &Path, conversion: &Conversion, boxes: usize) -> Result<ConvertSummary, ConvertError> {
    let volume = open(source).unwrap();
    let (stop, mut written) = (AtomicBool::new(boxes == 0), 0);
    let mut event = |event: ConvertEvent| {
        if matches!(event, ConvertEvent::Written { .. }) {
            written += 1;
            stop.store(written >= boxes, Ordering::Relaxed);
        }
    };
    // A few chunks at a time.
    convert(&volume, out, conversion, false, work(40_000), &stop, &mut event)
}

fn files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path).unwrap().flat_map(|entry| files(&entry.unwrap().path())).collect()
}

/// The files of a volume, without what a conversion notes.
fn bytes(out: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let shown = |path: &PathBuf| !path.file_name().unwrap().to_string_lossy().starts_with('.');
    files(out)
        .into_iter()
        .filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(".z") || shown(path))
        .map(|path| (path.strip_prefix(out).unwrap().to_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

#[test]
fn every_format_holds_the_same_voxels() {
    let folder = tempfile::tempdir().unwrap();
    let path = source(folder.path());
    let truth = open(&path).unwrap();
    for (format, name) in [
        (Format::OmeZarr, "out.zarr"),
        (Format::Precomputed, "out.precomputed"),
        (Format::PngFolder, "png"),
        (Format::TiffFolder, "tiff"),
        (Format::TiffStack, "out.tif"),
    ] {
        let out = folder.path().join(name);
        let summary = run(&path, &out, &conversion(format), usize::MAX).unwrap();
        assert_eq!(summary.voxels, summary.voxels_now);
        let levels = if format.has_levels() { 5 } else { 1 };
        assert_eq!(summary.levels.len(), levels, "{format:?}: {:?}", summary.levels);
        let volume = open(&out).unwrap();
        assert_eq!((volume.info().voxel_size, volume.info().voxel_type), (truth.info().voxel_size, VoxelType::U16));
        let whole = Region::whole(EXTENT);
        assert_eq!(volume.read(whole).unwrap(), truth.read(whole).unwrap(), "{format:?}");
        // Once more: it is there.
        assert_eq!(run(&path, &out, &conversion(format), usize::MAX).unwrap().voxels_now, 0, "{format:?}");
    }
}

#[test]
fn stopped_anywhere_it_goes_on_to_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let path = source(folder.path());
    for (format, name) in
        [(Format::OmeZarr, "v.zarr"), (Format::Precomputed, "v.precomputed"), (Format::PngFolder, "v")]
    {
        // The name of an image is in its metadata.
        let whole = folder.path().join("whole").join(name);
        let all = run(&path, &whole, &conversion(format), usize::MAX).unwrap();
        for step in [1, 2, 5] {
            let out = folder.path().join(format!("step-{step}")).join(name);
            let (mut now, mut stops) = (0, 0);
            loop {
                match run(&path, &out, &conversion(format), step) {
                    Ok(summary) => {
                        now += summary.voxels_now;
                        break;
                    }
                    Err(ConvertError::Interrupted { .. }) => stops += 1,
                    Err(other) => panic!("{other}"),
                }
                assert!(stops < 1000);
            }
            assert!(stops > 0, "{format:?}: stopped {stops} times");
            assert!(now < all.voxels, "what was done before is not written again");
            assert_eq!(bytes(&out), bytes(&whole), "{format:?} in steps of {step}");
        }
    }
}

#[test]
fn the_budget_does_not_change_the_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let volume = open(&source(folder.path())).unwrap();
    let outputs = [1_u64, 100_000, 1 << 30].map(|budget| {
        let out = folder.path().join(budget.to_string()).join("v.zarr");
        convert(&volume, &out, &conversion(Format::OmeZarr), false, work(budget), &AtomicBool::new(false), &mut |_| ())
            .unwrap();
        bytes(&out)
    });
    assert!(outputs[0] == outputs[1] && outputs[1] == outputs[2]);
}

#[test]
fn another_conversion_is_not_mixed_in() {
    let folder = tempfile::tempdir().unwrap();
    let path = source(folder.path());
    let out = folder.path().join("v.zarr");
    assert!(matches!(run(&path, &out, &conversion(Format::OmeZarr), 1), Err(ConvertError::Interrupted { .. })));
    let modes = Conversion { reduce: Reduce::Mode, ..conversion(Format::OmeZarr) };
    let error = run(&path, &out, &modes, usize::MAX).unwrap_err().to_string();
    assert!(error.contains("reduce: found \"mean\", expected \"mode\""), "{error}");
    let volume: Arc<dyn Volume> = open(&path).unwrap();
    let stop = AtomicBool::new(false);
    convert(&volume, &out, &modes, true, work(1 << 20), &stop, &mut |_| ()).unwrap();
    // The output as input, and something foreign in the way.
    let zarr = open(&out).unwrap();
    for place in [out.clone(), out.join("0")] {
        let error = convert(&zarr, &place, &modes, true, work(1 << 20), &stop, &mut |_| ()).unwrap_err();
        assert!(matches!(error, ConvertError::OutputIsInput { .. } | ConvertError::Volume(_)), "{error}");
    }
    assert!(open(&out).is_ok());
    let foreign = folder.path().join("foreign.zarr");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(foreign.join("thesis.txt"), "all of it").unwrap();
    for overwrite in [false, true] {
        assert!(convert(&volume, &foreign, &modes, overwrite, work(1 << 20), &stop, &mut |_| ()).is_err());
    }
    assert!(foreign.join("thesis.txt").is_file());
}
