//! Messages from the event loop to the recovery thread.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, eventfd};
use tracing::{Level, error};
use varta::Promise;
use varta_observer::{About, AgentInfo, Event, Late, Observer, Task, TaskInfo, What};

use super::choices::{Choice, Choices};
use super::config::Plan;
use super::inbox::{Inbox, Message};
use super::records::Records;
use super::report::{Cause, Decision, LateTask, Subject};
use super::worker::Worker;
use crate::config::Command;
use crate::flags::{Trigger, Triggers};
use crate::lookup::LockOwner;
use crate::output::audit::AuditFile;
use crate::output::log::LineLimit;
use crate::platform::clock::Clock;
use crate::state::Shared;
use crate::state::applied::Applied;
use crate::state::stats::{AgentStats, StatsTable};

/// The length of the queue. Further messages are dropped and logged.
const WAITING: usize = 65_536;

/// The event loop's side.
#[derive(Debug)]
pub(crate) struct Feed {
    messages: SyncSender<Message>,
    wake_fd: Arc<OwnedFd>,
    /// Agents to check again.
    refused_stalls: Receiver<Vec<u64>>,
    decisions: Receiver<Decision>,
    worker: JoinHandle<()>,
    /// What each agent's command is, and what starts it by the flags. None if there is no command.
    choices: Option<(Choices, Triggers)>,
    /// How long a process may be silent.
    threshold_ns: u64,
    clock: Clock,
    /// Log lines about messages that were dropped.
    losses: LineLimit,
}

/// What is known of an agent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known<'a> {
    pub(crate) stats: &'a AgentStats,
    pub(crate) applied: Applied,
}

/// Starts the recovery thread. With a history, it reports its decisions even if nobody else wants
/// them.
pub(crate) fn start(
    plan: Option<Plan>,
    audit: Option<AuditFile>,
    shared: Shared,
    clock: Clock,
    has_history: bool,
) -> io::Result<Feed> {
    let (messages, waiting) = sync_channel(WAITING);
    let wake_fd = Arc::new(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?);
    let (recheck, refused_stalls) = channel();
    let inbox =
        Inbox { messages: waiting, wake_fd: Arc::clone(&wake_fd), refused_stalls: recheck };
    let choices = plan.as_ref().map(Plan::choices);
    let threshold_ns = plan.as_ref().map_or(0, |plan| plan.threshold_ns);
    let (decided, decisions) = sync_channel(WAITING);
    let records = Records::new(audit, shared.clone(), clock, decided, has_history);
    let worker = Worker::new(inbox, plan, records, shared, clock)?;
    let worker = thread::Builder::new().name("recovery".to_owned()).spawn(move || {
        worker.run().unwrap_or_else(|error| error!("the recovery thread failed: {error}"))
    })?;
    let losses = LineLimit::default();
    Ok(Feed {
        messages,
        wake_fd,
        refused_stalls,
        decisions,
        worker,
        choices,
        threshold_ns,
        clock,
        losses,
    })
}

impl Feed {
    /// Sends an event to the recovery thread. `known` is about its agent; `awaits_owner` if the
    /// owner of the lock for which it waits was asked for.
    pub(crate) fn forward(
        &mut self,
        event: &Event,
        known: Known<'_>,
        observer: &Observer,
        awaits_owner: bool,
    ) {
        let (Some(about), Some((_, by_flags))) = (event.about, &self.choices) else { return };
        let by_flags = *by_flags;
        let at_ns = event.observer_ns;
        let message = match event.what {
            What::Stall { late, last_ns, .. } => {
                let subject = match event.task.zip(late) {
                    Some((task, Late { promise, .. })) => {
                        let silent_ns = at_ns.saturating_sub(last_ns);
                        let late = LateTask { task, promise };
                        self.of_task(about, known, late, silent_ns, silent_ns)
                    }
                    None => self.subject(about, known, Cause::Stall, at_ns),
                };
                if !may_start(by_flags, &subject) {
                    return;
                }
                let subject = Subject { awaits_owner, ..explained(subject, observer) };
                stalled(subject, observer, at_ns, false)
            }
            What::Cause { .. } => {
                let subject = match event.task {
                    Some(task) => {
                        let info = observer.task(about.agent, task.number).ok().flatten();
                        match info.and_then(|info| self.of_late_task(about, known, &info)) {
                            Some(subject) => subject,
                            None => return,
                        }
                    }
                    None => self.subject(about, known, Cause::Stall, at_ns),
                };
                if !may_start(by_flags, &subject) {
                    return;
                }
                let subject = Subject { awaits_owner, ..explained(subject, observer) };
                let pidfd = observer.pidfd(subject.agent).ok().flatten();
                Message::Explained { at_ns, subject, pidfd }
            }
            What::Exit { cause, .. } => {
                let subject = self.subject(about, known, Cause::Exit(cause), at_ns);
                Message::Exited { at_ns, subject }
            }
            What::Recovered { promise, .. } => {
                let late = event.task.map(|task| LateTask { task, promise });
                Message::Recovered { agent: about.agent, late }
            }
            What::Ended { .. } => match event.task {
                Some(task) => Message::TaskEnded { agent: about.agent, task },
                None => return,
            },
            _ => return,
        };
        self.send(known.stats.uid, message);
    }

    /// Reports the owner of the lock for which an agent or one of its tasks waits. `uid` is its
    /// user.
    pub(crate) fn forward_owner(
        &mut self,
        agent: u64,
        task: u32,
        owner: LockOwner,
        uid: Option<u32>,
    ) {
        if self.choices.is_some() {
            let at_ns = self.clock.now();
            self.send(uid, Message::OwnerFound { at_ns, agent, task, owner });
        }
    }

    /// Reports agents again that recovery had no room for, if they are still stalled.
    pub(crate) fn recheck(&mut self, table: &StatsTable, observer: &Observer) {
        let at_ns = observer.now_ns();
        let agents: Vec<_> = self.refused_stalls.try_iter().flatten().collect();
        for agent in agents {
            let known =
                table.get(agent).map(|stats| Known { stats, applied: table.applied.of(agent) });
            let Some(known) = known.filter(|known| known.applied.is_watched) else { continue };
            let Ok(Some(info)) = observer.agent(agent) else { continue };
            let AgentInfo { pid, claimed_pid, origin, .. } = info;
            let about = About { agent, pid, claimed_pid, origin };
            let subject = match known.stats.stalled {
                true => self.subject(about, known, Cause::Stall, at_ns),
                false => {
                    let tasks = observer.tasks(agent).unwrap_or_default();
                    let mut late =
                        tasks.iter().filter_map(|info| self.of_late_task(about, known, info));
                    match late.next() {
                        Some(subject) => subject,
                        None => continue,
                    }
                }
            };
            let subject = explained(subject, observer);
            self.send(known.stats.uid, stalled(subject, observer, at_ns, true));
        }
    }

    /// The commands so far, by their numbers.
    pub(crate) fn commands(&self) -> Vec<Command> {
        self.choices.as_ref().map_or(Vec::new(), |(choices, _)| choices.commands.clone())
    }

    pub(crate) fn set_plan(&mut self, plan: Option<Plan>) {
        self.choices = plan.as_ref().map(Plan::choices);
        self.threshold_ns = plan.as_ref().map_or(0, |plan| plan.threshold_ns);
        self.send(None, Message::Plan(plan.map(Box::new)));
    }

    /// The decisions since the last call.
    pub(crate) fn decisions(&self) -> impl Iterator<Item = Decision> + '_ {
        self.decisions.try_iter()
    }

    /// Ends the thread within this time. Returns its last decisions.
    pub(crate) fn end(mut self, grace: Duration) -> Vec<Decision> {
        self.send(None, Message::End { by: Instant::now() + grace });
        self.sum_up(u64::MAX);
        if self.worker.join().is_err() {
            error!("the recovery thread has panicked");
        }
        self.decisions.try_iter().collect()
    }

    /// When the next summary of omitted log lines is due, if any were omitted.
    pub(crate) fn due_ns(&self) -> Option<u64> {
        self.losses.due_ns()
    }

    /// Logs one summary of the omitted lines, once their second is over.
    pub(crate) fn sum_up(&mut self, now_ns: u64) {
        self.losses.sum_up(now_ns, "message to recovery lost", Level::ERROR);
    }

    /// A subject whose task is late now.
    fn of_late_task(&self, about: About, known: Known<'_>, info: &TaskInfo) -> Option<Subject> {
        let promise = Promise::ALL.into_iter().find(|promise| info.is_broken(*promise))?;
        let task = Task { number: info.number, name: info.name, done: info.done };
        let late = LateTask { task, promise };
        Some(self.of_task(about, known, late, info.age_ns, info.age_ns.min(info.threshold_ns)))
    }

    /// A subject whose task is late. Lanes lose nothing, so its stall is never uncertain.
    fn of_task(
        &self,
        about: About,
        known: Known<'_>,
        late: LateTask,
        silent_ns: u64,
        threshold_ns: u64,
    ) -> Subject {
        Subject {
            deaf: false,
            task: Some(late),
            silent_ns,
            threshold_ns,
            ..self.subject(about, known, Cause::Stall, 0)
        }
    }

    fn subject(&self, about: About, known: Known<'_>, cause: Cause, at_ns: u64) -> Subject {
        let Known { stats, applied } = known;
        let choice = self.choices.as_ref().map(|(choices, _)| choices.of(applied.rule));
        let Choice { command, on } = choice.unwrap_or(Choice::NOTHING);
        Subject {
            agent: about.agent,
            pid: about.pid,
            claimed_pid: about.claimed_pid,
            origin: about.origin,
            uid: stats.uid,
            program: stats.name,
            unit: stats.unit,
            container: stats.container,
            unconfirmed: stats.unconfirmed,
            // An exit is known without beats.
            deaf: stats.deaf && cause == Cause::Stall,
            status: stats.status,
            payload: stats.payload,
            cause,
            why: None,
            owner: None,
            awaits_owner: false,
            task: None,
            silent_ns: at_ns.saturating_sub(stats.last_ns),
            threshold_ns: applied.threshold_ns.unwrap_or(self.threshold_ns),
            command,
            on,
        }
    }

    /// Sends a message. `uid` is the user of the agent that it is about.
    fn send(&mut self, uid: Option<u32>, message: Message) {
        if self.messages.try_send(message).is_err() {
            if self.losses.admits(self.clock.now(), uid) {
                error!(
                    "the recovery queue is full ({WAITING}) or its thread has ended; one event \
                     was dropped"
                );
            }
            return;
        }
        // Fails only if the counter is full, and then the thread is being woken already.
        let _ = rustix::io::write(&self.wake_fd, &1_u64.to_ne_bytes());
    }
}

fn stalled(subject: Subject, observer: &Observer, at_ns: u64, recheck: bool) -> Message {
    let pidfd = observer.pidfd(subject.agent).ok().flatten();
    Message::Stalled { at_ns, subject, pidfd, recheck }
}

/// Whether a command may start for such a stall, whatever its cause.
fn may_start(by_flags: Triggers, subject: &Subject) -> bool {
    let triggers = subject.on.unwrap_or(by_flags);
    match subject.task {
        Some(_) => triggers.contains(Trigger::LateTask),
        None => triggers.has_stalls(),
    }
}

/// A subject with the cause of its stall, as the observer knows it now.
fn explained(subject: Subject, observer: &Observer) -> Subject {
    let task = subject.task.map_or(0, |late| late.task.number);
    Subject { why: observer.cause(subject.agent, task).ok().flatten(), ..subject }
}

#[cfg(test)]
mod tests {
    use varta::Status;
    use varta_observer::{ExitCause, Origin};

    use super::*;

    fn feed(messages: SyncSender<Message>) -> Feed {
        Feed {
            messages,
            wake_fd: Arc::new(eventfd(0, EventfdFlags::CLOEXEC).unwrap()),
            refused_stalls: channel().1,
            decisions: channel().1,
            worker: thread::spawn(|| {}),
            choices: None,
            threshold_ns: 0,
            clock: Clock::of(0),
            losses: LineLimit::default(),
        }
    }

    #[test]
    fn dropped_messages_do_not_flood_the_log() {
        let (messages, _waiting) = sync_channel(1);
        let mut feed = feed(messages);
        for agent in 0..50 {
            feed.send(Some(1000), Message::Recovered { agent, late: None });
        }
        assert!(feed.due_ns().is_some(), "each of the 49 dropped messages has a line");
        feed.sum_up(u64::MAX);
        assert_eq!(feed.due_ns(), None);
    }

    #[test]
    fn a_stall_that_is_marked_deaf_is_forwarded_with_its_mark() {
        let about = About { agent: 1, pid: 7, claimed_pid: 7, origin: Origin::KernelAttested };
        let feed = feed(sync_channel(1).0);
        let mut table = StatsTable::new(0);
        let mut deaf_after = |what, cause| {
            table.note(&Event { observer_ns: 0, about: Some(about), task: None, what });
            let stats = table.get(1).copied().unwrap_or(AgentStats::EMPTY);
            let known = Known { stats: &stats, applied: table.applied.of(1) };
            feed.subject(about, known, cause, 0).deaf
        };
        let stall =
            |deaf| What::Stall { last_nonce: 1, last_ns: 0, deaf, late: None, why: None };
        assert!(!deaf_after(stall(false), Cause::Stall));
        assert!(deaf_after(stall(true), Cause::Stall));
        let exit = Cause::Exit(ExitCause::Code(1));
        assert!(!deaf_after(stall(true), exit));
        let what = What::Beat { status: Status::Ok, payload: 0, nonce: 2, missed: 0, count: 1 };
        deaf_after(what, Cause::Stall);
        assert!(!deaf_after(stall(false), Cause::Stall));
    }
}
