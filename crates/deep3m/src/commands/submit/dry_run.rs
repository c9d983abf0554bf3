//! What would be done, as a shell script that does it.

use std::path::Path;

use super::engine::Engine;
use super::shell;

/// A script that writes the files and submits them.
pub(super) fn script(engine: &dyn Engine, folder: &Path) -> String {
    let folder = folder.to_string_lossy();
    let mut lines = vec!["#!/bin/sh".to_owned(), "set -e".to_owned(), format!("mkdir -p {}", shell::quote(&folder))];
    for file in engine.files() {
        let mut end = "END".to_owned();
        while file.text.lines().any(|line| line == end) {
            end.push('_');
        }
        let path = shell::quote(&format!("{folder}/{}", file.name));
        lines.push(format!("\ncat > {path} <<'{end}'\n{}\n{end}", file.text.trim_end_matches('\n')));
    }
    lines.push(String::new());
    format!("{}\n{}", lines.join("\n"), commands(engine))
}

/// The commands alone.
pub(super) fn commands(engine: &dyn Engine) -> String {
    engine.commands().join("\n") + "\n"
}
