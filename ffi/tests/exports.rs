//! Every exported function is guarded and declared in the header.

use std::fs;
use std::path::Path;
use std::process::Command;

/// The names and bodies of the crate's exported functions.
fn bodies() -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = fs::read_to_string(path).unwrap();
            for exported in source.split("#[unsafe(no_mangle)]").skip(1) {
                let (signature, rest) = exported.split_once(" {\n").unwrap();
                let name = signature.split_once("extern \"C\" fn ").unwrap().1;
                let name = name.split_once('(').unwrap().0;
                let body = rest.split_once("\n}\n").unwrap().0;
                found.push((name.to_owned(), body.to_owned()));
            }
        }
    }
    found
}

/// The functions that C can call: all except the planted faults.
pub(super) fn names() -> Vec<String> {
    let names = bodies().into_iter().map(|(name, _)| name);
    names.filter(|name| !name.starts_with("varta_fault_")).collect()
}

#[test]
fn every_exported_function_runs_in_a_guard() {
    let bodies = bodies();
    assert!(bodies.len() > 40, "{} exported functions", bodies.len());
    for (name, body) in bodies {
        let lines: Vec<_> = body.lines().collect();
        let guarded = ["answer", "wide", "text", "end"]
            .iter()
            .any(|guard| lines[0].starts_with(&format!("    guard::{guard}(|| ")));
        let ends = ["    })", "    });"].contains(lines.last().unwrap()) || lines.len() == 1;
        let between = lines.len() < 2
            || lines[1..lines.len() - 1]
                .iter()
                .all(|line| line.is_empty() || line.starts_with("        "));
        assert!(guarded && ends && between, "{name} runs code outside a guard:\n{body}");
    }
}

#[test]
fn the_header_declares_exactly_the_exported_functions() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("functions");
    let output = Command::new(script).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let declared: Vec<_> = std::str::from_utf8(&output.stdout).unwrap().lines().collect();
    let mut exported = names();
    exported.sort();
    assert_eq!(declared, exported);
}
