//! The metrics of tasks, by name: the tasks of one name in all agents are counted together.

use std::collections::BTreeMap;

use varta::TaskName;

use super::exposition::{Exposition, label, push_label};
use crate::state::Snapshot;

/// The current tasks of one name.
#[derive(Debug, Default, Clone, Copy)]
struct Current {
    late: bool,
    left: u64,
}

pub(super) fn write(snapshot: &Snapshot, to: &mut Exposition) {
    let current = current(snapshot);
    let counts = &snapshot.task_counts;
    let help = "1 while at least one task of this name is late.";
    let mut late = to.gauge("varta_task_late", help);
    for (name, it) in &current {
        late.put(&labelled(*name), it.late.into());
    }
    let help = "Calls by which tasks gave a sign of life.";
    let mut beats = to.counter("varta_task_beats", help);
    for (name, it) in counts {
        beats.put(&labelled(*name), it.beats);
    }
    let help = "Promises that tasks broke: to beat, to end a span, to reach a checkpoint, or to \
                make progress.";
    let mut stalls = to.counter("varta_task_stalls", help);
    for (name, it) in counts {
        for (promise, count) in it.stalls() {
            stalls.put(&and(*name, "promise", promise.name()), count);
        }
    }
    let help = "Calls of tasks that came too early, too late, in the wrong order, too rarely or \
                too often.";
    let mut violations = to.counter("varta_task_violations", help);
    for (name, it) in counts {
        for (rule, count) in it.violations() {
            violations.put(&and(*name, "rule", rule.name()), count);
        }
    }
    let help = "Pieces of work that tasks reported as done.";
    let mut done = to.counter("varta_task_done", help);
    for (name, it) in counts {
        done.put(&labelled(*name), it.done);
    }
    let help = "Pieces of work that wait for the tasks, according to the tasks.";
    let mut left = to.gauge("varta_task_left", help);
    for (name, it) in &current {
        left.put(&labelled(*name), it.left);
    }
}

/// The state of the current tasks by name, with all names without counts of their own under
/// None.
fn current(snapshot: &Snapshot) -> BTreeMap<Option<TaskName>, Current> {
    let mut current = BTreeMap::from([(None, Current::default())]);
    for info in snapshot.tasks.values().flatten() {
        let name =
            Some(info.name).filter(|name| snapshot.task_counts.contains_key(&Some(*name)));
        let it: &mut Current = current.entry(name).or_default();
        it.late |= info.is_late();
        it.left += u64::from(info.left);
    }
    current
}

/// The label of a name. No task has an empty name, which stands for all without a label.
fn labelled(name: Option<TaskName>) -> String {
    match name {
        Some(name) => label("task", name),
        None => label("task", ""),
    }
}

fn and(name: Option<TaskName>, label_name: &str, value: &str) -> String {
    let mut labels = labelled(name);
    labels.push(',');
    push_label(&mut labels, label_name, value);
    labels
}
