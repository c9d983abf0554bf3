//! What a prediction will be before it runs: blocks, passes, sizes on disk, and, from a short measurement, its time.

use std::time::{Duration, Instant};

use deep3m_volume::{Region, VolumeInfo};
use serde::Serialize;

use crate::cost::{Largest, Networks};
use crate::plan::Plan;
use crate::{Ensemble, PredictConfig, PredictError};

/// The least that is measured: rows and columns.
const SMALLEST: usize = 128;

/// The amount of work of a prediction.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Work {
    /// Blocks.
    pub blocks: u64,
    /// Voxels of the output.
    pub voxels: u64,
    /// Passes of a section through each network, in the order of averaging.
    pub passes: Vec<u64>,
    /// Pixels, as the networks see them, that go through each network: contexts of all sections times passes.
    pub pixels: Vec<u64>,
    /// The size of a block without its context, in voxels: sections, rows, columns.
    pub block: [u64; 3],
    /// The size of a chunk of the output, in voxels: sections, rows, columns.
    pub chunk: [u64; 3],
    /// Rows and columns that the networks see of a block at most.
    pub context: [u64; 2],
    /// Size of the output in bytes before compression: one byte per voxel. Zarr's zstd makes it smaller.
    pub output_bytes: u64,
    /// Disk beside the output while it is made, before compression: the blocks, where they are copied in the end.
    pub scratch_bytes: u64,
}

/// How fast each network is here.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Speed {
    /// Seconds for a pixel, as the networks see it, in the order of averaging.
    pub seconds_per_pixel: Vec<f64>,
}

/// How long a prediction takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Time of one worker that does all, in seconds.
    pub seconds_alone: f64,
    /// Time with all workers, in seconds: until the one with the most blocks is done.
    pub seconds: f64,
    /// The work of all workers, in hours: what a machine each costs.
    pub machine_hours: f64,
}

/// The work of a prediction with these settings; `copied`: the output is made from the blocks in the end.
///
/// # Errors
/// As [`PredictConfig::plan_settings`].
pub fn work(
    networks: &Networks,
    info: &VolumeInfo,
    config: &PredictConfig,
    copied: bool,
) -> Result<Work, PredictError> {
    let plan = Plan::new(config.plan_settings(info.extent, networks.binning(), networks.margin())?);
    let region = config.region.unwrap_or(Region::whole(info.extent));
    if region.is_empty() || !region.fits(info.extent) {
        return Err(PredictError::Region { path: info.path.clone(), region, extent: info.extent });
    }
    let largest = Largest::of(&plan, region);
    let seen: u64 = plan
        .blocks_meeting(region)
        .map(|block| {
            let sections = block.core.intersect(&region).map_or(0, |part| part.extent.z);
            sections * block.context.y.len * block.context.x.len
        })
        .sum();
    let passes = |net: &deep3m_net::NetConfig| config.variations.for_frames(net.frames()).len() as u64;
    let passes: Vec<u64> = networks.networks().iter().map(passes).collect();
    let voxels = region.extent.checked_voxels().unwrap_or(u64::MAX);
    Ok(Work {
        blocks: largest.blocks,
        voxels,
        pixels: passes.iter().map(|passes| passes * seen).collect(),
        passes,
        block: plan.core().to_array(),
        chunk: plan.chunk().to_array(),
        context: [largest.context.y, largest.context.x],
        output_bytes: voxels,
        scratch_bytes: if copied {
            info.extent.checked_voxels().unwrap_or(u64::MAX).min(scratch(&plan, region))
        } else {
            0
        },
    })
}

/// Voxels of the blocks that meet a region.
fn scratch(plan: &Plan, region: Region) -> u64 {
    plan.blocks_meeting(region).map(|block| block.core.extent.len() as u64).sum()
}

/// Runs each model on synthetic grey for about `seconds` in all: first on a small section, then on as large a part of
/// `context` (rows and columns) as the time allows, for small ones are slower by the pixel.
///
/// # Errors
/// What the network meets.
pub fn measure(ensemble: &Ensemble, context: [u64; 2], seconds: f64) -> Result<Speed, PredictError> {
    let models = ensemble.models();
    let share = Duration::from_secs_f64(seconds.clamp(0.01, 600.0) / models.len() as f64);
    let mut seconds_per_pixel = Vec::new();
    for model in models {
        let run = |[rows, columns]: [usize; 2]| -> Result<f64, PredictError> {
            let count = model.frames().count() * rows * columns;
            // Grey that changes from pixel to pixel: numbers that vanish would be slow on some processors.
            let input: Vec<f32> =
                (0..count as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as f32 / 128.0 - 1.0).collect();
            let started = Instant::now();
            model.foreground(&input, 1, rows, columns)?;
            Ok(started.elapsed().as_secs_f64() / (rows * columns) as f64)
        };
        let started = Instant::now();
        let limit = context.map(|size| (size as usize).max(16));
        let mut size = limit.map(|limit| limit.min(SMALLEST));
        let mut best = run(size)?;
        loop {
            let left = share.saturating_sub(started.elapsed()).as_secs_f64();
            let next = largest(limit, left / best);
            // The same size again makes the measurement surer.
            if next[0] * next[1] < size[0] * size[1] {
                break;
            }
            let again = run(next)?;
            best = if next == size { best.min(again) } else { again };
            size = next;
        }
        seconds_per_pixel.push(best);
    }
    Ok(Speed { seconds_per_pixel })
}

/// The largest part of `limit` of at most so many pixels, its sides multiples of 16.
fn largest(limit: [usize; 2], pixels: f64) -> [usize; 2] {
    let scale = (pixels.max(1.0) / (limit[0] * limit[1]) as f64).sqrt().min(1.0);
    limit.map(|side| ((side as f64 * scale) as usize / 16 * 16).max(16))
}

/// The time of `work` at this speed, by `workers` that divide the blocks. Reading and writing run beside the network and are
/// not counted: they are slower only with very narrow networks or slow disks.
pub fn estimate(work: &Work, speed: &Speed, workers: u64) -> Estimate {
    let seconds_alone: f64 =
        work.pixels.iter().zip(&speed.seconds_per_pixel).map(|(&pixels, s)| pixels as f64 * s).sum();
    let most = work.blocks.div_ceil(workers.max(1)) as f64 / work.blocks.max(1) as f64;
    Estimate { seconds_alone, seconds: seconds_alone * most, machine_hours: seconds_alone / 3600.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_net::{Frames, NetConfig};
    use deep3m_volume::{Binning, Extent, Format, VoxelType};

    #[test]
    fn every_section_goes_through_every_pass_with_its_context() {
        let extent = Extent::new(20, 1000, 1500);
        let info = VolumeInfo {
            path: "images".into(),
            format: Format::PngFolder,
            extent,
            voxel_type: VoxelType::U8,
            voxel_size: None,
            grain: Extent::new(1, 1000, 1500),
        };
        let networks = [Frames::One, Frames::Three].map(|frames| NetConfig::with_width(frames, 0.1).unwrap());
        let networks = Networks::new(networks.to_vec(), Binning::NONE);
        let work = work(&networks, &info, &PredictConfig::default(), true).unwrap();
        // Two tiles of 750 columns, two slabs of 10 sections.
        assert_eq!((work.blocks, work.block), (4, [10, 1000, 750]));
        assert_eq!(work.passes, [8, 16]);
        let plan = Plan::new(PredictConfig::default().plan_settings(extent, Binning::NONE, 1).unwrap());
        let by_hand: u64 = plan.blocks().map(|b| b.core.extent.z * b.context.y.len * b.context.x.len).sum();
        assert_eq!(work.pixels, [8 * by_hand, 16 * by_hand]);
        assert!(by_hand > extent.len() as u64);
        assert_eq!((work.output_bytes, work.scratch_bytes), (30_000_000, 30_000_000));

        let speed = Speed { seconds_per_pixel: vec![1e-6, 2e-6] };
        let alone = estimate(&work, &speed, 1);
        assert!((alone.seconds - (8.0 + 32.0) * by_hand as f64 * 1e-6).abs() < 1e-6);
        let three = estimate(&work, &speed, 3);
        assert!((three.seconds - alone.seconds / 2.0).abs() < 1e-6, "one of three has two of four blocks");
        assert_eq!(three.machine_hours, alone.machine_hours);
    }

    #[test]
    fn a_measurement_says_how_fast_a_network_is() {
        let ensemble = Ensemble::null(&[Frames::One, Frames::Three], Binning::NONE).unwrap();
        let speed = measure(&ensemble, [320, 48], 0.05).unwrap();
        assert_eq!(speed.seconds_per_pixel.len(), 2);
        assert!(speed.seconds_per_pixel.iter().all(|&s| s > 0.0 && s < 1e-3), "{speed:?}");
        assert_eq!(largest([320, 48], 1e9), [320, 48]);
        assert_eq!(largest([320, 320], 1024.0), [32, 32]);
    }
}
