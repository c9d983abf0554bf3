//! What is MRC's own.

// Clippy's exception for tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

use deep3m_volume::{Block, Extent, Format, Index, Region, VolumeSpec, VoxelType, Voxels, create, open};

fn spec(voxel_type: VoxelType) -> VolumeSpec {
    VolumeSpec { extent: Extent::new(2, 3, 4), voxel_type, voxel_size: None, chunk: None, provenance: None }
}

#[test]
fn bytes_become_sixteen_bits() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.rec");
    let spec = spec(VoxelType::U8);
    let writer = create(&path, &spec, false).unwrap();
    let values: Vec<u8> = (0..24).map(|i| i * 11).collect();
    writer.write(Index::default(), &Block::new(spec.extent, Voxels::U8(values.clone()))).unwrap();
    writer.finish().unwrap();
    let volume = open(&path).unwrap();
    assert_eq!((volume.info().format, volume.info().voxel_type), (Format::Mrc, VoxelType::U16));
    assert_eq!(volume.info().voxel_size, None);
    let wide = Voxels::U16(values.into_iter().map(u16::from).collect());
    assert_eq!(volume.read(Region::whole(spec.extent)).unwrap().voxels(), &wide);
}

#[test]
fn labels_of_32_bits_have_no_place() {
    let folder = tempfile::tempdir().unwrap();
    let error = create(&folder.path().join("v.mrc"), &spec(VoxelType::U32), false).err().unwrap().to_string();
    assert!(error.contains("MRC has no 32-bit labels") && error.contains(".zarr"), "{error}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn the_header_knows_its_voxels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("v.mrc");
    let statistics = |voxels: Vec<f32>| {
        let spec = spec(VoxelType::F32);
        let writer = create(&path, &spec, true).unwrap();
        let block = Block::new(spec.extent, Voxels::F32(voxels));
        for z in [1, 0] {
            writer.write(Index::new(z, 0, 0), &block.crop(Region::section(spec.extent, z))).unwrap();
        }
        writer.finish().unwrap();
        let bytes = std::fs::read(&path).unwrap();
        [76, 80, 84, 216].map(|at| f32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()))
    };
    let mut voxels = vec![2.0; 24];
    voxels[..12].fill(-4.0);
    assert_eq!(statistics(voxels.clone()), [-4.0, 2.0, -1.0, 3.0], "least, largest, mean, deviation");
    voxels[7] = f32::NAN;
    assert_eq!(statistics(voxels), [0.0, -1.0, -2.0, -1.0], "MRC2014's way of saying: not determined");
}
