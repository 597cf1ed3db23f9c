//! The budget of commands, and the memory for runs, are bounded.

use super::*;

#[test]
fn a_mass_stall_spends_the_budget_and_is_reported_once() {
    let mut policy = Policy::new(RULES);
    for agent in 1..=300 {
        policy.stalled(agent, stalled(agent), None);
    }
    let lines = orders(&mut policy, S);
    assert_eq!(
        (count(&lines, "start"), count(&lines, "over budget"), count(&lines, "budget spent")),
        (20, 280, 1)
    );
    for agent in 1..=20 {
        policy.ended(2 * S, agent, true);
    }
    assert_eq!(policy.next_due(), Some(61 * S));
    assert_eq!(orders(&mut policy, 61 * S - 1), NOTHING);
    let lines = orders(&mut policy, 61 * S);
    assert_eq!((count(&lines, "start"), lines.len()), (20, 20));
    for agent in 21..=300 {
        policy.recovered(agent, None);
    }
    let lines = orders(&mut policy, 62 * S);
    assert_eq!(lines.last().unwrap(), "budget free 280");
}

#[test]
fn commands_that_never_exit_keep_counting_for_the_budget() {
    let rules = Rules { budget: 2, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=3 {
        policy.stalled(0, stalled(agent), None);
    }
    assert_eq!(
        orders(&mut policy, 0),
        ["start 1 1", "start 2 1", "budget spent", "over budget 3"]
    );
    assert_eq!((orders(&mut policy, 999 * S), policy.next_due()), (vec![], None));
    policy.ended(999 * S, 1, true);
    assert_eq!(orders(&mut policy, 999 * S), ["start 3 1", "budget free 1"]);
}

#[test]
fn memory_is_bounded_and_finished_runs_make_room() {
    let rules = Rules { capacity: 3, budget: 100, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=4 {
        policy.stalled(0, stalled(agent), None);
    }
    let lines = orders(&mut policy, 0);
    assert_eq!(lines.len(), 4, "{lines:?}");
    assert_eq!(
        lines.iter().filter(|line| *line == "refused 4 outstanding_capacity").count(),
        1
    );
    policy.ended(0, 1, true);
    policy.stalled(5 * S, stalled(5), None);
    assert_eq!(orders(&mut policy, 5 * S), ["start 5 1"]);
    for agent in 6..500 {
        policy.exited(10 * S * agent, subject(agent, CRASH));
        orders(&mut policy, 10 * S * agent);
        policy.ended(10 * S * agent, agent, true);
        assert!(policy.runs.len() <= 3 && policy.begun.len() <= 3);
    }
}

#[test]
fn commands_started_before_recovery_was_turned_off_still_count_afterwards() {
    let rules = Rules { budget: 2, debounce_ns: 0, ..RULES };
    let window = rules.window_ns;
    let mut policy = Policy::new(rules);
    policy.stalled(0, stalled(1), None);
    policy.stalled(0, stalled(2), None);
    policy.stalled(0, stalled(3), None);
    let begun = ["start 1 1", "start 2 1", "budget spent", "over budget 3"];
    assert_eq!(orders(&mut policy, 0), begun);
    policy.ended(1, 2, false);
    policy.suspend();
    assert_eq!((orders(&mut policy, 1), policy.next_due()), (vec![], None));

    // On again. The first agent's command is still running, and an agent has one at a time.
    policy.stalled(2, stalled(1), None);
    policy.stalled(2, stalled(2), None);
    assert_eq!(orders(&mut policy, 2), ["budget spent", "over budget 2"]);
    policy.ended(3, 1, true);
    assert_eq!(orders(&mut policy, 3), ["over budget 1"]);
    let later = ["start 2 1", "start 1 1", "budget free 2"];
    assert_eq!(orders(&mut policy, window), later);
}
