//! The plan that keeps a memory budget: how large blocks are, how many are read ahead, what the volume may keep decoded.
//!
//! Where the usual plan fits it stays, so that the same prediction has the same blocks on every machine that has the room.
//! Else the cheapest change comes first: a smaller cache (some pieces are decoded twice), nothing read ahead, fewer sections
//! in a block, then smaller tiles, which cost computing: a tile's context is computed with it.

use std::path::Path;

use deep3m_volume::{OpenOptions, VolumeInfo, memory};
use serde::Serialize;

use crate::cost::{self, MemoryCost, Networks};
use crate::output::Output;
use crate::plan::Plan;
use crate::{PredictConfig, PredictError};

/// Tiles to choose from, in bins, the largest first.
const TILES: [u32; 10] = [1024, 768, 640, 512, 384, 320, 256, 192, 128, 64];
/// Sections per block to choose from: those that make few and large chunks, then the rest.
const SLABS: [&[u32]; 2] = [&[16, 8, 4], &[2, 1]];
/// A cache that saves most of the decoding, where a volume needs so much.
const CACHE_WORTH: u64 = 32 << 20;
/// The least that is held while an output is copied.
const LEAST_COPY: u64 = 8 << 20;

/// A prediction that keeps its budget.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fitted {
    /// The settings, with block sizes, batch, reading ahead and copying chosen.
    #[serde(skip)]
    pub config: PredictConfig,
    /// What the volume may keep decoded ([`OpenOptions::cache_bytes`]).
    pub cache_bytes: u64,
    /// The memory at its peak.
    pub cost: MemoryCost,
    /// Whether this is another plan than without a budget.
    pub changed: bool,
}

/// Chooses what the settings leave open so that the peak of the memory stays below `budget` bytes.
///
/// What `config` sets stays as it is (a batch may become smaller). Where `out` holds this prediction already, in part or
/// whole, its blocks are kept, so that the same command goes on with it.
///
/// # Errors
/// [`PredictError::Memory`] where nothing fits, with the least that would.
pub fn fit(
    networks: &Networks,
    info: &VolumeInfo,
    out: Option<&Path>,
    config: &PredictConfig,
    budget: u64,
) -> Result<Fitted, PredictError> {
    if info.extent.is_empty() {
        return Err(PredictError::Empty { path: info.path.clone(), extent: info.extent });
    }
    let copied = match out {
        Some(out) => Output::new(out, config.region)?.is_copied(),
        None => false,
    };
    let begun = out.filter(|_| !config.overwrite).and_then(|out| begun(out, config));
    let is_begun = begun.is_some();
    let config = &begun.unwrap_or_else(|| config.clone());
    let room = memory::room(budget);
    let usual = usual_cache(networks, info, config)?;
    let whole = cost::cost(networks, info, config, usual, copied)?;
    if whole.peak() <= room {
        return Ok(Fitted { config: config.clone(), cache_bytes: usual, cost: whole, changed: false });
    }
    let mut least = u64::MAX;
    for cache in [CACHE_WORTH, 0] {
        for candidate in candidates(config) {
            let bare = cost::cost(networks, info, &candidate, 0, copied)?;
            least = least.min(bare.peak());
            if bare.peak().saturating_add(cache) > room {
                continue;
            }
            // Copying comes when the blocks are done, and holds its bytes about twice.
            let spare = room - bare.peak();
            let copy_bytes = config.copy_bytes().min(LEAST_COPY + spare / 2);
            let chosen = PredictConfig { copy_bytes: Some(copy_bytes), ..candidate };
            let cache_bytes = usual.min(spare);
            // The cache also changes what is decoded at once, and what is there before the blocks.
            let cost = cost::cost(networks, info, &chosen, cache_bytes, copied)?;
            if cost.peak() <= room {
                return Ok(Fitted { config: chosen, cache_bytes, cost, changed: true });
            }
        }
    }
    Err(PredictError::Memory { budget, least: memory::budget_for(least), advice: advice(networks, config, is_begun) })
}

/// What a volume keeps decoded where memory is not short. Of small pieces (chunks, tiles) few belong to two blocks: decoding
/// those again costs next to nothing. Of large ones (whole sections) each belongs to all the blocks beside each other: those
/// of one block's sections are kept, within the volumes' usual limit.
fn usual_cache(networks: &Networks, info: &VolumeInfo, config: &PredictConfig) -> Result<u64, PredictError> {
    let most = OpenOptions::default().cache_bytes as u64;
    let plan = Plan::new(config.plan_settings(info.extent, networks.binning(), networks.margin())?);
    let (grain, core) = (info.grain, plan.core());
    if 4 * grain.y.min(info.extent.y) <= core.y && 4 * grain.x.min(info.extent.x) <= core.x {
        return Ok(CACHE_WORTH);
    }
    let sections = (core.z + 2 * networks.margin() as u64).next_multiple_of(grain.z.max(1)) + grain.z;
    let bytes = [info.extent.y, info.extent.x, info.voxel_type.bytes() as u64];
    let needed = bytes.into_iter().fold(sections.min(info.extent.z), u64::saturating_mul);
    Ok(needed.clamp(CACHE_WORTH, most))
}

/// The settings with the blocks of the prediction that `out` holds, where it holds one and the settings leave them open.
fn begun(out: &Path, config: &PredictConfig) -> Option<PredictConfig> {
    let plan = Output::new(out, config.region).ok()?.begun()?.plan;
    let of = |given: Option<u32>, found: u64| given.or(u32::try_from(found).ok());
    let (tile, slab) = (of(config.tile, plan.tile), of(config.slab, plan.slab));
    Some(PredictConfig { tile, slab, ..config.clone() })
}

/// The settings to try, the best first.
fn candidates(config: &PredictConfig) -> Vec<PredictConfig> {
    let tiles: Vec<u32> = config.tile.map_or_else(|| TILES.to_vec(), |tile| vec![tile]);
    let batches = halves(config.batch.unwrap_or(1));
    let mut all = Vec::new();
    for slabs in SLABS {
        // A given number of sections is tried once.
        let slabs = match config.slab {
            Some(slab) if slabs == SLABS[0] => vec![slab],
            Some(_) => Vec::new(),
            None => slabs.to_vec(),
        };
        for &tile in &tiles {
            for &slab in &slabs {
                for ahead in (0..=config.ahead()).rev() {
                    for &batch in &batches {
                        let (tile, slab, ahead, batch) = (Some(tile), Some(slab), Some(ahead), Some(batch));
                        let copy_bytes = Some(config.copy_bytes().min(LEAST_COPY));
                        all.push(PredictConfig { tile, slab, batch, ahead, copy_bytes, ..config.clone() });
                    }
                }
            }
        }
    }
    all
}

/// A number and its halves down to 1.
fn halves(number: u32) -> Vec<u32> {
    std::iter::successors(Some(number.max(1)), |&n| (n > 1).then_some(n / 2)).collect()
}

/// What else than more memory would do.
fn advice(networks: &Networks, config: &PredictConfig, is_begun: bool) -> String {
    let mut ways = Vec::new();
    if is_begun {
        ways.push("--overwrite, to begin anew with smaller blocks than those that are done");
    } else if config.tile.is_some_and(|tile| tile > TILES[TILES.len() - 1]) {
        ways.push("a smaller --tile");
    }
    if networks.networks().len() > 1 {
        ways.push("one of the models (--frames 1)");
    }
    ways.push("a narrower model (deep3m train --width)");
    format!(", or {}", ways.join(", or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_net::{Frames, NetConfig};
    use deep3m_volume::{Binning, Extent, Format, Region, VoxelType};

    fn info(extent: Extent) -> VolumeInfo {
        VolumeInfo {
            path: "images.zarr".into(),
            format: Format::OmeZarr,
            extent,
            voxel_type: VoxelType::U8,
            voxel_size: None,
            grain: Extent::new(32, 128, 128),
        }
    }

    fn networks(width: f64) -> Networks {
        let networks = Frames::ALL.map(|frames| NetConfig::with_width(frames, width).unwrap());
        Networks::new(networks.to_vec(), Binning::NONE)
    }

    const MB: u64 = 1_000_000;

    #[test]
    fn a_plan_is_as_it_was_where_it_fits_and_smaller_where_not() {
        let info = info(Extent::new(400, 12_000, 16_000));
        let config = PredictConfig::default();
        let free = fit(&networks(0.25), &info, None, &config, 64_000 * MB).unwrap();
        assert!(!free.changed && free.config == config);
        let mut before = u64::MAX;
        let mut budget = memory::budget_for(free.cost.peak());
        for _ in 0..6 {
            let fitted = fit(&networks(0.25), &info, None, &config, budget).unwrap();
            assert!(fitted.cost.peak() <= budget, "{fitted:?}");
            assert!(fitted.cost.peak() <= before);
            before = fitted.cost.peak();
            budget = budget * 7 / 10;
        }
        let Err(PredictError::Memory { least, .. }) = fit(&networks(0.25), &info, None, &config, 20 * MB) else {
            panic!("20 MB hold no prediction");
        };
        let smallest = fit(&networks(0.25), &info, None, &config, least).unwrap();
        assert!(smallest.cost.peak() <= least && smallest.changed);
        assert!(fit(&networks(0.25), &info, None, &config, least - 11).is_err());
    }

    #[test]
    fn what_is_given_stays() {
        let info = info(Extent::new(64, 2000, 2000));
        let config = PredictConfig { tile: Some(512), slab: Some(8), ..PredictConfig::default() };
        let usual = fit(&networks(0.25), &info, None, &config, 64_000 * MB).unwrap().cost.peak();
        let tight = fit(&networks(0.25), &info, None, &config, memory::budget_for(usual) - 11).unwrap();
        assert_eq!((tight.config.tile, tight.config.slab, tight.changed), (Some(512), Some(8), true));
        let error = fit(&networks(0.25), &info, None, &config, 50 * MB).unwrap_err().to_string();
        assert!(error.contains("--memory") && error.contains("--tile") && error.contains("--frames 1"), "{error}");
    }

    #[test]
    fn a_larger_volume_takes_no_more() {
        let config = PredictConfig::default();
        let peak = |extent| {
            let whole = Region::whole(extent);
            let config = PredictConfig { region: Some(whole), ..config.clone() };
            cost::cost(&networks(0.25), &info(extent), &config, 64 << 20, false).unwrap().peak() as f64
        };
        let (small, large) = (peak(Extent::new(64, 3000, 3000)), peak(Extent::new(512, 30_000, 30_000)));
        assert!((large - small).abs() < 0.1 * small, "{small}, then {large}");
    }
}
