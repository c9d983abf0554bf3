//! Objects of a volume on disk or elsewhere, of several blocks.

use deep3m_analyze::{ComponentsConfig, Connectivity, components};
use deep3m_volume::InMemory as Memory;
use deep3m_volume::{Extent, Index, Region, Voxels};

#[test]
fn objects_of_a_volume_hold_its_foreground() {
    let extent = Extent::new(4, 300, 40);
    let voxels: Vec<u8> =
        (0..extent.len() as u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
    let foreground = voxels.iter().filter(|&&v| v >= 200).count() as u64;
    let volume = Memory::new("v", extent, Voxels::U8(voxels));
    let config = ComponentsConfig { connectivity: Connectivity::Faces, level: 200, ..ComponentsConfig::default() };
    let mut seen = 0;
    let found = components(&volume, &config, &mut |n| seen += n).unwrap();
    assert_eq!(seen, extent.len() as u64);
    assert_eq!(found.iter().map(|c| c.size_voxels).sum::<u64>(), foreground);
    assert!(found.len() > 100 && found.is_sorted_by_key(|c| c.id));

    let large = components(&volume, &ComponentsConfig { min_voxels: 5, ..config.clone() }, &mut |_| ()).unwrap();
    assert_eq!(large.len(), found.iter().filter(|c| c.size_voxels >= 5).count());

    let region = Region::new(Index::new(1, 10, 5), Extent::new(2, 20, 30));
    let part = components(&volume, &ComponentsConfig { region: Some(region), ..config }, &mut |_| ()).unwrap();
    assert!(part.iter().all(|c| region.intersect(&c.bounds) == Some(c.bounds)));
}
