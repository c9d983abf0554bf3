//! Copies any volume that Deep3M reads to any format that it writes: `volume_copy IN [OUT [FORMAT [LEVELS]]]`.
//!
//! Prints what the input is as JSON. OUT's ending says the format, or FORMAT does (`png-folder`, `tiff-folder`,
//! `tiff-stack`, `ome-zarr`, `ome-zarr-04`, `ome-zarr-sharded`, `precomputed`). LEVELS (`mean`, `mode`) adds resolution
//! levels down to 16 voxels. The interoperability check of CI is built on it.

use std::error::Error;
use std::path::Path;

use deep3m_volume::pyramid::{Level, Reduce, create_levels, levels, open_level, write_level};
use deep3m_volume::{Extent, Format, OpenOptions, VolumeSpec, ZarrLayout, ZarrVersion, copy, open};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rest = arguments.iter();
    let Some(input) = rest.next() else {
        return Err("usage: volume_copy IN [OUT [FORMAT [LEVELS]]]".into());
    };
    let source = open(Path::new(input))?;
    let info = source.info();
    println!("{}", serde_json::to_string_pretty(info)?);
    let Some(output) = rest.next().map(Path::new) else { return Ok(()) };
    let (format, layout) = match rest.next().map(String::as_str) {
        None => (Format::of_output(output), ZarrLayout::default()),
        Some("ome-zarr-04") => (Format::OmeZarr, ZarrLayout { version: ZarrVersion::V2, shard: None }),
        Some("ome-zarr-sharded") => {
            let shard = Some(Extent::new(8, 64, 64));
            (Format::OmeZarr, ZarrLayout { version: ZarrVersion::V3, shard })
        }
        Some(name) => (serde_json::from_value(name.into())?, ZarrLayout::default()),
    };
    let by: Option<Reduce> = rest.next().map(|name| serde_json::from_value(name.as_str().into())).transpose()?;
    let chunk = (layout.shard.is_some() || by.is_some()).then_some(Extent::new(4, 32, 32));
    let spec = VolumeSpec {
        extent: info.extent,
        voxel_type: info.voxel_type,
        voxel_size: info.voxel_size,
        chunk,
        provenance: None,
    };
    let levels = match by {
        Some(_) => levels(spec.extent, spec.voxel_size, Extent::new(16, 16, 16)),
        None => vec![Level::first(spec.extent, spec.voxel_size)],
    };
    let writers = create_levels(output, format, &spec, &levels, layout, true)?;
    copy(source.as_ref(), writers[0].as_ref(), &mut |_| ())?;
    for (n, level) in levels.iter().enumerate().skip(1) {
        let before = open_level(output, n - 1, &OpenOptions::default())?;
        let by = by.unwrap_or(Reduce::Mean);
        write_level(&*before, &*writers[n], level.window, by, 1 << 20, &|_| false, &mut |_| ())?;
        writers[n].finish()?;
    }
    Ok(())
}
