//! The last beats of an agent.

use varta::Status;
use varta_history::Beat;

/// How many beats are kept.
const ROOM: usize = 64;

/// One beat, or several through shared memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    pub(super) observer_ns: u64,
    pub(super) payload: u64,
    pub(super) nonce: u64,
    pub(super) count: u32,
    /// Saturates.
    pub(super) missed: u16,
    pub(super) status: Status,
}

const NOTHING: Heard =
    Heard { observer_ns: 0, payload: 0, nonce: 0, count: 0, missed: 0, status: Status::Ok };

/// The last 64 beats of an agent.
#[derive(Debug)]
pub(super) struct Ring {
    /// The latest is before `total`, modulo the length.
    beats: [Heard; ROOM],
    total: usize,
    /// How many of all beats were taken, or were lost to later ones.
    taken: usize,
}

impl Ring {
    pub(super) const EMPTY: Self = Self { beats: [NOTHING; ROOM], total: 0, taken: 0 };

    #[inline]
    pub(super) fn add(&mut self, heard: Heard) {
        if let Some(place) = self.beats.get_mut(self.total % ROOM) {
            *place = heard;
        }
        self.total = self.total.wrapping_add(1);
    }

    /// Takes the beats that were not taken before, the oldest first.
    pub(super) fn take(&mut self) -> Vec<Beat> {
        let untaken = self.total.wrapping_sub(self.taken).min(ROOM);
        self.taken = self.total;
        let numbers = (1..=untaken).rev().map(|back| self.total.wrapping_sub(back) % ROOM);
        numbers.filter_map(|at| self.beats.get(at).map(Heard::record)).collect()
    }
}

impl Heard {
    fn record(&self) -> Beat {
        Beat {
            observer_ns: self.observer_ns,
            status: self.status.name().into(),
            payload: self.payload,
            nonce: self.nonce,
            missed: self.missed.into(),
            count: self.count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_of_the_last_64_beats_is_taken_once() {
        let mut ring = Ring::EMPTY;
        let mut nonces = 1..;
        let mut taken_after = |more| {
            for nonce in nonces.by_ref().take(more) {
                ring.add(Heard { nonce, ..NOTHING });
            }
            ring.take().iter().map(|beat| beat.nonce).collect::<Vec<_>>()
        };
        assert_eq!(taken_after(0), [0_u64; 0]);
        assert_eq!(taken_after(3), [1, 2, 3]);
        assert_eq!(taken_after(0), [0_u64; 0]);
        assert!(taken_after(64).into_iter().eq(4..=67));
        assert!(taken_after(65).into_iter().eq(69..=132));
        assert_eq!(taken_after(1), [133]);
    }
}
