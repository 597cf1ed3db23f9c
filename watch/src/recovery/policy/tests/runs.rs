//! A run: its commands, its retries, and how it ends.

use super::*;

#[test]
fn a_stall_starts_one_command_and_after_its_success_the_run_ends_with_a_beat() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1), None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.ended(S, 1, true);
    assert_eq!((orders(&mut policy, 999 * S), policy.next_due()), (vec![], None));
    policy.recovered(1, None);
    assert_eq!(orders(&mut policy, 1_000 * S), ["ended 1 recovered"]);
}

#[test]
fn a_failing_command_is_retried_with_waits_that_double_up_to_a_limit() {
    let rules = Rules { tries: 9, backoff_max_ns: 10 * S, ..RULES };
    let mut policy = Policy::new(rules);
    policy.stalled(0, stalled(1), None);
    let mut now = 0;
    let mut waits = Vec::new();
    for attempt in 1..=9 {
        assert_eq!(orders(&mut policy, now), [format!("start 1 {attempt}")]);
        policy.ended(now, 1, false);
        if let Some(due) = policy.next_due() {
            waits.push((due - now) / S);
            assert_eq!(orders(&mut policy, due - 1), NOTHING);
            now = due;
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10, 10]);
    assert_eq!(orders(&mut policy, now), ["gave up 1 9"]);
    assert_eq!(orders(&mut policy, now + 999 * S), NOTHING);
}

#[test]
fn a_new_run_begins_with_the_shortest_wait() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1), None);
    orders(&mut policy, 0);
    policy.ended(0, 1, false);
    assert_eq!(policy.next_due(), Some(S));
    orders(&mut policy, S);
    policy.ended(S, 1, false);
    assert_eq!(policy.next_due(), Some(3 * S));
    policy.recovered(1, None);
    assert_eq!(orders(&mut policy, 4 * S), ["ended 1 recovered"]);
    policy.stalled(10 * S, stalled(1), None);
    assert_eq!(orders(&mut policy, 10 * S), ["start 1 1"]);
    policy.ended(10 * S, 1, false);
    assert_eq!(policy.next_due(), Some(11 * S));
}

#[test]
fn a_crash_starts_a_command_and_its_success_ends_the_run() {
    for cause in [CRASH, Cause::Exit(ExitCause::Code(3)), Cause::Exit(ExitCause::Unknown)] {
        let mut policy = Policy::new(RULES);
        policy.exited(0, subject(1, cause));
        assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
        policy.ended(0, 1, false);
        assert_eq!(orders(&mut policy, S), ["start 1 2"]);
        policy.ended(S, 1, true);
        assert_eq!(orders(&mut policy, S), ["ended 1 replaced"]);
        assert_eq!((policy.runs.len(), policy.next_due()), (0, None));
    }
}

#[test]
fn an_exit_with_code_0_is_not_a_crash() {
    let mut policy = Policy::new(RULES);
    policy.exited(0, subject(1, Cause::Exit(ExitCause::Code(0))));
    assert_eq!(orders(&mut policy, S), NOTHING);
}

/// The command is expected to kill the process.
#[test]
fn an_exit_during_or_after_a_run_starts_no_new_run() {
    for success in [true, false] {
        let mut policy = Policy::new(RULES);
        policy.stalled(0, stalled(1), None);
        assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
        policy.exited(1, subject(1, CRASH));
        assert_eq!(orders(&mut policy, 1), NOTHING);
        policy.ended(2, 1, success);
        if success {
            assert_eq!(orders(&mut policy, 2), ["ended 1 replaced"]);
        } else {
            assert_eq!(orders(&mut policy, 2 + S), ["start 1 2"]);
        }
    }
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1), None);
    orders(&mut policy, 0);
    policy.ended(1, 1, true);
    policy.exited(2, subject(1, CRASH));
    assert_eq!(orders(&mut policy, 999 * S), ["ended 1 replaced"]);
    assert_eq!(policy.runs.len(), 0);
}

#[test]
fn after_the_last_try_only_a_recovery_allows_a_new_run() {
    let rules = Rules { tries: 1, ..RULES };
    for recovers in [true, false] {
        let mut policy = Policy::new(rules.clone());
        policy.stalled(0, stalled(1), None);
        orders(&mut policy, 0);
        policy.ended(0, 1, false);
        assert_eq!(orders(&mut policy, 0), ["gave up 1 1"]);
        if recovers {
            policy.recovered(1, None);
            assert_eq!(orders(&mut policy, 5 * S), ["ended 1 recovered"]);
            policy.exited(5 * S, subject(1, CRASH));
            assert_eq!(orders(&mut policy, 5 * S), ["start 1 1"]);
        } else {
            policy.exited(5 * S, subject(1, CRASH));
            assert_eq!(orders(&mut policy, 5 * S), NOTHING);
            assert_eq!(policy.runs.len(), 0);
        }
    }
}

#[test]
fn a_waiting_start_is_dropped_when_the_agent_recovers_or_exits_by_itself() {
    let rules = Rules { budget: 1, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=3 {
        policy.stalled(0, stalled(agent), None);
    }
    orders(&mut policy, 0);
    policy.recovered(2, None);
    policy.exited(1, subject(3, Cause::Exit(ExitCause::Code(0))));
    policy.ended(1, 1, true);
    let end = 100 * S;
    assert_eq!(
        orders(&mut policy, end),
        ["ended 2 recovered", "ended 3 exited", "budget free 2"]
    );
}

#[test]
fn runs_for_one_pid_are_debounced() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1), None);
    orders(&mut policy, 0);
    policy.ended(10 * MS, 1, true);
    policy.recovered(1, None);
    policy.stalled(400 * MS, stalled(1), None);
    assert_eq!(orders(&mut policy, 400 * MS), ["ended 1 recovered", "debounced 1 600"]);
    assert_eq!(policy.next_due(), Some(S));
    // Another pid is not affected.
    policy.stalled(500 * MS, stalled(2), None);
    assert_eq!(orders(&mut policy, 500 * MS), ["start 2 1"]);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);
}

#[test]
fn a_second_stall_waits_for_the_command_of_the_first() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1), None);
    orders(&mut policy, 0);
    policy.recovered(1, None);
    assert_eq!(orders(&mut policy, S), ["ended 1 recovered"]);
    policy.stalled(5 * S, stalled(1), None);
    assert_eq!(orders(&mut policy, 6 * S), NOTHING);
    // The outcome of the first run does not affect the second.
    policy.ended(7 * S, 1, false);
    assert_eq!(orders(&mut policy, 7 * S), ["start 1 1"]);
}

#[test]
fn a_command_that_fails_after_the_recovery_is_not_retried() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1), None);
    orders(&mut policy, 0);
    policy.recovered(1, None);
    policy.ended(S, 1, false);
    assert_eq!(orders(&mut policy, 999 * S), ["ended 1 recovered"]);
    assert_eq!(policy.runs.len(), 0);
}
