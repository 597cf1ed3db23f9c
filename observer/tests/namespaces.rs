//! Shows whose beats count: those of other users and from other pid namespaces only when
//! that is asked for.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]

mod support;

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use support::{
    Child, Folder, NEVER, Puppet, agent, assert_accounted, become_user, frame, hear_all,
    hear_until, in_new_pid_namespace, is, kill, names, needs_root, shared_numbers, wait_until,
};
use varta_observer::{Builder, ExitCause, Origin, Uids, What};

const STRANGER: u32 = 54_321;

fn listening(path: &Path) -> Builder {
    let endpoint = path.to_str().unwrap().parse().unwrap();
    Builder::new().listen(endpoint).threshold(NEVER)
}

#[test]
fn another_user() {
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
        let mut stranger = Puppet::after(&path, || become_user(STRANGER));
        stranger.beat(1);
        stranger.send(&frame(1 << 20, 2));
        stranger.send(&[7; 3]);
        stranger.exit(3);
        stranger.reap();
        let stats = if admitted {
            let heard = hear_until(&mut observer, is("exit"));
            assert_eq!(names(&heard), ["beat", "auth-failure", "exit"]);
            observer.stats().unwrap()
        } else {
            assert!(names(&hear_all(&mut observer)).is_empty());
            let stats = observer.stats().unwrap();
            assert_eq!(stats.uid_refused, 3);
            stats
        };
        assert_eq!(stats.received, 3);
        assert_accounted(&observer, admitted.into());
    }
}

#[test]
fn its_uid_is_told() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    let path = folder.join("varta.sock");
    let mut observer = listening(&path).socket_mode(0o666).uids(Uids::Any).bind().unwrap();
    let stranger = Puppet::after(&path, || become_user(STRANGER));
    stranger.beat(1);
    hear_until(&mut observer, is("beat"));
    assert_eq!(agent(&observer, stranger.pid()).unwrap().uid, Some(STRANGER));
}

/// An observer outside hears a process in a namespace within.
#[test]
fn a_sender_in_a_namespace_within() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    for admitted in [false, true] {
        let path = folder.join("varta.sock");
        let mut observer = listening(&path).namespaces(admitted).bind().unwrap();
        // Its first process has a number that is no agent's.
        let (_first, mut inside) =
            in_new_pid_namespace(|| (Child::start(|| wait_until(|| false)), Puppet::at(&path)));
        inside.send(&frame(2, 1));
        // A sender outside that claims the same pid lies.
        let liar = Puppet::at(&path);
        liar.send(&frame(2, 1));
        let heard = hear_until(&mut observer, is("auth-failure"));
        let lie = What::AuthFailure { claimed_pid: 2, true_pid: liar.pid() };
        assert_eq!(heard.last().unwrap().what, lie);
        if !admitted {
            assert_eq!(names(&heard), ["auth-failure"]);
            assert_eq!(observer.stats().unwrap().namespace_refused, 1);
            assert_accounted(&observer, 0);
            continue;
        }
        assert_eq!(names(&heard), ["beat", "auth-failure"]);
        let about = heard.iter().find_map(|event| event.about).unwrap();
        assert_eq!((about.pid, about.claimed_pid), (inside.pid(), 2));
        assert_eq!(about.origin, Origin::KernelAttested);
        // And so does itself, once it claims another, its true one too.
        inside.send(&frame(inside.pid(), 2));
        hear_until(&mut observer, is("auth-failure"));
        inside.send(&frame(2, 2));
        assert_eq!(hear_until(&mut observer, is("beat")).pop().unwrap().about, Some(about));
        kill(inside.pid(), libc::SIGKILL);
        let exit = hear_until(&mut observer, is("exit")).pop().unwrap();
        assert_eq!(exit.about, Some(about));
        let What::Exit { cause, .. } = exit.what else { panic!("{exit}") };
        assert_eq!(cause, ExitCause::Signal(libc::SIGKILL));
        assert_accounted(&observer, 2);
        inside.reap();
    }
}

/// An observer in a namespace hears a process outside, which has no pid there.
#[test]
fn a_sender_outside_of_the_observers_namespace() {
    if !needs_root() {
        return;
    }
    let folder = Folder::new();
    for admitted in [false, true] {
        let path = folder.join("varta.sock");
        let [bound, heard] = shared_numbers();
        let mut observing = in_new_pid_namespace(|| {
            Child::start(|| {
                let mut observer = listening(&path).namespaces(admitted).bind().unwrap();
                bound.store(1, SeqCst);
                if !admitted {
                    wait_until(|| {
                        assert!(names(&hear_all(&mut observer)).is_empty());
                        observer.stats().unwrap().received == 3
                    });
                    assert_eq!(observer.stats().unwrap().namespace_refused, 3);
                    heard.store(1, SeqCst);
                    return;
                }
                let first = hear_until(&mut observer, is("beat")).pop().unwrap().about.unwrap();
                assert_eq!((first.pid, first.origin), (0, Origin::KernelAttested));
                let second =
                    hear_until(&mut observer, is("beat")).pop().unwrap().about.unwrap();
                assert_eq!(second.pid, 0);
                assert_ne!(first.claimed_pid, second.claimed_pid);
                assert_ne!(first.agent, second.agent);
                let again = hear_until(&mut observer, is("beat")).pop().unwrap().about.unwrap();
                assert_eq!(again, first);
                assert_eq!(observer.snapshot().unwrap().len(), 2);
                heard.store(1, SeqCst);
                let exit = hear_until(&mut observer, is("exit")).pop().unwrap();
                assert_eq!(exit.about, Some(first));
                assert_eq!(observer.snapshot().unwrap().len(), 1);
                assert_accounted(&observer, 3);
            })
        });
        wait_until(|| bound.load(SeqCst) == 1);
        let mut outside = [(); 2].map(|()| Puppet::at(&path));
        outside[0].beat(1);
        outside[1].beat(1);
        outside[0].beat(2);
        wait_until(|| heard.load(SeqCst) == 1 || observing.ended().is_some());
        outside[0].exit(0);
        outside[0].reap();
        observing.finish();
        let _ = std::fs::remove_file(&path);
    }
}
