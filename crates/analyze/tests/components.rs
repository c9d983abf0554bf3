//! Objects of a volume on disk or elsewhere are those of its mask.

mod common;

use common::Memory;
use deep3m_analyze::{ComponentsConfig, Connectivity, components, components_of_mask};
use deep3m_volume::{Extent, Index, Region, Voxels};

#[test]
fn objects_of_a_volume_are_those_of_its_mask() {
    let extent = Extent::new(4, 300, 40);
    let voxels: Vec<u8> =
        (0..extent.len() as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let mask: Vec<bool> = voxels.iter().map(|&v| v >= 200).collect();
    let volume = Memory::new("v", extent, Voxels::U8(voxels));
    let config = ComponentsConfig { connectivity: Connectivity::Faces, level: 200, ..ComponentsConfig::default() };
    let mut seen = 0;
    let found = components(&volume, &config, &mut |n| seen += n).unwrap();
    assert_eq!(seen, extent.len() as u64);
    assert_eq!(found, components_of_mask(&mask, extent, Connectivity::Faces));
    assert!(found.len() > 100);

    let large = components(&volume, &ComponentsConfig { min_voxels: 5, ..config.clone() }, &mut |_| ()).unwrap();
    assert_eq!(large.len(), found.iter().filter(|c| c.size_voxels >= 5).count());

    let region = Region::new(Index::new(1, 10, 5), Extent::new(2, 20, 30));
    let part = components(&volume, &ComponentsConfig { region: Some(region), ..config }, &mut |_| ()).unwrap();
    assert!(part.iter().all(|c| region.intersect(&c.bounds) == Some(c.bounds)));
}
