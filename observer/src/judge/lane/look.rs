//! Looking at pages.

use std::iter;

use super::pages::{Change, NONE, Stage};
use super::{PageClock, PageIndex, lines};
use crate::judge::tracker::Flags;
use crate::judge::{Environment, Judge, Slot};

/// While a page is read, the one this far behind it is loaded: pages are in no order that a CPU
/// finds out by itself.
const AHEAD: u32 = 4;

impl Judge {
    /// Reads the lines of a page and reports what has happened since the last look. It causes
    /// at most 288 events, which must be fetched before the next call, and no Stall: call
    /// [`expire`](Self::expire) afterwards.
    ///
    /// Call it once after [`mapped`](Self::mapped), for each page that
    /// [`due_page`](Self::due_page) returns, and when a process asks for it, if
    /// [`rung`](Self::rung) allows that.
    pub fn look<E: Environment>(&mut self, now: u64, page: PageIndex, environment: &mut E) {
        self.now = self.now.max(now);
        let Some(found) = self.lanes.pages.get(page) else { return };
        if found.stage != Stage::Mapped {
            return;
        }
        self.counters.lane_looks += 1;
        let soon = PageIndex(page.0.saturating_add(AHEAD));
        if let Some(words) = environment.page(soon) {
            lines::prefetch(words, soon.offset());
        }
        let Some(words) = environment.page(page) else { return };
        let first = lines::first(words, page.offset());
        if !first.valid {
            self.counters.lane_invalid += 1;
            return;
        }
        let own = lines::own(words, page.offset(), found.sequence);
        self.join_known(page, environment);
        if let Some((sequence, hot)) = own {
            if !self.renew_plainly(page, sequence, &hot, environment) {
                self.renew_process(page, sequence, &hot, environment);
            }
        }
        let found = self.lanes.pages.at(page);
        if self.lanes.wants_tasks && (first.live != 0 || found.first_task != NONE) {
            self.look_at_tasks(page, first.live, environment);
        }
        let found = self.lanes.pages.at_mut(page);
        found.looked = true;
        let change = std::mem::replace(&mut found.change, Change::Nothing);
        if change == Change::Period {
            self.plan(page);
        }
        let found = self.lanes.pages.at_mut(page);
        found.next_look = self.lanes.schedule.next_after(found.class, self.now);
        if change != Change::Nothing || found.links.deadline < found.next_look {
            self.set_timers(page);
        }
    }

    fn look_at_tasks<E: Environment>(
        &mut self,
        page: PageIndex,
        live: u32,
        environment: &mut E,
    ) {
        let mut next = self.lanes.pages.at(page).first_task;
        let details = self.lanes.pages.details_mut(page);
        details.without_room &= live;
        let followed = details.pairs;
        let mut pairs = live | followed;
        while pairs != 0 {
            let pair = pairs.trailing_zeros();
            pairs &= pairs - 1;
            // The tasks of a page are in the order of their pairs.
            let mut task = None;
            if followed >> pair & 1 != 0 {
                task = Some(next);
                next = self.lanes.tasks.after(next);
            }
            self.look_at_task(page, pair, task, live >> pair & 1 != 0, environment);
        }
        self.unlist(page, environment);
    }

    /// When the next page is due for a [look](Self::look), or earlier.
    #[must_use]
    pub fn next_look(&self) -> Option<u64> {
        self.lanes.schedule.next()
    }

    /// The next page that is due for a [look](Self::look). Call it until it returns `None`.
    pub fn due_page(&mut self, now: u64) -> Option<PageIndex> {
        self.lanes.schedule.due(self.lanes.pages.all(), now)
    }

    /// The pages of the agent in this slot.
    pub fn pages_of(&self, slot: Slot) -> impl Iterator<Item = PageIndex> + '_ {
        self.lanes.pages.of(slot)
    }

    /// Decides again when to look at the pages of an agent, or at all.
    pub(in crate::judge) fn plan_again(&mut self, slot: Option<Slot>) {
        let Some(slot) = slot else {
            self.lanes.pages.indexes().for_each(|page| self.plan_page_again(page));
            return;
        };
        let mut page = self.lanes.pages.first_of(slot);
        while let Some(found) = page {
            self.plan_page_again(found);
            page = self.lanes.pages.after(found);
        }
    }

    fn plan_page_again(&mut self, page: PageIndex) {
        if self.lanes.pages.get(page).is_some_and(|found| found.stage == Stage::Mapped) {
            self.plan(page);
            self.set_timers(page);
        }
    }

    /// Decides how often to look at this page.
    pub(super) fn plan(&mut self, page: PageIndex) {
        let found = self.lanes.pages.at(page);
        let (slot, class, first) = (found.slot(), found.class, found.first_task);
        let threshold = match slot {
            Some(slot) => self.tracker.threshold(slot),
            None => self.tracker.default_threshold(),
        };
        let tasks = self.lanes.tasks.of(first).map(|task| self.lanes.tasks.at(task).finest());
        let finest = iter::once(threshold).chain(tasks).min().unwrap_or(threshold);
        let details = self.lanes.pages.details_mut(page);
        if finest != details.finest_ns {
            details.finest_ns = finest;
            let (wanted, raised) = self.lanes.schedule.class_for(finest);
            self.counters.lane_raised += u64::from(raised);
            if wanted != class {
                self.move_to_class(page, class, wanted);
            }
        }
    }

    fn move_to_class(&mut self, page: PageIndex, before: u16, class: u16) {
        let (pages, schedule) = (&mut self.lanes.pages, &mut self.lanes.schedule);
        schedule.remove(pages.all_mut(), page.0, before);
        schedule.add(pages.all_mut(), page.0, class, self.now);
        let found = pages.at_mut(page);
        (found.class, found.next_look) = (class, schedule.next_after(class, self.now));
    }

    /// Sets a timer for each line of this page on which something is due before the next look.
    #[inline]
    pub(super) fn set_timers(&mut self, page: PageIndex) {
        let found = self.lanes.pages.at(page);
        let Some(slot) = found.slot() else { return };
        let next_look = found.next_look;
        let mut task = found.first_task;
        let mut first = self.tracker.set_timer(slot, next_look);
        let exiting = self.tracker.has(slot, Flags::EXITING);
        let clock = self.clock_of(page);
        let not_before = self.has_credit_at(slot);
        while task != NONE {
            let due = if exiting { None } else { self.deadline_of(task, clock) };
            let due = due.map(|due| self.early(task, due));
            first = first.min(due.unwrap_or(u64::MAX));
            self.lanes.tasks.time(task, due.map(|due| due.max(not_before)), next_look);
            task = self.lanes.tasks.after(task);
        }
        self.lanes.pages.at_mut(page).links.deadline = first;
    }

    /// When the next promise of a task counts as broken, in the observer's time.
    pub(super) fn deadline_of(&self, task: u32, clock: PageClock) -> Option<u64> {
        let task = self.lanes.tasks.at(task);
        task.promises.next(task.slack_ns).map(|at| clock.to_observer(at))
    }

    #[inline]
    pub(super) fn clock_of(&self, page: PageIndex) -> PageClock {
        self.lanes.clocks.of_page(self.lanes.pages.details(page).clock_offset)
    }
}
