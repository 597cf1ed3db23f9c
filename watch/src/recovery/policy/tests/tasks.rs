//! Runs for late tasks, which begin only if the operator asks for them.

use super::*;

const WITH_TASKS: Rules =
    Rules { on: Triggers::of(&[Trigger::Hung, Trigger::Crash, Trigger::LateTask]), ..RULES };

#[test]
fn a_late_task_starts_a_command_only_if_the_rules_name_it() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, late(1, 1, Promise::Span), None);
    policy.still_stalled(0, late(1, 1, Promise::Span), None);
    assert_eq!((orders(&mut policy, S), policy.runs.len()), (vec![], 0));
    let mut policy = Policy::new(WITH_TASKS);
    policy.stalled(0, late(1, 1, Promise::Span), None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
}

#[test]
fn what_the_rules_leave_out_starts_nothing() {
    let mut policy = Policy::new(Rules { on: Triggers::of(&[Trigger::LateTask]), ..RULES });
    policy.stalled(0, stalled(1), None);
    policy.exited(0, subject(2, CRASH));
    assert_eq!(orders(&mut policy, S), NOTHING);
    // A command for a late task is not started once its process has crashed.
    policy.stalled(S, late(3, 1, Promise::Beat), None);
    policy.exited(S, subject(3, CRASH));
    assert_eq!(orders(&mut policy, S), ["ended 3 exited"]);
}

#[test]
fn a_run_for_a_task_ends_when_that_promise_is_kept_or_the_task_ends() {
    let of = |subject: Subject| subject.task.unwrap();
    for (others, ending) in [(true, "ended 1 recovered"), (false, "ended 1 task-ended")] {
        let mut policy = Policy::new(WITH_TASKS);
        let subject = late(1, 1, Promise::Span);
        policy.stalled(0, subject, None);
        assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
        policy.ended(0, 1, false);
        // The process, another promise and another task have no effect.
        policy.recovered(1, None);
        policy.recovered(1, Some(of(late(1, 1, Promise::Beat))));
        policy.recovered(1, Some(of(late(1, 2, Promise::Span))));
        policy.task_ended(1, of(late(1, 2, Promise::Span)).task);
        assert_eq!(orders(&mut policy, S), ["start 1 2"]);
        policy.ended(S, 1, true);
        match others {
            true => policy.recovered(1, subject.task),
            false => policy.task_ended(1, of(subject).task),
        }
        assert_eq!(orders(&mut policy, S), [ending]);
        assert_eq!(policy.runs.len(), 0);
    }
}

#[test]
fn many_late_tasks_of_one_process_start_one_command() {
    let mut policy = Policy::new(WITH_TASKS);
    for number in 1..=31 {
        policy.stalled(u64::from(number), late(1, number, Promise::Beat), None);
    }
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);
    policy.ended(S, 1, true);
    policy.stalled(2 * S, late(1, 9, Promise::Span), None);
    assert_eq!(orders(&mut policy, 999 * S), NOTHING);
}

#[test]
fn a_stall_of_the_process_replaces_a_run_for_a_task_but_not_the_other_way_round() {
    let task = late(1, 1, Promise::Span);
    // Not started yet: the command is for the process.
    let mut policy = Policy::new(WITH_TASKS);
    policy.stalled(0, task, None);
    policy.stalled(0, stalled(1), None);
    policy.stalled(0, task, None);
    match policy.next(0) {
        Some(Order::Start { subject, attempt: 1 }) => assert_eq!(subject.task, None),
        other => panic!("{other:?}"),
    }
    // Running: the next command is for the process, even if the task recovers.
    let mut policy = Policy::new(WITH_TASKS);
    policy.stalled(0, task, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.stalled(S, stalled(1), None);
    policy.recovered(1, task.task);
    policy.ended(2 * S, 1, true);
    assert_eq!(orders(&mut policy, 2 * S), ["start 1 1"]);
    // Over, whatever its result: the process gets a run of its own.
    for success in [true, false] {
        let mut policy = Policy::new(Rules { tries: 1, ..WITH_TASKS });
        policy.stalled(0, task, None);
        orders(&mut policy, 0);
        policy.ended(0, 1, success);
        orders(&mut policy, 0);
        policy.stalled(5 * S, stalled(1), None);
        assert_eq!(orders(&mut policy, 5 * S), ["start 1 1"]);
    }
}

#[test]
fn a_late_task_that_was_refused_for_lack_of_capacity_is_checked_again() {
    let mut policy = Policy::new(Rules { capacity: 1, ..WITH_TASKS });
    policy.stalled(0, stalled(1), None);
    policy.stalled(0, late(2, 1, Promise::Progress), None);
    let lines = orders(&mut policy, 0);
    assert_eq!(lines, ["refused 2 outstanding_capacity", "start 1 1"]);
    policy.ended(S, 1, true);
    policy.recovered(1, None);
    assert_eq!(orders(&mut policy, S), ["ended 1 recovered", "recheck [2]"]);
    policy.still_stalled(2 * S, late(2, 1, Promise::Progress), None);
    assert_eq!(orders(&mut policy, 2 * S), ["start 2 1"]);
}
