//! Looking at agents before their silence is reported, so that its cause can be found.

use super::{Slot, Tracker};
use crate::judge::causes::Depth;
use crate::memory::{self, OutOfMemory};

/// After how many such looks in a row that came for nothing an agent is looked at later.
const FOR_NOTHING: u8 = 3;

/// An agent that has beaten this often since the last such look is not slow.
const BEATS_OF_SLOW: u64 = 2;

/// When an agent is looked at early.
#[derive(Debug, Clone, Copy)]
pub(super) struct Early {
    /// Its beats at the last early look.
    beats: u64,
    /// How many such looks in a row came for nothing.
    for_nothing: u8,
    when: When,
    /// It has executed another program since its last beat, so its silence is not judged.
    executed: bool,
}

/// Part of the threshold after which an agent is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Half,
    /// Its usual interval is longer than half of its threshold.
    ThreeQuarters,
    /// Its usual interval is longer than that, so a look at it must be cheap.
    ClockOnly,
    /// It is no process of this system.
    Never,
}

impl Tracker {
    /// Looks at agents early from now on, of which there are none yet.
    pub(crate) fn look_early(&mut self) -> Result<(), OutOfMemory> {
        self.early = memory::vector(self.capacity)?;
        self.looks_early = true;
        Ok(())
    }

    /// A new agent is tracked in this slot.
    pub(super) fn begin_early(&mut self, slot: Slot, local: bool) {
        if !self.looks_early {
            return;
        }
        let early = |when| Early { beats: 0, for_nothing: 0, when, executed: false };
        while self.early.len() <= slot.index() {
            // It stays within the allocated capacity.
            self.early.push(early(When::Never));
        }
        if let Some(place) = self.early.get_mut(slot.index()) {
            *place = early(if local { When::Half } else { When::Never });
        }
    }

    /// After which time of silence something is to be done about an agent with this threshold,
    /// and whether that is an early look.
    #[inline]
    pub(super) fn first_stage(&self, slot: Slot, threshold: u64) -> (u64, bool) {
        match self.early.get(slot.index()).map(|early| early.when) {
            None | Some(When::Never) => (threshold, false),
            Some(When::Half) => (threshold / 2, true),
            Some(When::ThreeQuarters | When::ClockOnly) => (threshold / 4 * 3, true),
        }
    }

    /// Whether an agent is due for an early look, rather than silent for too long.
    pub(crate) fn is_early(&self, slot: Slot) -> bool {
        self.hot(slot).is_early()
    }

    /// Puts off the early look at an agent. Returns false if that is not before the time when
    /// its silence is reported.
    pub(crate) fn put_off_early(&mut self, slot: Slot, until: u64) -> bool {
        let before = until < self.hot(slot).last_ns.saturating_add(self.threshold(slot));
        if before {
            self.wheel.set(&mut self.hot, slot.0, until);
        }
        before
    }

    /// Sets the deadline of an agent that is looked at early to when its silence is reported.
    /// Returns how much of it is to be read.
    pub(crate) fn take_early(&mut self, slot: Slot) -> Depth {
        let threshold = self.threshold(slot);
        let hot = self.hot_mut(slot);
        hot.set_early(false);
        let (beats, deadline) = (hot.beats, hot.last_ns.saturating_add(threshold));
        self.wheel.set(&mut self.hot, slot.0, deadline);
        let Some(early) = self.early.get_mut(slot.index()) else { return Depth::Clock };
        let slow = beats.saturating_sub(early.beats) <= BEATS_OF_SLOW && early.beats > 0;
        early.beats = beats;
        early.for_nothing = if slow { early.for_nothing.saturating_add(1) } else { 0 };
        if early.for_nothing >= FOR_NOTHING {
            early.for_nothing = 0;
            early.when = match early.when {
                When::Half => When::ThreeQuarters,
                _ => When::ClockOnly,
            };
        } else if !slow {
            early.when = When::Half;
        }
        if early.when == When::ClockOnly { Depth::Clock } else { Depth::Half }
    }

    /// An agent has executed another program, which may not beat: its silence is not judged
    /// before it does.
    pub(crate) fn executed(&mut self, slot: Slot) {
        if let Some(early) = self.early.get_mut(slot.index()) {
            early.executed = true;
        }
        self.stalled_after_early(slot);
    }

    /// Whether an agent has executed another program since its last sign of life.
    pub(crate) fn has_executed(&self, slot: Slot) -> bool {
        self.early.get(slot.index()).is_some_and(|early| early.executed)
    }

    /// An agent gives a sign of life.
    #[inline]
    pub(super) fn is_heard(&mut self, slot: Slot) {
        if let Some(early) = self.early.get_mut(slot.index()) {
            early.executed = false;
        }
    }

    /// An agent is due again after another threshold.
    pub(crate) fn wait_on(&mut self, slot: Slot, now: u64) {
        let deadline = now.saturating_add(self.threshold(slot));
        self.wheel.set(&mut self.hot, slot.0, deadline);
    }

    /// The look came for something: the agent is stalled.
    pub(super) fn stalled_after_early(&mut self, slot: Slot) {
        if let Some(early) = self.early.get_mut(slot.index()) {
            (early.beats, early.for_nothing) = (0, 0);
        }
    }
}
