//! The rules of recovery, in invented time.

use varta::Status;
use varta_observer::{ExitCause, Origin};

use super::*;

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

const RULES: Rules = Rules {
    debounce_ns: S,
    tries: 4,
    backoff_ns: S,
    backoff_max_ns: 60 * S,
    budget: 20,
    window_ns: 60 * S,
    capacity: 1_000,
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
        unconfirmed: false,
        status: Status::Ok,
        payload: 0,
        cause,
        silent_ns: 0,
    }
}

fn stalled(agent: u64) -> Subject {
    subject(agent, Cause::Stall)
}

/// What is ordered at a time, in words.
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
        })
        .collect()
}

#[test]
fn a_silence_starts_one_command_and_its_success_leaves_the_rest_to_the_agent() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1));
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.ended(S, 1, true);
    assert_eq!((orders(&mut policy, 999 * S), policy.next_due()), (vec![], None));
    policy.recovered(1);
    assert_eq!(orders(&mut policy, 1_000 * S), ["ended 1 recovered"]);
}

#[test]
fn only_a_command_that_fails_is_tried_again_with_waits_that_double_to_a_bound() {
    let rules = Rules { tries: 9, backoff_max_ns: 10 * S, ..RULES };
    let mut policy = Policy::new(rules);
    policy.stalled(0, stalled(1));
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
fn a_new_run_begins_with_the_first_wait_again() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1));
    orders(&mut policy, 0);
    policy.ended(0, 1, false);
    assert_eq!(policy.next_due(), Some(S));
    orders(&mut policy, S);
    policy.ended(S, 1, false);
    assert_eq!(policy.next_due(), Some(3 * S));
    policy.recovered(1);
    assert_eq!(orders(&mut policy, 4 * S), ["ended 1 recovered"]);
    policy.stalled(10 * S, stalled(1));
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
fn an_end_with_code_0_is_no_crash() {
    let mut policy = Policy::new(RULES);
    policy.exited(0, subject(1, Cause::Exit(ExitCause::Code(0))));
    assert_eq!(orders(&mut policy, S), Vec::<String>::new());
}

/// The command has killed it, as it should.
#[test]
fn an_exit_during_or_after_a_run_starts_no_other() {
    for success in [true, false] {
        let mut policy = Policy::new(RULES);
        policy.stalled(0, stalled(1));
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
    policy.stalled(0, stalled(1));
    orders(&mut policy, 0);
    policy.ended(1, 1, true);
    policy.exited(2, subject(1, CRASH));
    assert_eq!(orders(&mut policy, 999 * S), ["ended 1 replaced"]);
    assert_eq!(policy.runs.len(), 0);
}

#[test]
fn after_the_last_try_an_exit_starts_nothing_and_a_recovery_clears_the_way() {
    let rules = Rules { tries: 1, ..RULES };
    for recovers in [true, false] {
        let mut policy = Policy::new(rules.clone());
        policy.stalled(0, stalled(1));
        orders(&mut policy, 0);
        policy.ended(0, 1, false);
        assert_eq!(orders(&mut policy, 0), ["gave up 1 1"]);
        if recovers {
            policy.recovered(1);
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
fn what_waits_to_start_is_dropped_when_the_agent_recovers_or_ends_of_itself() {
    let rules = Rules { budget: 1, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=3 {
        policy.stalled(0, stalled(agent));
    }
    orders(&mut policy, 0);
    policy.recovered(2);
    policy.exited(1, subject(3, Cause::Exit(ExitCause::Code(0))));
    policy.ended(1, 1, true);
    let end = 100 * S;
    assert_eq!(
        orders(&mut policy, end),
        ["ended 2 recovered", "ended 3 exited", "budget free 2"]
    );
}

#[test]
fn runs_for_one_pid_keep_their_distance() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1));
    orders(&mut policy, 0);
    policy.ended(10 * MS, 1, true);
    policy.recovered(1);
    policy.stalled(400 * MS, stalled(1));
    assert_eq!(orders(&mut policy, 400 * MS), ["ended 1 recovered", "debounced 1 600"]);
    assert_eq!(policy.next_due(), Some(S));
    // Another pid has nothing to do with it.
    policy.stalled(500 * MS, stalled(2));
    assert_eq!(orders(&mut policy, 500 * MS), ["start 2 1"]);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);
}

#[test]
fn a_second_silence_waits_for_the_command_of_the_first() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1));
    orders(&mut policy, 0);
    policy.recovered(1);
    assert_eq!(orders(&mut policy, S), ["ended 1 recovered"]);
    policy.stalled(5 * S, stalled(1));
    assert_eq!(orders(&mut policy, 6 * S), Vec::<String>::new());
    // How the first went is nothing to the second.
    policy.ended(7 * S, 1, false);
    assert_eq!(orders(&mut policy, 7 * S), ["start 1 1"]);
}

#[test]
fn a_command_that_outlives_the_silence_is_not_repeated() {
    let mut policy = Policy::new(RULES);
    policy.stalled(0, stalled(1));
    orders(&mut policy, 0);
    policy.recovered(1);
    policy.ended(S, 1, false);
    assert_eq!(orders(&mut policy, 999 * S), ["ended 1 recovered"]);
    assert_eq!(policy.runs.len(), 0);
}

#[test]
fn a_mass_stall_spends_the_budget_and_is_said_once() {
    let mut policy = Policy::new(RULES);
    for agent in 1..=300 {
        policy.stalled(agent, stalled(agent));
    }
    let said = orders(&mut policy, S);
    let count =
        |said: &[String], what: &str| said.iter().filter(|line| line.starts_with(what)).count();
    assert_eq!(
        (count(&said, "start"), count(&said, "over budget"), count(&said, "budget spent")),
        (20, 280, 1)
    );
    for agent in 1..=20 {
        policy.ended(2 * S, agent, true);
    }
    assert_eq!(policy.next_due(), Some(61 * S));
    assert_eq!(orders(&mut policy, 61 * S - 1), Vec::<String>::new());
    let said = orders(&mut policy, 61 * S);
    assert_eq!((count(&said, "start"), said.len()), (20, 20));
    for agent in 21..=300 {
        policy.recovered(agent);
    }
    let said = orders(&mut policy, 62 * S);
    assert_eq!(said.last().unwrap(), "budget free 280");
}

#[test]
fn commands_that_never_end_hold_their_place_in_the_budget() {
    let rules = Rules { budget: 2, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=3 {
        policy.stalled(0, stalled(agent));
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
fn who_is_not_fit_to_act_on_is_refused_unless_told_otherwise() {
    let of = |origin, pid, unconfirmed| Subject { origin, pid, unconfirmed, ..stalled(1) };
    let cases = [
        (of(Origin::Network, 0, false), Some("unauthenticated_transport")),
        (of(Origin::SecureNetwork, 0, false), Some("unauthenticated_transport")),
        (of(Origin::KernelAttested, 0, false), Some("cross_namespace_agent")),
        (of(Origin::KernelAttested, 7, true), Some("unconfirmed_agent")),
        (of(Origin::KernelAttested, 7, false), None),
    ];
    for (subject, refusal) in cases {
        let mut policy = Policy::new(RULES);
        policy.stalled(0, subject);
        let expected = match refusal {
            Some(reason) => format!("refused 1 {reason}"),
            None => "start 1 1".to_owned(),
        };
        assert_eq!(orders(&mut policy, 0), [expected]);

        let rules = Rules { for_unconfirmed: true, for_sealed: true, for_plain: true, ..RULES };
        let mut policy = Policy::new(rules);
        policy.stalled(0, subject);
        let nowhere = refusal == Some("cross_namespace_agent");
        let expected = if nowhere { "refused 1 cross_namespace_agent" } else { "start 1 1" };
        assert_eq!(orders(&mut policy, 0), [expected]);
    }
}

#[test]
fn memory_is_bounded_and_runs_that_wait_for_nothing_make_room() {
    let rules = Rules { capacity: 3, budget: 100, ..RULES };
    let mut policy = Policy::new(rules);
    for agent in 1..=4 {
        policy.stalled(0, stalled(agent));
    }
    let said = orders(&mut policy, 0);
    assert_eq!(said.len(), 4);
    assert_eq!(said.iter().filter(|line| *line == "refused 4 outstanding_capacity").count(), 1);
    policy.ended(0, 1, true);
    policy.stalled(5 * S, stalled(5));
    assert_eq!(orders(&mut policy, 5 * S), ["start 5 1"]);
    for agent in 6..500 {
        policy.exited(10 * S * agent, subject(agent, CRASH));
        orders(&mut policy, 10 * S * agent);
        policy.ended(10 * S * agent, agent, true);
        assert!(policy.runs.len() <= 3 && policy.begun.len() <= 3);
    }
}

mod at_random {
    //! Whatever happens in whatever order: one command per agent at a time, never more than
    //! the budget, and nothing left over in the end.

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
        fn one_command_per_agent_and_no_more_than_the_budget(
            steps in proptest::collection::vec(step(), 1..200),
        ) {
            let rules = Rules { budget: 3, window_ns: 5 * S, ..RULES };
            let mut policy = Policy::new(rules);
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
                assert!(running.len() <= 3);
                assert!(starts.iter().filter(|at| **at + 5 * S > now).count() <= 3);
            };
            for step in steps {
                match step {
                    Step::Stall(agent) => policy.stalled(now, stalled(agent)),
                    Step::Exit(agent, clean) => {
                        let code = i32::from(!clean);
                        policy.exited(now, subject(agent, Cause::Exit(ExitCause::Code(code))));
                    }
                    Step::Recover(agent) => policy.recovered(agent),
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
            assert!(running.is_empty() && policy.running == 0);
            assert!(policy.due.is_empty() && policy.waiting.is_empty());
        }
    }
}

#[test]
fn what_was_started_before_recovery_was_turned_off_counts_afterwards() {
    let rules = Rules { budget: 2, debounce_ns: 0, ..RULES };
    let window = rules.window_ns;
    let mut policy = Policy::new(rules);
    policy.stalled(0, stalled(1));
    policy.stalled(0, stalled(2));
    policy.stalled(0, stalled(3));
    let begun = ["start 1 1", "start 2 1", "budget spent", "over budget 3"];
    assert_eq!(orders(&mut policy, 0), begun);
    policy.ended(1, 2, false);
    policy.rest();
    assert_eq!((orders(&mut policy, 1), policy.next_due()), (vec![], None));

    // On again. The first agent's command runs still, and one agent has one at a time.
    policy.stalled(2, stalled(1));
    policy.stalled(2, stalled(2));
    assert_eq!(orders(&mut policy, 2), ["budget spent", "over budget 2"]);
    policy.ended(3, 1, true);
    assert_eq!(orders(&mut policy, 3), ["over budget 1"]);
    let later = ["start 2 1", "start 1 1", "budget free 2"];
    assert_eq!(orders(&mut policy, window), later);
}
