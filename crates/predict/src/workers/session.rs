//! A process that is a worker: alone under its number, and heard of while it lives.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{JoinHandle, sleep, spawn};
use std::time::{Duration, Instant};

use deep3m_volume::{Notes, Version, VolumeError};
use serde::{Deserialize, Serialize};

use super::presence::{Presence, Taken};
use super::who::{Holder, now};
use super::{FOLDER, WorkerConfig};
use crate::PredictError;

/// Sessions that were not heard of for this much longer than their lease, by the wall clocks, are dead without waiting:
/// clocks of machines that work together do not differ by more.
const CLOCKS_DIFFER_SECONDS: u64 = 600;

/// What `worker-3.json` holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Beat {
    pub(crate) holder: Holder,
    /// Rises while the process lives.
    pub(crate) count: u64,
    /// When it was written, by its machine's clock.
    pub(crate) time: u64,
    /// Its lease.
    pub(crate) lease_seconds: u32,
}

impl Beat {
    fn bytes(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Whether it is so old that clocks need not agree.
    pub(crate) fn is_ancient(&self) -> bool {
        now() > self.time.saturating_add(u64::from(self.lease_seconds) + CLOCKS_DIFFER_SECONDS)
    }
}

/// The note of a worker's session.
pub(crate) fn note_of(worker: u32) -> String {
    format!("{FOLDER}/worker-{worker}.json")
}

/// A worker at work. Its end is noted when this is dropped.
pub(crate) struct Session {
    pub(crate) notes: Arc<Notes>,
    pub(crate) holder: Holder,
    pub(crate) lease: Duration,
    pub(crate) presence: Presence,
    lost: Arc<AtomicBool>,
    heart: Option<(Sender<()>, JoinHandle<()>)>,
    _taken: Taken,
}

impl Session {
    /// Becomes a worker; `None` when told to stop meanwhile.
    ///
    /// Where this worker was a process of another machine that may live, this waits until that is known.
    pub(crate) fn open(
        notes: Arc<Notes>,
        presence: &Presence,
        config: &WorkerConfig,
        stop: &AtomicBool,
        notice: &mut dyn FnMut(String),
    ) -> Result<Option<Self>, PredictError> {
        let holder = Holder::this_process(config.worker.number());
        let name = note_of(holder.worker);
        let lease = config.lease();
        let in_use = |other: Option<&Holder>| in_use(&notes, holder.worker, other);
        let Some(taken) = presence.take(holder.worker)? else {
            let other = notes.read(&name)?.and_then(|note| parse(&note.bytes));
            return Err(in_use(other.as_ref().map(|beat| &beat.holder)));
        };
        let beat = Beat { holder: holder.clone(), count: 0, time: now(), lease_seconds: config.lease_seconds };
        let bytes = beat.bytes();
        let mut watched: Option<(Version, Instant)> = None;
        while !notes.create_new(&name, &bytes)? {
            let Some(note) = notes.read(&name)? else { continue };
            let other = parse(&note.bytes);
            let lives = other.as_ref().and_then(|other| taken.lives(&other.holder, &beat.holder));
            if lives == Some(true) {
                return Err(in_use(other.as_ref().map(|beat| &beat.holder)));
            }
            let ended = lives == Some(false) || other.as_ref().is_some_and(Beat::is_ancient);
            let seen = match &watched {
                Some((version, since)) if *version == note.version => since.elapsed(),
                // A beat: it lives.
                Some(_) => return Err(in_use(other.as_ref().map(|beat| &beat.holder))),
                None => {
                    watched = Some((note.version.clone(), Instant::now()));
                    if let (false, Some(other)) = (ended, &other) {
                        notice(format!(
                            "worker {} was process {} on {}: waiting up to {} s to see whether it still is",
                            holder.worker, other.holder.pid, other.holder.host, config.lease_seconds
                        ));
                    }
                    Duration::ZERO
                }
            };
            if (ended || seen >= lease) && notes.replace_if(&name, &note.version, &bytes)? {
                break;
            }
            if stop.load(Ordering::Relaxed) {
                return Ok(None);
            }
            sleep(pause(lease));
        }
        let lost = Arc::new(AtomicBool::new(false));
        let (end, ended) = channel();
        let (in_thread, to_lose) = (notes.clone(), lost.clone());
        let heart = spawn(move || {
            let mut beat = beat;
            while ended.recv_timeout(lease / 4) == Err(RecvTimeoutError::Timeout) {
                if !renew(in_thread.as_ref(), &mut beat) {
                    to_lose.store(true, Ordering::Relaxed);
                    return;
                }
            }
        });
        let presence = presence.clone();
        Ok(Some(Self { notes, holder, lease, presence, lost, heart: Some((end, heart)), _taken: taken }))
    }

    /// Whether others have taken this worker for dead, or the run is over.
    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// The error for a worker that others took for dead.
    pub(crate) fn lost(&self) -> PredictError {
        let other = self.notes.read(&note_of(self.holder.worker)).ok().flatten().and_then(|note| parse(&note.bytes));
        in_use(&self.notes, self.holder.worker, other.as_ref().map(|beat| &beat.holder))
    }

    /// The number of workers that are noted besides this one, living or dead.
    pub(crate) fn others(&self) -> Result<usize, VolumeError> {
        let own = note_of(self.holder.worker);
        Ok(self.notes.list(FOLDER)?.iter().filter(|name| is_session(name) && **name != own).count())
    }

    /// Looks about as often as that makes a difference.
    pub(crate) fn pause(&self) -> Duration {
        pause(self.lease)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some((end, heart)) = self.heart.take() {
            drop(end);
            let _ = heart.join();
        }
        if !self.is_lost() {
            // Else it is another's. Where it cannot be removed, it is old soon.
            let _ = self.notes.remove(&note_of(self.holder.worker));
        }
    }
}

fn pause(lease: Duration) -> Duration {
    (lease / 50).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// Notes another beat; false where the note is another's.
fn renew(notes: &Notes, beat: &mut Beat) -> bool {
    let name = note_of(beat.holder.worker);
    // What cannot be read or written now may be at the next beat; another worker sees none meanwhile.
    let Ok(found) = notes.read(&name) else { return true };
    let Some(found) = found else { return false };
    if parse(&found.bytes).is_some_and(|other| other.holder.token != beat.holder.token) {
        return false;
    }
    beat.count += 1;
    beat.time = now();
    let _ = notes.replace_if(&name, &found.version, &beat.bytes());
    true
}

pub(crate) fn parse(bytes: &[u8]) -> Option<Beat> {
    serde_json::from_slice(bytes).ok()
}

fn is_session(name: &str) -> bool {
    name.starts_with(&format!("{FOLDER}/worker-")) && name.strip_suffix(".json").is_some()
}

fn in_use(notes: &Notes, worker: u32, other: Option<&Holder>) -> PredictError {
    let by = other.map_or_else(String::new, |other| format!(", process {} on {}", other.pid, other.host));
    let path = notes.address(FOLDER).parent().map(Path::to_owned).unwrap_or_default();
    PredictError::InUse { path, by: format!("worker {worker}{by}") }
}

/// Whether no other process computes blocks there, before they are removed.
pub(crate) fn check_unused(notes: &Notes, presence: &Presence) -> Result<(), PredictError> {
    let this = Holder::this_process(0);
    for name in notes.list(FOLDER)?.into_iter().filter(|name| is_session(name)) {
        let Some(beat) = notes.read(&name)?.and_then(|note| parse(&note.bytes)) else { continue };
        let ended = presence.lives(&beat.holder, &this) == Some(false);
        if !ended && !beat.is_ancient() {
            return Err(in_use(notes, beat.holder.worker, Some(&beat.holder)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Worker;

    fn config(number: u32, lease_seconds: u32) -> WorkerConfig {
        WorkerConfig { worker: Worker::new(number, 4).unwrap(), lease_seconds, ..WorkerConfig::default() }
    }

    fn open(folder: &Path, config: &WorkerConfig) -> Result<Session, PredictError> {
        let stop = AtomicBool::new(false);
        let presence = Presence::beside(folder);
        Ok(Session::open(Arc::new(Notes::at(folder)?), &presence, config, &stop, &mut |_| {})?.unwrap())
    }

    /// A session of another machine, or of one that was restarted.
    fn elsewhere(notes: &Notes, count: u64, time: u64) {
        let holder = Holder { machine: "another".into(), host: "node-7".into(), ..Holder::this_process(1) };
        notes.write(&note_of(1), &Beat { holder, count, time, lease_seconds: 1 }.bytes()).unwrap();
    }

    #[test]
    fn one_process_at_a_time_is_a_worker() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(folder.path()).unwrap();
        let presence = Presence::beside(folder.path());
        let first = open(folder.path(), &config(1, 120)).unwrap();
        let error = open(folder.path(), &config(1, 120)).err().unwrap().to_string();
        assert!(error.contains("worker 1, process ") && error.contains(&first.holder.host), "{error}");
        assert!(check_unused(&notes, &presence).is_err());
        let second = open(folder.path(), &config(2, 120)).unwrap();
        assert_eq!((first.others().unwrap(), second.others().unwrap()), (1, 1));
        drop((first, second));
        check_unused(&notes, &presence).unwrap();
        open(folder.path(), &config(1, 120)).unwrap();
    }

    #[test]
    fn a_process_that_was_killed_on_this_machine_is_followed_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(folder.path()).unwrap();
        let beat = Beat { holder: Holder::this_process(1), count: 3, time: now(), lease_seconds: 120 };
        notes.write(&note_of(1), &beat.bytes()).unwrap();
        let begun = Instant::now();
        check_unused(&notes, &Presence::beside(folder.path())).unwrap();
        open(folder.path(), &config(1, 120)).unwrap();
        assert!(begun.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_process_of_another_machine_is_followed_when_it_shows_no_life() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(folder.path()).unwrap();
        // Its clock may be wrong.
        elsewhere(&notes, 7, now() + 5000);
        let begun = Instant::now();
        let session = open(folder.path(), &config(1, 1)).unwrap();
        assert!((1.0..8.0).contains(&begun.elapsed().as_secs_f64()), "{:?}", begun.elapsed());
        drop(session);
        // Long gone.
        elsewhere(&notes, 7, now() - 5000);
        let begun = Instant::now();
        drop(open(folder.path(), &config(1, 120)).unwrap());
        assert!(begun.elapsed() < Duration::from_secs(10));
        // It lives.
        elsewhere(&notes, 7, now());
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                sleep(Duration::from_millis(200));
                elsewhere(&notes, 8, now());
            });
            open(folder.path(), &config(1, 60)).err().unwrap().to_string()
        });
        assert!(error.contains("on node-7"), "{error}");
        assert!(check_unused(&notes, &Presence::beside(folder.path())).is_err());
    }

    #[test]
    fn a_session_beats_and_knows_when_it_was_taken_for_dead() {
        let folder = tempfile::tempdir().unwrap();
        let session = open(folder.path(), &config(1, 1)).unwrap();
        let count = || parse(&session.notes.read(&note_of(1)).unwrap().unwrap().bytes).unwrap().count;
        let wait_for = |what: &dyn Fn() -> bool| {
            let begun = Instant::now();
            while !what() {
                assert!(begun.elapsed() < Duration::from_secs(20));
                sleep(Duration::from_millis(10));
            }
        };
        wait_for(&|| count() >= 2);
        assert!(!session.is_lost());
        elsewhere(&session.notes, 0, now());
        wait_for(&|| session.is_lost());
        assert!(session.lost().to_string().contains("node-7"));
        let notes = session.notes.clone();
        drop(session);
        assert!(notes.read(&note_of(1)).unwrap().is_some(), "the other's note stays");
    }
}
