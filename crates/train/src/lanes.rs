//! Models trained side by side: a lane for each device, and in it one model after another.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::ScopedJoinHandle;

use burn::tensor::Device;
use deep3m_net::{Frames, ModelDir};

use crate::TrainError;
use crate::checkpoint::Checkpoint;
use crate::event::{ModelSummary, Observer, Outcome, TrainEvent, TrainSummary};
use crate::metrics::SharedLog;
use crate::prepare::Prepared;
use crate::sampler::Sampler;
use crate::session::{Session, Surroundings};
use crate::trainer::{Run, finished_summary};
use crate::validate::Validation;

/// What all lanes work with.
pub(crate) struct Shared<'a> {
    pub run: &'a Run<'a>,
    pub model: Mutex<ModelDir>,
    pub log: SharedLog,
    pub data: &'a Prepared,
    pub validation: &'a Validation,
    pub from: Option<&'a ModelDir>,
    pub stop: &'a AtomicBool,
}

/// A model to train: its place in the order asked for, and where it stood.
struct Task {
    order: usize,
    frames: Frames,
    checkpoint: Option<Checkpoint>,
}

/// A device and the models that it trains.
pub(crate) struct Lane {
    device: Device,
    tasks: Vec<Task>,
}

/// How a lane ended: its models in the order asked for, and whether all are done.
struct LaneEnd {
    models: Vec<(usize, ModelSummary)>,
    finished: bool,
}

/// Deals models out to devices, one each in turn; the same models go to the same device whenever a run goes on.
pub(crate) fn divide(states: Vec<(Frames, Option<Checkpoint>)>, devices: Vec<Device>) -> Vec<Lane> {
    let mut lanes: Vec<Lane> = devices.into_iter().map(|device| Lane { device, tasks: Vec::new() }).collect();
    let count = lanes.len();
    for (order, (frames, checkpoint)) in states.into_iter().enumerate() {
        lanes[order % count].tasks.push(Task { order, frames, checkpoint });
    }
    lanes
}

/// Trains all lanes at once. An error ends its lane; the others finish what they have, then the error is told.
pub(crate) fn run(
    shared: &Shared<'_>,
    lanes: Vec<Lane>,
    observer: &mut Observer<'_>,
) -> Result<TrainSummary, TrainError> {
    let several = lanes.len() > 1;
    let observer = Mutex::new(observer);
    let train = |lane: Lane| {
        let mut tell = |event: TrainEvent| (observer.lock().unwrap_or_else(PoisonError::into_inner))(event);
        let end = train_lane(shared, lane, &mut tell);
        if let (true, Err(error)) = (several, &end) {
            tell(TrainEvent::Notice(format!("a device stopped: {error}; the others go on")));
        }
        end
    };
    let ends: Vec<Result<LaneEnd, TrainError>> = std::thread::scope(|scope| {
        let mut lanes = lanes.into_iter();
        // One on this thread: glibc gives other threads heaps in pieces of 64 MiB, in which tensors leave large gaps.
        let own = lanes.next();
        let train = &train;
        let threads: Vec<_> = lanes.map(|lane| scope.spawn(move || train(lane))).collect();
        let first = own.map(train);
        first.into_iter().chain(threads.into_iter().map(join)).collect()
    });
    let ends = ends.into_iter().collect::<Result<Vec<_>, _>>()?;
    let finished = ends.iter().all(|end| end.finished);
    let mut models: Vec<_> = ends.into_iter().flat_map(|end| end.models).collect();
    models.sort_by_key(|(order, _)| *order);
    let models = models.into_iter().map(|(_, model)| model).collect();
    Ok(TrainSummary { outcome: if finished { Outcome::Finished } else { Outcome::Interrupted }, models })
}

fn join<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// Trains a lane's models one after another, until done or stopped.
fn train_lane(shared: &Shared<'_>, lane: Lane, observer: &mut Observer<'_>) -> Result<LaneEnd, TrainError> {
    let Lane { device, tasks } = lane;
    let count = tasks.len();
    let mut models: Vec<(usize, ModelSummary)> = Vec::new();
    for (index, Task { order, frames, checkpoint }) in tasks.into_iter().enumerate() {
        if let Some(done) = checkpoint.as_ref().filter(|_| shared.run.is_finished(checkpoint.as_ref())) {
            observer(TrainEvent::Notice(format!("{frames} is trained already ({} iterations)", done.state.iteration)));
            models.push((order, finished_summary(frames, done)));
            continue;
        }
        if let Some(checkpoint) = &checkpoint {
            observer(TrainEvent::Notice(format!("{frames} goes on after iteration {}", checkpoint.state.iteration)));
        }
        let used = models.iter().map(|(_, model)| model.seconds).sum();
        let limit = shared.run.limit(checkpoint.as_ref(), index == 0, used, count - index);
        let Some(summary) = train_model(shared, &device, frames, checkpoint, limit, observer)? else {
            return Ok(LaneEnd { models, finished: false });
        };
        models.push((order, summary));
    }
    Ok(LaneEnd { models, finished: true })
}

/// Trains a model and puts it into the model directory; `None` where stopped.
fn train_model(
    shared: &Shared<'_>,
    device: &Device,
    frames: Frames,
    checkpoint: Option<Checkpoint>,
    limit: crate::clock::Limit,
    observer: &mut Observer<'_>,
) -> Result<Option<ModelSummary>, TrainError> {
    let run = shared.run;
    let sampler = Sampler::new(
        Arc::clone(&shared.data.training),
        run.config.sampling,
        run.config.augmentation,
        frames.count(),
        run.config.patch as usize,
    );
    let around = Surroundings {
        config: run.config,
        frames,
        sampler: Arc::new(sampler),
        validation: shared.validation,
        folder: &run.folder,
        log: &shared.log,
        device,
        stop: shared.stop,
    };
    let mut session = Session::start(around, checkpoint, limit, shared.from)?;
    let Some(summary) = session.run(observer)? else { return Ok(None) };
    {
        let mut model = shared.model.lock().unwrap_or_else(PoisonError::into_inner);
        run.keep(&session, &summary, &mut model)?;
    }
    shared.log.draw(&run.folder.curves())?;
    session.close(observer)?;
    let scores = summary.best.map(|(_, scores)| scores);
    let (iteration, seconds) = (summary.iterations, summary.seconds);
    observer(TrainEvent::Finished { frames, iteration, seconds, scores });
    Ok(Some(summary))
}
