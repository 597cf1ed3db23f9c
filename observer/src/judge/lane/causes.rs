//! Finding out why tasks, and processes with pages, are silent.

use super::PageIndex;
use super::lines;
use super::pages::MOST_PER_AGENT;
use crate::cause::Why;
use crate::event::{self, Ending};
use crate::judge::causes::{Depth, Silent};
use crate::judge::{Environment, Judge, Slot};

impl Judge {
    /// When something is to be done about a task whose promise counts as broken at `due`: half
    /// of the time before that, if its process must be read first.
    pub(super) fn early(&mut self, index: u32, due: u64) -> u64 {
        let task = self.lanes.tasks.at_mut(index);
        task.early = self.causes.is_some() && task.read_after != task.promises.call.at;
        if task.early { due - due.saturating_sub(task.last_ns) / 2 } else { due }
    }

    /// Reads the process of a task, once after each call, unless the task is late by `horizon`
    /// already. Returns false if that was done before: then the task is due.
    pub(super) fn read_task_early<E: Environment>(
        &mut self,
        slot: Slot,
        index: u32,
        horizon: u64,
        environment: &mut E,
    ) -> bool {
        let task = self.lanes.tasks.at(index);
        let (page, last_ns) = (task.page, task.last_ns);
        let due = self.deadline_of(index, self.clock_of(page));
        let task = self.lanes.tasks.at_mut(index);
        if !task.early {
            return false;
        }
        (task.early, task.read_after) = (false, task.promises.call.at);
        if due.is_some_and(|due| due > horizon) {
            self.read_early(slot, last_ns, Depth::Half, environment);
        }
        true
    }

    /// Why a task has just broken a promise.
    pub(super) fn explain_promise<E: Environment>(
        &mut self,
        slot: Slot,
        index: u32,
        environment: &mut E,
    ) -> Option<Why> {
        let silent = self.silent_task(index)?;
        let number = self.lanes.tasks.at(index).number;
        debug_assert!(silent.slot == slot, "a task belongs to the agent of its page");
        self.explain_task(silent, index, number, environment)
    }

    /// A task that is late.
    pub(in crate::judge) fn silent_task(&self, index: u32) -> Option<Silent> {
        let task = self.lanes.tasks.at(index);
        let slot = self.lanes.pages.get(task.page)?.slot()?;
        let due = task.promises.first_due().map_or(task.promises.call.at, |(_, due)| due);
        let threshold_ns = due.saturating_sub(task.promises.call.at);
        let told = (!task.roams && task.thread != 0).then_some(task.thread);
        let told = told.filter(|_| self.numbers_threads_as_we_do(slot));
        let last_ns = task.last_ns;
        let may_be_another = !self.was_mapped_before_last_beat(task.page, slot);
        let silent = Silent { slot, last_ns, threshold_ns, beats: 0, told, may_be_another };
        task.promises.is_late().then_some(silent)
    }

    /// Whether the program that beat last was the one that mapped this page.
    fn was_mapped_before_last_beat(&self, page: PageIndex, slot: Slot) -> bool {
        self.lanes.pages.details(page).mapped_ns <= self.tracker.last_ns(slot)
    }

    /// The process has executed another program, which has ended all threads of the one that
    /// beat, and its tasks with them. A program that executes and maps a page of its own keeps
    /// its tasks.
    pub(in crate::judge) fn end_tasks_before_exec<E: Environment>(
        &mut self,
        slot: Slot,
        environment: &mut E,
    ) {
        let mut pages = [None; MOST_PER_AGENT];
        for (place, page) in pages.iter_mut().zip(self.lanes.pages.of(slot)) {
            *place = Some(page);
        }
        for page in pages.into_iter().flatten() {
            if self.was_mapped_before_last_beat(page, slot) {
                self.end_tasks(page, Some(Ending::ThreadGone));
                self.unlist(page, environment);
                self.plan(page);
                self.set_timers(page);
            }
        }
    }

    /// The thread that made the last beat of a process, if its page shows it.
    pub(in crate::judge) fn told_by<E: Environment>(
        &self,
        slot: Slot,
        environment: &E,
    ) -> Option<u32> {
        let page =
            self.lanes.pages.of(slot).max_by_key(|page| self.lanes.pages.at(*page).at)?;
        let thread = lines::thread(environment.page(page)?, page.offset());
        (thread != 0 && self.numbers_threads_as_we_do(slot)).then_some(thread)
    }

    /// In another pid namespace threads have other numbers.
    fn numbers_threads_as_we_do(&self, slot: Slot) -> bool {
        let about = self.tracker.about(slot);
        about.pid == about.claimed_pid
    }

    /// A task in an event.
    pub(in crate::judge) fn task_event(&self, index: u32) -> event::Task {
        self.lanes.tasks.at(index).event()
    }

    /// The index of a task of an agent by its number.
    pub(in crate::judge) fn task_index(&self, slot: Slot, number: u32) -> Option<u32> {
        let first = |page: PageIndex| self.lanes.pages.at(page).first_task;
        let mut tasks =
            self.lanes.pages.of(slot).flat_map(|page| self.lanes.tasks.of(first(page)));
        tasks.find(|index| self.lanes.tasks.at(*index).number == number)
    }
}
