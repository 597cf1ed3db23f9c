//! `audit verify` must find changes to the log.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::fs;
use std::process::Command;

use support::{Agent, Daemon, Folder, WATCH, lines_of, wait_until};

/// Each flip starts a process, so more would be slow, and would find nothing new.
const FLIPS: usize = 300;

#[test]
fn every_flipped_bit_that_changes_the_meaning_is_found() {
    let folder = Folder::new();
    let (audit, changed) = (folder.join("audit"), folder.join("changed"));
    let flags = [
        ["--threshold-ms", "60000"],
        ["--recovery-exec", "/bin/true"],
        ["--recovery-audit-file", audit.to_str().unwrap()],
    ];
    let mut daemon = Daemon::start(&folder, &flags.concat());
    for mut agent in Agent::crowd(daemon.socket(), 3) {
        agent.kill();
    }
    wait_until(|| lines_of(&audit, 3, "ended").len() == 3);
    daemon.end();

    let whole = fs::read(&audit).unwrap();
    let bits = whole.len() * 8;
    assert!(bits > FLIPS);
    // A stride that shares no factor with 8 visits each bit of a byte.
    for bit in (0..bits).step_by((bits / FLIPS) | 1) {
        let mut text = whole.clone();
        text[bit / 8] ^= 1 << (bit % 8);
        fs::write(&changed, &text).unwrap();
        let verified =
            Command::new(WATCH).args(["audit", "verify"]).arg(&changed).output().unwrap();
        // A hash may be in upper case, and a last line without a newline counts as cut off.
        let is_the_same = text.eq_ignore_ascii_case(&whole) || bit / 8 == whole.len() - 1;
        let code = verified.status.code();
        assert!(code == Some(1) || is_the_same && code == Some(0), "bit {bit}: {verified:?}");
    }
}
