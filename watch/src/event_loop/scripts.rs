//! The scripts of agents whose program is an interpreter.

use std::io;
use std::time::Duration;

use varta_observer::{AgentInfo, Label, Names};

use super::{EventLoop, nanoseconds};
use crate::lookup::{Process, Question, may_run_script};

/// After this time an agent keeps the name of its program, so that what is shown does not change
/// long after it began. Until then it is not judged by rules.
pub(super) const PATIENCE: Duration = Duration::from_millis(100);

impl EventLoop {
    /// Asks which script an agent runs, once, if its program is an interpreter and it has no
    /// better name.
    pub(super) fn ask_for_script(&mut self, info: &AgentInfo, names: &Names) {
        let Some(stats) = self.stats.get_mut(info.agent) else { return };
        let is_named = !names.label(b"").is_empty();
        stats.awaits_script &= !is_named;
        if stats.script_asked_ns.is_some() || is_named || !may_run_script(info.name.as_bytes())
        {
            return;
        }
        // Without a pidfd, the pid may be that of another process by now.
        let Some(pidfd) = self.context.observer.pidfd(info.agent).ok().flatten() else {
            return;
        };
        let process = Process { agent: info.agent, task: 0, pid: info.pid, pidfd };
        stats.script_asked_ns = Some(self.context.observer.now_ns());
        stats.awaits_script = true;
        // If the queue is full, it keeps the name of its program.
        self.context.lookups.ask(process, Question::ScriptName);
    }

    /// Takes over the name of an agent's script, if it came in time.
    pub(super) fn take_script(&mut self, agent: u64, script: Label) -> io::Result<()> {
        let now_ns = self.context.observer.now_ns();
        let asked_ns = self.stats.get(agent).and_then(|stats| stats.script_asked_ns);
        if asked_ns
            .is_some_and(|asked_ns| now_ns.saturating_sub(asked_ns) <= nanoseconds(PATIENCE))
        {
            self.context.observer.set_script(agent, script);
            self.take_renamed()?;
        }
        Ok(())
    }
}
