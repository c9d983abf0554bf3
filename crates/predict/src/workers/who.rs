//! Who computes: a process, told from all others.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, ErrorKind};
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
    /// What tells the process from others of its machine that had or will have its number; not every system says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) process: Option<String>,
    /// What tells this session from all others.
    pub(crate) token: String,
}

impl Holder {
    /// This process as a worker.
    pub(crate) fn this_process(worker: u32) -> Self {
        let (host, machine) = this_machine().clone();
        let pid = std::process::id();
        Self { worker, host, machine, pid, process: process(pid).ok().flatten(), token: token() }
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

/// Whether a process of this machine lives; `None` where the system does not say, or where it is one of another container
/// that only its own processes see.
pub(crate) fn lives(holder: &Holder) -> Option<bool> {
    let before = holder.process.as_deref()?;
    let (_, namespace) = before.rsplit_once(' ')?;
    if process(std::process::id()).ok().flatten()?.rsplit_once(' ')?.1 != namespace {
        return None;
    }
    match process(holder.pid) {
        Ok(found) => Some(found.as_deref() == Some(before)),
        Err(e) if e.kind() == ErrorKind::NotFound => Some(false),
        Err(_) => None,
    }
}

/// When a process was started, and which processes see it, as Linux says; `None` where it has ended.
fn process(pid: u32) -> io::Result<Option<String>> {
    let namespace = fs::read_link("/proc/self/ns/pid")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // `pid (name) state …`, and the name may hold anything; the start is the 22nd field (`man proc_pid_stat`).
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let mut fields = after_name.split_whitespace();
    let ended = fields.next().is_none_or(|state| matches!(state, "Z" | "X"));
    let start = fields.nth(18).filter(|_| !ended);
    Ok(start.map(|start| format!("{start} {}", namespace.display())))
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

    #[cfg(target_os = "linux")]
    #[test]
    fn the_system_says_whether_a_process_lives() {
        let this = Holder::this_process(1);
        assert_eq!(lives(&this), Some(true));
        let process = this.process.clone().unwrap();
        let (start, namespace) = process.split_once(' ').unwrap();
        let start: u64 = start.parse().unwrap();
        let other = |process: Option<String>| lives(&Holder { process, ..this.clone() });
        assert_eq!(other(Some(format!("{} {namespace}", start + 1))), Some(false), "its number was given again");
        assert_eq!(other(Some(format!("{start} pid:[1]"))), None, "another container");
        assert_eq!(other(None), None);
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let of_child = Holder { pid: child.id(), process: super::process(child.id()).unwrap(), ..this };
        assert_eq!(lives(&of_child), Some(true));
        child.kill().unwrap();
        while lives(&of_child) == Some(true) {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        assert_eq!(lives(&of_child), Some(false), "killed, and not waited for yet");
        child.wait().unwrap();
        assert_eq!(lives(&of_child), Some(false));
    }
}
