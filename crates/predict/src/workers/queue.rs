//! The blocks that a worker takes, one after another, until none is left for it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use deep3m_volume::{Region, VolumeError};

use super::Worker;
use super::done::{Done, OwnLog};
use super::lease::{Claim, Leases, Life, of_block, of_finish};
use super::session::Session;
use crate::forward::wanted_voxels;
use crate::plan::PlannedBlock;
use crate::{Elsewhere, MissingBlock, PredictError};

/// The blocks of a run, shared with other workers.
pub(crate) struct Queue<'a> {
    /// In the order of their numbers.
    blocks: &'a [PlannedBlock],
    region: Region,
    /// Blocks of the whole volume.
    numbers: u64,
    worker: Worker,
    session: Arc<Session>,
    taking: Mutex<Taking>,
    log: Mutex<OwnLog>,
    state: Mutex<State>,
    /// Whether another worker has ended the run; its logs are gone then.
    is_over: Box<dyn Fn() -> bool + Send + Sync + 'a>,
}

/// What only asking for blocks needs; held while the notes are read and written.
struct Taking {
    leases: Leases,
    /// Places in `blocks`.
    ahead: VecDeque<usize>,
    /// Blocks of others, as they were met since the last [`Queue::again`].
    held: BTreeMap<usize, Claim>,
    /// Blocks that were taken since.
    taken: u64,
}

/// What is known of the blocks; held for moments only.
#[derive(Default)]
struct State {
    known: Done,
    /// Voxels and blocks of `known` that were asked for.
    voxels: u64,
    done: u64,
    /// Leased, not done.
    mine: BTreeSet<u64>,
    left_out: BTreeMap<u64, String>,
    voxels_now: u64,
    done_now: u64,
}

/// What is left when there is nothing to take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// All is done.
    Nothing,
    /// Only what this worker could not do.
    Failed,
    /// Blocks that may be taken when asked again.
    More,
    /// Blocks of others, all of them seen to live or not all.
    Elsewhere { all_live: bool, with: Vec<Elsewhere> },
}

impl<'a> Queue<'a> {
    /// The blocks that `session` takes of those that meet `region`; `numbers` is how many the whole volume has, `is_over`
    /// says whether another worker has ended the run.
    pub(crate) fn new(
        blocks: &'a [PlannedBlock],
        region: Region,
        numbers: u64,
        worker: Worker,
        session: Arc<Session>,
        devices: &[String],
        is_over: impl Fn() -> bool + Send + Sync + 'a,
    ) -> Result<Self, PredictError> {
        let mut known = Done::default();
        let log = OwnLog::open(session.notes.clone(), worker.number(), devices, numbers, &mut known)?;
        known.read(&session.notes, numbers, Some(worker.number()))?;
        known.devices.extend(devices.iter().cloned());
        let leases = Leases::new(session.clone());
        let ahead = worker.order(blocks.len()).into();
        let taking = Mutex::new(Taking { leases, ahead, held: BTreeMap::new(), taken: 0 });
        let queue = Self {
            blocks,
            region,
            numbers,
            worker,
            session,
            taking,
            log: Mutex::new(log),
            state: Mutex::new(State { known, ..State::default() }),
            is_over: Box::new(is_over),
        };
        queue.count(&mut queue.state());
        Ok(queue)
    }

    /// The next block to compute, leased; `None` when none is free.
    pub(crate) fn next(&self) -> Result<Option<PlannedBlock>, PredictError> {
        let mut taking = lock(&self.taking);
        while let Some(index) = taking.ahead.pop_front() {
            if self.session.is_lost() {
                break;
            }
            let block = self.blocks[index];
            if self.is_settled(block.number) {
                continue;
            }
            // Put back if this fails.
            taking.ahead.push_front(index);
            match taking.leases.claim(&of_block(block.number))? {
                Claim::Mine => {
                    self.state().mine.insert(block.number);
                    // Whoever had it before may have done it since the logs were read.
                    self.refresh()?;
                    if (self.is_over)() {
                        self.release(block.number);
                        break;
                    }
                    taking.ahead.pop_front();
                    if self.state().known.blocks.contains(&block.number) {
                        self.release(block.number);
                        continue;
                    }
                    taking.taken += 1;
                    return Ok(Some(block));
                }
                held @ Claim::Held(..) => {
                    taking.ahead.pop_front();
                    taking.held.insert(index, held);
                }
            }
        }
        Ok(None)
    }

    /// Notes that a block's chunks are on the disk, and says how many blocks are done now.
    pub(crate) fn done(&self, number: u64) -> Result<u64, VolumeError> {
        // Taken for dead: the note is the business of whoever computes it now.
        if !self.session.is_lost() {
            lock(&self.log).append(number)?;
            let mut state = self.state();
            if state.known.blocks.insert(number) {
                let voxels = self.wanted(number).unwrap_or(0);
                state.voxels += voxels;
                state.done += 1;
                state.voxels_now += voxels;
                state.done_now += 1;
            }
        }
        self.release(number);
        Ok(self.state().done)
    }

    /// Leaves a block out, for this call.
    pub(crate) fn leave_out(&self, number: u64, reason: String) {
        self.state().left_out.insert(number, reason);
        self.release(number);
    }

    /// Gives back what was taken and is not done.
    pub(crate) fn give_back(&self) {
        let mine: Vec<u64> = self.state().mine.iter().copied().collect();
        for number in mine {
            self.release(number);
        }
    }

    /// What is left, when there was nothing more to take.
    pub(crate) fn left(&self) -> Result<Left, PredictError> {
        let taking = lock(&self.taking);
        self.refresh()?;
        let state = self.state();
        let open: Vec<usize> =
            (0..self.blocks.len()).filter(|&i| !state.known.blocks.contains(&self.blocks[i].number)).collect();
        if open.is_empty() {
            return Ok(Left::Nothing);
        }
        let to_do: Vec<usize> =
            open.into_iter().filter(|&i| !state.left_out.contains_key(&self.blocks[i].number)).collect();
        if to_do.is_empty() {
            return Ok(Left::Failed);
        }
        // What others were seen to have while blocks were taken is old.
        if taking.taken > 0 || to_do.iter().any(|index| !taking.held.contains_key(index)) {
            return Ok(Left::More);
        }
        let mut with: Vec<Elsewhere> = Vec::new();
        let mut all_live = true;
        for claim in to_do.iter().filter_map(|index| taking.held.get(index)) {
            let Claim::Held(holder, life) = claim else { continue };
            all_live &= *life == Life::Lives;
            let (worker, host) = holder.as_ref().map_or((None, None), |h| (Some(h.worker), Some(h.host.clone())));
            match with.iter_mut().find(|other| other.worker == worker && other.host == host) {
                Some(other) => other.blocks += 1,
                None => with.push(Elsewhere { worker, host, blocks: 1 }),
            }
        }
        Ok(Left::Elsewhere { all_live, with })
    }

    /// Begins again with what is not done.
    pub(crate) fn again(&self) {
        let mut taking = lock(&self.taking);
        taking.ahead = self.worker.order(self.blocks.len()).into();
        taking.held.clear();
        taking.taken = 0;
    }

    /// Asks for the lease of what is done once, when all blocks are.
    pub(crate) fn claim_finish(&self) -> Result<Claim, VolumeError> {
        lock(&self.taking).leases.claim(&of_finish())
    }

    /// Whether it is still this worker that finishes.
    pub(crate) fn finishes(&self) -> Result<bool, VolumeError> {
        lock(&self.taking).leases.is_mine(&of_finish())
    }

    /// Gives the lease of the end back.
    pub(crate) fn give_finish_back(&self) {
        if self.finishes().unwrap_or(false) {
            let _ = self.session.notes.remove(&of_finish());
        }
    }

    /// Blocks and voxels asked for that are done, as far as this worker knows.
    pub(crate) fn progress(&self) -> (u64, u64) {
        let state = self.state();
        (state.done, state.voxels)
    }

    /// Voxels asked for that are done, and what blocks that are not have had, in voxels times passes: one look, as the
    /// writer may note a block at any moment.
    pub(crate) fn progress_with(&self, under_way: &BTreeMap<u64, u64>) -> (u64, u64) {
        let state = self.state();
        let not_done = under_way.iter().filter(|(number, _)| !state.known.blocks.contains(number));
        (state.voxels, not_done.map(|(_, had)| had).sum())
    }

    /// Blocks and voxels that this worker has done in this call.
    pub(crate) fn progress_now(&self) -> (u64, u64) {
        let state = self.state();
        (state.done_now, state.voxels_now)
    }

    /// Kinds of devices that computed what is done.
    pub(crate) fn devices(&self) -> Vec<String> {
        self.state().known.devices.iter().cloned().collect()
    }

    /// The blocks that are not done; `otherwise` says why not of those that were not tried.
    pub(crate) fn missing(&self, otherwise: &str) -> Vec<MissingBlock> {
        let state = self.state();
        let open = self.blocks.iter().filter(|block| !state.known.blocks.contains(&block.number));
        let missing = |block: &PlannedBlock| MissingBlock {
            number: block.number,
            region: block.core.intersect(&self.region).unwrap_or(block.core),
            reason: state.left_out.get(&block.number).map_or(otherwise, String::as_str).to_owned(),
        };
        open.map(missing).collect()
    }

    /// Whether this worker has left blocks out that are not done.
    pub(crate) fn has_left_out(&self) -> bool {
        let state = self.state();
        state.left_out.keys().any(|number| !state.known.blocks.contains(number))
    }

    /// Reads what others have done.
    fn refresh(&self) -> Result<(), PredictError> {
        let mut known = Done { logs: self.state().known.logs.clone(), ..Done::default() };
        known.read(&self.session.notes, self.numbers, Some(self.worker.number()))?;
        let mut state = self.state();
        let before = state.known.blocks.len();
        state.known.blocks.append(&mut known.blocks);
        state.known.devices.append(&mut known.devices);
        state.known.logs.append(&mut known.logs);
        if state.known.blocks.len() > before {
            self.count(&mut state);
        }
        Ok(())
    }

    /// Counts what is done of what was asked for.
    fn count(&self, state: &mut State) {
        let done: Vec<u64> = state.known.blocks.iter().filter_map(|&number| self.wanted(number)).collect();
        (state.done, state.voxels) = (done.len() as u64, done.iter().sum());
    }

    /// Voxels asked for of a block, if any are.
    fn wanted(&self, number: u64) -> Option<u64> {
        let at = self.blocks.binary_search_by_key(&number, |block| block.number).ok()?;
        Some(wanted_voxels(&self.blocks[at], self.region))
    }

    fn is_settled(&self, number: u64) -> bool {
        let state = self.state();
        state.known.blocks.contains(&number) || state.left_out.contains_key(&number) || state.mine.contains(&number)
    }

    fn release(&self, number: u64) {
        if self.state().mine.remove(&number) && !self.session.is_lost() {
            // A lease that stays goes with its session.
            let _ = self.session.notes.remove(&of_block(number));
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Queue<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// What a thread that panicked held is still what it was: the panic goes on elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
