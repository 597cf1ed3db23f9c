//! Runs the runner.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn run(arguments: &[&str]) -> Ran {
    let output =
        Command::new(env!("CARGO_BIN_EXE_varta-conformance")).args(arguments).output().unwrap();
    Ran {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Writes a file for one test.
pub(crate) fn file(name: &str, text: &str) -> PathBuf {
    let test = thread::current().name().unwrap().to_owned();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path
}

pub(crate) fn run_text(name: &str, text: &str) -> Ran {
    run(&[file(name, text).to_str().unwrap()])
}
