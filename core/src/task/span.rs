//! Blocks that must end in time.

use std::fmt;
use std::time::Duration;

use super::{SpanId, SpanLimits, Task};
use crate::outcome::BeatOutcome;
use crate::status::Status;

/// A block that must end in time, made by [`Task::watch`]. It ends when this value is dropped.
/// The task's calls can be made through it.
///
/// ```
/// use std::time::Duration;
/// use varta::Status;
///
/// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
/// let mut task = agent.task("ingest", Duration::from_secs(2))?;
/// {
///     let mut block = task.watch(Duration::from_millis(200));
///     let _ = block.beat(Status::Ok, 1);
///     let _inner = block.watch(Duration::from_millis(50)); // may be nested
/// }
/// task.idle();
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "the span ends as soon as this value is dropped"]
pub struct Span<'a> {
    task: &'a mut Task,
    id: SpanId,
}

impl<'a> Span<'a> {
    #[inline]
    pub(super) fn new(task: &'a mut Task, id: SpanId) -> Self {
        Self { task, id }
    }

    /// As [`Task::beat`].
    #[inline]
    pub fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome {
        self.task.beat(status, payload)
    }

    /// As [`Task::idle`]. The time of the span stands still too.
    #[inline]
    pub fn idle(&mut self) {
        self.task.idle();
    }

    /// As [`Task::idle_at_most`].
    #[inline]
    pub fn idle_at_most(&mut self, at_most: Duration) {
        self.task.idle_at_most(at_most);
    }

    /// As [`Task::watch`].
    #[inline]
    pub fn watch(&mut self, limits: impl Into<SpanLimits>) -> Span<'_> {
        self.task.watch(limits)
    }

    /// As [`Task::open_span`]. The new span may outlive this one.
    #[inline]
    pub fn open_span(&mut self, limits: impl Into<SpanLimits>) -> SpanId {
        self.task.open_span(limits)
    }

    /// As [`Task::close_span`].
    #[inline]
    pub fn close_span(&mut self, id: SpanId) -> bool {
        self.task.close_span(id)
    }

    /// As [`Task::reach`].
    #[inline]
    pub fn reach(&mut self, checkpoint: u16) {
        self.task.reach(checkpoint);
    }

    /// As [`Task::progress`].
    #[inline]
    pub fn progress(&mut self, done: u32, left: u32) {
        self.task.progress(done, left);
    }
}

impl Drop for Span<'_> {
    #[inline]
    fn drop(&mut self) {
        self.task.close_span(self.id);
    }
}

impl fmt::Debug for Span<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Span").field("id", &self.id).field("task", &self.task).finish()
    }
}
