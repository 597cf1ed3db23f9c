//! The recovery thread: executes the orders of the policy, and monitors running commands.

use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tracing::{debug, error, info, warn};
use varta_observer::{ExitCause, Origin};

use super::command::{self, Running};
use super::config::Plan;
use super::holds::Holds;
use super::inbox::{Inbox, Message};
use super::policy::{Order, Policy};
use super::records::Records;
use super::report::{Cause, Completed, Reason, Step, Subject};
use super::snapshot::Snapshots;
use crate::platform::clock::{Clock, nanoseconds};
use crate::platform::process::has_ended;
use crate::state::Shared;

/// The epoll token of the inbox.
const INBOX: u64 = 0;

/// Low bits of the epoll tokens of a command. The agent's number is in the bits above.
const ENDED: u64 = 1;
const STDOUT: u64 = 2;
const STDERR: u64 = 3;

pub(super) struct Worker {
    inbox: Inbox,
    plan: Option<Plan>,
    policy: Option<Policy>,
    records: Records,
    clock: Clock,
    epoll: OwnedFd,
    /// By agent.
    running: HashMap<u64, Running>,
    shared: Shared,
    holds: Holds,
    snapshots: Snapshots,
    end: Option<Instant>,
}

impl Worker {
    pub(super) fn new(
        inbox: Inbox,
        plan: Option<Plan>,
        records: Records,
        shared: Shared,
        clock: Clock,
    ) -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &inbox.wake_fd, EventData::new_u64(INBOX), EventFlags::IN)?;
        let mut worker = Self {
            inbox,
            plan: None,
            policy: None,
            records,
            clock,
            epoll,
            running: HashMap::new(),
            shared,
            holds: Holds::try_new()?,
            snapshots: Snapshots::default(),
            end: None,
        };
        worker.change_plan(plan);
        Ok(worker)
    }

    /// Runs until [`Message::End`].
    pub(super) fn run(mut self) -> io::Result<()> {
        while !self.is_over() {
            self.wait()?;
            self.read_inbox();
            self.kill_overdue();
            self.execute_orders();
            self.records.run_due();
            self.snapshots.sum_up(self.clock.now());
        }
        if !self.running.is_empty() {
            warn!(
                commands = self.running.len(),
                "some commands did not exit in time and were left running"
            );
        }
        self.snapshots.sum_up(u64::MAX);
        self.records.end();
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.end.is_some_and(|by| self.running.is_empty() || Instant::now() >= by)
    }

    /// Waits for the next thing to do, and handles commands that exited.
    fn wait(&mut self) -> io::Result<()> {
        let timeout = self.next_due().and_then(|left| Timespec::try_from(left).ok());
        let nothing = epoll::Event { flags: EventFlags::empty(), data: EventData::new_u64(0) };
        let mut ready = [nothing; 64];
        let found = match epoll::wait(&self.epoll, &mut ready, timeout.as_ref()) {
            Err(Errno::INTR) => 0,
            found => found?,
        };
        for ready in ready.iter().take(found) {
            let token = ready.data.u64();
            let agent = token >> 2;
            match token & 3 {
                ENDED => self.command_ended(agent),
                STDOUT => self.read_output(agent, Running::stdout, Running::read_stdout),
                STDERR => self.read_output(agent, Running::stderr, Running::read_stderr),
                _ => {
                    // Fails only if there was no wake-up.
                    let _ = rustix::io::read(&self.inbox.wake_fd, &mut [0; 8]);
                }
            }
        }
        Ok(())
    }

    fn next_due(&self) -> Option<Duration> {
        let order = self.policy.as_ref().and_then(Policy::next_due);
        let order = order.into_iter().chain(self.snapshots.due_ns()).min();
        let order = order.map(|at| Duration::from_nanos(at.saturating_sub(self.clock.now())));
        let kills = self.running.values().filter(|running| !running.timed_out);
        let kill = kills.filter_map(|running| running.kill_at).chain(self.end).min();
        let kill = kill.map(|at| at.saturating_duration_since(Instant::now()));
        [order, kill, self.records.next_due()].into_iter().flatten().min()
    }

    fn read_inbox(&mut self) {
        while let Ok(message) = self.inbox.messages.try_recv() {
            match message {
                Message::Plan(plan) => self.change_plan(plan.map(|plan| *plan)),
                Message::End { by } => self.begin_shutdown(by),
                Message::Stalled { at_ns, subject, pidfd, recheck } => match &mut self.policy {
                    Some(policy) if recheck => policy.still_stalled(at_ns, subject, pidfd),
                    Some(policy) => policy.stalled(at_ns, subject, pidfd),
                    None => {}
                },
                Message::Explained { at_ns, subject, pidfd } => {
                    if let Some(policy) = &mut self.policy {
                        policy.explained(at_ns, subject, pidfd);
                    }
                }
                Message::OwnerFound { at_ns, agent, task, owner } => {
                    if let Some(policy) = &mut self.policy {
                        policy.owner_found(at_ns, agent, task, owner);
                    }
                }
                Message::Exited { at_ns, subject } => {
                    if let Some(policy) = &mut self.policy {
                        policy.exited(at_ns, subject);
                    }
                }
                Message::Recovered { agent, late } => {
                    if let Some(policy) = &mut self.policy {
                        policy.recovered(agent, late);
                    }
                }
                Message::TaskEnded { agent, task } => {
                    if let Some(policy) = &mut self.policy {
                        policy.task_ended(agent, task);
                    }
                }
            }
        }
    }

    fn change_plan(&mut self, plan: Option<Plan>) {
        if let Some(plan) = &plan {
            self.records.set_commands(&plan.choices.commands);
        }
        match (&plan, &mut self.policy) {
            (Some(plan), Some(policy)) => policy.set_rules(plan.rules.clone()),
            (Some(plan), None) => self.policy = Some(Policy::new(plan.rules.clone())),
            // While recovery is off, the event loop forwards no events.
            (None, Some(policy)) => policy.suspend(),
            (None, None) => {}
        }
        self.plan = plan;
    }

    /// Starts no more commands, and kills those that run.
    fn begin_shutdown(&mut self, by: Instant) {
        self.end = Some(by);
        self.policy = None;
        for running in self.running.values() {
            kill(running);
        }
    }

    fn execute_orders(&mut self) {
        let now = self.clock.now();
        while let Some(order) = self.policy.as_mut().and_then(|policy| policy.next(now)) {
            match order {
                Order::Start { subject, attempt } => self.start(subject, attempt),
                Order::Refused { subject, reason } => {
                    self.records.note(&subject, Step::Refused(reason));
                }
                Order::Debounced { subject, wait_ns } => {
                    self.records.note(&subject, Step::Debounced { wait_ns });
                }
                Order::OverBudget { subject } => self.records.note(&subject, Step::OverBudget),
                Order::GaveUp { subject, tries } => {
                    self.records.note(&subject, Step::GaveUp { tries });
                }
                Order::Ended { subject, ending } => {
                    self.records.note(&subject, Step::Ended(ending));
                }
                Order::BudgetSpent => warn!(
                    budget = self.plan.as_ref().map(|plan| plan.rules.budget),
                    "recovery budget spent: many agents need recovery at once, and further \
                     ones wait; check the host first"
                ),
                Order::BudgetFree { waited } => {
                    info!(waited, "recovery budget has room again");
                }
                Order::Recheck { agents } => {
                    // Fails only if the daemon is ending.
                    let _ = self.inbox.refused_stalls.send(agents);
                    self.shared.wake();
                }
            }
        }
    }

    fn start(&mut self, mut subject: Subject, attempt: u32) {
        let (Some(plan), Some(policy)) = (&self.plan, &mut self.policy) else {
            return self.report_outcome(subject.agent, false);
        };
        let attested = subject.origin == Origin::KernelAttested;
        let gone = policy.pidfd(subject.agent).is_some_and(|pidfd| has_ended(&pidfd));
        // The event for its exit has not arrived yet.
        if subject.cause == Cause::Stall && gone {
            subject.cause = Cause::Exit(ExitCause::Unknown);
        }
        if attested && subject.cause != Cause::Stall {
            match has_process(subject.pid) {
                Ok(false) => {}
                Ok(true) => return policy.not_started(subject, Reason::ReusedPid),
                Err(error) => return self.spawn_failed(&subject, attempt, &error),
            }
        }
        if subject.cause == Cause::Stall && attested && subject.why.is_some() {
            // The start may have waited for long since the cause was looked up.
            let held_by =
                self.holds.held_by(subject.pid).filter(|by| !plan.rules.on(&subject).has(*by));
            if !policy.may_start(self.clock.now(), subject.agent, held_by.is_some()) {
                let by = held_by.map_or("it was held until now", varta_observer::Cause::name);
                debug!(agent = subject.agent, pid = subject.pid, "recovery put off: {by}");
                return;
            }
        }
        let Some(words) = command::words(plan, &subject) else {
            return policy.not_started(subject, Reason::NoValue);
        };
        if plan.dry_run {
            let command = words.join(" ");
            self.records.note(&subject, Step::WouldSpawn { command });
            self.report_outcome(subject.agent, true);
            return;
        }
        let pass_pidfd = attested && !subject.unconfirmed && !gone;
        let pidfd = policy.pidfd(subject.agent).filter(|_| pass_pidfd);
        if let (Some(folder), Some(pidfd)) = (&plan.snapshot_dir, pidfd)
            && attempt == 1
            && subject.is_own()
        {
            self.snapshots.take(folder, &subject, pidfd, self.clock.now());
        }
        let spawned = command::spawn(plan, &words, &subject, pidfd)
            .and_then(|running| self.monitor(subject.agent, running));
        match spawned {
            Ok(child_pid) => self.records.note(&subject, Step::Spawned { child_pid, attempt }),
            Err(error) => self.spawn_failed(&subject, attempt, &error),
        }
    }

    fn spawn_failed(&mut self, subject: &Subject, attempt: u32, error: &io::Error) {
        let why = error.to_string();
        self.records.note(subject, Step::SpawnFailed { attempt, why });
        self.report_outcome(subject.agent, false);
    }

    /// Adds a started command to those that are monitored.
    fn monitor(&mut self, agent: u64, running: Running) -> io::Result<u32> {
        let pid = running.pid();
        let watched = [
            (Some(running.pidfd()), ENDED),
            (running.stdout(), STDOUT),
            (running.stderr(), STDERR),
        ];
        for (descriptor, what) in watched {
            let Some(descriptor) = descriptor else { continue };
            let token = EventData::new_u64(agent << 2 | what);
            if let Err(error) = epoll::add(&self.epoll, descriptor, token, EventFlags::IN) {
                kill(&running);
                return Err(error.into());
            }
        }
        self.running.insert(agent, running);
        Ok(pid)
    }

    fn command_ended(&mut self, agent: u64) {
        let Some(running) = self.running.get_mut(&agent) else { return };
        let Some(exit) = running.try_wait() else { return };
        let completed = Completed {
            child_pid: running.pid(),
            exit,
            timed_out: running.timed_out,
            duration_ns: nanoseconds(running.age()),
            output: running.output(),
        };
        let subject = running.subject;
        // Closing its descriptors removes them from epoll, because there are no copies.
        self.running.remove(&agent);
        self.records.note(&subject, Step::Completed(completed));
        self.report_outcome(agent, completed.is_success());
    }

    fn report_outcome(&mut self, agent: u64, success: bool) {
        let now = self.clock.now();
        if let Some(policy) = &mut self.policy {
            policy.ended(now, agent, success);
        }
    }

    fn read_output(
        &mut self,
        agent: u64,
        pipe: impl Fn(&Running) -> Option<BorrowedFd<'_>>,
        read: impl Fn(&mut Running) -> bool,
    ) {
        let Some(running) = self.running.get_mut(&agent) else { return };
        if read(running) {
            return;
        }
        // At the end of the stream it would stay ready for ever.
        if let Some(pipe) = pipe(running)
            && let Err(error) = epoll::delete(&self.epoll, pipe)
        {
            error!(%error, "cannot stop reading from a command");
        }
    }

    fn kill_overdue(&mut self) {
        let now = Instant::now();
        for running in self.running.values_mut() {
            if !running.timed_out && running.kill_at.is_some_and(|at| at <= now) {
                running.timed_out = true;
                kill(running);
            }
        }
    }
}

fn kill(running: &Running) {
    if let Err(error) = running.kill() {
        error!(%error, child_pid = running.pid(), "cannot kill a command");
    }
}

/// Whether a pid belongs to a running process or to one of its threads. A process that has
/// exited and has not been waited for is not running.
fn has_process(pid: u32) -> io::Result<bool> {
    let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(false) };
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok(!has_ended(&pidfd)),
        Err(Errno::SRCH) => Ok(false),
        // The pid of a thread. A signal to it would reach its whole process.
        Err(Errno::INVAL | Errno::NOENT) => Ok(true),
        Err(error) => Err(error.into()),
    }
}
