//! The silences that were reported, and when to look at each again.

use super::classify::LEAST_WINDOW_NS;
use crate::cause::{CauseClass, CauseInfo};
use crate::judge::deadline::{Entry, Linked, Links, Wheel, WheelSlot};
use crate::memory::{self, OutOfMemory};

/// After a Stall it is looked again at these thresholds, and then every eight.
const AGAIN_AT: [u64; 4] = [2, 3, 4, 8];
const THEN_EVERY: u64 = 8;

/// A silence that was reported.
#[derive(Debug, Clone, Copy)]
pub(super) struct Silence {
    /// The number of the agent; 0 if there is no silence.
    pub(super) agent: u64,
    /// The number of the task; 0 for the process.
    pub(super) task: u32,
    /// When it began, and the time after which it was reported.
    pub(super) last_ns: u64,
    pub(super) threshold_ns: u64,
    pub(super) info: CauseInfo,
    links: Links,
    place: WheelSlot,
}

impl Silence {
    const NONE: Self = Self {
        agent: 0,
        task: 0,
        last_ns: 0,
        threshold_ns: 0,
        info: CauseInfo::UNKNOWN,
        links: Links::LOOSE,
        place: WheelSlot::NOWHERE,
    };

    /// When to look again. A process that is held from outside is looked at every threshold. If
    /// there was no time for a reading, or no earlier one to compare with, that is made up for
    /// soon.
    fn next(&self, now: u64) -> u64 {
        let threshold = self.threshold_ns.max(1);
        if self.info.looked_ns == 0 {
            return now;
        }
        let made = now.saturating_sub(self.last_ns) / threshold;
        if made < 2 && self.info.window_ns < LEAST_WINDOW_NS {
            return now.saturating_add((threshold / 2).max(LEAST_WINDOW_NS));
        }
        let next = match self.info.why.cause.class() {
            CauseClass::Outside => made + 1,
            _ => match AGAIN_AT.into_iter().find(|at| *at > made) {
                Some(at) => at,
                None => (made / THEN_EVERY + 1).saturating_mul(THEN_EVERY),
            },
        };
        self.last_ns
            .saturating_add(threshold.saturating_mul(next))
            .max(now.saturating_add(LEAST_WINDOW_NS))
    }
}

impl Linked for Silence {
    fn links(&self) -> &Links {
        &self.links
    }

    fn links_mut(&mut self) -> &mut Links {
        &mut self.links
    }
}

impl Entry for Silence {
    type Rank = (u64, u64, u32);

    fn place(&self) -> WheelSlot {
        self.place
    }

    fn set_place(&mut self, place: WheelSlot) {
        self.place = place;
    }

    fn rank(&self) -> Self::Rank {
        (self.last_ns, self.agent, self.task)
    }
}

/// The silences of agents by slot, or those of tasks by their place in their table.
#[derive(Debug)]
pub(super) struct Silences {
    silences: Vec<Silence>,
    wheel: Wheel,
}

impl Silences {
    pub(super) fn new(most: usize) -> Result<Self, OutOfMemory> {
        Ok(Self { silences: memory::vector(most)?, wheel: Wheel::new(most)? })
    }

    pub(super) fn get(&self, index: u32) -> Option<&Silence> {
        self.silences.get(index as usize).filter(|silence| silence.agent != 0)
    }

    /// Begins a silence.
    pub(super) fn begin(
        &mut self,
        index: u32,
        (agent, task): (u64, u32),
        last_ns: u64,
        threshold_ns: u64,
    ) {
        self.end(index);
        while self.silences.len() <= index as usize {
            // It stays within the allocated capacity.
            self.silences.push(Silence::NONE);
        }
        if let Some(place) = self.silences.get_mut(index as usize) {
            *place = Silence { agent, task, last_ns, threshold_ns, ..Silence::NONE };
        }
    }

    /// Records what was found out, and when to look again.
    pub(super) fn renew(&mut self, index: u32, now: u64, info: CauseInfo) {
        let Some(silence) = self.silences.get_mut(index as usize) else { return };
        silence.info = info;
        let next = silence.next(now);
        self.wheel.set(&mut self.silences, index, next);
    }

    /// Looks again as soon as there is time.
    pub(super) fn retry(&mut self, index: u32, now: u64) {
        self.wheel.set(&mut self.silences, index, now);
    }

    /// Records what is known for certain, so that it is not looked at again.
    pub(super) fn settle(&mut self, index: u32, info: CauseInfo) {
        if let Some(silence) = self.silences.get_mut(index as usize) {
            silence.info = info;
        }
    }

    /// Ends a silence, if there is one.
    pub(super) fn end(&mut self, index: u32) {
        let Some(silence) = self.silences.get_mut(index as usize) else { return };
        if silence.agent != 0 {
            silence.agent = 0;
            self.wheel.clear(&mut self.silences, index);
        }
    }

    /// The next silence that is to be looked at again by `horizon`. Call
    /// [`renew`](Self::renew) or [`end`](Self::end) for it.
    pub(super) fn next_due(&mut self, horizon: u64) -> Option<u32> {
        self.wheel.next_due(&mut self.silences, horizon, |_| None)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.wheel.next_deadline(&self.silences)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cause::Cause;

    const SECOND: u64 = 1_000_000_000;

    fn looks(cause: Cause, count: usize) -> Vec<u64> {
        let mut silences = Silences::new(4).unwrap();
        silences.begin(3, (7, 0), 0, 2 * SECOND);
        let mut now = 2 * SECOND;
        let mut info = CauseInfo { looked_ns: now, window_ns: SECOND, ..CauseInfo::UNKNOWN };
        info.why.cause = cause;
        std::iter::repeat_with(|| {
            info.looked_ns = now;
            silences.renew(3, now, info);
            while silences.next_due(now) != Some(3) {
                now = silences.next_deadline().unwrap().max(now + 1);
            }
            now / (2 * SECOND)
        })
        .take(count)
        .collect()
    }

    #[test]
    fn a_silence_is_looked_at_again_at_2_3_4_and_8_thresholds_and_then_every_8() {
        assert_eq!(looks(Cause::Lock, 7), [2, 3, 4, 8, 16, 24, 32]);
        assert_eq!(looks(Cause::Frozen, 7), [2, 3, 4, 5, 6, 7, 8]);
    }

    #[test]
    fn a_reading_that_could_not_be_made_is_made_soon() {
        let mut silences = Silences::new(4).unwrap();
        silences.begin(0, (7, 0), 0, 2 * SECOND);
        silences.renew(0, 2 * SECOND, CauseInfo::UNKNOWN);
        assert_eq!(silences.next_due(2 * SECOND), Some(0));
        let alone = CauseInfo { looked_ns: 2 * SECOND, ..CauseInfo::UNKNOWN };
        silences.renew(0, 2 * SECOND, alone);
        assert_eq!(silences.next_due(3 * SECOND - 1), None);
        assert_eq!(silences.next_due(3 * SECOND), Some(0));
        silences.end(0);
        assert_eq!(silences.next_deadline(), None);
        assert!(silences.get(0).is_none());
    }
}
