//! Events as the bodies of records.

use varta_history::{
    CauseFound, CauseMembers, Ended, Exit, Kind, Part, Paused, Record, Recovered, Stall, Task,
    Violation,
};
use varta_observer::{Event, ExitCause, What};

use super::agent::Agent;

/// What an event does not contain.
#[derive(Debug, Default, Clone)]
pub(crate) struct More {
    /// The cause of a silence.
    pub(crate) why: Option<CauseMembers>,
    /// The threshold of the agent or task.
    pub(crate) threshold_ns: u64,
    /// An exit had been announced.
    pub(crate) expected: bool,
}

/// The kind of record that an event becomes, if it becomes one.
pub(crate) const fn kind_of(what: &What) -> Option<Kind> {
    match what {
        What::Stall { .. } => Some(Kind::Stall),
        What::Recovered { .. } => Some(Kind::Recovered),
        What::Exit { .. } => Some(Kind::Exit),
        What::Paused { .. } => Some(Kind::Paused),
        What::Task { .. } => Some(Kind::Task),
        What::Ended { .. } => Some(Kind::Ended),
        What::Violation { .. } => Some(Kind::Violation),
        What::Cause { .. } => Some(Kind::Cause),
        _ => None,
    }
}

/// The record of an event. `known` is what is remembered of its agent.
pub(super) fn record_of(event: &Event, more: More, known: Option<&Agent>) -> Option<Record> {
    let agent = event.about.map_or(0, |about| about.agent);
    let task = event.task.map(|task| task.number);
    let number = task.unwrap_or_default();
    Some(match event.what {
        What::Stall { last_nonce, last_ns, deaf, late, .. } => Record::Stall(Stall {
            agent,
            task,
            last_nonce,
            last_ns,
            deaf,
            promise: late.map(|late| late.promise.name().into()),
            due_ns: late.map(|late| late.due_ns),
            checkpoint: late.map(|late| late.checkpoint),
            threshold_ns: more.threshold_ns,
            why: Part(more.why),
        }),
        What::Cause { .. } => Record::Cause(CauseFound { agent, task, why: Part(more.why) }),
        What::Recovered { silent_ns, promise } => {
            let promise = promise.name().into();
            Record::Recovered(Recovered { agent, task, silent_ns, promise })
        }
        What::Exit { cause, last_status } => {
            let (code, signal) = match cause {
                ExitCause::Code(code) => (Some(code), None),
                ExitCause::Signal(signal) => (None, Some(signal)),
                ExitCause::Unknown => (None, None),
            };
            let why: Option<CauseMembers> = known.and_then(|known| known.rest.why.clone());
            Record::Exit(Exit {
                agent,
                code,
                signal,
                last_status: last_status.name().into(),
                expected: more.expected,
                last_ns: known.and_then(|known| known.last_ns).unwrap_or_default(),
                stalled: known.is_some_and(|known| known.rest.stalled),
                why: Part(why),
            })
        }
        What::Paused { ns } => Record::Paused(Paused { paused_ns: ns }),
        What::Task { threshold_ns } => {
            let task_name = event.task.map_or(String::new(), |task| task.name.to_string());
            Record::Task(Task {
                agent,
                task: number,
                task_name: task_name.into(),
                threshold_ns,
            })
        }
        What::Ended { how } => {
            Record::Ended(Ended { agent, task: number, how: how.name().into() })
        }
        What::Violation { rule, count, from, to, by } => {
            let rule = rule.name().into();
            Record::Violation(Violation { agent, task: number, rule, count, from, to, by })
        }
        _ => return None,
    })
}
