//! What a task promises, and whether its calls keep it.
//!
//! Time comes in with each call, and what belongs into the task's line comes out. There is no
//! clock, no memory that is shared, and after [`Promises::new`] no allocation.
//!
//! Spans, steps, progress and windows are measured in the time of the task, which stands still
//! while the task is idle. So when idling ends, all of them are moved at once.

#[cfg(test)]
mod reference;
mod route;
mod spans;
#[cfg(test)]
mod tests;
mod violations;
mod window;

use std::io;
use std::time::Duration;

use route::Route;
use spans::Spans;
pub use violations::Violations;
use window::Window;

use super::{Promise, Rule, SpanId, SpanLimits, TaskOptions};
use crate::lane::layout::{self, FARTHEST_NS, Hot, Info, NEVER, Violation};
use crate::status::Status;

/// The promises of one task.
///
/// Each call takes the current time in nanoseconds. [`hot`](Self::hot) then returns what the
/// task's line must hold, and [`violations`](Self::violations) what was wrong.
#[derive(Debug)]
pub struct Promises {
    threshold: u64,
    startup: u64,
    /// The longest time without progress; [`NEVER`] for no limit.
    progress: u64,
    /// When the last call was made.
    at: u64,
    /// When the next call must be made.
    back_by: u64,
    /// Whether the last call was `idle`.
    idle: bool,
    /// How long the task has been idle since it was declared. Its own time is `at - idled`.
    idled: u64,
    status: Status,
    payload: u32,
    done: u32,
    left: u32,
    /// When something must have been done, in the time of the task.
    progress_due: u64,
    /// When the first of all others is due, in the time of the task; 0 if a span is overdue.
    first_due: u64,
    route: Route,
    spans: Spans,
    window: Window,
    violations: Violations,
}

impl Promises {
    /// The promises of a task with these options, which are valid.
    ///
    /// # Errors
    ///
    /// There is not enough memory.
    pub fn new(options: &TaskOptions) -> io::Result<Self> {
        let threshold = ns(options.threshold);
        Ok(Self {
            threshold,
            startup: options.startup.map_or(threshold, ns),
            progress: options.progress.map_or(NEVER, ns),
            at: 0,
            back_by: NEVER,
            idle: false,
            idled: 0,
            status: Status::Ok,
            payload: 0,
            done: 0,
            left: 0,
            progress_due: NEVER,
            first_due: NEVER,
            route: Route::new(&options.edges)?,
            spans: Spans::new(options.spans)?,
            window: match &options.cycle {
                Some((length, beats)) => Window::new(ns(*length), *beats.start(), *beats.end()),
                None => Window::none(),
            },
            violations: Violations::default(),
        })
    }

    /// Declares the task, which is its first sign of life. Everything that was before is
    /// forgotten.
    pub fn declare(&mut self, now: u64) {
        self.at = now;
        self.back_by = now.saturating_add(self.startup);
        self.idle = false;
        self.idled = 0;
        (self.status, self.payload) = (Status::Ok, 0);
        (self.done, self.left, self.progress_due) = (0, 0, NEVER);
        self.route.restart(now);
        self.spans.clear();
        self.find_first_due();
        self.window.close();
        self.violations = Violations::default();
    }

    /// The task is here, with this status.
    #[inline]
    pub fn beat(&mut self, now: u64, status: Status, payload: u32) {
        let time = self.call(now);
        self.window.beat(time);
        (self.status, self.payload) = (status, payload);
    }

    /// Nothing is due, or nothing before `at_most` has passed. The next call ends it.
    #[inline]
    pub fn idle(&mut self, now: u64, at_most: Duration) {
        self.call(now);
        self.window.close();
        self.idle = true;
        self.back_by = self.at.saturating_add(ns(at_most));
    }

    /// Opens a span. If there is no room for it, the call is only a sign of life, and the id is
    /// [`SpanId::UNWATCHED`].
    #[inline]
    pub fn open(&mut self, now: u64, limits: SpanLimits) -> SpanId {
        let time = self.call(now);
        let id = self.spans.open(time, ns(limits.min), ns(limits.max), limits.label);
        self.find_first_due();
        id.unwrap_or(SpanId::UNWATCHED)
    }

    /// Closes a span, and judges how long it was open. Returns whether it was open.
    #[inline]
    pub fn close(&mut self, now: u64, id: SpanId) -> bool {
        let time = self.call(now);
        let Some(span) = self.spans.close(id) else { return false };
        self.find_first_due();
        let taken = time - span.opened;
        let mut add = |rule, by| {
            self.violations.add(Violation { rule, from: span.label, to: 0, by });
        };
        if taken < span.min {
            add(Rule::TooEarly, span.min - taken);
        } else if taken >= span.max {
            add(Rule::TooLate, taken - span.max);
        }
        true
    }

    /// The task is at this checkpoint.
    #[inline]
    pub fn reach(&mut self, now: u64, checkpoint: u16) {
        let time = self.call(now);
        self.route.reach(checkpoint, time, &mut self.violations);
        self.find_first_due();
    }

    /// So much is done, and so much is left.
    #[inline]
    pub fn progress(&mut self, now: u64, done: u32, left: u32) {
        let time = self.call(now);
        if left == 0 {
            self.progress_due = NEVER;
        } else if done != self.done || self.left == 0 {
            self.progress_due = time.saturating_add(self.progress);
        }
        (self.done, self.left) = (done, left);
        self.find_first_due();
    }

    /// What the task's line must hold after the last call.
    #[inline]
    pub fn hot(&mut self) -> Hot {
        let first_due = self.first_due.saturating_add(self.idled);
        let Due { until, which, broken } = if first_due <= self.at {
            self.overdue()
        } else if self.idle || first_due > self.back_by || first_due == NEVER {
            Due::the_next_call(self.back_by)
        } else {
            Due { until: first_due, which: Some(self.first_promise()), broken: 0 }
        };
        let checkpoint = match which {
            Some(Promise::Span) => self.spans.label(),
            _ => self.route.checkpoint(),
        };
        let (status, payload) = (self.status, self.payload);
        let info = Info { status, which, idle: self.idle, broken, checkpoint, payload };
        let last = layout::progress(self.done, self.left);
        Hot { at: self.at, until, info: info.to_word(), last }
    }

    /// The promise that is due first, where no call is due before and nothing is overdue. Of
    /// several that are due at once it is the same one as in `overdue`.
    #[inline]
    fn first_promise(&self) -> Promise {
        if self.first_due == self.spans.due() {
            Promise::Span
        } else if self.first_due == self.route.due() {
            Promise::Checkpoint
        } else {
            Promise::Progress
        }
    }

    /// Finds what is broken already, and what is due first of the rest.
    #[cold]
    fn overdue(&mut self) -> Due {
        let time = self.at - self.idled;
        self.spans.expire(time);
        self.find_first_due();
        let mut first = Due::the_next_call(self.back_by);
        if self.spans.are_overdue() {
            first.broken |= Promise::Span.bit();
        }
        // Of several that are due at once, the last one is reported.
        for (due, promise) in [
            (self.progress_due, Promise::Progress),
            (self.route.due(), Promise::Checkpoint),
            (self.spans.due(), Promise::Span),
        ] {
            if due <= time {
                first.broken |= promise.bit();
            } else if due != NEVER && !self.idle {
                let until = due.saturating_add(self.idled);
                if until <= first.until {
                    (first.until, first.which) = (until, Some(promise));
                }
            }
        }
        first
    }

    #[inline]
    fn find_first_due(&mut self) {
        let spans = if self.spans.are_overdue() { 0 } else { self.spans.due() };
        self.first_due = self.progress_due.min(self.route.due()).min(spans);
    }

    /// What was wrong since the task was declared.
    #[inline]
    #[must_use]
    pub fn violations(&self) -> &Violations {
        &self.violations
    }

    /// Begins a call: ends idling, and judges the window that is over. Returns the task's time.
    #[inline]
    fn call(&mut self, now: u64) -> u64 {
        let now = now.max(self.at);
        if self.idle {
            self.idle = false;
            self.idled += now - self.at;
        }
        self.at = now;
        self.back_by = now.saturating_add(self.threshold);
        let time = now - self.idled;
        self.window.advance(time, &mut self.violations);
        time
    }
}

/// The promise that is due first, and those that are broken.
struct Due {
    until: u64,
    which: Option<Promise>,
    broken: u8,
}

impl Due {
    /// Nothing is due but the next call.
    #[inline]
    fn the_next_call(until: u64) -> Self {
        Self { until, which: (until != NEVER).then_some(Promise::Beat), broken: 0 }
    }
}

/// Nanoseconds. Whatever is longer than a line can express is [`NEVER`].
#[inline]
pub(super) fn ns(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(1_000_000_000);
    let ns = seconds.saturating_add(duration.subsec_nanos().into());
    if ns > FARTHEST_NS { NEVER } else { ns }
}

/// An empty vector with room for this many items.
fn reserved<T>(items: usize) -> io::Result<Vec<T>> {
    let mut vector = Vec::new();
    match vector.try_reserve_exact(items) {
        Ok(()) => Ok(vector),
        Err(_) => Err(io::Error::from_raw_os_error(libc::ENOMEM)),
    }
}
