//! The blocks one after another: while one is in the network, the next is read and the one before is written.
//!
//! Each device takes the blocks as they come, so which block it gets depends on the timing; a block's bytes do not. The
//! networks of the first run on the calling thread: what is freed there is used again there, while other threads get
//! heaps in large pieces with gaps. The reader holds as many blocks as are read ahead, the writer one, besides those in
//! the networks: memory does not grow with the volume.
//!
//! A block that cannot be read or written is left out, and the others go on.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Scope, ScopedJoinHandle, scope};
use std::time::{Duration, Instant};

use deep3m_volume::{Region, Volume, VolumeError, VolumeWriter};

use crate::PredictError;
use crate::context::{Prepared, prepare};
use crate::forward::{Forward, Outcome, Predicted};
use crate::grey::Normalise;
use crate::parts::Parts;
use crate::plan::PlannedBlock;
use crate::retry::{is_full, retry};
use crate::workers::Queue;

/// Blocks in a row that a full disk may refuse before the rest is not tried.
const FULL_IN_A_ROW: u32 = 3;

/// All that the blocks of a run have in common.
pub(crate) struct Job<'a> {
    pub(crate) volume: &'a dyn Volume,
    /// The networks, once for each device.
    pub(crate) lanes: &'a [Forward<'a>],
    pub(crate) normalise: &'a Normalise,
    /// What is wanted of the volume.
    pub(crate) region: Region,
    pub(crate) writer: &'a dyn VolumeWriter,
    /// Where the disagreement goes, if it is wanted.
    pub(crate) disagreement: Option<&'a dyn VolumeWriter>,
    /// What is kept of blocks that are not done.
    pub(crate) parts: &'a Parts,
    /// Blocks that are read ahead of the one in the network.
    pub(crate) ahead: u32,
}

/// Where the time went; reading and writing run beside the network.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Times {
    pub(crate) reading: Duration,
    /// The mean of the devices.
    pub(crate) network: Duration,
    pub(crate) writing: Duration,
}

/// What the caller hears.
pub(crate) enum Step {
    /// Sections of a block went through the network once.
    Pass { block: PlannedBlock, sections: u64 },
    /// A block is on the disk.
    Done {
        block: PlannedBlock,
        /// Blocks so far.
        done: u64,
    },
    /// A block was left out.
    LeftOut { block: PlannedBlock, reason: String },
}

/// How the blocks ended.
#[derive(Debug)]
pub(crate) enum End {
    /// None was left to take.
    Taken,
    /// Told to stop.
    Stopped,
    /// The rest would fail, too.
    GaveUp(VolumeError),
}

/// What the threads of a run share.
struct Shared<'a> {
    job: &'a Job<'a>,
    queue: &'a Queue<'a>,
    stop: &'a AtomicBool,
    /// Something failed that ends the run.
    halt: AtomicBool,
}

impl Shared<'_> {
    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.halt.load(Ordering::Relaxed)
    }

    fn leave_out(&self, block: PlannedBlock, reason: String, say: &Sender<Step>) {
        self.queue.leave_out(block.number, reason.clone());
        let _ = say.send(Step::LeftOut { block, reason });
    }
}

/// Runs the blocks of a queue.
pub(crate) fn run(
    job: &Job<'_>,
    queue: &Queue<'_>,
    stop: &AtomicBool,
    times: &mut Times,
    hear: &mut dyn FnMut(Step),
) -> Result<End, PredictError> {
    let shared = Shared { job, queue, stop, halt: AtomicBool::new(false) };
    let Some((first, others)) = job.lanes.split_first() else { return Ok(End::Taken) };
    // A block is read for each place that is free; a network frees its own when it is through with a block.
    let places = job.ahead as usize + job.lanes.len();
    let (free, places_free) = sync_channel(places);
    for _ in 0..places {
        // There is room for each.
        let _ = free.send(Vec::new());
    }
    let (prepared_out, prepared) = sync_channel(places);
    // Rendezvous: a network keeps what it has made until the writer takes it.
    let (finished, to_write) = sync_channel(0);
    let (say, said) = channel();
    // Dropped with the last network, so that the reader does not wait for one.
    let prepared = Arc::new(Mutex::new(prepared));
    scope(|scope| {
        let writer = spawn_writer(scope, &shared, to_write, say.clone());
        let reader = spawn_reader(scope, &shared, places_free, prepared_out, say.clone());
        let more: Vec<_> = others
            .iter()
            .map(|forward| {
                let (prepared, free, finished) = (prepared.clone(), free.clone(), finished.clone());
                let (say, shared) = (say.clone(), &shared);
                scope.spawn(move || {
                    let mut hear = |step| {
                        let _ = say.send(step);
                    };
                    lane(shared, forward, Reading { prepared: &prepared, free: &free }, &finished, &say, &mut hear)
                })
            })
            .collect();
        let mut hear_all = |step| {
            said.try_iter().for_each(&mut *hear);
            hear(step);
        };
        let reading = Reading { prepared: &prepared, free: &free };
        let mut ended = vec![lane(&shared, first, reading, &finished, &say, &mut hear_all)];
        drop((prepared, free, finished, say));
        said.iter().for_each(&mut *hear);
        ended.extend(more.into_iter().map(join));
        let count = ended.len() as u32;
        let mut outcome = Ok(());
        for (end, spent) in ended {
            times.network += spent / count;
            outcome = outcome.and(end);
        }
        let (reading, read) = join(reader);
        let (writing, written) = join(writer);
        times.reading += reading;
        times.writing += writing;
        outcome?;
        if let Some(error) = written {
            return Ok(End::GaveUp(error));
        }
        match read {
            Err(PredictError::Volume(error)) => Ok(End::GaveUp(error)),
            Err(error) => Err(error),
            Ok(()) if stop.load(Ordering::Relaxed) => Ok(End::Stopped),
            Ok(()) => Ok(End::Taken),
        }
    })
}

/// What a lane takes blocks from, and how it says that there is a place for more.
struct Reading<'a> {
    prepared: &'a Mutex<Receiver<(PlannedBlock, Prepared)>>,
    free: &'a SyncSender<Vec<f32>>,
}

/// Reads blocks as long as there are places for them, and some to take.
fn spawn_reader<'s>(
    scope: &'s Scope<'s, '_>,
    shared: &'s Shared<'_>,
    places: Receiver<Vec<f32>>,
    out: SyncSender<(PlannedBlock, Prepared)>,
    say: Sender<Step>,
) -> ScopedJoinHandle<'s, (Duration, Result<(), PredictError>)> {
    scope.spawn(move || {
        let (job, mut spent, mut patient) = (shared.job, Duration::ZERO, true);
        let Some(binning) = job.lanes.first().map(|lane| lane.binning) else { return (spent, Ok(())) };
        // A block that is left out leaves its place to the next. A place is the room of the block that had it before.
        let mut place: Option<Vec<f32>> = None;
        while !shared.is_over() {
            if place.is_none() {
                let Ok(free) = places.recv() else { break };
                place = Some(free);
            }
            let buffer = place.get_or_insert_default();
            let block = match take(shared) {
                Ok(Some(block)) => block,
                Ok(None) => break,
                Err(error) => return (spent, Err(error)),
            };
            let started = Instant::now();
            let prepared =
                retry(patient, shared.stop, || prepare(job.volume, binning, &block.context, job.normalise, buffer));
            spent += started.elapsed();
            patient = prepared.is_ok();
            match prepared {
                Ok(prepared) => {
                    // Nobody listens: stopped, or failed elsewhere.
                    if out.send((block, prepared)).is_err() {
                        break;
                    }
                    place = None;
                }
                Err(_) if shared.is_over() => break,
                Err(error) => shared.leave_out(block, error.to_string(), &say),
            }
        }
        (spent, Ok(()))
    })
}

/// The next block; notes are files, too, that may not be there for a moment.
fn take(shared: &Shared<'_>) -> Result<Option<PlannedBlock>, PredictError> {
    let mut other = None;
    let taken = retry(true, shared.stop, || match shared.queue.next() {
        Err(PredictError::Volume(error)) => Err(error),
        Err(error) => {
            other = Some(error);
            Ok(None)
        }
        Ok(block) => Ok(block),
    });
    other.map_or_else(|| taken.map_err(PredictError::Volume), Err)
}

/// Writes blocks and notes them; the error that ended it.
fn spawn_writer<'s>(
    scope: &'s Scope<'s, '_>,
    shared: &'s Shared<'_>,
    blocks: Receiver<(PlannedBlock, Predicted)>,
    say: Sender<Step>,
) -> ScopedJoinHandle<'s, (Duration, Option<VolumeError>)> {
    scope.spawn(move || {
        let (job, mut spent, mut full, mut patient) = (shared.job, Duration::ZERO, 0, true);
        for (block, predicted) in blocks {
            let started = Instant::now();
            let written = retry(patient, shared.stop, || {
                if let (Some(writer), Some(deviations)) = (job.disagreement, &predicted.disagreement) {
                    writer.write(block.core.start, deviations)?;
                }
                job.writer.write(block.core.start, &predicted.probability)?;
                shared.queue.done(block.number)
            });
            patient = written.is_ok();
            match written {
                Ok(done) => {
                    full = 0;
                    // What stays is removed when all is done.
                    let _ = job.parts.forget(block.number);
                    let _ = say.send(Step::Done { block, done });
                }
                Err(error) => {
                    full = if is_full(&error) { full + 1 } else { 0 };
                    shared.leave_out(block, error.to_string(), &say);
                    if full == FULL_IN_A_ROW {
                        shared.halt.store(true, Ordering::Relaxed);
                        return (spent + started.elapsed(), Some(error));
                    }
                }
            }
            spent += started.elapsed();
        }
        (spent, None)
    })
}

/// One device from the first block to the last; ends the run where it fails.
fn lane(
    shared: &Shared<'_>,
    forward: &Forward<'_>,
    reading: Reading<'_>,
    finished: &SyncSender<(PlannedBlock, Predicted)>,
    say: &Sender<Step>,
    hear: &mut dyn FnMut(Step),
) -> (Result<(), PredictError>, Duration) {
    let mut spent = Duration::ZERO;
    let end = feed(shared, forward, reading, finished, say, hear, &mut spent);
    if end.is_err() {
        shared.halt.store(true, Ordering::Relaxed);
    }
    (end, spent)
}

/// Takes blocks from the reader through a device's networks to the writer.
fn feed(
    shared: &Shared<'_>,
    forward: &Forward<'_>,
    Reading { prepared, free }: Reading<'_>,
    finished: &SyncSender<(PlannedBlock, Predicted)>,
    say: &Sender<Step>,
    hear: &mut dyn FnMut(Step),
    network: &mut Duration,
) -> Result<(), PredictError> {
    let job = shared.job;
    let wanted = job.region.start.z..job.region.end().z;
    let next = || prepared.lock().unwrap_or_else(PoisonError::into_inner).recv();
    while let Ok((block, context)) = next() {
        let mut pass = |sections| {
            hear(Step::Pass { block, sections });
            !shared.is_over()
        };
        let outcome = forward.block(&block, &context, wanted.clone(), job.parts, network, &mut pass)?;
        // The reader may have read its last block.
        let _ = free.send(context.values);
        match outcome {
            Outcome::Stopped => return Ok(()),
            // A model that has answered before is sound: something in this block is not.
            Outcome::NotFinite if shared.queue.progress().0 > 0 => {
                shared.leave_out(block, PredictError::NotFinite { block: block.core }.to_string(), say);
            }
            Outcome::NotFinite => return Err(PredictError::NotFinite { block: block.core }),
            Outcome::Done(predicted) => {
                if finished.send((block, predicted)).is_err() {
                    // The writer has given up, and says why.
                    return Ok(());
                }
            }
        }
        if shared.is_over() {
            return Ok(());
        }
    }
    Ok(())
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::prepare;
    use crate::plan::{Plan, PlanSettings};
    use crate::testing::{BoxBlur, Cells, MemoryVolume, MemoryWriter, Uneven, blur_in_one_piece};
    use crate::workers::{Left, Presence, Session, WorkerConfig};
    use crate::{EarlyStop, Ensemble, ForegroundModel, ModelIdentity, PredictConfig, VariationCount};
    use deep3m_net::{Frames, Normalisation};
    use deep3m_volume::{Binning, Block, Extent, Index, Notes, VoxelType};
    use proptest::prelude::*;
    use std::path::Path;

    fn blurs(frames: &[Frames], radius: usize, binning: Binning) -> Ensemble {
        let blur = |&frames: &Frames| Box::new(BoxBlur { frames, radius }) as Box<dyn ForegroundModel>;
        ensemble_of(frames.iter().map(blur).collect(), binning)
    }

    fn ensemble_of(models: Vec<Box<dyn ForegroundModel>>, binning: Binning) -> Ensemble {
        let identity = ModelIdentity { path: "blur".into(), weights: std::collections::BTreeMap::new() };
        let normalisation = Normalisation::Range { low: 0.0, high: 255.0 };
        Ensemble::new(models, binning, normalisation, VoxelType::U8, identity).unwrap()
    }

    /// The queue of the only worker.
    fn alone<'a>(folder: &Path, blocks: &'a [PlannedBlock], region: Region, numbers: usize) -> Queue<'a> {
        let (notes, config) = (Arc::new(Notes::at(folder).unwrap()), WorkerConfig::default());
        let stop = AtomicBool::new(false);
        let session = Session::open(notes, &Presence::beside(folder), &config, &stop, &mut |_| {}).unwrap().unwrap();
        Queue::new(blocks, region, numbers as u64, config.worker, Arc::new(session), &[], || false).unwrap()
    }

    /// Runs all blocks that meet a region; what was written, and whether each voxel was.
    fn run_in_memory(
        ensemble: &Ensemble,
        volume: &MemoryVolume,
        settings: PlanSettings,
        config: &PredictConfig,
        region: Region,
    ) -> (Block, Vec<bool>) {
        let plan = Plan::new(PlanSettings { margin: ensemble.margin() as u64, ..settings });
        let writer = MemoryWriter::new(settings.extent, plan.chunk());
        let grey = ensemble.grey(volume).unwrap();
        let forward = ensemble.forward(config);
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(Arc::new(Notes::at(folder.path()).unwrap()), std::time::Duration::ZERO);
        let lanes = [forward];
        let ahead = config.ahead();
        let (normalise, disagreement) = (&*grey.apply, None);
        let job = Job { volume, lanes: &lanes, normalise, region, writer: &writer, disagreement, parts: &parts, ahead };
        let forward = &lanes[0];
        let blocks: Vec<_> = plan.blocks_meeting(region).collect();
        let stop = AtomicBool::new(false);
        let queue = alone(folder.path(), &blocks, region, plan.blocks().count());
        let mut passes = 0;
        let end = run(&job, &queue, &stop, &mut Times::default(), &mut |step| match step {
            Step::Pass { sections, .. } => passes += sections,
            Step::Done { .. } => {}
            Step::LeftOut { reason, .. } => panic!("{reason}"),
        });
        assert!(matches!(end.unwrap(), End::Taken));
        let sections = blocks.iter().filter_map(|b| b.core.intersect(&region)).map(|part| part.extent.z).sum::<u64>();
        // A group of sections is computed whole.
        assert!(passes >= sections * forward.passes() && (forward.batch > 1 || passes == sections * forward.passes()));
        assert_eq!(queue.progress().0, blocks.len() as u64);
        assert_eq!(queue.left().unwrap(), Left::Nothing);
        writer.into_parts()
    }

    fn bytes(block: &Block) -> Vec<u8> {
        block.voxels().iter().map(|v| v as u8).collect()
    }

    fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
        assert_eq!(a.len(), b.len());
        a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
    }

    fn small(extent: Extent) -> PlanSettings {
        PlanSettings { extent, binning: Binning::NONE, margin: 0, tile: 20, halo: 8, mirror: 6, slab: 3, chunk: 7 }
    }

    fn uneven(frames: &[Frames], binning: Binning) -> Ensemble {
        ensemble_of(
            frames.iter().map(|&frames| Box::new(Uneven(frames)) as Box<dyn ForegroundModel>).collect(),
            binning,
        )
    }

    fn variations() -> impl Strategy<Value = VariationCount> {
        prop::sample::select(VariationCount::ALL.to_vec())
    }

    fn frames() -> impl Strategy<Value = Vec<Frames>> {
        prop::sample::subsequence(Frames::ALL.to_vec(), 1..=3)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn stitching_what_was_split_gives_the_volume(
            extent in (1_u64..9, 1_u64..50, 1_u64..50), count in variations(), frames in frames(), batch in 1_u32..4,
        ) {
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let volume = MemoryVolume::noise(extent, 3);
            let config = PredictConfig { variations: count, batch: Some(batch), ..PredictConfig::default() };
            let ensemble = Ensemble::null(&frames, Binning::NONE).unwrap();
            let (block, seen) = run_in_memory(&ensemble, &volume, small(extent), &config, Region::whole(extent));
            prop_assert!(seen.iter().all(|&seen| seen));
            prop_assert_eq!(&block, volume.block());
        }

        #[test]
        fn blocks_give_what_one_piece_gives(
            extent in (1_u64..7, 1_u64..50, 1_u64..50), frames in prop::sample::select(Frames::ALL.to_vec()), radius in 0_usize..7,
            count in variations(),
        ) {
            // The context reaches as far as the model sees, so every border is invisible.
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let volume = MemoryVolume::noise(extent, 5);
            let config = PredictConfig { variations: count, ..PredictConfig::default() };
            let ensemble = blurs(&[frames], radius, Binning::NONE);
            let (block, _) = run_in_memory(&ensemble, &volume, small(extent), &config, Region::whole(extent));
            let whole = blur_in_one_piece(&volume, frames, radius);
            prop_assert!(largest_difference(&bytes(&block), &whole) <= 1);
        }

        #[test]
        fn blocks_are_in_step_with_the_strides_of_the_network(
            extent in (1_u64..3, 1_u64..90, 1_u64..90), tile in 1_u64..40, halo in 0_u64..20, count in variations(), y in 1_u32..4,
        ) {
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let volume = MemoryVolume::noise(extent, 9);
            let config = PredictConfig { variations: count, ..PredictConfig::default() };
            let binning = Binning { y, x: 1 };
            let ensemble = ensemble_of(vec![Box::new(Cells)], binning);
            // Interpolation needs a bin of its neighbour.
            let settings = PlanSettings { binning, tile, halo: halo + 1, mirror: 16, ..small(extent) };
            let region = Region::whole(extent);
            let (blocks, _) = run_in_memory(&ensemble, &volume, settings, &config, region);
            let (piece, _) = run_in_memory(&ensemble, &volume, PlanSettings { tile: 90, ..settings }, &config, region);
            prop_assert!(largest_difference(&bytes(&blocks), &bytes(&piece)) <= 1);
        }

        #[test]
        fn a_region_is_the_cut_of_the_whole(
            extent in (1_u64..7, 1_u64..50, 1_u64..50), from in (0_u64..7, 0_u64..50, 0_u64..50), to in (1_u64..7, 1_u64..50, 1_u64..50),
            frames in frames(), y in 1_u32..4, x in 1_u32..4, batch in 1_u32..4,
        ) {
            // The model sees further than the halo: only the same blocks give the same bytes.
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let start = Index::new(from.0 % extent.z, from.1 % extent.y, from.2 % extent.x);
            let size = Extent::new(to.0.min(extent.z - start.z), to.1.min(extent.y - start.y), to.2.min(extent.x - start.x));
            let region = Region::new(start, size);
            let volume = MemoryVolume::noise(extent, 7);
            let binning = Binning { y, x };
            let config = PredictConfig { variations: VariationCount::Four, batch: Some(batch), ..PredictConfig::default() };
            let ensemble = blurs(&frames, 9, binning);
            let settings = PlanSettings { binning, halo: 4, ..small(extent) };
            let (whole, _) = run_in_memory(&ensemble, &volume, settings, &config, Region::whole(extent));
            let (part, seen) = run_in_memory(&ensemble, &volume, settings, &config, region);
            prop_assert_eq!(part.crop(region), whole.crop(region));
            prop_assert!(region.tiles(Extent::new(1, 1, 1)).all(|voxel| seen[extent.offset(voxel.start)]));
        }

        #[test]
        fn sections_settle_the_same_whatever_the_region_and_batch(
            extent in (1_u64..7, 1_u64..50, 1_u64..50), from in (0_u64..7, 0_u64..50, 0_u64..50), frames in frames(),
            y in 1_u32..3, batch in 2_u32..5, tolerance in 0.0..0.2_f64, threshold in 0.3..0.7_f32,
        ) {
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let start = Index::new(from.0 % extent.z, from.1 % extent.y, from.2 % extent.x);
            let size = Extent::new(extent.z - start.z, extent.y - start.y, extent.x - start.x);
            let region = Region::new(start, size);
            let volume = MemoryVolume::noise(extent, 13);
            let binning = Binning::square(y);
            let settings = PlanSettings { binning, ..small(extent) };
            let early_stop = Some(EarlyStop { threshold, tolerance });
            let config = |batch| PredictConfig { early_stop, batch: Some(batch), ..PredictConfig::default() };
            let ensemble = uneven(&frames, binning);
            let (whole, _) = run_in_memory(&ensemble, &volume, settings, &config(1), Region::whole(extent));
            let (part, _) = run_in_memory(&ensemble, &volume, settings, &config(batch), region);
            prop_assert_eq!(part.crop(region), whole.crop(region));
        }

        #[test]
        fn without_tolerance_all_variations_are_walked(
            extent in (1_u64..5, 1_u64..40, 1_u64..40), frames in frames(), threshold in 0.3..0.7_f32,
        ) {
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let volume = MemoryVolume::noise(extent, 17);
            let ensemble = uneven(&frames, Binning::NONE);
            let all = PredictConfig::default();
            let stopping = PredictConfig { early_stop: Some(EarlyStop { threshold, tolerance: 0.0 }), ..all.clone() };
            let run = |config| run_in_memory(&ensemble, &volume, small(extent), config, Region::whole(extent)).0;
            prop_assert!(largest_difference(&bytes(&run(&all)), &bytes(&run(&stopping))) <= 1);
        }

        #[test]
        fn a_straight_ramp_comes_back_through_the_bins(
            extent in (1_u64..4, 1_u64..90, 20_u64..60), y in 1_u32..5, x in 1_u32..5, count in variations(),
        ) {
            // Grey = 4 · column: mean and interpolation keep it, but where the border mirrors it.
            let extent = Extent::new(extent.0, extent.1, extent.2);
            let ramp = (0..extent.len()).map(|i| ((i as u64 % extent.x) * 4) as u8).collect();
            let volume = MemoryVolume::new(extent, deep3m_volume::Voxels::U8(ramp));
            let binning = Binning { y, x };
            let ensemble = Ensemble::null(&[Frames::One, Frames::Three], binning).unwrap();
            let config = PredictConfig { variations: count, ..PredictConfig::default() };
            let settings = PlanSettings { binning, ..small(extent) };
            let (block, _) = run_in_memory(&ensemble, &volume, settings, &config, Region::whole(extent));
            let (block, truth) = (bytes(&block), bytes(volume.block()));
            for (at, (found, expected)) in block.iter().zip(&truth).enumerate() {
                let column = at as u64 % extent.x;
                if column >= u64::from(x) && column + 2 * u64::from(x) <= extent.x {
                    prop_assert!(found.abs_diff(*expected) <= 1, "voxel {at}: {found}, expected {expected}");
                }
            }
        }
    }

    #[test]
    fn clear_sections_take_two_rounds_and_unclear_ones_more() {
        let extent = Extent::new(3, 40, 40);
        let passes = |grey: u8| {
            let volume = MemoryVolume::new(extent, deep3m_volume::Voxels::U8(vec![grey; extent.len()]));
            let ensemble = uneven(&Frames::ALL, Binning::NONE);
            let early_stop = Some(EarlyStop { threshold: 0.5, tolerance: 0.03 });
            let forward = ensemble.forward(&PredictConfig { early_stop, ..PredictConfig::default() });
            let plan = Plan::new(PlanSettings { margin: 2, slab: 3, tile: 64, ..small(extent) });
            let block = plan.blocks().next().unwrap();
            let grey = ensemble.grey(&volume).unwrap();
            let prepared = prepare(&volume, Binning::NONE, &block.context, &*grey.apply, &mut Vec::new()).unwrap();
            let (parts, mut spent) = (Parts::none(), std::time::Duration::ZERO);
            forward.block(&block, &prepared, 0..3, &parts, &mut spent, &mut |_| true).unwrap();
            let sum = forward.made.load(Ordering::Relaxed) + forward.saved.load(Ordering::Relaxed);
            assert_eq!(sum, 3 * forward.passes());
            forward.made.load(Ordering::Relaxed)
        };
        assert_eq!(passes(230), 3 * 2 * 3, "far above the threshold: three models, two rounds, three sections");
        assert_eq!(passes(10), 3 * 2 * 3, "far below");
        assert!(passes(133) > 3 * 4 * 3, "near the threshold: {}", passes(133));
    }

    #[test]
    fn the_smallest_volumes() {
        for (z, y, x) in [(1, 1, 1), (3, 5, 7), (1, 1, 40), (2, 40, 1), (9, 1, 1)] {
            let extent = Extent::new(z, y, x);
            let volume = MemoryVolume::noise(extent, 11);
            for count in VariationCount::ALL {
                let config = PredictConfig { variations: count, ..PredictConfig::default() };
                let ensemble = Ensemble::null(&Frames::ALL, Binning::NONE).unwrap();
                let settings = config.plan_settings(extent, Binning::NONE, 2).unwrap();
                let (block, _) = run_in_memory(&ensemble, &volume, settings, &config, Region::whole(extent));
                assert_eq!(&block, volume.block(), "{extent}, {count}");
            }
            for bins in 2..5 {
                let ensemble = Ensemble::null(&Frames::ALL, Binning::square(bins)).unwrap();
                let config = PredictConfig::default();
                let settings = config.plan_settings(extent, Binning::square(bins), 2).unwrap();
                let (_, seen) = run_in_memory(&ensemble, &volume, settings, &config, Region::whole(extent));
                assert!(seen.iter().all(|&seen| seen), "{extent} in bins of {bins}");
            }
        }
    }

    #[test]
    fn sections_of_a_block_that_was_stopped_are_not_made_again() {
        stopped_in_a_block(false);
        stopped_in_a_block(true);
    }

    fn stopped_in_a_block(disagreement: bool) {
        let extent = Extent::new(5, 20, 30);
        let volume = MemoryVolume::noise(extent, 5);
        let ensemble = blurs(&[Frames::One, Frames::Three], 9, Binning::NONE);
        let config = PredictConfig { variations: VariationCount::Two, disagreement, ..PredictConfig::default() };
        let plan = Plan::new(PlanSettings { margin: 1, tile: 30, slab: 5, ..small(extent) });
        let region = Region::whole(extent);
        let (whole, _) = run_in_memory(&ensemble, &volume, *plan.settings(), &config, region);
        let (lanes, grey) = (ensemble.lanes(&config), ensemble.grey(&volume).unwrap());
        let block = plan.blocks().next().unwrap();
        let prepared = prepare(&volume, Binning::NONE, &block.context, &*grey.apply, &mut Vec::new()).unwrap();
        let once = lanes[0].block(&block, &prepared, 0..5, &Parts::none(), &mut Duration::default(), &mut |_| true);
        let Outcome::Done(once) = once.unwrap() else { panic!("not done") };
        let folder = tempfile::tempdir().unwrap();
        let parts = Parts::new(Arc::new(Notes::at(folder.path()).unwrap()), Duration::ZERO);
        let blocks: Vec<_> = plan.blocks().collect();
        assert_eq!(blocks.len(), 1);
        // Stopped in the third section, then to the end.
        for (stop_at, network) in [(10, 10), (u64::MAX, 12)] {
            let (writer, deviations) =
                (MemoryWriter::new(extent, plan.chunk()), MemoryWriter::new(extent, plan.chunk()));
            let job = Job {
                volume: &volume,
                lanes: &lanes,
                normalise: &*grey.apply,
                region,
                writer: &writer,
                disagreement: disagreement.then_some(&deviations),
                parts: &parts,
                ahead: 1,
            };
            let queue = alone(folder.path(), &blocks, region, 1);
            let (stop, mut passes, mut calls) = (AtomicBool::new(false), 0, 0);
            let end = run(&job, &queue, &stop, &mut Times::default(), &mut |step| {
                if let Step::Pass { sections, .. } = step {
                    passes += sections;
                    calls += u64::from(sections == 1);
                    stop.store(passes >= stop_at, Ordering::Relaxed);
                }
            });
            assert_eq!(matches!(end.unwrap(), End::Taken), stop_at == u64::MAX);
            assert_eq!(calls, network, "passes through a network");
            if stop_at == u64::MAX {
                assert_eq!(passes, 5 * 4, "progress counts what was kept");
                assert_eq!(writer.into_parts().0, whole);
                if let Some(once) = &once.disagreement {
                    assert_eq!(&deviations.into_parts().0, once);
                }
                assert_eq!(
                    std::fs::read_dir(folder.path()).unwrap().count(),
                    2,
                    "what workers note and an empty folder"
                );
            }
        }
    }

    /// The standard deviation of all passes, each made by itself here; whether or not sections end early.
    #[test]
    fn the_disagreement_is_that_of_the_passes() {
        let extent = Extent::new(3, 20, 30);
        let volume = MemoryVolume::noise(extent, 3);
        let ensemble = uneven(&Frames::ALL, Binning::NONE);
        for tolerance in [None, Some(0.0)] {
            let early_stop = tolerance.map(|tolerance| EarlyStop { threshold: 0.5, tolerance });
            let config = PredictConfig { early_stop, disagreement: true, ..PredictConfig::default() };
            let forward = ensemble.forward(&config);
            let plan = Plan::new(PlanSettings { margin: 2, slab: 3, tile: 64, ..small(extent) });
            let block = plan.blocks().next().unwrap();
            let grey = ensemble.grey(&volume).unwrap();
            let prepared = prepare(&volume, Binning::NONE, &block.context, &*grey.apply, &mut Vec::new()).unwrap();
            let made = forward.block(&block, &prepared, 0..3, &Parts::none(), &mut Duration::default(), &mut |_| true);
            let Outcome::Done(made) = made.unwrap() else { panic!("not done") };
            let (rows, columns) = (prepared.rows, prepared.columns);
            let mut expected = Vec::new();
            for section in 0..3 {
                let mut passes: Vec<Vec<f64>> = Vec::new();
                for member in &forward.members {
                    let frames = member.model.frames();
                    let stack = prepared.sections(section + forward.margin - frames.margin(), frames.count());
                    for &variation in &member.variations {
                        let (h, w) = if variation.swaps_axes() { (columns, rows) } else { (rows, columns) };
                        let input = variation.apply(stack, frames.count(), rows, columns);
                        let answer = member.model.foreground(&input, 1, h, w).unwrap();
                        passes.push(variation.inverse().apply(&answer, 1, h, w).into_iter().map(f64::from).collect());
                    }
                }
                let count = passes.len() as f64;
                let [y, x] = forward.core_parts(&block).map(|part| part.bins);
                for i in y.flat_map(|y| x.clone().map(move |x| y * columns + x)) {
                    let mean = passes.iter().map(|p| p[i]).sum::<f64>() / count;
                    let variance = passes.iter().map(|p| (p[i] - mean).powi(2)).sum::<f64>() / count;
                    expected.push((variance.sqrt() * 255.0).round() as u8);
                }
            }
            let found = bytes(&made.disagreement.unwrap());
            assert!(found.iter().any(|&v| v > 5), "the passes agree: nothing is tested");
            assert!(largest_difference(&found, &expected) <= 1);
            let without = PredictConfig { disagreement: false, ..config };
            let (probability, _) = run_in_memory(&ensemble, &volume, *plan.settings(), &without, Region::whole(extent));
            assert_eq!(made.probability, probability, "the probability does not depend on what is kept beside it");
        }
    }

    #[test]
    fn too_little_context_shows() {
        // The test above would not notice if the model did not see beyond a block: here it does.
        let extent = Extent::new(2, 50, 50);
        let volume = MemoryVolume::noise(extent, 5);
        let ensemble = blurs(&[Frames::Three], 6, Binning::NONE);
        let config = PredictConfig { variations: VariationCount::One, ..PredictConfig::default() };
        let settings = PlanSettings { halo: 0, mirror: 8, tile: 17, ..small(extent) };
        let (block, _) = run_in_memory(&ensemble, &volume, settings, &config, Region::whole(extent));
        assert!(largest_difference(&bytes(&block), &blur_in_one_piece(&volume, Frames::Three, 6)) > 10);
    }
}
