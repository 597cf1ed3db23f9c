//! Shows whose beats count: those of other users and from other pid namespaces only when
//! that is asked for.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests")]
#![allow(unsafe_code, reason = "namespaces and forged credentials")]

mod support;

use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;

use support::{
    Child, Ended, Folder, NEVER, Puppet, agent, assert_accounted, become_user, frame, hear_all,
    hear_until, in_new_pid_namespace, is, kill, names, needs_root, shared_numbers, skipped,
    wait_until,
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
        let _ = fs::remove_file(&path);
    }
}

/// Sends a datagram in the name of another process, as the root of a pid namespace may.
fn send_as(pid: u32, socket: &UnixDatagram, bytes: &[u8]) -> io::Result<()> {
    let mut control = (size_of::<libc::cmsghdr>() + 12).to_ne_bytes().to_vec();
    for number in [libc::SOL_SOCKET, libc::SCM_CREDENTIALS, pid.try_into().unwrap(), 0, 0] {
        control.extend(number.to_ne_bytes());
    }
    control.resize(control.len().next_multiple_of(8), 0);
    let mut part =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: numbers and pointers, all of which may be zero.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = control.len() as _;
    // SAFETY: all that the message points to lives until the end of this function, and is
    // only read.
    match unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const message, 0) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Becomes a user without rights, who makes a user and a pid namespace and is root there.
/// False where the system does not let users do that.
fn become_root_of_a_namespace() -> bool {
    become_user(STRANGER);
    // SAFETY: takes numbers alone. Whoever has changed its user may not write what follows.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) };
    // SAFETY: takes a number; only this process and its children will notice.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID) } != 0 {
        return false;
    }
    fs::write("/proc/self/setgroups", "deny").unwrap();
    for map in ["/proc/self/uid_map", "/proc/self/gid_map"] {
        fs::write(map, format!("0 {STRANGER} 1")).unwrap();
    }
    true
}

/// The kernel lets the root of a pid namespace name any process in it, and no other.
#[test]
fn the_root_of_a_namespace_can_beat_for_its_own_processes_alone() {
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
    let outsider = Puppet::after(&path, || become_user(STRANGER));
    let [step] = shared_numbers();
    let observing = std::process::id();
    let mut user = Child::start(|| {
        if !become_root_of_a_namespace() {
            // SAFETY: ends this child at once.
            unsafe { libc::_exit(FORBIDDEN) };
        }
        Child::start(|| {
            // SAFETY: takes numbers alone.
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
    let mut heard = Vec::new();
    wait_until(|| {
        heard.extend(hear_all(&mut observer));
        names(&heard).len() == 2 || user.ended().is_some()
    });
    step.store(2, SeqCst);
    if user.wait() == Ended::Exited(FORBIDDEN) {
        return skipped("user namespaces for everybody: sysctl user.max_user_namespaces");
    }
    user.finish();
    assert_eq!(names(&heard), ["beat", "beat"]);
    // Both are taken for the sibling's, and the second one was not.
    let about: Vec<_> = heard.iter().filter_map(|event| event.about).collect();
    assert!(about.iter().all(|about| about.origin == Origin::KernelAttested), "{about:?}");
    assert!(about.windows(2).all(|pair| pair.first() == pair.last()), "{about:?}");
}
