//! Tasks: parts of the process that are watched on their own.

use std::time::Duration;

use napi::bindgen_prelude::{BigInt, External};
use napi_derive::napi;
use varta::{Edge, NEVER, Promise, SpanId, SpanLimits, Task, TaskOptions, TaskReport};

use crate::agent::{self, answer, status_of};
use crate::failure::closed;
use crate::sys::{Answer, Arguments, Call};

/// A task, or None after it ended. Each call takes it out while it runs, so that a panic ends it
/// as failed.
pub struct Handle(Option<Box<Task>>);

impl Handle {
    fn with<R>(&mut self, call: impl FnOnce(&mut Task) -> R) -> crate::Result<R> {
        let mut task = self.0.take().ok_or_else(closed)?;
        #[cfg(feature = "provoke")]
        crate::exported::provoke("task");
        let result = call(&mut task);
        self.0 = Some(task);
        Ok(result)
    }
}

impl Drop for Handle {
    /// The handle was collected, or its thread was terminated. Nothing can call it any more.
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.fail();
        }
    }
}

/// How a task is declared. Times are in milliseconds, and infinite for none.
#[napi(object)]
#[derive(Debug)]
pub struct Declaration {
    /// The longest time between two calls.
    pub threshold_ms: f64,
    /// The time until the first call.
    pub startup_ms: Option<f64>,
    /// How often what is done must change.
    pub progress_ms: Option<f64>,
    /// The shortest span that must be reported at once.
    pub finest_ms: Option<f64>,
    /// The steps that it may take.
    pub edges: Vec<Step>,
    /// How many beats there must be in a cycle.
    pub cycle: Option<Cycle>,
    /// Whether the process is silent when this task is late.
    pub vital: bool,
    /// Whether it moves between threads.
    pub roams: bool,
    /// How many spans can be open at once.
    pub spans: Option<u32>,
}

/// A step from one checkpoint to another.
#[napi(object)]
#[derive(Debug)]
pub struct Step {
    /// The checkpoint before.
    pub from: u16,
    /// The checkpoint that is reached.
    pub to: u16,
    /// The shortest time that it takes.
    pub min_ms: f64,
    /// The longest time.
    pub max_ms: f64,
}

/// The beats in a cycle.
#[napi(object)]
#[derive(Debug)]
pub struct Cycle {
    /// Its length.
    pub length_ms: f64,
    /// The fewest beats.
    pub least: u32,
    /// The most beats.
    pub most: u32,
}

impl Declaration {
    fn options(self) -> TaskOptions {
        let mut options =
            TaskOptions::new(duration(self.threshold_ms)).vital(self.vital).roams(self.roams);
        if let Some(grace) = self.startup_ms {
            options = options.startup(duration(grace));
        }
        if let Some(time) = self.progress_ms {
            options = options.progress(duration(time));
        }
        if let Some(span) = self.finest_ms {
            options = options.finest(duration(span));
        }
        if let Some(Cycle { length_ms, least, most }) = self.cycle {
            options = options.cycle(duration(length_ms), least..=most);
        }
        if let Some(most) = self.spans {
            options = options.spans(most);
        }
        let edge = |step: Step| {
            let edge = Edge::new(step.from, step.to);
            edge.min(duration(step.min_ms)).max(duration(step.max_ms))
        };
        options.edges(self.edges.into_iter().map(edge).collect::<Vec<_>>())
    }
}

/// Milliseconds, which `lib/` has checked.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn duration(ms: f64) -> Duration {
    if ms == f64::INFINITY { NEVER } else { Duration::from_nanos((ms * 1e6).round() as u64) }
}

exported! {
    /// Declares a task.
    fn task_declare(
        agent: &mut External<agent::Handle>,
        name: String,
        declaration: Declaration,
    ) -> Result<External<Handle>> {
        let task = agent.task(&name, declaration.options())?;
        Ok(External::new(Handle(Some(Box::new(task)))))
    }
}

/// A beat of a task, with a status and a payload.
pub(crate) struct Beat;

impl Call for Beat {
    const NAME: &'static str = "task_beat";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let (status, payload) = (status_of(arguments.whole(1)?)?, arguments.whole(2)?);
        arguments.handle::<Handle>(0)?.with(|task| answer(task.beat(status, payload)))
    }
}

/// The task is idle for at most this many milliseconds.
pub(crate) struct Idle;

impl Call for Idle {
    const NAME: &'static str = "task_idle";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let at_most = duration(arguments.number(1)?);
        arguments.handle::<Handle>(0)?.with(|task| task.idle_at_most(at_most))?;
        Ok(Answer::Nothing)
    }
}

/// Opens a span, with the shortest and longest time and a label, and returns its number, which is 0
/// if there is no room for it.
pub(crate) struct Watch;

impl Call for Watch {
    const NAME: &'static str = "task_watch";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let (min, max) = (arguments.number(1)?, arguments.number(2)?);
        let label = u16::try_from(arguments.whole(3)?).unwrap_or(u16::MAX);
        let limits = SpanLimits::new(duration(max)).min(duration(min)).label(label);
        let id = arguments.handle::<Handle>(0)?.with(|task| task.open_span(limits))?;
        Ok(Answer::Number(number_of(id)))
    }
}

/// Closes a span. Returns nothing if it was open, else 0.
pub(crate) struct Unwatch;

impl Call for Unwatch {
    const NAME: &'static str = "task_unwatch";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let id = id_of(arguments.number(1)?);
        let task = arguments.handle::<Handle>(0)?;
        // A task that ended has no spans.
        let was_open = task.0.is_some() && task.with(|task| task.close_span(id))?;
        Ok(if was_open { Answer::Nothing } else { Answer::Whole(0) })
    }
}

/// The number of slots for spans in an id, of which 65,536 are used.
const SLOTS: u64 = 1 << 17;

/// The id of a span as a number that is exact in JavaScript.
#[allow(clippy::cast_precision_loss, reason = "it has 49 bits")]
fn number_of(id: SpanId) -> f64 {
    let raw = id.to_raw();
    ((raw >> 32) * SLOTS + raw % SLOTS) as f64
}

/// The inverse of [`number_of`].
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
fn id_of(number: f64) -> SpanId {
    let number = number as u64;
    SpanId::from_raw(((number / SLOTS) << 32) | (number % SLOTS))
}

/// The task is at a checkpoint.
pub(crate) struct Reach;

impl Call for Reach {
    const NAME: &'static str = "task_reach";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let checkpoint = u16::try_from(arguments.whole(1)?).unwrap_or(u16::MAX);
        arguments.handle::<Handle>(0)?.with(|task| task.reach(checkpoint))?;
        Ok(Answer::Nothing)
    }
}

/// So much is done, and so much is left.
pub(crate) struct Progress;

impl Call for Progress {
    const NAME: &'static str = "task_progress";

    fn call(arguments: &mut Arguments) -> crate::Result<Answer> {
        let (done, left) = (arguments.whole(1)?, arguments.whole(2)?);
        arguments.handle::<Handle>(0)?.with(|task| task.progress(done, left))?;
        Ok(Answer::Nothing)
    }
}

/// What a task counted.
#[napi(object)]
#[derive(Debug)]
pub struct Counts {
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
    /// Spans for which there was no room.
    pub unwatched: f64,
    /// Calls in a forked child that had no room for the task.
    pub undeclared: f64,
}

exported! {
    /// Returns what the task counted.
    #[allow(clippy::cast_precision_loss, reason = "they increase by one at a time")]
    fn task_counts(task: &mut External<Handle>) -> Result<Counts> {
        let counts = task.with(|task| task.counts())?;
        Ok(Counts {
            too_early: counts.too_early,
            too_late: counts.too_late,
            wrong_order: counts.wrong_order,
            too_few: counts.too_few,
            too_many: counts.too_many,
            unwatched: counts.unwatched as f64,
            undeclared: counts.undeclared as f64,
        })
    }
}

exported! {
    /// Returns the number of the task.
    fn task_number(task: &mut External<Handle>) -> Result<u32> {
        task.with(|task| task.number())
    }
}

exported! {
    /// Ends the task, as planned or as failed. A second call has no effect.
    fn task_end(task: &mut External<Handle>, failed: bool) -> Result<()> {
        match task.0.take() {
            Some(task) if failed => task.fail(),
            Some(task) => task.close(),
            None => {}
        }
        Ok(())
    }
}

/// A task of this process.
#[napi(object)]
#[derive(Debug)]
pub struct Report {
    /// Its number.
    pub number: u32,
    /// Its name.
    pub name: String,
    /// The longest time between two calls.
    pub threshold_ns: BigInt,
    /// How long ago the last call was made.
    pub age_ns: BigInt,
    /// The status's number.
    pub status: u32,
    /// The number in its last beat.
    pub payload: u32,
    /// Whether it is idle.
    pub idle: bool,
    /// Whether it is vital.
    pub vital: bool,
    /// What is done.
    pub done: u32,
    /// What is left.
    pub left: u32,
    /// How many violations there were.
    pub violations: u32,
    /// A bit for each promise that is broken.
    pub broken: u32,
}

impl From<TaskReport> for Report {
    fn from(task: TaskReport) -> Self {
        let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Self {
            number: task.number,
            name: task.name.as_str().to_owned(),
            threshold_ns: ns(task.threshold).into(),
            age_ns: ns(task.age).into(),
            status: task.status as u32,
            payload: task.payload,
            idle: task.idle,
            vital: task.vital,
            done: task.done,
            left: task.left,
            violations: task.violations,
            broken: bits(|promise| task.is_broken(promise)),
        }
    }
}

/// A bit for each promise that is broken.
pub(crate) fn bits(is_broken: impl Fn(Promise) -> bool) -> u32 {
    let broken = Promise::ALL.into_iter().filter(|promise| is_broken(*promise));
    broken.fold(0, |bits, promise| bits | u32::from(promise.bit()))
}

exported! {
    /// Returns the tasks of this process.
    fn agent_tasks(agent: &mut External<agent::Handle>) -> Result<Vec<Report>> {
        Ok(agent.tasks()?.into_iter().map(Report::from).collect())
    }
}
