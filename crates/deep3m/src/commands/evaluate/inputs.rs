//! The volumes that are compared: opened within the memory, checked, brought to one grid.

use std::path::Path;
use std::sync::Arc;

use deep3m_analyze::{Allowance, AnalyzeError};
use deep3m_volume::{
    Block, Extent, Index, OpenOptions, Place, Region, Volume, VolumeError, VolumeInfo, VoxelSize, crop,
};
use miette::{IntoDiagnostic, Result};

use crate::commands::evaluate::{told, with_progress};
use crate::commands::memory::open_limited;
use crate::commands::open_sized;

/// How a volume is read: as probabilities, or as labels.
pub(super) type Read = fn(Arc<dyn Volume>) -> Arc<dyn Volume>;

/// Which volumes are read, and how.
pub(super) struct Sources<'a> {
    pub(super) paths: Vec<(&'a Path, Read)>,
    pub(super) region: Option<Region>,
    pub(super) voxel_size: Option<VoxelSize>,
}

/// Volumes of one grid.
pub(super) struct Inputs {
    /// In the order of the paths.
    pub(super) volumes: Vec<Arc<dyn Volume>>,
    /// The part of them that is compared.
    pub(super) region: Option<Region>,
    /// The size of their voxels, as far as one of them states it.
    pub(super) voxel_size: Option<VoxelSize>,
}

impl Inputs {
    /// Voxels that are compared.
    pub(super) fn voxels(&self) -> u64 {
        let extent = self.region.map_or(self.volumes[0].info().extent, |region| region.extent);
        extent.checked_voxels().unwrap_or(u64::MAX)
    }
}

impl Sources<'_> {
    /// Opens them; each keeps at most so many bytes decoded, or as usual.
    pub(super) fn open(&self, cache_bytes: Option<u64>) -> Result<Inputs> {
        let open = |(path, read): &(&Path, Read)| {
            Ok(read(match cache_bytes {
                Some(bytes) => open_limited(path, self.voxel_size, bytes)?,
                None => open_sized(path, self.voxel_size)?,
            }))
        };
        let volumes: Vec<Arc<dyn Volume>> = self.paths.iter().map(open).collect::<Result<_>>()?;
        let voxel_size = one_size(&volumes).into_diagnostic()?;
        let (volumes, region) = one_grid(volumes, self.region).into_diagnostic()?;
        Ok(Inputs { volumes, region, voxel_size })
    }

    /// Does something with them within a budget, of which an eighth is for what they keep decoded, or nothing where that does not
    /// leave enough. The voxels are gone through so many times.
    pub(super) fn within<T>(
        &self,
        budget: u64,
        times: u64,
        mut work: impl FnMut(&Inputs, Allowance, &mut dyn FnMut(u64) -> bool) -> Result<T, AnalyzeError>,
    ) -> Result<T> {
        let usual = OpenOptions::default().cache_bytes as u64;
        let cache = usual.min(budget / 8 / self.paths.len().max(1) as u64);
        let inputs = self.open(Some(cache))?;
        let held = inputs.volumes.iter().map(|volume| cache.min(bytes_of(volume.info()))).sum();
        let steps = times.saturating_mul(inputs.voxels());
        let mut done = with_progress(steps, |go_on| work(&inputs, Allowance { budget, held }, go_on));
        if matches!(done, Err(AnalyzeError::Memory { .. })) {
            let inputs = self.open(Some(0))?;
            done = with_progress(steps, |go_on| work(&inputs, Allowance { budget, held: 0 }, go_on));
        }
        told(done)
    }
}

fn bytes_of(info: &VolumeInfo) -> u64 {
    info.extent.checked_voxels().unwrap_or(u64::MAX).saturating_mul(info.voxel_type.bytes() as u64)
}

/// The size of voxels that all of them have that state one.
fn one_size(volumes: &[Arc<dyn Volume>]) -> Result<Option<VoxelSize>, AnalyzeError> {
    let mut known: Option<(&Path, VoxelSize)> = None;
    for info in volumes.iter().map(|volume| volume.info()) {
        match (known, info.voxel_size) {
            (None, Some(size)) => known = Some((&info.path, size)),
            (Some((first, first_size)), Some(second_size)) if !same_size(first_size, second_size) => {
                let (first, second) = (first.to_owned(), info.path.clone());
                return Err(AnalyzeError::SizeMismatch { first, first_size, second, second_size });
            }
            _ => (),
        }
    }
    Ok(known.map(|(_, size)| size))
}

/// Whether two sizes are the same but for what files round: a part in a thousand.
fn same_size(a: VoxelSize, b: VoxelSize) -> bool {
    let same = |a: f64, b: f64| (a - b).abs() <= 1e-3 * a.min(b);
    same(a.z_nm, b.z_nm) && same(a.y_nm, b.y_nm) && same(a.x_nm, b.x_nm)
}

/// Volumes of one shape, and what of the region is left to cut.
type OneGrid = (Vec<Arc<dyn Volume>>, Option<Region>);

/// Brings volumes of different shapes to one, where a region says how: one that has the region's size is that part, others are cut.
fn one_grid(volumes: Vec<Arc<dyn Volume>>, region: Option<Region>) -> Result<OneGrid, AnalyzeError> {
    let first = volumes[0].info();
    let Some(other) = volumes.iter().map(|volume| volume.info()).find(|info| info.extent != first.extent) else {
        return Ok((volumes, region));
    };
    let is_part = |extent: Extent, region: Region| extent == region.extent && !region.fits(extent);
    let fits = |extent: Extent, region: Region| region.fits(extent) || extent == region.extent;
    let Some(region) = region.filter(|&region| volumes.iter().all(|volume| fits(volume.info().extent, region))) else {
        return Err(AnalyzeError::ShapeMismatch {
            first: first.path.clone(),
            first_extent: first.extent,
            second: other.path.clone(),
            second_extent: other.extent,
        });
    };
    // A predicted part of a whole truth is put in its place, so that exclusion zones see the truth around it.
    let whole = other.extent;
    let rest_is_whole = volumes[1..].iter().all(|volume| volume.info().extent == whole && region.fits(whole));
    if first.extent == region.extent && rest_is_whole {
        let info = VolumeInfo { extent: whole, ..first.clone() };
        let mut volumes = volumes;
        volumes[0] = Arc::new(Placed { part: Arc::clone(&volumes[0]), region, info });
        return Ok((volumes, Some(region)));
    }
    let cut = |volume: Arc<dyn Volume>| {
        if is_part(volume.info().extent, region) { Ok(volume) } else { crop(volume, region) }
    };
    Ok((volumes.into_iter().map(cut).collect::<Result<_, _>>()?, None))
}

/// A part of a larger volume in its place; beyond the part nothing can be read.
struct Placed {
    part: Arc<dyn Volume>,
    region: Region,
    info: VolumeInfo,
}

impl Volume for Placed {
    fn info(&self) -> &VolumeInfo {
        &self.info
    }

    fn read(&self, region: Region) -> Result<Block, VolumeError> {
        if self.region.intersect(&region) != Some(region) {
            let place = Place::file(&self.info.path);
            return Err(VolumeError::OutOfBounds { place, region, extent: self.region.extent });
        }
        let (at, first) = (region.start, self.region.start);
        let start = Index::new(at.z - first.z, at.y - first.y, at.x - first.x);
        self.part.read(Region::new(start, region.extent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{InMemory, Voxels};

    fn volume(name: &str, extent: Extent) -> Arc<dyn Volume> {
        let voxels = (0..extent.len()).map(|i| i as u8).collect();
        Arc::new(InMemory::new(name, extent, Voxels::U8(voxels)))
    }

    #[test]
    fn a_part_is_put_in_its_place_or_the_whole_is_cut() {
        let (whole, part) = (Extent::new(2, 4, 6), Extent::new(1, 2, 3));
        let region = Region::new(Index::new(1, 1, 2), part);
        let first = |volume: &Arc<dyn Volume>, region: Option<Region>| {
            let region = region.unwrap_or(Region::whole(volume.info().extent));
            volume.read(region).unwrap().voxels().iter().next().unwrap()
        };
        let (volumes, left) = one_grid(vec![volume("p", part), volume("t", whole)], Some(region)).unwrap();
        assert_eq!((volumes[0].info().extent, left), (whole, Some(region)));
        assert_eq!((first(&volumes[0], left), first(&volumes[1], left)), (0, 32));
        assert!(volumes[0].read(Region::whole(whole)).is_err());
        let (volumes, left) = one_grid(vec![volume("p", whole), volume("t", part)], Some(region)).unwrap();
        assert_eq!((first(&volumes[0], left), first(&volumes[1], left), left), (32, 0, None));
        // Both are larger than the region, and begin at the same voxel.
        let both = Region::new(Index::new(0, 0, 1), Extent::new(1, 1, 2));
        let (volumes, left) = one_grid(vec![volume("p", whole), volume("t", part)], Some(both)).unwrap();
        assert_eq!((first(&volumes[0], left), first(&volumes[1], left), left), (1, 1, None));
        let same = one_grid(vec![volume("p", whole), volume("t", whole)], Some(region)).unwrap();
        assert_eq!((same.0[0].info().extent, same.1), (whole, Some(region)));
        for region in [None, Some(Region::whole(whole)), Some(Region::new(Index::new(0, 0, 0), Extent::new(1, 3, 4)))] {
            let error =
                one_grid(vec![volume("p", whole), volume("t", part)], region).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("--region"), "{error}");
        }
    }

    #[test]
    fn sizes_that_differ_are_said_and_what_is_rounded_is_the_same() {
        let sized = |name: &str, x: f64| -> Arc<dyn Volume> {
            let size = VoxelSize::new(30.0, 8.0, x).unwrap();
            Arc::new(InMemory::new(name, Extent::new(1, 1, 1), Voxels::U8(vec![0])).sized(size))
        };
        let bare = volume("bare", Extent::new(1, 1, 1));
        let size = one_size(&[Arc::clone(&bare), sized("a", 8.0), sized("b", 8.001)]).unwrap();
        assert_eq!(size, VoxelSize::new(30.0, 8.0, 8.0));
        assert_eq!(one_size(&[bare]).unwrap(), None);
        let error = one_size(&[sized("a.zarr", 8.0), sized("b.tif", 10.0)]).unwrap_err().to_string();
        for part in ["a.zarr", "30 × 8 × 8 nm", "b.tif", "30 × 8 × 10 nm", "--voxel-size"] {
            assert!(error.contains(part), "{error}");
        }
    }
}
