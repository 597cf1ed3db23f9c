//! A task, as a program holds it.

use std::cell::Cell;
use std::fmt;
use std::io;
use std::marker::PhantomData;
use std::thread;
use std::time::Duration;

use super::line::TaskLine;
use super::{NEVER, Rule, Span, SpanId, SpanLimits, TaskName, TaskOptions};
use crate::lane::layout::State;
use crate::lane::pairs::Pairs;
use crate::outcome::{BeatError, BeatOutcome};
use crate::status::Status;

/// A named part of the process that is watched on its own: a thread, a worker, a loop, a kind of
/// job. It is declared by [`Varta::task`](crate::Varta::task).
///
/// Each call promises by when the next sign of life is due. The observer reports the task when
/// that time has passed. A call neither blocks nor allocates, and it does not fail when no
/// observer is there. It makes a system call only to let the observer look at once, for example
/// at a new status, and ten times a second to check whether the observer is there.
///
/// ```
/// use std::time::Duration;
/// use varta::Status;
///
/// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
/// # let endpoint = format!("udp://{}", observer.local_addr()?);
/// let agent = varta::Varta::open(endpoint)?;
/// let (jobs, queue) = std::sync::mpsc::channel();
/// let mut worker = agent.task("worker", Duration::from_secs(2))?;
/// let thread = std::thread::spawn(move || {
///     loop {
///         worker.idle(); // nothing is due while it waits
///         let Ok(job) = queue.recv() else { break };
///         let mut block = worker.watch(Duration::from_millis(200));
///         let _ = block.beat(Status::Ok, job); // the work
///     }
///     worker.close();
/// });
/// jobs.send(1)?;
/// drop(jobs);
/// thread.join().unwrap();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A task that is dropped is closed, or has failed if a panic is unwinding the thread. It may be
/// moved to another thread but not shared. In a forked child it does not exist until a call is
/// made there, which declares it anew.
///
/// ```compile_fail
/// fn shared<T: Sync>() {}
/// shared::<varta::Task>();
/// ```
pub struct Task {
    line: TaskLine,
    /// Whether the task was declared while a panic was unwinding the thread.
    during_panic: bool,
    unwatched: u64,
    not_sync: PhantomData<Cell<()>>,
}

/// What a task counted, from [`Task::counts`]. The counts of violations wrap and, in a forked
/// child, begin at 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskCounts {
    /// Spans and steps that ended before their shortest time.
    pub too_early: u32,
    /// Spans and steps that ended after their longest time.
    pub too_late: u32,
    /// Steps for which there is no edge.
    pub wrong_order: u32,
    /// Cycles with too few beats.
    pub too_few: u32,
    /// Cycles with too many beats.
    pub too_many: u32,
    /// Spans that were not watched, because as many as possible were open.
    pub unwatched: u64,
    /// Calls in a forked child that had no room for the task.
    pub undeclared: u64,
}

impl Task {
    pub(crate) fn declare(
        pairs: &'static Pairs,
        name: &str,
        options: &TaskOptions,
    ) -> io::Result<Self> {
        Ok(Self {
            line: TaskLine::declare(pairs, name, options)?,
            during_panic: thread::panicking(),
            unwatched: 0,
            not_sync: PhantomData,
        })
    }

    /// Tells the observer that the task is here, with a status and a number chosen by the
    /// application.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta::{BeatOutcome, Status};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let mut task = agent.task("poller", Duration::from_secs(2))?;
    /// assert_eq!(task.beat(Status::Ok, 0), BeatOutcome::Sent);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// `Sent` means that it was recorded. [`Status::Stall`] fails with `InvalidInput`. In a
    /// forked child that has no room for the task, the beat fails with `ENOSPC`.
    #[inline]
    pub fn beat(&mut self, status: Status, payload: u32) -> BeatOutcome {
        if status == Status::Stall {
            return BeatOutcome::Failed(BeatError::of_kind(io::ErrorKind::InvalidInput));
        }
        match self.line.call(|promises, now| promises.beat(now, status, payload)) {
            Ok(()) => BeatOutcome::Sent,
            Err(error) => BeatOutcome::Failed(error),
        }
    }

    /// Makes the task idle: nothing is due until its next call, which ends this. Call it before
    /// waiting for work. Meanwhile, the time of open spans, steps and progress stands still.
    #[inline]
    pub fn idle(&mut self) {
        self.idle_at_most(NEVER);
    }

    /// As [`idle`](Self::idle), but the next call is due within this time.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let mut task = agent.task("nightly", Duration::from_secs(2))?;
    /// task.idle_at_most(Duration::from_secs(25 * 3600)); // until tomorrow's run
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn idle_at_most(&mut self, at_most: Duration) {
        let _ = self.line.call(|promises, now| promises.idle(now, at_most));
    }

    /// Watches a block, which ends when the returned value is dropped. It must end before its
    /// longest time has passed, and not before its shortest, if it has one. Blocks may be nested.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let mut task = agent.task("importer", Duration::from_secs(2))?;
    /// {
    ///     let _block = task.watch(Duration::from_millis(200));
    ///     // the work
    /// }
    /// drop(task.watch(Duration::ZERO..Duration::from_secs(60)));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn watch(&mut self, limits: impl Into<SpanLimits>) -> Span<'_> {
        let id = self.open_span(limits);
        Span::new(self, id)
    }

    /// Opens a span that [`close_span`](Self::close_span) ends, for work that overlaps.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta::TaskOptions;
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let options = TaskOptions::new(Duration::from_secs(2)).roams(true).spans(10_000);
    /// let mut requests = agent.task_with("requests", options)?;
    /// let first = requests.open_span(Duration::from_millis(500));
    /// let second = requests.open_span(Duration::from_millis(500));
    /// assert!(requests.close_span(first));
    /// assert!(requests.close_span(second));
    /// assert!(!requests.close_span(second), "it is closed already");
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// If as many spans are open as [`TaskOptions::spans`] permits, the span is not watched, and
    /// [`TaskCounts::unwatched`] grows.
    #[inline]
    pub fn open_span(&mut self, limits: impl Into<SpanLimits>) -> SpanId {
        let limits = limits.into();
        match self.line.call(|promises, now| promises.open(now, limits)) {
            Ok(id) => {
                self.unwatched += u64::from(!id.is_watched());
                id
            }
            Err(_) => SpanId::UNWATCHED,
        }
    }

    /// Closes a span. Returns whether it was open.
    #[inline]
    pub fn close_span(&mut self, id: SpanId) -> bool {
        self.line.call(|promises, now| promises.close(now, id)).unwrap_or(false)
    }

    /// Records that the task has reached this checkpoint, a number from 1 that the application
    /// chooses; 0 means outside of all checkpoints, where every task begins.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta::{Edge, TaskOptions};
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let (read, write) = (1, 2);
    /// let options = TaskOptions::new(Duration::from_secs(2)).edges([
    ///     Edge::new(0, read),
    ///     Edge::new(read, write).max(Duration::from_secs(1)),
    ///     Edge::new(write, read),
    /// ]);
    /// let mut task = agent.task_with("copy", options)?;
    /// task.reach(read);
    /// task.reach(write);
    /// task.reach(write); // there is no such step
    /// assert_eq!(task.counts().wrong_order, 1);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn reach(&mut self, checkpoint: u16) {
        let _ = self.line.call(|promises, now| promises.reach(now, checkpoint));
    }

    /// Reports how much is done and how much is left. While something is left, the amount done must
    /// change as often as [`TaskOptions::progress`] requires.
    ///
    /// ```
    /// use std::time::Duration;
    /// use varta::TaskOptions;
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let options = TaskOptions::new(Duration::from_secs(2)).progress(Duration::from_secs(30));
    /// let mut task = agent.task_with("batch", options)?;
    /// for done in 0..=3 {
    ///     task.progress(done, 3 - done);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[inline]
    pub fn progress(&mut self, done: u32, left: u32) {
        let _ = self.line.call(|promises, now| promises.progress(now, done, left));
    }

    /// Ends the task as planned. Dropping it does the same, unless a panic is unwinding the
    /// thread.
    pub fn close(mut self) {
        self.line.end(State::Closed);
    }

    /// Ends the task as failed. This is for code that catches the error of a task that it runs; a
    /// panic that drops the task needs no call.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// # let observer = std::net::UdpSocket::bind("127.0.0.1:0")?;
    /// # let agent = varta::Varta::connect_udp(observer.local_addr()?)?;
    /// let task = agent.task("import", Duration::from_secs(2))?;
    /// match "x".parse::<u32>() {
    ///     Ok(_) => task.close(),
    ///     Err(_) => task.fail(),
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn fail(mut self) {
        self.line.end(State::Failed);
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> TaskName {
        self.line.cold.name
    }

    /// Its number, which no other task of the process has had. In a forked child the next call
    /// gives it another.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.line.cold.number
    }

    /// What has gone wrong so far.
    #[must_use]
    pub fn counts(&self) -> TaskCounts {
        let violations = self.line.promises.violations();
        TaskCounts {
            too_early: violations.of(Rule::TooEarly),
            too_late: violations.of(Rule::TooLate),
            wrong_order: violations.of(Rule::WrongOrder),
            too_few: violations.of(Rule::TooFew),
            too_many: violations.of(Rule::TooMany),
            unwatched: self.unwatched,
            undeclared: self.line.undeclared,
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        match thread::panicking() && !self.during_panic {
            true => self.line.end(State::Failed),
            false => self.line.end(State::Closed),
        }
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task")
            .field("name", &self.line.cold.name)
            .field("number", &self.line.cold.number)
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;
    use crate::lane::attach::Lane;
    use crate::lane::layout::Violation;
    use crate::sys;

    /// Pairs that no other test uses.
    fn pairs() -> &'static Pairs {
        Pairs::of(None, None::<fn() -> io::Result<Lane>>).unwrap()
    }

    fn declared(pairs: &'static Pairs, options: &TaskOptions) -> Task {
        Task::declare(pairs, "task", options).unwrap()
    }

    #[test]
    fn the_next_task_of_a_pair_shows_how_the_last_one_ended() {
        let pairs = pairs();
        let new = || declared(pairs, &TaskOptions::new(NEVER));
        let last_ended = || {
            let _next = new();
            pairs.read(1).unwrap().0.ended
        };
        assert_eq!(last_ended(), State::Free);
        assert_eq!(last_ended(), State::Closed);
        new().fail();
        assert_eq!(last_ended(), State::Failed);

        let dropped_by_panic = new();
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                let _task = dropped_by_panic;
                panic!("enough");
            }))
            .is_err()
        );
        assert_eq!(last_ended(), State::Failed);

        /// Runs while a panic unwinds the thread, but does not fail.
        struct CleaningUp(&'static Pairs);
        impl Drop for CleaningUp {
            fn drop(&mut self) {
                drop(declared(self.0, &TaskOptions::new(NEVER)));
            }
        }
        assert!(
            catch_unwind(|| {
                let _cleaning_up = CleaningUp(pairs);
                panic!("enough");
            })
            .is_err()
        );
        assert_eq!(last_ended(), State::Closed);

        // A panic in a block that is caught does not end the task.
        let mut task = new();
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                let _block = task.watch(Duration::from_secs(1));
                panic!("enough");
            }))
            .is_err()
        );
        assert_eq!(pairs.live(), 1 << 1);
        task.close();
        assert_eq!((last_ended(), pairs.live()), (State::Closed, 0));
    }

    #[test]
    fn a_line_holds_the_thread_that_called_last_and_the_last_violation() {
        let pairs = pairs();
        let options = TaskOptions::new(NEVER);
        let mut task = declared(pairs, &options);
        let mut roaming = declared(pairs, &options.roams(true));
        let thread = |pair| pairs.read(pair).unwrap().0.thread;
        assert_eq!((thread(1), thread(2)), (sys::thread::id(), 0));
        let mut there = 0;
        thread::scope(|scope| {
            scope.spawn(|| {
                there = sys::thread::id();
                task.idle();
                roaming.idle();
            });
        });
        assert_eq!((thread(1), thread(2)), (there, 0));

        let hour = Duration::from_secs(3600);
        drop(task.watch(SpanLimits::new(2 * hour).min(hour).label(9)));
        drop(task.watch(Duration::ZERO));
        let (cold, _) = pairs.read(1).unwrap();
        assert_eq!((cold.violations, cold.thread), (2, sys::thread::id()));
        let last = cold.last_violation.unwrap();
        assert!(matches!(last, Violation { rule: Rule::TooLate, from: 0, to: 0, .. }));
        assert_eq!(pairs.violations(), 2);
    }
}
