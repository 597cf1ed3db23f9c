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
mod kinds;
mod outside;
#[path = "../support/mod.rs"]
mod support;
mod table;
mod trials;

use kinds::{KINDS, Wave};
use support::needs_root;
use table::Table;
use trials::Outcome;
use varta_observer::CauseClass;

/// A machine that is shared may stop a test at any moment, so that what was done is not what
/// happened. A kind that is wrong each time is not found out.
const TRIES: usize = 5;

#[test]
fn each_kind_of_silence_is_found_out() {
    if !needs_root() {
        return;
    }
    let mut produced = 0;
    for wave in Wave::ALL {
        let mut left: Vec<_> =
            KINDS.iter().filter(|kind| kind.wave == wave && kind.is_possible()).collect();
        produced += left.len();
        for attempt in 1..=TRIES {
            let outcomes = trials::run(&left);
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

/// Repeats all kinds and prints the table of what was found, for `make causes`.
#[test]
#[ignore = "takes minutes; make causes runs it"]
fn the_table_of_causes() {
    let times = std::env::var("VARTA_CAUSES_TIMES").map_or(10, |times| times.parse().unwrap());
    let mut table = Table::default();
    for _ in 0..times {
        for wave in Wave::ALL {
            let kinds: Vec<_> =
                KINDS.iter().filter(|kind| kind.wave == wave && kind.is_possible()).collect();
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
    println!("{table}");
    assert!(table.right() >= 0.97, "fewer than 97 of 100 are right");
    assert!(table.unblamed() >= 0.99, "processes that were held from outside were blamed");
}
