//! Checks the crate `varta` against a file of conformance vectors, or `varta-observer` against a file
//! of stories. Prints the failures, then the numbers of passed and failed ones.

mod check;
mod document;
mod failure;
mod fields;
mod report;

use std::env;
use std::ffi::OsString;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use document::Vector;
use failure::Failure;
use fields::Fields;
use report::{Outcome, Report};

const USAGE: &str = "usage: varta-conformance [--json] FILE
  --json  print the counts of each kind as a JSON object instead of the sums";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return print(&format!("{USAGE}\n"), ExitCode::SUCCESS);
    }
    let Some((path, json)) = parse(arguments) else {
        return unusable(USAGE);
    };
    match run_file(&path) {
        Err(reason) => unusable(&format!("cannot use {}: {reason}", path.display())),
        Ok(report) => {
            let last = if json { report.counts() } else { report.sums() };
            let code = if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            print(&format!("{}{last}\n", report.details()), code)
        }
    }
}

fn parse(arguments: Vec<OsString>) -> Option<(PathBuf, bool)> {
    let (flags, paths): (Vec<_>, Vec<_>) =
        arguments.into_iter().partition(|argument| argument.to_string_lossy().starts_with('-'));
    if flags.iter().any(|flag| flag != "--json") {
        return None;
    }
    match <[OsString; 1]>::try_from(paths) {
        Ok([path]) => Some((path.into(), !flags.is_empty())),
        Err(_) => None,
    }
}

fn run_file(path: &Path) -> Result<Report, String> {
    let mut report = Report::default();
    for vector in document::load(path)? {
        report.add(&vector, check(&vector));
    }
    Ok(report)
}

fn check(vector: &Vector) -> Outcome {
    let kind = match vector.kind() {
        Ok(kind) => kind,
        Err(failure) => return Outcome::Failed(failure),
    };
    let Some(run) = check::of(kind) else {
        return Outcome::Skipped;
    };
    let result = Fields::new(&vector.value).and_then(|fields| {
        fields.text("id")?;
        // A panic is a failure with a name, like any other.
        panic::catch_unwind(AssertUnwindSafe(|| run(&fields)))
            .unwrap_or_else(|_| Err(Failure::new("check", "a result", "a panic")))
    });
    match result {
        Ok(()) => Outcome::Passed,
        Err(failure) => Outcome::Failed(failure),
    }
}

fn print(text: &str, code: ExitCode) -> ExitCode {
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => code,
        Err(error) => unusable(&format!("cannot write the result: {error}")),
    }
}

fn unusable(reason: &str) -> ExitCode {
    // If this fails too, the exit code still reports the problem.
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::from(2)
}
