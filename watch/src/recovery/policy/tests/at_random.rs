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
