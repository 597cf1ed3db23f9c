//! Forgetting agents that made room for others. The observer evicts them without an event, so
//! their books are looked for: once a second, and a bounded number of them in a turn.

use std::io;

use super::EventLoop;

const EVERY_NS: u64 = 1_000_000_000;

/// How many books a turn looks at.
const A_TURN: usize = 512;

/// How far the search for books of evicted agents has come.
#[derive(Debug, Default)]
pub(super) struct Search {
    next_ns: u64,
    /// Agents that are still to be looked at.
    left: Vec<u64>,
}

impl EventLoop {
    /// Goes on with the search, or begins one if agents were evicted since the last.
    pub(super) fn forget_evicted(&mut self, now_ns: u64) -> io::Result<()> {
        if self.search.left.is_empty() {
            if now_ns < self.search.next_ns {
                return Ok(());
            }
            self.search.next_ns = now_ns.saturating_add(EVERY_NS);
            if self.with.observer.drain_evictions()? == 0 {
                return Ok(());
            }
            self.search.left = self.stats.numbers();
        }
        let from = self.search.left.len().saturating_sub(A_TURN);
        self.look_at_stats(from)
    }

    /// Finishes the search, before all books are shown to somebody.
    pub(super) fn forget_all_evicted(&mut self) -> io::Result<()> {
        if self.with.observer.drain_evictions()? > 0 {
            self.search.left = self.stats.numbers();
        }
        self.look_at_stats(0)
    }

    fn look_at_stats(&mut self, from: usize) -> io::Result<()> {
        let mut pids = Vec::new();
        for agent in self.search.left.drain(from..) {
            if self.with.observer.agent(agent)?.is_none()
                && let Some(stats) = self.stats.strike_out(agent)
            {
                pids.push(stats.claimed_pid);
            }
        }
        if let Some(export) = self.with.export.as_ref().filter(|_| !pids.is_empty()) {
            export.evicted(self.with.observer.now_ns(), pids);
        }
        Ok(())
    }
}
