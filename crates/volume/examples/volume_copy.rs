//! Copies any volume that Deep3M reads to any format that it writes: `volume_copy IN [OUT [FORMAT]]`.
//!
//! Prints what the input is as JSON. OUT's ending says the format, or FORMAT does (`png-folder`, `tiff-folder`,
//! `tiff-stack`, `ome-zarr`). The interoperability check of CI is built on it.

use std::error::Error;
use std::path::Path;

use deep3m_volume::{Format, VolumeSpec, copy, create_as, open};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (input, output, format) = match arguments.as_slice() {
        [input] => (input, None, None),
        [input, output] => (input, Some(output), None),
        [input, output, format] => (input, Some(output), Some(format)),
        _ => return Err("usage: volume_copy IN [OUT [FORMAT]]".into()),
    };
    let source = open(Path::new(input))?;
    let info = source.info();
    println!("{}", serde_json::to_string_pretty(info)?);
    if let Some(output) = output {
        let output = Path::new(output);
        let format: Format = match format {
            Some(name) => serde_json::from_value(name.as_str().into())?,
            None => Format::of_output(output),
        };
        let spec = VolumeSpec {
            extent: info.extent,
            voxel_type: info.voxel_type,
            voxel_size: info.voxel_size,
            chunk: None,
            provenance: None,
        };
        let target = create_as(output, format, &spec, true)?;
        copy(source.as_ref(), target.as_ref(), &mut |_| ())?;
    }
    Ok(())
}
