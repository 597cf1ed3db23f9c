//! The owners of the locks for which silent processes and late tasks wait.

use std::collections::BTreeMap;
use std::io;

use tracing::{Level, warn};
use varta_observer::{Cause, CauseInfo, Event, Observer, What};

use super::EventLoop;
use crate::lookup::{Answer, Found, LockOwner, Lookups, Process, Question};
use crate::output::cause::Phrase;
use crate::output::log::LineLimit;

/// The owners that are known, by the numbers of agent and task. They are asked for when a
/// silence is reported or its cause changes, and forgotten when that is over.
#[derive(Debug, Default)]
pub(super) struct LockOwners {
    owners: BTreeMap<(u64, u32), LockOwner>,
    losses: LineLimit,
}

impl LockOwners {
    /// Asks for the owner if the event is the silence of a process or task that waits for a lock.
    /// Returns whether an answer can be expected.
    pub(super) fn ask(
        &mut self,
        event: &Event,
        uid: Option<u32>,
        observer: &Observer,
        lookups: &Lookups,
    ) -> bool {
        let Some(about) = event.about else { return false };
        let task = event.task.map_or(0, |task| task.number);
        let why = match event.what {
            What::Stall { why, .. } => why,
            What::Cause { why } => Some(why),
            What::Recovered { .. } | What::Exit { .. } => None,
            _ => return false,
        };
        self.owners.remove(&(about.agent, task));
        let Some(why) = why.filter(|why| why.cause == Cause::Lock) else { return false };
        // Without a pidfd, the pid may be that of another process by now.
        let Some(pidfd) = observer.pidfd(about.agent).ok().flatten() else { return false };
        let process = Process { agent: about.agent, task, pid: about.pid, pidfd };
        let asked = lookups.ask(process, Question::LockOwner { thread: why.thread });
        if !asked && self.losses.admits(event.observer_ns, uid) {
            warn!(
                agent = about.agent,
                pid = about.pid,
                "the owner of its lock is not looked up: earlier lookups are not answered yet"
            );
        }
        asked
    }

    /// The owners for those that still wait for a lock.
    pub(super) fn current(&mut self, observer: &Observer) -> BTreeMap<(u64, u32), LockOwner> {
        self.forget_old(observer);
        self.owners.clone()
    }

    /// Forgets the owners for agents and tasks that were evicted or have ended.
    fn forget_old(&mut self, observer: &Observer) {
        self.owners
            .retain(|(agent, task), _| waits_for_lock(observer, *agent, *task).is_some());
    }

    /// When the next summary of omitted log lines is due, if any were omitted.
    pub(super) fn due_ns(&self) -> Option<u64> {
        self.losses.due_ns()
    }

    /// Logs one summary of the omitted lines, once their second is over.
    pub(super) fn sum_up(&mut self, now_ns: u64) {
        self.losses.sum_up(now_ns, "owner of a lock not looked up", Level::WARN);
    }
}

impl EventLoop {
    /// Takes over what the lookup thread has found out.
    pub(super) fn take_answers(&mut self) -> io::Result<()> {
        let mut scripts = Vec::new();
        let observer = &self.context.observer;
        let mut has_new = false;
        for Answer { agent, task, found } in self.context.lookups.answers() {
            let owner = match found {
                Found::LockOwner(owner) => owner,
                Found::ScriptName(script) => {
                    scripts.push((agent, script));
                    continue;
                }
            };
            // The answer may come late.
            let Some(info) = waits_for_lock(observer, agent, task) else { continue };
            let Some(stats) = self.stats.get(agent) else { continue };
            let name = observer.task(agent, task).ok().flatten().map(|task| task.name);
            let phrase = Phrase::new(&info, Some(&owner));
            self.log.write_owner(observer.now_ns(), agent, name, stats, &phrase);
            self.owners.owners.insert((agent, task), owner);
            self.context.recovery.forward_owner(agent, task, owner, stats.uid);
            has_new = true;
        }
        if has_new {
            self.owners.forget_old(observer);
        }
        scripts.into_iter().try_for_each(|(agent, script)| self.take_script(agent, script))
    }
}

/// The cause of a silence, if it is a lock.
fn waits_for_lock(observer: &Observer, agent: u64, task: u32) -> Option<CauseInfo> {
    let info = observer.cause(agent, task).ok().flatten();
    info.filter(|info| info.why.cause == Cause::Lock)
}
