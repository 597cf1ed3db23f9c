//! What the cause of a silence changes.

use varta_observer::{Cause as Silence, CauseFlags, CauseInfo};

use super::super::causes::OWNER_WAIT_NS;
use super::*;
use crate::lookup::{Does, LockOwner};

/// An agent with a threshold of a second that has stalled for a reason.
fn because(cause: Silence, flags: CauseFlags) -> Subject {
    let mut info = CauseInfo::UNKNOWN;
    (info.why.cause, info.why.flags) = (cause, flags);
    Subject { why: Some(info), threshold_ns: S, ..stalled(1) }
}

fn by_cause(cause: Silence) -> Subject {
    because(cause, CauseFlags::default())
}

fn rules_for(list: &str) -> Rules {
    Rules { on: Triggers::parse(list).unwrap(), ..RULES }
}

#[test]
fn no_command_starts_for_an_agent_that_is_held_from_outside_until_that_ends() {
    for cause in Silence::ALL {
        if cause.class() != CauseClass::Outside {
            continue;
        }
        let mut policy = Policy::new(rules_for("hung,kernel,crash"));
        policy.stalled(0, by_cause(cause), None);
        assert_eq!(orders(&mut policy, 0), ["refused 1 held_from_outside"], "{cause}");
        assert_eq!((orders(&mut policy, 999 * S), policy.next_due()), (vec![], None));
        // From then on it has a whole threshold.
        policy.explained(1_000 * S, by_cause(Silence::Lock), None);
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
    let hung = by_cause(Silence::Lock);
    policy.stalled(0, hung, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.ended(0, 1, false);
    policy.explained(0, by_cause(Silence::Frozen), None);
    assert_eq!(orders(&mut policy, 9 * S), ["refused 1 held_from_outside"]);

    // While the command runs.
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, hung, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);
    policy.explained(0, by_cause(Silence::Stopped), None);
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
    let in_kernel = by_cause(Silence::Io);
    // It has been silent for one threshold already.
    policy.stalled(0, in_kernel, None);
    assert_eq!(orders(&mut policy, 2 * S - 1), NOTHING);
    assert_eq!(orders(&mut policy, 2 * S), ["start 1 1"]);
    policy.ended(3 * S, 1, false);
    for cause in [Silence::Busy, Silence::Stopped] {
        policy.explained(4 * S, by_cause(cause), None);
        assert_eq!(orders(&mut policy, 999 * S), NOTHING, "{cause}");
    }
    policy.exited(1_000 * S, Subject { cause: CRASH, ..in_kernel });
    assert_eq!(orders(&mut policy, 1_000 * S), ["start 1 2"]);

    // If it turns out to hang by itself, it does not wait any longer.
    let mut policy = Policy::new(rules_for("hung,kernel,crash"));
    policy.stalled(0, in_kernel, None);
    policy.explained(S, by_cause(Silence::Busy), None);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);
}

#[test]
fn an_unknown_cause_is_waited_for_only_if_it_can_become_known() {
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, by_cause(Silence::Unknown), None);
    assert_eq!(orders(&mut policy, S - 1), NOTHING);
    assert_eq!(orders(&mut policy, S), ["start 1 1"]);

    let mut policy = Policy::new(rules_for("hung"));
    let hidden = because(Silence::Unknown, CauseFlags::NO_PERMISSION);
    policy.stalled(0, hidden, None);
    assert_eq!(orders(&mut policy, 0), ["start 1 1"]);

    // A program that was replaced by another is not what was watched.
    let mut policy = Policy::new(rules_for("hung"));
    policy.stalled(0, by_cause(Silence::Exec), None);
    assert_eq!(orders(&mut policy, 9 * S), NOTHING);
}

#[test]
fn a_command_waits_a_moment_for_the_owner_of_the_lock() {
    let awaiting = Subject { awaits_owner: true, ..by_cause(Silence::Lock) };
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
    policy.stalled(0, by_cause(Silence::Stopped), None);
    orders(&mut policy, 0);
    policy.explained(0, awaiting, None);
    policy.owner_found(1, 1, 0, owner);
    assert_eq!(started(&mut policy, S - 1), None);
    assert_eq!(started(&mut policy, S), Some(Some(owner)));
}
