//! How a task is declared.

use std::io;
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::TaskName;
use super::promises::ns;
use crate::lane::layout::{Cold, FARTHEST_NS, State};
use crate::outcome::with_message;

/// No limit. As a threshold or a longest time it means that nothing is ever due.
///
/// ```
/// use varta::{NEVER, TaskOptions};
///
/// // Only what it does within its spans is watched.
/// let options = TaskOptions::new(NEVER);
/// ```
pub const NEVER: Duration = Duration::MAX;

/// The most edges that a task can have.
const MOST_EDGES: usize = 256;

/// The most spans that a task can have open at once.
const MOST_SPANS: u32 = 65_536;

/// A step that a task may take from one checkpoint to another.
///
/// ```
/// use std::time::Duration;
/// use varta::Edge;
///
/// let edge = Edge::new(1, 2).max(Duration::from_millis(50));
/// assert_eq!((edge.from, edge.to, edge.min), (1, 2, Duration::ZERO));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Edge {
    /// The checkpoint before; 0 is outside of all, where a task begins.
    pub from: u16,
    /// The checkpoint that is reached.
    pub to: u16,
    /// The step takes at least this long.
    pub min: Duration,
    /// The step takes less than this.
    pub max: Duration,
}

impl Edge {
    /// A step that may take any time.
    #[must_use]
    pub const fn new(from: u16, to: u16) -> Self {
        Self { from, to, min: Duration::ZERO, max: NEVER }
    }

    /// The step takes at least this long.
    #[must_use]
    pub const fn min(self, min: Duration) -> Self {
        Self { min, ..self }
    }

    /// The step takes less than this. The largest such time of all edges from a checkpoint is
    /// how long the task may stay there.
    #[must_use]
    pub const fn max(self, max: Duration) -> Self {
        Self { max, ..self }
    }
}

/// How long a span may take.
///
/// ```
/// use std::time::Duration;
/// use varta::SpanLimits;
///
/// let (min, max) = (Duration::from_millis(5), Duration::from_millis(200));
/// assert_eq!(SpanLimits::from(min..max), SpanLimits::new(max).min(min));
/// let labelled = SpanLimits::new(max).label(7);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpanLimits {
    pub(super) min: Duration,
    pub(super) max: Duration,
    pub(super) label: u16,
}

impl SpanLimits {
    /// The span must end before this time has passed. More than 30 days is no limit.
    #[inline]
    #[must_use]
    pub const fn new(max: Duration) -> Self {
        Self { min: Duration::ZERO, max, label: 0 }
    }

    /// The span must not end before this time has passed.
    #[inline]
    #[must_use]
    pub const fn min(self, min: Duration) -> Self {
        Self { min, ..self }
    }

    /// A number that reports about the span contain.
    #[inline]
    #[must_use]
    pub const fn label(self, label: u16) -> Self {
        Self { label, ..self }
    }
}

impl From<Duration> for SpanLimits {
    #[inline]
    fn from(max: Duration) -> Self {
        Self::new(max)
    }
}

impl From<Range<Duration>> for SpanLimits {
    #[inline]
    fn from(limits: Range<Duration>) -> Self {
        Self::new(limits.end).min(limits.start)
    }
}

/// How [`Varta::task_with`](crate::Varta::task_with) declares a task.
///
/// ```
/// use std::time::Duration;
/// use varta::TaskOptions;
///
/// // A control loop: a beat every 10 ms, give or take, and five seconds to start.
/// let options = TaskOptions::new(Duration::from_millis(50))
///     .startup(Duration::from_secs(5))
///     .cycle(Duration::from_millis(100), 8..=12)
///     .vital(true);
/// ```
///
/// Times are 1 ms to 30 days long, or [`NEVER`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskOptions {
    pub(super) threshold: Duration,
    pub(super) startup: Option<Duration>,
    pub(super) progress: Option<Duration>,
    pub(super) edges: Vec<Edge>,
    pub(super) cycle: Option<(Duration, RangeInclusive<u32>)>,
    finest: Option<Duration>,
    vital: bool,
    roams: bool,
    pub(super) spans: u32,
}

impl TaskOptions {
    /// A task that makes a call at least this often, unless it is idle.
    #[must_use]
    pub const fn new(threshold: Duration) -> Self {
        Self {
            threshold,
            startup: None,
            progress: None,
            edges: Vec::new(),
            cycle: None,
            finest: None,
            vital: false,
            roams: false,
            spans: 8,
        }
    }

    /// The time until the first call after declaring, in place of the threshold.
    #[must_use]
    pub fn startup(self, grace: Duration) -> Self {
        Self { startup: Some(grace), ..self }
    }

    /// While something is left, the amount done must change at least this often. See
    /// [`Task::progress`](crate::Task::progress).
    #[must_use]
    pub fn progress(self, at_least_every: Duration) -> Self {
        Self { progress: Some(at_least_every), ..self }
    }

    /// The only steps between checkpoints that the task may take, at most 256. Without any,
    /// [`Task::reach`](crate::Task::reach) only records where the task is.
    #[must_use]
    pub fn edges(self, edges: impl Into<Vec<Edge>>) -> Self {
        Self { edges: edges.into(), ..self }
    }

    /// How many beats there must be in each cycle of this length. The first cycle begins with
    /// the first beat after declaring or idling. Only [`Task::beat`](crate::Task::beat) counts.
    #[must_use]
    pub fn cycle(self, length: Duration, beats: RangeInclusive<u32>) -> Self {
        Self { cycle: Some((length, beats)), ..self }
    }

    /// The shortest span that the observer must report at once if it does not end. Unless it is
    /// set, a span that is shorter than the threshold may be reported later by up to half the
    /// threshold.
    #[must_use]
    pub fn finest(self, span: Duration) -> Self {
        Self { finest: Some(span), ..self }
    }

    /// Whether the whole process is to be reported as silent when this task is late, if its
    /// observer knows nothing about tasks.
    #[must_use]
    pub fn vital(self, vital: bool) -> Self {
        Self { vital, ..self }
    }

    /// Whether different threads make the calls, as with asynchronous tasks. The thread of such
    /// a task is not recorded, and its end is not noticed.
    #[must_use]
    pub fn roams(self, roams: bool) -> Self {
        Self { roams, ..self }
    }

    /// How many spans can be open at once: 8 unless it is set, and at most 65,536.
    #[must_use]
    pub fn spans(self, most: u32) -> Self {
        Self { spans: most, ..self }
    }

    /// What the cold line of the task holds, without a number.
    pub(super) fn cold(&self, name: TaskName) -> Cold {
        Cold {
            number: 0,
            state: State::Live,
            vital: self.vital,
            roams: self.roams,
            ended: State::Free,
            threshold_ns: ns(self.threshold),
            finest_ns: ns(self.finest.unwrap_or(self.threshold)),
            thread: 0,
            violations: 0,
            last_violation: None,
            name,
        }
    }

    /// Checks the options of the task with this name.
    pub(super) fn check(&self, name: &str) -> io::Result<TaskName> {
        let Some(valid) = TaskName::new(name) else {
            return Err(invalid(
                name,
                "a name has 1 to 23 bytes of UTF-8 and no control characters",
            ));
        };
        match self.problem() {
            Some(problem) => Err(invalid(name, &problem)),
            None => Ok(valid),
        }
    }

    fn problem(&self) -> Option<String> {
        let optional = |what, time: Option<Duration>| time.map(|time| (what, time));
        let times = [
            Some(("threshold", self.threshold)),
            optional("startup time", self.startup),
            optional("progress time", self.progress),
            optional("finest span", self.finest),
            self.cycle.as_ref().map(|(length, _)| ("cycle", *length)),
        ];
        let valid = Duration::from_millis(1)..=Duration::from_nanos(FARTHEST_NS);
        for (what, time) in times.into_iter().flatten() {
            if !valid.contains(&time) && time != NEVER {
                return Some(format!("its {what} is {time:?}, not 1 ms to 30 days, or never"));
            }
        }
        if let Some((_, beats)) = self.cycle.as_ref().filter(|(_, beats)| beats.is_empty()) {
            return Some(format!("no number of beats in a cycle is within {beats:?}"));
        }
        if self.spans > MOST_SPANS {
            return Some(format!("{} spans are more than {MOST_SPANS}", self.spans));
        }
        if self.edges.len() > MOST_EDGES {
            return Some(format!("{} edges are more than {MOST_EDGES}", self.edges.len()));
        }
        let mut seen = Vec::new();
        for Edge { from, to, min, max } in &self.edges {
            if min >= max {
                return Some(format!("the edge from {from} to {to} takes {min:?} to {max:?}"));
            }
            if seen.contains(&(from, to)) {
                return Some(format!("there are two edges from {from} to {to}"));
            }
            seen.push((from, to));
        }
        None
    }
}

#[cold]
fn invalid(name: &str, problem: &str) -> io::Error {
    let error = io::Error::from_raw_os_error(libc::EINVAL);
    with_message(&error, format!("cannot declare the task {name:?}: {problem}"))
}
