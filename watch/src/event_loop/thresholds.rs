//! Records the thresholds of agents.

use std::io;

use super::{EventLoop, nanoseconds};

impl EventLoop {
    /// Records the threshold of an agent, if it has changed.
    pub(super) fn note_threshold(&mut self, agent: u64, by: &'static str) -> io::Result<()> {
        let Some(info) = self.context.observer.agent(agent)? else { return Ok(()) };
        if let Some(stats) = self.stats.get_mut(agent) {
            stats.threshold_ns = info.threshold_ns;
        }
        let at_ns = self.recorded_ns.unwrap_or_else(|| self.context.observer.now_ns());
        self.recorder.threshold(at_ns, agent, info.threshold_ns, by);
        Ok(())
    }

    /// Records the thresholds after the flags have changed.
    pub(super) fn note_all_thresholds(&mut self) -> io::Result<()> {
        let now_ns = self.context.observer.now_ns();
        let threshold_ns = nanoseconds(self.context.settings.threshold);
        self.recorder.default_threshold(now_ns, threshold_ns);
        let agents = self.stats.agent_numbers();
        agents.into_iter().try_for_each(|agent| self.note_threshold(agent, "flag"))
    }
}
