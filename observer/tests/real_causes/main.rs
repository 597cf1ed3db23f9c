//! Produces causes of silence for real, and compares what the observer reports with what was
//! done. `make causes` repeats all of them and prints a table.

#![cfg(target_os = "linux")]
#![allow(unsafe_code, reason = "hangs in system calls and in locks of the C library")]
#![allow(clippy::incompatible_msrv, reason = "tests run with the current Rust")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "prints the table")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests"
)]

mod hangs;
mod hostile;
mod kinds;
mod load;
mod mounts;
mod needs;
mod outside;
mod programs;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod trials;

use kinds::{KINDS, Kind, Wave};
use load::Load;
use support::needs_root;
use table::Table;
use trials::Outcome;
use varta_observer::CauseClass;

/// A machine that is shared may stop a test at any moment, so that what was done is not what
/// happened. A kind that is wrong each time is not found out.
const TRIES: usize = 5;

/// So many processes are silent at the same time.
const AT_ONCE: usize = 12;

/// The kinds of a wave that this system can produce.
fn possible(wave: Wave) -> impl Iterator<Item = &'static Kind> {
    KINDS.iter().filter(move |kind| kind.wave == wave && kind.missing().is_none())
}

#[test]
fn each_kind_of_silence_is_found_out() {
    if !needs_root() {
        return;
    }
    let mut produced = 0;
    for wave in Wave::ALL {
        let mut left: Vec<_> = possible(wave).filter(|kind| !kind.is_dear).collect();
        produced += left.len();
        for attempt in 1..=TRIES {
            let outcomes: Vec<_> = left.chunks(AT_ONCE).flat_map(trials::run).collect();
            for outcome in &outcomes {
                assert_not_blamed(outcome);
            }
            let wrong: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_right()).collect();
            assert!(wrong.is_empty() || attempt < TRIES, "wrong {TRIES} times: {wrong:#?}");
            left = wrong.iter().map(|outcome| outcome.kind).collect();
            if left.is_empty() {
                break;
            }
        }
    }
    assert!(produced >= 30, "only {produced} kinds could be produced");
}

/// What holds a process for certain is never taken for its own fault, not even once.
fn assert_not_blamed(outcome: &Outcome) {
    let truth = outcome.kind.causes[0];
    if truth.class() == CauseClass::Outside && outcome.kind.is_certain() {
        let found = outcome.cause().class();
        assert!(!matches!(found, CauseClass::Own | CauseClass::Kernel), "{outcome:?}");
    }
}

/// Produces all kinds (or those with `VARTA_CAUSES_ONLY` in their names), as often as `VARTA_CAUSES_TIMES` says and while `VARTA_CAUSES_LOAD` endless
/// loops run on each CPU, and writes a line for each trial to the file `VARTA_CAUSES_OUT`.
#[test]
#[ignore = "takes minutes; make causes runs it"]
fn all_kinds_of_silence_are_counted() {
    let number = |name, otherwise| {
        std::env::var(name).map_or(otherwise, |value: String| value.parse().unwrap())
    };
    let (times, load) = (number("VARTA_CAUSES_TIMES", 4), number("VARTA_CAUSES_LOAD", 0));
    let only = std::env::var("VARTA_CAUSES_ONLY").unwrap_or_default();
    let wanted = |kind: &&Kind| kind.name.contains(&only);
    let mut table = Table::new(load);
    for kind in KINDS.iter().filter(wanted) {
        if let Some(missing) = kind.missing() {
            eprintln!("{}: not produced, for lack of {missing}", kind.name);
            table.add_missing(&kind.name, &missing);
        }
    }
    let _load = Load::start(load);
    for _ in 0..times {
        for wave in Wave::ALL {
            let kinds: Vec<_> = possible(wave).filter(wanted).collect();
            for kinds in kinds.chunks(wave.at_once()) {
                for outcome in trials::run(kinds) {
                    if !outcome.is_right() {
                        eprintln!("{outcome:?}");
                    }
                    table.add(&outcome);
                }
            }
        }
    }
    println!("{}", table.summary());
    if let Some(path) = std::env::var_os("VARTA_CAUSES_OUT") {
        std::fs::write(path, table.lines()).unwrap();
    }
    assert!(table.is_right(), "fewer than 97 of 100 are right");
    assert!(table.blames_nobody(), "processes that were held from outside were blamed");
}

#[test]
#[ignore = "only an agent executes it"]
fn sleeps_when_executed_by_an_agent() {
    loop {
        std::thread::park();
    }
}
