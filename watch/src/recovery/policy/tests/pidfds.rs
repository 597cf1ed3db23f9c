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
