//! The final beat of real processes that real signals end.
//!
//! Each signal ends a forked child. The child first resets the signals to their defaults, which
//! removes Rust's handler for stack overflows and the settings of other tests.

use std::ffi::c_int;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use super::support::{Agent, Child, Ended, Folder, Observer, alone, patient};
use crate::constants::*;
use crate::crash::{VARTA_CRASH_SIGTERM, varta_install_crash_handler};
use crate::event::varta_event;
use crate::observer::options::VARTA_OBSERVER_NO_EXITS;

struct Scene {
    folder: Folder,
    observer: Observer,
}

impl Scene {
    fn new() -> Self {
        let folder = Folder::new();
        let mut options = patient();
        // These tests are not about exits.
        options.flags = VARTA_OBSERVER_NO_EXITS;
        let observer = Observer::bind_with(&folder.socket(), &options);
        Self { folder, observer }
    }

    fn install(&self, flags: u32) -> i32 {
        let socket = self.folder.socket();
        unsafe { varta_install_crash_handler(socket.as_ptr(), flags) }.number()
    }

    /// Runs `die` in a child with the handler, and returns its pid and how it ended.
    fn run_child(&self, flags: u32, before: impl FnOnce(), die: impl FnOnce()) -> (i32, Ended) {
        let child = Child::start(|| {
            for signal in SIGNALS {
                unsafe { libc::signal(signal, libc::SIG_DFL) };
            }
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            before();
            assert_eq!(self.install(flags), 0);
            die();
            42
        });
        (child.0, child.ended())
    }

    fn final_beat(&self) -> varta_event {
        self.observer.wait(|event| event.kind == VARTA_EVENT_BEAT)
    }

    #[track_caller]
    fn dies_with_final_beat(&self, signal: c_int, before: impl FnOnce(), die: impl FnOnce()) {
        let flags = if signal == libc::SIGTERM { VARTA_CRASH_SIGTERM } else { 0 };
        let (pid, ended) = self.run_child(flags, before, die);
        assert_eq!(ended, Ended::Killed(signal));
        let beat = self.final_beat();
        assert_eq!((beat.status, beat.nonce), (VARTA_STATUS_CRITICAL, u64::MAX));
        assert_eq!((beat.payload, beat.pid), (signal as u64, pid as u32));
        assert_eq!(self.observer.poll(0).map(|event| event.kind), None, "reported twice");
    }
}

const SIGNALS: [c_int; 6] =
    [libc::SIGSEGV, libc::SIGABRT, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTERM];

fn read_nowhere() {
    unsafe { ptr::without_provenance::<u8>(8).read_volatile() };
}

fn use_up_the_stack() {
    #[allow(unconditional_recursion, reason = "the stack must overflow")]
    fn deeper(depth: u64) -> u64 {
        let room = [depth; 512];
        std::hint::black_box(&room);
        deeper(depth + 1) + room[7]
    }
    std::hint::black_box(deeper(0));
}

#[test]
fn each_sent_signal_is_reported_and_then_ends_the_process() {
    let scene = Scene::new();
    for signal in SIGNALS {
        scene.dies_with_final_beat(signal, || (), || _ = unsafe { libc::raise(signal) });
    }
}

#[test]
fn sigterm_at_any_moment_sends_a_final_beat_and_ends_the_process() {
    let scene = Scene::new();
    // The child's other beats go here, so that the queue for the final beat is not full.
    let elsewhere = Folder::new();
    let _observer = Observer::bind(&elsewhere.socket());
    for round in 0..60_u32 {
        let (mut ready, mut begun) = UnixStream::pair().unwrap();
        let child = Child::start(|| {
            unsafe { libc::signal(libc::SIGTERM, libc::SIG_DFL) };
            assert_eq!(scene.install(VARTA_CRASH_SIGTERM), 0);
            begun.write_all(&[0]).unwrap();
            for size in 0_usize.. {
                std::hint::black_box(vec![1_u8; size % 100_000]);
                Agent::connect(&elsewhere.socket()).beat(0, 0);
            }
            42
        });
        ready.read_exact(&mut [0]).unwrap();
        std::thread::sleep(Duration::from_micros(u64::from(round * 37 % 1000)));
        unsafe { libc::kill(child.0, libc::SIGTERM) };
        let pid = child.0 as u32;
        assert_eq!(child.ended(), Ended::Killed(libc::SIGTERM));
        let beat = scene.final_beat();
        assert_eq!((beat.payload, beat.pid), (libc::SIGTERM as u64, pid));
    }
}

#[test]
fn faults_are_reported() {
    let scene = Scene::new();
    scene.dies_with_final_beat(libc::SIGSEGV, || (), read_nowhere);
    scene.dies_with_final_beat(libc::SIGABRT, || (), || unsafe { libc::abort() });
    let beyond_the_file = || unsafe {
        let file = libc::memfd_create(c"empty".as_ptr(), 0);
        let at = libc::mmap(ptr::null_mut(), 4096, libc::PROT_READ, libc::MAP_SHARED, file, 0);
        at.cast::<u8>().read_volatile();
    };
    scene.dies_with_final_beat(libc::SIGBUS, || (), beyond_the_file);
    #[cfg(target_arch = "x86_64")]
    {
        let illegal = || unsafe { std::arch::asm!("ud2") };
        scene.dies_with_final_beat(libc::SIGILL, || (), illegal);
        let divide = || unsafe {
            std::arch::asm!("xor ecx, ecx", "div ecx", out("eax") _, out("ecx") _, out("edx") _);
        };
        scene.dies_with_final_beat(libc::SIGFPE, || (), divide);
    }
}

#[test]
fn a_stack_overflow_is_reported_from_every_thread_that_installed_the_handler() {
    let scene = Scene::new();
    scene.dies_with_final_beat(libc::SIGSEGV, || (), use_up_the_stack);
    let in_thread = || {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                assert_eq!(scene.install(0), 0);
                use_up_the_stack();
            });
        });
    };
    scene.dies_with_final_beat(libc::SIGSEGV, || (), in_thread);
}

/// A thread made by C has no alternate stack, while a Rust thread has a small one.
#[test]
fn a_thread_made_by_c_gets_a_signal_stack() {
    extern "C" fn run(scene: *mut std::ffi::c_void) -> *mut std::ffi::c_void {
        let scene = unsafe { &*scene.cast::<Scene>() };
        assert_eq!(scene.install(0), 0);
        use_up_the_stack();
        ptr::null_mut()
    }
    let scene = Scene::new();
    let in_thread = || unsafe {
        let mut thread = std::mem::zeroed();
        let given = ptr::from_ref(&scene).cast_mut().cast();
        assert_eq!(libc::pthread_create(&raw mut thread, ptr::null(), run, given), 0);
        libc::pthread_join(thread, ptr::null_mut());
    };
    scene.dies_with_final_beat(libc::SIGSEGV, || (), in_thread);
}

#[test]
fn threads_free_their_signal_stacks_when_they_end() {
    let scene = Scene::new();
    let mapped = || std::fs::read_to_string("/proc/self/maps").unwrap().lines().count();
    let child = Child::start(|| {
        let installs = || {
            std::thread::scope(|scope| {
                scope.spawn(|| assert_eq!(scene.install(0), 0));
            });
        };
        (0..5).for_each(|_| installs());
        let before = mapped();
        (0..50).for_each(|_| installs());
        i32::from(mapped() > before + 10)
    });
    assert_eq!(child.ended(), Ended::Exited(0));
}

#[test]
fn a_forked_child_sends_its_own_pid() {
    let scene = Scene::new();
    let (parent, ended) = scene.run_child(
        0,
        || (),
        || {
            let child = Child::start(|| unsafe { libc::abort() });
            assert_eq!(child.ended(), Ended::Killed(libc::SIGABRT));
        },
    );
    assert_eq!(ended, Ended::Exited(42));
    let beat = scene.final_beat();
    assert_eq!((beat.payload, beat.nonce), (libc::SIGABRT as u64, u64::MAX));
    assert_ne!(beat.pid, parent as u32);
    assert_eq!(beat.pid, beat.claimed_pid);
}

#[test]
fn the_previous_handler_runs_with_its_own_mask_and_arguments() {
    extern "C" fn theirs(signal: c_int, info: *mut libc::siginfo_t, _: *mut std::ffi::c_void) {
        let mut mask = unsafe { std::mem::zeroed() };
        unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, ptr::null(), &raw mut mask) };
        let blocked = |signal| unsafe { libc::sigismember(&raw const mask, signal) } == 1;
        // As the kernel does: its own signal and those in its mask are blocked, and no others.
        let as_asked = blocked(libc::SIGHUP) && blocked(signal) && !blocked(libc::SIGBUS);
        let address = unsafe { (*info).si_addr() }.addr();
        unsafe { libc::_exit(if as_asked { address as i32 } else { 99 }) };
    }
    let scene = Scene::new();
    let before = || unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = theirs as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO;
        libc::sigaddset(&raw mut action.sa_mask, libc::SIGHUP);
        libc::sigaction(libc::SIGSEGV, &raw const action, ptr::null_mut());
    };
    let (_, ended) = scene.run_child(0, before, read_nowhere);
    assert_eq!(ended, Ended::Exited(8));
    assert_eq!(scene.final_beat().payload, libc::SIGSEGV as u64);
}

#[test]
fn a_later_handler_can_chain_to_ours_after_a_second_install() {
    static OURS: AtomicI32 = AtomicI32::new(0);
    static mut BEFORE: libc::sigaction = unsafe { std::mem::zeroed() };
    extern "C" fn theirs(signal: c_int, info: *mut libc::siginfo_t, at: *mut std::ffi::c_void) {
        if OURS.fetch_add(1, Ordering::Relaxed) > 0 {
            unsafe { libc::_exit(98) };
        }
        type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut std::ffi::c_void);
        let ours: Handler = unsafe { std::mem::transmute(BEFORE.sa_sigaction) };
        ours(signal, info, at);
    }
    let scene = Scene::new();
    scene.dies_with_final_beat(
        libc::SIGSEGV,
        || (),
        || {
            unsafe {
                let mut action: libc::sigaction = std::mem::zeroed();
                action.sa_sigaction = theirs as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO;
                libc::sigaction(libc::SIGSEGV, &raw const action, &raw mut BEFORE);
            }
            assert_eq!(scene.install(0), 0);
            read_nowhere();
        },
    );
}

#[test]
fn installing_again_replaces_a_default_action() {
    extern "C" fn theirs(_: c_int) {
        unsafe { libc::_exit(97) };
    }
    let scene = Scene::new();
    let before = || _ = unsafe { libc::signal(libc::SIGSEGV, theirs as *const () as usize) };
    scene.dies_with_final_beat(libc::SIGSEGV, before, || {
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        assert_eq!(scene.install(0), 0);
        read_nowhere();
    });
    // A signal that was ignored in the meantime stays ignored.
    let (_, ended) = scene.run_child(
        0,
        || (),
        || {
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_IGN) };
            assert_eq!(scene.install(0), 0);
            unsafe { libc::raise(libc::SIGSEGV) };
        },
    );
    assert_eq!(ended, Ended::Exited(42));
    assert_eq!(scene.observer.poll(0), None);
}

#[test]
fn a_sigterm_from_asynchronous_input_ends_the_process() {
    let scene = Scene::new();
    scene.dies_with_final_beat(
        libc::SIGTERM,
        || (),
        || {
            use std::os::fd::AsRawFd;
            let (ours, theirs) = std::os::unix::net::UnixDatagram::pair().unwrap();
            const F_SETSIG: c_int = 10;
            let set = |command, value: c_int| {
                assert_eq!(unsafe { libc::fcntl(ours.as_raw_fd(), command, value) }, 0);
            };
            set(libc::F_SETOWN, unsafe { libc::getpid() });
            set(F_SETSIG, libc::SIGTERM);
            set(libc::F_SETFL, libc::O_ASYNC);
            theirs.send(&[1]).unwrap();
        },
    );
}

#[test]
fn ignored_signals_stay_ignored() {
    let scene = Scene::new();
    let ignore = || {
        for signal in SIGNALS {
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    };
    let send = || {
        for signal in SIGNALS.into_iter().filter(|signal| *signal != libc::SIGABRT) {
            unsafe { libc::raise(signal) };
        }
    };
    let (_, ended) = scene.run_child(VARTA_CRASH_SIGTERM, ignore, send);
    assert_eq!(ended, Ended::Exited(42));
    assert_eq!(scene.observer.poll(0), None);
    // A fault cannot be ignored.
    scene.dies_with_final_beat(libc::SIGSEGV, ignore, read_nowhere);
}

#[test]
fn sigterm_is_not_handled_without_the_flag() {
    let scene = Scene::new();
    let (_, ended) = scene.run_child(0, || (), || _ = unsafe { libc::raise(libc::SIGTERM) });
    assert_eq!(ended, Ended::Killed(libc::SIGTERM));
    assert_eq!(scene.observer.poll(0), None);
}

#[test]
fn the_final_beat_goes_to_the_endpoint_installed_last() {
    let (first, second) = (Scene::new(), Scene::new());
    let installs = || {
        assert_eq!((first.install(0), second.install(0), first.install(0)), (0, 0, 0));
        assert_eq!(second.install(0), 0);
        let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().count();
        for _ in 0..20 {
            assert_eq!((first.install(0), second.install(0)), (0, 0));
        }
        assert_eq!(std::fs::read_dir("/proc/self/fd").unwrap().count(), descriptors);
    };
    let (_, ended) = first.run_child(0, installs, || {
        assert_eq!(second.install(0), 0);
        unsafe { libc::abort() }
    });
    assert_eq!(ended, Ended::Killed(libc::SIGABRT));
    assert_eq!(second.final_beat().payload, libc::SIGABRT as u64);
    assert_eq!(first.observer.poll(0), None);
}

#[test]
fn a_restarted_observer_receives_the_final_beat_of_a_process_with_an_agent() {
    alone(|| {
        use std::io::{Read, Write};
        use std::os::unix::net::UnixStream;
        let Scene { folder, observer } = Scene::new();
        let agent = Agent::connect(&folder.socket());
        let (mut child_end, mut parent_end) = UnixStream::pair().unwrap();
        let child = Child::start(|| {
            drop(unsafe { ptr::read(&raw const observer) });
            unsafe { libc::signal(libc::SIGABRT, libc::SIG_DFL) };
            let socket = folder.socket();
            let code = unsafe { varta_install_crash_handler(socket.as_ptr(), 0) };
            assert_eq!((code.number(), agent.beat(0, 1)), (0, VARTA_SENT));
            child_end.write_all(&[1]).unwrap();
            child_end.read_exact(&mut [0]).unwrap();
            unsafe { libc::abort() }
        });
        parent_end.read_exact(&mut [0]).unwrap();
        drop(observer);
        let restarted = Observer::bind(&folder.socket());
        parent_end.write_all(&[1]).unwrap();
        assert_eq!(child.ended(), Ended::Killed(libc::SIGABRT));
        let beat = restarted.wait(|event| event.nonce == u64::MAX);
        assert_eq!(beat.payload, libc::SIGABRT as u64);
    });
}

#[test]
fn a_sealed_final_beat_is_sent_after_a_stack_overflow() {
    alone(seal_after_a_stack_overflow);
}

fn seal_after_a_stack_overflow() {
    let folder = Folder::new();
    let key = folder.join("key");
    std::fs::write(&key, "07".repeat(32)).unwrap();
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let port = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap().port()
    };
    for which in ["key-file", "master-key-file"] {
        let endpoint = super::support::text(&format!(
            "udp+secure://127.0.0.1:{port}?{which}={}",
            key.display()
        ));
        let observer = Observer::bind(&endpoint);
        let child = Child::start(|| {
            unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
            let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
            unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
            let code = unsafe { varta_install_crash_handler(endpoint.as_ptr(), 0) };
            assert_eq!(code.number(), 0);
            use_up_the_stack();
            42
        });
        assert_eq!(child.ended(), Ended::Killed(libc::SIGSEGV));
        let beat = observer.wait(|event| event.kind == VARTA_EVENT_BEAT);
        drop(observer);
        assert_eq!((beat.payload, beat.origin), (11, VARTA_ORIGIN_SECURE_NETWORK));
    }
}
