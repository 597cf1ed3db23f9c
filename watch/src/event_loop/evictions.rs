//! Removes the statistics of agents that the observer evicted to make room for others. There
//! is no event for that, so the loop searches for them with a bounded number of agents per
//! iteration: once a second, and at once when there are many more statistics than the observer
//! can have agents.

use std::io;

use super::EventLoop;

const EVERY_NS: u64 = 1_000_000_000;

/// How many agents an iteration checks.
const PER_ITERATION: usize = 512;

/// The progress of the search for evicted agents.
#[derive(Debug, Default)]
pub(super) struct Search {
    next_ns: u64,
    /// Agents still to be checked.
    left: Vec<u64>,
    /// Agents that had a task which has ended. A process that never beat is not listed any more
    /// after its last task, and there is no event for that either.
    pub(super) unlisted: Vec<u64>,
}

impl EventLoop {
    /// Continues the search, or begins one if agents were evicted since the last.
    pub(super) fn remove_evicted(&mut self, now_ns: u64) -> io::Result<()> {
        if self.search.left.is_empty() {
            if now_ns < self.search.next_ns && !self.has_many_more_than_the_observer() {
                return Ok(());
            }
            self.search.next_ns = now_ns.saturating_add(EVERY_NS);
            if self.context.observer.drain_evictions()? == 0 {
                return Ok(());
            }
            self.search.left = self.stats.agent_numbers();
        }
        let from = self.search.left.len().saturating_sub(PER_ITERATION);
        self.check_agents(from)
    }

    /// Whether more than a fifth of the statistics must be of evicted agents. An iteration adds
    /// fewer than a search checks, so there are never many more than that.
    fn has_many_more_than_the_observer(&self) -> bool {
        let capacity = self.context.settings.flags.admission.tracker_capacity;
        self.stats.len() > capacity.saturating_add(capacity / 4)
    }

    /// Finishes the search, before a snapshot of all statistics is taken.
    pub(super) fn remove_all_evicted(&mut self) -> io::Result<()> {
        if self.context.observer.drain_evictions()? > 0 {
            self.search.left = self.stats.agent_numbers();
        }
        self.check_agents(0)
    }

    /// Removes the statistics of agents that are not listed after the end of a task. Call this
    /// when all events have been forwarded, because an exit may follow the end of a task.
    pub(super) fn remove_unlisted(&mut self) -> io::Result<()> {
        for agent in self.search.unlisted.drain(..) {
            if self.context.observer.agent(agent)?.is_none()
                && let Some(stats) = self.stats.remove_evicted(agent)
            {
                self.expectations.agents_changed();
                let now_ns = self.context.observer.now_ns();
                self.recorder.evicted(now_ns, agent, stats.claimed_pid);
            }
        }
        Ok(())
    }

    fn check_agents(&mut self, from: usize) -> io::Result<()> {
        let mut pids = Vec::new();
        let now_ns = self.context.observer.now_ns();
        for agent in self.search.left.drain(from..) {
            if self.context.observer.agent(agent)?.is_none()
                && let Some(stats) = self.stats.remove_evicted(agent)
            {
                self.expectations.agents_changed();
                let seq = self.recorder.evicted(now_ns, agent, stats.claimed_pid);
                let stamp = self.recorder.stamp(now_ns, seq, Some(stats.threshold_ns));
                pids.push((stats.claimed_pid, stamp));
            }
        }
        if let Some(batches) = &self.context.batches {
            batches.evicted(now_ns, pids);
        }
        Ok(())
    }
}
