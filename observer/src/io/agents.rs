//! The agents that an observer tracks.

use std::io;
use std::os::fd::OwnedFd;

use super::Observer;
use crate::cause::CauseInfo;
use crate::judge::tracker::AgentInfo;

impl Observer {
    /// All tracked agents.
    ///
    /// ```
    /// # let observer = varta_observer::Builder::new().udp(([127, 0, 0, 1], 0).into()).bind()?;
    /// for agent in observer.snapshot()? {
    ///     println!("{} ({}): {}", agent.pid, agent.name, agent.status);
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn snapshot(&self) -> io::Result<Vec<AgentInfo>> {
        self.owner.check()?;
        Ok(self.agents().collect())
    }

    /// As [`snapshot`](Self::snapshot), but without allocating: fills a slice as far as it
    /// goes, and returns how many agents there are in total.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn snapshot_into(&self, agents: &mut [AgentInfo]) -> io::Result<usize> {
        self.owner.check()?;
        for (place, agent) in agents.iter_mut().zip(self.agents()) {
            *place = agent;
        }
        Ok(self.judge.followed())
    }

    /// A tracked agent by its number, if there is one.
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn agent(&self, agent: u64) -> io::Result<Option<AgentInfo>> {
        self.owner.check()?;
        let Some(slot) = self.judge.find(agent) else { return Ok(None) };
        let info = self.judge.agent_with(slot, self.clock.now(), &self.processes);
        Ok(info.map(|info| self.named(slot, info)))
    }

    /// Why an agent is silent, or one of its tasks; `task` is 0 for the process. `None` if no
    /// Stall was reported, or it has recovered since, or
    /// [causes](crate::Builder::causes) are not looked up. No Stall is reported of a process that
    /// executes another program, until that gives a sign of life; its cause is
    /// [`Exec`](crate::Cause::Exec).
    ///
    /// # Errors
    ///
    /// If this is a forked child (ECHILD).
    pub fn cause(&self, agent: u64, task: u32) -> io::Result<Option<CauseInfo>> {
        self.owner.check()?;
        Ok(self.judge.cause(agent, task))
    }

    /// Returns a pidfd of an agent's process, which the caller owns. A signal sent through it
    /// reaches this process or none. It refers to the process that the observer tracks; for an
    /// agent that is [unconfirmed](AgentInfo::unconfirmed), that may be the wrong one.
    ///
    /// `None` if the agent is not tracked, beats over a network or has exited, or if exits are
    /// not detected.
    ///
    /// # Errors
    ///
    /// If there is no free descriptor, or if this is a forked child (ECHILD).
    pub fn pidfd(&self, agent: u64) -> io::Result<Option<OwnedFd>> {
        self.owner.check()?;
        let Some(slot) = self.judge.find(agent) else { return Ok(None) };
        let Some(info) = self.judge.agent(slot, 0) else { return Ok(None) };
        self.processes.pidfd(slot, info.pid)
    }

    fn agents(&self) -> impl Iterator<Item = AgentInfo> + '_ {
        let agents = self.judge.agents_with(self.clock.now(), &self.processes);
        agents.map(|(slot, info)| self.named(slot, info))
    }
}
