//! The earlier one of two readings, as far as it is compared.

use super::reading::{MOST_THREADS, ProcessReading, Sample, ThreadReading};
use crate::memory::{self, OutOfMemory};

/// At most this many earlier readings are kept.
const MOST: usize = 4096;

/// An earlier reading of an agent.
#[derive(Debug, Clone)]
struct Before {
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

/// The earlier readings of agents. Agents whose slots are far apart share a place: then the
/// later reading counts.
#[derive(Debug)]
pub(super) struct Befores {
    places: Vec<Before>,
    most: usize,
}

impl Befores {
    pub(super) fn new(slots: usize) -> Result<Self, OutOfMemory> {
        let most = slots.clamp(1, MOST);
        Ok(Self { places: memory::vector(most)?, most })
    }

    /// When the agent in this slot was read, if that is known.
    pub(super) fn made_at(&self, slot: usize, agent: u64) -> Option<u64> {
        let before = self.places.get(slot % self.most)?;
        (before.agent == agent).then_some(before.made_at)
    }

    pub(super) fn keep(&mut self, slot: usize, agent: u64, made_at: u64, sample: &Sample) {
        let place = slot % self.most;
        while self.places.len() <= place {
            // It stays within the allocated capacity.
            self.places.push(Before {
                agent: 0,
                made_at: 0,
                process: ProcessReading::NOTHING,
                threads: [NO_THREAD; MOST_THREADS],
                count: 0,
            });
        }
        let Some(before) = self.places.get_mut(place) else { return };
        (before.agent, before.made_at) = (agent, made_at);
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
        let before = self.places.get(slot % self.most);
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
