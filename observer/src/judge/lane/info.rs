//! What a snapshot contains about a task.

use varta::internal::lane::layout::done_and_left;
use varta::{Promise, Status, TaskName};

use super::PageIndex;
use super::lines::{self, Call, OwnBeat};
use crate::event::Late;
use crate::judge::{AgentInfo, Environment, Judge, Slot};

/// A task at one point in time.
///
/// ```
/// use varta_observer::TaskInfo;
///
/// fn line(task: &TaskInfo) -> String {
///     format!("{} ({}): {} done, {} left", task.number, task.name, task.done, task.left)
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TaskInfo {
    /// Its number, from 1. An agent never has two tasks with the same number.
    pub number: u32,
    /// Its name, which several tasks may share.
    pub name: TaskName,
    /// The longest time between two calls, in nanoseconds; `u64::MAX` for no limit.
    pub threshold_ns: u64,
    /// The status in its last call.
    pub status: Status,
    /// The application's number in its last call.
    pub payload: u32,
    /// When its last call was made, in the observer's time.
    pub last_ns: u64,
    /// How long ago that was.
    pub age_ns: u64,
    /// The promise that is due next, or that was due first of those that are broken.
    pub due: Option<Late>,
    /// Whether it is idle.
    pub idle: bool,
    /// The checkpoint where it is; 0 outside of all.
    pub checkpoint: u16,
    /// What it has done.
    pub done: u32,
    /// What is left to be done.
    pub left: u32,
    /// The calls that were reported.
    pub beats: u64,
    /// The violations that were reported.
    pub violations: u64,
    /// A bit for each promise that is broken.
    broken: u8,
}

impl TaskInfo {
    /// Whether a Stall was reported for this promise and it has not been kept since.
    #[must_use]
    pub const fn is_broken(&self, promise: Promise) -> bool {
        self.broken & promise.bit() != 0
    }

    /// Whether any promise is broken.
    #[must_use]
    pub const fn is_late(&self) -> bool {
        self.broken != 0
    }
}

impl Judge {
    /// As [`agent`](Self::agent), with its last sign of life read from its pages.
    pub fn agent_with<E: Environment>(
        &self,
        slot: Slot,
        now: u64,
        environment: &E,
    ) -> Option<AgentInfo> {
        let mut info = self.agent(slot, now)?;
        for page in self.lanes.pages.of(slot) {
            let found = self.lanes.pages.at(page);
            let words = environment.page(page);
            let own = words.and_then(|words| lines::own(words, page.offset(), found.sequence));
            let Some((_, hot)) = own else { continue };
            let clock = self.clock_of(page);
            if let Ok(beat) = OwnBeat::read(&hot, clock.to_page(now), found.at) {
                info.last_ns = info.last_ns.max(clock.to_observer(beat.at).min(now));
            }
        }
        info.age_ns = now.saturating_sub(info.last_ns);
        Some(info)
    }

    /// As [`agents`](Self::agents), with their last signs of life read from their pages.
    pub fn agents_with<'a, E: Environment>(
        &'a self,
        now: u64,
        environment: &'a E,
    ) -> impl Iterator<Item = (Slot, AgentInfo)> + 'a {
        let with = move |slot| Some((slot, self.agent_with(slot, now, environment)?));
        self.tracker.slots().filter_map(with)
    }

    /// The tasks of an agent, with their last calls read from its pages.
    pub fn tasks<'a, E: Environment>(
        &'a self,
        agent: u64,
        now: u64,
        environment: &'a E,
    ) -> impl Iterator<Item = TaskInfo> + 'a {
        let pages = self.find(agent).into_iter().flat_map(|slot| self.lanes.pages.of(slot));
        let tasks =
            pages.flat_map(|page| self.lanes.tasks.of(self.lanes.pages.at(page).first_task));
        tasks.map(move |task| self.task_info(task, now, environment))
    }

    /// The task of an agent with this number.
    pub fn task<E: Environment>(
        &self,
        agent: u64,
        number: u32,
        now: u64,
        environment: &E,
    ) -> Option<TaskInfo> {
        let mut pages = self.lanes.pages.of(self.find(agent)?);
        let in_page = |page| {
            let mut tasks = self.lanes.tasks.of(self.lanes.pages.at(page).first_task);
            tasks.find(|task| self.lanes.tasks.at(*task).number == number)
        };
        let task = pages.find_map(in_page)?;
        Some(self.task_info(task, now, environment))
    }

    fn task_info<E: Environment>(&self, task: u32, now: u64, environment: &E) -> TaskInfo {
        let task = self.lanes.tasks.at(task);
        let page: PageIndex = task.page;
        let clock = self.clock_of(page);
        let (mut promises, mut progress) = (task.promises, task.progress);
        let copy = environment
            .page(page)
            .and_then(|words| lines::pair(words, page.offset(), task.pair))
            .filter(|copy| copy.cold.is_some_and(|cold| cold.number == task.own_number));
        if let Some((_, hot)) = copy.and_then(|copy| copy.hot) {
            if let Ok(call) = Call::read(&hot, clock.to_page(now), promises.call.at) {
                if call != promises.call {
                    promises.renew(call, task.threshold_ns).for_each(drop);
                }
                progress = hot.last;
            }
        }
        let last_ns = clock.to_observer(promises.call.at).min(now);
        let (done, left) = done_and_left(progress);
        let late = |(promise, due)| {
            let of_span = promise == Promise::Span;
            let checkpoint = if of_span { promises.label() } else { promises.checkpoint() };
            Late { promise, due_ns: clock.to_observer(due), checkpoint }
        };
        let broken = |promise: &Promise| task.promises.is_stalled(*promise);
        let broken = Promise::ALL.into_iter().filter(broken);
        TaskInfo {
            number: task.number,
            name: task.name,
            threshold_ns: task.threshold_ns,
            status: promises.status(),
            payload: promises.call.info.payload,
            last_ns,
            age_ns: now.saturating_sub(last_ns),
            due: promises.first_due().map(late),
            idle: promises.call.info.idle,
            checkpoint: promises.checkpoint(),
            done,
            left,
            beats: task.beats,
            violations: task.reported,
            broken: broken.fold(0, |set, promise| set | promise.bit()),
        }
    }
}
