//! What the lines of a process's own tasks mean.

use std::time::Duration;

use super::options::NEVER;
use super::{Promise, TaskName};
use crate::lane::layout::{self, Cold, Hot, Info, PAIRS, done_and_left};
use crate::lane::pairs::Pairs;
use crate::status::Status;
use crate::sys::monotonic_ns;

/// The promises that are broken at `now`, as far as a task's line shows: a bit for each, as in
/// [`Promise::bit`].
#[inline]
#[must_use]
pub fn broken(now: u64, cold: &Cold, hot: &Hot) -> u8 {
    let Some(info) = Info::from_word(hot.info) else { return 0 };
    let mut broken = info.broken;
    if hot.until != layout::NEVER && now >= hot.until {
        broken |= info.which.map_or(0, Promise::bit);
    }
    // Another promise may be due before the next call is.
    let back_by = hot.at.saturating_add(cold.threshold_ns);
    if !info.idle
        && info.which != Some(Promise::Beat)
        && back_by != layout::NEVER
        && now >= back_by
    {
        broken |= Promise::Beat.bit();
    }
    broken
}

/// The state of a task of this process, from [`Varta::tasks`](crate::Varta::tasks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskReport {
    /// Its number, which no other task of the process has had.
    pub number: u32,
    /// Its name.
    pub name: TaskName,
    /// The longest time between two calls; [`NEVER`](crate::NEVER) for no limit.
    pub threshold: Duration,
    /// How long ago the last call was made.
    pub age: Duration,
    /// The status of the last beat.
    pub status: Status,
    /// The number in the last beat.
    pub payload: u32,
    /// Whether the task is idle.
    pub idle: bool,
    /// Whether the task is vital.
    pub vital: bool,
    /// How much is done.
    pub done: u32,
    /// How much is left.
    pub left: u32,
    /// How many violations there were. The count wraps.
    pub violations: u32,
    broken: u8,
}

impl TaskReport {
    /// The live tasks of this process.
    pub(crate) fn all(pairs: &'static Pairs) -> impl Iterator<Item = Self> {
        let now = monotonic_ns();
        let numbers = if pairs.is_ours() { 1..PAIRS } else { 0..0 };
        numbers.filter_map(move |pair| {
            let (cold, hot) = pairs.read(pair)?;
            Self::new(now, &cold, &hot)
        })
    }

    fn new(now: u64, cold: &Cold, hot: &Hot) -> Option<Self> {
        let info = Info::from_word(hot.info)?;
        let (done, left) = done_and_left(hot.last);
        Some(Self {
            number: cold.number,
            name: cold.name,
            threshold: match cold.threshold_ns {
                layout::NEVER => NEVER,
                ns => Duration::from_nanos(ns),
            },
            age: Duration::from_nanos(now.saturating_sub(hot.at)),
            status: info.status,
            payload: info.payload,
            idle: info.idle,
            vital: cold.vital,
            done,
            left,
            violations: cold.violations,
            broken: broken(now, cold, hot),
        })
    }

    /// Whether any of its promises is broken.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.broken != 0
    }

    /// Whether this promise is broken.
    #[must_use]
    pub fn is_broken(&self, promise: Promise) -> bool {
        self.broken & promise.bit() != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lane::layout::State;

    #[test]
    fn a_line_tells_what_is_broken_at_any_later_time() {
        let info = |which, idle, broken| {
            let (status, checkpoint, payload) = (Status::Ok, 0, 0);
            Info { status, which, idle, broken, checkpoint, payload }.to_word()
        };
        let hot = |until, info| Hot { at: 100, until, info, last: 0 };
        let cold = |threshold_ns| Cold {
            number: 1,
            state: State::Live,
            vital: false,
            roams: false,
            ended: State::Free,
            threshold_ns,
            finest_ns: threshold_ns,
            thread: 0,
            violations: 0,
            last_violation: None,
            name: TaskName::new("t").unwrap(),
        };
        let (beat, span, progress) =
            (Promise::Beat.bit(), Promise::Span.bit(), Promise::Progress.bit());
        let never = layout::NEVER;
        for (threshold, hot, now, expected) in [
            (50, hot(150, info(Some(Promise::Beat), false, 0)), 149, 0),
            (50, hot(150, info(Some(Promise::Beat), false, 0)), 150, beat),
            // A time to start is longer than the threshold.
            (50, hot(250, info(Some(Promise::Beat), false, 0)), 249, 0),
            (50, hot(120, info(Some(Promise::Span), false, progress)), 119, progress),
            (50, hot(120, info(Some(Promise::Span), false, progress)), 149, progress | span),
            (50, hot(120, info(Some(Promise::Span), false, 0)), 150, span | beat),
            (50, hot(never, info(None, true, span)), u64::MAX, span),
            (50, hot(900, info(Some(Promise::Beat), true, 0)), 899, 0),
            (50, hot(900, info(Some(Promise::Beat), true, 0)), 900, beat),
            (never, hot(never, info(None, false, 0)), u64::MAX, 0),
            (never, hot(120, info(Some(Promise::Span), false, 0)), u64::MAX, span),
        ] {
            assert_eq!(broken(now, &cold(threshold), &hot), expected, "{hot:?} at {now}");
        }
    }
}
