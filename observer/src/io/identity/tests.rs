#![allow(unsafe_code, reason = "making processes of every kind")]

use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use super::*;
use crate::sys::{Epoll, ExitInformation, ExitStatus, Interest, Ready, open_pidfd};
use crate::testing::{
    Child, Grandchild, Idle, PATIENCE, allocations_of, become_user, exit, fork_as, in_child,
    is_root, kill, leave_one_descriptor, pause, wait_until,
};

/// The features of a new kernel, and the subsets of older ones.
fn all_features() -> [KernelFeatures; 5] {
    let new = KernelFeatures {
        descriptors: Descriptors::WithDatagram,
        numbers: true,
        exit_information: true,
        table: true,
    };
    let without_information = KernelFeatures { exit_information: false, ..new };
    let without_numbers = KernelFeatures { numbers: false, ..without_information };
    let by_pid = KernelFeatures { descriptors: Descriptors::Opened, ..without_numbers };
    [
        new,
        KernelFeatures { descriptors: Descriptors::Opened, ..new },
        without_information,
        without_numbers,
        by_pid,
    ]
}

fn watch(features: KernelFeatures, pid: u32) -> ProcessHandle {
    match features.descriptors {
        Descriptors::WithDatagram => {
            ProcessHandle::received(features, open_pidfd(pid).unwrap(), pid)
        }
        _ => ProcessHandle::opened(features, pid).unwrap(),
    }
}

#[test]
fn detected_kernel_features_do_not_change() {
    let [new, ..] = all_features();
    let features = KernelFeatures::detect();
    if std::env::var_os("CI").is_some_and(|ci| ci == "true") {
        assert_eq!(features, new);
    }
    // Detection always gives the same result.
    assert_eq!(KernelFeatures::detect(), features);
    assert!(default_descriptor_bound() > 0);
    assert_eq!(size_of::<Identity>(), 16);
}

#[test]
fn a_process_is_followed_with_every_set_of_kernel_features() {
    for features in all_features() {
        let mut idle = Idle::start();
        let pid = idle.pid();
        let watch = watch(features, pid);
        assert_eq!(matches!(watch.identity(), Identity::Number(_)), features.numbers);
        assert_eq!(matches!(watch.identity(), Identity::Started(_)), !features.numbers);
        assert!(!watch.is_gone());
        assert_eq!(watch.ending(), Ending::Running);
        assert_eq!(look_up(features, pid, watch.identity()), Presence::There);

        idle.exit(7);
        wait_until(|| watch.is_gone());
        // A zombie is gone, though its pid is not.
        assert_eq!(look_up(features, pid, watch.identity()), Presence::Gone);
        assert_eq!(watch.ending(), Ending::Exited(ExitStatus::Code(7)));
        idle.child.wait();
        assert!(watch.is_gone());
        assert_eq!(look_up(features, pid, watch.identity()), Presence::Gone);
    }
}

fn ends() -> [(fn(), ExitStatus); 4] {
    fn by(signal: i32) {
        kill(std::process::id(), signal);
    }
    [
        (|| exit(7), ExitStatus::Code(7)),
        (|| exit(0), ExitStatus::Code(0)),
        (|| by(libc::SIGKILL), ExitStatus::Signal(libc::SIGKILL)),
        (
            || {
                let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
                // SAFETY: reads `none`; avoids a core dump.
                unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
                // SAFETY: restores the default, which ends this process.
                unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
                by(libc::SIGSEGV);
            },
            ExitStatus::Signal(libc::SIGSEGV),
        ),
    ]
}

/// The kernel reports the exit status once the process is reaped.
#[test]
fn the_pidfd_reports_the_exit_cause_after_reaping() {
    if !KernelFeatures::detect().exit_information {
        return;
    }
    for (end, status) in ends() {
        let process = Grandchild::start(|| (), end);
        let pidfd = open_pidfd(process.pid).unwrap();
        let information = || sys::exit_information(pidfd.as_fd()).unwrap();
        assert_eq!(information(), ExitInformation::NotYet);
        process.go();
        wait_until(|| sys::life(pidfd.as_fd()) == Some(Life::Exited));
        assert_eq!(information(), ExitInformation::NotYet);
        assert_eq!(sys::status_of_child(pidfd.as_fd()), None, "it is not a child");
        process.reap();
        assert_eq!(sys::life(pidfd.as_fd()), Some(Life::Reaped));
        assert_eq!(information(), ExitInformation::Known(status));
    }
}

/// During the reaping, the kernel can report that there is no such process.
#[test]
fn the_pidfd_reports_the_exit_cause_while_the_process_is_reaped() {
    if !KernelFeatures::detect().exit_information {
        return;
    }
    for _ in 0..300 {
        let mut child = Child::start(|| exit(7));
        let pidfd = open_pidfd(child.pid()).unwrap();
        let reaping = std::thread::spawn(move || child.wait());
        let start = Instant::now();
        let status = loop {
            match sys::exit_information(pidfd.as_fd()).unwrap() {
                ExitInformation::NotYet => assert!(start.elapsed() < PATIENCE),
                ExitInformation::Known(status) => break status,
            }
        };
        assert_eq!(status, ExitStatus::Code(7));
        reaping.join().unwrap();
    }
}

/// Its last datagram is received when the process no longer exists.
#[test]
fn the_exit_cause_of_a_sender_that_was_reaped_before_the_receive_is_known() {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    sys::pass_credentials(receiver.as_fd()).unwrap();
    let mut child = Child::start(|| {
        sender.send(&[7]).unwrap();
        exit(7);
    });
    child.wait();
    sys::pass_pidfds(receiver.as_fd(), true).unwrap();
    let mut batch = Batch::for_unix();
    batch.expect_pidfds(true);
    assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
    // Before Linux 6.16 there is no pidfd for it.
    if let Ok(pidfd) = batch.take(0).unwrap().pidfd.unwrap() {
        let watch = ProcessHandle::received(KernelFeatures::detect(), pidfd, child.pid());
        assert!(watch.is_gone());
        assert_eq!(watch.ending(), Ending::Exited(ExitStatus::Code(7)));
    }
}

#[test]
fn the_exit_cause_of_a_child_is_known_before_reaping() {
    for (end, status) in ends() {
        let mut child = Child::start(end);
        let pidfd = open_pidfd(child.pid()).unwrap();
        wait_until(|| sys::life(pidfd.as_fd()) == Some(Life::Exited));
        // Several times, because this must not reap the child.
        for _ in 0..3 {
            assert_eq!(sys::status_of_child(pidfd.as_fd()), Some(status));
        }
        child.wait();
        assert_eq!(sys::status_of_child(pidfd.as_fd()), None);
    }
    let idle = Idle::start();
    let pidfd = open_pidfd(idle.pid()).unwrap();
    assert_eq!(sys::status_of_child(pidfd.as_fd()), None, "it runs");
}

/// Without a report of the kernel, and with both kinds of identity.
#[test]
fn the_process_table_has_the_exit_cause_of_a_zombie() {
    for features in all_features().into_iter().filter(|features| !features.exit_information) {
        for (end, status) in ends() {
            let process = Grandchild::start(|| (), end);
            let watch = watch(features, process.pid);
            assert_eq!(watch.ending(), Ending::Running);
            process.go();
            wait_until(|| watch.is_gone());
            assert_eq!(watch.ending(), Ending::Exited(status));
            process.reap();
            assert_eq!(watch.ending(), Ending::Unknown);
        }
    }
}

/// The process table does not show the exit code to other users, so the observer waits for the
/// reaping.
#[test]
fn the_exit_cause_of_another_users_process_is_known_after_reaping() {
    if !is_root() {
        return;
    }
    let [new, ..] = all_features();
    let blind = KernelFeatures { exit_information: false, ..new };
    for (end, status) in ends() {
        let process = Grandchild::start(|| (), end);
        in_child(|| {
            become_user(65_534);
            let watch = watch(new, process.pid);
            let blind = self::watch(blind, process.pid);
            assert_eq!(watch.ending(), Ending::Running);
            process.go();
            wait_until(|| watch.is_gone());
            // The process table shows an exit code of 0 to users without access, whatever the
            // real one.
            assert_eq!(watch.ending(), Ending::Pending);
            assert_eq!(blind.ending(), Ending::Unknown);
            process.reap();
            assert_eq!(watch.ending(), Ending::Exited(status));
            assert_eq!(blind.ending(), Ending::Unknown);
        });
    }
}

/// Its parent never waits for it.
#[test]
fn the_exit_cause_of_a_process_that_is_never_reaped_is_known() {
    let process = Grandchild::start(|| (), || exit(7));
    for features in all_features() {
        let watch = watch(features, process.pid);
        process.go();
        wait_until(|| watch.is_gone());
        let expected = match watch.identity() {
            // It was first seen after it had exited, on a kernel without process numbers, so
            // that its entry in the process table cannot be identified.
            Identity::Unknown => Ending::Unknown,
            _ => Ending::Exited(ExitStatus::Code(7)),
        };
        assert_eq!(watch.ending(), expected);
    }
}

/// Starts a thread that exits its process with 7 when it receives a datagram. It uses clone,
/// because the C library must not create threads in the forked child of a threaded process.
fn start_thread(commands: &UnixDatagram) {
    extern "C" fn run(fd: *mut libc::c_void) -> libc::c_int {
        let fd = i32::try_from(fd.addr()).unwrap();
        // SAFETY: waits for a datagram and discards it.
        unsafe { libc::recv(fd, std::ptr::null_mut(), 0, 0) };
        exit(7)
    }
    const STACK: usize = 1 << 16;
    let stack = Box::leak(vec![0_u128; STACK / 16].into_boxed_slice()).as_mut_ptr_range();
    let flags = libc::CLONE_VM
        | libc::CLONE_FS
        | libc::CLONE_FILES
        | libc::CLONE_SIGHAND
        | libc::CLONE_THREAD
        | libc::CLONE_SYSVSEM;
    let fd = std::ptr::without_provenance_mut(commands.as_raw_fd().try_into().unwrap());
    // SAFETY: the stack is never freed and its end is aligned; the first thread no longer uses
    // what they share.
    let made = unsafe { libc::clone(run, stack.end.cast(), flags, fd) };
    assert!(made > 0, "{}", io::Error::last_os_error());
}

#[test]
fn a_process_runs_until_its_last_thread_ends() {
    let (end, commands) = UnixDatagram::pair().unwrap();
    let process = Grandchild::start(
        || (),
        || {
            start_thread(&commands);
            // SAFETY: ends only this thread, which is the first.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        },
    );
    let [new, ..] = all_features();
    let watch = watch(new, process.pid);
    process.go();
    wait_until(|| proc::stat(process.pid).unwrap().is_zombie);
    assert!(!watch.is_gone());
    assert_eq!(watch.ending(), Ending::Running);
    assert_eq!(look_up(new, process.pid, watch.identity()), Presence::There);
    end.send(&[0]).unwrap();
    wait_until(|| watch.is_gone());
    process.reap();
    assert_eq!(watch.ending(), Ending::Exited(ExitStatus::Code(7)));
}

#[test]
fn a_process_that_reuses_a_pid_is_another_process() {
    if !is_root() {
        return;
    }
    for features in all_features() {
        let mut first = Idle::start();
        let pid = first.pid();
        let old = watch(features, pid);
        let again = watch(features, pid);
        assert_eq!(old.identity().same_process(again.identity()), Some(true));
        first.exit(0);
        first.child.wait();
        // Real pids are reused after days, not within one tick of the clock.
        const TICK_NS: u64 = 10_000_000;
        let start = sys::boottime_ns();
        wait_until(|| sys::boottime_ns() > start + 2 * TICK_NS);

        let mut second = Child::start_by(|| fork_as(pid), pause);
        assert_eq!(second.pid(), pid);
        let new = watch(features, pid);
        assert_eq!(old.identity().same_process(new.identity()), Some(false));
        assert!(old.is_gone() && !new.is_gone());
        assert_eq!(look_up(features, pid, old.identity()), Presence::Replaced);
        assert_eq!(look_up(features, pid, new.identity()), Presence::There);
        // The pid no longer identifies the first process.
        let late = Identity::of(features, old.as_fd(), pid);
        assert_ne!(late.same_process(new.identity()), Some(true));
        kill(pid, libc::SIGKILL);
        wait_until(|| new.is_gone());
        let expected = match features.exit_information {
            true => Ending::Exited(ExitStatus::Code(0)),
            false => Ending::Unknown,
        };
        assert_eq!(old.ending(), expected);
        assert_eq!(new.ending(), Ending::Exited(ExitStatus::Signal(libc::SIGKILL)));
        second.wait();
    }
}

#[test]
fn an_unknown_identity_matches_no_other() {
    let [number, started] = [Identity::Number(7), Identity::Started(7)];
    assert_eq!(number.same_process(started), None);
    assert_eq!(Identity::Unknown.same_process(Identity::Unknown), None);
    assert_eq!(started.same_process(Identity::Started(8)), Some(false));
    let [features, ..] = all_features();
    let this = std::process::id();
    assert_eq!(look_up(features, this, Identity::Unknown), Presence::There);
    assert_eq!(look_up(features, 0, Identity::Unknown), Presence::CannotTell);
    assert_eq!(look_up(features, u32::MAX, Identity::Unknown), Presence::Gone);
    let none = KernelFeatures { descriptors: Descriptors::None, ..features };
    assert_eq!(look_up(none, u32::MAX, Identity::Unknown), Presence::CannotTell);
}

#[test]
fn without_a_free_descriptor_lookups_return_unknown() {
    in_child(|| {
        let [features, ..] = all_features();
        let this = std::process::id();
        let one = open_pidfd(this).unwrap();
        let identity = Identity::of(features, one.as_fd(), this);
        leave_one_descriptor(one.as_fd());
        let last = open_pidfd(this).unwrap();
        let error = ProcessHandle::opened(features, this).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        assert_eq!(look_up(features, this, identity), Presence::CannotTell);
        assert_eq!(namespace_of_pid(this), Namespace::Unknown);
        assert_eq!(program_name(this), None);
        let older = KernelFeatures { numbers: false, ..features };
        assert_eq!(Identity::of(older, one.as_fd(), this), Identity::Unknown);
        drop(last);
        assert_eq!(look_up(features, this, identity), Presence::There);
    });
}

#[test]
fn a_pidfd_hangs_up_once_its_zombie_is_reaped() {
    if !KernelFeatures::detect().numbers {
        return;
    }
    let mut idle = Idle::start();
    let pidfd = open_pidfd(idle.pid()).unwrap();
    let (epoll, mut ready) = (Epoll::new().unwrap(), Ready::new());
    epoll.add(pidfd.as_fd(), 5, Interest::Readable).unwrap();
    assert_eq!(epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap(), 0);
    idle.exit(0);
    assert_eq!(epoll.wait(&mut ready, None).unwrap(), 1);
    let event = ready.get(0).unwrap();
    assert!(event.token == 5 && event.readable && !event.hung_up);
    epoll.remove(pidfd.as_fd()).unwrap();
    epoll.add(pidfd.as_fd(), 6, Interest::HangUp).unwrap();
    assert_eq!(epoll.wait(&mut ready, Some(Duration::ZERO)).unwrap(), 0);
    idle.child.wait();
    assert_eq!(epoll.wait(&mut ready, None).unwrap(), 1);
    let event = ready.get(0).unwrap();
    assert!(event.token == 6 && event.hung_up);
}

#[test]
fn a_process_in_the_same_namespace_is_recognized() {
    let [features, ..] = all_features();
    let this = std::process::id();
    let mut idle = Idle::start();
    let watch = watch(features, idle.pid());
    assert_eq!(namespace_of(&watch), Namespace::Same);
    assert_eq!(namespace_of_pid(this), Namespace::Same);
    assert_eq!(namespace_of_pid(0), Namespace::Outside);
    assert_eq!(namespace_of_pid(u32::MAX), Namespace::Unknown);
    idle.exit(0);
    idle.child.wait();
    assert_eq!(namespace_of(&watch), Namespace::Unknown);
}

fn unshare(what: libc::c_int) {
    // SAFETY: takes a number; called in a child, so that no other test is affected.
    let moved = unsafe { libc::unshare(what) };
    assert_eq!(moved, 0, "{}", io::Error::last_os_error());
}

#[test]
fn a_process_in_a_nested_namespace_is_recognized() {
    if !is_root() {
        return;
    }
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    sys::pass_credentials(receiver.as_fd()).unwrap();
    sys::pass_pidfds(receiver.as_fd(), true).unwrap();
    let process = Grandchild::start(
        || unshare(libc::CLONE_NEWPID),
        || {
            sender.send(&std::process::id().to_ne_bytes()).unwrap();
            pause();
        },
    );
    process.go();
    let mut batch = Batch::for_unix();
    batch.expect_pidfds(true);
    wait_until(|| batch.receive(receiver.as_fd()).unwrap() == 1);
    let message = batch.take(0).unwrap();
    assert_eq!(message.bytes, 1_u32.to_ne_bytes(), "its pid in its own namespace");
    let pid = message.credentials.unwrap().pid;
    assert_eq!(pid, process.pid, "its pid in this one");
    let [features, ..] = all_features();
    let watch = ProcessHandle::received(features, message.pidfd.unwrap().unwrap(), pid);
    assert_eq!(namespace_of(&watch), Namespace::Within { innermost: 1 });
    assert_eq!(namespace_of_pid(pid), Namespace::Within { innermost: 1 });
    assert!(!watch.is_gone());
    kill(pid, libc::SIGKILL);
    wait_until(|| watch.is_gone());
    process.reap();
    assert_eq!(watch.ending(), Ending::Exited(ExitStatus::Signal(libc::SIGKILL)));
}

/// The observer is in a container, and the process on the host.
#[test]
fn a_process_outside_the_namespace_is_recognized() {
    if !is_root() {
        return;
    }
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    sys::pass_credentials(receiver.as_fd()).unwrap();
    sys::pass_pidfds(receiver.as_fd(), true).unwrap();
    sender.send(&[7]).unwrap();
    let mut outsider = Idle::start();
    let pidfd = open_pidfd(outsider.pid()).unwrap();
    let observer = Grandchild::start(
        || unshare(libc::CLONE_NEWPID | libc::CLONE_NEWNS),
        || {
            mount_own_proc();
            let mut batch = Batch::for_unix();
            batch.expect_pidfds(true);
            assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
            let message = batch.take(0).unwrap();
            assert_eq!(message.credentials.unwrap().pid, 0);
            let [features, ..] = all_features();
            let watch = ProcessHandle::received(features, message.pidfd.unwrap().unwrap(), 0);
            assert!(matches!(watch.identity(), Identity::Number(_)));
            assert_eq!(namespace_of(&watch), Namespace::Outside);
            assert_eq!(watch.ending(), Ending::Running);
            assert_eq!(namespace_of_pid(std::process::id()), Namespace::Same);

            // The exit is visible, but the kernel does not report its cause inside the
            // container.
            let watch = ProcessHandle::received(features, pidfd, 0);
            wait_until(|| watch.is_gone());
            assert_eq!(watch.ending(), Ending::Unknown);
            exit(42);
        },
    );
    let ended = open_pidfd(observer.pid).unwrap();
    observer.go();
    outsider.exit(7);
    outsider.child.wait();
    wait_until(|| sys::life(ended.as_fd()) != Some(Life::Running));
    observer.reap();
    let information = sys::exit_information(ended.as_fd()).unwrap();
    assert_eq!(
        information,
        ExitInformation::Known(ExitStatus::Code(42)),
        "a check in the observer failed"
    );
}

/// A container may have the /proc of its host. The process with the pid there is another one,
/// so its exit must not be used.
#[test]
fn the_process_table_of_another_namespace_is_not_used() {
    if !is_root() {
        return;
    }
    let stranger = Idle::start();
    let pid = stranger.pid();
    stranger.exit(3);
    wait_until(|| proc::stat(pid).unwrap().is_zombie);
    in_child(|| {
        assert!(KernelFeatures::detect().table);
        unshare(libc::CLONE_NEWPID);
        Child::start(|| {
            let features = KernelFeatures::detect();
            assert!(!features.table);
            let mut namesake = Child::start_by(|| fork_as(pid), || exit(7));
            // This is a child, because the parent would get the cause in another way.
            in_child(|| {
                let features = KernelFeatures { exit_information: false, ..features };
                let watch = ProcessHandle::opened(features, pid).unwrap();
                wait_until(|| watch.is_gone());
                assert_eq!(watch.ending(), Ending::Unknown);
                let older = KernelFeatures { numbers: false, ..features };
                assert_eq!(
                    ProcessHandle::opened(older, pid).unwrap().identity(),
                    Identity::Unknown
                );
            });
            namesake.wait();
            unshare(libc::CLONE_NEWNS);
            mount_own_proc();
            assert!(KernelFeatures::detect().table);
        })
        .finish();
    });
}

/// Mounts a /proc of the namespace of this process.
fn mount_own_proc() {
    let mount = |kind: &std::ffi::CStr, on: &std::ffi::CStr, flags| {
        // SAFETY: C strings, and no data; in a mount namespace of this process's own.
        let mounted = unsafe {
            libc::mount(kind.as_ptr(), on.as_ptr(), kind.as_ptr(), flags, std::ptr::null())
        };
        assert_eq!(mounted, 0, "{}", io::Error::last_os_error());
    };
    mount(c"none", c"/", libc::MS_REC | libc::MS_PRIVATE);
    mount(c"proc", c"/proc", 0);
}

#[test]
fn following_a_process_allocates_nothing() {
    let (sender, receiver) = UnixDatagram::pair().unwrap();
    sys::pass_credentials(receiver.as_fd()).unwrap();
    sys::pass_pidfds(receiver.as_fd(), true).unwrap();
    let mut batch = Batch::for_unix();
    batch.expect_pidfds(true);
    let (epoll, mut ready) = (Epoll::new().unwrap(), Ready::new());
    let timer = sys::Timer::new().unwrap();
    assert_eq!(allocations_of(|| drop(vec![1])), 1, "allocations are counted");
    for features in all_features() {
        let mut idle = Idle::start();
        let pid = idle.pid();
        for length in [0, 32, 99] {
            sender.send(&[7; 99][..length]).unwrap();
        }
        let attached = [sender.as_fd(); 3];
        crate::testing::send_with_descriptors(&sender, &[7; 32], &attached).unwrap();
        let mut handle = None;
        let mut start = || {
            assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 4);
            let sent = batch.take(1).unwrap();
            let own = sent.credentials.unwrap().pid;
            drop(ProcessHandle::received(features, sent.pidfd.unwrap().unwrap(), own));
            assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 0);

            let watch = watch(features, pid);
            epoll.add(watch.as_fd(), 1, Interest::Readable).unwrap();
            assert_eq!(look_up(features, pid, watch.identity()), Presence::There);
            assert_eq!(watch.ending(), Ending::Running);
            assert_eq!(namespace_of(&watch), Namespace::Same);
            assert_eq!(namespace_of_pid(pid), Namespace::Same);
            assert!(program_name(pid).is_some());
            assert!(program_name(u32::MAX).is_none());
            timer.arm(sys::boottime_ns() + 1).unwrap();
            timer.drain();
            handle = Some(watch);
        };
        assert_eq!(allocations_of(&mut start), 0, "{features:?}");
        let watch = handle.unwrap();
        idle.exit(7);
        let mut end = || {
            assert_eq!(epoll.wait(&mut ready, None).unwrap(), 1);
            assert_eq!(watch.ending(), Ending::Exited(ExitStatus::Code(7)));
            assert_eq!(look_up(features, pid, watch.identity()), Presence::Gone);
            epoll.remove(watch.as_fd()).unwrap();
        };
        assert_eq!(allocations_of(&mut end), 0, "{features:?}");
        idle.child.wait();
        assert_eq!(allocations_of(|| _ = watch.ending()), 0, "{features:?}");
    }
}
