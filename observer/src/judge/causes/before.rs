//! The earlier one of two readings, as far as it is compared.

use super::reading::{MOST_THREADS, ProcessReading, Sample, ThreadReading};
use crate::memory::{self, OutOfMemory};

/// At most this many earlier readings are kept.
const MOST: usize = 4096;

/// An earlier reading of an agent.
#[derive(Debug, Clone)]
struct Before {
    slot: usize,
    agent: u64,
    /// When it was made, in the observer's time.
    made_at: u64,
    process: ProcessReading,
    threads: [Thread; MOST_THREADS],
    count: usize,
}

#[derive(Debug, Clone, Copy)]
struct Thread {
    thread: u32,
    flags: u32,
    read_at: u64,
    run_ns: u64,
    wait_ns: u64,
    slices: u64,
    major_faults: u64,
    state: u8,
}

const NO_THREAD: Thread = Thread {
    thread: 0,
    flags: 0,
    read_at: 0,
    run_ns: 0,
    wait_ns: 0,
    slices: 0,
    major_faults: 0,
    state: 0,
};

/// The earlier readings of agents. They take places in the order in which they are made, so that
/// none touches the memory of many; when all are taken, the oldest place is taken again.
#[derive(Debug)]
pub(super) struct Befores {
    places: Vec<Before>,
    most: usize,
    /// By slot, the place that it took last.
    of_slots: Vec<u16>,
    oldest: usize,
}

impl Befores {
    pub(super) fn new(slots: usize) -> Result<Self, OutOfMemory> {
        let most = slots.clamp(1, MOST);
        let (places, of_slots) = (memory::vector(most)?, memory::vector(slots)?);
        Ok(Self { places, most, of_slots, oldest: 0 })
    }

    fn place_of(&self, slot: usize) -> Option<usize> {
        let place = usize::from(*self.of_slots.get(slot)?);
        self.places.get(place).filter(|before| before.slot == slot).map(|_| place)
    }

    /// The place of a slot, or else one that it takes.
    fn take_place(&mut self, slot: usize) -> usize {
        if let Some(place) = self.place_of(slot) {
            return place;
        }
        let place = if self.places.len() < self.most {
            self.places.push(Before {
                slot,
                agent: 0,
                made_at: 0,
                process: ProcessReading::NOTHING,
                threads: [NO_THREAD; MOST_THREADS],
                count: 0,
            });
            self.places.len() - 1
        } else {
            self.oldest = (self.oldest + 1) % self.most;
            self.oldest
        };
        while self.of_slots.len() <= slot {
            // It stays within the allocated capacity.
            self.of_slots.push(0);
        }
        if let Some(of_slot) = self.of_slots.get_mut(slot) {
            *of_slot = u16::try_from(place).unwrap_or(0);
        }
        place
    }

    /// When the agent in this slot was read, if that is known.
    pub(super) fn made_at(&self, slot: usize, agent: u64) -> Option<u64> {
        let before = self.places.get(self.place_of(slot)?)?;
        (before.agent == agent).then_some(before.made_at)
    }

    pub(super) fn keep(&mut self, slot: usize, agent: u64, made_at: u64, sample: &Sample) {
        let place = self.take_place(slot);
        let Some(before) = self.places.get_mut(place) else { return };
        (before.slot, before.agent, before.made_at) = (slot, agent, made_at);
        before.process = sample.process;
        before.count = 0;
        for (place, read) in before.threads.iter_mut().zip(sample.threads()) {
            *place = Thread {
                thread: read.thread,
                flags: read.flags,
                read_at: read.read_at,
                run_ns: read.run_ns,
                wait_ns: read.wait_ns,
                slices: read.slices,
                major_faults: read.major_faults,
                state: read.state,
            };
            before.count += 1;
        }
    }

    /// Writes the reading of an agent to a sample, if there is one that was made at `since` or
    /// later.
    pub(super) fn restore(
        &self,
        slot: usize,
        agent: u64,
        since: u64,
        sample: &mut Sample,
    ) -> bool {
        let before = self.place_of(slot).and_then(|place| self.places.get(place));
        let Some(before) =
            before.filter(|before| before.agent == agent && before.made_at >= since)
        else {
            return false;
        };
        sample.clear();
        sample.process = before.process;
        for kept in before.threads.get(..before.count).unwrap_or_default() {
            sample.push(ThreadReading {
                thread: kept.thread,
                flags: kept.flags,
                read_at: kept.read_at,
                run_ns: kept.run_ns,
                wait_ns: kept.wait_ns,
                slices: kept.slices,
                major_faults: kept.major_faults,
                state: kept.state,
                ..ThreadReading::NOTHING
            });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_readings_are_kept_whatever_their_slots() {
        let mut befores = Befores::new(100_000).unwrap();
        let mut sample = Sample::try_new().unwrap();
        let slots = (0..100_000).rev().step_by(7);
        for slot in slots.clone() {
            befores.keep(slot, 1, 1, &sample);
            befores.keep(slot, 2, slot as u64, &sample);
        }
        assert_eq!(befores.places.len(), MOST);
        let kept = |slot: &usize| befores.made_at(*slot, 2) == Some(*slot as u64);
        let last = slots.clone().skip(slots.len() - MOST);
        assert_eq!(last.filter(kept).count(), MOST);
        assert_eq!(slots.filter(kept).count(), MOST, "the others are forgotten");
        assert_eq!(befores.made_at(4, 1), None);
        assert!(
            befores.restore(4, 2, 0, &mut sample) && !befores.restore(5, 2, 0, &mut sample)
        );
    }
}
