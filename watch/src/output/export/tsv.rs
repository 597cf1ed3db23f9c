//! The columns of varta-watch 0.2: time, kind, pid, nonce, status, payload. A line for several
//! beats through shared memory has a seventh: their number.

use std::fmt::Write;

use varta_observer::{Event, Task, What};

use super::Entry;
use crate::state::stats::shown_pid;

/// Writes the lines of an event, and returns their number. Events that varta-watch 0.2 does not
/// have get lines of new kinds. An exit also gets the stall line that 0.2 would write.
pub(super) fn entry(entry: &Entry, text: &mut String) -> u64 {
    let Entry { event, nonce, stalled, .. } = entry;
    let (at, kind) = (event.observer_ns, event.what.name());
    let pid = event.about.map_or(0, |about| shown_pid(about.pid, about.claimed_pid));
    if let Some(task) = &event.task {
        of_task(event, pid, task, text);
        return 1;
    }
    let mut lines = 1;
    // Writing to a string does not fail.
    let _ = match &event.what {
        What::Beat { status, payload, nonce, count: 1, .. } => {
            writeln!(text, "{at}\tbeat\t{pid}\t{nonce}\t{status}\t{payload}")
        }
        What::Beat { status, payload, nonce, count, .. } => {
            writeln!(text, "{at}\tbeat\t{pid}\t{nonce}\t{status}\t{payload}\t{count}")
        }
        What::Stall { last_nonce, .. } => {
            writeln!(text, "{at}\tstall\t{pid}\t{last_nonce}\tstall\t-")
        }
        What::Recovered { silent_ns, .. } => {
            writeln!(text, "{at}\trecovered\t{pid}\t-\t-\t{silent_ns}")
        }
        What::Exit { cause, last_status } => {
            if !stalled {
                lines += 1;
                let _ = writeln!(text, "{at}\tstall\t{pid}\t{nonce}\tstall\t-");
            }
            writeln!(text, "{at}\texit\t{pid}\t{nonce}\t{last_status}\t{cause}")
        }
        What::Decode(error) => writeln!(text, "{at}\tdecode\t-\t-\t-\t{error:?}"),
        What::AuthFailure { claimed_pid, .. } => {
            writeln!(text, "{at}\tmismatch\t{claimed_pid}\t-\t-\tauth_failure")
        }
        What::Io { errno } => {
            let error = std::io::Error::from_raw_os_error(*errno);
            writeln!(text, "{at}\tio\t-\t-\t-\t{error}")
        }
        What::Paused { ns } => writeln!(text, "{at}\tpaused\t-\t-\t-\t{ns}"),
        What::Cause { why } => {
            let (certainty, cause) = (why.certainty.name(), why.cause.name());
            writeln!(text, "{at}\tcause\t{pid}\t-\t{certainty}\t{cause}")
        }
        other => writeln!(text, "{at}\t{kind}\t-\t-\t-\t{other}"),
    };
    lines
}

/// Writes the line of an event of a task. It has a kind of its own, so that no reader takes a late
/// task for a silent process. After the six columns come the task's name and what its kind adds.
fn of_task(event: &Event, pid: u32, task: &Task, text: &mut String) {
    let (at, number, name) = (event.observer_ns, task.number, &task.name);
    let mut line = |kind: &str, status: &str, value: u64, more: &[u64]| {
        let _ = write!(text, "{at}\t{kind}\t{pid}\t{number}\t{status}\t{value}\t{name}");
        for each in more {
            let _ = write!(text, "\t{each}");
        }
        text.push('\n');
    };
    match event.what {
        What::Task { threshold_ns } => line("task", "declared", threshold_ns, &[]),
        What::Beat { status, payload, count, .. } => {
            line("task-beat", status.name(), payload, &[count.into()]);
        }
        What::Stall { last_ns, late, .. } => {
            let (promise, due_ns, checkpoint) = late
                .map_or(("-", last_ns, 0), |it| (it.promise.name(), it.due_ns, it.checkpoint));
            line("task-stall", promise, due_ns, &[checkpoint.into()]);
        }
        What::Recovered { silent_ns, promise } => {
            line("task-recovered", promise.name(), silent_ns, &[]);
        }
        What::Ended { how } => line("task-ended", how.name(), 0, &[]),
        What::Violation { rule, count, from, to, by } => {
            line("task-violation", rule.name(), by, &[count.into(), from.into(), to.into()]);
        }
        What::Cause { why } => line("task-cause", why.cause.name(), why.thread.into(), &[]),
        ref other => line(other.name(), "-", 0, &[]),
    }
}

pub(super) fn eviction(at_ns: u64, pid: u32, text: &mut String) {
    let _ = writeln!(text, "{at_ns}\teviction\t{pid}\t-\t-\t-");
}

#[cfg(test)]
mod tests {
    use varta::{Promise, Rule, Status, TaskName};
    use varta_observer::{About, Ending, Label, Late, Origin, Why};

    use super::*;
    use crate::output::stamp::Stamp;

    fn line(what: What, is_of_a_task: bool) -> String {
        let about =
            About { agent: 1, pid: 50, claimed_pid: 50, origin: Origin::KernelAttested };
        let task = Task { number: 3, name: TaskName::new("ingest").unwrap(), done: 0 };
        let event = Event {
            observer_ns: 9,
            about: Some(about),
            task: is_of_a_task.then_some(task),
            what,
        };
        let name = Label::default();
        let mut text = String::new();
        let stamp = Stamp { wall_ns: 0, seq: 0, threshold_ns: None };
        entry(&Entry { event, name, nonce: 0, stalled: false, stamp }, &mut text);
        text
    }

    #[test]
    fn a_line_of_several_beats_ends_with_their_number() {
        let beat =
            |count| What::Beat { status: Status::Ok, payload: 7, nonce: 12, missed: 0, count };
        assert_eq!(line(beat(1), false), "9\tbeat\t50\t12\tok\t7\n");
        assert_eq!(line(beat(20), false), "9\tbeat\t50\t12\tok\t7\t20\n");
    }

    #[test]
    fn a_line_of_a_cause_names_it_last() {
        let line = line(What::Cause { why: Why::UNKNOWN }, false);
        assert_eq!(line, "9\tcause\t50\t-\tguess\tunknown\n");
    }

    #[test]
    fn a_line_of_a_task_has_its_own_kind_and_the_six_columns_before_its_name() {
        let late = Late { promise: Promise::Span, due_ns: 8, checkpoint: 4 };
        let status = Status::Degraded;
        for (what, expected) in [
            (What::Task { threshold_ns: 5 }, "task\t50\t3\tdeclared\t5\tingest"),
            (
                What::Beat { status, payload: 7, nonce: 0, missed: 0, count: 2 },
                "task-beat\t50\t3\tdegraded\t7\tingest\t2",
            ),
            (
                What::Stall {
                    last_nonce: 0,
                    last_ns: 6,
                    deaf: false,
                    late: Some(late),
                    why: None,
                },
                "task-stall\t50\t3\tspan\t8\tingest\t4",
            ),
            (
                What::Recovered { silent_ns: 5, promise: Promise::Span },
                "task-recovered\t50\t3\tspan\t5\tingest",
            ),
            (What::Ended { how: Ending::Failed }, "task-ended\t50\t3\tfailed\t0\tingest"),
            (
                What::Violation { rule: Rule::WrongOrder, count: 2, from: 1, to: 5, by: 0 },
                "task-violation\t50\t3\twrong-order\t0\tingest\t2\t1\t5",
            ),
            (What::Cause { why: Why::UNKNOWN }, "task-cause\t50\t3\tunknown\t0\tingest"),
        ] {
            assert_eq!(line(what, true), format!("9\t{expected}\n"));
        }
    }
}
