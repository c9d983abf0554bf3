//! Leases: who does what, and whether it still lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use deep3m_volume::{Version, VolumeError};

use super::FOLDER;
use super::session::{Session, note_of, parse};
use super::who::Holder;

/// The lease of a block.
pub(crate) fn of_block(number: u64) -> String {
    format!("{FOLDER}/block-{number}.json")
}

/// The lease of what is done once, when all blocks are.
pub(crate) fn of_finish() -> String {
    format!("{FOLDER}/finish.json")
}

/// What came of asking for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// It is this session's.
    Mine,
    /// Another's; unknown where its note cannot be read.
    Held(Option<Holder>, Life),
}

/// Whether another session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Seen to.
    Lives,
    /// Neither is sure yet.
    Unsure,
    /// Its leases are free.
    Ended,
}

/// Asks for leases in the name of a session, and watches the sessions of others.
pub(crate) struct Leases {
    session: Arc<Session>,
    seen: HashMap<String, Seen>,
}

/// What was last seen of a session, or of a lease that nobody can read.
struct Seen {
    version: Version,
    since: Instant,
    /// Whether it was seen to change.
    beats: bool,
}

impl Leases {
    pub(crate) fn new(session: Arc<Session>) -> Self {
        Self { session, seen: HashMap::new() }
    }

    /// Asks for a lease; one whose session has ended is taken over.
    pub(crate) fn claim(&mut self, name: &str) -> Result<Claim, VolumeError> {
        let notes = self.session.notes.clone();
        let mine = serde_json::to_vec(&self.session.holder).unwrap_or_default();
        if notes.create_new(name, &mine)? {
            return Ok(Claim::Mine);
        }
        let Some(note) = notes.read(name)? else {
            // Given back in this moment.
            let created = notes.create_new(name, &mine)?;
            return Ok(if created { Claim::Mine } else { Claim::Held(None, Life::Unsure) });
        };
        let holder = serde_json::from_slice::<Holder>(&note.bytes).ok();
        let life = match &holder {
            // Made in an attempt that seemed to fail.
            Some(holder) if holder.token == self.session.holder.token => return Ok(Claim::Mine),
            Some(holder) => self.life(holder)?,
            // Not written to its end: whoever did it has the lease time to end it.
            None => self.watch(name.to_owned(), &note.version),
        };
        if life == Life::Ended && notes.replace_if(name, &note.version, &mine)? {
            return Ok(Claim::Mine);
        }
        Ok(Claim::Held(holder, life))
    }

    /// Whether a lease is still this session's.
    pub(crate) fn is_mine(&self, name: &str) -> Result<bool, VolumeError> {
        let note = self.session.notes.read(name)?;
        let holder = note.and_then(|note| serde_json::from_slice::<Holder>(&note.bytes).ok());
        Ok(holder.is_some_and(|holder| holder.token == self.session.holder.token))
    }

    /// Whether a session lives.
    pub(crate) fn life(&mut self, holder: &Holder) -> Result<Life, VolumeError> {
        let Some(note) = self.session.notes.read(&note_of(holder.worker))? else { return Ok(Life::Ended) };
        let beat = parse(&note.bytes);
        if beat.as_ref().is_some_and(|beat| beat.holder.token != holder.token || beat.is_ancient()) {
            return Ok(Life::Ended);
        }
        Ok(match self.session.presence.lives(holder, &self.session.holder) {
            Some(true) => Life::Lives,
            Some(false) => Life::Ended,
            None => self.watch(holder.token.clone(), &note.version),
        })
    }

    /// Watches something that changes as long as it lives.
    fn watch(&mut self, what: String, version: &Version) -> Life {
        let now = Instant::now();
        let fresh = || Seen { version: version.clone(), since: now, beats: false };
        let seen = self.seen.entry(what).or_insert_with(fresh);
        if seen.version != *version {
            *seen = Seen { beats: true, ..fresh() };
        }
        let still = seen.since.elapsed();
        // A beat comes every quarter of the lease.
        if still >= self.session.lease {
            Life::Ended
        } else if seen.beats && still <= self.session.lease / 2 {
            Life::Lives
        } else {
            Life::Unsure
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workers::presence::Presence;
    use crate::workers::session::Beat;
    use crate::workers::who::now;
    use crate::{Worker, WorkerConfig};
    use deep3m_volume::Notes;
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use std::thread::sleep;
    use std::time::Duration;

    fn session(folder: &Path, number: u32) -> Arc<Session> {
        let config =
            WorkerConfig { worker: Worker::new(number, 9).unwrap(), lease_seconds: 1, ..WorkerConfig::default() };
        let notes = Arc::new(Notes::at(folder).unwrap());
        let stop = AtomicBool::new(false);
        Arc::new(Session::open(notes, &Presence::beside(folder), &config, &stop, &mut |_| {}).unwrap().unwrap())
    }

    #[test]
    fn a_lease_has_one_holder_until_its_session_ends() {
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (session(folder.path(), 0), session(folder.path(), 1));
        let (mut of_a, mut of_b) = (Leases::new(a.clone()), Leases::new(b));
        let name = of_block(17);
        assert_eq!(of_a.claim(&name).unwrap(), Claim::Mine);
        assert_eq!(of_a.claim(&name).unwrap(), Claim::Mine);
        assert_eq!(of_b.claim(&name).unwrap(), Claim::Held(Some(a.holder.clone()), Life::Lives));
        assert!(of_a.is_mine(&name).unwrap() && !of_b.is_mine(&name).unwrap());
        drop((a, of_a));
        assert_eq!(of_b.claim(&name).unwrap(), Claim::Mine);
        assert!(of_b.is_mine(&name).unwrap());
    }

    #[test]
    fn a_session_of_another_machine_lives_as_long_as_it_beats() {
        let folder = tempfile::tempdir().unwrap();
        let notes = Notes::at(folder.path()).unwrap();
        let mut leases = Leases::new(session(folder.path(), 0));
        let holder = Holder { machine: "another".into(), ..Holder::this_process(5) };
        // Their clock is an hour ahead.
        let beat = |count| {
            let beat = Beat { holder: holder.clone(), count, time: now() + 3600, lease_seconds: 1 };
            notes.write(&note_of(5), &serde_json::to_vec(&beat).unwrap()).unwrap();
        };
        beat(0);
        let name = of_block(3);
        notes.write(&name, &serde_json::to_vec(&holder).unwrap()).unwrap();
        assert_eq!(leases.claim(&name).unwrap(), Claim::Held(Some(holder.clone()), Life::Unsure));
        for count in 1..12 {
            sleep(Duration::from_millis(150));
            beat(count);
            assert_eq!(leases.claim(&name).unwrap(), Claim::Held(Some(holder.clone()), Life::Lives));
        }
        sleep(Duration::from_millis(1100));
        assert_eq!(leases.claim(&name).unwrap(), Claim::Mine, "it has not beaten for its lease");
        // Another process is worker 5 now: what the old one held is free at once.
        notes.write(&name, &serde_json::to_vec(&holder).unwrap()).unwrap();
        let next = Beat { holder: Holder { token: "new".into(), ..holder }, count: 0, time: now(), lease_seconds: 1 };
        notes.write(&note_of(5), &serde_json::to_vec(&next).unwrap()).unwrap();
        assert_eq!(leases.claim(&name).unwrap(), Claim::Mine);
    }

    #[test]
    fn a_lease_that_was_not_written_to_its_end_is_taken_over_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut leases = Leases::new(session(folder.path(), 0));
        std::fs::write(folder.path().join(of_finish()), "{\"wor").unwrap();
        assert_eq!(leases.claim(&of_finish()).unwrap(), Claim::Held(None, Life::Unsure));
        sleep(Duration::from_millis(1100));
        assert_eq!(leases.claim(&of_finish()).unwrap(), Claim::Mine);
    }
}
