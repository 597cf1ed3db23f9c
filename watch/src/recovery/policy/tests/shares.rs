//! One user's crashes do not block recovery for others, and refused agents get their turn.

use super::*;

const NOBODY: u32 = 65_534;

fn crash(agent: u64, program: &str) -> Subject {
    of_uid(NOBODY, program, subject(agent, CRASH))
}

#[test]
fn a_flood_of_crashes_does_not_delay_or_displace_other_users() {
    let mut policy = Policy::new(Rules { capacity: 100, ..RULES });
    for agent in 1..=6_000 {
        policy.exited(agent, crash(agent, "crasher"));
    }
    let lines = orders(&mut policy, S);
    assert_eq!((count(&lines, "start"), count(&lines, "refused")), (20, 5_900));
    // This user has had no command in this window, so one is allowed despite the budget.
    policy.stalled(S, stalled(7_000), None);
    let lines = orders(&mut policy, S);
    assert_eq!(lines, ["refused 100 outstanding_capacity", "start 7000 1"]);
    // A second one waits for the budget, but not for the starts before it.
    policy.stalled(2 * S, stalled(7_001), None);
    let lines = orders(&mut policy, 2 * S);
    assert_eq!(lines, ["refused 99 outstanding_capacity", "over budget 7001"]);
    (1..=20).for_each(|agent| policy.ended(3 * S, agent, true));
    policy.ended(3 * S, 7_000, true);
    let lines = orders(&mut policy, 62 * S);
    let starts: Vec<_> = lines.iter().filter(|line| line.starts_with("start")).collect();
    assert_eq!(starts[..2], ["start 21 1", "start 7001 1"]);
    assert_eq!(count(&lines, "start"), 20);
}

#[test]
fn commands_that_never_exit_leave_one_start_for_each_other_user() {
    let mut policy = Policy::new(Rules { budget: 2, ..RULES });
    (1..=9).for_each(|agent| policy.exited(0, crash(agent, "crasher")));
    assert_eq!(count(&orders(&mut policy, 0), "start"), 2);
    for (agent, starts) in [(10, 1), (11, 1), (12, 0)] {
        let uid = u32::try_from(agent).unwrap();
        policy.stalled(999 * S, of_uid(uid, "service", stalled(agent)), None);
        // The total is at most twice the budget.
        assert_eq!(count(&orders(&mut policy, 999 * S), "start"), starts);
    }
}

#[test]
fn users_take_turns_and_so_do_the_programs_of_one_user() {
    let rules = Rules { budget: 1, window_ns: S, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=6 {
        policy.stalled(0, of_uid(1, "a", stalled(agent)), None);
    }
    for agent in 7..=8 {
        policy.stalled(1, of_uid(1, "b", stalled(agent)), None);
        policy.stalled(1, of_uid(2, "a", stalled(agent + 10)), None);
    }
    let mut started = Vec::new();
    for now in (1..20).map(|second| second * S) {
        while let Some(order) = policy.next(now) {
            if let Order::Start { subject, .. } = order {
                started.push(subject.agent);
                policy.ended(now, subject.agent, true);
            }
        }
    }
    assert_eq!(started, [1, 17, 7, 18, 2, 8, 3, 4, 5, 6]);
}

#[test]
fn a_program_does_not_use_up_the_capacity_of_its_users_other_programs() {
    let mut policy = Policy::new(Rules { capacity: 10, budget: 1, ..RULES });
    (1..=20).for_each(|agent| policy.exited(agent, crash(agent, "crasher")));
    orders(&mut policy, S);
    policy.exited(S, crash(21, "service"));
    let lines = orders(&mut policy, S);
    assert_eq!(lines, ["refused 10 outstanding_capacity", "over budget 21"]);
}

#[test]
fn a_refused_stall_gets_its_run_when_there_is_room() {
    let mut policy = Policy::new(Rules { capacity: 2, budget: 1, ..RULES });
    (1..=4).for_each(|agent| policy.stalled(0, stalled(agent), None));
    let lines = orders(&mut policy, 0);
    assert_eq!(count(&lines, "refused"), 2);
    // A refused crash is not checked again, nor is an agent that beats again.
    policy.exited(0, subject(5, CRASH));
    policy.recovered(4, None);
    assert_eq!(orders(&mut policy, 0), ["refused 5 outstanding_capacity"]);
    policy.ended(S, 1, true);
    assert_eq!(orders(&mut policy, S), ["recheck [3]"]);
    policy.still_stalled(S, stalled(3), None);
    assert_eq!(orders(&mut policy, S), ["over budget 3"]);
    assert_eq!(orders(&mut policy, 60 * S), ["start 2 1"]);
}

#[test]
fn a_repeated_refusal_is_reported_once() {
    let mut policy = Policy::new(Rules { capacity: 1, ..RULES });
    policy.stalled(0, stalled(1), None);
    policy.stalled(0, stalled(2), None);
    assert_eq!(orders(&mut policy, 0), ["refused 2 outstanding_capacity", "start 1 1"]);
    policy.still_stalled(0, stalled(2), None);
    assert_eq!(orders(&mut policy, 0), NOTHING);
    policy.ended(S, 1, true);
    assert_eq!(orders(&mut policy, S), ["recheck [2]"]);
}

#[test]
fn a_command_for_a_process_that_exited_too_long_ago_is_not_run() {
    let mut policy = Policy::new(Rules { budget: 1, exit_wait_ns: 90 * S, ..RULES });
    (1..=4).for_each(|agent| policy.exited(0, crash(agent, "crasher")));
    policy.stalled(0, stalled(5), None);
    orders(&mut policy, 0);
    assert_eq!(orders(&mut policy, 89 * S), NOTHING);
    assert_eq!(policy.next_due(), Some(90 * S));
    let lines = orders(&mut policy, 90 * S);
    assert_eq!(lines[..3], [2, 3, 4].map(|agent| format!("refused {agent} waited_too_long")));
}

#[test]
fn a_start_that_does_not_take_place_uses_no_budget() {
    let mut policy = Policy::new(Rules { budget: 1, ..RULES });
    (1..=2).for_each(|agent| policy.exited(0, crash(agent, "crasher")));
    assert!(matches!(policy.next(0), Some(Order::Start { .. })));
    policy.not_started(crash(1, "crasher"), Reason::ReusedPid);
    assert_eq!(orders(&mut policy, 0), ["refused 1 reused_pid", "start 2 1"]);
}
