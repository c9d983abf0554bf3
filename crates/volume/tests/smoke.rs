//! A volume written is the volume read.
use deep3m_volume::*;

#[test]
fn round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let extent = Extent::new(5, 70, 90);
    let voxels: Vec<u8> = (0..extent.len()).map(|i| (i * 7 % 251) as u8).collect();
    let block = Block::new(extent, Voxels::U8(voxels));
    for name in ["a", "b.zarr", "c.tif"] {
        let path = folder.path().join(name);
        let spec = VolumeSpec {
            extent,
            voxel_type: VoxelType::U8,
            voxel_size: VoxelSize::new(30.0, 4.6, 5.0),
            chunk: Some(Extent::new(2, 32, 33)),
            provenance: None,
        };
        let writer = create(&path, &spec, false).unwrap();
        for t in Region::whole(extent).tiles(writer.grain()) {
            writer.write(t.start, &block.crop(t)).unwrap();
        }
        writer.finish().unwrap();
        let v = open(&path).unwrap();
        assert_eq!(v.info().voxel_size, spec.voxel_size);
        assert_eq!(v.read(Region::whole(extent)).unwrap(), block);
        let r = Region::new(Index::new(1, 5, 6), Extent::new(3, 40, 50));
        assert_eq!(v.read(r).unwrap(), block.crop(r));
    }
}
