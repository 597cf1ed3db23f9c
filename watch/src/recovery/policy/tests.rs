//! Tests of the recovery policy, in simulated time.

use varta::{Promise, Status, TaskName};
use varta_observer::{CauseFlags, CauseInfo, ExitCause, Label, Origin, Task};

use super::causes::OWNER_WAIT_NS;
use super::*;
use crate::flags::Triggers;
use crate::lookup::{Does, LockOwner};

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
            assert_eq!(orders(&mut policy, due - 1), Vec::<String>::new());
            now = due;
        }
    }
    assert_eq!(waits, [1, 2, 4, 8, 10, 10, 10, 10]);
    assert_eq!(orders(&mut policy, now), ["gave up 1 9"]);
    assert_eq!(orders(&mut policy, now + 999 * S), Vec::<String>::new());
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
    assert_eq!(orders(&mut policy, S), Vec::<String>::new());
}

/// The command is expected to kill the process.
#[test]
fn an_exit_during_or_after_a_run_starts_no_new_run() {
    for success in [true, false] {
        let mut policy = Policy::new(RULES);
        policy.stalled(0, stalled(1), None);
        assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
        policy.exited(1, subject(1, CRASH));
        assert_eq!(orders(&mut policy, 1), Vec::<String>::new());
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
            assert_eq!(orders(&mut policy, 5 * S), Vec::<String>::new());
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
    assert_eq!(orders(&mut policy, 6 * S), Vec::<String>::new());
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
    assert_eq!(orders(&mut policy, 61 * S - 1), Vec::<String>::new());
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
fn an_agent_that_cannot_be_trusted_is_refused_unless_a_flag_allows_it() {
    let of = |origin, pid, unconfirmed| Subject { origin, pid, unconfirmed, ..stalled(1) };
    let cases = [
        (of(Origin::Network, 0, false), Some("unauthenticated_transport")),
        (of(Origin::SecureNetwork, 0, false), Some("unauthenticated_transport")),
        (of(Origin::KernelAttested, 0, false), Some("cross_namespace_agent")),
        (of(Origin::KernelAttested, 7, true), Some("unconfirmed_agent")),
        (of(Origin::KernelAttested, 7, false), None),
        (Subject { deaf: true, ..stalled(1) }, Some("deaf_observer")),
    ];
    for (subject, refusal) in cases {
        let mut policy = Policy::new(RULES);
        policy.stalled(0, subject, None);
        let expected = match refusal {
            Some(reason) => format!("refused 1 {reason}"),
            None => "start 1 1".to_owned(),
        };
        assert_eq!(orders(&mut policy, 0), [expected]);

        let rules = Rules { for_unconfirmed: true, for_sealed: true, for_plain: true, ..RULES };
        let mut policy = Policy::new(rules);
        policy.stalled(0, subject, None);
        let always = ["cross_namespace_agent", "deaf_observer"];
        let expected = match refusal.filter(|reason| always.contains(reason)) {
            Some(reason) => format!("refused 1 {reason}"),
            None => "start 1 1".to_owned(),
        };
        assert_eq!(orders(&mut policy, 0), [expected]);
    }
    // A sealed agent whose frames may be a replay needs two flags.
    let mut policy = Policy::new(Rules { for_sealed: true, ..RULES });
    policy.stalled(0, of(Origin::SecureNetwork, 0, true), None);
    assert_eq!(orders(&mut policy, 0), ["refused 1 unconfirmed_agent"]);
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

mod shared {
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
        assert_eq!(orders(&mut policy, 0), Vec::<String>::new());
        policy.ended(S, 1, true);
        assert_eq!(orders(&mut policy, S), ["recheck [2]"]);
    }

    #[test]
    fn a_command_for_a_process_that_exited_too_long_ago_is_not_run() {
        let mut policy = Policy::new(Rules { budget: 1, exit_wait_ns: 90 * S, ..RULES });
        (1..=4).for_each(|agent| policy.exited(0, crash(agent, "crasher")));
        policy.stalled(0, stalled(5), None);
        orders(&mut policy, 0);
        assert_eq!(orders(&mut policy, 89 * S), Vec::<String>::new());
        assert_eq!(policy.next_due(), Some(90 * S));
        let lines = orders(&mut policy, 90 * S);
        assert_eq!(
            lines[..3],
            [2, 3, 4].map(|agent| format!("refused {agent} waited_too_long"))
        );
    }

    #[test]
    fn a_start_that_does_not_take_place_uses_no_budget() {
        let mut policy = Policy::new(Rules { budget: 1, ..RULES });
        (1..=2).for_each(|agent| policy.exited(0, crash(agent, "crasher")));
        assert!(matches!(policy.next(0), Some(Order::Start { .. })));
        policy.not_started(crash(1, "crasher"), Reason::ReusedPid);
        assert_eq!(orders(&mut policy, 0), ["refused 1 reused_pid", "start 2 1"]);
    }
}

mod pidfds {
    //! A run owns its descriptor, and closes it as soon as no command can need it.

    use std::fs;

    use rustix::process::{PidfdFlags, getpid, pidfd_open};

    use super::*;

    fn pidfd() -> Option<OwnedFd> {
        Some(pidfd_open(getpid(), PidfdFlags::empty()).unwrap())
    }

    /// The number of pidfds of this process. No other test opens any.
    fn open() -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let links = links.filter_map(|link| fs::read_link(link.unwrap().path()).ok());
        links.filter(|to| to.to_string_lossy().contains("pidfd")).count()
    }

    /// One single test, because it counts the descriptors of the whole process.
    #[test]
    fn the_descriptor_is_closed_however_a_stall_ends() {
        let before = open();
        let rules = Rules { capacity: 50, pidfds: 20, debounce_ns: 0, tries: 1, ..RULES };
        let mut policy = Policy::new(rules);
        // Ten thousand are refused: first unconfirmed agents, then agents without room.
        for agent in 1..=9_980 {
            let refused = Subject { unconfirmed: true, ..stalled(agent) };
            policy.stalled(0, refused, pidfd());
            policy.exited(0, Subject { cause: Cause::Exit(ExitCause::Code(0)), ..refused });
        }
        (10_001..=10_070).for_each(|agent| policy.stalled(0, stalled(agent), pidfd()));
        let lines = orders(&mut policy, 0);
        assert_eq!((count(&lines, "refused"), count(&lines, "start")), (10_000, 20));
        assert_eq!(open() - before, 20);
        assert!((10_001..=10_020).all(|agent| policy.pidfd(agent).is_some()));

        // Runs that got no pidfd for lack of room get one when others end.
        for agent in 10_001..=10_020 {
            match agent % 4 {
                0 => policy.ended(0, agent, true),
                1 => policy.ended(0, agent, false),
                2 => policy.recovered(agent, None),
                _ => policy.exited(0, subject(agent, CRASH)),
            }
        }
        assert_eq!(open(), before);
        (10_001..=10_020).for_each(|agent| policy.ended(0, agent, true));
        let lines = orders(&mut policy, 0);
        assert!(lines.last().unwrap().starts_with("recheck [10021, "), "{lines:?}");
        policy.still_stalled(0, stalled(10_021), pidfd());
        policy.still_stalled(0, stalled(10_022), pidfd());
        assert!(policy.pidfd(10_021).is_some() && open() - before == 2);

        // A stall of another user gets a pidfd even if one user holds all of them.
        (10_023..=10_040).for_each(|agent| policy.still_stalled(0, stalled(agent), pidfd()));
        assert_eq!(open() - before, 20);
        policy.stalled(0, of_uid(1, "service", stalled(20_000)), pidfd());
        assert!(policy.pidfd(20_000).is_some() && policy.pidfd(10_040).is_none());
        assert_eq!(open() - before, 20);

        policy.exited(0, subject(10_021, CRASH));
        policy.exited(0, subject(10_022, Cause::Exit(ExitCause::Code(0))));
        policy.recovered(10_023, None);
        assert_eq!(open() - before, 17);
        policy.suspend();
        assert_eq!(open(), before);
    }
}

mod at_random {
    //! For any sequence of events: an agent has one command at a time, the budget is exceeded
    //! at most twofold, and nothing is left over in the end.

    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Stall(u64),
        Exit(u64, bool),
        Recover(u64),
        End(usize, bool),
        Wait(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1..8_u64).prop_map(Step::Stall),
            (1..8_u64, any::<bool>()).prop_map(|(agent, clean)| Step::Exit(agent, clean)),
            (1..8_u64).prop_map(Step::Recover),
            (0..8_usize, any::<bool>()).prop_map(|(at, success)| Step::End(at, success)),
            (1..100_u64).prop_map(|time| Step::Wait(time * 100 * MS)),
        ]
    }

    proptest! {
        #[test]
        fn one_command_per_agent_and_no_more_than_twice_the_budget(
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let rules = Rules { budget: 3, window_ns: 5 * S, capacity: 6, ..RULES };
            let mut policy = Policy::new(rules);
            let subject = |agent, cause| {
                let program = if agent % 2 == 0 { "a" } else { "b" };
                of_uid(u32::from(agent < 4), program, subject(agent, cause))
            };
            let mut now = 0;
            let mut running: Vec<u64> = Vec::new();
            let mut starts: Vec<u64> = Vec::new();
            let mut take = |policy: &mut Policy, running: &mut Vec<u64>, now: u64| {
                while let Some(order) = policy.next(now) {
                    if let Order::Start { subject, attempt } = order {
                        assert!(attempt <= 4);
                        running.push(subject.agent);
                        starts.push(now);
                    }
                }
                let distinct: HashSet<_> = running.iter().collect();
                assert_eq!(distinct.len(), running.len());
                assert!(running.len() <= 6);
                assert!(starts.iter().filter(|at| **at + 5 * S > now).count() <= 6);
                // The sums over all shares match the totals.
                assert_eq!(policy.planned.len(), policy.due.len() + policy.waiting.len());
                assert!(policy.runs.len() <= 6 && policy.refused_stalls.len() <= 6);
            };
            for step in steps {
                match step {
                    Step::Stall(agent) => policy.stalled(now, subject(agent, Cause::Stall), None),
                    Step::Exit(agent, clean) => {
                        let code = i32::from(!clean);
                        policy.exited(now, subject(agent, Cause::Exit(ExitCause::Code(code))));
                    }
                    Step::Recover(agent) => policy.recovered(agent, None),
                    Step::End(at, success) if at < running.len() => {
                        let agent = running.swap_remove(at);
                        policy.ended(now, agent, success);
                    }
                    Step::End(..) => {}
                    Step::Wait(time) => now += time,
                }
                take(&mut policy, &mut running, now);
            }
            for _ in 0..1_000 {
                for agent in std::mem::take(&mut running) {
                    policy.ended(now, agent, true);
                }
                take(&mut policy, &mut running, now);
                now = now.max(policy.next_due().unwrap_or(now));
                if running.is_empty() && policy.next_due().is_none() {
                    break;
                }
                take(&mut policy, &mut running, now);
            }
            assert!(running.is_empty() && policy.budget.running() == 0);
            assert!(policy.due.is_empty() && policy.waiting.is_empty());
            assert!(policy.planned.is_empty() && policy.exited.is_empty());
        }
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

const NOTHING: [&str; 0] = [];

mod tasks {
    //! Runs for late tasks, which begin only if the operator asks for them.

    use super::*;

    const WITH_TASKS: Rules = Rules {
        on: Triggers::of(&[Trigger::Hung, Trigger::Crash, Trigger::LateTask]),
        ..RULES
    };

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
}

/// An agent with a threshold of a second that has stalled for a reason.
fn because(cause: varta_observer::Cause, flags: CauseFlags) -> Subject {
    let mut info = CauseInfo::UNKNOWN;
    (info.why.cause, info.why.flags) = (cause, flags);
    Subject { why: Some(info), threshold_ns: S, ..stalled(1) }
}

fn by_cause(cause: varta_observer::Cause) -> Subject {
    because(cause, CauseFlags::default())
}

fn rules_for(list: &str) -> Rules {
    Rules { on: Triggers::parse(list).unwrap(), ..RULES }
}

#[test]
fn no_command_starts_for_an_agent_that_is_held_from_outside_until_that_ends() {
    for cause in varta_observer::Cause::ALL {
        if cause.class() != CauseClass::Outside {
            continue;
        }
        let mut policy = Policy::new(rules_for("hung,kernel,crash"));
        policy.stalled(0, by_cause(cause), None);
        assert_eq!(orders(&mut policy, 0), ["refused 1 held_from_outside"], "{cause}");
        assert_eq!((orders(&mut policy, 999 * S), policy.next_due()), (vec![], None));
        // From then on it has a whole threshold.
        policy.explained(1_000 * S, by_cause(varta_observer::Cause::Lock), None);
        assert_eq!(orders(&mut policy, 1_001 * S - 1), NOTHING, "{cause}");
        assert_eq!(orders(&mut policy, 1_001 * S), ["start 1 1"], "{cause}");

        let mut policy = Policy::new(rules_for(cause.name()));
        policy.stalled(0, by_cause(cause), None);
        assert_eq!(orders(&mut policy, 0), ["start 1 1"], "{cause} was named");
    }
}

#[test]
fn a_start_that_waits_is_cancelled_if_something_outside_holds_the_agent() {
    let mut policy = Policy::new(rules_for("hung"));
    let hung = by_cause(varta_observer::Cause::Lock);
    policy.stalled(0, hung, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.ended(0, 1, false);
    policy.explained(0, by_cause(varta_observer::Cause::Frozen), None);
    assert_eq!(orders(&mut policy, 9 * S), ["refused 1 held_from_outside"]);

    // While the command runs.
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, hung, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.explained(0, by_cause(varta_observer::Cause::Stopped), None);
    policy.ended(0, 1, false);
    assert_eq!(orders(&mut policy, 9 * S), ["refused 1 held_from_outside"]);

    // At the last moment.
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, hung, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    assert!(!policy.may_start(0, 1, true));
    policy.explained(1, hung, None);
    assert_eq!(orders(&mut policy, S - 1), NOTHING);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);
    assert!(!policy.may_start(S, 1, false), "the hold has ended less than a threshold ago");
    assert_eq!(orders(&mut policy, 2 * S), ["start 1 1"]);
    assert!(policy.may_start(2 * S, 1, false));
}

#[test]
fn an_agent_in_the_kernel_gets_three_thresholds_and_no_second_try_before_its_exit() {
    let mut policy = Policy::new(rules_for("hung,kernel,crash"));
    let in_kernel = by_cause(varta_observer::Cause::Io);
    // It has been silent for one threshold already.
    policy.stalled(0, in_kernel, None);
    assert_eq!(orders(&mut policy, 2 * S - 1), NOTHING);
    assert_eq!(orders(&mut policy, 2 * S), ["start 1 1"]);
    policy.ended(3 * S, 1, false);
    for cause in [varta_observer::Cause::Busy, varta_observer::Cause::Stopped] {
        policy.explained(4 * S, by_cause(cause), None);
        assert_eq!(orders(&mut policy, 999 * S), NOTHING, "{cause}");
    }
    policy.exited(1_000 * S, Subject { cause: CRASH, ..in_kernel });
    assert_eq!(orders(&mut policy, 1_000 * S), ["start 1 2"]);

    // If it turns out to hang by itself, it does not wait any longer.
    let mut policy = Policy::new(rules_for("hung,kernel,crash"));
    policy.stalled(0, in_kernel, None);
    policy.explained(S, by_cause(varta_observer::Cause::Busy), None);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);
}

#[test]
fn an_unknown_cause_is_waited_for_only_if_it_can_become_known() {
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, by_cause(varta_observer::Cause::Unknown), None);
    assert_eq!(orders(&mut policy, S - 1), NOTHING);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);

    let mut policy = Policy::new(rules_for("hung"));
    let hidden = because(varta_observer::Cause::Unknown, CauseFlags::NO_PERMISSION);
    policy.stalled(0, hidden, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);

    // A program that was replaced by another is not what was watched.
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, by_cause(varta_observer::Cause::Exec), None);
    assert_eq!(orders(&mut policy, 9 * S), NOTHING);
}

#[test]
fn a_command_waits_a_moment_for_the_owner_of_the_lock() {
    let awaiting = Subject { awaits_owner: true, ..by_cause(varta_observer::Cause::Lock) };
    let owner = LockOwner { thread: 17, does: Does::Runs };
    let started = |policy: &mut Policy, now| match policy.next(now) {
        Some(Order::Start { subject, .. }) => Some(subject.owner),
        _ => None,
    };
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, awaiting, None);
    assert_eq!(started(&mut policy, OWNER_WAIT_NS - 1), None);
    policy.owner_found(1, 1, 5, owner);
    assert_eq!(started(&mut policy, 1), None, "that was about a task");
    policy.owner_found(1, 1, 0, owner);
    assert_eq!(started(&mut policy, 1), Some(Some(owner)));

    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, awaiting, None);
    assert_eq!(started(&mut policy, OWNER_WAIT_NS), Some(None), "there is no answer");
    policy.owner_found(S, 1, 0, owner);
    policy.ended(S, 1, false);
    let again = policy.next_due().unwrap();
    assert_eq!(started(&mut policy, again), Some(Some(owner)), "the second try has it");

    // It does not shorten other waits.
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, by_cause(varta_observer::Cause::Stopped), None);
    orders(&mut policy, 0);
    policy.explained(0, awaiting, None);
    policy.owner_found(1, 1, 0, owner);
    assert_eq!(started(&mut policy, S - 1), None);
    assert_eq!(started(&mut policy, S), Some(Some(owner)));
}
