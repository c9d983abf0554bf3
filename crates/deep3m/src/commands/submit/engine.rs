//! What an engine must be able to do, and what it is given to do.

use std::io;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitStatus;

use deep3m_predict::{PredictError, check_output};
use miette::Diagnostic;

use super::line::PredictLine;
use super::memory::Memory;
use super::mount::Mount;
use super::name;
use super::workers::WorkerFlags;
use crate::console::notice;

/// A scheduler that runs workers.
pub(super) trait Engine {
    /// Its name, as on the command line.
    fn name(&self) -> &'static str;

    /// Scripts or manifests, in the order of their use.
    fn files(&self) -> Vec<File>;

    /// Lines of shell that submit the files as [`Self::submit`] does.
    fn commands(&self) -> Vec<String>;

    /// Submits the workers and, where the engine can wait for them by itself, the last step.
    fn submit(&mut self) -> Result<(), SubmitError>;

    /// The jobs that were submitted so far.
    fn jobs(&self) -> Vec<String>;

    /// How to look at them, and how to cancel them.
    fn hints(&self) -> Vec<String>;

    /// How things stand; submits the last step where the engine cannot do so by itself.
    fn look(&mut self) -> Result<Look, SubmitError>;

    /// What the last step said, as far as that can be had.
    fn last_words(&self) -> String;
}

/// A file to submit.
pub(super) struct File {
    /// Its name.
    pub(super) name: &'static str,
    /// Its text.
    pub(super) text: String,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Look {
    /// Workers that run.
    pub(super) running: u64,
    /// Workers that ended well.
    pub(super) done: u64,
    /// Workers that failed; what they left is the last step's.
    pub(super) failed: u64,
    /// Why nothing starts, as the engine calls it.
    pub(super) held: Option<String>,
    /// The last step.
    pub(super) last_step: LastStep,
}

/// The step that makes sure that nothing is missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum LastStep {
    /// Its time has not come.
    #[default]
    Waiting,
    /// It runs.
    Running,
    /// The result is complete.
    Succeeded,
    /// Something is missing; why, as the engine says it.
    Failed(String),
}

/// Why a prediction was not submitted, or is not complete.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub(super) enum SubmitError {
    /// A program that is not there.
    #[error("{name}: not found on this machine. {advice}; --dry-run shows what it would be given")]
    NoTool { name: &'static str, advice: &'static str },
    /// A program that could not be run.
    #[error("{command}: {source}")]
    System { command: String, source: io::Error },
    /// A program that said no.
    #[error("{command}: failed ({status}): {said}")]
    Failed { command: String, status: ExitStatus, said: String },
    /// An answer that is not what the program is known to answer.
    #[error("{command}: found the answer {found:?}; expected {expected}")]
    Answer { command: String, found: String, expected: &'static str },
    /// A path that means nothing in a container.
    #[error("{path}: found a relative path; expected one as the containers see it, such as /data/{path}")]
    Relative { path: String },
    /// A result that would vanish.
    #[error("{path}: lies in no mount, so it would be gone with its container. {advice}")]
    Unmounted { path: String, advice: &'static str },
    /// An output that no worker could write.
    #[error(transparent)]
    Output(Box<PredictError>),
    /// An input that is not there.
    #[error("{path}: not found. It must lie on a file system that this machine and all workers see")]
    NoInput { path: String },
    /// A folder or program whose name no engine can be given.
    #[error("{}: found {found} in the name, {expected}. Choose another with --files or --program", path.display())]
    Name { path: PathBuf, found: &'static str, expected: &'static str },
    /// A way of cutting that cannot be shared.
    #[error(
        "--layout cdeep3m: found with submit, but one process computes its packages; expected --layout deep3m, or deep3m predict"
    )]
    Layout,
    /// A word that an engine would change.
    #[error("{word}: found {found}, {expected}. Rename it")]
    Word { word: String, found: &'static str, expected: &'static str },
    /// The last step failed.
    #[error("{output}: not complete: {why}\n{words}The same command goes on where it was.")]
    Incomplete { output: String, why: String, words: String },
    /// Contact with the engine was lost.
    #[error("the jobs go on, but {tool} has not answered for {minutes} minutes: {last}")]
    NoContact { tool: &'static str, minutes: u64, last: String },
    /// A file that could not be written.
    #[error(transparent)]
    Volume(#[from] deep3m_volume::VolumeError),
}

/// The user does not want to wait any more; the jobs go on.
#[derive(Debug, thiserror::Error, Diagnostic)]
#[error("No longer waiting; the jobs go on.\n{hints}")]
pub(crate) struct LeftRunning {
    /// How to look and how to cancel.
    pub(super) hints: String,
}

/// A prediction as an engine is given it.
pub(super) struct Order<'a> {
    /// What workers run, with paths as they see them.
    pub(super) line: PredictLine,
    /// What was said about workers.
    pub(super) flags: &'a WorkerFlags,
    /// The jobs' name.
    pub(super) name: String,
    /// OUT.
    pub(super) output: String,
    /// OUT, where this machine sees it as workers do.
    pub(super) seen: Option<PathBuf>,
    /// Where deep3m is on the workers.
    pub(super) program: String,
    /// Where scripts and logs go.
    pub(super) folder: PathBuf,
}

impl<'a> Order<'a> {
    /// Workers see the files that this machine sees.
    pub(super) fn on_a_shared_file_system(line: &PredictLine, flags: &'a WorkerFlags) -> Result<Self, SubmitError> {
        let line = line.with_paths(|path| if is_address(path) { Ok(path.to_owned()) } else { absolute_text(path) })?;
        let line = prepare(line, flags.worker_memory)?;
        let this =
            || std::env::current_exe().map_err(|e| SubmitError::System { command: "deep3m".to_owned(), source: e });
        let program = match &flags.program {
            Some(program) if program.contains('/') => absolute_text(program)?,
            Some(program) => program.clone(),
            None => text_of(&this()?)?,
        };
        let output = line.value("output").to_owned();
        let name = flags.name.clone().unwrap_or_else(|| name::of_output(&output));
        let folder = if is_address(&output) {
            format!("{name}.submit")
        } else {
            format!("{}.submit", output.trim_end_matches('/'))
        };
        let folder = match &flags.files {
            Some(folder) => absolute_text(&text_of(folder)?)?,
            None => absolute_text(&folder)?,
        };
        let seen = (!is_address(&output)).then(|| PathBuf::from(&output));
        Ok(Self { line, flags, name, output, seen, program, folder: PathBuf::from(folder) })
    }

    /// Workers see the mounts, and what is in their image.
    pub(super) fn in_containers(
        line: &PredictLine,
        flags: &'a WorkerFlags,
        mounts: &[Mount],
        memory: Option<Memory>,
    ) -> Result<Self, SubmitError> {
        let line = line.with_paths(|path| match path {
            path if is_address(path) || path.starts_with('/') => Ok(path.to_owned()),
            path => Err(SubmitError::Relative { path: path.to_owned() }),
        })?;
        let line = prepare(line, memory)?;
        let mounted = |path: &str| is_address(path) || mounts.iter().any(|mount| mount.holds(path));
        let output = line.value("output").to_owned();
        if !mounted(&output) {
            let advice =
                "Give --pvc or --efs with the folder above it, or an output in object storage: s3://…/OUT.zarr";
            return Err(SubmitError::Unmounted { path: output, advice });
        }
        for input in ["model", "volume"].map(|id| line.value(id)).into_iter().filter(|path| !mounted(path)) {
            notice(&format!("{input}: lies in no mount, so it must be in the image"));
        }
        let name = flags.name.clone().unwrap_or_else(|| name::of_output(&output));
        let folder = flags.files.clone().unwrap_or_else(|| PathBuf::from(format!("{name}.submit")));
        let folder = PathBuf::from(absolute_text(&text_of(&folder)?)?);
        let program = flags.program.clone().unwrap_or_else(|| "deep3m".to_owned());
        Ok(Self { line, flags, name, output, seen: None, program, folder })
    }

    /// Says early what each worker would say late.
    pub(super) fn check_inputs(&self) -> Result<(), SubmitError> {
        for path in ["model", "volume"].map(|id| self.line.value(id)).into_iter().filter(|path| !is_address(path)) {
            // `vol.h5:/dataset` names a file and what is in it.
            let file = path.split_once(":/").map_or(path, |(file, _)| file);
            if !Path::new(path).exists() && !Path::new(file).exists() {
                return Err(SubmitError::NoInput { path: path.to_owned() });
            }
        }
        Ok(())
    }

    /// How many workers there are.
    pub(super) const fn workers(&self) -> u32 {
        self.flags.workers
    }
}

/// What holds for every engine: an output that can be written, a layout that can be shared, and a worker that plans with the memory it is given, not with
/// what its machine shows, which may be all of the machine's.
fn prepare(line: PredictLine, memory: Option<Memory>) -> Result<PredictLine, SubmitError> {
    let region = line.value("region").parse().ok();
    check_output(Path::new(line.value("output")), region).map_err(|e| SubmitError::Output(Box::new(e)))?;
    if line.value("layout") == "cdeep3m" {
        return Err(SubmitError::Layout);
    }
    Ok(match memory {
        Some(memory) => line.with_default("memory", &memory.to_plan_with()),
        None => line,
    })
}

/// Whether a place is an address such as s3://bucket/key.
fn is_address(place: &str) -> bool {
    place.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
    })
}

fn absolute_text(path: &str) -> Result<String, SubmitError> {
    let absolute = absolute(path).map_err(|e| SubmitError::System { command: path.to_owned(), source: e })?;
    text_of(&absolute)
}

/// A path as text that scripts can hold.
fn text_of(path: &Path) -> Result<String, SubmitError> {
    let refuse = |found, expected| SubmitError::Name { path: path.to_owned(), found, expected };
    let text = path.to_str().ok_or_else(|| refuse("a name that is not UTF-8", "which manifests cannot hold"))?;
    match super::shell::control(text) {
        Some(_) => Err(refuse("a control character", "which scripts cannot hold")),
        None => Ok(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for address in ["s3://b/k", "gs://b", "https://h/a.zarr", "az://c/k"] {
            assert!(is_address(address), "{address}");
        }
        for path in ["a.zarr", "/a", "vol.h5:/dataset", "a b://c", "://x", "./s3:/x"] {
            assert!(!is_address(path), "{path}");
        }
    }
}
