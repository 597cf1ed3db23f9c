//! Whether to sleep between two frames. To sleep and be woken costs the daemon and its
//! sender more than many frames do. So where frames follow each other closely, the loop
//! tries looking again for a moment before it sleeps; if they then come faster than it could
//! sleep, it stays at it, and else it leaves that for a while.

/// Frames this close, wake-ups included, may be a flood.
const CLOSE_NS: u64 = 50_000;

/// So many in a row are worth a try.
const IN_A_ROW: u32 = 32;

/// How long it looks again for the next frame.
const LOOK_NS: u64 = 20_000;

/// Looking pays while the next frame comes within this time.
const PAYS_NS: u64 = 5_000;

/// After a try that did not pay.
const REST_NS: u64 = 10_000_000;

/// How close frames have followed each other lately.
#[derive(Debug, Default)]
pub(crate) struct BusyPoll {
    in_a_row: u32,
    /// When the last turn with frames ended.
    last_ns: u64,
    rests_until_ns: u64,
}

impl BusyPoll {
    /// A turn with frames has ended. The first of them came at `began_ns`, while the loop
    /// slept or while it looked again.
    pub(crate) fn note(&mut self, began_ns: u64, ended_ns: u64, looked: bool) {
        let gap = began_ns.saturating_sub(self.last_ns);
        self.last_ns = ended_ns;
        if gap > if looked { PAYS_NS } else { CLOSE_NS } {
            self.in_a_row = 0;
            if looked {
                self.rests_until_ns = ended_ns.saturating_add(REST_NS);
            }
        } else {
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
    }

    /// Whether to look again now, instead of sleeping.
    pub(crate) fn looks_again(&mut self, now_ns: u64) -> bool {
        if self.in_a_row < IN_A_ROW || now_ns < self.rests_until_ns {
            return false;
        }
        if now_ns.saturating_sub(self.last_ns) > LOOK_NS {
            self.in_a_row = 0;
            self.rests_until_ns = now_ns.saturating_add(REST_NS);
        }
        self.in_a_row > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_000_000_000;

    /// The state and time after this many instant iterations at this distance, with a sleep
    /// before each.
    fn after_sleeps(turns: u64, apart_ns: u64) -> (BusyPoll, u64) {
        let mut pace = BusyPoll::default();
        for turn in 1..=turns {
            pace.note(START + turn * apart_ns, START + turn * apart_ns, false);
        }
        (pace, START + turns * apart_ns)
    }

    #[test]
    fn polling_continues_until_a_flood_ends() {
        let (mut pace, mut now) = after_sleeps(40, 20_000);
        for _ in 0..1_000 {
            assert!(pace.looks_again(now + 1_000));
            now += 1_000;
            pace.note(now, now, true);
        }
        assert!(pace.looks_again(now + LOOK_NS));
        assert!(!pace.looks_again(now + LOOK_NS + 1));
        assert!(!pace.looks_again(now + LOOK_NS + 2));
    }

    /// At forty thousand beats a second from many agents, the loop can sleep between beats.
    #[test]
    fn polling_pauses_after_a_poll_in_vain() {
        let (mut pace, now) = after_sleeps(40, 25_000);
        assert!(pace.looks_again(now));
        let next = now + 15_000;
        pace.note(next, next, true);
        let turns = REST_NS / 25_000;
        for turn in 0..turns {
            let now = next + turn * 25_000;
            assert!(!pace.looks_again(now));
            pace.note(now, now, false);
        }
        pace.note(next + REST_NS, next + REST_NS, false);
        assert!(pace.looks_again(next + REST_NS));
    }

    #[test]
    fn ten_thousand_beats_a_second_do_not_start_polling() {
        let (mut pace, now) = after_sleeps(10_000, 100_000);
        assert!(!pace.looks_again(now));
    }
}
