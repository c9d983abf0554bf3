//! Several processes, on any number of machines, over one output, without a server.
//!
//! All that they share is a folder of notes beside the blocks, [`FOLDER`]:
//!
//! - `worker-3.json`, the worker's **session**: who it is, and a count that it raises every quarter of the lease time.
//!   One process at a time is worker 3.
//! - `block-17.json`, a **lease**: which session computes the block. It is made by one only
//!   ([`Notes::create_new`](deep3m_volume::Notes::create_new)), and goes when the block is done. Where its session has
//!   ended another worker takes it over.
//! - `done-3-0.log`, the **blocks that worker 3 has done**. All such logs together say what is done.
//!
//! A block is computed after it was leased and then found in no log. Its lease goes after it is in a log, so no finished
//! block is computed again. Where two processes take each other for dead they compute a block twice: chunks appear whole
//! and have the same bytes, so nothing but time is lost. No clock of another machine is trusted: a session is dead when
//! its count has stood still for the lease time by one's own clock, when another process is that worker now, or when the
//! system says that the process has ended (on the same machine).
//!
//! The notes may lie in object storage as well: all that is asked of the store are puts that fail where something is, or
//! where something else is.

mod done;
mod lease;
mod presence;
mod queue;
mod session;
mod who;

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use done::Done;
pub(crate) use lease::{Claim, Life};
pub(crate) use presence::Presence;
pub(crate) use queue::{Left, Queue};
pub(crate) use session::{Session, check_unused};

/// The folder of the workers' notes, beside the blocks.
pub(crate) const FOLDER: &str = "deep3m-workers";

/// Which of how many workers a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Worker {
    number: u32,
    count: NonZeroU32,
}

/// Text that names no worker.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("found \"{found}\"; expected I/N, worker I of N, counted from 0: 0/4, 1/4, 2/4 and 3/4 for four")]
pub struct WorkerError {
    /// What was written.
    pub found: String,
}

impl Worker {
    /// Most workers of one output.
    pub const MOST: u32 = 100_000;

    /// The only one.
    pub const ALONE: Self = Self { number: 0, count: NonZeroU32::MIN };

    /// Worker `number` of `count`, counted from 0; `None` where there is no such worker.
    pub fn new(number: u32, count: u32) -> Option<Self> {
        let count = NonZeroU32::new(count)?;
        (number < count.get() && count.get() <= Self::MOST).then_some(Self { number, count })
    }

    /// Its number, counted from 0.
    pub const fn number(self) -> u32 {
        self.number
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.count.get()
    }

    /// The order in which this worker looks at `items` things that lie one after another: its own share forwards, then
    /// the shares of the workers after it, each from its end, where its owner comes last.
    pub(crate) fn order(self, items: usize) -> Vec<usize> {
        let (me, count) = (u64::from(self.number), u64::from(self.count.get()));
        let border = |worker: u64| (items as u128 * u128::from(worker) / u128::from(count)) as usize;
        let mut order: Vec<usize> = (border(me)..border(me + 1)).collect();
        for other in (me + 1..count).chain(0..me) {
            order.extend((border(other)..border(other + 1)).rev());
        }
        order
    }
}

impl Default for Worker {
    fn default() -> Self {
        Self::ALONE
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.count)
    }
}

impl FromStr for Worker {
    type Err = WorkerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts = text.split_once('/').and_then(|(i, n)| Some((i.trim().parse().ok()?, n.trim().parse().ok()?)));
        parts.and_then(|(i, n)| Self::new(i, n)).ok_or_else(|| WorkerError { found: text.to_owned() })
    }
}

/// How a process shares an output with others. None of it changes a byte of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// Which worker this is: where it begins.
    pub worker: Worker,
    /// Whether to stay until all is done, although what is left is in the hands of workers that live.
    pub wait: bool,
    /// After this many seconds without a sign of life another worker counts as dead, 1 to 86400.
    pub lease_seconds: u32,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self { worker: Worker::ALONE, wait: true, lease_seconds: Self::LEASE_SECONDS }
    }
}

impl WorkerConfig {
    /// Default lease: longer than a network file system or a scheduler holds a process up.
    pub const LEASE_SECONDS: u32 = 120;
    /// A day.
    pub(crate) const LONGEST_LEASE: u32 = 86_400;

    pub(crate) const fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_worker_looks_at_everything_once_and_begins_with_its_own(items in 0_usize..200, count in 1_u32..12) {
            let mut own: Vec<usize> = Vec::new();
            for number in 0..count {
                let order = Worker::new(number, count).unwrap().order(items);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                prop_assert_eq!(sorted, (0..items).collect::<Vec<_>>());
                // Shares of equal size, one after another.
                let share = (u64::from(number) + 1) * items as u64 / u64::from(count)
                    - u64::from(number) * items as u64 / u64::from(count);
                own.extend(&order[..share as usize]);
            }
            prop_assert_eq!(own, (0..items).collect::<Vec<_>>());
        }
    }

    #[test]
    fn workers_are_counted_from_0() {
        assert_eq!("2/4".parse::<Worker>().unwrap(), Worker::new(2, 4).unwrap());
        assert_eq!(Worker::new(2, 4).unwrap().to_string(), "2/4");
        assert_eq!("0/1".parse::<Worker>().unwrap(), Worker::ALONE);
        for bad in ["4/4", "0/0", "1", "a/2", "-1/2", "1/", "", "1/2/3", "0/4294967296"] {
            let error = bad.parse::<Worker>().unwrap_err().to_string();
            assert!(error.contains("counted from 0") && error.contains(bad), "{error}");
        }
    }
}
