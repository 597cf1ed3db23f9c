//! Events in the form that `lib/events.js` reads: eight 64-bit words each, in a shared array, so
//! that a batch of them needs only one call.

use varta_observer::{Event, ExitCause, What};

/// The number of words per event.
pub(crate) const WORDS: usize = 8;

/// Writes events until there are no more or the array is full, and returns their number.
pub(crate) fn write(events: impl Iterator<Item = Event>, room: &mut [u64]) -> u32 {
    let mut written = 0;
    // The array is the first iterator, so that no event is taken without a place for it.
    for (words, event) in room.chunks_exact_mut(WORDS).zip(events) {
        words.copy_from_slice(&record(&event));
        written += 1;
    }
    written
}

/// The time, the kind and origin, the agent, its pids, and four words that depend on the kind.
fn record(event: &Event) -> [u64; WORDS] {
    let (agent, pids, origin) = event.about.map_or((0, 0, 0), |about| {
        (about.agent, pair(about.pid, about.claimed_pid), about.origin as u8)
    });
    let (a, b, c, d) = details(&event.what);
    let what = pair(event.what.code().into(), origin.into());
    [event.observer_ns, what, agent, pids, a, b, c, d]
}

fn details(what: &What) -> (u64, u64, u64, u64) {
    match *what {
        What::Beat { status, payload, nonce, missed } => {
            (status as u64, payload, nonce, missed)
        }
        What::Stall { last_nonce, last_ns, deaf } => (last_nonce, last_ns, deaf.into(), 0),
        What::Recovered { silent_ns } => (silent_ns, 0, 0, 0),
        What::Exit { cause, last_status } => {
            let number = match cause {
                ExitCause::Unknown => 0,
                ExitCause::Code(number) | ExitCause::Signal(number) => number,
            };
            (last_status as u64, cause.kind().into(), number.cast_unsigned().into(), 0)
        }
        What::Decode(error) => (error.code().into(), 0, 0, 0),
        What::AuthFailure { claimed_pid, true_pid } => {
            (claimed_pid.into(), true_pid.into(), 0, 0)
        }
        What::Io { errno } => (errno.cast_unsigned().into(), 0, 0, 0),
        What::Paused { ns } => (ns, 0, 0, 0),
        // A kind that this version does not know has only a code.
        _ => (0, 0, 0, 0),
    }
}

/// Joins two halves of a word, the low one first.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}
