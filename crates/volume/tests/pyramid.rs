//! Levels written block by block are those of the whole volume, and say where they lie.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use deep3m_volume::pyramid::{Level, Reduce, create_levels, levels, open_level, reopen_levels, write_level};
use deep3m_volume::{
    Block, Extent, Format, Index, OpenOptions, Region, VolumeSpec, VoxelSize, VoxelType, Voxels, ZarrLayout,
    ZarrVersion, create, open,
};
use proptest::prelude::*;
use serde_json::json;

fn spec(extent: Extent, voxel_type: VoxelType, chunk: Extent) -> VolumeSpec {
    VolumeSpec { extent, voxel_type, voxel_size: VoxelSize::new(30.0, 5.0, 6.0), chunk: Some(chunk), provenance: None }
}

/// A voxel of the next level, from the definition.
fn naive(values: &[i64], by: Reduce) -> i64 {
    let count = values.len() as i64;
    match by {
        Reduce::Mean => {
            let sum: i64 = values.iter().sum();
            // The nearest; of two as near, the even one.
            (sum.div_euclid(count)..=sum.div_euclid(count) + 1)
                .min_by_key(|mean| ((mean * count - sum).abs(), mean.rem_euclid(2)))
                .unwrap()
        }
        Reduce::Mode => {
            let mut counts = BTreeMap::new();
            for value in values {
                *counts.entry(value).or_insert(0) += 1;
            }
            let most = *counts.values().max().unwrap();
            **counts.iter().find(|(_, n)| **n == most).unwrap().0
        }
    }
}

fn naive_level(whole: &Block, window: Extent, by: Reduce) -> (Extent, Vec<i64>) {
    let size = whole.extent();
    let value = |at: Index| match whole.voxels() {
        Voxels::U8(v) => i64::from(v[size.offset(at)]),
        Voxels::I16(v) => i64::from(v[size.offset(at)]),
        Voxels::U32(v) => i64::from(v[size.offset(at)]),
        _ => panic!("a type of this test"),
    };
    let extent = Extent::new(size.z.div_ceil(window.z), size.y.div_ceil(window.y), size.x.div_ceil(window.x));
    let mut level = Vec::new();
    for voxel in Region::whole(extent).tiles(Extent::new(1, 1, 1)) {
        let at = voxel.start;
        let all = Region::new(Index::new(at.z * window.z, at.y * window.y, at.x * window.x), window);
        let inside = all.intersect(&Region::whole(size)).unwrap();
        let values: Vec<i64> = inside.tiles(Extent::new(1, 1, 1)).map(|v| value(v.start)).collect();
        level.push(naive(&values, by));
    }
    (extent, level)
}

fn numbers(block: &Block) -> Vec<i64> {
    match block.voxels() {
        Voxels::U8(v) => v.iter().map(|&v| v.into()).collect(),
        Voxels::I16(v) => v.iter().map(|&v| v.into()).collect(),
        Voxels::U32(v) => v.iter().map(|&v| v.into()).collect(),
        _ => panic!("a type of this test"),
    }
}

/// Few values, so that modes and ties happen, over the whole range of the type.
fn volume(voxel_type: VoxelType, extent: Extent, seed: u32) -> Block {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(1664525).wrapping_add(1013904223);
        ((state >> 24) % 5) * 0x3fff_ffff
    };
    let voxels = match voxel_type {
        VoxelType::U8 => Voxels::U8((0..extent.len()).map(|_| (next() >> 22) as u8).collect()),
        VoxelType::I16 => Voxels::I16((0..extent.len()).map(|_| (next() >> 14) as i16).collect()),
        _ => Voxels::U32((0..extent.len()).map(|_| next()).collect()),
    };
    Block::new(extent, voxels)
}

fn write_first(path: &Path, whole: &Block, chunk: Extent) {
    let writer = create(path, &spec(whole.extent(), whole.voxels().voxel_type(), chunk), false).unwrap();
    writer.write(Index::default(), whole).unwrap();
    writer.finish().unwrap();
}

fn read(path: &Path, level: usize) -> Block {
    let volume = open_level(path, level, &OpenOptions::default()).unwrap();
    volume.read(Region::whole(volume.info().extent)).unwrap()
}

fn small() -> impl Strategy<Value = Extent> {
    (1_u64..7, 1_u64..20, 1_u64..20).prop_map(|(z, y, x)| Extent::new(z, y, x))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]
    #[test]
    fn blocks_give_the_level_of_the_whole(
        extent in small(),
        source_chunk in small(),
        target_chunk in small(),
        window in (1_u64..4, 1_u64..4, 1_u64..4),
        kind in 0..3_usize,
        mode: bool,
        bytes in 0_u64..3000,
        seed: u32,
    ) {
        let folder = tempfile::tempdir().unwrap();
        let voxel_type = [VoxelType::U8, VoxelType::I16, VoxelType::U32][kind];
        let by = if mode { Reduce::Mode } else { Reduce::Mean };
        let window = Extent::new(window.0, window.1, window.2);
        let whole = volume(voxel_type, extent, seed);
        let (first, second) = (folder.path().join("0.zarr"), folder.path().join("1.zarr"));
        write_first(&first, &whole, source_chunk);
        let (size, expected) = naive_level(&whole, window, by);
        let target = create(&second, &spec(size, voxel_type, target_chunk), false).unwrap();
        let mut heard = Vec::new();
        write_level(&*open(&first).unwrap(), &*target, window, by, bytes, &|_| false, &mut |r| heard.push(r)).unwrap();
        let found = read(&second, 0);
        prop_assert_eq!(found.extent(), size);
        prop_assert_eq!(numbers(&found), expected);
        let mut grains: Vec<Region> = Region::whole(size).tiles(target.grain()).collect();
        heard.sort_by_key(|r| r.start);
        grains.sort_by_key(|r| r.start);
        prop_assert_eq!(heard, grains, "every grain is heard of once");
    }

    #[test]
    fn the_mean_of_one_value_is_that_value(extent in small(), window in small(), value: f32) {
        let value = if value.is_nan() { 0.1 } else { value };
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("0.zarr"), folder.path().join("1.zarr"));
        write_first(&first, &Block::new(extent, Voxels::F32(vec![value; extent.len()])), extent);
        let size = Extent::new(extent.z.div_ceil(window.z), extent.y.div_ceil(window.y), extent.x.div_ceil(window.x));
        for by in [Reduce::Mean, Reduce::Mode] {
            let target = create(&second, &spec(size, VoxelType::F32, size), true).unwrap();
            write_level(&*open(&first).unwrap(), &*target, window, by, 1 << 20, &|_| false, &mut |_| ()).unwrap();
            prop_assert_eq!(read(&second, 0).into_voxels(), Voxels::F32(vec![value; size.len()]));
        }
    }
}

/// Writes the levels after the first; stops after `stop` grains, as a crash would.
fn write_levels(path: &Path, levels: &[Level], done: &RefCell<Vec<(usize, Region)>>, stop: usize) -> usize {
    let writers = reopen_levels(path).unwrap();
    let mut written = 0;
    for n in 1..levels.len() {
        let source = open_level(path, n - 1, &OpenOptions::default()).unwrap();
        let is_done = |region: Region| written >= stop || done.borrow().contains(&(n, region));
        let mut new = Vec::new();
        write_level(&*source, &*writers[n], levels[n].window, Reduce::Mean, 0, &is_done, &mut |r| new.push((n, r)))
            .unwrap();
        written += new.len();
        done.borrow_mut().append(&mut new);
    }
    written
}

#[test]
fn levels_go_on_where_they_were() {
    let extent = Extent::new(9, 70, 50);
    let whole = volume(VoxelType::U8, extent, 7);
    for layout in [
        ZarrLayout::default(),
        ZarrLayout { version: ZarrVersion::V3, shard: Some(Extent::new(4, 16, 16)) },
        ZarrLayout { version: ZarrVersion::V2, shard: None },
    ] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.zarr");
        let spec = spec(extent, VoxelType::U8, Extent::new(2, 8, 8));
        let planned = levels(extent, spec.voxel_size, Extent::new(4, 16, 16));
        assert!(planned.len() > 3);
        let writers = create_levels(&path, Format::OmeZarr, &spec, &planned, layout, false).unwrap();
        writers[0].write(Index::default(), &whole).unwrap();
        let done = RefCell::new(Vec::new());
        let first = write_levels(&path, &planned, &done, 1);
        let second = write_levels(&path, &planned, &done, usize::MAX);
        assert!(first > 0 && second > 0, "{first} grains, then {second}");
        assert_eq!(write_levels(&path, &planned, &done, usize::MAX), 0, "nothing is left");
        let mut expected = whole.clone();
        for (n, level) in planned.iter().enumerate().skip(1) {
            let (size, values) = naive_level(&expected, level.window, Reduce::Mean);
            expected = Block::new(size, Voxels::U8(values.iter().map(|&v| v as u8).collect()));
            assert_eq!(read(&path, n), expected, "level {n} of {layout:?}");
        }
    }
}

#[test]
fn a_level_says_where_its_voxels_lie() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Extent::new(10, 100, 100);
    let spec = spec(extent, VoxelType::U8, Extent::new(8, 32, 32));
    let planned = levels(extent, spec.voxel_size, Extent::new(8, 32, 32));
    for (version, file) in [(ZarrVersion::V3, "zarr.json"), (ZarrVersion::V2, ".zattrs")] {
        let path = folder.path().join(format!("{version:?}.zarr"));
        let layout = ZarrLayout { version, shard: None };
        create_levels(&path, Format::OmeZarr, &spec, &planned, layout, false).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(path.join(file)).unwrap()).unwrap();
        let image = match version {
            ZarrVersion::V3 => &json["attributes"]["ome"]["multiscales"][0],
            ZarrVersion::V2 => &json["multiscales"][0],
        };
        let transformations = |n: usize| image["datasets"][n]["coordinateTransformations"].clone();
        assert_eq!(transformations(0), json!([{"type": "scale", "scale": [30.0, 5.0, 6.0]}]));
        // The middle of two voxels, half a voxel from the middle of the first.
        assert_eq!(
            transformations(1),
            json!([{"type": "scale", "scale": [30.0, 10.0, 12.0]}, {"type": "translation", "translation": [0.0, 2.5, 3.0]}])
        );
        assert_eq!(transformations(2)[1]["translation"], json!([0.0, 7.5, 9.0]));
        // A level's own folder has the level's voxel size.
        for (n, level) in planned.iter().enumerate() {
            let volume = open(&path.join(n.to_string())).unwrap();
            assert_eq!((volume.info().extent, volume.info().voxel_size), (level.extent, level.voxel_size), "level {n}");
        }
    }
    let wrong = create_levels(
        &folder.path().join("x.zarr"),
        Format::OmeZarr,
        &spec,
        &planned[1..],
        ZarrLayout::default(),
        false,
    );
    assert!(wrong.is_err());
    let stack =
        create_levels(&folder.path().join("x.tif"), Format::TiffStack, &spec, &planned, ZarrLayout::default(), false);
    assert!(stack.err().unwrap().to_string().contains(".zarr"));
    let layout = ZarrLayout { version: ZarrVersion::V2, shard: Some(extent) };
    let shards = create_levels(&folder.path().join("x.zarr"), Format::OmeZarr, &spec, &planned, layout, false);
    assert!(shards.err().unwrap().to_string().contains("Zarr v3 only"));
}
