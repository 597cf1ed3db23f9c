//! The open spans of a task. Opening and closing one takes time that grows with the logarithm
//! of their number, in whatever order they are closed.

use std::io;

use super::reserved;
use crate::lane::layout::NEVER;
use crate::task::SpanId;

/// The open spans: those whose due is ahead in a heap with the earliest on top, and a count of
/// the others. The one that was opened last stays beside the heap, because in most programs it
/// is also the first to be closed.
#[derive(Debug)]
pub(super) struct Spans {
    /// As many as there can be.
    slots: Box<[Slot]>,
    /// The first free slot.
    free: u32,
    newest: Option<Ahead>,
    ahead: Vec<Ahead>,
    /// The earliest due of those.
    due: u64,
    overdue: u32,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// Odd if a span has the slot.
    generation: u32,
    /// Its index in the heap, [`OVERDUE`], [`NEWEST`], or the next free slot.
    place: u32,
    opened: u64,
    min: u64,
    max: u64,
    label: u16,
}

const OVERDUE: u32 = u32::MAX;
const NEWEST: u32 = u32::MAX - 1;

/// The next generation of a slot. It has 31 bits, so that an id is positive in every language.
#[inline]
fn after(generation: u32) -> u32 {
    generation.wrapping_add(1) & (u32::MAX >> 1)
}

/// An entry of the heap.
#[derive(Debug, Clone, Copy)]
struct Ahead {
    due: u64,
    slot: u32,
}

/// A span that was closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) opened: u64,
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) label: u16,
}

impl Spans {
    /// Room for this many at once.
    pub(super) fn new(most: u32) -> io::Result<Self> {
        let mut slots = reserved(most as usize)?;
        slots.extend((1..=most).map(|next| Slot {
            generation: 0,
            place: next,
            opened: 0,
            min: 0,
            max: NEVER,
            label: 0,
        }));
        let slots = slots.into_boxed_slice();
        let ahead = reserved(slots.len())?;
        Ok(Self { slots, free: 0, newest: None, ahead, due: NEVER, overdue: 0 })
    }

    /// Forgets all open spans. Their ids become invalid.
    pub(super) fn clear(&mut self) {
        for (slot, next) in self.slots.iter_mut().zip(1..) {
            if slot.generation & 1 != 0 {
                slot.generation = after(slot.generation);
            }
            slot.place = next;
        }
        self.free = 0;
        self.newest = None;
        self.ahead.clear();
        self.due = NEVER;
        self.overdue = 0;
    }

    /// Opens a span; `None` if there is no room.
    #[inline]
    pub(super) fn open(&mut self, time: u64, min: u64, max: u64, label: u16) -> Option<SpanId> {
        let index = self.free;
        let slot = self.slots.get_mut(index as usize)?;
        self.free = slot.place;
        let generation = after(slot.generation);
        *slot = Slot { generation, place: NEWEST, opened: time, min, max, label };
        let entry = Ahead { due: time.saturating_add(max), slot: index };
        if let Some(older) = self.newest.replace(entry) {
            self.ahead.push(older);
            self.rise(self.ahead.len() - 1, older);
        }
        self.due = self.due.min(entry.due);
        Some(SpanId::new(index, generation))
    }

    /// Closes a span; `None` if it is not open.
    #[inline]
    pub(super) fn close(&mut self, id: SpanId) -> Option<Closed> {
        let (index, generation) = id.parts()?;
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation || generation & 1 == 0 {
            return None;
        }
        let Slot { place, opened, min, max, label, .. } = *slot;
        slot.generation = after(generation);
        slot.place = self.free;
        self.free = index;
        match place {
            NEWEST => self.newest = None,
            OVERDUE => self.overdue -= 1,
            place => self.remove(place as usize),
        }
        self.find_due();
        Some(Closed { opened, min, max, label })
    }

    /// Counts the spans that are due by now as overdue. Each is counted once.
    #[inline]
    pub(super) fn expire(&mut self, time: u64) {
        if self.due <= time {
            self.expire_some(time);
        }
    }

    #[cold]
    fn expire_some(&mut self, time: u64) {
        while let Some(first) = self.first().filter(|first| first.due <= time) {
            match self.newest {
                Some(newest) if newest.slot == first.slot => self.newest = None,
                _ => self.remove(0),
            }
            self.set_place(first.slot, OVERDUE);
            self.overdue += 1;
        }
        self.find_due();
    }

    /// Whether a span was not closed in time.
    #[inline]
    pub(super) fn are_overdue(&self) -> bool {
        self.overdue != 0
    }

    /// The earliest due that is ahead; [`NEVER`] if there is none.
    #[inline]
    pub(super) fn due(&self) -> u64 {
        self.due
    }

    /// The label of the span with the earliest due.
    #[inline]
    pub(super) fn label(&self) -> u16 {
        let slot = self.first().and_then(|first| self.slots.get(first.slot as usize));
        slot.map_or(0, |slot| slot.label)
    }

    #[inline]
    fn find_due(&mut self) {
        self.due = self.first().map_or(NEVER, |first| first.due);
    }

    #[inline]
    fn first(&self) -> Option<Ahead> {
        match (self.newest, self.ahead.first()) {
            (Some(newest), Some(first)) if first.due < newest.due => Some(*first),
            (Some(newest), _) => Some(newest),
            (None, first) => first.copied(),
        }
    }

    /// Removes an entry of the heap.
    #[inline]
    fn remove(&mut self, place: usize) {
        let Some(last) = self.ahead.pop() else { return };
        if place == self.ahead.len() {
            return;
        }
        match self.ahead.get(place.saturating_sub(1) / 2) {
            Some(parent) if place > 0 && parent.due > last.due => self.rise(place, last),
            _ => self.sink(place, last),
        }
    }

    /// Puts an entry at this place of the heap or above it.
    #[inline]
    fn rise(&mut self, mut place: usize, entry: Ahead) {
        while place > 0 {
            let above = (place - 1) / 2;
            match self.ahead.get(above) {
                Some(parent) if parent.due > entry.due => {
                    let parent = *parent;
                    self.put(place, parent);
                    place = above;
                }
                _ => break,
            }
        }
        self.put(place, entry);
    }

    /// Puts an entry at this place of the heap or below it.
    #[inline]
    fn sink(&mut self, mut place: usize, entry: Ahead) {
        loop {
            let left = 2 * place + 1;
            let below = match (self.ahead.get(left), self.ahead.get(left + 1)) {
                (Some(one), Some(other)) if other.due < one.due => left + 1,
                _ => left,
            };
            match self.ahead.get(below) {
                Some(child) if child.due < entry.due => {
                    let child = *child;
                    self.put(place, child);
                    place = below;
                }
                _ => break,
            }
        }
        self.put(place, entry);
    }

    #[inline]
    fn put(&mut self, place: usize, entry: Ahead) {
        if let Some(at) = self.ahead.get_mut(place) {
            *at = entry;
        }
        #[allow(clippy::cast_possible_truncation, reason = "there are at most 65,536 spans")]
        self.set_place(entry.slot, place as u32);
    }

    #[inline]
    fn set_place(&mut self, slot: u32, place: u32) {
        if let Some(slot) = self.slots.get_mut(slot as usize) {
            slot.place = place;
        }
    }
}
