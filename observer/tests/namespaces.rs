//! Beats of other users and from other pid namespaces count only if they are admitted.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "namespaces and forged credentials")]

mod support;

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use support::{
    Child, Ended, Folder, NEVER, TestAgent, agent_info, assert_accounted, become_user, frame,
    in_new_pid_namespace, is, kill, names, needs_root, poll_all, poll_until, send_as,
    shared_numbers, skipped, wait_until,
};
use varta_observer::{Builder, ExitCause, Origin, Uids, What};

const STRANGER: u32 = 54_321;

fn listening(path: &Path) -> Builder {
    let endpoint = path.to_str().unwrap().parse().unwrap();
    Builder::new().listen(endpoint).threshold(NEVER)
}

#[test]
fn only_beats_of_admitted_users_count() {
    if !needs_root() {
        return;
    }
    for (uids, admitted) in [
        (None, false),
        (Some(Uids::Any), true),
        (Some(Uids::List([1, STRANGER].into())), true),
        (Some(Uids::List([0, 1].into())), false),
    ] {
        let folder = Folder::new();
        let path = folder.join("varta.sock");
        let mut builder = listening(&path).socket_mode(0o666);
        if let Some(uids) = uids {
            builder = builder.uids(uids);
        }
        let mut observer = builder.bind().unwrap();
        let mut stranger = TestAgent::after(&path, || become_user(STRANGER));
        stranger.beat(1);
        stranger.send(&frame(1 << 20, 2));
        stranger.send(&[7; 3]);
        stranger.exit(3);
        stranger.reap();
        let stats = if admitted {
            let events = poll_until(&mut observer, is("exit"));
            assert_eq!(names(&events), ["beat", "auth-failure", "exit"]);
            observer.stats().unwrap()
        } else {
            assert!(names(&poll_all(&mut observer)).is_empty());
            let stats = observer.stats().unwrap();
            assert_eq!(stats.uid_refused, 3);
            stats
        };
        assert_eq!(stats.received, 3);
        assert_accounted(&observer, admitted.into());
    }
}

#[test]
fn the_uid_of_an_agent_is_reported() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = listening(&path).socket_mode(0o666).uids(Uids::Any).bind().unwrap();
    let stranger = TestAgent::after(&path, || become_user(STRANGER));
    stranger.beat(1);
    poll_until(&mut observer, is("beat"));
    assert_eq!(agent_info(&observer, stranger.pid()).unwrap().uid, Some(STRANGER));
}

/// The observer is in the outer namespace, and the sender in a nested one.
#[test]
fn a_sender_in_a_nested_namespace_counts_only_if_admitted() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    for admitted in [false, true] {
        let path = folder.join("varta.sock");
        let mut observer = listening(&path).namespaces(admitted).bind().unwrap();
        // Not its first process, which has pid 1.
        let (_first, mut inside) = in_new_pid_namespace(|| {
            (Child::start(|| wait_until(|| false)), TestAgent::at(&path))
        });
        inside.send(&frame(2, 1));
        // A sender outside the namespace that claims the same pid is refused.
        let outside_sender = TestAgent::at(&path);
        outside_sender.send(&frame(2, 1));
        let events = poll_until(&mut observer, is("auth-failure"));
        let expected = What::AuthFailure { claimed_pid: 2, true_pid: outside_sender.pid() };
        assert_eq!(events.last().unwrap().what, expected);
        if !admitted {
            assert_eq!(names(&events), ["auth-failure"]);
            assert_eq!(observer.stats().unwrap().namespace_refused, 1);
            assert_accounted(&observer, 0);
            continue;
        }
        assert_eq!(names(&events), ["beat", "auth-failure"]);
        let about = events.iter().find_map(|event| event.about).unwrap();
        assert_eq!((about.pid, about.claimed_pid), (inside.pid(), 2));
        assert_eq!(about.origin, Origin::KernelAttested);
        // So is the sender itself if it claims another pid, even its pid in the outer
        // namespace.
        inside.send(&frame(inside.pid(), 2));
        poll_until(&mut observer, is("auth-failure"));
        inside.send(&frame(2, 2));
        assert_eq!(poll_until(&mut observer, is("beat")).pop().unwrap().about, Some(about));
        kill(inside.pid(), libc::SIGKILL);
        let exit = poll_until(&mut observer, is("exit")).pop().unwrap();
        assert_eq!(exit.about, Some(about));
        let What::Exit { cause, .. } = exit.what else { panic!("{exit}") };
        assert_eq!(cause, ExitCause::Signal(libc::SIGKILL));
        assert_accounted(&observer, 2);
        inside.reap();
    }
}

/// The observer is in a nested namespace, in which the sender has no pid.
#[test]
fn a_sender_outside_the_observers_namespace_counts_only_if_admitted() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    for admitted in [false, true] {
        let path = folder.join("varta.sock");
        let [bound, received] = shared_numbers();
        let mut observing = in_new_pid_namespace(|| {
            Child::start(|| {
                let mut observer = listening(&path).namespaces(admitted).bind().unwrap();
                bound.store(1, SeqCst);
                if !admitted {
                    wait_until(|| {
                        assert!(names(&poll_all(&mut observer)).is_empty());
                        observer.stats().unwrap().received == 3
                    });
                    assert_eq!(observer.stats().unwrap().namespace_refused, 3);
                    received.store(1, SeqCst);
                    return;
                }
                let first = poll_until(&mut observer, is("beat")).pop().unwrap().about.unwrap();
                assert_eq!((first.pid, first.origin), (0, Origin::KernelAttested));
                let second =
                    poll_until(&mut observer, is("beat")).pop().unwrap().about.unwrap();
                assert_eq!(second.pid, 0);
                assert_ne!(first.claimed_pid, second.claimed_pid);
                assert_ne!(first.agent, second.agent);
                let again = poll_until(&mut observer, is("beat")).pop().unwrap().about.unwrap();
                assert_eq!(again, first);
                assert_eq!(observer.snapshot().unwrap().len(), 2);
                received.store(1, SeqCst);
                let exit = poll_until(&mut observer, is("exit")).pop().unwrap();
                assert_eq!(exit.about, Some(first));
                assert_eq!(observer.snapshot().unwrap().len(), 1);
                assert_accounted(&observer, 3);
            })
        });
        wait_until(|| bound.load(SeqCst) == 1);
        let mut outside = [(); 2].map(|()| TestAgent::at(&path));
        outside[0].beat(1);
        outside[1].beat(1);
        outside[0].beat(2);
        wait_until(|| received.load(SeqCst) == 1 || observing.ended().is_some());
        outside[0].exit(0);
        outside[0].reap();
        observing.finish();
        let _ = fs::remove_file(&path);
    }
}

/// Switches to an unprivileged user, and creates a user and a pid namespace in which it is
/// root. Returns false if the system does not allow that.
fn become_root_of_a_namespace() -> bool {
    become_user(STRANGER);
    // SAFETY: takes only numbers. A process that has changed its user must be dumpable to
    // write its id maps.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    // SAFETY: takes a number; affects only this process and its children.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) } != 0 {
        return false;
    }
    fs::write("/proc/self/setgroups", "deny").unwrap();
    for map in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        fs::write(map, format!("0 {STRANGER} 1")).unwrap();
    }
    true
}

/// The kernel lets the root of a pid namespace send with the pid of any process in it, but of
/// no other.
#[test]
fn the_root_of_a_namespace_can_beat_only_for_its_own_processes() {
    const FORBIDDEN: i32 = 77;
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = listening(&path)
        .socket_mode(0o666)
        .uids(Uids::List([STRANGER].into()))
        .namespaces(true)
        .bind()
        .unwrap();
    let outsider = TestAgent::after(&path, || become_user(STRANGER));
    let [step] = shared_numbers();
    let observing = std::process::id();
    let mut user = Child::start(|| {
        if !become_root_of_a_namespace() {
            // SAFETY: ends this child at once.
            unsafe { libc::_exit(FORBIDDEN) };
        }
        Child::start(|| {
            // SAFETY: takes only numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let socket = UnixDatagram::unbound().unwrap();
            socket.connect(&path).unwrap();
            let _sibling = Child::start(|| {
                socket.send(&frame(2, 1)).unwrap();
                step.store(1, SeqCst);
                wait_until(|| false);
            });
            wait_until(|| step.load(SeqCst) == 1);
            send_as(2, &socket, &frame(2, 2)).unwrap();
            for outside in [outsider.pid(), observing] {
                let refused = send_as(outside, &socket, &frame(outside, 1)).unwrap_err();
                assert_eq!(refused.raw_os_error(), Some(libc::ESRCH), "{refused}");
            }
            wait_until(|| step.load(SeqCst) == 2);
        })
        .finish();
    });
    let mut events = Vec::new();
    wait_until(|| {
        events.extend(poll_all(&mut observer));
        names(&events).len() == 2 || user.ended().is_some()
    });
    step.store(2, SeqCst);
    if user.wait() == Ended::Exited(FORBIDDEN) {
        return skipped("user namespaces for all users: sysctl user.max_user_namespaces");
    }
    user.finish();
    assert_eq!(names(&events), ["beat", "beat"]);
    // Both count as beats of the sibling, although its parent sent the second.
    let about: Vec<_> = events.iter().filter_map(|event| event.about).collect();
    assert!(about.iter().all(|about| about.origin == Origin::KernelAttested), "{about:?}");
    assert!(about.windows(2).all(|pair| pair.first() == pair.last()), "{about:?}");
}
