//! The flags, the files and the script in docs/watch.md must be correct, and the files in
//! docs/rules.md and docs/operating.md.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::process::Command;

use support::{Folder, WATCH, script};

const DOCS: &str = include_str!("../../docs/watch.md");
const RULES: &str = include_str!("../../docs/rules.md");
const OPERATING: &str = include_str!("../../docs/operating.md");

/// The first code block of this language.
fn block(page: &'static str, language: &str) -> &'static str {
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0
}

#[test]
fn every_flag_in_the_docs_exists() {
    let help = |arguments: &[&str]| {
        let output = Command::new(WATCH).args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let known = [
        &["--help"][..],
        &["run", "--help"],
        &["events", "--help"],
        &["audit", "verify", "--help"],
    ]
    .map(help)
    .concat();
    let removed = ["--inject-wedge-ms"];
    let words = DOCS.split(|char: char| !char.is_ascii_alphanumeric() && char != '-');
    let flags: Vec<_> = words
        .filter(|word| word.starts_with("--") && word.len() > 3 && word.as_bytes()[2] != b'-')
        .collect();
    assert!(flags.len() > 20);
    for flag in flags.into_iter().filter(|flag| !removed.contains(flag)) {
        let known = known.split_whitespace().any(|word| word == flag);
        assert!(known, "{flag}");
    }
}

#[test]
fn the_example_files_are_valid() {
    let folder = Folder::new();
    let file = folder.join("varta.toml");
    for page in [DOCS, RULES, OPERATING] {
        fs::write(&file, block(page, "toml")).unwrap();
        let mut check = Command::new(WATCH);
        check.args(["--socket", "/tmp/never.sock", "--threshold-ms", "2000", "--check-config"]);
        let checked = check.arg("--config").arg(&file).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn the_example_script_ignores_crashes_and_signals_only_by_pidfd() {
    let folder = Folder::new();
    let text = block(DOCS, "sh").replace("varta-watch", WATCH);
    let script = script(&folder, "revive", &text);
    let code = |cause: &str| {
        Command::new(&script).env("VARTA_CAUSE", cause).output().unwrap().status.code()
    };
    assert_eq!((code("exit:7"), code("signal:9")), (Some(0), Some(0)));
    // Without a pidfd the script must not signal anything.
    assert_eq!(code("stall"), Some(2));
}
