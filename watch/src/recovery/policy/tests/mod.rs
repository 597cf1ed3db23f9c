//! Tests of the recovery policy, in simulated time.

mod at_random;
mod budget;
mod causes;
mod pidfds;
mod runs;
mod shares;
mod tasks;
mod trust;

use varta::{Promise, Status, TaskName};
use varta_observer::{ExitCause, Label, Origin, Task};

use super::*;
use crate::flags::Triggers;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

const RULES: Rules = Rules {
    debounce_ns: S,
    tries: 4,
    backoff_ns: S,
    backoff_max_ns: 60 * S,
    budget: 20,
    window_ns: 60 * S,
    exit_wait_ns: 3_600 * S,
    capacity: 1_000,
    pidfds: 100,
    on: Triggers::of(&[Trigger::Hung, Trigger::Crash]),
    for_unconfirmed: false,
    for_sealed: false,
    for_plain: false,
};

/// No orders.
const NOTHING: [&str; 0] = [];

const CRASH: Cause = Cause::Exit(ExitCause::Signal(11));

fn subject(agent: u64, cause: Cause) -> Subject {
    let pid = 1_000 + u32::try_from(agent).unwrap();
    Subject {
        agent,
        pid,
        claimed_pid: pid,
        origin: Origin::KernelAttested,
        uid: Some(0),
        program: Label::default(),
        unit: Label::EMPTY,
        container: Label::EMPTY,
        unconfirmed: false,
        deaf: false,
        status: Status::Ok,
        payload: 0,
        cause,
        why: None,
        owner: None,
        awaits_owner: false,
        task: None,
        silent_ns: 0,
        threshold_ns: 0,
        command: 0,
        on: None,
    }
}

fn stalled(agent: u64) -> Subject {
    subject(agent, Cause::Stall)
}

/// An agent whose task with this number is late.
fn late(agent: u64, number: u32, promise: Promise) -> Subject {
    let task = Task { number, name: TaskName::new("worker").unwrap(), done: 0 };
    Subject { task: Some(LateTask { task, promise }), ..stalled(agent) }
}

/// A subject of another user.
fn of_uid(uid: u32, program: &str, subject: Subject) -> Subject {
    let program = Label::new(program.as_bytes());
    Subject { uid: Some(uid), program, ..subject }
}

fn count(lines: &[String], kind: &str) -> usize {
    lines.iter().filter(|line| line.starts_with(kind)).count()
}

/// The orders at this time, one line each.
fn orders(policy: &mut Policy, now: u64) -> Vec<String> {
    std::iter::from_fn(|| policy.next(now))
        .map(|order| match order {
            Order::Start { subject, attempt } => format!("start {} {attempt}", subject.agent),
            Order::Refused { subject, reason } => {
                format!("refused {} {}", subject.agent, reason.name())
            }
            Order::Debounced { subject, wait_ns } => {
                format!("debounced {} {}", subject.agent, wait_ns / MS)
            }
            Order::OverBudget { subject } => format!("over budget {}", subject.agent),
            Order::BudgetSpent => "budget spent".to_owned(),
            Order::BudgetFree { waited } => format!("budget free {waited}"),
            Order::GaveUp { subject, tries } => format!("gave up {} {tries}", subject.agent),
            Order::Ended { subject, ending } => {
                format!("ended {} {}", subject.agent, ending.name())
            }
            Order::Recheck { agents } => format!("recheck {agents:?}"),
        })
        .collect()
}
