//! `--points`: place by place.

use std::path::Path;

use deep3m_analyze::{AnalyzeError, LengthUnit, Points, centroids, match_points};
use deep3m_volume::{Index, Region, VoxelSize, as_labels};
use miette::{IntoDiagnostic, Result};

use super::inputs::Sources;
use super::{Args, told, with_progress};
use crate::commands::print_json;
use crate::console::notice;

/// Places of one side, in nm where the size of voxels is known or a table says it, else in voxels.
type Places = Vec<[f64; 3]>;

pub(super) fn compare(args: &Args, truth: &Path) -> Result<()> {
    let Some(distance) = args.distance else { miette::bail!("--points needs --distance, for example --distance 40nm") };
    let paths = [args.prediction.as_path(), truth];
    let volumes: Vec<&Path> = paths.into_iter().filter(|path| !is_table(path)).collect();
    let (mut of_volumes, size) = of_volumes(args, &volumes)?;
    let in_nm = size.is_some() || volumes.is_empty();
    if let ([volume], false) = (volumes.as_slice(), in_nm) {
        let what = "with a table its objects' places are compared in nm";
        return Err(AnalyzeError::NoVoxelSize { path: volume.to_path_buf(), what }).into_diagnostic();
    }
    let mut places = |path: &Path| if is_table(path) { of_table(args, path, size) } else { Ok(of_volumes.remove(0)) };
    let (predicted, there) = (places(paths[0])?, places(paths[1])?);
    for (path, count) in paths.into_iter().zip([predicted.len(), there.len()]) {
        if count == 0 {
            notice(&format!("{}: no place in what is compared", path.display()));
        }
    }
    let (distance, unit) = if in_nm {
        (distance.nm(size, "--distance")?, LengthUnit::Nm)
    } else {
        (distance.voxels(size, "--distance")?, LengthUnit::Voxels)
    };
    let found =
        told(with_progress(predicted.len() as u64, |go_on| match_points(&predicted, &there, distance, unit, go_on)))?;
    if args.json {
        return print_json(&serde_json::json!({ "points": found }));
    }
    print!("{found}");
    Ok(())
}

fn is_table(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("csv"))
}

/// The centroids of each volume, and the size of voxels.
fn of_volumes(args: &Args, paths: &[&Path]) -> Result<(Vec<Places>, Option<VoxelSize>)> {
    if paths.is_empty() {
        return Ok((Vec::new(), args.voxel_size));
    }
    let sources = Sources {
        paths: paths.iter().map(|path| (*path, as_labels as _)).collect(),
        region: args.region,
        voxel_size: args.voxel_size,
    };
    sources.within(args.memory.bytes(), paths.len() as u64, |inputs, memory, go_on| {
        let scale = inputs.voxel_size.map_or([1.0; 3], |size| [size.z_nm, size.y_nm, size.x_nm]);
        let scaled = |place: [f64; 3]| [place[0] * scale[0], place[1] * scale[1], place[2] * scale[2]];
        let all = inputs.volumes.iter().map(|volume| {
            let places = centroids(volume.as_ref(), inputs.region, memory, go_on)?;
            Ok(places.into_iter().map(scaled).collect())
        });
        Ok((all.collect::<Result<_, AnalyzeError>>()?, inputs.voxel_size))
    })
}

/// The places of a table; with a region those in its voxels.
fn of_table(args: &Args, path: &Path, size: Option<VoxelSize>) -> Result<Places> {
    let mut places = Points::read_csv(path, size).into_diagnostic()?.positions_nm;
    if let Some(region) = args.region {
        let Some(size) = size else {
            let what = "a region is given in voxels";
            return Err(AnalyzeError::NoVoxelSize { path: path.to_owned(), what }).into_diagnostic();
        };
        places.retain(|place| lies_in(*place, region, size));
    }
    Ok(places)
}

/// Whether the voxel at a place in nm is one of a region's.
fn lies_in([z, y, x]: [f64; 3], region: Region, size: VoxelSize) -> bool {
    let voxel = |nm: f64, pitch: f64| (nm / pitch).round();
    let at = [voxel(z, size.z_nm), voxel(y, size.y_nm), voxel(x, size.x_nm)];
    at.iter().all(|&at| at >= 0.0) && region.contains(Index::new(at[0] as u64, at[1] as u64, at[2] as u64))
}
