//! Deadlines by the million: a hierarchical timing wheel over entries that live in a
//! table of their owner's.
//!
//! Eight levels of 64 slots each cover all of time: a slot is 2^16 ns wide on level 0
//! and 64 times wider on each further level. An entry waits in the finest level whose 64
//! slots reach as far as its deadline, and moves to finer ones as the time comes near. A
//! slot is a list threaded through the entries, so that whatever happens to one entry
//! costs the same among any number of others.

mod list;

use std::fmt;

pub(crate) use self::list::{Linked, Links, List};
use self::list::{NONE, at, at_mut};
use crate::memory::{self, OutOfMemory};

const LEVELS: usize = 8;
const SLOTS: u64 = 64;
const FINEST: u32 = 16;
const LEVEL_BITS: u32 = 6;

/// Which list an entry is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WheelSlot(u16);

impl WheelSlot {
    /// In no list.
    pub(crate) const NOWHERE: Self = Self(u16::MAX);
    /// Taken out of its slot, because the time of that slot has come.
    const DUE: Self = Self(u16::MAX - 1);
    /// In a list of the owner's.
    pub(crate) const ELSEWHERE: Self = Self(u16::MAX - 2);

    /// Only places in a slot are below this.
    const SLOTS: u16 = 512;

    #[allow(clippy::cast_possible_truncation, reason = "level < 8 and slot < 64")]
    const fn in_slot(level: u32, slot: u64) -> Self {
        Self((level as u16) << LEVEL_BITS | slot as u16)
    }

    const fn is_slot(self) -> bool {
        self.0 < Self::SLOTS
    }
}

/// An entry of a table that can have a deadline.
pub(crate) trait Entry: Linked {
    /// Of several entries that are due at the same time, the least comes first.
    type Rank: Ord;

    fn place(&self) -> WheelSlot;
    fn set_place(&mut self, place: WheelSlot);
    fn rank(&self) -> Self::Rank;
}

/// The wheel. It has come as far as `reached`; slots before that are empty.
pub(crate) struct Wheel {
    reached: u64,
    /// Which slots have an entry, level by level.
    occupied: [u64; LEVELS],
    slots: Box<[List; 512]>,
    /// What was in the slot of level 0 that time has come to, in order; those before
    /// `handed_out` are gone from it. Some may have left in other ways since.
    due: Vec<u32>,
    handed_out: usize,
}

impl Wheel {
    /// For a table of so many entries, so that nothing is allocated later.
    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            reached: 0,
            occupied: [0; LEVELS],
            slots: Box::new([List::EMPTY; 512]),
            due: memory::vector(capacity)?,
            handed_out: 0,
        })
    }

    /// Gives an entry a deadline, whether it had one before or not.
    #[inline]
    pub(crate) fn set<E: Entry>(&mut self, entries: &mut [E], index: u32, deadline: u64) {
        let place = self.place_for(deadline);
        let entry = at_mut(entries, index);
        entry.links_mut().deadline = deadline;
        if entry.place() != place {
            self.take_out(entries, index);
            self.put_in(entries, index, place);
        }
    }

    /// Takes an entry's deadline away, if it has one.
    pub(crate) fn clear<E: Entry>(&mut self, entries: &mut [E], index: u32) {
        self.take_out(entries, index);
        at_mut(entries, index).set_place(WheelSlot::NOWHERE);
    }

    /// Hands out the next entry whose deadline has come by `horizon`, by deadline and
    /// then by rank. It has no deadline any more. Each is shown to `extend` first, which
    /// may put its deadline off.
    pub(crate) fn next_due<E: Entry>(
        &mut self,
        entries: &mut [E],
        horizon: u64,
        mut extend: impl FnMut(&mut E) -> Option<u64>,
    ) -> Option<u32> {
        loop {
            if self.is_occupied(self.here()) {
                self.collect(entries);
            }
            let Some(&index) = self.due.get(self.handed_out) else {
                if self.advance(entries, horizon) {
                    continue;
                }
                break;
            };
            let entry = at_mut(entries, index);
            if entry.place() == WheelSlot::DUE {
                if entry.links().deadline > horizon {
                    break;
                }
                entry.set_place(WheelSlot::NOWHERE);
                match extend(entry) {
                    Some(later) => self.set(entries, index, later),
                    None => {
                        self.handed_out += 1;
                        return Some(index);
                    }
                }
            }
            self.handed_out += 1;
        }
        self.reached = self.reached.max(horizon);
        None
    }

    /// The time before which nothing is due: exact where the next deadline's slot on level
    /// 0 has come, else the start of the slot where it waits. So whoever wakes then may
    /// find nothing to do, at most four times for a deadline within 18 minutes and eight
    /// for any.
    pub(crate) fn next_deadline<E: Entry>(&self, entries: &[E]) -> Option<u64> {
        let waiting = self.due.get(self.handed_out..).unwrap_or_default().iter();
        let due = waiting
            .map(|index| at(entries, *index))
            .find(|entry| entry.place() == WheelSlot::DUE)
            .map(|entry| entry.links().deadline);
        let slot = self.earliest().map(|(_, start)| start);
        due.into_iter().chain(slot).min()
    }

    #[inline]
    fn place_for(&self, deadline: u64) -> WheelSlot {
        let deadline = deadline.max(self.reached);
        let ticks = (deadline >> FINEST) - (self.reached >> FINEST);
        let mut level = (ticks | 1).ilog2() / LEVEL_BITS;
        let shift = FINEST + LEVEL_BITS * level;
        // 64 slots on is this slot again: the next level has a place.
        if (deadline >> shift) - (self.reached >> shift) >= SLOTS {
            level += 1;
        }
        WheelSlot::in_slot(level, (deadline >> (FINEST + LEVEL_BITS * level)) % SLOTS)
    }

    /// The level of the slot that comes first, and when it starts. Of a coarse slot and a
    /// fine one that start together the coarse one, because it may hold what comes before
    /// anything in the fine one.
    fn earliest(&self) -> Option<(u32, u64)> {
        let mut earliest = None;
        for (level, occupied) in (0..).zip(self.occupied) {
            if occupied == 0 {
                continue;
            }
            let shift = FINEST + LEVEL_BITS * level;
            let here = self.reached >> shift;
            #[allow(clippy::cast_possible_truncation, reason = "below 64")]
            let ahead = occupied.rotate_right((here % SLOTS) as u32).trailing_zeros();
            let start = (here + u64::from(ahead)) << shift;
            if earliest.is_none_or(|(_, first)| start <= first) {
                earliest = Some((level, start));
            }
        }
        earliest
    }

    /// Goes on to the next slot, if it starts by `horizon`. All before it were handed out.
    fn advance<E: Entry>(&mut self, entries: &mut [E], horizon: u64) -> bool {
        let Some((level, start)) = self.earliest().filter(|(_, start)| *start <= horizon)
        else {
            return false;
        };
        self.reached = self.reached.max(start);
        if level > 0 {
            let slot = (start >> (FINEST + LEVEL_BITS * level)) % SLOTS;
            self.refine(entries, WheelSlot::in_slot(level, slot));
        }
        true
    }

    /// The slot of level 0 that time has come to.
    fn here(&self) -> WheelSlot {
        WheelSlot::in_slot(0, (self.reached >> FINEST) % SLOTS)
    }

    /// Distributes a coarse slot over the finer levels.
    fn refine<E: Entry>(&mut self, entries: &mut [E], place: WheelSlot) {
        let mut next = self.slot(place).first;
        self.empty(place);
        while next != NONE {
            let (index, links) = (next, *at(entries, next).links());
            next = links.next;
            let finer = self.place_for(links.deadline);
            self.put_in(entries, index, finer);
        }
    }

    /// Takes everything out of the slot that time has come to, and puts it in order with
    /// what came from there before.
    fn collect<E: Entry>(&mut self, entries: &mut [E]) {
        self.due.drain(..self.handed_out);
        self.handed_out = 0;
        // Without those that left, there is one for each entry at most, and so room.
        self.due.retain(|index| at(entries, *index).place() == WheelSlot::DUE);
        let mut next = self.slot(self.here()).first;
        self.empty(self.here());
        while next != NONE {
            self.due.push(next);
            let entry = at_mut(entries, next);
            entry.set_place(WheelSlot::DUE);
            next = entry.links().next;
        }
        self.due.sort_unstable_by_key(|&index| {
            let entry = at(entries, index);
            (entry.links().deadline, entry.rank())
        });
    }

    #[inline]
    fn put_in<E: Entry>(&mut self, entries: &mut [E], index: u32, place: WheelSlot) {
        at_mut(entries, index).set_place(place);
        self.slot_mut(place).append(entries, index);
        let (level, slot) = (place.0 >> LEVEL_BITS, place.0 % 64);
        if let Some(occupied) = self.occupied.get_mut(usize::from(level)) {
            *occupied |= 1 << slot;
        }
    }

    /// Takes an entry out of its slot, if it is in one.
    #[inline]
    fn take_out<E: Entry>(&mut self, entries: &mut [E], index: u32) {
        let place = at(entries, index).place();
        if place.is_slot() {
            self.slot_mut(place).remove(entries, index);
            if self.slot(place).first == NONE {
                self.empty(place);
            }
        }
    }

    fn is_occupied(&self, place: WheelSlot) -> bool {
        self.slot(place).first != NONE
    }

    fn empty(&mut self, place: WheelSlot) {
        *self.slot_mut(place) = List::EMPTY;
        let (level, slot) = (place.0 >> LEVEL_BITS, place.0 % 64);
        if let Some(occupied) = self.occupied.get_mut(usize::from(level)) {
            *occupied &= !(1 << slot);
        }
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "asked only for places that are slots")]
    fn slot(&self, place: WheelSlot) -> &List {
        &self.slots[usize::from(place.0)]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "asked only for places that are slots")]
    fn slot_mut(&mut self, place: WheelSlot) -> &mut List {
        &mut self.slots[usize::from(place.0)]
    }
}

impl fmt::Debug for Wheel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wheel")
            .field("reached", &self.reached)
            .field("earliest", &self.earliest())
            .field("due", &(self.due.len() - self.handed_out))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
