//! The decisions of recovery, for the log, the audit log and subscribers.

use std::fmt;

use varta::{Promise, Status};
use varta_observer::{CauseClass, CauseFlags, CauseInfo, ExitCause, Label, Origin, Task};

use crate::flags::Triggers;
use crate::lookup::LockOwner;
use crate::output::cause::{CauseFields, Phrase};

/// One decision, or the outcome of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    /// In the observer's time.
    pub(crate) at_ns: u64,
    pub(crate) agent: u64,
    /// The agent's pid, as it is given to the command.
    pub(crate) pid: u32,
    /// The task whose stall the run is for.
    pub(crate) task: Option<LateTask>,
    /// Why the agent or the task was silent, if this decision rests on that.
    pub(crate) cause: Option<CauseFields>,
    pub(crate) what: Step,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// A command was started.
    Spawned {
        child_pid: u32,
        attempt: u32,
    },
    /// A command would have been started (--dry-run).
    WouldSpawn {
        command: String,
    },
    SpawnFailed {
        attempt: u32,
        why: String,
    },
    /// The command has exited.
    Completed(Completed),
    /// No command will be run.
    Refused(Reason),
    /// A start waits, because the last one for this pid was too recent.
    Debounced {
        wait_ns: u64,
    },
    /// A start waits, because the budget is spent.
    OverBudget,
    /// The run is over after its last try failed.
    GaveUp {
        tries: u32,
    },
    /// The run is over.
    Ended(Ending),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Completed {
    pub(crate) child_pid: u32,
    pub(crate) exit: Exit,
    /// The command was killed because it took too long.
    pub(crate) timed_out: bool,
    pub(crate) duration_ns: u64,
    pub(crate) output: Output,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    Code(i32),
    Signal(i32),
    /// The kernel did not report the cause.
    Unknown,
}

/// The number of bytes that the command printed, up to the limit.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) stdout: u32,
    pub(crate) stderr: u32,
    /// The limit was exceeded.
    pub(crate) truncated: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The agent beats again.
    Recovered,
    /// The agent's process has exited, and the command has succeeded.
    Replaced,
    /// The agent exited by itself before a command was started.
    Exited,
    /// The late task has ended, while its process continues.
    TaskEnded,
}

/// Why no command is run for an agent. The names are those of the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    Unauthenticated,
    CrossNamespace,
    Unconfirmed,
    Capacity,
    /// The observer may have missed the agent's beats.
    Deaf,
    /// The process has exited, and another one has its pid.
    ReusedPid,
    /// Something outside holds the process, such as a debugger or other load.
    Held,
    /// The process exited too long ago.
    WaitedTooLong,
    /// Something that the command line is to contain is unknown, or looks like an option.
    NoValue,
}

impl Reason {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Unauthenticated => "unauthenticated_transport",
            Self::CrossNamespace => "cross_namespace_agent",
            Self::Unconfirmed => "unconfirmed_agent",
            Self::Capacity => "outstanding_capacity",
            Self::Deaf => "deaf_observer",
            Self::ReusedPid => "reused_pid",
            Self::Held => "held_from_outside",
            Self::WaitedTooLong => "waited_too_long",
            Self::NoValue => "no_value",
        }
    }
}

impl Ending {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Replaced => "replaced",
            Self::Exited => "exited",
            Self::TaskEnded => "task-ended",
        }
    }
}

impl Step {
    /// Whether it starts a command, or decides not to. What becomes of a command and of a run
    /// does not depend on the cause of the stall.
    const fn is_about_a_start(&self) -> bool {
        !matches!(self, Self::Completed(_) | Self::Ended(_))
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Spawned { .. } => "spawned",
            Self::WouldSpawn { .. } => "would-spawn",
            Self::SpawnFailed { .. } => "spawn-failed",
            Self::Completed(_) => "completed",
            Self::Refused(_) => "refused",
            Self::Debounced { .. } => "debounced",
            Self::OverBudget => "over-budget",
            Self::GaveUp { .. } => "gave-up",
            Self::Ended(_) => "ended",
        }
    }
}

impl Completed {
    /// Whether the command succeeded.
    pub(crate) fn is_success(&self) -> bool {
        self.exit == Exit::Code(0) && !self.timed_out
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exit code {code}"),
            Self::Signal(signal) => write!(f, "killed by signal {signal}"),
            Self::Unknown => f.write_str("cause unknown"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Spawned { child_pid, attempt } => {
                write!(f, "command started as pid {child_pid}, try {attempt}")
            }
            Self::WouldSpawn { command } => write!(f, "would start: {command}"),
            Self::SpawnFailed { attempt, why } => {
                write!(f, "command could not be started, try {attempt}: {why}")
            }
            Self::Completed(done) => {
                let killed = if done.timed_out { "timed out, " } else { "" };
                write!(f, "command {} exited: {killed}{}", done.child_pid, done.exit)
            }
            Self::Refused(reason) => write!(f, "refused: {}", reason.name()),
            Self::Debounced { wait_ns } => {
                write!(
                    f,
                    "waits {} ms: the last run for this pid is too recent",
                    wait_ns / 1_000_000
                )
            }
            Self::OverBudget => f.write_str("waits: the recovery budget is spent"),
            Self::GaveUp { tries } => {
                write!(f, "gave up after {tries} tries; this agent needs manual attention")
            }
            Self::Ended(ending) => write!(f, "run over: {}", ending.name()),
        }
    }
}

/// The agent that a run is for, and what happened to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) agent: u64,
    /// The pid in the daemon's namespace, or 0 if there is none.
    pub(crate) pid: u32,
    pub(crate) claimed_pid: u32,
    pub(crate) origin: Origin,
    /// The user of the process, if the kernel attests it.
    pub(crate) uid: Option<u32>,
    pub(crate) program: Label,
    /// The unit of the system's service manager and the container it belongs to, if known.
    pub(crate) unit: Label,
    pub(crate) container: Label,
    pub(crate) unconfirmed: bool,
    /// The observer may have missed beats.
    pub(crate) deaf: bool,
    pub(crate) status: Status,
    pub(crate) payload: u64,
    pub(crate) cause: Cause,
    /// Why it is silent, if that was looked up.
    pub(crate) why: Option<CauseInfo>,
    /// The owner of the lock for which it waits, once that is known.
    pub(crate) owner: Option<LockOwner>,
    /// The owner was asked for.
    pub(crate) awaits_owner: bool,
    /// The task that has stalled, if it is not the process.
    pub(crate) task: Option<LateTask>,
    pub(crate) silent_ns: u64,
    /// How long it may be silent.
    pub(crate) threshold_ns: u64,
    /// The number of its command, and what starts it if a rule says so.
    pub(crate) command: usize,
    pub(crate) on: Option<Triggers>,
}

/// A promise that a task has broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LateTask {
    pub(crate) task: Task,
    pub(crate) promise: Promise,
}

impl Subject {
    /// The cause of the stall, as far as it is known.
    pub(crate) fn stall_cause(&self) -> varta_observer::Cause {
        self.why.map_or(varta_observer::Cause::Unknown, |info| info.why.cause)
    }

    /// Why it is silent in words, if that was looked up.
    pub(crate) fn phrase(&self) -> Option<String> {
        let info = self.why.as_ref()?;
        Some(Phrase::new(info, self.owner.as_ref()).to_string())
    }

    /// Whether the cause may still become known: it was not looked up for lack of time.
    pub(crate) fn awaits_reading(&self) -> bool {
        let unknown = self.why.filter(|_| self.stall_cause() == varta_observer::Cause::Unknown);
        unknown.is_some_and(|info| !info.why.flags.has(CauseFlags::NO_PERMISSION))
    }

    /// The cause of the stall that a decision rests on.
    pub(crate) fn cause_of(&self, step: &Step) -> Option<CauseFields> {
        let rests_on_stall = self.cause == Cause::Stall && step.is_about_a_start();
        let info = self.why.as_ref().filter(|_| rests_on_stall)?;
        Some(CauseFields::with_details(info, self.owner.as_ref()))
    }

    /// Whether it hangs by itself.
    pub(crate) fn is_own(&self) -> bool {
        self.cause == Cause::Stall && self.stall_cause().class() == CauseClass::Own
    }

    /// Whether something outside holds the process.
    pub(crate) fn is_held(&self) -> bool {
        self.stall_cause().class() == CauseClass::Outside
    }

    /// The pid to pass to the command.
    pub(crate) fn shown_pid(&self) -> u32 {
        if self.origin == Origin::KernelAttested { self.pid } else { self.claimed_pid }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Stall,
    Exit(ExitCause),
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stall => f.write_str("stall"),
            Self::Exit(ExitCause::Code(code)) => write!(f, "exit:{code}"),
            Self::Exit(ExitCause::Signal(signal)) => write!(f, "signal:{signal}"),
            Self::Exit(ExitCause::Unknown) => f.write_str("exit:unknown"),
        }
    }
}
