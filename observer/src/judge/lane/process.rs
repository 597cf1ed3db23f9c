//! The line of a process itself.

use varta::internal::lane::layout::Hot;
use varta::{NONCE_TERMINAL, Promise};

use super::PageIndex;
use super::lines::{self, NoNews, OwnBeat};
use super::pages::{Change, NONE};
use crate::event::What;
use crate::judge::tracker::{Flags, distance, is_forward};
use crate::judge::{Environment, Judge, Slot};

impl Judge {
    /// Reads a process's own line again.
    pub(super) fn look_at_process<E: Environment>(
        &mut self,
        page: PageIndex,
        environment: &mut E,
    ) {
        let seen = self.lanes.pages.at(page).sequence;
        let words = environment.page(page);
        let own = words.and_then(|words| lines::own(words, page.offset(), seen));
        if let Some((sequence, hot)) = own {
            self.renew_process(page, sequence, &hot, environment);
        }
    }

    /// As [`renew_process`](Self::renew_process) in the usual case: a known agent without tasks
    /// beats on as it did, and sent no datagrams. Otherwise returns false and changes nothing.
    #[inline]
    pub(super) fn renew_plainly<E: Environment>(
        &mut self,
        page: PageIndex,
        sequence: u64,
        hot: &Hot,
        environment: &mut E,
    ) -> bool {
        let clock = self.lanes.clocks.of_page(0);
        let (now, nonce) = (self.now, hot.last);
        let found = self.lanes.pages.at_mut(page);
        let beats = distance(found.nonce, nonce);
        let (Some(slot), Ok(count)) = (found.slot(), u32::try_from(beats)) else {
            return false;
        };
        let has_changed = found.change != Change::Nothing;
        if count == 0 || found.first_task != NONE || !found.is_plain || has_changed {
            return false;
        }
        let Ok(beat) = OwnBeat::read(hot, clock.to_page(now), found.at) else { return false };
        let OwnBeat { status, payload, .. } = beat;
        let at = clock.to_observer(beat.at).min(now);
        let Some(due) = self.tracker.plain_beats(slot, at, status, nonce, count) else {
            return false;
        };
        (found.sequence, found.at, found.nonce) = (sequence, beat.at, nonce);
        found.links.deadline = due;
        self.counters.lane_beats += u64::from(count);
        let about = Some(self.tracker.about(slot));
        let payload = payload.into();
        self.push(about, What::Beat { status, payload, nonce, missed: 0, count });
        if self.causes.is_some() {
            self.learn(slot, true, environment);
        }
        true
    }

    /// Reports the beats of a process since the last look at its line.
    #[inline]
    pub(super) fn renew_process<E: Environment>(
        &mut self,
        page: PageIndex,
        sequence: u64,
        hot: &Hot,
        environment: &mut E,
    ) {
        let clock = self.clock_of(page);
        let before = self.lanes.pages.at(page).at;
        let beat = match OwnBeat::read(hot, clock.to_page(self.now), before) {
            Ok(beat) => beat,
            Err(NoNews::Old) => return,
            Err(NoNews::Invalid) => {
                self.counters.lane_invalid += 1;
                self.lanes.pages.at_mut(page).sequence = sequence;
                return;
            }
        };
        let nonce = hot.last;
        // Without room it is read again at a later look.
        let Some(slot) = self.agent_of(page, nonce, environment) else { return };
        let at = clock.to_observer(beat.at).min(self.now);
        let found = self.lanes.pages.at_mut(page);
        found.change(Change::News);
        // A process that attaches again brings along its last line, but may have sent
        // datagrams since.
        let ahead = is_forward(distance(found.nonce, nonce)) || nonce == NONCE_TERMINAL;
        if !ahead && at < self.tracker.last_ns(slot) {
            return;
        }
        // Datagrams that were sent later are left for the next look.
        let details = self.lanes.pages.details(page);
        let (heard_nonce, is_later) =
            (details.heard_nonce, is_forward(distance(nonce, details.heard_nonce)));
        let mut heard = if is_later { 0 } else { details.heard };
        let count = count_beats(self.lanes.pages.at(page).nonce, nonce, &mut heard);
        if !is_later {
            self.lanes.pages.set_heard(page, heard, heard_nonce);
        }
        let found = self.lanes.pages.at_mut(page);
        (found.sequence, found.at) = (sequence, beat.at);
        if nonce != NONCE_TERMINAL {
            found.nonce = nonce;
        }
        let OwnBeat { status, payload, .. } = beat;
        let silent_ns = self.tracker.beats(slot, at, status, nonce, count);
        let silent_ns = silent_ns.filter(|_| !self.is_late(slot));
        let about = Some(self.tracker.about(slot));
        if silent_ns.is_some() {
            self.is_back(slot, true);
        }
        if let Some(silent_ns) = silent_ns {
            self.counters.recoveries += 1;
            self.push(about, What::Recovered { silent_ns, promise: Promise::Beat });
        }
        if count > 0 || silent_ns.is_some() {
            self.counters.lane_beats += u64::from(count);
            let (payload, count) = (payload.into(), count.max(1));
            self.push(about, What::Beat { status, payload, nonce, missed: 0, count });
            if self.causes.is_some() {
                self.learn(slot, true, environment);
            }
        }
    }

    /// Gives a page to the agent that its process already is, if there is one.
    #[inline]
    pub(super) fn join_known<E: Environment>(&mut self, page: PageIndex, environment: &mut E) {
        let found = self.lanes.pages.at(page);
        if found.slot().is_some() {
            return;
        }
        let nonce = found.nonce;
        if let Some(slot) = self.known_agent(page, nonce, environment) {
            self.join(page, slot, environment);
        }
    }

    /// The agent to which a page belongs. If there is none yet, it is tracked from now on, if
    /// there is room.
    #[inline]
    pub(super) fn agent_of<E: Environment>(
        &mut self,
        page: PageIndex,
        nonce: u64,
        environment: &mut E,
    ) -> Option<Slot> {
        let found = self.lanes.pages.at(page);
        if found.slot().is_some() {
            return found.slot();
        }
        let details = self.lanes.pages.details(page);
        let (sender, claimed_pid) = (details.process, details.claimed_pid);
        let key = sender.key()?;
        let slot = match self.known_agent(page, nonce, environment) {
            Some(slot) => Some(slot),
            None => {
                let tag = self.tracker.tag(&key);
                self.admit_local(&key, tag, claimed_pid, sender, environment)
            }
        };
        let slot = slot.filter(|slot| self.join(page, *slot, environment));
        self.counters.lane_without_room += u64::from(slot.is_none());
        slot
    }

    /// The agent that the process of a page already is. If another process had its pid, that
    /// one has exited.
    fn known_agent<E: Environment>(
        &mut self,
        page: PageIndex,
        nonce: u64,
        environment: &mut E,
    ) -> Option<Slot> {
        let sender = self.lanes.pages.details(page).process;
        let key = sender.key()?;
        let known = self.tracker.find(&key, self.tracker.tag(&key))?;
        if !self.is_same_process(known, sender, nonce, environment) {
            return None;
        }
        self.identify(known, sender.process, environment);
        Some(known)
    }

    /// Gives a page to an agent. Returns false if that has the most there may be.
    fn join<E: Environment>(
        &mut self,
        page: PageIndex,
        slot: Slot,
        environment: &mut E,
    ) -> bool {
        if !self.lanes.pages.join(page, slot) {
            return false;
        }
        if self.services.is_some() {
            self.frames_begin(slot);
        }
        // Datagrams that were heard since the process attached are not counted again.
        let at_attach = self.lanes.pages.details(page).heard;
        let heard = low(self.tracker.count(slot)).saturating_sub(at_attach);
        let is_first = !self.tracker.has(slot, Flags::PAGED);
        let last_nonce = self.tracker.last_nonce(slot);
        let heard = if is_first { heard } else { 0 };
        self.lanes.pages.set_heard(page, heard, last_nonce);
        self.lanes.pages.at_mut(page).change(Change::Period);
        self.tracker.set_paged(slot, true, self.now);
        // It may be another program than before that asked for this page.
        self.unlearn(slot);
        environment.joined(slot, page);
        let slack_ns = self.lanes.slack.of_program(environment.program(slot));
        if let Some(agent) = self.lanes.pages.agent_mut(slot) {
            agent.slack_ns = slack_ns;
        }
        true
    }

    /// Stops listing the process of a page if it has never beaten and has no task any more.
    /// Its pages stay.
    pub(super) fn unlist<E: Environment>(&mut self, page: PageIndex, environment: &mut E) {
        let Some(slot) = self.lanes.pages.at(page).slot() else { return };
        let tasks = self.lanes.pages.agent(slot).map_or(0, |agent| agent.tasks);
        if tasks > 0
            || !self.tracker.is_new(slot)
            || self.tracker.has(slot, Flags::EXITING)
            || self.is_service(slot)
        {
            return;
        }
        while let Some(page) = self.lanes.pages.first_of(slot) {
            self.lanes.pages.leave(page);
        }
        self.lanes.pages.forget(slot);
        self.release(slot, environment);
    }

    /// A datagram of an agent with pages was heard. Beats of both kinds take their nonces
    /// from one counter.
    #[cold]
    pub(in crate::judge) fn heard_beside_pages(&mut self, slot: Slot, nonce: u64) {
        let mut next = self.lanes.pages.first_of(slot);
        while let Some(page) = next {
            let pages = &mut self.lanes.pages;
            let (before, details) = (pages.at(page).nonce, pages.details(page));
            let (heard, next_page) = (details.heard.saturating_add(1), details.next_page);
            if is_forward(distance(before, nonce)) && nonce != NONCE_TERMINAL {
                pages.set_heard(page, heard, nonce);
            }
            next = (next_page != NONE).then_some(PageIndex(next_page));
        }
    }
}

/// The number as far as it fits.
#[inline]
pub(super) fn low(beats: u64) -> u32 {
    u32::try_from(beats).unwrap_or(u32::MAX)
}

/// How many beats a line stands for since its last news, less the datagrams `heard` between.
#[inline]
fn count_beats(before: u64, nonce: u64, heard: &mut u32) -> u32 {
    if nonce == NONCE_TERMINAL {
        return 1;
    }
    let distance = distance(before, nonce);
    if distance == 0 {
        return 0;
    }
    // A nonce that goes back is some beat, because the line has news.
    let beats =
        if is_forward(distance) { u32::try_from(distance).unwrap_or(u32::MAX) } else { 1 };
    let datagrams = beats.min(*heard);
    *heard -= datagrams;
    beats - datagrams
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datagrams_are_not_counted_again() {
        let count = |before, nonce, mut heard| (count_beats(before, nonce, &mut heard), heard);
        assert_eq!(count(5, 9, 0), (4, 0));
        assert_eq!(count(5, 9, 3), (1, 0));
        assert_eq!(count(5, 9, 6), (0, 2), "those were sent after this beat");
        assert_eq!(count(5, 5, 1), (0, 1));
        assert_eq!(count(u64::MAX - 1, 1, 0), (2, 0), "the terminal nonce is left out");
        assert_eq!(count(9, 5, 0), (1, 0));
        assert_eq!(count(9, NONCE_TERMINAL, 2), (1, 2));
        assert_eq!(count(0, 1 << 40, 0), (u32::MAX, 0));
    }
}
