//! Verdicts on lines. Each line is read again first.

use super::PageIndex;
use super::budget::Work;
use crate::cause::Cause;
use crate::event::{Ending, Late, What};
use crate::judge::tracker::{Flags, Slot};
use crate::judge::{Environment, Judge};

/// The line that is due next.
#[derive(Debug, Clone, Copy)]
pub(in crate::judge) enum Due {
    Process(Slot),
    Task(u32),
}

impl Judge {
    /// The next line whose deadline is `horizon` or earlier.
    pub(in crate::judge) fn next_due(&mut self, horizon: u64) -> Option<Due> {
        if self.lanes.tasks.followed() == 0 {
            return self.tracker.next_due(horizon).map(Due::Process);
        }
        let process = self.tracker.first_due(horizon);
        let (pages, clocks) = (&self.lanes.pages, &self.lanes.clocks);
        let clock = |page: PageIndex| clocks.of_page(pages.details(page).clock_offset);
        let task = self.lanes.tasks.first_due(horizon, &self.tracker, clock);
        if let Some((due, task)) = task {
            let found = self.lanes.tasks.at(task);
            // Of two with the same deadline, the one comes first that was heard first.
            if process.is_none_or(|process| (due, found.last_ns, found.agent) < process) {
                return Some(Due::Task(task));
            }
        }
        self.tracker.next_due(horizon).map(Due::Process)
    }

    /// Reads the own lines of an agent again. Returns whether it is due as before; otherwise its
    /// timer is set again.
    pub(in crate::judge) fn is_still_due<E: Environment>(
        &mut self,
        slot: Slot,
        environment: &mut E,
    ) -> bool {
        let due = self.tracker.deadline(slot);
        let mut pages = [None; super::pages::MOST_PER_AGENT];
        for (place, page) in pages.iter_mut().zip(self.lanes.pages.of(slot)) {
            *place = Some(page);
        }
        for page in pages.into_iter().flatten() {
            self.look_at_process(page, environment);
        }
        if self.tracker.deadline(slot) == due {
            return true;
        }
        self.tracker.set_timer(slot, u64::MAX);
        false
    }

    /// Reads the line of a task again, and reports the promise that was due first of those that
    /// are broken at `horizon`.
    pub(in crate::judge) fn judge_task<E: Environment>(
        &mut self,
        index: u32,
        horizon: u64,
        environment: &mut E,
    ) {
        let (page, pair) = (self.lanes.tasks.at(index).page, self.lanes.tasks.at(index).pair);
        let number = self.lanes.tasks.at(index).number;
        let clock = self.clock_of(page);
        let due = self.deadline_of(index, clock);
        if let Some(slot) = self.lanes.pages.at(page).slot() {
            self.charge(slot, Work::Wake);
        }
        self.look_at_task(page, pair, Some(index), true, environment);
        let found = self.lanes.tasks.find(self.lanes.pages.at(page).first_task, pair);
        let Some(slot) = self.lanes.pages.at(page).slot() else { return };
        // The task may have ended, and another one may have taken its pair. What is due at
        // another time than before has its turn then.
        let same = found == Some(index) && self.lanes.tasks.at(index).number == number;
        if same
            && self.deadline_of(index, clock) == due
            && !self.read_task_early(slot, index, horizon, environment)
        {
            self.report_broken_promise(slot, index, horizon, environment);
        }
        self.unlist(page, environment);
        self.plan(page);
        self.set_timers(page);
    }

    fn report_broken_promise<E: Environment>(
        &mut self,
        slot: Slot,
        index: u32,
        horizon: u64,
        environment: &mut E,
    ) {
        if self.tracker.has(slot, Flags::EXITING) {
            return;
        }
        let page = self.lanes.tasks.at(index).page;
        let clock = self.clock_of(page);
        let now = clock.to_page(horizon);
        let task = self.lanes.tasks.at_mut(index);
        let was_late = task.promises.is_late();
        let Some(broken) = task.promises.take_broken(now, task.slack_ns) else { return };
        let (thread, last_ns) = (task.thread, task.last_ns);
        let can_be_gone = thread != 0 && !task.roams && !broken.found_by_task;
        if !was_late {
            self.count_late(slot, 1);
        }
        let pid = self.tracker.about(slot).pid;
        if can_be_gone && environment.thread_gone(slot, pid, thread) {
            return self.end_task(index, Some(Ending::ThreadGone));
        }
        let late = Some(Late {
            promise: broken.promise,
            due_ns: clock.to_observer(broken.due),
            checkpoint: broken.checkpoint,
        });
        let why = self.explain_promise(slot, index, environment);
        if why.is_some_and(|why| why.cause == Cause::Exec) {
            return self.end_tasks_before_exec(slot, environment);
        }
        self.counters.task_stalls += 1;
        let what = What::Stall { last_nonce: 0, last_ns, deaf: false, late, why };
        self.push_task(slot, index, what);
    }
}
