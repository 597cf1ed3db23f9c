//! Runs a file of conformance vectors through the crate `varta`, or of stories through
//! `varta-observer`: those that failed, then how many did not.

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
  --json  end with the counts of each kind as a JSON object, instead of the sums";

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return print(&format!("{USAGE}\n"), ExitCode::SUCCESS);
    }
    let Some((path, json)) = understand(arguments) else {
        return unusable(USAGE);
    };
    match run(&path) {
        Err(reason) => unusable(&format!("cannot use {}: {reason}", path.display())),
        Ok(report) => {
            let last = if json { report.counts() } else { report.sums() };
            let code = if report.failed() { ExitCode::FAILURE } else { ExitCode::SUCCESS };
            print(&format!("{}{last}\n", report.details()), code)
        }
    }
}

fn understand(arguments: Vec<OsString>) -> Option<(PathBuf, bool)> {
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

fn run(path: &Path) -> Result<Report, String> {
    let mut report = Report::default();
    for vector in document::load(path)? {
        report.add(&vector, judge(&vector));
    }
    Ok(report)
}

fn judge(vector: &Vector) -> Outcome {
    let kind = match vector.kind() {
        Ok(kind) => kind,
        Err(failure) => return Outcome::Failed(failure),
    };
    let Some(check) = check::of(kind) else {
        return Outcome::Skipped;
    };
    let checked = Fields::new(&vector.value).and_then(|fields| {
        fields.text("id")?;
        // One that panics is a failure with a name, like any other.
        panic::catch_unwind(AssertUnwindSafe(|| check(&fields)))
            .unwrap_or_else(|_| Err(Failure::new("check", "an answer", "a panic")))
    });
    match checked {
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
    // There is nobody left to tell if this fails too.
    let _ = writeln!(io::stderr(), "{reason}");
    ExitCode::from(2)
}
