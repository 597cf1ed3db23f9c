//! The last beats of an agent.

use varta::Status;
use varta_history::Beat;

/// How many beats are kept.
const ROOM: u8 = 64;

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
    beats: Box<Beats>,
    /// The place of the next one.
    next: u8,
    /// How many of the last ones were not taken yet.
    untaken: u8,
}

/// Aligned so that no beat is in two cache lines.
#[derive(Debug)]
#[repr(align(64))]
struct Beats([Heard; ROOM as usize]);

impl Default for Ring {
    fn default() -> Self {
        Self { beats: Box::new(Beats([NOTHING; ROOM as usize])), next: 0, untaken: 0 }
    }
}

impl Ring {
    #[inline]
    pub(super) fn add(&mut self, heard: Heard) {
        if let Some(place) = self.beats.0.get_mut(usize::from(self.next)) {
            *place = heard;
        }
        self.next = (self.next + 1) % ROOM;
        self.untaken = (self.untaken + 1).min(ROOM);
    }

    /// Takes the beats that were not taken before, the oldest first.
    pub(super) fn take(&mut self) -> Vec<Beat> {
        let untaken = std::mem::take(&mut self.untaken);
        let places = (1..=untaken).rev().map(|back| (self.next + ROOM - back) % ROOM);
        places.filter_map(|at| self.beats.0.get(usize::from(at)).map(Heard::record)).collect()
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
        let mut ring = Ring::default();
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
