//! How much memory a prediction takes, before it takes it.
//!
//! All numbers are bytes. The parts that exist at the same time are added: the thread of the network with weights, tensors
//! and averages (reckoned step by step, [`Heap`]), the reader with its blocks, the decoders, the cache of the volume, the
//! writer with what it compresses. Threads have heaps of their own, so what one gave back another cannot use.

use deep3m_net::cost::{Blobs, Heap};
use deep3m_net::{DeviceChoice, Frames, ModelDir, NetConfig};
use deep3m_volume::memory::PROGRAM_BYTES;
use deep3m_volume::{Binning, Extent, Format, Region, Variation, VolumeInfo};
use serde::Serialize;

use crate::plan::Plan;
use crate::variations::in_turn;
use crate::{PredictConfig, PredictError};

/// A compressor's or decoder's own tables, for each thread.
const CODEC_BYTES: u64 = 2 << 20;
/// Chunks that the writer compresses before it writes them.
const CHUNKS_AT_ONCE: u64 = 128;
/// Bytes of voxels that are read at once for percentiles.
const STRIP: u64 = 1 << 25;

/// The networks of a prediction: what its memory and time depend on of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Networks {
    list: Vec<NetConfig>,
    binning: Binning,
    on_gpu: bool,
}

impl Networks {
    /// Networks on the CPU that see binned sections.
    pub const fn new(networks: Vec<NetConfig>, binning: Binning) -> Self {
        Self { list: networks, binning, on_gpu: false }
    }

    /// Those of a model, all or the given ones, on a device.
    ///
    /// # Errors
    /// [`PredictError::NoModel`] where the model has none of them.
    pub fn of(model: &ModelDir, frames: Option<&[Frames]>, device: DeviceChoice) -> Result<Self, PredictError> {
        let wanted = |found: &Frames| frames.is_none_or(|frames| frames.contains(found));
        let networks = model.manifest.networks.iter().filter(|(found, _)| wanted(found));
        let networks: Vec<NetConfig> = networks.map(|(_, entry)| entry.config.clone()).collect();
        if networks.is_empty() {
            return Err(PredictError::NoModel { path: model.path().to_owned() });
        }
        let on_gpu = !matches!(device.resolve(), DeviceChoice::Cpu | DeviceChoice::Auto);
        Ok(Self { list: networks, binning: model.manifest.binning, on_gpu })
    }

    /// The networks, in the order of averaging.
    pub fn networks(&self) -> &[NetConfig] {
        &self.list
    }

    /// Pixels that are averaged to one.
    pub const fn binning(&self) -> Binning {
        self.binning
    }

    /// Sections on either side that the widest network sees.
    pub fn margin(&self) -> usize {
        self.list.iter().map(|net| net.frames().margin()).max().unwrap_or(0)
    }
}

/// The memory of a prediction at its peak, part by part, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MemoryCost {
    /// The program itself.
    pub program: u64,
    /// Weights, tensors and averages, and the block that they become. Where the network runs on a GPU: averages and
    /// block only.
    pub network: u64,
    /// What the matrix products of all threads need for themselves.
    pub threads: u64,
    /// Blocks with their context, read and waiting.
    pub reading: u64,
    /// Pieces of the volume (chunks, sections, strips) while they are decoded.
    pub decoding: u64,
    /// Decoded pieces that are kept.
    pub cache: u64,
    /// Chunks while they are compressed and written.
    pub writing: u64,
    /// What must fit before or after the blocks, instead of them: percentiles, the copy into another format.
    pub otherwise: u64,
    /// Memory of the GPU: weights and tensors. Its operations may need more.
    pub gpu: u64,
}

impl MemoryCost {
    /// The peak of the program's memory.
    pub const fn peak(&self) -> u64 {
        let blocks = self.network + self.threads + self.reading + self.decoding + self.cache + self.writing;
        self.program + if blocks > self.otherwise { blocks } else { self.otherwise }
    }
}

/// The largest block of a prediction, and how many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Largest {
    /// Voxels that it writes.
    pub(crate) core: Extent,
    /// Sections, and rows and columns of bins that the network is shown.
    pub(crate) context: Extent,
    /// Voxels that are read for it.
    pub(crate) source: Extent,
    /// Blocks.
    pub(crate) blocks: u64,
}

impl Largest {
    /// Of the blocks that meet a region.
    pub(crate) fn of(plan: &Plan, region: Region) -> Self {
        let (settings, core) = (plan.settings(), plan.core());
        let part = Region::whole(settings.extent).intersect(&region).unwrap_or_default();
        // Blocks of a row or column have the same context along the other axes.
        let cores = |start: u64, end: u64, step: u64, size: u64| {
            (start / step..end.div_ceil(step)).map(move |i| (i * step, step.min(size - i * step)))
        };
        let (extent, end) = (settings.extent, part.end());
        let mut all =
            Self { core: Extent::default(), context: Extent::default(), source: Extent::default(), blocks: 1 };
        let mut counts = [0_u64; 3];
        for (axis, count) in counts.iter_mut().enumerate() {
            let pick = |e: Extent| [e.z, e.y, e.x][axis];
            let start = [part.start.z, part.start.y, part.start.x][axis];
            let stop = [end.z, end.y, end.x][axis];
            for (first, size) in cores(start, stop, pick(core), pick(extent)) {
                let mut block = Region::whole(Extent::new(1, 1, 1));
                match axis {
                    0 => (block.start.z, block.extent.z) = (first, size),
                    1 => (block.start.y, block.extent.y) = (first, size),
                    _ => (block.start.x, block.extent.x) = (first, size),
                }
                let context = plan.context(block);
                let (span, bin) = match axis {
                    0 => (context.z, 1),
                    1 => (context.y, u64::from(settings.binning.y)),
                    _ => (context.x, u64::from(settings.binning.x)),
                };
                // What sticks out of the volume is mirrored, not read.
                let low = span.start.max(0).unsigned_abs() * bin;
                let read = (span.end().max(0).unsigned_abs() * bin).min(pick(extent)).saturating_sub(low);
                let widen = |e: &mut Extent, size: u64| match axis {
                    0 => e.z = e.z.max(size),
                    1 => e.y = e.y.max(size),
                    _ => e.x = e.x.max(size),
                };
                widen(&mut all.core, size);
                widen(&mut all.context, span.len);
                widen(&mut all.source, read.max(1));
                *count += 1;
            }
        }
        all.blocks = counts.iter().product();
        all
    }
}

/// What a prediction takes with exactly these settings, and `cache` bytes for the volume's decoded pieces. `copied`: the
/// output is made from the blocks in the end (another format than OME-Zarr, or a region).
///
/// # Errors
/// As [`PredictConfig::plan_settings`].
pub fn cost(
    networks: &Networks,
    info: &VolumeInfo,
    config: &PredictConfig,
    cache: u64,
    copied: bool,
) -> Result<MemoryCost, PredictError> {
    let plan = Plan::new(config.plan_settings(info.extent, networks.binning, networks.margin())?);
    let region = config.region.unwrap_or(Region::whole(info.extent));
    let block = Largest::of(&plan, region);
    let threads = rayon::current_num_threads().max(1) as u64;
    let bytes = info.voxel_type.bytes() as u64;
    let voxels = |extent: Extent| extent.checked_voxels().unwrap_or(u64::MAX);

    let (network, own, gpu) = network(networks, &block, config);
    let several = block.blocks > 1;
    let waiting = if several { u64::from(config.ahead()).min(block.blocks - 1) } else { 0 };
    let context = 4 * voxels(block.context);
    let section = 4 * block.source.y * block.source.x;
    let binned = if networks.binning.is_none() { 0 } else { 4 * block.context.y * block.context.x };
    let raw = voxels(block.source).saturating_mul(bytes);

    let grain = voxels(at_most(info.grain, info.extent)).saturating_mul(bytes);
    // A piece larger than the cache is decoded in part, where its format can.
    let piece = if grain > cache && info.format == Format::OmeZarr { grain.max(raw / 4) } else { grain };
    let all = voxels(block_span(&block, region, info.extent)).saturating_mul(bytes);
    let pieces = all.div_ceil(grain.max(1)).max(1);

    let chunk = voxels(plan.chunk());
    let chunks = voxels(block.core).div_ceil(chunk.max(1));
    let encoded = chunks.min(CHUNKS_AT_ONCE) * chunk / 2;
    let written = chunks.min(threads) * (2 * chunk + CODEC_BYTES);

    let other_type = (STRIP.min(info.extent.y.saturating_mul(info.extent.x)) * bytes).saturating_add(cache.min(all));
    let copy = if copied { copying(region, &plan, config.copy_bytes()) } else { 0 };
    let weights: u64 = networks.list.iter().map(NetConfig::weight_bytes).sum();
    Ok(MemoryCost {
        program: PROGRAM_BYTES,
        network,
        threads: threads * own,
        reading: (1 + waiting) * context + raw + section + binned,
        decoding: threads.min(pieces) * (2 * piece + CODEC_BYTES),
        cache: cache.min(all),
        writing: encoded + written,
        otherwise: weights + (other_type + 2 * grain * threads.min(pieces)).max(copy),
        gpu,
    })
}

/// What a prediction in CDeep3M's layout takes: a package's tensors, a dozen patches of 1024 × 1024, a section.
pub(crate) fn cdeep3m_cost(networks: &Networks, info: &VolumeInfo) -> MemoryCost {
    let side = 1024.min(info.extent.y.max(info.extent.x)).next_multiple_of(16) + 32;
    let patch = Extent::new(1, side, side);
    let block = Largest { core: patch, context: patch, source: patch, blocks: 2 };
    let (network, own, gpu) = network(networks, &block, &PredictConfig::default());
    let section = info.extent.y.saturating_mul(info.extent.x).saturating_mul(info.voxel_type.bytes() as u64);
    let usual = deep3m_volume::OpenOptions::default().cache_bytes as u64;
    MemoryCost {
        program: PROGRAM_BYTES,
        network,
        threads: rayon::current_num_threads().max(1) as u64 * own,
        reading: 12 * 4 * side * side + section,
        decoding: 2 * section,
        cache: usual.min(section.saturating_mul(info.extent.z)),
        writing: 2 * section,
        otherwise: 0,
        gpu,
    }
}

/// A size cut to another.
fn at_most(a: Extent, b: Extent) -> Extent {
    Extent::new(a.z.min(b.z), a.y.min(b.y), a.x.min(b.x))
}

/// What is read of a volume for a region: its blocks with their context.
fn block_span(block: &Largest, region: Region, extent: Extent) -> Extent {
    let axis = |wanted: u64, core: u64, source: u64, all: u64| {
        wanted.saturating_add(source.saturating_sub(core)).max(source).min(all)
    };
    Extent::new(
        axis(region.extent.z, block.core.z, block.source.z, extent.z),
        axis(region.extent.y, block.core.y, block.source.y, extent.y),
        axis(region.extent.x, block.core.x, block.source.x, extent.x),
    )
}

/// Sections while they are copied into the wanted format.
fn copying(region: Region, plan: &Plan, most: u64) -> u64 {
    let plane = region.extent.y.saturating_mul(region.extent.x);
    let sections = (most / plane.max(1)).clamp(1, plan.chunk().z.max(1));
    // Twice: the blocks' chunks are kept where a section is not all of them; and a section while it is compressed.
    sections
        .saturating_mul(plane)
        .saturating_add(most.min(plan.chunk().z.saturating_mul(plane)))
        .saturating_add(2 * plane)
}

/// The thread of the network at its peak, what each thread of a matrix product needs, and the GPU's memory.
fn network(networks: &Networks, block: &Largest, config: &PredictConfig) -> (u64, u64, u64) {
    let mut heap = Heap::default();
    let (rows, columns) = (block.context.y as usize, block.context.x as usize);
    let n = (config.batch.unwrap_or(1).max(1) as usize).min(block.core.z.max(1) as usize);
    let (mut own, mut gpu) = (0, 0);
    if !networks.on_gpu {
        for net in &networks.list {
            net.load_in(&mut heap);
            own = own.max(net.prediction_thread_bytes(rows, columns).max(net.prediction_thread_bytes(columns, rows)));
        }
    }
    // Probability and disagreement.
    let kept = if config.disagreement { 2 } else { 1 };
    let core = kept * block.core.checked_voxels().unwrap_or(u64::MAX / 2);
    // The block before is written while this one is made.
    if block.blocks > 1 {
        heap.take(core);
    }
    heap.take(core);
    let mut blobs = Blobs::default();
    // What the rounds of every section of a group have said, where they may end early (`settle.rs`); a round; and the sums of
    // models that have fewer variations than others.
    if config.early_stop.is_some() {
        let passes = |net: &NetConfig| in_turn(net.frames()).len();
        let most = networks.list.iter().map(passes).max().unwrap_or(0);
        let shorter = networks.list.iter().filter(|net| passes(net) < most).count();
        for _ in 0..n * (3 + shorter) {
            heap.floats(rows * columns);
        }
    }
    if config.disagreement {
        for _ in 0..n * 2 {
            heap.floats(rows * columns);
        }
    }
    // A second section finds the gaps that the first one left.
    let groups = block.core.z.div_ceil(n as u64).saturating_mul(block.blocks).min(2);
    for _ in 0..groups {
        // As in `forward.rs`.
        let mut mean = None;
        for net in &networks.list {
            let count = n * net.frames().count() * rows * columns;
            for variation in config.walked(net.frames()) {
                let (height, width) = if variation.swaps_axes() { (columns, rows) } else { (rows, columns) };
                let varied = variation != Variation::IDENTITY;
                let input = (varied || n > 1).then(|| {
                    let parts = heap.floats(count);
                    let input = heap.floats(count);
                    heap.give(parts);
                    input
                });
                let answer = if networks.on_gpu {
                    let copy = heap.floats(count);
                    let answer = heap.floats(n * rows * columns);
                    heap.give(copy);
                    let mut device = Heap::default();
                    net.tensors_in(&mut device, n, height, width);
                    gpu = gpu.max(device.peak_live());
                    answer
                } else {
                    net.foreground_in(&mut heap, &mut blobs, n, height, width)
                };
                mean.get_or_insert_with(|| heap.floats(n * rows * columns));
                let back = varied.then(|| heap.floats(rows * columns));
                heap.give_all(back.into_iter().chain([answer]).chain(input));
            }
        }
        if config.disagreement {
            let deviation = heap.floats(rows * columns);
            heap.give(deviation);
        }
        if !networks.binning.is_none() {
            let bins = heap.floats(rows * columns);
            let pixels = heap.floats((block.core.y * block.core.x) as usize);
            heap.give_all([pixels, bins]);
        }
        heap.give_all(mean);
    }
    if networks.on_gpu {
        gpu += networks.list.iter().map(NetConfig::weight_bytes).sum::<u64>();
    }
    (heap.peak(), own, gpu)
}
