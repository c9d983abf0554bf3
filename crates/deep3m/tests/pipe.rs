//! What happens when nobody reads the output.

#![cfg(unix)]

use std::fs::OpenOptions;
use std::process::{Command, Stdio};

fn phantom(folder: &std::path::Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deep3m"));
    command.args(["phantom", "--shape", "1,16,16", "-o"]).arg(folder.join("phantom")).stderr(Stdio::piped());
    command
}

#[test]
fn a_pipe_that_is_closed_ends_it_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = phantom(folder.path()).stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(141));
    assert!(folder.path().join("phantom/truth.json").exists());
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = phantom(folder.path()).stdout(full).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("Error: standard output cannot be written: No space left"), "{said}");
    assert_eq!(output.status.code(), Some(1));
}
