//! Giving pages to processes, and taking them back.

use super::pages::{Details, MOST_PER_AGENT, Stage};
use super::process::low;
use super::{Attached, Attaching, PageIndex, Refusal};
use crate::event::Ending;
use crate::judge::local::Process;
use crate::judge::tracker::{Room, distance, is_forward};
use crate::judge::{Environment, Judge, Namespace, Slot};

/// The numbers of errors are the same on all systems that the observer runs on.
const EACCES: i32 = 13;
const ENOSPC: i32 = 28;

impl Judge {
    /// Decides whether a process may have a page. Call [`mapped`](Self::mapped) once it has
    /// mapped it, and [`detached`](Self::detached) when it is gone.
    ///
    /// # Errors
    ///
    /// The reason, if it may not have one. It can still send datagrams.
    pub fn attach<E: Environment>(
        &mut self,
        now: u64,
        attaching: &Attaching,
        environment: &mut E,
    ) -> Result<Attached, Refusal> {
        self.now = self.now.max(now);
        let attached = self.try_attach(attaching, environment);
        match attached {
            Ok(_) => self.counters.lane_attached += 1,
            Err(_) => self.counters.lane_refused += 1,
        }
        attached
    }

    /// The page that the next process to [attach](Self::attach) will get, for a host that prepares
    /// it; `None` if all are in use.
    pub fn next_page(&mut self) -> Option<PageIndex> {
        self.lanes.pages.next()
    }

    fn try_attach<E: Environment>(
        &mut self,
        attaching: &Attaching,
        environment: &mut E,
    ) -> Result<Attached, Refusal> {
        let Attaching { pid, uid, process, claimed_pid, nonce, clock_offset } = *attaching;
        let refuse = |errno, reason| Err(Refusal { errno, reason });
        if !self.admits(uid) {
            return refuse(EACCES, "the observer does not accept this user");
        }
        let sender = Process { pid, uid, process };
        let Some(key) = sender.key() else {
            return refuse(EACCES, "the observer cannot identify the process");
        };
        let elsewhere = pid == 0
            || claimed_pid != pid
                && environment.namespace(pid, claimed_pid) == Namespace::Other;
        if elsewhere && !self.policy.namespaces {
            return refuse(EACCES, "the observer does not accept other pid namespaces");
        }
        if !elsewhere && claimed_pid != pid {
            return refuse(EACCES, "the process claims another pid than its own");
        }
        let known = self.tracker.find(&key, self.tracker.tag(&key));
        let pages = known.map_or(0, |slot| self.lanes.pages.of(slot).count());
        if pages >= MOST_PER_AGENT {
            return refuse(ENOSPC, "the process has as many pages as it may have");
        }
        if known.is_none() && matches!(self.tracker.room(Some(uid)), Room::None) {
            return refuse(ENOSPC, "the observer tracks as many processes as it can");
        }
        // Datagrams that the process sent after its request may have been heard before it.
        let is_same = |slot: &Slot| process.is_some() && self.tracker.process(*slot) == process;
        let last = known.filter(is_same).map(|slot| self.tracker.last_nonce(slot));
        let is_later = |last: &u64| is_forward(distance(nonce, *last));
        let nonce = last.filter(is_later).unwrap_or(nonce);
        let details = Details {
            process: sender,
            claimed_pid,
            heard: known.map_or(0, |slot| low(self.tracker.count(slot))),
            clock_offset,
            ..Details::NONE
        };
        let Some(page) = self.lanes.pages.take(nonce, details) else {
            return refuse(ENOSPC, "the observer has no more pages");
        };
        let threshold_ns = match known {
            Some(slot) => self.tracker.threshold(slot),
            None => self.tracker.default_threshold(),
        };
        Ok(Attached { page, threshold_ns, tasks: self.lanes.wants_tasks })
    }

    /// The process has mapped its page: from now on it is read. Call [`look`](Self::look)
    /// next.
    pub fn mapped(&mut self, now: u64, page: PageIndex) {
        self.now = self.now.max(now);
        if self.lanes.pages.get(page).is_none_or(|page| page.stage != Stage::Offered) {
            return;
        }
        let finest_ns = self.tracker.default_threshold();
        let (class, _) = self.lanes.schedule.class_for(finest_ns);
        let next_look = self.lanes.schedule.next_after(class, self.now);
        let found = self.lanes.pages.at_mut(page);
        (found.stage, found.class, found.next_look) = (Stage::Mapped, class, next_look);
        let details = self.lanes.pages.details_mut(page);
        (details.finest_ns, details.mapped_ns) = (finest_ns, self.now);
        let pages = self.lanes.pages.all_mut();
        self.lanes.schedule.add(pages, page.0, class, self.now);
    }

    /// Reports that a page is gone, or was never mapped, although the process may live. What
    /// it holds is read for the last time if the environment still has it. Its tasks end, and
    /// the agent is judged from its last sign of life. The index is free afterwards.
    pub fn detached<E: Environment>(&mut self, now: u64, page: PageIndex, environment: &mut E) {
        self.now = self.now.max(now);
        if self.lanes.pages.get(page).is_none() {
            return;
        }
        self.look(now, page, environment);
        self.end_tasks(page, Some(Ending::Detached));
        self.unlist(page, environment);
        self.take_back(page);
    }

    /// Counts a connection that was ended because a message on it had a wrong size or kind.
    pub fn bad_message(&mut self) {
        self.counters.lane_bad_messages += 1;
    }

    /// Counts a process that is not heard for a while, because it asked for too many looks.
    pub fn muted(&mut self) {
        self.counters.lane_muted += 1;
    }

    /// Frees a page that has no task.
    fn take_back(&mut self, page: PageIndex) {
        let found = self.lanes.pages.at(page);
        let (stage, class, slot) = (found.stage, found.class, found.slot());
        if stage == Stage::Mapped {
            let pages = self.lanes.pages.all_mut();
            self.lanes.schedule.remove(pages, page.0, class);
        }
        let was_last = self.lanes.pages.leave(page);
        self.lanes.pages.free(page);
        match slot {
            Some(slot) if was_last => self.tracker.set_paged(slot, false, self.now),
            // The looks at this page may have been what kept it from needing a timer.
            Some(slot) => _ = self.tracker.set_timer(slot, u64::MAX),
            None => {}
        }
    }

    /// Takes back the pages of an agent that is no longer tracked.
    pub(in crate::judge) fn release_pages<E: Environment>(
        &mut self,
        slot: Slot,
        environment: &mut E,
    ) {
        while let Some(page) = self.lanes.pages.first_of(slot) {
            self.end_tasks(page, None);
            self.take_back(page);
            environment.page_released(page);
        }
        self.lanes.pages.forget(slot);
    }

    /// Reports two readings of the clocks, of the same instant: the observer's time, and the
    /// monotonic clock, in which lines are written. Call it when the host has woken up, before
    /// [`pause`](Self::pause) and anything that reads lines. A host that never calls it has
    /// one clock for both.
    pub fn set_clocks(&mut self, observer_ns: u64, monotonic_ns: u64) {
        let suspended = self.lanes.clocks.set(observer_ns, monotonic_ns);
        if suspended > 0 {
            let pages = self.lanes.pages.indexes();
            for page in pages {
                let slot = self.lanes.pages.at(page).slot();
                // An agent with several pages is counted with the first.
                let first = |slot: &Slot| self.lanes.pages.first_of(*slot) == Some(page);
                if let Some(slot) = slot.filter(first) {
                    self.tracker.shift(slot, suspended);
                }
            }
            self.tracker.shift_line_pauses(suspended);
            self.lanes.shift_tasks(suspended);
        }
    }
}
