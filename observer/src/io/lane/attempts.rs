//! Limits how often one process connects.

use super::connections::Peer;

/// How many connections of one process are served in one second. An agent makes at most ten.
const PER_SECOND: u32 = 20;

/// Processes whose numbers differ by this share a count.
const ROOM: usize = 1024;

const SECOND_NS: u64 = 1_000_000_000;

/// How often processes have connected of late.
pub(super) struct Attempts {
    counts: Box<[Count; ROOM]>,
}

#[derive(Clone, Copy)]
struct Count {
    peer: Peer,
    second: u64,
    attempts: u32,
}

impl Attempts {
    pub(super) fn new() -> Self {
        Self {
            counts: Box::new([Count { peer: Peer::Number(0), second: 0, attempts: 0 }; ROOM]),
        }
    }

    /// Counts a connection. Returns whether it may be served.
    pub(super) fn count(&mut self, peer: Peer, now: u64) -> bool {
        let Some(count) = self.counts.get_mut(peer.tag() as usize % ROOM) else { return true };
        let second = now / SECOND_NS;
        if (count.peer, count.second) != (peer, second) {
            *count = Count { peer, second, attempts: 0 };
        }
        count.attempts = count.attempts.saturating_add(1);
        count.attempts <= PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_may_connect_a_limited_number_of_times_per_second() {
        let mut attempts = Attempts::new();
        let mut served = |peer, now| (0..100).filter(|_| attempts.count(peer, now)).count();
        assert_eq!(served(Peer::Pid(7), SECOND_NS), PER_SECOND as usize);
        assert_eq!(served(Peer::Pid(8), SECOND_NS), PER_SECOND as usize);
        assert_eq!(served(Peer::Pid(7), 2 * SECOND_NS - 1), 0);
        assert_eq!(served(Peer::Pid(7), 2 * SECOND_NS), PER_SECOND as usize);
        assert_eq!(served(Peer::Number(1 << 40), 0), PER_SECOND as usize);
    }
}
