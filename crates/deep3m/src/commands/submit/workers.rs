//! What every engine is told about workers.

use std::num::NonZeroU32;
use std::path::PathBuf;

use super::memory::Memory;
use crate::parse;

/// Flags that all engines share.
#[derive(clap::Args)]
#[group(skip)]
pub(super) struct WorkerFlags {
    /// How many workers share the volume
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(super) workers: u32,
    /// CPU cores of a worker
    #[arg(long, value_name = "N")]
    pub(super) worker_cpus: Option<NonZeroU32>,
    /// Memory of a worker, such as 16GB
    #[arg(long, value_name = "SIZE")]
    pub(super) worker_memory: Option<Memory>,
    /// Graphics cards of a worker; give --device too
    #[arg(long, value_name = "N")]
    pub(super) worker_gpus: Option<NonZeroU32>,
    /// How often a worker that failed is started again
    #[arg(long, value_name = "N", default_value = "2", value_parser = clap::value_parser!(u32).range(0..=9))]
    pub(super) retries: u32,
    /// Name of the jobs [default: deep3m- and the output's name]
    #[arg(long, value_parser = super::name::parse)]
    pub(super) name: Option<String>,
    /// Where deep3m is on the workers [default: slurm: this one; else: deep3m, found on the image's PATH]
    #[arg(long, value_name = "PATH", value_parser = text)]
    pub(super) program: Option<String>,
    /// Show what would be submitted, and how; submit nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Where scripts and logs go [default: slurm: OUT.submit; else: NAME.submit in this folder]
    #[arg(long, value_name = "FOLDER")]
    pub(super) files: Option<PathBuf>,
    /// Do not wait for the end
    #[arg(long)]
    pub(super) detach: bool,
    /// Seconds between two looks at the engine while waiting
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse::positive)]
    pub(super) poll: f64,
    /// Another argument for sbatch, kubectl or aws; repeat it for more
    #[arg(long, value_name = "ARG", allow_hyphen_values = true, value_parser = text)]
    pub(super) engine_arg: Vec<String>,
    /// Print what was done as JSON
    #[arg(long)]
    pub(super) json: bool,
}

/// Text without control characters.
pub(super) fn text(text: &str) -> Result<String, String> {
    match super::shell::control(text) {
        Some(control) => Err(format!("the control character {control:?} found; expected one line of plain text")),
        None => Ok(text.to_owned()),
    }
}

/// A word that needs no quotes anywhere.
pub(super) fn word(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(plain) {
        return Err(format!("'{text}' found; expected letters, digits and _ @ % + = : , . / -"));
    }
    Ok(text.to_owned())
}
