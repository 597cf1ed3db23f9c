//! Deadlines of millions of entries: a hierarchical timing wheel whose entries are stored in a
//! table that its owner provides.
//!
//! Eight levels of 64 slots each cover all of time: a slot is 2^16 ns wide on level 0 and 64
//! times wider on each further level. An entry waits in the finest level whose 64 slots reach
//! as far as its deadline, and moves to finer levels as the time approaches. A slot is a
//! linked list of entries, so any operation on one entry costs the same however many others
//! there are.

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
    /// Removed from its slot, because the time of that slot has come.
    const DUE: Self = Self(u16::MAX - 1);
    /// In a list that the owner keeps.
    pub(crate) const ELSEWHERE: Self = Self(u16::MAX - 2);

    /// Values below this are slots.
    const SLOTS: u16 = 512;

    #[allow(clippy::cast_possible_truncation, reason = "level < 8 and slot < 64")]
    const fn in_slot(level: u32, slot: u64) -> Self {
        Self((level as u16) << LEVEL_BITS | slot as u16)
    }

    #[inline]
    const fn is_slot(self) -> bool {
        self.0 < Self::SLOTS
    }
}

/// An entry of a table that can have a deadline.
pub(crate) trait Entry: Linked {
    /// Of several entries with the same deadline, the one with the lowest rank comes first.
    type Rank: Ord;

    fn place(&self) -> WheelSlot;
    fn set_place(&mut self, place: WheelSlot);
    fn rank(&self) -> Self::Rank;
}

/// A timing wheel. It has advanced to `reached`; slots before that are empty.
pub(crate) struct Wheel {
    reached: u64,
    /// Which slots have an entry, for each level.
    occupied: [u64; LEVELS],
    slots: Box<[List; 512]>,
    /// The entries of the level 0 slot whose time has come, in order. Those before
    /// `handed_out` have been returned; some of the others may have been removed since.
    due: Vec<u32>,
    handed_out: usize,
}

impl Wheel {
    /// For a table of this many entries. Nothing is allocated later.
    pub(crate) fn new(capacity: usize) -> Result<Self, OutOfMemory> {
        Ok(Self {
            reached: 0,
            occupied: [0; LEVELS],
            slots: Box::new([List::EMPTY; 512]),
            due: memory::vector(capacity)?,
            handed_out: 0,
        })
    }

    /// Sets the deadline of an entry, whether it had one before or not.
    #[inline]
    pub(crate) fn set<E: Entry>(&mut self, entries: &mut [E], index: u32, deadline: u64) {
        let place = self.place_for(deadline);
        let entry = at_mut(entries, index);
        entry.links_mut().deadline = deadline;
        if entry.place() != place {
            self.move_to(entries, index, place);
        }
    }

    /// Out of line, so that [`set`](Self::set) is inlined: most beats leave an entry where it is.
    #[inline(never)]
    fn move_to<E: Entry>(&mut self, entries: &mut [E], index: u32, place: WheelSlot) {
        self.take_out(entries, index);
        self.put_in(entries, index, place);
    }

    /// Removes the deadline of an entry, if it has one.
    #[inline]
    pub(crate) fn clear<E: Entry>(&mut self, entries: &mut [E], index: u32) {
        self.take_out(entries, index);
        at_mut(entries, index).set_place(WheelSlot::NOWHERE);
    }

    /// Returns the next entry whose deadline is `horizon` or earlier, ordered by deadline and
    /// then by rank, and removes its deadline. Each entry is passed to `extend` first, which
    /// may return a later deadline.
    pub(crate) fn next_due<E: Entry>(
        &mut self,
        entries: &mut [E],
        horizon: u64,
        extend: impl FnMut(&mut E) -> Option<u64>,
    ) -> Option<u32> {
        let index = self.first_due(entries, horizon, extend)?;
        at_mut(entries, index).set_place(WheelSlot::NOWHERE);
        self.handed_out += 1;
        Some(index)
    }

    /// As [`next_due`](Self::next_due), but leaves the entry where it is.
    pub(crate) fn first_due<E: Entry>(
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
                match extend(entry) {
                    Some(later) => self.set(entries, index, later),
                    None => return Some(index),
                }
            }
            self.handed_out += 1;
        }
        self.reached = self.reached.max(horizon);
        None
    }

    /// The time before which nothing is due. It is exact if the slot of the next deadline on
    /// level 0 has been reached; otherwise it is the start of the slot where the entry waits.
    /// A caller that wakes then may find nothing due, at most four times for a deadline within
    /// 18 minutes and eight times for any.
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
        // 64 slots ahead is this slot again; the next level has a place for it.
        if (deadline >> shift) - (self.reached >> shift) >= SLOTS {
            level += 1;
        }
        WheelSlot::in_slot(level, (deadline >> (FINEST + LEVEL_BITS * level)) % SLOTS)
    }

    /// The level and start of the earliest slot. If a coarse slot and a fine one start
    /// together, returns the coarse one, because its entries may be due before those in the
    /// fine one.
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

    /// Advances to the next slot, if it starts by `horizon`. All entries before it have been
    /// returned.
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

    /// The current slot of level 0.
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

    /// Moves everything from the current slot to `due`, and sorts it together with the entries
    /// that are still there.
    fn collect<E: Entry>(&mut self, entries: &mut [E]) {
        self.due.drain(..self.handed_out);
        self.handed_out = 0;
        // Without the removed ones there is at most one for each entry, so there is room.
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

    /// Removes an entry from its slot, if it is in one.
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
    #[allow(clippy::indexing_slicing, reason = "called only for places that are slots")]
    fn slot(&self, place: WheelSlot) -> &List {
        &self.slots[usize::from(place.0)]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "called only for places that are slots")]
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
