//! What people read when they ask for help: each text as it is, and an example in each.

#![allow(clippy::unwrap_used, reason = "a helper outside a test function may fail like the test itself")]

use assert_cmd::Command;

fn help(arguments: &[&str]) -> String {
    let output = Command::cargo_bin("deep3m").unwrap().args(arguments).env("COLUMNS", "110").output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn of_the_program() {
    insta::assert_snapshot!(help(&["--help"]));
}

#[test]
fn of_every_command() {
    for command in [
        "demo",
        "phantom",
        "check",
        "enhance",
        "train",
        "predict",
        "submit",
        "submit slurm",
        "submit kubernetes",
        "submit aws-batch",
        "evaluate",
        "segment",
        "overlay",
        "combine",
        "measure",
        "density",
        "contacts",
        "count",
        "mesh",
        "convert",
        "plan",
        "plan predict",
        "plan train",
        "import",
        "export",
        "model",
        "model show",
        "model verify",
    ] {
        let mut arguments: Vec<&str> = command.split(' ').collect();
        arguments.push("--help");
        let text = help(&arguments);
        assert!(text.contains("Example"), "{command} --help shows an example");
        insta::assert_snapshot!(command.replace(' ', "_"), text);
    }
}
