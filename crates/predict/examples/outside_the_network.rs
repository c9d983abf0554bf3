//! How fast everything of a prediction but the network is: reading, averaging, writing, with null models.
//!
//!     cargo run --release -p deep3m-predict --example outside_the_network -- [sections rows columns] [variations] [bins]
//!
//! Prints voxels per second and the peak memory (on Linux).

use std::error::Error;
use std::sync::atomic::AtomicBool;

use deep3m_net::Frames;
use deep3m_predict::{Ensemble, PredictConfig, PredictEvent, predict};
use deep3m_volume::{Binning, Block, Extent, Region, VolumeSpec, VoxelType, Voxels, create, open};

fn main() -> Result<(), Box<dyn Error>> {
    let numbers = std::env::args().skip(1).map(|text| text.parse::<u64>()).collect::<Result<Vec<_>, _>>()?;
    let number = |i: usize, default: u64| numbers.get(i).copied().unwrap_or(default);
    let extent = Extent::new(number(0, 64), number(1, 1024), number(2, 1024));
    let (variations, bins) = (number(3, 1) as u8, number(4, 1) as u32);
    let folder = tempfile::tempdir()?;
    let images = folder.path().join("images.zarr");
    let spec = VolumeSpec { extent, voxel_type: VoxelType::U8, voxel_size: None, chunk: None, provenance: None };
    let writer = create(&images, &spec, false)?;
    for tile in Region::whole(extent).tiles(writer.grain()) {
        // Something like an image: slow waves and noise.
        let value = |i: u64| {
            let noise = (i.wrapping_add(tile.start.x).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 59) as u8;
            100 + noise + ((i / 777 + tile.start.y) % 64) as u8
        };
        let voxels = (0..tile.extent.len() as u64).map(value).collect();
        writer.write(tile.start, &Block::new(tile.extent, Voxels::U8(voxels)))?;
    }
    writer.finish()?;
    let config = PredictConfig { variations: variations.try_into()?, ..PredictConfig::default() };
    let ensemble = Ensemble::null(&[Frames::One], Binning::square(bins))?;
    let stop = AtomicBool::new(false);
    let volume = open(&images)?;
    let out = folder.path().join("out.zarr");
    let summary = predict(&ensemble, volume.as_ref(), &out, &config, &stop, &mut |event| {
        if let PredictEvent::Notice(text) = event {
            eprintln!("{text}");
        }
    })?;
    println!(
        "{} voxels: {:.0} Mvoxel/s; {:.2} s in all, {:.2} s in the null model, {:.2} s reading, {:.2} s writing; peak memory {}",
        summary.voxels,
        summary.voxels_per_second() / 1e6,
        summary.seconds,
        summary.network_seconds,
        summary.reading_seconds,
        summary.writing_seconds,
        peak_memory()
    );
    Ok(())
}

fn peak_memory() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.map_or_else(|| "unknown".to_owned(), |text| text.trim().to_owned())
}
