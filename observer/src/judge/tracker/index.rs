//! A map from tags to slots: one flat table with linear probing.

use std::hash::{BuildHasher, RandomState};

use crate::memory::{self, OutOfMemory};

/// Tags that differ only in their lowest bits, below this number, are neighbours in the table,
/// so processes started one after the other share cache lines.
const BLOCK: u32 = 8;

/// Finds slots by tag. A tag is the pid of a local agent, or a hash of whatever else
/// identifies one. Several slots may have the same tag; the caller can tell them apart.
#[derive(Debug)]
pub(crate) struct Index {
    /// `slot + 1` in the upper half and the tag in the lower half; 0 is free.
    entries: Box<[u64]>,
    blocks: u32,
    /// A secret, so that no sender can choose tags that collide.
    key: u32,
}

impl Index {
    /// For this many slots. The table has 1.5 entries for each slot, and memory that is never
    /// used is never touched.
    pub(crate) fn new(capacity: u32, random: &RandomState) -> Result<Self, OutOfMemory> {
        let blocks = (capacity.div_ceil(2).saturating_mul(3)).div_ceil(BLOCK).max(1);
        #[allow(clippy::cast_possible_truncation, reason = "part of a hash is still a hash")]
        let key = random.hash_one(blocks) as u32;
        let entries = memory::zeros((blocks as usize).saturating_mul(BLOCK as usize))?;
        Ok(Self { entries, blocks, key })
    }

    /// The slot with this tag for which `is_it` holds.
    #[inline]
    pub(crate) fn find(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut place = self.home(tag);
        loop {
            let entry = self.at(place);
            if entry == 0 {
                return None;
            }
            if tag_of(entry) == tag && is_it(slot_of(entry)) {
                return Some(slot_of(entry));
            }
            place = self.after(place);
        }
    }

    /// Adds a slot that is not in the table. There is room, because a table never gets more
    /// slots than it was created for.
    pub(crate) fn insert(&mut self, tag: u32, slot: u32) {
        let mut place = self.home(tag);
        while self.at(place) != 0 {
            place = self.after(place);
        }
        self.put(place, u64::from(slot + 1) << 32 | u64::from(tag));
    }

    /// Removes a slot, and closes the gap so that no search ends too early.
    pub(crate) fn remove(&mut self, tag: u32, slot: u32) {
        let sought = u64::from(slot + 1) << 32 | u64::from(tag);
        let mut gap = self.home(tag);
        while self.at(gap) != sought {
            if self.at(gap) == 0 {
                return;
            }
            gap = self.after(gap);
        }
        let mut place = self.after(gap);
        loop {
            let entry = self.at(place);
            if entry == 0 {
                break;
            }
            // It may fill the gap unless its own search begins after the gap.
            let home = self.home(tag_of(entry));
            if self.distance(home, place) >= self.distance(gap, place) {
                self.put(gap, entry);
                gap = place;
            }
            place = self.after(place);
        }
        self.put(gap, 0);
    }

    /// Where the search for a tag begins: blocks are scattered, the tags of a block stay
    /// together.
    #[inline]
    fn home(&self, tag: u32) -> usize {
        let mut mixed = (tag / BLOCK) ^ self.key;
        mixed = (mixed ^ mixed >> 16).wrapping_mul(0x85eb_ca6b);
        mixed = (mixed ^ mixed >> 13).wrapping_mul(0xc2b2_ae35);
        mixed ^= mixed >> 16;
        let block = (u64::from(mixed) * u64::from(self.blocks)) >> 32;
        #[allow(clippy::cast_possible_truncation, reason = "below the number of blocks")]
        let block = block as usize;
        block * BLOCK as usize + (tag % BLOCK) as usize
    }

    #[inline]
    fn after(&self, place: usize) -> usize {
        if place + 1 == self.entries.len() { 0 } else { place + 1 }
    }

    fn distance(&self, from: usize, to: usize) -> usize {
        if to >= from { to - from } else { to + self.entries.len() - from }
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "places come from home() and after()")]
    fn at(&self, place: usize) -> u64 {
        self.entries[place]
    }

    #[inline]
    #[allow(clippy::indexing_slicing, reason = "places come from home() and after()")]
    fn put(&mut self, place: usize, entry: u64) {
        self.entries[place] = entry;
    }
}

#[allow(clippy::cast_possible_truncation, reason = "only the lower half is needed")]
const fn tag_of(entry: u64) -> u32 {
    entry as u32
}

#[allow(clippy::cast_possible_truncation, reason = "the upper half fits")]
const fn slot_of(entry: u64) -> u32 {
    (entry >> 32) as u32 - 1
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_index_agrees_with_a_map_while_it_fills_and_empties() {
        let mut index = Index::new(600, &RandomState::new()).unwrap();
        let mut model: HashMap<u32, u32> = HashMap::new();
        let mut seed = 1_u64;
        for step in 0..200_000_u32 {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(step.into());
            // A few distant tags among many adjacent ones, so that runs collide.
            let tag = (seed >> 33) as u32 % 900 + if seed >> 40 & 7 == 0 { 1 << 20 } else { 0 };
            match model.get(&tag) {
                Some(&slot) if seed >> 63 == 0 => {
                    index.remove(tag, slot);
                    model.remove(&tag);
                }
                None if model.len() < 600 => {
                    index.insert(tag, step);
                    model.insert(tag, step);
                }
                _ => {}
            }
            assert_eq!(index.find(tag, |_| true), model.get(&tag).copied());
        }
        for (tag, slot) in model {
            assert_eq!(index.find(tag, |found| found == slot), Some(slot));
        }
    }

    #[test]
    fn slots_with_the_same_tag_are_distinguished() {
        let mut index = Index::new(4, &RandomState::new()).unwrap();
        for slot in [1, 2, 3] {
            index.insert(77, slot);
        }
        index.remove(77, 2);
        assert_eq!(index.find(77, |slot| slot == 3), Some(3));
        assert_eq!(index.find(77, |slot| slot == 2), None);
        index.remove(77, 2);
        assert_eq!(index.find(77, |slot| slot == 1), Some(1));
    }

    #[test]
    fn the_index_has_twelve_bytes_per_slot() {
        let index = Index::new(1_000_000, &RandomState::new()).unwrap();
        assert_eq!(index.entries.len() * 8, 12_000_000);
    }
}
