//! Who computes: a process, told from all others.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A process that is a worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Holder {
    /// Its worker number.
    pub(crate) worker: u32,
    /// The machine's name, for people.
    pub(crate) host: String,
    /// What tells the machine, since it was started, from others.
    pub(crate) machine: String,
    /// The process's number on its machine, for people.
    pub(crate) pid: u32,
    /// What tells this session from all others.
    pub(crate) token: String,
}

impl Holder {
    /// This process as a worker.
    pub(crate) fn this_process(worker: u32) -> Self {
        let (host, machine) = this_machine().clone();
        Self { worker, host, machine, pid: std::process::id(), token: token() }
    }
}

/// Seconds since 1970 by this machine's clock.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Text that no other process, and this one only once, comes to.
fn token() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let what = (std::process::id(), now(), COUNT.fetch_add(1, Ordering::Relaxed));
    // The standard library seeds each of these from the system's random numbers.
    let half = || RandomState::new().hash_one(what);
    format!("{:016x}{:016x}", half(), half())
}

/// This machine's name, and what tells it from others.
fn this_machine() -> &'static (String, String) {
    static MACHINE: OnceLock<(String, String)> = OnceLock::new();
    MACHINE.get_or_init(|| {
        let file = |path: &str| Some(fs::read_to_string(path).ok()?.trim().to_owned());
        let run = || String::from_utf8(Command::new("hostname").output().ok()?.stdout).ok();
        let host = file("/proc/sys/kernel/hostname").or_else(run).map(|host| host.trim().to_owned());
        let host = host.filter(|host| !host.is_empty()).unwrap_or_else(|| "unknown".to_owned());
        // Linux: of this start of this kernel, so that machines of one name are told apart and containers of one
        // machine know each other.
        let machine = file("/proc/sys/kernel/random/boot_id").unwrap_or_else(|| host.clone());
        (host, machine)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_differ_and_their_machine_does_not() {
        let (a, b) = (Holder::this_process(1), Holder::this_process(1));
        assert_ne!(a.token, b.token);
        assert_eq!((a.machine.clone(), a.pid), (b.machine, b.pid));
        assert!(!a.machine.is_empty() && !a.host.is_empty() && a.token.len() == 32);
    }
}
