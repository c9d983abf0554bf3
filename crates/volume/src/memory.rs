//! How much memory a program may take: what `--memory` says, and what the machine has left.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::fs;

/// The share of the free memory that is taken where nothing is said.
const USUAL_SHARE: f64 = 0.75;

/// What the program takes before it holds a voxel: its code, threads' stacks, tables.
pub const PROGRAM_BYTES: u64 = 20 << 20;

/// What of a budget is planned with: a tenth of the plan is kept back, for what is reckoned is not what is measured to the
/// last megabyte.
pub const fn room(budget: u64) -> u64 {
    budget / 11 * 10
}

/// The smallest budget whose [`room`] holds so many bytes.
pub const fn budget_for(bytes: u64) -> u64 {
    bytes.div_ceil(10).saturating_mul(11)
}

/// A limit for the memory of a run.
///
/// ```
/// # use deep3m_volume::memory::Budget;
/// assert_eq!(Budget::parse("8GB")?.bytes(), Some(8_000_000_000));
/// assert_eq!(Budget::parse("1.5GiB")?.bytes(), Some(3 << 29));
/// assert_eq!(Budget::parse("50%")?, Budget::Share(0.5));
/// # Ok::<(), deep3m_volume::memory::BudgetParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    /// So many bytes.
    Bytes(u64),
    /// A share of the memory that is free, above 0 and at most 1.
    Share(f64),
}

/// Text that is no memory budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("memory: found '{found}'; expected a size as 8GB, 8GiB or 500MB, or a share of the free memory as 50%")]
pub struct BudgetParseError {
    /// What was written.
    pub found: String,
}

impl Default for Budget {
    /// Three quarters of what is free.
    fn default() -> Self {
        Self::Share(USUAL_SHARE)
    }
}

impl FromStr for Budget {
    type Err = BudgetParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl Budget {
    /// A budget from text: a number with KB, MB, GB, TB (powers of 1000; the B may be left out), KiB, MiB, GiB, TiB
    /// (powers of 1024), or a percentage of the free memory.
    pub fn parse(text: &str) -> Result<Self, BudgetParseError> {
        let fail = || BudgetParseError { found: text.to_owned() };
        let trimmed = text.trim();
        let unit_at = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(fail)?;
        let (number, unit) = trimmed.split_at(unit_at);
        let number: f64 = number.parse().map_err(|_| fail())?;
        let scale = match unit.trim().to_ascii_lowercase().as_str() {
            "%" if number > 0.0 && number <= 100.0 => return Ok(Self::Share(number / 100.0)),
            "k" | "kb" => 1e3,
            "m" | "mb" => 1e6,
            "g" | "gb" => 1e9,
            "t" | "tb" => 1e12,
            "kib" => 1024.0,
            "mib" => 1024_f64.powi(2),
            "gib" => 1024_f64.powi(3),
            "tib" => 1024_f64.powi(4),
            _ => return Err(fail()),
        };
        let bytes = number * scale;
        // Above 2⁶⁰ a size is a slip of the pen.
        if (1.0..(1_u64 << 60) as f64).contains(&bytes) { Ok(Self::Bytes(bytes as u64)) } else { Err(fail()) }
    }

    /// The bytes, where they do not depend on the machine.
    pub const fn bytes(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Share(_) => None,
        }
    }

    /// The bytes that this budget is on this machine now. `None` for a share where the system does not say what is free.
    pub fn resolve(self) -> Option<u64> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Share(share) => Some((Self::available()? as f64 * share) as u64),
        }
    }

    /// The memory in bytes that is free for new use on this machine: what the system can hand out without swapping, and
    /// on Linux no more than the limit of the control group (container, batch job) leaves. `None` where the system does
    /// not say.
    pub fn available() -> Option<u64> {
        available()
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&text(*bytes)),
            Self::Share(share) => write!(f, "{}% of the free memory", share * 100.0),
        }
    }
}

/// The most memory in bytes that this process has held so far; `None` where the system does not say (it does on Linux).
pub fn peak() -> Option<u64> {
    let status = fs::read_to_string(Path::new("/proc/self/status")).ok()?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// A size for people, as "1.3 GB", in powers of 1000.
pub fn text(bytes: u64) -> String {
    let (value, unit) = in_unit(bytes);
    if value >= 10.0 || unit == "B" { format!("{value:.0} {unit}") } else { format!("{value:.1} {unit}") }
}

/// The smallest round size that is no less, as `--memory` takes it: "1.3GB".
pub fn at_least(bytes: u64) -> String {
    let (value, unit) = in_unit(bytes);
    let step = if value >= 10.0 { 1.0 } else { 10.0 };
    format!("{}{unit}", (value * step).ceil() / step)
}

fn in_unit(bytes: u64) -> (f64, &'static str) {
    let value = bytes as f64;
    [(1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "KB")]
        .into_iter()
        .find(|(scale, _)| value >= *scale)
        .map_or((value, "B"), |(scale, unit)| (value / scale, unit))
}

#[cfg(target_os = "linux")]
fn available() -> Option<u64> {
    let meminfo = fs::read_to_string(Path::new("/proc/meminfo")).ok()?;
    let free = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let free = free.trim().trim_end_matches("kB").trim().parse::<u64>().ok()?.saturating_mul(1024);
    let groups = fs::read_to_string(Path::new("/proc/self/cgroup")).unwrap_or_default();
    Some(limit_left(Path::new("/sys/fs/cgroup"), &groups).map_or(free, |left| left.min(free)))
}

#[cfg(not(target_os = "linux"))]
fn available() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    Some(system.available_memory()).filter(|&bytes| bytes > 0)
}

/// What the control groups of a process leave of their memory limits. `groups` is `/proc/self/cgroup`: lines of
/// `number:controllers:path`. Version 2 is line 0 without controllers; version 1 has one for `memory`. In a container the
/// path is often that of the host and not visible: then the mount's own root is the group.
#[cfg_attr(not(target_os = "linux"), allow(dead_code, reason = "control groups are Linux's"))]
fn limit_left(mount: &Path, groups: &str) -> Option<u64> {
    let mut left = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, names) = if controllers.is_empty() {
            (mount.to_owned(), ["memory.max", "memory.current", "inactive_file"])
        } else if controllers.split(',').any(|name| name == "memory") {
            (mount.join("memory"), ["memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"])
        } else {
            continue;
        };
        left.extend(groups_above(&root, path).iter().filter_map(|group| left_in(group, names)));
    }
    left.into_iter().min()
}

/// A group's folder and those above it, up to the mount: every one of them may set a limit.
fn groups_above(root: &Path, path: &str) -> Vec<PathBuf> {
    let group = root.join(path.trim_start_matches('/'));
    let inside = group.components().all(|part| part != std::path::Component::ParentDir);
    let folder = if inside { group } else { root.to_owned() };
    folder.ancestors().take_while(|folder| folder.starts_with(root)).map(Path::to_owned).collect()
}

/// What one group leaves: limit − (use − cached files that nobody has used lately, which the system drops first).
fn left_in(group: &Path, [limit, used, droppable]: [&str; 3]) -> Option<u64> {
    let number = |name: &str| fs::read_to_string(&group.join(name)).ok()?.trim().parse::<u64>().ok();
    // "max" in version 2 and a huge number in version 1 mean no limit.
    let limit = number(limit).filter(|&limit| limit < 1 << 60)?;
    let statistics = fs::read_to_string(&group.join("memory.stat")).unwrap_or_default();
    let cached = statistics.lines().find_map(|line| line.strip_prefix(droppable)?.trim().parse::<u64>().ok());
    Some(limit.saturating_sub(number(used)?.saturating_sub(cached.unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares() {
        let bytes = |text: &str| Budget::parse(text).unwrap().bytes();
        assert_eq!(bytes("500MB"), Some(500_000_000));
        assert_eq!(bytes("8 GiB"), Some(8 << 30));
        assert_eq!(bytes("1.5g"), Some(1_500_000_000));
        assert_eq!(Budget::parse("75%"), Ok(Budget::Share(0.75)));
        for wrong in
            ["", "8", "GB", "-1GB", "0GB", "0%", "101%", "1e9GB", "nanGB", "8GB more", "99999999999TB", "1.2.3GB"]
        {
            assert!(Budget::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_asked_for_is_enough() {
        assert_eq!((text(1_280_000_000), at_least(1_280_000_000)), ("1.3 GB".into(), "1.3GB".into()));
        assert_eq!((text(17), text(50_000_000)), ("17 B".into(), "50 MB".into()));
        for bytes in [0, 1, 10, 11, 99, 123_456_789, u64::MAX / 2] {
            assert!(
                room(budget_for(bytes)) >= bytes && (bytes < 11 || room(budget_for(bytes) - 11) < bytes),
                "{bytes}"
            );
        }
        for bytes in [1, 999, 1000, 1001, 999_999, 1_210_000_001, 64_000_000_001] {
            assert!(Budget::parse(&at_least(bytes)).map_or(bytes < 1000, |b| b.bytes() >= Some(bytes)), "{bytes}");
        }
    }

    #[test]
    fn some_memory_is_free_here() {
        let free = Budget::available().expect("this system says what is free");
        assert!(free > 1 << 20, "{free} bytes");
        assert_eq!(Budget::default().resolve().map(|bytes| bytes < free + (free >> 1)), Some(true));
    }

    #[test]
    fn the_tightest_control_group_counts() {
        let mount = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = mount.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("job/memory.max", "1000\n");
        write("job/memory.current", "700\n");
        write("job/memory.stat", "anon 300\ninactive_file 200\nfile 400\n");
        write("job/step/memory.max", "max\n");
        write("job/step/memory.current", "600\n");
        assert_eq!(limit_left(mount.path(), "0::/job/step\n"), Some(500));
        assert_eq!(limit_left(mount.path(), "0::/job/../job\n"), None, "a path never leads out of the mount");
        write("memory/batch/memory.limit_in_bytes", "5000\n");
        write("memory/batch/memory.usage_in_bytes", "1000\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        write("memory/memory.usage_in_bytes", "77\n");
        assert_eq!(limit_left(mount.path(), "4:cpu,memory:/batch\n1:name=systemd:/x\n"), Some(4000));
        assert_eq!(limit_left(mount.path(), "4:cpu:/batch\n"), None);
        assert_eq!(limit_left(mount.path(), ""), None);
    }
}
