//! The lines of tasks.

use varta::internal::lane::layout::{Cold, State};

use super::budget::Work;
use super::lines::{self, Call, NoNews, Pair};
use super::pages::Change;
use super::promises::Promises;
use super::tasks::NewTask;
use super::{PageClock, PageIndex, pages};
use crate::event::{Ending, Event, What};
use crate::judge::{Environment, Judge, Slot};

impl Judge {
    /// Reads the pair of a task, and reports what has happened to it since the last look.
    /// `followed` is the task that is followed there, and `live` whether the page lists the pair.
    pub(super) fn look_at_task<E: Environment>(
        &mut self,
        page: PageIndex,
        pair: u32,
        followed: Option<u32>,
        live: bool,
        environment: &mut E,
    ) {
        let Some(words) = environment.page(page) else { return };
        let marks = lines::marks(words, page.offset(), pair);
        if let (true, Some(task), Some(marks)) = (live, followed, marks) {
            if self.is_unchanged(page, task, marks) {
                return;
            }
        }
        let Some(copy) = lines::pair(words, page.offset(), pair) else { return };
        let found = self.lanes.pages.at_mut(page);
        found.change(Change::Period);
        if let Some(slot) = found.slot() {
            self.charge(slot, Work::Pair);
        }
        let Some(cold) = copy.cold else {
            self.counters.lane_invalid += 1;
            return;
        };
        let live = live && cold.state == State::Live;
        if let Some(task) = followed {
            if self.lanes.tasks.at(task).own_number == cold.number {
                self.renew_task(task, &copy, &cold);
                if let Some(marks) = marks {
                    self.lanes.tasks.at_mut(task).marks = (marks.1, marks.2);
                }
                match cold.state {
                    State::Closed => self.end_task(task, Some(Ending::Closed)),
                    State::Failed => self.end_task(task, Some(Ending::Failed)),
                    // Another task is about to have the pair.
                    State::Free | State::Live => {}
                }
                return;
            }
            let failed = cold.ended == State::Failed;
            self.end_task(task, Some(if failed { Ending::Failed } else { Ending::Closed }));
        }
        if live {
            self.begin_task(page, pair, &copy, &cold, environment);
        }
    }

    fn is_unchanged(&mut self, page: PageIndex, task: u32, marks: (u64, u64, u64)) -> bool {
        let task = self.lanes.tasks.at(task);
        let (pair, known) = (task.pair, task.marks);
        let sequence = self.lanes.pages.sequence(page, pair);
        sequence.is_some_and(|seen| *seen == marks.0) && known == (marks.1, marks.2)
    }

    /// Follows a task from now on, if there is room.
    fn begin_task<E: Environment>(
        &mut self,
        page: PageIndex,
        pair: u32,
        copy: &Pair,
        cold: &Cold,
        environment: &mut E,
    ) {
        let Some((sequence, hot)) = copy.hot else { return };
        let now = self.clock_of(page).to_page(self.now);
        let call = match Call::read(&hot, now, 0) {
            Ok(call) => call,
            Err(NoNews::Old) => return,
            Err(NoNews::Invalid) => {
                self.counters.lane_invalid += 1;
                return;
            }
        };
        let bit = 1 << pair;
        let found = self.lanes.pages.at_mut(page);
        let (looked, nonce) = (found.looked, found.nonce);
        let seen = self.lanes.pages.sequence(page, pair).map_or(0, |seen| *seen);
        let gone = self.lanes.pages.gone(page, pair).is_some_and(|gone| *gone == cold.number);
        // After its thread was gone a task is no more, unless another thread calls it.
        if gone && seen == sequence {
            return;
        }
        let slot = match self.has_room_for_task() {
            true => self.agent_of(page, nonce, environment),
            false => None,
        };
        let Some(slot) = slot.filter(|_| self.has_room_for_task()) else {
            let details = self.lanes.pages.details_mut(page);
            self.counters.tasks_without_room += u64::from(details.without_room & bit == 0);
            details.without_room |= bit;
            return;
        };
        let Some(agent) = self.lanes.pages.agent_mut(slot) else { return };
        let number = agent.next_task;
        (agent.next_task, agent.tasks) = (number.wrapping_add(1).max(1), agent.tasks + 1);
        let slack_ns = self.lanes.slack.of_task(cold.name, agent);
        let (name, own_number) = (cold.name, cold.number);
        let promises = Promises::new(call, cold.threshold_ns);
        let agent = self.tracker.about(slot).agent;
        let new = NewTask { agent, page, pair, number, own_number, name, promises };
        let mut first = self.lanes.pages.at(page).first_task;
        let index = self.lanes.tasks.add(&mut first, new);
        self.lanes.pages.at_mut(page).first_task = first;
        let details = self.lanes.pages.details_mut(page);
        details.pairs |= bit;
        details.without_room &= !bit;
        self.tracker.reserve(self.lanes.tasks.followed());
        let last_ns = self.clock_of(page).to_observer(call.at).min(self.now);
        // What the first look finds was done before: it is not news. Later, the first write is
        // the declaration.
        let count = match looked {
            true => calls(seen, sequence).saturating_sub(u32::from(!gone)),
            false => 0,
        };
        let task = self.lanes.tasks.at_mut(index);
        task.threshold_ns = cold.threshold_ns;
        task.slack_ns = slack_ns;
        task.violations = if looked && !gone { 0 } else { cold.violations };
        task.last_ns = last_ns;
        self.counters.tasks += 1;
        self.push_task(slot, index, What::Task { threshold_ns: cold.threshold_ns });
        self.update_task(index, cold, hot.last);
        if let Some(seen) = self.lanes.pages.sequence(page, pair) {
            *seen = sequence;
        }
        self.report_calls(slot, index, count);
        self.report_violations(slot, index, cold);
    }

    /// Reports the calls of a task since the last look.
    fn renew_task(&mut self, index: u32, copy: &Pair, cold: &Cold) {
        let task = self.lanes.tasks.at(index);
        let (page, pair, before) = (task.page, task.pair, task.promises.call.at);
        let Some(slot) = self.lanes.pages.at(page).slot() else { return };
        let clock = self.clock_of(page);
        let seen = self.lanes.pages.sequence(page, pair);
        let news = copy.hot.zip(seen).filter(|((sequence, _), seen)| sequence != *seen);
        if let Some(((sequence, hot), seen)) = news {
            let call = Call::read(&hot, clock.to_page(self.now), before);
            match call {
                Ok(call) => {
                    let count = calls(std::mem::replace(seen, sequence), sequence);
                    self.update_task(index, cold, hot.last);
                    self.renew_promises(slot, index, call, clock);
                    self.report_calls(slot, index, count);
                }
                Err(NoNews::Old) => {}
                Err(NoNews::Invalid) => {
                    *seen = sequence;
                    self.counters.lane_invalid += 1;
                }
            }
        }
        self.report_violations(slot, index, cold);
    }

    fn renew_promises(&mut self, slot: Slot, index: u32, call: Call, clock: PageClock) {
        let last_ns = clock.to_observer(call.at).min(self.now);
        let task = self.lanes.tasks.at_mut(index);
        task.last_ns = last_ns;
        let was_late = task.promises.is_late();
        let kept = task.promises.renew(call, task.threshold_ns);
        if was_late && !task.promises.is_late() {
            self.count_late(slot, -1);
            self.forget_task_silence(index);
        }
        for (promise, silent_ns) in kept {
            self.counters.task_recoveries += 1;
            self.push_task(slot, index, What::Recovered { silent_ns, promise });
        }
    }

    fn update_task(&mut self, index: u32, cold: &Cold, progress: u64) {
        let task = self.lanes.tasks.at_mut(index);
        task.threshold_ns = cold.threshold_ns;
        task.finest_ns = cold.finest_ns;
        task.thread = cold.thread;
        task.roams = cold.roams;
        task.progress = progress;
    }

    fn report_calls(&mut self, slot: Slot, index: u32, count: u32) {
        if count == 0 {
            return;
        }
        let task = self.lanes.tasks.at_mut(index);
        task.beats += u64::from(count);
        let (status, payload) = (task.promises.status(), task.promises.call.info.payload);
        self.counters.task_beats += u64::from(count);
        let payload = payload.into();
        self.push_task(slot, index, What::Beat { status, payload, nonce: 0, missed: 0, count });
    }

    fn report_violations(&mut self, slot: Slot, index: u32, cold: &Cold) {
        let task = self.lanes.tasks.at_mut(index);
        let count = cold.violations.wrapping_sub(task.violations);
        let Some(last) = cold.last_violation.filter(|_| count > 0) else { return };
        task.violations = cold.violations;
        task.reported += u64::from(count);
        self.counters.violations += u64::from(count);
        let (rule, from, to, by) = (last.rule, last.from, last.to, last.by);
        self.push_task(slot, index, What::Violation { rule, count, from, to, by });
    }

    /// Stops following a task and reports how it ended, if that is to be reported.
    pub(super) fn end_task(&mut self, index: u32, how: Option<Ending>) {
        let task = *self.lanes.tasks.at(index);
        let slot = self.lanes.pages.at(task.page).slot();
        if let Some(slot) = slot {
            if let Some(how) = how {
                self.counters.tasks_ended += 1;
                self.push_task(slot, index, What::Ended { how });
            }
            if task.promises.is_late() {
                self.count_late(slot, -1);
            }
            if let Some(agent) = self.lanes.pages.agent_mut(slot) {
                agent.tasks -= 1;
            }
        }
        if let Some(gone) = self.lanes.pages.gone(task.page, task.pair) {
            *gone = if how == Some(Ending::ThreadGone) { task.own_number } else { 0 };
        }
        self.forget_task_silence(index);
        let mut first = self.lanes.pages.at(task.page).first_task;
        self.lanes.tasks.remove(&mut first, index);
        self.lanes.pages.at_mut(task.page).first_task = first;
        self.lanes.pages.details_mut(task.page).pairs &= !(1 << task.pair);
        self.tracker.reserve(self.lanes.tasks.followed());
    }

    /// Ends all tasks of a page.
    pub(super) fn end_tasks(&mut self, page: PageIndex, how: Option<Ending>) {
        loop {
            let first = self.lanes.pages.at(page).first_task;
            if first == pages::NONE {
                break;
            }
            self.end_task(first, how);
        }
    }

    pub(super) fn count_late(&mut self, slot: Slot, by: i32) {
        if let Some(agent) = self.lanes.pages.agent_mut(slot) {
            agent.tasks_late = agent.tasks_late.saturating_add_signed(by);
        }
    }

    pub(super) fn push_task(&mut self, slot: Slot, index: u32, what: What) {
        let about = Some(self.tracker.about(slot));
        let task = Some(self.lanes.tasks.at(index).event());
        self.events.push(Event { observer_ns: self.now, about, task, what });
    }

    fn has_room_for_task(&self) -> bool {
        !self.lanes.tasks.is_full() && !self.tracker.is_full()
    }
}

/// How many writes a line has had between two sequences.
fn calls(before: u64, sequence: u64) -> u32 {
    u32::try_from(sequence.wrapping_sub(before)).unwrap_or(u32::MAX)
}
