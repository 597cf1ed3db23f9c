//! How often a task beats: at least and at most this often in each window of a fixed length.

use super::violations::Violations;
use crate::lane::layout::{NEVER, Violation};
use crate::task::Rule;

/// The windows of a task. Without a rule no window is ever open.
#[derive(Debug)]
pub(super) struct Window {
    length: u64,
    least: u32,
    most: u32,
    /// The end of the window that is open; [`NEVER`] if none is.
    end: u64,
    /// The beats in it.
    beats: u32,
}

impl Window {
    /// Windows of a length in which there must be `least` to `most` beats.
    pub(super) fn new(length: u64, least: u32, most: u32) -> Self {
        Self { length, least, most, end: NEVER, beats: 0 }
    }

    /// For a task that may beat as often as it likes.
    pub(super) fn none() -> Self {
        Self::new(NEVER, 0, u32::MAX)
    }

    /// Ends the window without judging it. The next beat opens another.
    pub(super) fn close(&mut self) {
        self.end = NEVER;
    }

    /// Counts a beat, which opens the first window.
    #[inline]
    pub(super) fn beat(&mut self, time: u64) {
        if self.end == NEVER {
            self.end = time.saturating_add(self.length);
            self.beats = 0;
        }
        self.beats = self.beats.saturating_add(1);
    }

    /// Judges the window that is over, if one is, and opens the one that `time` falls in.
    #[inline]
    pub(super) fn advance(&mut self, time: u64, violations: &mut Violations) {
        if time >= self.end {
            self.judge(time, violations);
        }
    }

    #[cold]
    fn judge(&mut self, time: u64, violations: &mut Violations) {
        let mut add = |rule, by: u32| {
            violations.add(Violation { rule, from: 0, to: 0, by: by.into() });
        };
        if self.beats < self.least {
            add(Rule::TooFew, self.least - self.beats);
        }
        if self.beats > self.most {
            add(Rule::TooMany, self.beats - self.most);
        }
        let skipped = (time - self.end).checked_div(self.length).unwrap_or(0);
        if skipped > 0 && self.least > 0 {
            add(Rule::TooFew, self.least);
        }
        let passed = self.length.saturating_mul(skipped.saturating_add(1));
        self.end = self.end.saturating_add(passed);
        self.beats = 0;
    }
}
