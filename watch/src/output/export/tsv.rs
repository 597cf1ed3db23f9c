//! The columns of varta-watch 0.2: time, kind, pid, nonce, status, payload.

use std::fmt::Write;

use varta_observer::What;

use super::Entry;
use crate::state::stats::shown_pid;

/// Writes the lines of an event, and returns their number. Events that varta-watch 0.2 does not
/// have get lines of new kinds. An exit also gets the stall line that 0.2 would write.
pub(super) fn entry(entry: &Entry, text: &mut String) -> u64 {
    let Entry { event, nonce, stalled, .. } = entry;
    let (at, kind) = (event.observer_ns, event.what.name());
    let pid = event.about.map_or(0, |about| shown_pid(about.pid, about.claimed_pid));
    let mut lines = 1;
    // Writing to a string does not fail.
    let _ = match &event.what {
        What::Beat { status, payload, nonce, .. } => {
            writeln!(text, "{at}\tbeat\t{pid}\t{nonce}\t{status}\t{payload}")
        }
        What::Stall { last_nonce, .. } => {
            writeln!(text, "{at}\tstall\t{pid}\t{last_nonce}\tstall\t-")
        }
        What::Recovered { silent_ns, .. } => {
            writeln!(text, "{at}\trecovered\t{pid}\t-\t-\t{silent_ns}")
        }
        What::Exit { cause, last_status } => {
            if !stalled {
                lines += 1;
                let _ = writeln!(text, "{at}\tstall\t{pid}\t{nonce}\tstall\t-");
            }
            writeln!(text, "{at}\texit\t{pid}\t{nonce}\t{last_status}\t{cause}")
        }
        What::Decode(error) => writeln!(text, "{at}\tdecode\t-\t-\t-\t{error:?}"),
        What::AuthFailure { claimed_pid, .. } => {
            writeln!(text, "{at}\tmismatch\t{claimed_pid}\t-\t-\tauth_failure")
        }
        What::Io { errno } => {
            let error = std::io::Error::from_raw_os_error(*errno);
            writeln!(text, "{at}\tio\t-\t-\t-\t{error}")
        }
        What::Paused { ns } => writeln!(text, "{at}\tpaused\t-\t-\t-\t{ns}"),
        other => writeln!(text, "{at}\t{kind}\t-\t-\t-\t{other}"),
    };
    lines
}

pub(super) fn eviction(at_ns: u64, pid: u32, text: &mut String) {
    let _ = writeln!(text, "{at_ns}\teviction\t{pid}\t-\t-\t-");
}
