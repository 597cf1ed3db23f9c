//! The ids of open spans.

/// An open span of a task, made by [`Task::open_span`](crate::Task::open_span) and closed by
/// [`Task::close_span`](crate::Task::close_span). It is for asynchronous work, whose spans
/// overlap. For a block, use [`Task::watch`](crate::Task::watch).
///
/// An id that was closed, or that belongs to the parent of a forked child, closes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl SpanId {
    /// The id of a span for which there was no room. It closes nothing.
    pub const UNWATCHED: Self = Self(0);

    /// Whether the span is watched. If not, the task has as many open spans as
    /// [`TaskOptions::spans`](crate::TaskOptions::spans) permits.
    #[inline]
    #[must_use]
    pub const fn is_watched(self) -> bool {
        self.0 != 0
    }

    /// As a number for other languages: 0 if the span is not watched, and less than 2^63.
    #[inline]
    #[must_use]
    pub const fn to_raw(self) -> u64 {
        self.0
    }

    /// From the number. Any number is accepted; one that names no open span closes nothing.
    #[inline]
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    #[inline]
    pub(super) fn new(slot: u32, generation: u32) -> Self {
        Self((u64::from(generation) << 32) | (u64::from(slot) + 1))
    }

    /// The slot and the generation.
    #[inline]
    pub(super) fn parts(self) -> Option<(u32, u32)> {
        let slot = u32::try_from((self.0 & u64::from(u32::MAX)).checked_sub(1)?).ok()?;
        Some((slot, u32::try_from(self.0 >> 32).ok()?))
    }
}
