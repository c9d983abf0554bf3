//! How much memory a training takes, before it takes it.
//!
//! All numbers are bytes. A training's batch and patch decide its result, so a budget never changes them: it limits what
//! the volumes keep decoded, and else the training is refused with what would fit.

use deep3m_net::cost::{Blobs, Heap, Slot};
use deep3m_net::{DeviceChoice, Frames, ModelDir, NetConfig};
use deep3m_volume::memory::{self, PROGRAM_BYTES};
use deep3m_volume::{Extent, OpenOptions, VolumeInfo};
use serde::Serialize;

use crate::config::Optimiser;
use crate::loader::AHEAD;
use crate::validate::{FIELD, padded};
use crate::{TrainConfig, TrainError};

/// Voxels that are looked at together when labels are checked.
const TILE: u64 = 1 << 20;
/// Bytes of a cell of the index of places.
const CELL: u64 = 16;
/// Cells of that index at most, and the pixels of one's side at least.
const CELLS: (u64, u64) = (1 << 22, 16);
/// The threads that make batches share the heap with the network. In which order they take from it differs from run to run,
/// and so do the gaps between: of one training 240 MB (five of eight runs) or 280 MB (three). The middle of the two, in
/// hundredths of the work.
const GAPS_PERCENT: u64 = 18;

/// The memory of a training at its peak, part by part, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TrainCost {
    /// The program itself.
    pub program: u64,
    /// Weights, the solver's state, averages, and the best weights so far. Host memory where the network is on the CPU.
    pub weights: u64,
    /// Beside these the most of: a batch forward and backward, a validation, a checkpoint being written.
    pub work: u64,
    /// What the matrix products of all threads need for themselves.
    pub threads: u64,
    /// Batches that wait, and those being made.
    pub batches: u64,
    /// The index of labelled places.
    pub index: u64,
    /// Pieces of the volumes while they are decoded.
    pub decoding: u64,
    /// Decoded pieces that are kept.
    pub cache: u64,
    /// Memory of each GPU: weights and tensors. Its operations may need more.
    pub gpu: u64,
}

impl TrainCost {
    /// The peak of the program's memory.
    pub const fn peak(&self) -> u64 {
        self.program + self.weights + self.work + self.threads + self.batches + self.index + self.decoding + self.cache
    }
}

/// A training that keeps its budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Fitted {
    /// What each volume may keep decoded ([`OpenOptions::cache_bytes`]).
    pub cache_bytes: u64,
    /// The memory at its peak.
    pub cost: TrainCost,
}

/// What a training takes of the volumes: those of images and of labels, for training and validation alike.
#[derive(Clone, Debug, Default)]
pub struct Volumes {
    /// Images and labels of the training volumes.
    pub training: Vec<[VolumeInfo; 2]>,
    /// Those of the validation volumes.
    pub validation: Vec<[VolumeInfo; 2]>,
}

impl Volumes {
    fn all(&self) -> impl Iterator<Item = &VolumeInfo> {
        self.training.iter().chain(&self.validation).flatten()
    }
}

/// The networks that a training makes, with the weights that it starts from.
///
/// # Errors
/// A width that gives no network, or a model that cannot be read.
pub fn networks(config: &TrainConfig) -> Result<Vec<NetConfig>, TrainError> {
    let from = config.from.as_ref().map(ModelDir::open).transpose()?;
    let one = |&frames: &Frames| -> Result<NetConfig, TrainError> {
        match from.as_ref().and_then(|model| model.manifest.networks.get(&frames)) {
            Some(entry) => Ok(entry.config.clone()),
            None => Ok(NetConfig::with_width(frames, config.width)?),
        }
    };
    config.frames.iter().map(one).collect()
}

/// What a training takes with exactly these settings, each volume keeping at most `cache` bytes decoded.
pub fn cost(
    networks: &[NetConfig],
    volumes: &Volumes,
    config: &TrainConfig,
    devices: &[DeviceChoice],
    cache: u64,
) -> TrainCost {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let gpus = devices.iter().filter(|d| !matches!(d.resolve(), DeviceChoice::Cpu | DeviceChoice::Auto)).count();
    let (on_gpu, lanes) = (gpus > 0, devices.len().clamp(1, networks.len().max(1)) as u64);
    let side = config.patch as usize;
    let validated = volumes.validation.iter().map(|[images, _]| field(images, config)).max().unwrap_or([0; 2]);
    let models = networks.iter().map(|net| of_model(net, config, validated));
    let one = models.fold(ModelCost::default(), ModelCost::max);

    let frames = networks.iter().map(|net| net.frames().count()).max().unwrap_or(1) as u64;
    let pixels = (side * side) as u64;
    let batch = 4 * u64::from(config.batch) * (frames + 2) * pixels;
    // A patch that is turned and stretched is cut from one up to 1.5 times as wide, binned pixels of raw voxels.
    let bin = config.binning.map_or(4, |b| u64::from(b.y) * u64::from(b.x));
    let making =
        threads.min(8).min(u64::from(config.batch)) * (4 * (frames + 2) * pixels + 9 * pixels * (4 + 4 * bin) / 4);
    let bytes = |info: &VolumeInfo| size(info.extent).saturating_mul(info.voxel_type.bytes() as u64);
    let grain = |info: &VolumeInfo| {
        let whole = Extent::new(
            info.grain.z.min(info.extent.z),
            info.grain.y.min(info.extent.y),
            info.grain.x.min(info.extent.x),
        );
        size(whole).saturating_mul(info.voxel_type.bytes() as u64)
    };
    let decoding =
        volumes.all().map(|info| threads.min(8) * 2 * grain(info) + 4 * TILE.max(grain(info))).max().unwrap_or(0);
    TrainCost {
        program: PROGRAM_BYTES,
        weights: if on_gpu { lanes * one.kept } else { lanes * one.weights },
        work: if on_gpu { lanes * one.saving } else { lanes * (one.work + one.work * GAPS_PERCENT / 100) },
        threads: if on_gpu { 0 } else { threads * one.threads },
        // One waits to be taken, one is in the network, one is put together from its patches.
        batches: lanes * ((AHEAD as u64 + 3) * batch + making),
        index: volumes.training.iter().chain(&volumes.validation).map(|[_, labels]| index(labels.extent)).sum(),
        decoding,
        cache: volumes.all().map(|info| bytes(info).min(cache)).sum(),
        gpu: if on_gpu { one.weights + one.work } else { 0 },
    }
}

/// Chooses what the volumes may keep decoded so that the peak of the memory stays below `budget` bytes.
///
/// # Errors
/// [`TrainError::Memory`] where nothing fits, with the least that would, and with the batch or patch that would fit.
pub fn fit(
    networks: &[NetConfig],
    volumes: &Volumes,
    config: &TrainConfig,
    devices: &[DeviceChoice],
    budget: u64,
) -> Result<Fitted, TrainError> {
    let room = memory::room(budget);
    let usual = OpenOptions::default().cache_bytes as u64;
    let with = |cache| cost(networks, volumes, config, devices, cache);
    let whole = with(usual);
    if whole.peak() <= room {
        return Ok(Fitted { cache_bytes: usual, cost: whole });
    }
    let least = with(0).peak();
    if least <= room {
        let each = (room - least) / (volumes.all().count().max(1) as u64);
        return Ok(Fitted { cache_bytes: each, cost: with(each) });
    }
    let fits = |changed: &TrainConfig| cost(networks, volumes, changed, devices, 0).peak() <= room;
    let batch = (1..config.batch).rev().find(|&batch| fits(&TrainConfig { batch, ..config.clone() }));
    let patches = (4..config.patch / 16).rev().map(|steps| 16 * steps);
    let patch = patches.into_iter().find(|&patch| fits(&TrainConfig { patch, ..config.clone() }));
    let ways: Vec<String> = batch
        .map(|batch| format!("--batch {batch}"))
        .into_iter()
        .chain(patch.map(|patch| format!("--patch {patch}")))
        .chain([format!("a narrower network than --width {}", config.width)])
        .collect();
    let least = memory::budget_for(least);
    Err(TrainError::Memory {
        found: memory::text(budget),
        least: memory::text(least),
        wanted: memory::at_least(least),
        ways: ways.join(", or "),
    })
}

/// The bytes of one model in training.
#[derive(Clone, Copy, Default)]
struct ModelCost {
    weights: u64,
    work: u64,
    threads: u64,
    /// Weights that are on the host also where the network is on a GPU, and a checkpoint being made there.
    kept: u64,
    saving: u64,
}

impl ModelCost {
    /// The model that takes most; they are trained one after another.
    fn max(self, other: Self) -> Self {
        if self.weights + self.work + self.threads >= other.weights + other.work + other.threads { self } else { other }
    }
}

fn of_model(net: &NetConfig, config: &TrainConfig, validated: [usize; 2]) -> ModelCost {
    let tensors = net.weight_bytes();
    let lengths = net.trained_lengths();
    let trained = 4 * lengths.iter().sum::<usize>() as u64;
    // Muon keeps one number for most weights, AdamW two.
    let moments = match config.optimiser {
        Optimiser::AdamW { .. } => 2 * trained,
        Optimiser::Sgd | Optimiser::Muon { .. } => trained,
    };
    let average = if config.average_share > 0.0 { trained } else { 0 };
    let validates = validated != [0; 2];
    // The best weights and those measured last.
    let kept = if validates { 2 * tensors } else { 0 };

    let mut heap = Heap::default();
    let side = config.patch as usize;
    let mut before = take(&mut heap, &lengths);
    let mut state = take(&mut heap, &lengths);
    let mut averages = if average > 0 { take(&mut heap, &lengths) } else { Vec::new() };
    let resting = heap.live();
    let (mut best, mut measured): (Vec<Slot>, Vec<Slot>) = (Vec::new(), Vec::new());
    // What comes again finds the gaps that the first round left, and what that round keeps in the midst of them.
    for _ in 0..2 {
        let mut sum: Vec<Slot> = Vec::new();
        for _ in 0..config.iter_size.min(2) {
            let patches = heap.floats(config.batch as usize * (net.frames().count() + 2) * side * side);
            let gradients = net.training_in(&mut heap, config.batch as usize, side, side);
            heap.give(patches);
            if sum.is_empty() {
                sum = gradients;
            } else {
                heap.give_all(gradients);
            }
        }
        // The mean gradients, and what an update works with.
        let largest = lengths.iter().copied().max().unwrap_or(0);
        let steps: Vec<Slot> = (0..4).map(|_| heap.floats(largest)).collect();
        heap.give_all(sum.into_iter().chain(steps));
        // New tensors in the place of the old ones.
        for (place, &length) in lengths.iter().enumerate() {
            for old in [&mut before, &mut state, &mut averages].into_iter().filter_map(|all| all.get_mut(place)) {
                let new = heap.floats(length);
                heap.give(std::mem::replace(old, new));
            }
        }
        if validates {
            let averaged = take(&mut heap, &lengths);
            let with_statistics = take(&mut heap, &lengths);
            if config.statistics_batches > 0 {
                let answer = net.tensors_in(&mut heap, config.batch as usize, side, side);
                heap.give(answer);
            }
            let candidate = take(&mut heap, &lengths);
            heap.give_all(with_statistics.into_iter().chain(averaged));
            let packed = net.pack_in(&mut heap);
            let input = heap.floats(net.frames().count() * validated[0] * validated[1]);
            let mut blobs = Blobs::default();
            let answer = net.foreground_in(&mut heap, &mut blobs, 1, validated[0], validated[1]);
            heap.give_all([input, answer]);
            let copy = take(&mut heap, &lengths);
            heap.give_all(std::mem::replace(&mut best, copy));
            heap.give_all(std::mem::replace(&mut measured, candidate));
            heap.give_all(packed);
            blobs.give(&mut heap);
        }
    }
    let resting = resting + kept;
    // A checkpoint: everything collected, and the file.
    let saved = tensors + moments + average + if validates { tensors } else { 0 };
    let collected: Vec<Slot> = (0..saved / trained.max(1)).flat_map(|_| take(&mut heap, &lengths)).collect();
    let file = heap.take(saved);
    heap.give_all(collected.into_iter().chain([file]));
    heap.give_all(before.into_iter().chain(state).chain(averages).chain(best).chain(measured));
    // Measured, not derived: the batch after a validation finds no use for the room of the five sets of tensors that came in
    // between (averaged, with statistics, as candidate, folded, copied), for the kept ones lie in their midst.
    let scattered = if validates { 5 * tensors } else { 0 };
    ModelCost {
        weights: resting,
        work: heap.peak().saturating_sub(resting) + scattered,
        threads: net.thread_bytes(side, side),
        kept,
        saving: 2 * saved,
    }
}

/// Takes room for tensors of these lengths.
fn take(heap: &mut Heap, lengths: &[usize]) -> Vec<Slot> {
    lengths.iter().map(|&length| heap.floats(length)).collect()
}

/// Rows and columns at which the largest field of a volume is validated.
fn field(images: &VolumeInfo, config: &TrainConfig) -> [usize; 2] {
    let bin = config.binning.map_or([1, 1], |b| [b.y, b.x]);
    let side = |size: u64, bin: u32| padded(((size / u64::from(bin.max(1))) as usize).min(FIELD));
    [side(images.extent.y, bin[0]), side(images.extent.x, bin[1])]
}

/// Bytes of the index of labelled places.
fn index(extent: Extent) -> u64 {
    let (most, side) = CELLS;
    let cells = extent.z.saturating_mul(extent.y.div_ceil(side)).saturating_mul(extent.x.div_ceil(side));
    cells.min(most) * (CELL + 4)
}

fn size(extent: Extent) -> u64 {
    extent.checked_voxels().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use deep3m_volume::{Format, VoxelType};

    fn volumes() -> Volumes {
        let info = |name: &str| VolumeInfo {
            path: name.into(),
            format: Format::PngFolder,
            extent: Extent::new(50, 1024, 1024),
            voxel_type: VoxelType::U8,
            voxel_size: None,
            grain: Extent::new(1, 1024, 1024),
        };
        Volumes { training: vec![[info("images"), info("labels")]], validation: Vec::new() }
    }

    #[test]
    fn a_budget_takes_from_the_caches_and_then_refuses_with_what_fits() {
        let config = TrainConfig::deep3m();
        let (nets, volumes, cpu) = (networks(&config).unwrap(), volumes(), [DeviceChoice::Cpu]);
        let free = fit(&nets, &volumes, &config, &cpu, u64::MAX).unwrap();
        assert_eq!(free.cost.cache, (2 * 50) << 20);
        let tight = fit(&nets, &volumes, &config, &cpu, memory::budget_for(free.cost.peak()) - 11).unwrap();
        assert!(tight.cost.peak() < free.cost.peak() && tight.cache_bytes < free.cache_bytes);
        let least = cost(&nets, &volumes, &config, &cpu, 0).peak();
        let error = fit(&nets, &volumes, &config, &cpu, least - 1).unwrap_err().to_string();
        assert!(error.contains("--memory") && error.contains("--batch 3") && error.contains("--patch"), "{error}");
        let wider = TrainConfig { width: 1.0, ..config };
        assert!(cost(&networks(&wider).unwrap(), &volumes, &wider, &cpu, 0).peak() > 3 * least);
    }

    #[test]
    fn a_gpu_takes_the_tensors_off_the_host() {
        let config = TrainConfig::deep3m();
        let (nets, volumes) = (networks(&config).unwrap(), volumes());
        let host = cost(&nets, &volumes, &config, &[DeviceChoice::Cpu], 0);
        let gpu = cost(&nets, &volumes, &config, &[DeviceChoice::Cuda(0)], 0);
        assert!(gpu.peak() < host.peak() / 2 && gpu.gpu > host.work * 100 / (100 + GAPS_PERCENT) && host.gpu == 0);
    }
}
