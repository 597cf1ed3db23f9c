//! Events in the form that `lib/events.js` reads: 23 64-bit words each, in a shared array, so
//! that a batch of them needs only one call. `lib/events.js` passes the words of an event back to
//! have it formatted.

use std::iter;

use napi::bindgen_prelude::BigUint64ArraySlice;
use varta::{DecodeError, Promise, Rule, Status, TaskName};
use varta_observer::{
    About, Cause, CauseFlags, Certainty, Ending, Event, ExitCause, Label, Late, Origin, Task,
    What, Why,
};

use crate::failure::named;
use crate::sys::words;

/// The number of words per event.
pub(crate) const WORDS: usize = 23;

/// The name of an event's agent. JavaScript gets it once and keeps it until the agent's exit, so that
/// beats need no strings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Name {
    pub(crate) label: Label,
    /// Whether JavaScript is to forget all other names.
    pub(crate) alone: bool,
}

/// Writes events until there are no more or the array is full, and returns their number.
pub(crate) fn write(
    events: impl Iterator<Item = (Event, Option<Name>)>,
    room: &mut [u64],
) -> u32 {
    let mut written = 0;
    // The array is the first iterator, so that no event is taken without a place for it.
    for (words, (event, name)) in room.chunks_exact_mut(WORDS).zip(events) {
        words.copy_from_slice(&record(&event, name));
        written += 1;
    }
    written
}

/// The time, the kind and origin, the agent, its pids, four words that depend on the kind, and the
/// number of the task with the length of its name, the name, two words about the cause, and the
/// agent's name, if it is new: a word with its length and 1, and eight with the name.
fn record(event: &Event, name: Option<Name>) -> [u64; WORDS] {
    let (agent, pids, origin) = event.about.map_or((0, 0, 0), |about| {
        (about.agent, pair(about.pid, about.claimed_pid), about.origin as u8)
    });
    let (a, b, c, d) = details(&event.what);
    let what = pair(event.what.code().into(), origin.into());
    let [task, e, f, g] = event.task.map_or([0; 4], |task| of_task(&task));
    let [i, j] = of_why(&event.what);
    let mut words = [0; WORDS];
    let (of_event, of_name) = words.split_at_mut(WORDS - NAME);
    let before = [event.observer_ns, what, agent, pids, a, b, c, d, task, e, f, g, i, j];
    of_event.copy_from_slice(&before);
    if let Some(name) = name {
        write_name(name, of_name);
    }
    words
}

/// The words about an agent's name, the last ones.
const NAME: usize = 9;

fn write_name(name: Name, words: &mut [u64]) {
    let text = name.label.as_str().as_bytes();
    let length = u32::try_from(text.len()).unwrap_or(0) + 1;
    let parts = text.chunks(8).map(|part| {
        let mut eight = [0; 8];
        part.iter().zip(&mut eight).for_each(|(from, to)| *to = *from);
        u64::from_le_bytes(eight)
    });
    let all = iter::once(pair(length, name.alone.into())).chain(parts);
    words.iter_mut().zip(all).for_each(|(word, value)| *word = value);
}

fn read_name(words: &[u64]) -> Option<Label> {
    let (length, text) = words.split_first()?;
    let Some(length) = halves(*length).0.checked_sub(1) else { return Some(Label::EMPTY) };
    let bytes: Vec<_> = text.iter().flat_map(|word| word.to_le_bytes()).collect();
    Some(Label::new(bytes.get(..usize::try_from(length).ok()?)?))
}

/// Why a process is silent: 1, the cause, its certainty and flags, the thread, and the other one.
fn of_why(what: &What) -> [u64; 2] {
    let (What::Stall { why: Some(why), .. } | What::Cause { why }) = what else {
        return [0; 2];
    };
    let cause = [1, why.cause as u8, why.certainty as u8, why.flags.bits()];
    [pair(u32::from_le_bytes(cause), why.thread), why.other.into()]
}

fn of_task(task: &Task) -> [u64; 4] {
    let (text, bytes) = (task.name.as_str(), task.name.to_bytes());
    let mut words = bytes
        .chunks_exact(8)
        .map(|eight| eight.first_chunk().map_or(0, |eight| u64::from_le_bytes(*eight)));
    let mut next = || words.next().unwrap_or(0);
    let length = u32::try_from(text.len()).unwrap_or(0);
    [pair(task.number, length), next(), next(), next()]
}

fn details(what: &What) -> (u64, u64, u64, u64) {
    match *what {
        What::Beat { status, payload, nonce, missed, count } => {
            (pair(u32::from(status as u8), count), payload, nonce, missed)
        }
        What::Stall { last_nonce, last_ns, deaf, late, .. } => {
            let (late, due_ns) = late.map_or((0, 0), |late| {
                (shorts(late.promise as u16, late.checkpoint), late.due_ns)
            });
            (last_nonce, last_ns, pair(deaf.into(), late), due_ns)
        }
        What::Recovered { silent_ns, promise } => (silent_ns, promise as u64, 0, 0),
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
        What::Task { threshold_ns } => (threshold_ns, 0, 0, 0),
        What::Ended { how } => (how as u64, 0, 0, 0),
        What::Violation { rule, count, from, to, by } => {
            (pair(u32::from(rule as u8), count), shorts(from, to).into(), by, 0)
        }
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
            Some((event, label)) => Ok(event.named(label).to_string()),
            None => Err(named("22", "these words are not an event")),
        }
    }
}

/// Reads what [`record`] wrote.
fn read(words: &[u64]) -> Option<(Event, Label)> {
    let (words, of_name) = words.split_at_checked(WORDS - NAME)?;
    let &[observer_ns, kind, agent, pids, a, b, c, d, task, ref name @ .., i, j] = words else {
        return None;
    };
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
        1 => {
            let (status, count) = (status(halves(a).0.into())?, halves(a).1);
            What::Beat { status, payload: b, nonce: c, missed: d, count }
        }
        2 => {
            let (deaf, late) = halves(c);
            What::Stall {
                last_nonce: a,
                last_ns: b,
                deaf: deaf != 0,
                late: self::late(late, d),
                why: why(i, j)?,
            }
        }
        3 => What::Recovered { silent_ns: a, promise: Promise::from_byte(a_byte(b)?)? },
        4 => What::Exit { cause: cause(b, c)?, last_status: status(a)? },
        5 => What::Decode(decode_error(a, b, c)?),
        6 => What::AuthFailure { claimed_pid: halves(a).0, true_pid: halves(b).0 },
        7 => What::Io { errno: halves(a).0.cast_signed() },
        8 => What::Paused { ns: a },
        9 => What::Task { threshold_ns: a },
        10 => What::Ended { how: ending(a_byte(a)?)? },
        11 => {
            let ((rule, count), (from, to)) = (halves(a), both(halves(b).0));
            let rule = Rule::from_byte(a_byte(rule.into())?)?;
            What::Violation { rule, count, from, to, by: c }
        }
        12 => What::Cause { why: why(i, j)?? },
        _ => return None,
    };
    let about = origin.map(|origin| About { agent, pid, claimed_pid, origin });
    let task = match halves(task).0 {
        0 => None,
        number => Some(Task { number, name: task_name(name)?, done: 0 }),
    };
    Some((Event { observer_ns, about, task, what }, read_name(of_name)?))
}

fn task_name(words: &[u64]) -> Option<TaskName> {
    let mut bytes = [0; 24];
    for (eight, word) in bytes.chunks_exact_mut(8).zip(words) {
        eight.copy_from_slice(&word.to_le_bytes());
    }
    TaskName::from_bytes(bytes)
}

/// The cause, if there is one; `None` if the words are not one.
fn why(i: u64, j: u64) -> Option<Option<Why>> {
    let (cause, thread) = halves(i);
    let [present, cause, certainty, flags] = cause.to_le_bytes();
    if present == 0 {
        return Some(None);
    }
    let mut why = Why::UNKNOWN;
    why.cause = Cause::ALL.into_iter().find(|known| *known as u8 == cause)?;
    let all = [Certainty::Guess, Certainty::Likely, Certainty::Certain];
    why.certainty = *all.get(usize::from(certainty))?;
    why.flags = CauseFlags::from_bits(flags);
    (why.thread, why.other) = (thread, halves(j).0);
    Some(Some(why))
}

fn late(which: u32, due_ns: u64) -> Option<Late> {
    let (number, checkpoint) = both(which);
    Some(Late { promise: Promise::from_byte(a_byte(number.into())?)?, due_ns, checkpoint })
}

fn ending(number: u8) -> Option<Ending> {
    Ending::ALL.into_iter().find(|how| *how as u8 == number)
}

fn a_byte(word: u64) -> Option<u8> {
    u8::try_from(word).ok()
}

fn status(word: u64) -> Option<Status> {
    Status::from_wire(a_byte(word)?)
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
        4 => DecodeError::BadStatus(a_byte(found)?),
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

/// Joins two shorts, the low one first.
fn shorts(low: u16, high: u16) -> u32 {
    u32::from(low) | u32::from(high) << 16
}

/// The shorts of a half, the low one first.
const fn both(half: u32) -> (u16, u16) {
    let [a, b, c, d] = half.to_le_bytes();
    (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]))
}
