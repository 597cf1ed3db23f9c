//! Events in the form that `lib/events.js` reads: eight 64-bit words each, in a shared array, so
//! that a batch of them needs only one call. `lib/events.js` passes the words of an event back to
//! have it formatted.

use napi::bindgen_prelude::BigUint64ArraySlice;
use varta::{DecodeError, Promise, Status};
use varta_observer::{About, Event, ExitCause, Origin, What};

use crate::failure::named;
use crate::sys::words;

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
        What::Beat { status, payload, nonce, missed, .. } => {
            (status as u64, payload, nonce, missed)
        }
        What::Stall { last_nonce, last_ns, deaf, .. } => (last_nonce, last_ns, deaf.into(), 0),
        What::Recovered { silent_ns, .. } => (silent_ns, 0, 0, 0),
        What::Exit { cause, last_status } => {
            let number = match cause {
                ExitCause::Unknown => 0,
                ExitCause::Code(number) | ExitCause::Signal(number) => number,
            };
            (last_status as u64, cause.kind().into(), number.cast_unsigned().into(), 0)
        }
        What::Decode(error) => {
            let (found, expected) = found(error);
            (error.code().into(), found, expected, 0)
        }
        What::AuthFailure { claimed_pid, true_pid } => {
            (claimed_pid.into(), true_pid.into(), 0, 0)
        }
        What::Io { errno } => (errno.cast_unsigned().into(), 0, 0, 0),
        What::Paused { ns } => (ns, 0, 0, 0),
        // A kind that this version does not know has only a code.
        _ => (0, 0, 0, 0),
    }
}

/// The words of a decode error after its number.
fn found(error: DecodeError) -> (u64, u64) {
    match error {
        DecodeError::BadMagic | DecodeError::BadVersion | DecodeError::StallOnWire => (0, 0),
        DecodeError::BadCrc { expected, actual } => (actual.into(), expected.into()),
        DecodeError::BadStatus(status) => (status.into(), 0),
        DecodeError::BadPid(pid) => (pid.into(), 0),
        DecodeError::BadTimestamp(timestamp) => (timestamp, 0),
        DecodeError::BadNonce { nonce, status } => (nonce, status as u64),
    }
}

exported! {
    /// Formats an event that this module wrote.
    fn event_text(mut event: BigUint64ArraySlice<'_>) -> Result<String> {
        match read(words(&mut event)) {
            Some(event) => Ok(event.to_string()),
            None => Err(named("22", "these words are not an event")),
        }
    }
}

/// Reads what [`record`] wrote.
fn read(words: &[u64]) -> Option<Event> {
    let &[observer_ns, kind, agent, pids, a, b, c, d] = words else { return None };
    let (kind, origin) = halves(kind);
    let (pid, claimed_pid) = halves(pids);
    let origin = match origin {
        0 => None,
        1 => Some(Origin::KernelAttested),
        2 => Some(Origin::SecureNetwork),
        3 => Some(Origin::Network),
        _ => return None,
    };
    let what = match kind {
        1 => What::Beat { status: status(a)?, payload: b, nonce: c, missed: d, count: 1 },
        2 => What::Stall { last_nonce: a, last_ns: b, deaf: c != 0, late: None, why: None },
        3 => What::Recovered { silent_ns: a, promise: Promise::Beat },
        4 => What::Exit { cause: cause(b, c)?, last_status: status(a)? },
        5 => What::Decode(decode_error(a, b, c)?),
        6 => What::AuthFailure { claimed_pid: halves(a).0, true_pid: halves(b).0 },
        7 => What::Io { errno: halves(a).0.cast_signed() },
        8 => What::Paused { ns: a },
        _ => return None,
    };
    let about = origin.map(|origin| About { agent, pid, claimed_pid, origin });
    Some(Event { observer_ns, about, task: None, what })
}

fn status(word: u64) -> Option<Status> {
    Status::from_wire(u8::try_from(word).ok()?)
}

fn cause(kind: u64, number: u64) -> Option<ExitCause> {
    let number = halves(number).0.cast_signed();
    match kind {
        0 => Some(ExitCause::Unknown),
        1 => Some(ExitCause::Code(number)),
        2 => Some(ExitCause::Signal(number)),
        _ => None,
    }
}

fn decode_error(code: u64, found: u64, expected: u64) -> Option<DecodeError> {
    Some(match code {
        1 => DecodeError::BadMagic,
        2 => DecodeError::BadVersion,
        3 => DecodeError::BadCrc { expected: halves(expected).0, actual: halves(found).0 },
        4 => DecodeError::BadStatus(u8::try_from(found).ok()?),
        5 => DecodeError::StallOnWire,
        6 => DecodeError::BadPid(halves(found).0),
        7 => DecodeError::BadTimestamp(found),
        8 => DecodeError::BadNonce { nonce: found, status: status(expected)? },
        _ => return None,
    })
}

/// The halves of a word, the low one first.
const fn halves(word: u64) -> (u32, u32) {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    (u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]))
}

/// Joins two halves of a word, the low one first.
fn pair(low: u32, high: u32) -> u64 {
    u64::from(low) | u64::from(high) << 32
}
