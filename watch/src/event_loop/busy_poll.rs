//! Decides whether to sleep between two frames. Sleeping and waking up costs the daemon and
//! the sender more than many frames do. So when frames arrive in quick succession, the loop
//! polls again for a moment before it sleeps. If more frames arrive within that time, it
//! keeps polling; if not, it stops trying for a while.

/// Frames this close together, wake-ups included, may be a flood.
const CLOSE_NS: u64 = 50_000;

/// Polling is tried after this many close frames in a row.
const IN_A_ROW: u32 = 32;

/// How long to poll for the next frame.
const POLL_NS: u64 = 20_000;

/// Polling pays off if the next frame arrives within this time.
const PAYS_NS: u64 = 5_000;

/// The pause after a try that did not pay off.
const REST_NS: u64 = 10_000_000;

/// How close together recent frames were.
#[derive(Debug, Default)]
pub(crate) struct BusyPoll {
    in_a_row: u32,
    /// When the last iteration with frames ended.
    last_ns: u64,
    rests_until_ns: u64,
}

impl BusyPoll {
    /// Records an iteration with frames. The first of them arrived at `began_ns`, while the
    /// loop slept or, if `polled`, while it polled.
    pub(crate) fn note(&mut self, began_ns: u64, ended_ns: u64, polled: bool) {
        let gap = began_ns.saturating_sub(self.last_ns);
        self.last_ns = ended_ns;
        if gap > if polled { PAYS_NS } else { CLOSE_NS } {
            self.in_a_row = 0;
            if polled {
                self.rests_until_ns = ended_ns.saturating_add(REST_NS);
            }
        } else {
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
    }

    /// Whether to poll now instead of sleeping.
    pub(crate) fn should_poll(&mut self, now_ns: u64) -> bool {
        if self.in_a_row < IN_A_ROW || now_ns < self.rests_until_ns {
            return false;
        }
        if now_ns.saturating_sub(self.last_ns) > POLL_NS {
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

    /// The state after a number of iterations that take no time, `apart_ns` apart.
    fn after_sleeping(turns: u64, apart_ns: u64) -> (BusyPoll, u64) {
        let mut busy_poll = BusyPoll::default();
        for turn in 1..=turns {
            busy_poll.note(START + turn * apart_ns, START + turn * apart_ns, false);
        }
        (busy_poll, START + turns * apart_ns)
    }

    #[test]
    fn the_loop_polls_during_a_flood_until_it_ends() {
        let (mut busy_poll, mut now) = after_sleeping(40, 20_000);
        for _ in 0..1_000 {
            assert!(busy_poll.should_poll(now + 1_000));
            now += 1_000;
            busy_poll.note(now, now, true);
        }
        assert!(busy_poll.should_poll(now + POLL_NS));
        assert!(!busy_poll.should_poll(now + POLL_NS + 1));
        assert!(!busy_poll.should_poll(now + POLL_NS + 2));
    }

    /// With forty thousand beats per second of many agents, the loop sleeps between frames.
    #[test]
    fn the_loop_stops_polling_for_a_while_if_it_does_not_pay_off() {
        let (mut busy_poll, now) = after_sleeping(40, 25_000);
        assert!(busy_poll.should_poll(now));
        let next = now + 15_000;
        busy_poll.note(next, next, true);
        let turns = REST_NS / 25_000;
        for turn in 0..turns {
            let now = next + turn * 25_000;
            assert!(!busy_poll.should_poll(now));
            busy_poll.note(now, now, false);
        }
        busy_poll.note(next + REST_NS, next + REST_NS, false);
        assert!(busy_poll.should_poll(next + REST_NS));
    }

    #[test]
    fn ten_thousand_beats_per_second_are_not_a_flood() {
        let (mut busy_poll, now) = after_sleeping(10_000, 100_000);
        assert!(!busy_poll.should_poll(now));
    }
}
