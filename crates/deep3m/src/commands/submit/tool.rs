//! The programs of an engine: sbatch, kubectl, aws.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};

use super::engine::SubmitError;
use super::shell;

/// A program that is called with text and answers with text.
#[derive(Clone, Debug)]
pub(super) struct Tool {
    /// Its name, found on the PATH.
    name: &'static str,
    /// Where it is found, for those who do not have it.
    advice: &'static str,
    /// Words before all others.
    first: Vec<String>,
}

impl Tool {
    pub(super) fn new(name: &'static str, advice: &'static str, first: Vec<String>) -> Self {
        Self { name, advice, first }
    }

    /// The command line as one would type it; `arguments` is shell as it stands.
    pub(super) fn line(&self, arguments: &str) -> String {
        let first = self.first.iter().map(|word| shell::quote(word));
        let words = std::iter::once(self.name.to_owned()).chain(first).chain([arguments.to_owned()]);
        words.collect::<Vec<_>>().join(" ")
    }

    /// Runs it to its end; what it prints.
    pub(super) fn call<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String, SubmitError> {
        self.call_with(arguments, "")
    }

    /// Runs it on an input.
    pub(super) fn call_with<S: AsRef<str>>(&self, arguments: &[S], input: &str) -> Result<String, SubmitError> {
        let system = |error: std::io::Error| match error.kind() {
            ErrorKind::NotFound => SubmitError::NoTool { name: self.name, advice: self.advice },
            _ => SubmitError::System { command: self.line(&shell::words(arguments)), source: error },
        };
        let arguments_all = self.first.iter().map(String::as_str).chain(arguments.iter().map(AsRef::as_ref));
        let mut command = Command::new(self.name);
        command.args(arguments_all).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(system)?;
        if let Some(mut stdin) = child.stdin.take() {
            // Whether it read all shows in how it ends.
            let _ = stdin.write_all(input.as_bytes());
        }
        let output = child.wait_with_output().map_err(system)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).trim().to_owned());
        Err(SubmitError::Failed {
            command: self.line(&shell::words(arguments)),
            status: output.status,
            said: said.into_iter().find(|text| !text.is_empty()).unwrap_or_else(|| "nothing was said".to_owned()),
        })
    }
}
