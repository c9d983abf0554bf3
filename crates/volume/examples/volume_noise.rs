//! Writes an 8-bit volume of noise of any size, section by section, to measure with:
//! `cargo run --release --example volume_noise -- 512,2048,2048 noise.zarr`

use std::path::Path;
use std::process::ExitCode;

use deep3m_volume::{Block, Extent, Index, VolumeError, VolumeSpec, VoxelType, Voxels, create};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [size, path] = &arguments[..] else {
        eprintln!("usage: volume_noise z,y,x OUT");
        return ExitCode::from(2);
    };
    let sizes: Vec<u64> = size.split(',').filter_map(|part| part.parse().ok()).collect();
    let [z, y, x] = sizes[..] else {
        eprintln!("'{size}' found; expected z,y,x");
        return ExitCode::from(2);
    };
    match write(Extent::new(z, y, x), Path::new(path)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(extent: Extent, path: &Path) -> Result<(), VolumeError> {
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size: None, chunk: None, provenance: None };
    let writer = create(path, &spec, false)?;
    let depth = writer.grain().z;
    for z in (0..extent.z).step_by(depth as usize) {
        let slab = Extent::new(depth.min(extent.z - z), extent.y, extent.x);
        let first = z * extent.y * extent.x;
        let voxel = |i: u64| ((first + i).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58) as u8 + 96;
        let voxels = (0..slab.len() as u64).map(voxel).collect();
        writer.write(Index::new(z, 0, 0), &Block::new(slab, Voxels::U8(voxels)))?;
    }
    writer.finish()
}
