//! Writing and reading a hot line while both sides use it at the same time.
//!
//! A line is a double buffer. Word 0 is a sequence number, and words 1 to 3 and 4 to 6 are two
//! copies of what the line holds. When the sequence is n, the copy n mod 2 is complete. A
//! writer fills the other copy and then increases the sequence, so a writer that is killed at
//! any moment leaves the last complete copy readable. Word 7 belongs to no copy; it may be one
//! write newer than the copy that is read with it.

use std::sync::atomic::{Ordering, fence};

use super::atomic::AtomicU64;
use super::layout::{Hot, Line};
use crate::sys;

/// How often a reader tries to read a line that is being written.
const TRIES: u32 = 64;

/// Writes a line. `sequence` is the one of the last write, which the writer remembers, because
/// it must not trust what is in shared memory; the next one is returned. Only one thread may
/// write a line at a time.
#[inline]
#[must_use]
pub fn write(line: &Line, sequence: u64, hot: &Hot) -> u64 {
    let next = next(sequence);
    let [number, .., last] = line;
    let [at, until, info] = copy(line, next);
    // A reader that finds a word of this copy must not find a sequence for which it was
    // complete before.
    fence(Ordering::Release);
    at.store(hot.at, Ordering::Relaxed);
    until.store(hot.until, Ordering::Relaxed);
    info.store(hot.info, Ordering::Relaxed);
    last.store(hot.last, Ordering::Relaxed);
    number.store(next, Ordering::Release);
    next
}

/// The sequence of the write after this one. 0 is that of a line that was never written.
#[inline]
pub(crate) const fn next(sequence: u64) -> u64 {
    match sequence.wrapping_add(1) {
        0 => 1,
        next => next,
    }
}

/// The copy that is complete when the sequence is this.
#[inline]
fn copy(line: &Line, sequence: u64) -> &[AtomicU64; 3] {
    let [_, even @ .., _, _, _, _] = line;
    let [_, _, _, _, odd @ .., _] = line;
    if sequence % 2 == 0 { even } else { odd }
}

/// What the thread that writes a line wrote last: `at` and `info`; 0 if it wrote nothing.
#[inline]
pub(crate) fn latest(line: &Line, sequence: u64) -> (u64, u64) {
    let [at, _, info] = copy(line, sequence);
    (at.load(Ordering::Relaxed), info.load(Ordering::Relaxed))
}

/// Begins to load a line that will be read soon, without waiting for it.
#[inline]
pub fn prefetch(line: &Line) {
    sys::prefetch(line);
}

/// Reads a line: its sequence, and what it holds. `None` if it was never written, or if it was
/// overwritten during each of 64 tries; then the values that were read before still apply.
#[inline]
#[must_use]
pub fn read(line: &Line) -> Option<(u64, Hot)> {
    let [number, .., last] = line;
    let mut sequence = number.load(Ordering::Acquire);
    for _ in 0..TRIES {
        if sequence == 0 {
            return None;
        }
        let [at, until, info] = copy(line, sequence);
        let hot = Hot {
            at: at.load(Ordering::Relaxed),
            until: until.load(Ordering::Relaxed),
            info: info.load(Ordering::Relaxed),
            last: last.load(Ordering::Relaxed),
        };
        // The words must have been read before the sequence is read again.
        fence(Ordering::Acquire);
        let again = number.load(Ordering::Acquire);
        if again == sequence {
            return Some((sequence, hot));
        }
        sequence = again;
    }
    None
}

/// The sequence of a line, to see whether it has changed.
#[inline]
#[must_use]
pub fn sequence(line: &Line) -> u64 {
    line[0].load(Ordering::Acquire)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    const HOT: Hot = Hot { at: 1, until: 2, info: 3, last: 4 };

    fn line() -> Line {
        [const { AtomicU64::new(0) }; 8]
    }

    #[test]
    fn a_line_is_read_as_it_was_written_last() {
        let line = line();
        assert_eq!(read(&line), None);
        let mut sequence = 0;
        for at in 1..5 {
            sequence = write(&line, sequence, &Hot { at, ..HOT });
            assert_eq!(read(&line), Some((at, Hot { at, ..HOT })));
        }
        assert_eq!(super::sequence(&line), 4);
    }

    #[test]
    fn a_reader_never_sees_parts_of_two_writes() {
        // Miri is slow, but reorders what the memory orders allow.
        const WRITES: u64 = if cfg!(miri) { 3_000 } else { 200_000 };
        let line = line();
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            threads.spawn(|| {
                let mut sequence = 0;
                for n in 1..WRITES {
                    let hot = Hot { at: n, until: n ^ 0x55, info: !n, last: n };
                    sequence = write(&line, sequence, &hot);
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                if let Some((sequence, hot)) = read(&line) {
                    let n = hot.at;
                    assert_eq!((sequence, hot.until, hot.info), (n, n ^ 0x55, !n));
                    assert!(hot.last == n || hot.last == n + 1, "{} after {n}", hot.last);
                }
            }
        });
    }
}
